"""The state of the fleet in one reading, as `fleet_status` says it; nothing here changes anything.

A constant number of queries, however large the fleet is.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TypedDict

from runners import fleet, loop, manual, pool_picture, wiring
from runners.github.verdicts import USABLE
from runners.models import Beat, Credential, Host, Runner, Scope
from runners.scaling import Blocked, Worth
from runners.states import DisplayState, HostState, is_busy

BUDGET_LOW_SHARE = 0.1
BAD_HOSTS = (HostState.OFFLINE, HostState.LATE, HostState.QUARANTINED)


class HostRow(TypedDict):
    """One host in service; `state` is a `HostState`."""

    name: str
    state: str
    site: str
    architecture: str
    slots: int
    slots_taken: int
    slots_busy: int
    cordoned: bool
    last_seen_at: datetime | None
    agent_version: str


class RunnerRow(TypedDict):
    """One runner that is not removed; `state` is what a person sees, `wanted` what we want.

    `trouble` when it is among the problems; a failed one that was replaced is not.
    """

    id: int
    name: str
    state: str
    wanted: str
    phase: str
    github_status: str
    busy: bool
    scope: str
    host: str
    pool: str
    slot: int | None
    ephemeral: bool
    job: str
    since: datetime
    reason: str
    trouble: bool


class PoolRow(TypedDict):
    """One pool and what it has; `held_back` says why it may not start runners."""

    name: str
    scope: str
    min_idle: int
    max_runners: int
    idle: int
    starting: int
    busy: int
    held_back: str
    quarantined: bool


class ScopeRow(TypedDict):
    """One scope; `unknown_since` is set while GitHub could not be asked."""

    scope: str
    url: str
    credential: str
    seen_at: datetime | None
    unknown_since: datetime | None
    error: str
    foreign_runners: int


class CredentialRow(TypedDict):
    """One credential: what it is worth, and its API budget."""

    name: str
    kind: str
    verdict: str
    expires_at: datetime | None
    budget_limit: int | None
    budget_remaining: int | None
    budget_reset_at: datetime | None


class ProcessRow(TypedDict):
    """One of our processes; `alive` is by the moment it last showed itself."""

    name: str
    seen_at: datetime | None
    alive: bool


class Report(TypedDict):
    """Everything; `problems` are sentences, empty when all is well; `quiesced` is one, or "".

    `manual_actions`: what people changed in the last `manual.DAYS` days.
    """

    at: datetime
    quiesced: str
    hosts: list[HostRow]
    runners: list[RunnerRow]
    runners_by_state: dict[str, int]
    pools: list[PoolRow]
    scopes: list[ScopeRow]
    credentials: list[CredentialRow]
    processes: list[ProcessRow]
    manual_actions: int
    problems: list[str]


def report(*, now: datetime, silent_after: timedelta) -> Report:
    """Read the fleet's state; a process silent for `silent_after` counts as not alive."""
    closed = fleet.quiesced()
    runners = _runners(now)
    hosts = _hosts(now, runners)
    pools = _pools(now, closed)
    scopes, credentials = _scopes(), _credentials()
    processes = _processes(now, silent_after)
    return Report(
        at=now,
        quiesced=closed,
        hosts=hosts,
        runners=runners,
        runners_by_state=dict(Counter(row["state"] for row in runners)),
        pools=pools,
        scopes=scopes,
        credentials=credentials,
        processes=processes,
        manual_actions=manual.actions(now=now).count(),
        problems=[
            *_process_problems(processes),
            *_github_problems(scopes, credentials, now),
            *_fleet_problems(hosts, pools, runners),
        ],
    )


def lines(report: Report) -> list[str]:
    """The report for a person."""
    states = report["runners_by_state"]
    said = [
        _row("Runners", ", ".join(f"{states[s]} {s}" for s in DisplayState.values if s in states)),
        *(
            _row(
                f"Host {host['name']}",
                f"{host['state']}, {host['slots_taken']} of {host['slots']} slots, "
                f"{host['slots_busy']} busy",
            )
            for host in report["hosts"]
        ),
        *(
            _row(
                f"Pool {pool['name']}",
                f"{pool['idle']} idle, {pool['starting']} starting, {pool['busy']} busy, keeps "
                f"{pool['min_idle']} to {pool['max_runners']}"
                + (f" ({pool['held_back']})" if pool["held_back"] else ""),
            )
            for pool in report["pools"]
        ),
        *(_row(f"Scope {scope['scope']}", _scope_words(scope)) for scope in report["scopes"]),
        *(
            _row(f"Credential {row['name']}", _credential_words(row))
            for row in report["credentials"]
        ),
        *(
            _row(process["name"].capitalize(), "alive" if process["alive"] else "silent")
            for process in report["processes"]
        ),
        _row("Manual actions", f"{report['manual_actions']} in {manual.DAYS} days"),
    ]
    held = [report["quiesced"], ""] if report["quiesced"] else []
    return [*held, *said, "", *(report["problems"] or ["Nothing is wrong."])]


def _row(name: str, words: str) -> str:
    return f"{name:<28} {words or 'none'}"


def _scope_words(scope: ScopeRow) -> str:
    if scope["unknown_since"] is not None:
        return f"GitHub unknown since {scope['unknown_since']:%Y-%m-%d %H:%M:%S}"
    if scope["seen_at"] is None:
        return "not asked yet"
    foreign = scope["foreign_runners"]
    return f"seen {scope['seen_at']:%H:%M:%S}" + (f", {foreign} not ours" if foreign else "")


def _credential_words(row: CredentialRow) -> str:
    words = row["verdict"] or "not checked yet"
    if row["budget_limit"]:
        words += f", {row['budget_remaining']} of {row['budget_limit']} calls left"
    return words


