"""Read what a keeper wrote: the runner's console by ever-growing offset, and its notable lines.

It only reads; files may be rotated away at any moment, and then the reader goes on with the
oldest that is left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .keeper import offset_in_name

READ_BYTES = 256 * 1024

VERSION = re.compile(r"Current runner version: '([0-9A-Za-z.+-]{1,40})'")
STARTED = re.compile(r"Running job: (.{1,200})$")
COMPLETED = re.compile(r"Job (.{1,200}) completed with result: (\w{1,40})")


@dataclass(frozen=True)
class Piece:
    """Bytes read, where the next read starts, and how many were already rotated away."""

    data: bytes
    next_offset: int
    lost: int


def read_from(directory: Path, prefix: str, offset: int, most: int = READ_BYTES) -> Piece:
    """Return up to ``most`` bytes of a rotated file from ``offset`` on."""
    try:
        names = sorted(p.name for p in directory.iterdir() if p.name.startswith(prefix))
    except FileNotFoundError:
        return Piece(b"", offset, 0)
    starts = [offset_in_name(name) for name in names]
    if not names:
        return Piece(b"", offset, 0)
    lost = max(0, starts[0] - offset)
    offset += lost
    data = b""
    for name, start in zip(names, starts, strict=True):
        try:
            with (directory / name).open("rb") as file:
                file.seek(max(0, offset + len(data) - start))
                if offset + len(data) >= start:
                    data += file.read(most - len(data))
        except FileNotFoundError:
            continue  # rotated away since it was listed
        if len(data) >= most:
            break
    return Piece(data, offset + len(data), lost)


def end_offset(directory: Path, prefix: str) -> int:
    """Return how many bytes were ever written."""
    try:
        files = sorted(p for p in directory.iterdir() if p.name.startswith(prefix))
        return offset_in_name(files[-1].name) + files[-1].stat().st_size if files else 0
    except FileNotFoundError:
        return 0


@dataclass(frozen=True)
class ConsoleEvent:
    """One notable console line: where it stands among them, when it was read, its text."""

    offset: int
    at: str
    text: str


def read_events(directory: Path, offset: int) -> tuple[list[ConsoleEvent], int]:
    """Return the whole notable lines after ``offset`` and the offset after them."""
    piece = read_from(directory, "events-", offset)
    whole, newline, _ = piece.data.rpartition(b"\n")
    events = []
    start = at_byte = piece.next_offset - len(piece.data)
    for line in whole.split(b"\n"):
        at, tab, text = line.decode("utf-8", errors="replace").partition("\t")
        if tab:
            events.append(ConsoleEvent(at_byte, at, text))
        at_byte += len(line) + 1
    return events, start + len(whole) + len(newline)
