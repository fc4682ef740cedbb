"""Which labels jobs ask for, and what of ours can serve them: pools, runners without one, hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from django.db.models import Max, Sum

from runners import pool_picture, pool_policy
from runners.models import JobDay, Pool, Runner
from runners.queue_picture import Group
from runners.scaling import HostRoom, Policy
from runners.scaling.hosts import Hosts
from runners.scaling.matching import asks_for_hosted
from runners.states import SERVING

DAYS: Final = 30


class Cover(StrEnum):
    """How well one set of labels is served."""

    NONE = "none"
    NO_HOST = "no-host"
    ALL_CLOSED = "all-closed"
    HELD = "held"
    ONE_HOST = "one-host"
    ONE_OPEN = "one-open"
    GOOD = "good"
    NOT_OURS = "not-ours"


ORDER: Final = tuple(Cover)
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Server:
    """A pool, or the runners without one on a host: its labels and the hosts that can carry it.

    `pool` is "" for runners without one. `open_hosts` take runners now; `held` says why the pool
    starts none.
    """

    pool: str
    labels: frozenset[str]
    hosts: frozenset[str]
    open_hosts: frozenset[str]
    held: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A set of labels that jobs asked for; `last_day` None when only waiting jobs did so far."""

    labels: tuple[str, ...]
    jobs: int
    waiting: int
    last_day: date | None


@dataclass(frozen=True, slots=True)
class Covered:
    """What was asked for, who serves it, and how well."""

    asked: Asked
    cover: Cover
    servers: tuple[Server, ...]
    hosts: tuple[str, ...]
    open_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every set of labels, the worst served first; `unused` are labels that no job asked for, with
    the pools that carry them."""

    rows: tuple[Covered, ...]
    unused: tuple[tuple[str, tuple[str, ...]], ...]


def coverage(groups: Iterable[Group], *, now: datetime) -> Coverage:
    """Look at the last 30 days and at the jobs that wait now; a fixed number of queries."""
    return covered(asked_for(groups, now=now), servers(now=now))


def covered(asked: Sequence[Asked], there: Sequence[Server]) -> Coverage:
    """Set what was asked for beside what there is. Pure."""
    rows = sorted(
        (_covered(each, there) for each in asked),
        key=lambda row: (
            ORDER.index(row.cover),
            -row.asked.jobs - row.asked.waiting,
            row.asked.labels,
        ),
    )
    used = {label for each in asked for label in each.labels}
    carried: dict[str, list[str]] = {}
    for server in there:
        for label in server.labels - used:
            if server.pool:
                carried.setdefault(label, []).append(server.pool)
    unused = tuple((label, tuple(sorted(pools))) for label, pools in sorted(carried.items()))
    return Coverage(tuple(rows), unused)


def _covered(asked: Asked, there: Sequence[Server]) -> Covered:
    labels = frozenset(asked.labels)
    serving = tuple(server for server in there if labels <= server.labels)
    hosts = frozenset[str]().union(*(server.hosts for server in serving))
    open_hosts = frozenset[str]().union(*(server.open_hosts for server in serving))
    return Covered(
        asked,
        _cover(labels, serving, hosts, open_hosts),
        serving,
        tuple(sorted(hosts)),
        tuple(sorted(open_hosts)),
    )


def _cover(
    labels: frozenset[str],
    serving: Sequence[Server],
    hosts: frozenset[str],
    open_hosts: frozenset[str],
) -> Cover:
    if not serving:
        return Cover.NOT_OURS if asks_for_hosted(labels) else Cover.NONE
    if not hosts:
        return Cover.NO_HOST
    if not open_hosts:
        return Cover.ALL_CLOSED
    if all(server.held for server in serving):
        return Cover.HELD
    if len(hosts) == 1:
        return Cover.ONE_HOST
    return Cover.ONE_OPEN if len(open_hosts) == 1 else Cover.GOOD


def asked_for(groups: Iterable[Group], *, now: datetime) -> list[Asked]:
    """What finished jobs asked for in the last days, and what waits; one query."""
    rows = (
        JobDay.objects.filter(kind=JobDay.Kind.LABELS, day__gt=now.date() - timedelta(days=DAYS))
        .order_by()
        .values("key")
        .annotate(number=Sum("jobs"), last=Max("day"))
        .values_list("key", "number", "last")
    )
    found = {
        tuple(sorted(key.split(","))): Asked(tuple(sorted(key.split(","))), number, 0, last)
        for key, number, last in rows
        if key
    }
    for group in groups:
        known = found.get(group.labels) or Asked(group.labels, 0, 0, None)
        found[group.labels] = Asked(
            known.labels, known.jobs, known.waiting + group.jobs, known.last_day
        )
    return list(found.values())


def servers(*, now: datetime) -> list[Server]:
    """Every pool, and the runners without one, with the hosts that can carry them."""
    rooms = pool_picture.host_rooms(now=now)
    hosts = Hosts(rooms)
    pools = Pool.objects.select_related("scope__credential").prefetch_related("labels")
    return [*(_of_pool(pool, rooms, hosts, now) for pool in pools), *_alone(rooms)]


def _of_pool(pool: Pool, rooms: Sequence[HostRoom], hosts: Hosts, now: datetime) -> Server:
    policy = pool_policy.scaling_policy(pool_policy.policy_of(pool), start_deadline_seconds=0)
    able = _able(policy, rooms, hosts)
    held = pool_picture.held(pool, now=now)
    return Server(
        pool.name,
        policy.labels,
        frozenset(host.name for host in able),
        frozenset(host.name for host in able if not host.refusal),
        held.words if held else "",
    )


def _able(policy: Policy, rooms: Sequence[HostRoom], hosts: Hosts) -> list[HostRoom]:
    return [host for host in rooms if hosts.serves(policy, host.id)]


def _alone(rooms: Sequence[HostRoom]) -> list[Server]:
    """Runners without a pool serve from the host they are on; those alike are one."""
    closed: Mapping[str, str] = {host.name: host.refusal for host in rooms}
    runners = (
        Runner.objects.filter(pool__isnull=True, state__in=SERVING)
        .select_related("host")
        .prefetch_related("labels")
        .only("host__name")
    )
    found: dict[frozenset[str], set[str]] = {}
    for runner in runners:
        labels = frozenset(label.name.lower() for label in runner.labels.all())
        found.setdefault(labels, set()).add(runner.host.name)
    return [
        Server(
            "",
            labels,
            frozenset(hosts),
            frozenset(name for name in hosts if not closed.get(name, "gone")),
        )
        for labels, hosts in found.items()
    ]
