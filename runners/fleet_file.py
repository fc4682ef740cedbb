"""A fleet as a file (TOML): pools, the hosts it counts on, what hosts keep for themselves.

Read, compared, applied, written. Applying twice changes nothing; what is wrong is said for every
place in the file before anything is changed. Hosts enrol themselves: a file sets their slots, site
and labels, and says what is not as it should be.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from datetime import datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, TypeVar

from django.db import transaction

from runners import enrolment, fleet, pool_policy
from runners.audit import Actor
from runners.errors import FleetError, InvalidRequest
from runners.fleet import Reserve
from runners.models import Host, Pool, Runner, Scope
from runners.pool_policy import InvalidPolicy, Policy

BYTES_LIMIT: Final = 1_000_000
GIB: Final = 2**30
T = TypeVar("T")


class InvalidFile(FleetError):
    """The file can't be applied; `problems` says what is wrong, each with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class HostWish:
    """A host the fleet counts on. None leaves as it is; the last four are compared, never set."""

    name: str
    slots: int | None = None
    site: str | None = None
    labels: tuple[str, ...] | None = None
    architecture: str | None = None
    cpus: int | None = None
    memory_gib: int | None = None
    gpus: int | None = None


@dataclass(frozen=True, slots=True)
class FleetFile:
    """What a file says."""

    pools: tuple[Policy, ...] = ()
    hosts: tuple[HostWish, ...] = ()
    reserve: Reserve | None = None


class Act(StrEnum):
    """What applying does about a difference, or that it can do nothing."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    UNMANAGED = "unmanaged"
    """A pool the file does not name: left alone unless asked."""
    DIFFERS = "differs"
    """A host that is not as the file counts on: only a person can mend that."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the file says; `fields`: (was, becomes) by name."""

    act: Act
    kind: str
    name: str
    fields: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    note: str = ""


# --- reading -----------------------------------------------------------------------------------


def parse(text: str) -> FleetFile:
    """Read a file. Raises InvalidFile with everything that is wrong in it."""
    if len(text) > BYTES_LIMIT:
        raise InvalidFile([f"The file is longer than {BYTES_LIMIT} characters."])
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidFile([f"This is no TOML: {error}."]) from error
    problems = [f"There is no {name!r}; a file has pool, host and reserve." for name in _odd(data)]
    pools = _each(data, "pool", _policy, problems)
    hosts = _each(data, "host", _host, problems)
    reserve = _reserve(data.get("reserve"), problems)
    for kind, names in (("pool", [p.name for p in pools]), ("host", [h.name for h in hosts])):
        twice = sorted({name for name in names if names.count(name) > 1})
        problems += [f"{kind} {name}: is there twice." for name in twice]
    if problems:
        raise InvalidFile(problems)
    return FleetFile(tuple(pools), tuple(hosts), reserve)


def _odd(data: Mapping[str, object]) -> list[str]:
    return sorted(set(data) - {"pool", "host", "reserve"})


