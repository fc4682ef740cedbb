"""Looks after the machine beside the agent's loop: GPUs, checks, latency, emulation.

One thread that mostly sleeps. Nothing here may hold up a heartbeat: what was seen last is told.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from .emulation import Emulation, find_emulations
from .gpu import Survey, Surveyor
from .gpu.stack import Places as StackPlaces
from .gpu.stack import check_stacks
from .latency import GitHubLatency, LatencyWatch, first_byte_ms
from .metrics import temperature_celsius
from .preflight import (
    Places,
    check_clock,
    check_github,
    check_machine,
    check_network,
    link_mbps,
    measure_mbps,
)
from .server import Server
from .verdict import Check
from .wire import SampleExtras

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
CHECK_SECONDS = 600.0
SPEED_PATH = "/api/agent/speed"


class Hardware:
    """What is known of the machine; every attribute is replaced whole, so any thread may read."""

    def __init__(self, server: Server, disk_path: Path, places: Places | None = None) -> None:
        self.server = server
        self.disk_path = disk_path
        self.places = places or Places()
        self.surveyor = Surveyor(self.places.sysfs_root)
        self.latency = LatencyWatch(lambda url: first_byte_ms(url, server.verify_for(url)))
        self.survey: Survey = self.surveyor.look()
        self.checks: list[Check] = []
        self.emulations: list[Emulation] = []
        self.mbps: float | None = None
        self.checked_at = -CHECK_SECONDS

    def start(self, stopping: threading.Event) -> None:
        """Look again and again until the agent stops."""
        threading.Thread(target=self.watch, args=(stopping,), name="hardware", daemon=True).start()

    def watch(self, stopping: threading.Event) -> None:
        """Look at once and then every minute; measure what costs something in the second."""
        rounds = 0
        while not stopping.is_set():
            try:
                if rounds == 1:
                    self.measure()
                self.look(time.monotonic())
            except Exception:  # the agent goes on without news of its hardware
                log.exception("looking at the hardware broke")
            rounds += 1
            stopping.wait(LOOK_SECONDS)

    def measure(self) -> None:
        """Measure emulation and network: once, and not while the agent comes up."""
        self.emulations = find_emulations()
        self.mbps = self.measure_network()
        self.checked_at = -CHECK_SECONDS

    def look(self, now: float) -> None:
        """Look at what may have changed."""
        self.survey = self.surveyor.look()
        self.latency.sample()
        if now - self.checked_at >= CHECK_SECONDS or not self.checks:
            self.checks, self.checked_at = self.check(), now

    def measured(self) -> SampleExtras:
        """Return what was measured last and belongs into every heartbeat."""
        extras: SampleExtras = {}
        if self.survey.readings:
            extras["gpus"] = self.survey.readings
        latency = self.latency.told()
        if latency is not None:
            extras["github"] = latency
        return extras

    def check(self) -> list[Check]:
        """Return all checks as of now."""
        return all_checks(self, self.latency.told())

    def measure_network(self) -> float | None:
        """Download a little from the dashboard."""
        url = self.server.url + SPEED_PATH
        return measure_mbps(url, token=self.server.token, verify=self.server.verify_for(url))


def all_checks(hardware: Hardware, latency: GitHubLatency | None) -> list[Check]:
    """Return every check of this machine, from what was measured before."""
    places = hardware.places
    checks = check_machine(hardware.disk_path, places, temperature_celsius())
    checks.append(check_network(hardware.mbps, link_mbps(places.sysfs_root)))
    checks.append(check_clock(hardware.server.clock_skew_seconds))
    if latency is not None:
        checks.append(
            check_github(latency["p95_ms"], latency["failed_percent"], latency["verdict"])
        )
    stacks = StackPlaces(places.root, places.sysfs_root)
    return checks + check_stacks(hardware.survey.gpus, hardware.surveyor.programs, stacks)
