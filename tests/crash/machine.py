"""A host reduced to what an agent says and does: heartbeats, registrations, processes, jobs.

It keeps the agent's promises (the whole wanted set is converged on, an ended job is told until
answered, a busy runner is not stopped unless forced) and notes when it was made to break one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Post = Callable[[str, Mapping[str, Any], str], Any]


class Answer(Protocol):
    """What a POST gives back."""

    status_code: int

    def json(self) -> Any:
        """The body, parsed."""


class RunnerSide(Protocol):
    """GitHub as the runner application meets it."""

    def configure(self, name: str, labels: list[str]) -> None:
        """What config.sh does with a registration token."""

    def come_online(self, name: str) -> bool:
        """Open the listener's session; False when GitHub does not have the runner."""

    def go_offline(self, name: str) -> None:
        """The listener is gone."""


@dataclass
class Process:
    """One runner on the machine."""

    runner_id: int
    name: str
    slot: int
    ephemeral: bool
    phase: str = "registering"
    exit_code: int | None = None
    job: str = ""
    configured: bool = False

    @property
    def alive(self) -> bool:
        return self.phase in ("listening", "busy")

    def report(self) -> dict[str, Any]:
        """What the heartbeat says of it."""
        return {
            "runner_id": self.runner_id,
            "name": self.name,
            "slot": self.slot,
            "phase": self.phase,
            "pid": 4242 if self.alive else None,
            "process_started_at": None,
            "exit_code": self.exit_code,
            "reason": "",
            "job": {"name": self.job, "started_at": None} if self.phase == "busy" else None,
            "runner_version": "2.336.0",
            "cpu_percent": 0.0,
            "memory_bytes": 0,
        }


@dataclass
class Machine:
    """One host with its agent; `post` sends as the agent does, with the bearer token."""

    post: Post
    token: str
    github: RunnerSide
    boot_id: str = "boot-1"
    version: int | None = None
    processes: dict[int, Process] = field(default_factory=dict)
    gone: dict[int, Process] = field(default_factory=dict)
    wanted: list[dict[str, Any]] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)
    jobs_ended: list[str] = field(default_factory=list)
    jobs_cut: list[str] = field(default_factory=list)
    jobs_forced: list[str] = field(default_factory=list)
    registrations: list[str] = field(default_factory=list)
    sequence: int = 0

    def heartbeat(self) -> dict[str, Any]:
        """What is said now."""
        reports = [process.report() for process in (*self.processes.values(), *self.gone.values())]
        return {
            "protocol": 1,
            "agent_version": "0.1.0",
            "boot_id": self.boot_id,
            "wanted_version": self.version,
            "slots": reports,
            "journal": list(self.journal),
        }

    def beat(self) -> None:
        """One heartbeat, and its answer taken in; a lost answer changes nothing."""
        answer = self.post("/api/agent/heartbeat", self.heartbeat(), self.token)
        if answer.status_code == 410:
            self._leave()
            return
        assert answer.status_code == 200, answer.content
        said = answer.json()
        self.version = said["version"]
        if "token" in said:
            self.token = said["token"]
        if "journal_seq" in said:
            self.journal = [one for one in self.journal if one["seq"] > said["journal_seq"]]
        if said["wanted"] is not None:
            self.wanted = said["wanted"]

    def _leave(self) -> None:
        """The host was retired, without a job on it: its runners end, and so does the agent."""
        for process in self.processes.values():
            assert process.phase != "busy"
            if process.alive:
                self.github.go_offline(process.name)
        self.processes, self.wanted = {}, []

    def converge(self) -> None:
        """Do what the last answer wants."""
        named = {entry["runner_id"]: entry for entry in self.wanted}
        self.gone = {pk: process for pk, process in self.gone.items() if pk in named}
        for pk, entry in named.items():
            if entry["wanted"] == "run":
                self._run(pk, entry)
            else:
                self._stop(pk, entry)

    def turn(self) -> None:
        """A heartbeat, the work it asks for, and the heartbeat that tells of it."""
        self.beat()
        self.converge()
        self.beat()

    def _run(self, pk: int, entry: Mapping[str, Any]) -> None:
        process = self.processes.get(pk)
        if process is None:
            ephemeral = entry["mode"] == "jit"
            process = Process(pk, entry["name"], entry["slot"], ephemeral)
            self.processes[pk] = process
        if process.phase == "registering":
            if not self.register(process):
                return
            if self.github.come_online(process.name):
                process.phase = "listening"

    def register(self, process: Process) -> bool:
        """Ask for the secret of a start; False when there is none for now."""
        if process.configured:
            return True
        kind = "jit-config" if process.ephemeral else "registration"
        path = f"/api/agent/runners/{process.runner_id}/{kind}"
        answer = self.post(path, {}, self.token)
        if answer.status_code != 200:
            assert answer.status_code in (409, 502, 503), answer.content
            return False
        self.registrations.append(process.name)
        if not process.ephemeral:
            self.github.configure(process.name, answer.json()["labels"])
        process.configured = True
        return True

    def _stop(self, pk: int, entry: Mapping[str, Any]) -> None:
        process = self.processes.get(pk)
        if process is None:
            self.gone.setdefault(pk, Process(pk, entry["name"], entry["slot"], True, phase="gone"))
            return
        if process.phase == "busy":
            if not entry["force"]:
                return  # looked once more: a job runs, so it is left alone
            self.jobs_forced.append(process.job)
        if process.alive:
            self.github.go_offline(process.name)
        process.phase, process.exit_code = "gone", None
        self.gone[pk] = self.processes.pop(pk)

    # What happens on a machine.

    def start_job(self, process: Process, job: str) -> None:
        """A job begins on it."""
        process.phase, process.job = "busy", job

    def end_job(self, process: Process) -> None:
        """Its job ends; an ephemeral runner's process with it."""
        self.jobs_ended.append(process.job)
        self.sequence += 1
        self.journal.append(
            {
                "seq": self.sequence,
                "at": "2026-11-23T12:00:00+00:00",
                "runner_id": process.runner_id,
                "kind": "job-completed",
                "detail": {},
            }
        )
        process.job = ""
        process.phase = "exited" if process.ephemeral else "listening"
        process.exit_code = 0 if process.ephemeral else None

    def crash(self, process: Process) -> None:
        """Its process dies by itself, with the job on it."""
        if process.phase == "busy":
            self.jobs_cut.append(process.job)
        self.github.go_offline(process.name)
        process.phase, process.exit_code, process.job = "exited", 1, ""
