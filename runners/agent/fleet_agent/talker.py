"""One heartbeat, whole: facts when they are due, a sample, the slots, the journal, the logs.

It runs in a thread of its own, so that a slow server holds up nothing on the host, and it owns
the server connection. It knows nothing of how slots are run.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import PROTOCOL, __version__
from .errors import AgentError
from .facts import Facts, same_facts
from .metrics import take_sample
from .server import Refused, Server
from .wire import HeartbeatAnswer, JournalEntry, JsonObject, SlotReport, timestamp

log = logging.getLogger(__name__)

BODY_BYTES = 15 * 1024  # the server refuses more than 16 KB
FACTS_SECONDS = 600.0
LOG_PIECE_CHARACTERS = 12 * 1024


@dataclass(frozen=True)
class LogPiece:
    """Console text of one runner, redacted.

    ``offset`` is where the server wants it, in its own counting; of several pieces of one runner
    only the first one's counts, the server's answers give the rest.
    """

    runner_id: int
    offset: int
    text: str
    next_byte: int  # where in the console file the next piece starts


@dataclass(frozen=True)
class LogSent:
    """What became of a piece: the server's next offset, or None when it wants no more."""

    piece: LogPiece
    next_offset: int | None


@dataclass(frozen=True)
class Report:
    """What the loop has to tell at one moment."""

    wanted_version: int | None
    slots: list[SlotReport]
    journal: list[JournalEntry]
    logs: list[LogPiece]


@dataclass(frozen=True)
class Heard:
    """The answer to one report; ``journal_left`` when not every entry fitted."""

    answer: HeartbeatAnswer
    told: dict[int, str]  # phase by runner id, as this report told it
    logs: list[LogSent]
    journal_left: bool


class Talker:
    """Turns reports into heartbeats."""

    def __init__(
        self, server: Server, boot_id: str, disk_path: Path, collect: Callable[[], Facts]
    ) -> None:
        self.server = server
        self.boot_id = boot_id
        self.disk_path = disk_path
        self.collect = collect
        self.facts = collect()
        self.facts_read_at = time.monotonic()
        self.facts_due = True

    def talk(self, report: Report) -> Heard:
        """Send one heartbeat and the logs; raises what ``Server`` raises for the heartbeat."""
        self._refresh_facts()
        body, journal_left = self._body(report)
        with_facts = "facts" in body
        answer = self.server.heartbeat(body)
        if with_facts:
            self.facts_due = False
        if answer.want_facts:
            self.facts_due = True
        if answer.token is not None:
            self.server.token = answer.token
        told = {slot["runner_id"]: slot["phase"] for slot in report.slots}
        return Heard(answer, told, self._send_logs(report.logs), journal_left)

    def _refresh_facts(self) -> None:
        if not self.facts_due and time.monotonic() - self.facts_read_at < FACTS_SECONDS:
            return
        facts = self.collect()
        if not same_facts(facts, self.facts):
            self.facts_due = True
        self.facts, self.facts_read_at = facts, time.monotonic()

    def _body(self, report: Report) -> tuple[JsonObject, bool]:
        body: JsonObject = {
            "protocol": PROTOCOL,
            "agent_version": __version__,
            "boot_id": self.boot_id,
            "at": timestamp(),
            "wanted_version": report.wanted_version,
            "sample": take_sample(self.disk_path),
            "slots": report.slots,
        }
        if self.facts_due:
            body["facts"] = self.facts
        size = len(json.dumps(body))
        journal: list[JournalEntry] = []
        for entry in report.journal:
            size += len(json.dumps(entry)) + 2
            if size > BODY_BYTES:
                break
            journal.append(entry)
        body["journal"] = journal
        return body, len(journal) < len(report.journal)

    def _send_logs(self, pieces: list[LogPiece]) -> list[LogSent]:
        sent: list[LogSent] = []
        offsets: dict[int, int | None] = {}
        for piece in pieces:
            offset = offsets.get(piece.runner_id, piece.offset)
            if offset is None:
                continue
            try:
                held = self.server.send_log(piece.runner_id, offset, piece.text)
                # Less than we count: characters the server left out. More: it has heard this
                # before (the answer was lost), and by our own count it knows what is new.
                offset = min(held, offset + len(piece.text))
            except Refused:
                offset = None
            except AgentError as err:
                log.info("console of runner %d not sent: %s", piece.runner_id, err)
                break
            offsets[piece.runner_id] = offset
            sent.append(LogSent(piece, offset))
        return sent
