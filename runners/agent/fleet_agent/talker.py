"""One heartbeat, whole: facts when they are due, a sample, the slots, the journal, the logs.

It runs in a thread of its own, so that a slow server holds up nothing on the host, and it owns
the server connection. It knows nothing of how slots are run.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import PROTOCOL, __version__
from .errors import AgentError
from .facts import Facts, same_facts
from .metrics import take_sample
from .server import Refused, Server
from .wire import (
    Ending,
    HeartbeatAnswer,
    JournalEntry,
    JsonObject,
    Leftover,
    SampleExtras,
    SlotReport,
    timestamp,
)

log = logging.getLogger(__name__)

BODY_BYTES = 15 * 1024  # the server refuses more than 16 KB
FACTS_SECONDS = 30.0
SKEW_MOVED_SECONDS = 5.0
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
    endings: dict[int, Ending]  # by runner id, not told yet
    leftovers: list[Leftover] | None  # None when the server knows them


@dataclass(frozen=True)
class Heard:
    """The answer to one report; ``more_left`` when not everything fitted."""

    answer: HeartbeatAnswer
    told: dict[int, str]  # phase by runner id, as this report told it
    logs: list[LogSent]
    endings: dict[int, Ending]
    leftovers: list[Leftover] | None
    more_left: bool


@dataclass
class Body:
    """A heartbeat being put together, never larger than the server takes."""

    fields: JsonObject
    endings: dict[int, Ending] = field(default_factory=dict)
    more_left: bool = False

    def __post_init__(self) -> None:
        self.size = len(json.dumps(self.fields))

    def room_for(self, value: object) -> bool:
        """Return whether this still fits, and take its room if so."""
        size = len(json.dumps(value)) + 2
        if self.size + size > BODY_BYTES:
            return False
        self.size += size
        return True


class Talker:
    """Turns reports into heartbeats."""

    def __init__(
        self,
        server: Server,
        boot_id: str,
        disk_path: Path,
        collect: Callable[[], Facts],
        keep_token: Callable[[str], None],
        measured: Callable[[], SampleExtras] = SampleExtras,
        github_at: Callable[[str], None] = lambda url: None,
    ) -> None:
        self.server = server
        self.keep_token = keep_token
        self.boot_id = boot_id
        self.disk_path = disk_path
        self.collect = collect
        self.measured = measured
        self.github_at = github_at
        self.facts = collect()
        self.facts_read_at = time.monotonic()
        self.facts_due = True
        self.facts_skew = self.told_skew = server.clock_skew_seconds

    def talk(self, report: Report) -> Heard:
        """Send one heartbeat and the logs; raises what ``Server`` raises for the heartbeat."""
        self._refresh_facts()
        body = self._body(report)
        with_facts = "facts" in body.fields
        answer = self.server.heartbeat(body.fields)
        if with_facts:
            self.facts_due = False
            self.told_skew = self.facts_skew
        if answer.want_facts or self._clock_moved():
            self.facts_due = True
        if answer.token is not None:
            self._change_token(answer.token)
        if answer.github_url:
            self.github_at(answer.github_url)
        told = {slot["runner_id"]: slot["phase"] for slot in report.slots}
        return Heard(
            answer,
            told,
            self._send_logs(report.logs),
            body.endings,
            report.leftovers,
            body.more_left,
        )

    def _clock_moved(self) -> bool:
        """Return whether this host's clock is elsewhere than the server was told: an answer is
        what it is measured by, so the first facts of an agent can't have it."""
        skew = self.server.clock_skew_seconds
        if skew is None:
            return False
        return self.told_skew is None or abs(skew - self.told_skew) >= SKEW_MOVED_SECONDS

    def _change_token(self, token: str) -> None:
        # Stored before it is used: once it was, the server no longer takes the old one.
        try:
            self.keep_token(token)
        except OSError as err:
            log.warning("the new token cannot be stored, the old one stays: %s", err.strerror)
        else:
            self.server.token = token
            log.info("the server gave this agent a new token")

    def _refresh_facts(self) -> None:
        if not self.facts_due and time.monotonic() - self.facts_read_at < FACTS_SECONDS:
            return
        facts, self.facts_skew = self.collect(), self.server.clock_skew_seconds
        if not same_facts(facts, self.facts):
            self.facts_due = True
        self.facts, self.facts_read_at = facts, time.monotonic()

    def _body(self, report: Report) -> Body:
        slots: list[SlotReport] = [slot.copy() for slot in report.slots]
        fields: JsonObject = {
            "protocol": PROTOCOL,
            "agent_version": __version__,
            "boot_id": self.boot_id,
            "at": timestamp(),
            "wanted_version": report.wanted_version,
            "sample": take_sample(self.disk_path, self.measured()),
            "slots": slots,
        }
        if self.facts_due:
            fields["facts"] = self.facts
        body = Body(fields)
        if report.leftovers is not None:
            fields["leftovers"] = [one for one in report.leftovers if body.room_for(one)]
        # The words of an end go before the journal's entry of it, so that both tell the same.
        for slot in slots:
            ending = report.endings.get(slot["runner_id"])
            if ending is None:
                continue
            if body.room_for(ending):
                slot["log_tail"] = ending["log_tail"]
                slot["facts_at_end"] = ending["facts_at_end"]
                body.endings[slot["runner_id"]] = ending
            else:
                body.more_left = True
        journal: list[JournalEntry] = []
        for entry in report.journal:
            if not body.room_for(entry):
                body.more_left = True
                break
            journal.append(entry)
        fields["journal"] = journal
        return body

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