def _hosts(now: datetime, runners: list[RunnerRow]) -> list[HostRow]:
    taken = Counter(row["host"] for row in runners if row["slot"] is not None)
    busy = Counter(row["host"] for row in runners if row["slot"] is not None and row["busy"])
    return [
        HostRow(
            name=host.name,
            state=host.state_at(now).value,
            site=host.site,
            architecture=host.architecture,
            slots=host.slots,
            slots_taken=taken[host.name],
            slots_busy=busy[host.name],
            cordoned=host.cordoned,
            last_seen_at=host.last_seen_at,
            agent_version=host.agent_version,
        )
        for host in Host.objects.in_service().order_by("name")
    ]


def _runners(now: datetime) -> list[RunnerRow]:
    rows = Runner.objects.current().select_related("host", "scope", "pool").order_by("name", "pk")
    troubled = set(Runner.objects.in_trouble(now).values_list("pk", flat=True))
    return [
        RunnerRow(
            id=runner.pk,
            name=runner.name,
            state=runner.display_at(now).value,
            wanted=runner.state,
            phase=runner.phase,
            github_status=runner.github_status,
            busy=is_busy(runner.facts_at(now)),
            scope=runner.scope.slug,
            host=runner.host.name,
            pool=runner.pool.name if runner.pool else "",
            slot=runner.slot,
            ephemeral=runner.ephemeral,
            job=runner.job_name,
            since=runner.state_changed_at,
            reason=runner.state_reason,
            trouble=runner.pk in troubled,
        )
        for runner in rows
    ]


def _pools(now: datetime, closed: str) -> list[PoolRow]:
    rules = wiring.scaling_rules()
    scopes = pool_picture.scope_views(rules, now=now)
    counts = Counter(
        (runner.pool_id, runner.worth) for runner in pool_picture.supply(scopes, now=now)
    )
    return [
        PoolRow(
            name=pool.name,
            scope=pool.scope.slug,
            min_idle=pool.policy.min_idle,
            max_runners=pool.policy.max_runners,
            idle=counts[pool.id, Worth.IDLE],
            starting=counts[pool.id, Worth.STARTING],
            busy=counts[pool.id, Worth.BUSY],
            held_back=closed or (pool.held.words if pool.held else ""),
            quarantined=pool.held is not None and pool.held.code == Blocked.QUARANTINED,
        )
        for pool in pool_picture.pool_views(scopes, rules, now=now)
    ]


def _scopes() -> list[ScopeRow]:
    return [
        ScopeRow(
            scope=scope.slug,
            url=scope.web_url,
            credential=scope.credential.name,
            seen_at=scope.github_seen_at,
            unknown_since=scope.github_unknown_since,
            error=scope.github_error,
            foreign_runners=scope.foreign_runners,
        )
        for scope in Scope.objects.select_related("credential").order_by("slug")
    ]


def _credentials() -> list[CredentialRow]:
    return [
        CredentialRow(
            name=row.name,
            kind=row.kind,
            verdict=row.verdict,
            expires_at=row.expires_at,
            budget_limit=row.budget_limit,
            budget_remaining=row.budget_remaining,
            budget_reset_at=row.budget_reset_at,
        )
        for row in Credential.objects.order_by("name")
    ]


def _processes(now: datetime, silent_after: timedelta) -> list[ProcessRow]:
    beats = Beat.objects.in_bulk([loop.LOOP, loop.WORKER])
    found = []
    for name in (loop.LOOP, loop.WORKER):
        seen_at = beats[name].at if name in beats else None
        alive = seen_at is not None and now - seen_at <= silent_after
        found.append(ProcessRow(name=name, seen_at=seen_at, alive=alive))
    return found


def _process_problems(processes: list[ProcessRow]) -> list[str]:
    return [
        f"The {row['name']} shows no sign of life: start `fleet_{row['name']}`."
        for row in processes
        if not row["alive"]
    ]


def _github_problems(
    scopes: list[ScopeRow], credentials: list[CredentialRow], now: datetime
) -> list[str]:
    said = [
        f"GitHub is unknown for {row['scope']} since {row['unknown_since']:%Y-%m-%d %H:%M:%S} UTC: "
        f"{row['error']}"
        for row in scopes
        if row["unknown_since"] is not None
    ]
    for row in credentials:
        if row["verdict"] and row["verdict"] not in USABLE:
            said.append(f"Credential {row['name']} is {row['verdict']}.")
        limit, remaining = row["budget_limit"], row["budget_remaining"]
        spent = limit and remaining is not None and remaining < limit * BUDGET_LOW_SHARE
        if spent and (row["budget_reset_at"] is None or row["budget_reset_at"] > now):
            said.append(f"Credential {row['name']} has {remaining} of {limit} API calls left.")
    return said


def _fleet_problems(
    hosts: list[HostRow], pools: list[PoolRow], runners: list[RunnerRow]
) -> list[str]:
    bad_hosts = [h for h in hosts if h["state"] in BAD_HOSTS]
    bad_runners = [r for r in runners if r["trouble"] or r["state"] == DisplayState.LOST]
    return [
        *(f"Host {host['name']} is {host['state']}." for host in bad_hosts),
        *(f"Pool {pool['name']} is quarantined." for pool in pools if pool["quarantined"]),
        *(f"Runner {row['name']} is {row['state']}{_why_failed(row)}." for row in bad_runners),
    ]


def _why_failed(row: RunnerRow) -> str:
    if row["state"] != DisplayState.FAILED or not row["reason"]:
        return ""
    return f": {row['reason'].rstrip('.')}"
