"""Whether a matching job would start in time at a pool right now, and if not, why. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import TextChoices


class OutageCause(TextChoices):
    """Why a job would not have started; the words of a cause are beside it."""

    POLICY = "policy", "Policy"
    GITHUB = "github", "GitHub"
    HOST_LOST = "host-lost", "Host lost"
    DRAIN = "drain", "Drain or cordon"
    STARTS_FAIL = "starts-fail", "Starts fail or take too long"
    NO_CAPACITY = "no-capacity", "No capacity"
    UNWATCHED = "unwatched", "Fleetui was not watching"


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What decides it. Hosts are those that could serve the pool; words are "" when not so.

    `startup_seconds` is the p95 of its last starts, None without any.
    """

    ready: int
    live: int
    max_runners: int
    free_slots: int
    hosts_lost: int
    hosts_cordoned: int
    policy: str = ""
    github: str = ""
    failing: str = ""
    startup_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class NotReady:
    """Why a job would not start in time, as a sentence."""

    cause: OutageCause
    words: str


def judge(facts: PoolFacts, *, startup_target_seconds: float) -> NotReady | None:
    """None when a matching job would start within the start-up target.

    A runner that idles, or is starting for nobody yet, takes the job whatever else holds. No
    runner at all is no outage as long as one would be started in time.
    """
    if facts.ready:
        return None
    for cause, words in (
        (OutageCause.POLICY, facts.policy),
        (OutageCause.GITHUB, facts.github),
        (OutageCause.STARTS_FAIL, facts.failing),
    ):
        if words:
            return NotReady(cause, words)
    if facts.live >= facts.max_runners:
        return NotReady(
            OutageCause.NO_CAPACITY, f"All {facts.live} of {facts.max_runners} runners are taken."
        )
    if not facts.free_slots:
        return _no_slot(facts)
    took = facts.startup_seconds
    if took is not None and took > startup_target_seconds:
        return NotReady(
            OutageCause.STARTS_FAIL,
            f"Its last starts took {took:.0f} s, more than {startup_target_seconds:.0f} s.",
        )
    return None


def _no_slot(facts: PoolFacts) -> NotReady:
    if facts.hosts_lost:
        noun = "host is" if facts.hosts_lost == 1 else "hosts are"
        return NotReady(
            OutageCause.HOST_LOST, f"No slot is free; {facts.hosts_lost} matching {noun} silent."
        )
    if facts.hosts_cordoned:
        noun = "host is" if facts.hosts_cordoned == 1 else "hosts are"
        return NotReady(
            OutageCause.DRAIN, f"No slot is free; {facts.hosts_cordoned} matching {noun} cordoned."
        )
    return NotReady(OutageCause.NO_CAPACITY, "No matching host has a free slot.")
