"""The verdict on auto-scaling: pure, from evidence that was looked at from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

IDLE_TIMEOUT_SECONDS = 300
BURST_JOBS = 10
BURST_SECONDS = 60
START_SECONDS = 120
LOOK_SECONDS = 2
"""How far a look from outside may be off."""
LEAVE_SECONDS = 60
"""What a runner gets to be gone from GitHub once its idle timeout is over: the next look at the
pools, the next pass over the scope, and the deletion itself."""


@dataclass(frozen=True)
class JobSeen:
    """One job as GitHub told it; moments in Unix seconds, None: not yet."""

    name: str
    queued_at: float
    completed_at: float | None
    conclusion: str
    runner: str


@dataclass(frozen=True)
class IdleSeen:
    """One runner that was left idle: since when, and when GitHub had it no longer."""

    name: str
    idle_at: float
    gone_at: float | None


@dataclass(frozen=True)
class Evidence:
    """Everything the verdict rests on.

    `burst_runners`: runners registered from the first dispatch until all were done. `hosts_left`:
    processes, credential files, work folders and slots still held after the last one left.
    """

    preset: str
    idle_timeout_seconds: int
    timeout_is_the_presets: bool
    set_up_actions: Sequence[str]
    burst: Sequence[JobSeen]
    burst_runners: int
    warm_spares: int
    idle: Sequence[IdleSeen]
    hosts_left: Sequence[str]
    runners_before: int
    fresh: JobSeen
    fresh_online_at: float | None
    operator_actions: Sequence[str]


@dataclass(frozen=True)
class Criterion:
    """One thing to show, whether it was, and the figures that say so."""

    name: str
    met: bool
    words: str


@dataclass(frozen=True)
class Verdict:
    """All criteria; it holds when every one is met."""

    criteria: tuple[Criterion, ...]

    @property
    def holds(self) -> bool:
        return all(each.met for each in self.criteria)


def judge(seen: Evidence) -> Verdict:
    """Say of each criterion whether the evidence meets it."""
    return Verdict((_mode(seen), _burst(seen), _leaving(seen), _fresh(seen), _hands_off(seen)))


def _mode(seen: Evidence) -> Criterion:
    met = (
        seen.timeout_is_the_presets
        and seen.idle_timeout_seconds == IDLE_TIMEOUT_SECONDS
        and len(seen.set_up_actions) == 1
    )
    own = "the preset's own" if seen.timeout_is_the_presets else "set by hand"
    return Criterion(
        "Auto mode with an idle timeout of five minutes, by one action",
        met,
        f"preset {seen.preset}, idle timeout {seen.idle_timeout_seconds} s ({own}), "
        f"{len(seen.set_up_actions)} action",
    )


def _burst(seen: Evidence) -> Criterion:
    good = [each for each in seen.burst if each.conclusion == "success"]
    queued = [each.queued_at for each in seen.burst]
    span = max(queued) - min(queued) if queued else 0.0
    most = len(seen.burst) + seen.warm_spares
    met = (
        len(good) == len(seen.burst) >= BURST_JOBS
        and span <= BURST_SECONDS
        and seen.burst_runners <= most
    )
    return Criterion(
        "Ten dispatches within a minute all finish, and start no runner in vain",
        met,
        f"{len(good)} of {len(seen.burst)} succeeded, dispatched within {span:.0f} s, "
        f"{seen.burst_runners} runners (at most {most}: one a job and {seen.warm_spares} spares)",
    )


def _leaving(seen: Evidence) -> Criterion:
    ends = [each.completed_at for each in seen.burst]
    quiet_at = max((at for at in ends if at is not None), default=0.0)
    timeout = seen.idle_timeout_seconds
    waits, met = [], bool(seen.idle) and not seen.hosts_left
    for each in seen.idle:
        if each.gone_at is None:
            met = False
            continue
        waits.append(each.gone_at - each.idle_at)
        # A spare is kept for as long as the pool works
        latest = max(each.idle_at + timeout, quiet_at) + LEAVE_SECONDS
        met &= each.idle_at + timeout - LOOK_SECONDS <= each.gone_at <= latest
    after = ", ".join(f"{wait:.0f} s" for wait in waits)
    left = "; ".join(seen.hosts_left) or "nothing"
    return Criterion(
        "Idle runners leave after the timeout: GitHub, processes and slots",
        met,
        f"{len(waits)} of {len(seen.idle)} idle runners left GitHub, after {after or 'no time'}; "
        f"left on the hosts: {left}",
    )


def _fresh(seen: Evidence) -> Criterion:
    online = seen.fresh_online_at
    wait = online - seen.fresh.queued_at if online is not None else None
    met = (
        seen.runners_before == 0
        and wait is not None
        and wait <= START_SECONDS
        and seen.fresh.conclusion == "success"
    )
    return Criterion(
        "A job that comes upon no runner gets one and is done",
        met,
        f"{seen.runners_before} runners before; online after "
        f"{f'{wait:.1f} s' if wait is not None else 'no time'} (at most {START_SECONDS}); "
        f"job: {seen.fresh.conclusion or 'not done'}",
    )


def _hands_off(seen: Evidence) -> Criterion:
    return Criterion(
        "Nobody did anything by hand",
        not seen.operator_actions,
        f"{len(seen.operator_actions)} operator actions"
        + (f": {', '.join(seen.operator_actions)}" if seen.operator_actions else ""),
    )


def as_json(verdict: Verdict, seen: Evidence, *, began: float, ended: float) -> dict[str, object]:
    """The verdict's file."""
    return {
        "holds": verdict.holds,
        "began_at": _moment(began),
        "seconds": round(ended - began, 1),
        "criteria": [asdict(each) for each in verdict.criteria],
        "evidence": asdict(seen),
    }


def as_text(verdict: Verdict, seen: Evidence, *, began: float, ended: float) -> str:
    """The same for people."""
    lines = [
        "# Validation of auto-scaling",
        "",
        f"Began {_moment(began)}, took {ended - began:.0f} s. "
        f"Verdict: **{'holds' if verdict.holds else 'does not hold'}**.",
        "",
        "| criterion | met | evidence |",
        "|---|---|---|",
        *(
            f"| {each.name} | {'yes' if each.met else 'NO'} | {each.words} |"
            for each in verdict.criteria
        ),
        "",
        "| job | queued | done after | conclusion | runner |",
        "|---|---|---|---|---|",
        *(_job_row(job) for job in (*seen.burst, seen.fresh)),
        "",
        "| idle runner | since | gone from GitHub |",
        "|---|---|---|",
        *(
            f"| {each.name} | {_moment(each.idle_at)} | "
            f"{_moment(each.gone_at) if each.gone_at else 'no'} |"
            for each in seen.idle
        ),
    ]
    return "\n".join(lines) + "\n"


def _job_row(job: JobSeen) -> str:
    done = f"{job.completed_at - job.queued_at:.0f} s" if job.completed_at else "no"
    return f"| {job.name} | {_moment(job.queued_at)} | {done} | {job.conclusion} | {job.runner} |"


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
