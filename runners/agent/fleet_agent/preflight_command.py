"""``fleet-agent preflight``: check this machine now, before or after it is enrolled."""

from __future__ import annotations

import argparse
import json

from .config import NotEnrolled, StateDir
from .emulation import find_emulations
from .hardware import Hardware, all_checks
from .preflight import measure_mbps, worst
from .server import Server
from .verdict import Check, Verdict

LATENCY_SAMPLES = 5
GITHUB_URL = "https://github.com/robots.txt"  # not the API: its budget is the jobs'
NO_SERVER = "http://127.0.0.1:9"  # nothing listens there: for a machine that has no server yet
MARKS = {"good": "ok", "fair": "fair", "poor": "POOR", "unknown": "?"}


def add_options(command: argparse.ArgumentParser) -> None:
    """Describe the options."""
    command.add_argument("--server", metavar="URL", help="the dashboard (default: as enrolled)")
    command.add_argument("--ca-file", help="certificates to trust besides the system's")
    command.add_argument(
        "--github-url",
        default=GITHUB_URL,
        metavar="URL",
        help=f"default: {GITHUB_URL}; '' for none",
    )
    command.add_argument(
        "--speed-url", metavar="URL", help="measure the network with this download"
    )
    command.add_argument("--json", action="store_true")


def preflight(options: argparse.Namespace) -> int:
    """Print every check; returns 1 when one is refused."""
    state_dir = StateDir(options.state_dir)
    server, enrolled = server_of(options, state_dir)
    disk = state_dir.root
    while not disk.exists():
        disk = disk.parent
    hardware = Hardware(server, disk)
    hardware.emulations = find_emulations()
    if options.speed_url:
        hardware.mbps = measure_mbps(options.speed_url, verify=options.ca_file or True)
    elif enrolled:
        hardware.mbps = hardware.measure_network()
    if options.server or enrolled:
        server.reach()
    hardware.latency.watch(options.github_url)
    for _ in range(LATENCY_SAMPLES if options.github_url else 0):
        hardware.latency.sample()
    checks = all_checks(hardware, hardware.latency.told())
    if options.json:
        print(json.dumps(as_json(hardware, checks), indent=2))
    else:
        print_checks(hardware, checks)
    return 1 if worst(checks) is Verdict.POOR else 0


def server_of(options: argparse.Namespace, state_dir: StateDir) -> tuple[Server, bool]:
    """Return the dashboard to ask, and whether this machine is enrolled there."""
    if options.server:
        return Server(options.server, ca_file=options.ca_file), False
    try:
        config, token = state_dir.load()
    except NotEnrolled:
        return Server(NO_SERVER), False
    return Server(config.server_url, token, ca_file=config.ca_file), True


def as_json(hardware: Hardware, checks: list[Check]) -> dict[str, object]:
    """Return what programs read."""
    return {
        "verdict": worst(checks).value,
        "checks": checks,
        "gpus": hardware.survey.gpus,
        "gpu_source": hardware.survey.source,
        "emulations": hardware.emulations,
    }


def print_checks(hardware: Hardware, checks: list[Check]) -> None:
    """Print for a person: a line each, the fix below it."""
    for one in checks:
        print(f"{MARKS[one['verdict']]:>4}  {one['key']:<16} {one['words']}")
        if one["fix"]:
            print(f"{'':>4}  {'':<16} -> {one['fix']}")
    gpus = hardware.survey.gpus
    for gpu in gpus:
        state = gpu["state"] if not gpu["reason"] else f"{gpu['state']}: {gpu['reason']}"
        print(f"{'':>4}  {'gpu':<16} {gpu['model']} ({gpu['kind']}, {state})")
    if not gpus:
        print(f"{'':>4}  {'gpu':<16} {hardware.survey.source}")
    for found in hardware.emulations:
        slowdown = found["slowdown"]
        slower = f"about {slowdown:g} times slower" if slowdown else "not measured"
        print(f"{'':>4}  {'emulation':<16} {found['architecture']}, {slower}")
