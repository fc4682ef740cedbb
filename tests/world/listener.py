"""A runner's process in virtual time: it speaks to GitHub as the stand-in runner does and runs jobs
that only last.

It belongs to a machine and outlives the machine's agent. How it ends is written down: a job that
ended with it has its cause in `World.ended`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runners.simulator.wire import JsonObject

if TYPE_CHECKING:
    from tests.world.machine import Machine

OPEN_SECONDS = 1.0
RETRY_SECONDS = 10.0
CONFLICT_LIMIT_SECONDS = 240.0
PICK_UP_SECONDS = 0.5
DEPRECATED, TERMINATED, CONFLICT = 7, 1, 5
SIGKILL = 137


@dataclass(eq=False)
class Listener:
    """One process. `on_change` is how an agent that watches it learns that something happened."""

    machine: Machine
    name: str
    github_id: int
    secret: str = field(repr=False)
    version: str
    ephemeral: bool
    number: int
    alive: bool = True
    hung: bool = False
    session_id: str = ""
    listening: bool = False
    job_id: int = 0
    job_name: str = ""
    job_started_at: float = 0.0
    work_left: bool = False
    exit_code: int | None = None
    configuration_gone: bool = False
    jobs_done: list[tuple[str, str]] = field(default_factory=list)
    conflict_seconds: float = 0.0

    def start(self) -> None:
        """Come up: the session is opened a moment later."""
        self.machine.world.later(OPEN_SECONDS, self._open)

    @property
    def connected(self) -> bool:
        """Whether GitHub hears of it."""
        return self.alive and not self.hung and self.machine.online

    def _call(self, method: str, path: str, body: JsonObject | None = None) -> tuple[int, str]:
        if not self.machine.online:
            return 0, ""
        status, answer = self.machine.world.github.runner_call(
            method, path, f"Bearer {self.secret}", body
        )
        words = answer.get("message") or answer.get("session_id") or ""
        return status, str(words)

    def _open(self) -> None:
        if not self.alive or self.listening:
            return
        body: JsonObject = {"runner_id": self.github_id, "version": self.version}
        status, words = (0, "") if self.hung else self._call("POST", "/_runner/sessions", body)
        if status == 201:
            self.session_id, self.listening = words, True
            self._changed()
        elif status == 404:
            self.configuration_gone = True
            self._exit(0 if self.ephemeral else TERMINATED)
        elif status == 403 and "deprecated" in words:
            self._exit(DEPRECATED)
        elif status == 409 and self.conflict_seconds >= CONFLICT_LIMIT_SECONDS:
            self._exit(CONFLICT)
        else:
            self.conflict_seconds += RETRY_SECONDS if status == 409 else 0
            self.machine.world.later(RETRY_SECONDS, self._open)

    def poll(self) -> None:
        """Ask for a job; what a long poll would have brought by now."""
        if not (self.connected and self.listening) or self.job_id:
            return
        status, answer = self.machine.world.github.runner_call(
            "GET",
            f"/_runner/messages?session_id={self.session_id}&wait=0",
            f"Bearer {self.secret}",
        )
        if status == 404:
            self.configuration_gone = True
            self._exit(0)
        elif status == 401:
            self.listening, self.session_id = False, ""
            self.machine.world.later(OPEN_SECONDS, self._open)
        elif status == 403:
            self._exit(DEPRECATED)
        elif status == 200:
            job = answer["job"]
            assert isinstance(job, dict)
            self.machine.world.later(
                PICK_UP_SECONDS, lambda: self._take(int(str(job["id"])), str(job["name"]))
            )

    def _take(self, job_id: int, name: str) -> None:
        if not (self.connected and self.listening) or self.job_id:
            return
        body: JsonObject = {"session_id": self.session_id}
        status, _ = self._call("POST", f"/_runner/jobs/{job_id}/acquire", body)
        if status != 200:
            return
        world = self.machine.world
        self.job_id, self.job_name, self.job_started_at = job_id, name, world.now().timestamp()
        self.work_left = True
        world.later(world.github.plans[job_id].seconds, lambda: self._work_done(job_id))
        self._changed()

    def _work_done(self, job_id: int) -> None:
        if not self.alive or self.job_id != job_id:
            return
        self.work_left = False
        self._complete(job_id)

    def _complete(self, job_id: int) -> None:
        """Report the result until GitHub has it, then end or listen on."""
        if not self.alive or self.job_id != job_id or self.hung:
            return
        result = self.machine.world.github.plans[job_id].result
        body: JsonObject = {"result": result, "steps": []}
        status, _ = self._call("POST", f"/_runner/jobs/{job_id}/complete", body)
        if status not in (200, 404):
            self.machine.world.later(RETRY_SECONDS, lambda: self._complete(job_id))
            return
        self.jobs_done.append((self.job_name, result))
        self.job_id = 0
        if self.ephemeral:
            self._call("DELETE", f"/_runner/sessions/{self.session_id}")
            self.configuration_gone = True
            self._exit(0)
        else:
            self._changed()

    def hear(self, now: float) -> None:
        """Stand for the polls and renewals that lie between two moments of the agenda."""
        record = self.machine.world.github.world.store
        if self.hung or not self.machine.online or not self.listening:
            return
        runner = record.runners.get(self.github_id)
        if runner is not None and runner.session_id == self.session_id:
            runner.last_seen_at = now
        job = record.jobs.get(self.job_id) if self.job_id else None
        if job is not None and job.status == "in_progress":
            job.renewed_at = now

    def stop(self) -> None:
        """SIGINT without a job: close the session and end."""
        if self.session_id and not self.hung:
            self._call("DELETE", f"/_runner/sessions/{self.session_id}")
        self._exit(0)

    def kill(self, cause: str, exit_code: int | None = SIGKILL) -> None:
        """End at once; a job on it is lost, for this cause."""
        if not self.alive:
            return
        if self.job_id:
            self.machine.world.note_job_ended(self.job_id, self, cause)
        self._exit(exit_code)

    def wake(self) -> None:
        """Go on after a hang."""
        self.hung = False
        if self.job_id and not self.work_left:
            self._complete(self.job_id)

    def _exit(self, exit_code: int | None) -> None:
        self.alive, self.listening, self.exit_code = False, False, exit_code
        if self in self.machine.processes:
            self.machine.processes.remove(self)
        self._changed()

    def _changed(self) -> None:
        self.machine.noticed(self)