def _each(
    data: Mapping[str, object],
    kind: str,
    read: Callable[[Mapping[str, object]], T],
    problems: list[str],
) -> list[T]:
    rows = data.get(kind, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        problems.append(f"Write each {kind} as [[{kind}]].")
        return []
    found: list[T] = []
    for number, row in enumerate(rows, start=1):
        name = row.get("name") or f"number {number}"
        try:
            found.append(read(row))
        except InvalidPolicy as error:
            problems += [f"{kind} {name}: {key}: {words}" for key, words in error.problems.items()]
        except InvalidRequest as error:
            problems.append(f"{kind} {name}: {error.user_message}")
    return found


def _policy(row: Mapping[str, object]) -> Policy:
    """One pool's policy, its scope found, nothing else checked against the tables."""
    known = {each.name: each for each in fields(Policy)}
    values: dict[str, object] = {}
    wrong: dict[str, str] = {}
    for name, value in row.items():
        if name == "window":
            continue
        if name not in known or name == "windows":
            wrong[name] = _no_such(name, [*known, "window"])
            continue
        try:
            values[name] = _value(str(known[name].type), value)
        except InvalidRequest as error:
            wrong[name] = error.user_message
    for name, each in known.items():
        required = each.default is MISSING and name not in ("min_idle", "max_runners")
        if required and name not in row:
            wrong[name] = "is missing."
    try:
        values["windows"] = _windows(row.get("window", []))
    except InvalidRequest as error:
        wrong["window"] = error.user_message
    if "scope" in values:
        try:
            values["scope"] = find_scope(str(values["scope"]))
        except InvalidRequest as error:
            wrong["scope"] = error.user_message
    if wrong:
        raise InvalidPolicy(wrong)
    defaults = {"min_idle": 0, "max_runners": 10}
    policy = Policy(**{**defaults, **values})  # type: ignore[arg-type]
    if found := pool_policy.problems(policy):
        raise InvalidPolicy(found)
    return policy


def _windows(rows: object) -> tuple[object, ...]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidRequest("Write each window as [[pool.window]].")
    return tuple(pool_policy.window_of(row) for row in rows)


def _value(kind: str, value: object) -> object:
    """The value as the field takes it. Raises InvalidRequest for another kind of value."""
    if "tuple" in kind or "Sequence" in kind:
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        raise InvalidRequest(f'Write a list of texts, such as ["one", "two"], not {value!r}.')
    if "bool" in kind:
        if isinstance(value, bool):
            return value
        raise InvalidRequest(f"Write true or false, not {value!r}.")
    if "int" in kind:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise InvalidRequest(f"Write a whole number, not {value!r}.")
    if isinstance(value, str):
        return value
    raise InvalidRequest(f"Write a text, not {value!r}.")


def _no_such(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return "There is no such field." + (f" Did you mean {near[0]}?" if near else "")


def find_scope(text: str) -> Scope:
    """The scope of this slug or address. Raises InvalidRequest when none or several are."""
    scopes = list(
        Scope.objects.filter(slug__iexact=text)
        or Scope.objects.filter(web_url__iexact=text.rstrip("/"))
    )
    if len(scopes) > 1:
        addresses = ", ".join(scope.web_url for scope in scopes)
        raise InvalidRequest(f"Several scopes are called {text}: write one of {addresses}.")
    if not scopes:
        raise InvalidRequest(f"There is no scope {text}. Connect it first (add_scope).")
    return scopes[0]


def _host(row: Mapping[str, object]) -> HostWish:
    known = {each.name: each for each in fields(HostWish)}
    values: dict[str, object] = {}
    for name, value in row.items():
        if name not in known:
            raise InvalidRequest(f"{name}: {_no_such(name, list(known))}")
        try:
            values[name] = _value(str(known[name].type), value)
        except InvalidRequest as error:
            raise InvalidRequest(f"{name}: {error.user_message}") from error
    if not values.get("name"):
        raise InvalidRequest("name: is missing.")
    return HostWish(**values)  # type: ignore[arg-type]


def _reserve(row: object, problems: list[str]) -> Reserve | None:
    if row is None:
        return None
    if not isinstance(row, dict):
        problems.append("Write what hosts keep for themselves as [reserve].")
        return None
    wanted = Reserve()
    for name, value in row.items():
        if name not in fleet.RESERVE_RANGES:
            problems.append(f"reserve: {name}: {_no_such(name, list(fleet.RESERVE_RANGES))}")
            continue
        low, high = fleet.RESERVE_RANGES[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            problems.append(f"reserve: {name}: Give a whole number between {low} and {high}.")
            continue
        wanted = replace(wanted, **{name: value})
    return wanted


# --- comparing and applying --------------------------------------------------------------------


def compare(wanted: FleetFile, *, prune: bool = False) -> list[Difference]:
    """Everything that is not as the file says, in its order."""
    return [
        *_compare_reserve(wanted.reserve),
        *_compare_hosts(wanted.hosts),
        *_compare_pools(wanted.pools, prune=prune),
    ]


def _compare_reserve(wanted: Reserve | None) -> Iterator[Difference]:
    now = fleet.reserve()
    if wanted is not None and wanted != now:
        yield Difference(Act.CHANGE, "reserve", "reserve", _apart(asdict(now), asdict(wanted)))


def _compare_hosts(wishes: Sequence[HostWish]) -> Iterator[Difference]:
    names = [wish.name for wish in wishes]
    rows = Host.objects.in_service().filter(name__in=names).prefetch_related("labels")
    hosts = {host.name: host for host in rows}
    for wish in wishes:
        host = hosts.get(wish.name)
        if host is None:
            note = "is not enrolled yet: add it under Hosts, or with issue_host_token."
            yield Difference(Act.DIFFERS, "host", wish.name, note=note)
            continue
        settable, facts = _of_host(host)
        wished = {key: value for key, value in asdict(wish).items() if value is not None}
        if wish.labels is not None:
            wished["labels"] = sorted(label.lower() for label in wish.labels)
        if changed := _apart(settable, {k: v for k, v in wished.items() if k in settable}):
            yield Difference(Act.CHANGE, "host", wish.name, changed)
        if differing := _apart(facts, {k: v for k, v in wished.items() if k in facts}):
            yield Difference(
                Act.DIFFERS, "host", wish.name, differing, "is not the machine the file counts on."
            )


def _of_host(host: Host) -> tuple[dict[str, object], dict[str, object]]:
    """What a file may set of a host, and what it may only compare."""
    labels = sorted(label.name.lower() for label in host.labels.all())
    memory = host.memory_bytes
    return (
        {"slots": host.slots, "site": host.site, "labels": labels},
        {
            "architecture": host.architecture,
            "cpus": host.cpu_count,
            # A machine of 32 GiB tells of a little less than that
            "memory_gib": None if memory is None else -(-memory // GIB),
            "gpus": host.gpu_count,
        },
    )


def _compare_pools(policies: Sequence[Policy], *, prune: bool) -> Iterator[Difference]:
    pools = {
        pool.name: pool for pool in Pool.objects.select_related("scope").prefetch_related("labels")
    }
    for policy in policies:
        pool = pools.pop(policy.name, None)
        if pool is None:
            data = pool_policy.as_data(policy)
            news = {name: (None, value) for name, value in data.items() if name in _told(policy)}
            yield Difference(Act.CREATE, "pool", policy.name, news)
        elif changed := pool_policy.changes(pool_policy.policy_of(pool), policy):
            yield Difference(Act.CHANGE, "pool", policy.name, changed)
    for name, pool in pools.items():
        if not prune:
            yield Difference(Act.UNMANAGED, "pool", name, note="is not in the file.")
        elif Runner.objects.current().filter(pool=pool).exists():
            note = "is not in the file, but still has runners: pause it and deregister them first."
            yield Difference(Act.DIFFERS, "pool", name, note=note)
        else:
            yield Difference(Act.REMOVE, "pool", name)


def _apart(
    was: Mapping[str, object], becomes: Mapping[str, object]
) -> dict[str, tuple[object, object]]:
    return {
        name: (was.get(name), value) for name, value in becomes.items() if was.get(name) != value
    }


def apply(
    wanted: FleetFile, *, by: Actor, reason: str, now: datetime, prune: bool = False
) -> list[Difference]:
    """Make it as the file says, all or nothing; returns the differences there were."""
    with transaction.atomic():
        differences = compare(wanted, prune=prune)
        if wanted.reserve is not None:
            fleet.set_reserve(wanted.reserve, by=by, reason=reason, now=now)
        policies = {policy.name: policy for policy in wanted.pools}
        wishes = {wish.name: wish for wish in wanted.hosts}
        for each in differences:
            if each.kind == "pool":
                _apply_pool(each, policies.get(each.name), by=by, reason=reason, now=now)
            elif each.kind == "host" and each.act is Act.CHANGE:
                _apply_host(wishes[each.name], by=by, reason=reason, now=now)
    return differences


def _apply_pool(
    each: Difference, policy: Policy | None, *, by: Actor, reason: str, now: datetime
) -> None:
    if each.act is Act.CREATE and policy is not None:
        pool_policy.create(policy, by=by, now=now)
    elif each.act is Act.CHANGE and policy is not None:
        pool = Pool.objects.select_related("scope").get(name=each.name)
        pool_policy.change(pool, policy, by=by, reason=reason, now=now)
    elif each.act is Act.REMOVE:
        pool_policy.remove(Pool.objects.get(name=each.name), by=by, reason=reason, now=now)


def _apply_host(wish: HostWish, *, by: Actor, reason: str, now: datetime) -> None:
    host = Host.objects.get(name=wish.name)
    if wish.slots is not None and wish.slots != host.slots:
        enrolment.set_slots(
            host,
            wish.slots,
            # A file says nothing of these: what each slot may use stays as a person set it
            cpu_cores=host.slot_cpu_cores,
            memory_bytes=host.slot_memory_bytes,
            by=by,
            reason=reason,
            now=now,
        )
    enrolment.set_place(
        host,
        site=host.site if wish.site is None else wish.site,
        labels=wish.labels,
        by=by,
        reason=reason,
        now=now,
    )


# --- writing -----------------------------------------------------------------------------------


def export() -> str:
    """The fleet as a file that changes nothing when it is applied."""
    parts: list[str] = []
    reserve = fleet.reserve()
    if reserve != Reserve():
        parts.append("\n".join(["[reserve]", *_lines(asdict(reserve))]))
    for host in Host.objects.in_service().prefetch_related("labels").order_by("name"):
        settable, facts = _of_host(host)
        told = {"name": host.name, **settable, **facts}
        lines = _lines({k: v for k, v in told.items() if v not in (None, "", [])})
        parts.append("\n".join(["[[host]]", *lines]))
    shared = _shared_slugs()
    pools = Pool.objects.select_related("scope").prefetch_related("labels").order_by("name")
    for pool in pools:
        parts.append(_pool_text(pool_policy.policy_of(pool), shared))
    return "\n\n".join(parts) + "\n"


def _shared_slugs() -> set[str]:
    slugs = [slug.lower() for slug in Scope.objects.values_list("slug", flat=True)]
    return {slug for slug in slugs if slugs.count(slug) > 1}


def _pool_text(policy: Policy, shared: set[str]) -> str:
    data = pool_policy.as_data(policy)
    if policy.scope.slug.lower() in shared:
        data["scope"] = policy.scope.web_url
    told = _told(policy)
    ordered = [each.name for each in fields(Policy) if each.name in told]
    lines = ["[[pool]]", *_lines({name: data[name] for name in ordered})]
    for window in policy.windows:
        lines += ["", "  [[pool.window]]"]
        lines += [f"  {line}" for line in _lines(pool_policy.window_data(window))]
    return "\n".join(lines)


def _told(policy: Policy) -> set[str]:
    """The fields a file has to name: those that are not as they are without it."""
    always = {"name", "scope", "labels", "min_idle", "max_runners"}
    return always | {
        each.name
        for each in fields(Policy)
        if each.name not in always | {"windows"} and getattr(policy, each.name) != each.default
    }


def _lines(values: Mapping[str, object]) -> list[str]:
    """TOML of plain values; its texts and lists are spelled as JSON's are."""
    return [
        f"{name} = {json.dumps(value, ensure_ascii=False).replace(chr(127), chr(92) + 'u007f')}"
        for name, value in values.items()
    ]
