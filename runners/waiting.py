"""Why a job waits, in one sentence and one fix: the plan's verdict in words. Pure; no tables.

The verdict is the one that the live loop acts on; nothing here decides again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from runners.scaling import Blocked, Code, Facts, Held, Verdict

# GitHub offers a job to a runner within seconds and takes it back after 60.
ASSIGNED_WITHIN: Final = timedelta(seconds=60)
# It cancels what has been queued for so long: "Actions limits", GitHub docs.
CANCELLED_AFTER: Final = timedelta(hours=24)
CANCEL_IS_NEAR: Final = timedelta(hours=4)
UNROUTABLE: Final = frozenset({Code.NO_POOL, Code.WRONG_SCOPE, Code.REPOSITORY_REFUSED})
"""Verdicts that no waiting changes: somebody has to act."""

_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job waits; `state` is its glyph and tone, `fix` "" when nothing has to be done.

    `code` is the verdict's, "" where there is none; `pool` the name of the pool it is about.
    """

    state: str
    cause: str
    fix: str = ""
    code: str = ""
    pool: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the words need besides the verdict.

    `pools`: names by id. `free_at`: when a runner of a pool is likely free next, by pool id, from
    how long its jobs usually run.
    """

    now: datetime
    pools: Mapping[int, str]
    free_at: Mapping[int, datetime]


APPROVAL: Final = Reason(
    "cordoned", "It waits for approval at GitHub.", "Approve the deployment.", "approval"
)
NOT_LOOKED_AT: Final = Reason(
    "starting", "It was queued a moment ago: the next look at the queue decides.", "", "new"
)


def code_of(verdict: Verdict, place: int) -> Code:
    """What becomes of the job at this place of its group, the oldest being 0."""
    for code, count in (
        (Code.RUNNING, verdict.running),
        (Code.READY, verdict.ready),
        (Code.STARTING, verdict.starting),
        (Code.PLANNED, verdict.planned),
    ):
        if place < count:
            return code
        place -= count
    return verdict.code


def reason(verdict: Verdict, code: Code, *, seen: Seen) -> Reason:
    """Say why the jobs of this group that share `code` wait, and the one thing that helps."""
    pool = seen.pools.get(verdict.pool_id, "") if verdict.pool_id is not None else ""
    state, cause, fix = _WORDS[code](verdict, pool, seen)
    return Reason(state, cause, fix, code.value, pool)


def picture_is_old(since: datetime | None) -> Reason:
    """Nobody has looked at the queue lately, so what was said of it may be wrong."""
    when = f"since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "yet"
    return Reason(
        "late",
        f"The queue has not been looked at {when}.",
        "Check that worker and loop run; the doctor says more.",
        "picture-old",
    )


def cancelled_at(queued_at: datetime) -> datetime:
    """When GitHub cancels a job that still waits then."""
    return queued_at + CANCELLED_AFTER


Words = tuple[str, str, str]
"""State, cause, fix."""


def _not_ours(verdict: Verdict, pool: str, seen: Seen) -> Words:
    labels = _listed(sorted(verdict.demand.labels))
    return (
        "info",
        f"It asks for GitHub's own runners ({labels}), not ours.",
        "Nothing to do here. To run it on your machines, change runs-on to the labels of a pool.",
    )


def _running(verdict: Verdict, pool: str, seen: Seen) -> Words:
    return "running", "A runner works on it; GitHub has not said so yet.", ""


def _ready(verdict: Verdict, pool: str, seen: Seen) -> Words:
    verb = "idle runner matches" if verdict.ready == 1 else "idle runners match"
    if seen.now - verdict.demand.oldest_at > ASSIGNED_WITHIN:
        return (
            "queued",
            f"{verdict.ready} {verb}, yet GitHub has not assigned the job.",
            f"Check that the runner group{_of(pool)} lets {verdict.demand.repository} in.",
        )
    return "starting", f"{verdict.ready} {verb}. GitHub usually assigns within 10 s.", ""


def _starting(verdict: Verdict, pool: str, seen: Seen) -> Words:
    since = verdict.facts.since
    when = f" since {_clock(since, seen.now)}" if since else ""
    if verdict.starting == 1:
        return "starting", f"A runner{_of(pool)} is starting{when}.", ""
    return "starting", f"{verdict.starting} runners{_of(pool)} are starting{when}.", ""


def _planned(verdict: Verdict, pool: str, seen: Seen) -> Words:
    if verdict.planned == 1:
        return "starting", f"{pool} starts a runner for it now.", ""
    return "starting", f"{pool} starts {verdict.planned} runners for these jobs now.", ""


def _no_pool(verdict: Verdict, pool: str, seen: Seen) -> Words:
    labels, missing = sorted(verdict.demand.labels), sorted(verdict.facts.missing)
    if not pool or not missing:
        return (
            "failed",
            f"No pool carries {_listed(labels)}.",
            "Make a pool with these labels, or change runs-on.",
        )
    if len(missing) == len(labels):
        return (
            "failed",
            f"No pool carries any of its labels: {_listed(labels)}.",
            "Make a pool with them, or change runs-on.",
        )
    what = f"the label {missing[0]}" if len(missing) == 1 else f"the labels {_listed(missing)}"
    rest = _listed([label for label in labels if label not in missing])
    return (
        "failed",
        f"No pool carries {what} beside {rest}; the nearest, {pool}, lacks "
        f"{'it' if len(missing) == 1 else 'them'}.",
        f"Add {_listed(missing)} to {pool}, make a pool with it, or change runs-on.",
    )


def _wrong_scope(verdict: Verdict, pool: str, seen: Seen) -> Words:
    repository = verdict.demand.repository
    return (
        "failed",
        f"{pool} carries its labels but registers where {repository} can't reach it.",
        f"Make a pool in the scope {verdict.demand.scope.slug}, or connect one above it.",
    )


def _repository_refused(verdict: Verdict, pool: str, seen: Seen) -> Words:
    repository = verdict.demand.repository
    return (
        "failed",
        f"{pool} carries its labels but does not admit {repository}.",
        f"Add {repository} to the repositories of {pool}, or change runs-on.",
    )


def _held(verdict: Verdict, pool: str, seen: Seen) -> Words:
    held = verdict.facts.held or Held(Blocked.PAUSED, "paused")
    until = f" until {_clock(held.until, seen.now)}" if held.until else ""
    words = held.words.rstrip(".")
    if held.code is Blocked.QUIESCED:
        return "cordoned", f"{words}.", _HELD_FIX[held.code].format(pool=pool)
    # The words may name the moment themselves
    when = "" if "until" in words else until
    return _HELD_STATE[held.code], f"{pool}: {words}{when}.", _HELD_FIX[held.code].format(pool=pool)


_HELD_STATE: Final[Mapping[Blocked, str]] = {
    Blocked.PAUSED: "cordoned",
    Blocked.QUARANTINED: "failed",
    Blocked.BACKING_OFF: "late",
    Blocked.QUIESCED: "cordoned",
    Blocked.GITHUB_UNKNOWN: "late",
    Blocked.BUDGET_SPENT: "late",
    Blocked.VERSION_REFUSED: "failed",
}
_HELD_FIX: Final[Mapping[Blocked, str]] = {
    Blocked.PAUSED: "Resume {pool} when it is ready.",
    Blocked.QUARANTINED: "Look why its runners fail, mend that, and release {pool}.",
    Blocked.BACKING_OFF: "It tries again by itself; its failed runners say why.",
    Blocked.QUIESCED: "Resume the fleet.",
    Blocked.GITHUB_UNKNOWN: "Check GitHub's status page and the credential.",
    Blocked.BUDGET_SPENT: "Wait, or give the scope a credential with a larger budget.",
    Blocked.VERSION_REFUSED: "Wait for GitHub's next runner release, or update the package.",
}


def _below_trigger(verdict: Verdict, pool: str, seen: Seen) -> Words:
    facts = verdict.facts
    jobs = "1 job waits" if facts.jobs == 1 else f"{facts.jobs} jobs wait"
    latest = f", at the latest at {_clock(facts.until, seen.now)}" if facts.until else ""
    return (
        "queued",
        f"{pool} starts runners once {facts.limit} jobs wait{latest}; {jobs} now.",
        f"Choose a quicker preset or a smaller number for {pool}.",
    )


def _cooldown(verdict: Verdict, pool: str, seen: Seen) -> Words:
    return (
        "queued",
        f"{pool} started runners a moment ago and starts more{_after(verdict.facts, seen)}.",
        f"Shorten the cooldown of {pool} to start sooner.",
    )


def _step(verdict: Verdict, pool: str, seen: Seen) -> Words:
    most = f" than {verdict.facts.limit}" if verdict.facts.limit else ""
    return (
        "queued",
        f"{pool} starts no more{most} runners at a time; the next follow.",
        f"Raise the step of {pool} to start more at once.",
    )


def _at_max(verdict: Verdict, pool: str, seen: Seen) -> Words:
    facts = verdict.facts
    if facts.busy < facts.jobs:
        noun = "runner" if facts.jobs == 1 else "runners"
        there = f"{pool} has {facts.jobs} {noun}, {facts.busy} of them busy, and may have no more"
    elif facts.busy == 1:
        there = f"The one runner that {pool} may have is busy"
    else:
        there = f"All {facts.busy} runners that {pool} may have are busy"
    return "queued", f"{there}{_free(verdict, seen)}.", f"Wait, or raise the maximum of {pool}."


def _closed(verdict: Verdict, pool: str, seen: Seen) -> Words:
    return (
        "cordoned",
        f"{pool} may have no runners in these hours{_until(verdict.facts, seen)}.",
        f"Wait, or change the schedule of {pool}.",
    )


def _hosts_full(verdict: Verdict, pool: str, seen: Seen) -> Words:
    facts = verdict.facts
    there = "The one host that takes" if facts.limit == 1 else f"All {facts.limit} hosts that take"
    verb = "has" if facts.limit == 1 else "have"
    closed = [f"{name} ({why})" for name, why in facts.hosts[:_NAMED] if _may_open(why)]
    others = f" Closed are {_listed(closed)}." if closed else ""
    return (
        "queued",
        f"{there} runners of {pool} {verb} no room left{_free(verdict, seen)}.{others}",
        "Wait, give a host more slots, or add one.",
    )


def _no_host(verdict: Verdict, pool: str, seen: Seen) -> Words:
    hosts = verdict.facts.hosts
    if not hosts:
        return (
            "failed",
            f"No host can serve {pool}: none matches its policy.",
            f"Add a host for it, or ask less of hosts in the policy of {pool}.",
        )
    named = ", ".join(f"{name} ({why})" for name, why in hosts[:_NAMED])
    more = f" and {len(hosts) - _NAMED} more" if len(hosts) > _NAMED else ""
    return "failed", f"No host takes its runner now: {named}{more}.", _host_fix(hosts, pool)


_OPENS: Final = (
    ("cordoned", "Uncordon {host} once its work is done."),
    ("its heartbeat", "Bring {host} back: power, network, agent."),
    ("quarantined", "Look why runners fail on {host}, then release it."),
    ("its last", "Wait, or look why runners fail on {host}."),
    ("not connected", "Start the agent on {host}."),
)
"""How a refusal of `placement` begins, and what opens such a host again."""


def _may_open(why: str) -> bool:
    return any(why.startswith(begins) for begins, _ in _OPENS)


def _host_fix(hosts: tuple[tuple[str, str], ...], pool: str) -> str:
    """What to do about the first host that somebody can do something about."""
    for begins, fix in _OPENS:
        for name, why in hosts:
            if why.startswith(begins):
                return fix.format(host=name)
    return f"Add a host that fits, or ask less of hosts in the policy of {pool}."


def _paced(verdict: Verdict, pool: str, seen: Seen) -> Words:
    return (
        "late",
        "The fleet has registered as many runners as it may within five minutes"
        f"{_until(verdict.facts, seen)}.",
        "Wait: it goes on by itself. Keep more runners idle to need fewer at once.",
    )


def _all_busy(verdict: Verdict, pool: str, seen: Seen) -> Words:
    busy = verdict.facts.busy
    if not busy:
        return (
            "failed",
            "Only runners without a pool match, and none of them is online.",
            "Bring them back, or make a pool with these labels.",
        )
    there = "The one matching runner is" if busy == 1 else f"All {busy} matching runners are"
    return (
        "queued",
        f"{there} busy, and no pool starts more.",
        "Wait, or make a pool with these labels.",
    )


_WORDS: Final = {
    Code.NOT_OURS: _not_ours,
    Code.RUNNING: _running,
    Code.READY: _ready,
    Code.STARTING: _starting,
    Code.PLANNED: _planned,
    Code.NO_POOL: _no_pool,
    Code.WRONG_SCOPE: _wrong_scope,
    Code.REPOSITORY_REFUSED: _repository_refused,
    Code.HELD: _held,
    Code.BELOW_TRIGGER: _below_trigger,
    Code.COOLDOWN: _cooldown,
    Code.STEP: _step,
    Code.AT_MAX: _at_max,
    Code.CLOSED: _closed,
    Code.HOSTS_FULL: _hosts_full,
    Code.NO_HOST: _no_host,
    Code.PACED: _paced,
    Code.ALL_BUSY: _all_busy,
}


def _of(pool: str) -> str:
    return f" of {pool}" if pool else ""


def _until(facts: Facts, seen: Seen) -> str:
    return f" until {_clock(facts.until, seen.now)}" if facts.until else ""


def _after(facts: Facts, seen: Seen) -> str:
    return f" from {_clock(facts.until, seen.now)} on" if facts.until else " soon"


def _free(verdict: Verdict, seen: Seen) -> str:
    """When a runner is likely free next; "" while nobody can tell."""
    at = seen.free_at.get(verdict.pool_id) if verdict.pool_id is not None else None
    if at is None:
        return ""
    if at <= seen.now:
        return "; the next should be free any moment"
    minutes = max(1, round((at - seen.now).total_seconds() / 60))
    return f"; the next is free in about {minutes} min"


def _clock(at: datetime, now: datetime) -> str:
    """A moment as people read it beside one of today."""
    return f"{at:%H:%M:%S} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def _listed(names: list[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
