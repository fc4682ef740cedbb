"""A runner's place on a machine as its agent keeps it: what is wanted and what it does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runners.simulator.wire import Json, JsonObject
from tests.world.listener import Listener

if TYPE_CHECKING:
    from tests.world.machine import Machine

COMING_UP = ("fetching", "preparing", "registering")
ENDED = ("exited", "failed", "gone")
RUNNING = ("starting", "listening", "busy", "stopping")


@dataclass(eq=False)
class Slot:
    """One slot; `recorded` is False while a full disk kept its record from being written."""

    runner_id: int
    name: str
    number: int
    persistent: bool
    boot_id: str
    recorded: bool
    phase: str = "fetching"
    wanted: str = "run"
    force: bool = False
    package_version: str = ""
    reason: str = ""
    cause: str = ""
    exit_code: int | None = None
    process: Listener | None = None
    configured: bool = False
    github_id: int = 0
    secret: str = field(default="", repr=False)
    task: str = ""
    retries: int = 0
    retry_at: float = 0.0
    started_at: float = 0.0

    @classmethod
    def wanted_first(
        cls, entry: JsonObject, boot_id: str, *, recorded: bool, phase: str = "fetching"
    ) -> Slot:
        """The slot of a runner just heard of."""
        slot = cls(
            runner_id=int(str(entry["runner_id"])),
            name=str(entry["name"]),
            number=int(str(entry["slot"])),
            persistent=entry["mode"] == "persistent",
            boot_id=boot_id,
            recorded=recorded,
            phase=phase,
        )
        slot.take(entry)
        return slot

    def take(self, entry: JsonObject) -> None:
        """Take in what the server wants of it now."""
        self.wanted = str(entry["wanted"])
        self.force = bool(entry["force"]) and self.wanted == "stop"
        package = entry["package"]
        if isinstance(package, dict):
            self.package_version = str(package["version"])

    @property
    def coming_up(self) -> bool:
        """Whether nothing of it runs yet."""
        return self.phase in COMING_UP

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.phase in ENDED

    def end(self, phase: str, exit_code: int | None, cause: str, reason: str) -> None:
        """Note how it ended."""
        self.phase, self.exit_code, self.cause, self.reason = phase, exit_code, cause, reason
        self.process = None

    def start_over(self, boot_id: str) -> None:
        """Wanted again after it was stopped."""
        self.phase, self.boot_id, self.exit_code = "fetching", boot_id, None
        self.reason, self.cause, self.retries = "", "", 0

    def report(self, machine: Machine) -> Json:
        """The slot as a heartbeat tells it."""
        process = self.process
        running = self.phase in RUNNING and process is not None
        job: Json = None
        if running and process is not None and process.job_id:
            started = machine.stamp(process.job_started_at)
            job = {"name": process.job_name, "started_at": started}
        return {
            "runner_id": self.runner_id,
            "name": self.name,
            "slot": self.number,
            "phase": self.phase,
            "pid": 4000 + self.runner_id if running else None,
            "process_started_at": machine.stamp(self.started_at) if running else None,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "cause": self.cause if self.ended else "",
            "job": job,
            "runner_version": self.package_version,
            "cpu_percent": 0.0,
            "memory_bytes": 0,
        }
