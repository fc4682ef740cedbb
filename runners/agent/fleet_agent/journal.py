"""What happened on this host, kept on disk until the server has it.

Bounded: when the server stays away for long, the oldest entries go and one entry says how many.
Numbers are monotonic for the life of the state directory; the server drops what it has seen.
What is read from a slot's files has a key, so that an agent that died before it could note how far
it had read does not write the same down twice.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from .config import write_whole
from .redact import redact
from .wire import JournalEntry, timestamp

log = logging.getLogger(__name__)

MOST_ENTRIES = 2000
DETAIL_CHARACTERS = 300


class Journal:
    """An append-only file of entries, rewritten when a good part of it is acknowledged."""

    def __init__(self, path: Path, most_entries: int = MOST_ENTRIES) -> None:
        self.path = path
        self.most_entries = most_entries
        self.entries: list[JournalEntry] = []
        self.keys: dict[str, int] = {}  # of entries the server does not have yet, with their seq
        self.last_seq = 0
        self.behind = False  # the file lacks entries: the disk was full
        self._load()

    def _load(self) -> None:
        try:
            text = self.path.read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return
        lines = text.splitlines()
        # A line cut off by a crash or a full disk must not swallow the next one.
        self.behind = not text.endswith("\n")
        for line in lines:
            try:
                entry: JournalEntry = json.loads(line)
                self.last_seq = max(self.last_seq, entry["seq"])
            except (ValueError, KeyError, TypeError):
                continue  # cut off by a crash while it was written
            key = entry.pop("key", None)  # type: ignore[typeddict-item]
            if isinstance(key, str):
                self.keys[key] = entry["seq"]
            if "kind" in entry:
                self.entries.append(entry)

    def add(
        self,
        kind: str,
        runner_id: int | None = None,
        *,
        key: str = "",
        **detail: str | int | None,
    ) -> None:
        """Write down that something happened now; text in ``detail`` is redacted and cut.

        With a ``key`` that an entry not yet acknowledged has, nothing is written.
        """
        if key and key in self.keys:
            return
        self.last_seq += 1
        if key:
            self.keys[key] = self.last_seq
        entry: JournalEntry = {
            "seq": self.last_seq,
            "at": timestamp(),
            "runner_id": runner_id,
            "kind": kind,
            "detail": {
                key: redact(value)[:DETAIL_CHARACTERS] if isinstance(value, str) else value
                for key, value in detail.items()
            },
        }
        self.entries.append(entry)
        if len(self.entries) > self.most_entries:
            self._drop_oldest()
        elif self.behind:
            self._rewrite()
        else:
            self._append(entry, key)

    def _append(self, entry: JournalEntry, key: str) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line(entry, key) + "\n")
        except OSError as err:  # disk full: it is still sent from memory
            self.behind = True
            log.warning("the journal could not be written: %s", err.strerror)

    def _drop_oldest(self) -> None:
        dropped = len(self.entries) - self.most_entries // 2
        self.entries = self.entries[dropped:]
        log.warning("the journal is full: the oldest %d entries were dropped", dropped)
        self.add("journal-dropped", count=dropped)
        self._rewrite()

    def acknowledge(self, seq: int) -> None:
        """Forget entries up to ``seq``: the server has them.

        Its count may be ahead of ours where a full disk kept the last number from the file.
        """
        self.last_seq = max(self.last_seq, seq)
        kept = [entry for entry in self.entries if entry["seq"] > seq]
        if len(kept) != len(self.entries):
            self.entries = kept
            self.keys = {key: number for key, number in self.keys.items() if number > seq}
            self._rewrite()

    def _rewrite(self) -> None:
        # The first line keeps the number even when every entry was acknowledged.
        keys = {number: key for key, number in self.keys.items()}
        entries = [line(entry, keys.get(entry["seq"], "")) for entry in self.entries]
        lines = [json.dumps({"seq": self.last_seq}), *entries]
        try:
            write_whole(self.path, "\n".join(lines) + "\n")
            self.behind = False
        except OSError as err:
            self.behind = True
            log.warning("the journal could not be written: %s", err.strerror)


def line(entry: JournalEntry, key: str) -> str:
    """Return an entry as the file has it: with its key, which the server need not know."""
    return json.dumps({**entry, "key": key} if key else entry)
