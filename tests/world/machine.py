"""A machine and its agent in virtual time: a small honest model of `fleet_agent`.

It speaks the real messages to the real agent API, keeps what an agent keeps on disk, and does what
an agent does with the wanted set: fetch, register, start, watch, stop, clean. Faults act on it from
outside. What a process tells GitHub is `listener.py`'s.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runners.simulator.wire import Json, JsonObject
from tests.world.listener import SIGKILL, Listener
from tests.world.slot import Slot

if TYPE_CHECKING:
    from tests.world.world import World

FETCH_SECONDS, PREPARE_SECONDS, STOP_SECONDS, FORCE_SECONDS = 1.5, 0.5, 1.0, 5.0
RETRY_FIRST_SECONDS, RETRY_LAST_SECONDS = 2.0, 60.0
TELL_SECONDS = 0.25
QUIET_LAST_SECONDS = 120.0
WORDS = {0: "done: took its one job, was stopped, or its registration is gone"}


class Unreachable(Exception):
    """The server gave no answer."""


@dataclass(eq=False)
class Machine:
    """One host: the machine's own facts, its agent's memory and disk, its runner processes."""

    world: World
    name: str
    site: str
    architecture: str
    slots_count: int
    gpu: bool = False
    # the machine
    powered: bool = True
    network: bool = True
    disk_full: bool = False
    clock_offset_seconds: float = 0.0
    boots: int = 1
    processes: list[Listener] = field(default_factory=list)
    # the agent: its disk
    token: str = field(default="", repr=False)
    pk: int = 0
    slots: dict[int, Slot] = field(default_factory=dict)
    journal: list[JsonObject] = field(default_factory=list)
    journal_seq: int = 0
    # the agent: its process
    agent_alive: bool = False
    life: int = 0
    wanted_version: int | None = None
    gone: dict[int, Json] = field(default_factory=dict)
    wanted_ids: set[int] = field(default_factory=set)
    want_facts: bool = True
    failures: int = 0
    due: float | None = None
    pace: float = 1.0
    settled: bool = False

    @property
    def online(self) -> bool:
        """Whether anything on it reaches the network."""
        return self.powered and self.network

    @property
    def boot_id(self) -> str:
        """Another one after each boot."""
        return f"{self.name}-boot-{self.boots}"

    # --- life -----------------------------------------------------------------------------

    def enrol(self, code: str) -> None:
        """Trade the code for a token and start the agent."""
        message: JsonObject = {
            "protocol": 1,
            "code": code,
            "name": self.name,
            "agent_version": "0.1.0",
            "site": self.site,
            "slots": self.slots_count,
            "facts": self._facts(),
        }
        status, answer = self.world.server.post("/api/agent/enrol", message, "")
        assert status == 201, answer
        host = answer["host"]
        assert isinstance(host, dict)
        self.pk, self.token = int(str(host["id"])), str(answer["token"])
        self.start_agent()

    def start_agent(self) -> None:
        """Start the agent and let it adopt what an earlier one left."""
        if self.agent_alive or not self.powered:
            return
        self.agent_alive, self.life = True, self.life + 1
        self.wanted_version, self.gone, self.wanted_ids = None, {}, set()
        self.failures, self.want_facts = 0, True
        self._adopt()
        self._note("agent-started", None, agent_version="0.1.0")
        self._tell()

    def kill_agent(self) -> None:
        """SIGKILL: what it was doing stops; its runners go on."""
        self.agent_alive, self.life, self.due, self.settled = False, self.life + 1, None, False

    def power_off(self, cause: str) -> None:
        """Everything on it ends at once."""
        self.kill_agent()
        self.powered = False
        for process in list(self.processes):
            process.kill(cause, exit_code=None)
            process.session_id = ""

    def boot(self) -> None:
        """Come up again and start the agent."""
        self.powered, self.boots = True, self.boots + 1
        self.start_agent()

    def cut(self) -> None:
        """No network: nothing is heard of it, its runners work on."""
        self.network, self.settled = False, False

    def reconnect(self) -> None:
        """The network is back."""
        self.network = True
        if self.agent_alive:
            self.failures = 0
            self._tell()

    def lose_state(self) -> None:
        """The agent's records of its slots are gone; its token is kept elsewhere."""
        self.kill_agent()
        self.slots, self.journal, self.journal_seq = {}, [], 0

    def _adopt(self) -> None:
        for slot in list(self.slots.values()):
            slot.task = ""
            if not slot.recorded:
                del self.slots[slot.runner_id]
            elif slot.boot_id != self.boot_id:
                slot.boot_id, slot.process = self.boot_id, None
                if slot.coming_up:
                    del self.slots[slot.runner_id]
                elif not slot.ended:
                    slot.end("exited", None, "rebooted", "the host was restarted under it")
                    self._note("exited", slot.runner_id, reason=slot.reason)
            elif slot.coming_up:
                del self.slots[slot.runner_id]
            elif slot.process is not None:
                if slot.phase == "stopping":
                    slot.phase = "listening"
                self._observe(slot)

    # --- what its processes do --------------------------------------------------------------

    def noticed(self, process: Listener) -> None:
        """A process of this machine changed; an agent that runs sees it at once."""
        if not self.agent_alive:
            return
        for slot in self.slots.values():
            if slot.process is process:
                self._observe(slot)
                self._converge(slot)
        self._tell()

    def _observe(self, slot: Slot) -> None:
        process = slot.process
        if process is None or slot.ended:
            return
        for name, result in process.jobs_done:
            self._note("job-completed", slot.runner_id, job=name, result=result)
        process.jobs_done.clear()
        if not process.alive:
            code = process.exit_code
            slot.process = None
            slot.configured = slot.configured and not process.configuration_gone
            self._note("exited", slot.runner_id, exit_code=code)
            words = WORDS.get(code or 0, f"exit {code}") if code is not None else "unknown"
            cause = "finished" if code == 0 else "deprecated" if code == 7 else "exit"
            cause = "signal" if code is not None and code > 128 else cause
            slot.end("gone" if slot.phase == "stopping" else "exited", code, cause, words)
            slot.retry_at = self.world.time() + self._wait(slot)
        elif slot.phase != "stopping":
            was = slot.phase
            slot.phase = (
                "busy" if process.job_id else "listening" if process.listening else "starting"
            )
            if slot.phase == "busy" != was:
                self._note("job-started", slot.runner_id, job=process.job_name)

    # --- talking ----------------------------------------------------------------------------

    def _tell(self, seconds: float = TELL_SECONDS) -> None:
        """Talk soon: something changed."""
        self.settled = False
        self.schedule(seconds)

    def schedule(self, seconds: float) -> None:
        """Talk in so many seconds, unless that is to happen earlier anyway."""
        due = self.world.time() + seconds
        if not self.agent_alive or (self.due is not None and self.due <= due):
            return
        self.due = due
        life = self.life
        self.world.later(seconds, lambda: self._talk_if(life, due))

    def _talk_if(self, life: int, due: float) -> None:
        if self.life == life and self.due == due and self.agent_alive:
            self.due = None
            self.talk()

    def talk(self) -> None:
        """One heartbeat and what its answer leads to."""
        told = {slot.runner_id: slot.phase for slot in self.slots.values()}
        message = self._message()
        entries = len(self.journal)
        try:
            status, answer = self._post("/api/agent/heartbeat", message)
        except Unreachable:
            status, answer = 0, {}
        if status != 200:
            self._not_heard(status)
            return
        self.failures, self.settled = 0, True
        token = answer.get("token")
        self.token = str(token) if token else self.token
        seq = answer.get("journal_seq")
        if isinstance(seq, int):
            self.journal = [entry for entry in self.journal if int(str(entry["seq"])) > seq]
        self.want_facts = answer.get("want_facts") is True
        wanted = answer["wanted"]
        if isinstance(wanted, list):
            self._want([entry for entry in wanted if isinstance(entry, dict)])
        for runner_id, slot in list(self.slots.items()):
            over = slot.ended and not slot.task and runner_id not in self.wanted_ids
            if over and told.get(runner_id) == slot.phase:
                del self.slots[runner_id]
        self.wanted_version = int(str(answer["version"]))
        next_seconds = float(str(answer["next_seconds"]))
        if self.want_facts or (self.journal and entries):
            self._tell()
        elif next_seconds < self.world.quiet_seconds:
            self.pace = min(self.pace * 2, QUIET_LAST_SECONDS / next_seconds)
            self.schedule(next_seconds * self.pace)
        else:
            self.pace = 1.0
        self.converge_all()

    def _not_heard(self, status: int) -> None:
        self.failures += 1
        self.settled = False
        wait = min(60.0, 2.0**self.failures)
        self.schedule(300.0 if status in (401, 426) else wait * self.world.jitter())
        if status == 410:
            self._retire()

    def _retire(self) -> None:
        for slot in self.slots.values():
            slot.wanted, slot.force = "stop", False
        self.converge_all()

    def _post(self, path: str, message: JsonObject) -> tuple[int, JsonObject]:
        if not self.online:
            raise Unreachable
        status, answer = self.world.server.post(path, message, self.token)
        if status == 0:
            raise Unreachable
        return status, answer

    def _message(self) -> JsonObject:
        message: JsonObject = {
            "protocol": 1,
            "agent_version": "0.1.0",
            "boot_id": self.boot_id,
            "at": self.stamp(self.world.time()),
            "wanted_version": self.wanted_version,
            "sample": {"cpu_percent": 10.0, "memory_used_bytes": 2**30, "disk_used_bytes": 2**33},
            "slots": [slot.report(self) for slot in self.slots.values()] + list(self.gone.values()),
            "journal": [*self.journal[:50]],
        }
        if self.want_facts:
            message["facts"] = self._facts()
        return message

    def _facts(self) -> JsonObject:
        gpu: JsonObject = {"vendor": "nvidia", "model": "L4", "memory_bytes": 2**34}
        gpus: list[Json] = [gpu] if self.gpu else []
        return {
            "hostname": self.name,
            "os": "linux",
            "os_version": "Debian GNU/Linux 12",
            "kernel": "6.1.0",
            "architecture": self.architecture,
            "machine": "x86_64" if self.architecture == "x64" else "aarch64",
            "kernel_architecture": "x86_64" if self.architecture == "x64" else "aarch64",
            "emulated": False,
            "cpu_count": 8,
            "memory_bytes": 2**35,
            "disk_total_bytes": 2**39,
            "disk_free_bytes": 0 if self.disk_full else 2**38,
            "boot_id": self.boot_id,
            "python": "3.11.7",
            "gpus": gpus,
            "gpu_source": "nvidia-smi",
            "timezone": "UTC",
            "posing": False,
        }

    def stamp(self, moment: float) -> str:
        """A moment by this machine's own clock, as the protocol writes it."""
        shown = datetime.fromtimestamp(moment + self.clock_offset_seconds, UTC)
        return shown.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _note(self, kind: str, runner_id: int | None, **detail: str | int | None) -> None:
        self.journal_seq += 1
        self.journal.append(
            {
                "seq": self.journal_seq,
                "at": self.stamp(self.world.time()),
                "runner_id": runner_id,
                "kind": kind,
                "detail": dict(detail),
            }
        )

    # --- converging -------------------------------------------------------------------------

    def _want(self, wanted: list[JsonObject]) -> None:
        self.wanted_ids = {int(str(entry["runner_id"])) for entry in wanted}
        before = set(self.gone)
        self.gone = {}
        for entry in wanted:
            runner_id = int(str(entry["runner_id"]))
            run = entry["wanted"] == "run"
            slot = self.slots.get(runner_id)
            if slot is None and run:
                slot = Slot.wanted_first(entry, self.boot_id, recorded=not self.disk_full)
                self.slots[runner_id] = slot
            if slot is None:
                self.gone[runner_id] = Slot.wanted_first(
                    entry, self.boot_id, recorded=False, phase="gone"
                ).report(self)
                continue
            slot.take(entry)
        if set(self.gone) != before:
            self._tell()

    def converge_all(self) -> None:
        """Begin whatever each slot needs next."""
        for slot in list(self.slots.values()):
            self._converge(slot)

    def _later(self, slot: Slot, task: str, seconds: float, work: Callable[[], None]) -> None:
        """Do something slow for a slot, unless the agent or the slot are gone by then."""
        slot.task = task
        life = self.life

        def run() -> None:
            alive = self.agent_alive and self.life == life
            if alive and self.slots.get(slot.runner_id) is slot and slot.task == task:
                slot.task = ""
                work()
                if self.slots.get(slot.runner_id) is slot:
                    self._converge(slot)
                self._tell()

        self.world.later(seconds, run)

    def _converge(self, slot: Slot) -> None:
        if slot.task:
            return
        if slot.wanted == "stop":
            if slot.phase != "gone" and (slot.phase != "busy" or slot.force):
                self._begin_stop(slot)
        elif slot.phase == "exited" and slot.persistent and slot.exit_code != 7:
            self._later(slot, "bring-up", self._pause(slot), lambda: self._bring_up(slot))
        elif slot.phase == "gone":
            slot.start_over(self.boot_id)
            self._later(slot, "bring-up", FETCH_SECONDS, lambda: self._bring_up(slot))
        elif slot.coming_up:
            seconds = max(FETCH_SECONDS, self._pause(slot))
            self._later(slot, "bring-up", seconds, lambda: self._bring_up(slot))

    def _pause(self, slot: Slot) -> float:
        return max(PREPARE_SECONDS, slot.retry_at - self.world.time())

    def _wait(self, slot: Slot) -> float:
        slot.retries += 1
        return float(min(RETRY_LAST_SECONDS, RETRY_FIRST_SECONDS * 2 ** min(slot.retries, 6)))

    def _try_again(self, slot: Slot, reason: str, after: float = 0.0) -> None:
        slot.reason = reason
        slot.retry_at = self.world.time() + max(after, self._wait(slot))

    def _bring_up(self, slot: Slot) -> None:
        if slot.wanted != "run":
            return
        if self.disk_full:
            self._try_again(slot, "the package could not be unpacked: no space left on device")
            return
        if slot.package_version == "":
            slot.end("failed", None, "package", "the server named no runner package")
            return
        if slot.persistent and slot.configured:
            self._start(slot, slot.github_id, slot.secret)
            return
        slot.phase = "registering"
        what = "registration" if slot.persistent else "jit-config"
        try:
            status, answer = self._post(f"/api/agent/runners/{slot.runner_id}/{what}", {})
        except Unreachable:
            self._try_again(slot, "the server does not answer")
            return
        if status in (500, 503, 401, 410, 426):
            self._try_again(slot, "not now", float(str(answer.get("retry_after_seconds", 0))))
        elif status != 200:
            slot.end("failed", None, "registration", str(answer.get("errors"))[:200])
        elif slot.persistent:
            self._configure(slot, answer)
        else:
            config = json.loads(base64.b64decode(str(answer["encoded_jit_config"])))
            credentials = json.loads(base64.b64decode(config[".credentials"]))
            secret = credentials["Data"]["clientSecret"]
            self._start(slot, int(str(answer["github_id"])), secret)

    def _configure(self, slot: Slot, answer: JsonObject) -> None:
        labels = answer["labels"]
        body: JsonObject = {
            "url": answer["url"],
            "name": answer["name"],
            "labels": labels,
            "no_default_labels": True,
            "version": slot.package_version,
            "replace": True,
            "ephemeral": False,
        }
        token = f"RemoteAuth {answer['token']}"
        status, made = self.world.github.runner_call(
            "POST", "/actions/runners/register", token, body
        )
        if status != 201:
            slot.end("failed", None, "registration", f"config.sh: {made.get('message')}")
            return
        slot.configured = True
        slot.github_id, slot.secret = int(str(made["runner_id"])), str(made["client_secret"])
        self._start(slot, slot.github_id, slot.secret)

    def _start(self, slot: Slot, github_id: int, secret: str) -> None:
        process = Listener(
            machine=self,
            name=slot.name,
            github_id=github_id,
            secret=secret,
            version=slot.package_version,
            ephemeral=not slot.persistent,
            number=slot.number,
        )
        self.processes.append(process)
        slot.process, slot.phase, slot.reason, slot.exit_code = process, "starting", "", None
        slot.started_at = self.world.time()
        slot.recorded = not self.disk_full
        process.start()

    def _begin_stop(self, slot: Slot) -> None:
        slot.phase = "stopping"
        seconds = FORCE_SECONDS if slot.force else STOP_SECONDS
        self._later(slot, "stop", seconds, lambda: self._stop(slot))

    def _stop(self, slot: Slot) -> None:
        process = slot.process
        if process is not None and process.alive:
            if process.job_id and not slot.force:
                slot.phase = "busy"
                return
            self.world.note_stop(process, slot.runner_id, force=slot.force)
            slot.process = None
            if process.job_id:
                process.kill("forced", SIGKILL)
            else:
                process.stop()
        slot.process, slot.phase, slot.reason, slot.configured = None, "gone", "", False
        self._note("stopped", slot.runner_id)
