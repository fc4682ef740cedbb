"""What policies would have done with the jobs there were: history read, replayed, set side by
side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Final

from runners import placement, pool_picture, pool_policy, scaling, usual
from runners.models import Job, Runner
from runners.pool_picture import Rules
from runners.pool_policy import Policy
from runners.scaling import Demand, HostRoom, Pacing, ScopeView
from runners.scaling.hosts import Hosts
from runners.scaling.matching import admits, reaches
from runners.scaling_replay import Arrival, Outcome, Surroundings, Trace, replay
from runners.scaling_traces import made_up

SPANS: Final[Mapping[str, timedelta]] = {"24h": timedelta(hours=24), "7d": timedelta(days=7)}
DEFAULT_SPAN: Final = "24h"
ROWS_READ: Final = 40_000
JOBS_PLAYED: Final = 5_000
"""A replay of so many takes about a second; more of them tell little more."""
STARTS_LOOKED_AT: Final = 100
USUAL_START_SECONDS: Final = 20.0
FEWEST_HOSTS: Final = 20


@dataclass(frozen=True, slots=True)
class Tried:
    """One policy and what came of it, by the name it is shown under; `hosts` take its runners."""

    name: str
    policy: Policy
    hosts: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Preview:
    """Policies tried on the same stretch of time, in the order given.

    `made_up`: there was no history, so the jobs are invented. `start_seconds`: how long a runner
    took to come online lately.
    """

    begin: datetime
    end: datetime
    made_up: bool
    start_seconds: float
    tried: tuple[Tried, ...]


def preview(
    policies: Sequence[tuple[str, Policy]], *, span: str, rules: Rules, now: datetime
) -> Preview:
    """Play the jobs of the last `span` (a key of SPANS, else the default) to each policy.

    The first policy's jobs decide from when on, so that all are tried on the same stretch.
    """
    end = now
    begin = now - SPANS.get(span, SPANS[DEFAULT_SPAN])
    scopes = pool_picture.scope_views(rules, now=now)
    history = _history(begin, scopes, now=now)
    first = policies[0][1]
    found = _arrivals(first, scopes, history)
    if len(found) > JOBS_PLAYED:
        begin = found[-JOBS_PLAYED].at
    hosts = _hosts_as_if_free(now=now)
    seconds = start_seconds(now=now)
    deadline = int(rules.start_deadline.total_seconds())
    tried: list[Tried] = []
    for name, policy in policies:
        tries = pool_policy.scaling_policy(policy, start_deadline_seconds=deadline)
        able = _able(hosts, tries)
        # What GitHub tells now says nothing of then
        scope = replace(scopes[policy.scope.pk], unknown_since=None, back_at=None)
        if found:
            jobs = tuple(job for job in _arrivals(policy, scopes, history) if job.at >= begin)
            trace = Trace(scope, begin, end, jobs)
        else:
            trace = made_up(scope, tries.labels, begin=begin, end=end)
        around = Surroundings(
            hosts=_enough(able, tries),
            start_seconds=seconds,
            pacing=Pacing(burst=rules.burst, grace=rules.grace),
        )
        open_hosts = sum(not host.refusal for host in able)
        outcome = replay(policy.name, tries, trace, around)
        tried.append(Tried(name, policy, open_hosts, outcome))
    return Preview(
        begin=begin,
        end=end,
        made_up=not found,
        start_seconds=seconds,
        tried=tuple(tried),
    )


def start_seconds(*, now: datetime) -> float:
    """How long a runner takes from the order until it is online: the median of the last ones."""
    rows = (
        Runner.objects.filter(online_at__isnull=False, created_at__gte=now - timedelta(days=30))
        .order_by("-pk")
        .values_list("created_at", "online_at")[:STARTS_LOOKED_AT]
    )
    lengths = [(online - made).total_seconds() for made, online in rows if online]
    return median(lengths) if lengths else USUAL_START_SECONDS


@dataclass(frozen=True, slots=True)
class _Past:
    """A job that was queued, and the scope it was told to."""

    scope: ScopeView
    arrival: Arrival


def _history(begin: datetime, scopes: Mapping[int, ScopeView], *, now: datetime) -> list[_Past]:
    """The jobs queued since then that ran or run, oldest first, each once.

    One that was cancelled before it ran is none: nobody knows how long it would have taken.
    """
    lengths = usual.usual_seconds(now=now)
    rows = list(
        Job.objects.filter(queued_at__gte=begin, started_at__isnull=False)
        .order_by("-queued_at")
        .values_list(
            "pk",
            "github_id",
            "scope_id",
            "repository",
            "workflow_name",
            "name",
            "labels",
            "queued_at",
            "started_at",
            "completed_at",
        )[:ROWS_READ]
    )
    told = pool_picture.told_once((row[:3] for row in rows), scopes)
    found: list[_Past] = []
    for pk, _, scope_id, repository, workflow, name, labels, queued, began, ended in rows:
        if pk not in told or began is None:
            continue
        seconds = ((ended or now) - began).total_seconds()
        if ended is None:
            seconds = max(seconds, lengths.get((repository, workflow, name), 0.0))
        names = frozenset(str(label).lower() for label in labels)
        arrival = Arrival(queued, max(0.0, seconds), names, repository)
        found.append(_Past(scopes[scope_id], arrival))
    found.reverse()
    return found


def _arrivals(
    policy: Policy, scopes: Mapping[int, ScopeView], history: Sequence[_Past]
) -> list[Arrival]:
    """The jobs a pool of this policy may take."""
    labels = frozenset(label.lower() for label in policy.labels)
    repositories = tuple(name.lower() for name in policy.repositories)
    scope = scopes[policy.scope.pk]
    may: dict[tuple[int, str], bool] = {}
    found = []
    for past in history:
        job = past.arrival
        if not job.labels <= labels:
            continue
        place = past.scope.id, job.repository
        if place not in may:
            asked = Demand(past.scope, job.repository, job.labels, (0,), (job.at,))
            may[place] = reaches(scope, asked) and admits(repositories, job.repository)
        if may[place]:
            found.append(job)
    return found


def _hosts_as_if_free(*, now: datetime) -> tuple[HostRoom, ...]:
    """Every host as if nothing ran on it: what other pools take there meanwhile is not played."""
    there_is = placement.room()
    return pool_picture.host_rooms(now=now, among=replace(there_is, held={}, taken={}))


def _able(hosts: Sequence[HostRoom], tries: scaling.Policy) -> list[HostRoom]:
    """The hosts that could serve it, room and refusal aside; the preferred ones first."""
    known = Hosts(hosts)
    able = [host for host in hosts if known.serves(tries, host.id)]
    return sorted(able, key=lambda host: (known.distance(tries, host.id), host.name))


def _enough(able: Sequence[HostRoom], tries: scaling.Policy) -> tuple[HostRoom, ...]:
    """As many hosts as can matter: a thousand of them would only slow the replay down."""
    most = max([tries.max_runners, *(each.max_runners or 0 for each in tries.windows)])
    chosen: list[HostRoom] = []
    slots = 0
    for host in able:
        if slots >= 2 * most and len(chosen) >= FEWEST_HOSTS:
            break
        chosen.append(host)
        slots += 0 if host.refusal else host.slots
    return tuple(chosen)
