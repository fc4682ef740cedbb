"""How far GitHub is from this host: the time to connect, agree on TLS and get the first byte.

Taken anew for each sample, as a runner that connects would; told as percentiles of the last ones,
since one slow packet is no slow line.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypedDict

import requests

from .verdict import Verdict

SAMPLES = 20
TIMEOUT_SECONDS = 5.0
GOOD_MS = 100.0
POOR_MS = 1000.0
CUT_AFTER = 3  # failures in a row


class GitHubLatency(TypedDict):
    """The last samples in milliseconds; ``p95_ms`` is null while GitHub can not be reached."""

    median_ms: float | None
    p95_ms: float | None
    failed_percent: float
    samples: int
    verdict: str


class LatencyWatch:
    """The last samples of one address; safe to read from any thread."""

    def __init__(self, measure: Callable[[str], float | None]) -> None:
        self.measure = measure
        self.lock = threading.Lock()
        self.url = ""
        self.samples: deque[float | None] = deque(maxlen=SAMPLES)

    def watch(self, url: str) -> None:
        """Measure this address from now on."""
        with self.lock:
            if url != self.url:
                self.url = url
                self.samples.clear()

    def sample(self) -> None:
        """Take one sample, where there is an address."""
        url = self.url
        if not url:
            return
        taken = self.measure(url)
        with self.lock:
            if url == self.url:
                self.samples.append(taken)

    def told(self) -> GitHubLatency | None:
        """Return what the last samples say, None before there are any."""
        with self.lock:
            taken = list(self.samples)
        return summarise(taken) if taken else None


def first_byte_ms(url: str, verify: bool | str = True) -> float | None:
    """Return the milliseconds until an answer of any kind begins, None without one."""
    began = time.monotonic()
    try:
        with requests.head(url, timeout=TIMEOUT_SECONDS, allow_redirects=False, verify=verify):
            return round((time.monotonic() - began) * 1000, 1)
    except requests.RequestException:
        return None


def summarise(samples: Sequence[float | None]) -> GitHubLatency:
    """Return the percentiles of samples, the oldest first; None is one that failed."""
    good = sorted(sample for sample in samples if sample is not None)
    failed = len(samples) - len(good)
    cut = list(samples[-CUT_AFTER:]) == [None] * CUT_AFTER or not good
    p95 = None if cut else percentile(good, 95)
    return {
        "median_ms": percentile(good, 50),
        "p95_ms": p95,
        "failed_percent": round(failed * 100 / len(samples), 1),
        "samples": len(samples),
        "verdict": latency_verdict(p95).value,
    }


def latency_verdict(p95_ms: float | None) -> Verdict:
    """Return good under 100 ms, fair above, poor when cut off or beyond a second."""
    if p95_ms is None or p95_ms >= POOR_MS:
        return Verdict.POOR
    return Verdict.GOOD if p95_ms < GOOD_MS else Verdict.FAIR


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that so many percent do not exceed."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
