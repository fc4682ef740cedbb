"""A fleet that beats at its own pace: how late each heartbeat is answered, counted from when it was
due, so that one that had to wait for another counts with its wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

Beat = tuple[str, str, str]


def lateness(
    beats: Sequence[Beat],
    senders: Sequence[Callable[[Beat], int]],
    *,
    period: float,
    periods: int,
) -> list[float]:
    """Seconds from due to answered of each heartbeat, every agent's `periods` times.

    Agents are spread over the period. Each sender is used by one thread. Raises RuntimeError when
    one is answered with anything but 200.
    """
    start = time.monotonic() + 0.1
    due = iter(_due(beats, start, period, periods))
    taking = threading.Lock()
    late: list[float] = []
    refused: list[int] = []

    def work(send: Callable[[Beat], int]) -> None:
        while True:
            with taking:
                following = next(due, None)
            if following is None:
                return
            at, beat = following
            time.sleep(max(0.0, at - time.monotonic()))
            status = send(beat)
            late.append(time.monotonic() - at)
            if status != 200:
                refused.append(status)

    threads = [threading.Thread(target=work, args=(send,)) for send in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if refused or len(late) != len(beats) * periods:
        raise RuntimeError(
            f"{len(late)} heartbeats answered, {len(refused)} refused: {refused[:1]}"
        )
    return late


def _due(
    beats: Sequence[Beat], start: float, period: float, periods: int
) -> Iterator[tuple[float, Beat]]:
    for turn in range(periods):
        for place, beat in enumerate(beats):
            yield start + period * (turn + place / len(beats)), beat
