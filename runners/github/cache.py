"""The conditional-request cache: what GitHub said last, kept to be confirmed by a 304.

A 304 costs nothing of the hourly budget. Entries are kept by credential, Accept and address,
bounded in number and bytes, least recently used out first. Safe to share among threads and clients.
Values are frozen, parsed answers; nothing secret belongs in here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

DEFAULT_MAX_ENTRIES = 4096
DEFAULT_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What an answer depends on. `reader` names the parser, so that values never mix types."""

    credential: str
    accept: str
    url: str
    reader: object


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """One confirmed answer. `next_url` is the page after it, "" at the end."""

    etag: str
    value: object
    next_url: str
    size_bytes: int


class ConditionalCache:
    """A bounded map from what was asked to what was answered."""

    def __init__(
        self, max_entries: int = DEFAULT_MAX_ENTRIES, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[CacheKey, CachedAnswer] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: CacheKey) -> CachedAnswer | None:
        """The entry, now the most recently used."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def put(self, key: CacheKey, entry: CachedAnswer) -> None:
        """Keep an entry, dropping the oldest ones when over the bounds."""
        with self._lock:
            self._drop(key)
            self._entries[key] = entry
            self._bytes += entry.size_bytes
            while self._entries and (
                len(self._entries) > self._max_entries or self._bytes > self._max_bytes
            ):
                self._drop(next(iter(self._entries)))

    def _drop(self, key: CacheKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size_bytes
