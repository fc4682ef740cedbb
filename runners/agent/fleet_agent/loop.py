"""The agent's loop: one thread that owns all state and sleeps until something happens.

It wakes for three things: a poke through the wake fifo (a keeper saw output or an end, a thread
finished, a signal came), the next heartbeat's time, and, only while something is starting, busy
or stopping, a short poll. Everything slow runs in threads that report back. The answer to a
heartbeat is the whole wanted set: hearing it twice does nothing.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import random
import select
import threading
import time

from . import __version__, console
from .backoff import Backoff
from .config import Config, StateDir, open_wake_fifo
from .crew import Crew
from .errors import AgentError
from .journal import Journal
from .redact import redact
from .server import ProtocolTooOld, Retired, Server, ServerUnavailable, Unauthorised
from .slots import ENDED, Slot
from .status import write_status
from .talker import Heard, LogPiece, Report, Talker
from .wire import timestamp
from .work import Workshop

log = logging.getLogger(__name__)

SHORTEST_SECONDS = 0.25  # between two heartbeats, however much happens
LONGEST_SECONDS = 300.0
REFUSED_SECONDS = 300.0
PARTING_SECONDS = 8.0
LOG_KEPT_BYTES = 64 * 1024  # what the server keeps: older text is not worth sending
LOG_PIECE_BYTES = 12 * 1024
LOG_PIECES = 2  # of a running runner, a heartbeat


class Agent:
    """One host's agent, from start to end."""

    def __init__(
        self,
        state_dir: StateDir,
        config: Config,
        server: Server,
        shop: Workshop,
        talker: Talker,
        *,
        stop_runners: bool = False,
    ) -> None:
        self.state_dir = state_dir
        self.config = config
        self.server = server
        self.talker = talker
        self.stopping = shop.stopping
        self.stop_runners = stop_runners
        self.wake = open_wake_fifo(state_dir)
        self.journal = Journal(state_dir.journal_file)
        self.crew = Crew(state_dir, shop, self.journal, talker.boot_id, self.poke)
        self.answers: queue.SimpleQueue[Heard | Exception] = queue.SimpleQueue()
        self.talking = False
        self.wanted_version: int | None = None
        self.next_heartbeat = 0.0
        self.last_heartbeat = -SHORTEST_SECONDS
        self.last_heartbeat_at: str | None = None
        self.failures = Backoff()
        self.state = "starting"
        self.last_error = ""

    # --- life -------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until told to stop or retired; returns the exit status."""
        self.crew.adopt()
        self.journal.add("agent-started", agent_version=__version__)
        log.info("agent %s works for %s as %s", __version__, self.server.url, self.config.host_name)
        while not self.stopping.is_set():
            self.turn()
            if self.state == "retired" and not self.crew.slots:
                log.info("this host was retired and nothing is left to do")
                self.tell_status()
                return 0
            self.sleep()
        self.part()
        return 0

    def turn(self) -> None:
        """Take in what happened, converge, talk if it is time."""
        self.take_answer()
        if self.state == "retired":
            self.crew.retire()
        self.crew.turn(time.monotonic())
        if self.state == "connected":
            self.look_for_leftovers()
        if not self.talking and time.monotonic() >= self.heartbeat_due():
            self.talk()

    def look_for_leftovers(self) -> None:
        """Look now and then for what belongs to no slot; news of it is told at once."""
        leftovers = self.crew.leftovers
        was_due = leftovers.due
        leftovers.turn(time.monotonic(), self.crew.slots.values())
        self.crew.dirty = self.crew.dirty or (leftovers.due and not was_due)

    def sleep(self) -> None:
        """Wait for a poke, at most until something is due."""
        now = time.monotonic()
        due = self.crew.next_due(now)
        timeout = LONGEST_SECONDS if due is None else due - now
        if not self.talking:
            timeout = min(timeout, self.heartbeat_due() - now)
        self.wait(timeout)

    def wait(self, seconds: float) -> None:
        """Sleep until poked or the time is over."""
        select.select([self.wake], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            os.read(self.wake, 4096)

    def poke(self) -> None:
        """Wake the loop, from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.wake, b".")

    def part(self) -> None:
        """Report a last time before the agent ends; its runners go on unless asked otherwise."""
        deadline = time.monotonic() + PARTING_SECONDS
        self.journal.add("agent-stopping")
        if self.stop_runners:
            self.crew.stop_idle()
        while time.monotonic() < deadline and (self.talking or self.crew.stopping()):
            self.wait(0.2)
            self.take_answer()
            self.crew.take_results(time.monotonic())
        if self.failures.failures == 0 and not self.talking:
            self.server.read_seconds = max(1.0, deadline - time.monotonic())
            self.talk()
            while self.talking and time.monotonic() < deadline:
                self.wait(0.2)
                self.take_answer()
        self.state = "stopped"
        self.tell_status()
        log.info("agent ends; %d runners go on", self.crew.running())

    # --- heartbeats -------------------------------------------------------------------------

    def heartbeat_due(self) -> float:
        """Return when to talk next: at once after a change, unless the server is away."""
        if self.crew.dirty and self.failures.failures == 0:
            return min(self.next_heartbeat, self.last_heartbeat + SHORTEST_SECONDS)
        return self.next_heartbeat

    def talk(self) -> None:
        """Send what there is to tell, in a thread."""
        self.crew.dirty = False
        self.talking = True
        self.last_heartbeat = time.monotonic()
        logs = [piece for slot in self.crew.slots.values() for piece in log_pieces(slot)]
        report = Report(
            self.wanted_version,
            self.crew.reports(),
            list(self.journal.entries),
            logs,
            self.crew.endings(),
            self.crew.leftovers.to_tell(),
        )

        def run() -> None:
            try:
                self.answers.put(self.talker.talk(report))
            except Exception as err:  # noqa: BLE001  (the loop tells expected ones from bugs)
                self.answers.put(err)
            self.poke()

        threading.Thread(target=run, name="heartbeat", daemon=True).start()

    def take_answer(self) -> None:
        """Apply the answer to the heartbeat under way, if it is there."""
        try:
            answer = self.answers.get_nowait()
        except queue.Empty:
            return
        self.talking = False
        if isinstance(answer, Heard):
            self.heard(answer)
        else:
            self.not_heard(answer)
        self.tell_status()

    def heard(self, heard: Heard) -> None:
        """Take in the server's answer."""
        answer = heard.answer
        if self.state != "connected":
            log.info("connected to %s", self.server.url)
        self.state, self.last_error, self.last_heartbeat_at = "connected", "", timestamp()
        self.failures.reset()
        if answer.journal_seq is not None:
            self.journal.acknowledge(answer.journal_seq)
        self.note_logs(heard)
        if answer.wanted is not None:
            self.crew.want(answer.wanted)
        self.crew.forget(heard.told)
        self.crew.endings_told(heard.endings)
        self.crew.leftovers.told(heard.leftovers)
        self.crew.leftovers.ask(answer.clean)
        self.wanted_version = answer.version
        seconds = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, answer.next_seconds))
        if heard.more_left or answer.want_facts:
            seconds = SHORTEST_SECONDS
        # A tenth either way, so that hosts that came up together do not stay in step.
        self.next_heartbeat = time.monotonic() + seconds * random.uniform(0.9, 1.0)  # noqa: S311

    def not_heard(self, error: Exception) -> None:
        """Take in that there was no answer: runners go on, the agent tries again later."""
        if not isinstance(error, AgentError):
            log.error("the heartbeat broke", exc_info=error)
        self.last_error = redact(str(error)) or type(error).__name__
        before = self.state
        wait = self.failures.next_seconds()
        if isinstance(error, Unauthorised):
            self.state = "unauthorised"
            wait = min(REFUSED_SECONDS, wait * 5)
        elif isinstance(error, Retired):
            self.state = "retired"
        elif isinstance(error, ProtocolTooOld):
            self.state = "too old"
            wait = REFUSED_SECONDS
        elif self.state != "retired":
            self.state = "retrying"
        if isinstance(error, ServerUnavailable) and error.retry_after_seconds is not None:
            wait = max(wait, min(LONGEST_SECONDS, error.retry_after_seconds))
        if self.state != before:
            log.warning("%s; runners go on, next try in %.0f s", self.last_error, wait)
        self.next_heartbeat = time.monotonic() + wait

    def note_logs(self, heard: Heard) -> None:
        """Remember how far each console was sent."""
        for sent in heard.logs:
            slot = self.crew.slots.get(sent.piece.runner_id)
            if slot is None:
                continue
            if sent.next_offset is None:
                slot.log_refused = True
            else:
                slot.log_offset, slot.log_next = sent.piece.next_byte, sent.next_offset
                slot.save()

    def tell_status(self) -> None:
        """Write the status file."""
        write_status(
            self.state_dir,
            {
                "state": self.state,
                "agent_version": __version__,
                "server_url": self.server.url,
                "host_name": self.config.host_name,
                "pid": os.getpid(),
                "at": timestamp(),
                "last_heartbeat_at": self.last_heartbeat_at,
                "last_error": self.last_error,
                "slots": [slot.report() for slot in self.crew.slots.values()],
            },
        )


def log_pieces(slot: Slot) -> list[LogPiece]:
    """Return the console text of a slot that is to be sent now, cut between lines."""
    if slot.log_refused:
        return []
    directory = slot.directory.console
    end = console.end_offset(directory, "console-")
    at = max(slot.log_offset, end - LOG_KEPT_BYTES)
    ended = slot.phase in ENDED
    pieces: list[LogPiece] = []
    while at < end and (ended or len(pieces) < LOG_PIECES):
        piece = console.read_from(directory, "console-", at, LOG_PIECE_BYTES)
        data = piece.data
        start = piece.next_offset - len(data)
        # A secret must not be cut in two, where neither half looks like one.
        cut = data.rfind(b"\n") + 1
        if cut == 0 and len(data) < LOG_PIECE_BYTES and not ended:
            break
        data = data[: cut or len(data)]
        at = start + len(data)
        if not data:
            break
        text = redact(data.decode("utf-8", errors="replace"))
        pieces.append(LogPiece(slot.runner_id, slot.log_next, text, at))
    return pieces
