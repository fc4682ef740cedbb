"""What a plan is made from, read from the tables: waiting jobs, runners, pools, hosts.

Read only, and a fixed number of queries however large the fleet is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db.models import OuterRef, Subquery

from runners import fleet, placement, pool_policy, recovery
from runners.hardware_labels import host_labels
from runners.job_polling import WEBHOOK_ALIVE_FOR
from runners.job_sources import JobSource, in_force
from runners.models import Delivery, Host, Job, Pool, Runner, Scope
from runners.scaling import (
    Blocked,
    Demand,
    Held,
    HostRoom,
    Pacing,
    Plan,
    PoolView,
    RunnerView,
    ScopeView,
    Worth,
    plan,
)
from runners.scaling.policy import NO_SIZE
from runners.states import LIVE, PROCESS_ENDED, GitHubStatus, Phase, RunnerState

REGISTRATION_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the installation sets for every pool.

    `registrations` within five minutes, `burst` of them in one plan. `start_deadline`: of pools
    that name none. `picture_stale_after`: how old the last look at a queue may be. `job_source`: of
    scopes that choose none.
    """

    registrations: int = 1500
    burst: int = 200
    start_deadline: timedelta = timedelta(seconds=120)
    grace: timedelta = timedelta(seconds=90)
    picture_stale_after: timedelta | None = None
    job_source: str = JobSource.BOTH.value


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything `scaling.plan` takes, true for `now`."""

    demand: tuple[Demand, ...]
    supply: tuple[RunnerView, ...]
    pools: tuple[PoolView, ...]
    hosts: tuple[HostRoom, ...]
    pacing: Pacing
    closed: Held | None
    now: datetime

    def plan(self) -> Plan:
        """What the scaler would do now."""
        return plan(
            self.demand,
            self.supply,
            self.pools,
            self.hosts,
            now=self.now,
            pacing=self.pacing,
            closed=self.closed,
        )


def look(rules: Rules, *, now: datetime) -> Picture:
    """Read the whole picture."""
    scopes = scope_views(rules, now=now)
    why = fleet.quiesced()
    pools = pool_views(scopes, rules, now=now)
    left = max(0, rules.registrations - registrations_since(now - REGISTRATION_WINDOW))
    return Picture(
        demand=demand(scopes),
        supply=supply(scopes, now=now),
        pools=pools,
        hosts=host_rooms(now=now, pools=pools),
        pacing=Pacing(
            left=left,
            burst=rules.burst,
            grace=rules.grace,
            stale_after=rules.picture_stale_after,
        ),
        closed=Held(Blocked.QUIESCED, why.rstrip(".")) if why else None,
        now=now,
    )


def scope_views(rules: Rules, *, now: datetime) -> dict[int, ScopeView]:
    """Every scope by id."""
    last = Delivery.objects.filter(scope=OuterRef("pk"), replayed=False).order_by("-received_at")
    rows = Scope.objects.annotate(delivered_at=Subquery(last.values("received_at")[:1]))
    return {scope.pk: scope_view(scope, scope.delivered_at, rules, now=now) for scope in rows}


def scope_view(
    scope: Scope, delivered_at: datetime | None, rules: Rules, *, now: datetime
) -> ScopeView:
    """What a plan knows of a scope. Where a webhook tells of jobs as they come, the picture is
    whole; else it is as old as the last look at the repository unseen for longest. A webhook that
    never sent anything tells of none."""
    source = in_force(scope.job_source, rules.job_source)
    hook = scope.webhook_secret_encrypted and not scope.webhook_deleted_at
    heard_at = delivered_at or scope.webhook_pinged_at
    alone = source is JobSource.WEBHOOK
    told = heard_at is not None and (alone or now - heard_at <= WEBHOOK_ALIVE_FOR)
    whole = bool(hook) and not scope.webhook_problem and source.takes_deliveries and told
    return ScopeView(
        id=scope.pk,
        kind=scope.kind,
        slug=scope.slug,
        server=urlsplit(scope.web_url).hostname or "",
        unknown_since=scope.github_unknown_since,
        back_at=scope.github_back_at,
        picture_at=now if whole else scope.jobs_swept_at,
        looked_at=now if whole else scope.jobs_polled_at,
    )


def demand(scopes: Mapping[int, ScopeView]) -> tuple[Demand, ...]:
    """Queued jobs by scope, repository and labels, each once."""
    rows = list(
        Job.objects.filter(status=Job.Status.QUEUED)
        .order_by("queued_at", "pk")
        .values_list("pk", "github_id", "scope_id", "repository", "labels", "queued_at")
    )
    groups: dict[tuple[int, str, frozenset[str]], list[tuple[int, datetime]]] = {}
    told = told_once(((pk, github_id, scope_id) for pk, github_id, scope_id, *_ in rows), scopes)
    labels_of: dict[tuple[str, ...], frozenset[str]] = {}
    for pk, _, scope_id, repository, labels, queued_at in rows:
        if pk not in told:
            continue
        spelled = tuple(str(label) for label in labels)
        names = labels_of.get(spelled)
        if names is None:
            names = labels_of[spelled] = frozenset(label.lower() for label in spelled)
        groups.setdefault((scope_id, repository, names), []).append((pk, queued_at))
    return tuple(
        Demand(
            scope=scopes[scope_id],
            repository=repository,
            labels=labels,
            job_ids=tuple(pk for pk, _ in jobs),
            queued_at=tuple(queued_at for _, queued_at in jobs),
        )
        for (scope_id, repository, labels), jobs in groups.items()
    )


def told_once(
    jobs: Iterable[tuple[int, int, int]], scopes: Mapping[int, ScopeView]
) -> frozenset[int]:
    """Of jobs, as (pk, GitHub's id, scope id), the rows that count: one told to two scopes once.

    As one of the enterprise where it was told there too: only so do its runners reach the job.
    """
    counts: dict[tuple[str, int], int] = {}
    for pk, github_id, scope_id in jobs:
        key = scopes[scope_id].server, github_id
        if key not in counts or scopes[scope_id].kind == Scope.Kind.ENTERPRISE:
            counts[key] = pk
    return frozenset(counts.values())


_COLUMNS = (
    "pk",
    "pool_id",
    "scope_id",
    "host_id",
    "state",
    "state_changed_at",
    "phase",
    "ephemeral",
    "github_status",
    "github_busy",
    "created_at",
    "online_at",
    "job_started_at",
    "job_ended_at",
    "observed_at",
    "host__offline_after",
)


def supply(scopes: Mapping[int, ScopeView], *, now: datetime) -> tuple[RunnerView, ...]:
    """Every live runner and what it is worth."""
    working = dict(
        Job.objects.unfinished()
        .filter(status=Job.Status.IN_PROGRESS, runner__state__in=LIVE)
        .values_list("runner_id", "started_at")
    )
    rows = list(Runner.objects.live().order_by("pk").values_list(*_COLUMNS, named=True))
    alone = any(row.pool_id is None for row in rows)
    labels = _labels_of_the_unpooled() if alone else {}
    return tuple(_view(row, scopes, labels, working, now) for row in rows)


def _view(
    row: Runner,
    scopes: Mapping[int, ScopeView],
    labels: Mapping[int, frozenset[str]],
    working: Mapping[int, datetime | None],
    now: datetime,
) -> RunnerView:
    told = row.pk in working
    worth = _worth(row, scopes[row.scope_id], told=told, now=now)
    return RunnerView(
        id=row.pk,
        worth=worth,
        since=_since(row, worth, scopes[row.scope_id], working.get(row.pk)),
        online_at=row.online_at,
        pool_id=row.pool_id,
        host_id=row.host_id,
        ephemeral=row.ephemeral,
        untold_job=worth is Worth.BUSY and not told,
        scope=scopes[row.scope_id],
        labels=labels.get(row.pk, frozenset()),
    )


def _worth(row: Runner, scope: ScopeView, *, told: bool, now: datetime) -> Worth:
    """The rules of `states.display_state`, and what a plan must know beyond the word."""
    silent_after: datetime | None = row.host__offline_after  # type: ignore[attr-defined]
    if row.state == RunnerState.REMOVING:
        return Worth.LEAVING
    # A persistent runner that ended is started again by its host, so it still counts
    over = row.ephemeral or row.state == RunnerState.DRAINING
    if over and row.phase in PROCESS_ENDED and row.state != RunnerState.PROVISIONING:
        return Worth.LEAVING
    if row.state == RunnerState.DRAINING:
        return Worth.DRAINING
    if silent_after is not None and silent_after <= now:
        return Worth.UNKNOWN
    # One that works before it was seen online at GitHub is on its way for nobody else
    if row.phase == Phase.BUSY or row.github_busy or told:
        return Worth.BUSY
    if row.state == RunnerState.PROVISIONING:
        return Worth.STARTING
    if scope.unknown_since is not None:
        return Worth.UNKNOWN
    gone = row.github_status in (GitHubStatus.OFFLINE, GitHubStatus.ABSENT)
    return Worth.OFFLINE if gone or row.phase in PROCESS_ENDED else Worth.IDLE


def _since(row: Runner, worth: Worth, scope: ScopeView, began: datetime | None) -> datetime:
    """Since when it is worth that: of an idle one, since it came online or ended its last job."""
    if worth is Worth.BUSY:
        return began or row.job_started_at or row.observed_at or row.state_changed_at
    if worth is Worth.IDLE:
        return max(filter(None, (row.online_at, row.job_ended_at, row.state_changed_at)))
    if worth is Worth.STARTING and scope.back_at is not None:
        return max(row.state_changed_at, scope.back_at)
    return row.state_changed_at


def _labels_of_the_unpooled() -> dict[int, frozenset[str]]:
    """Labels (lower case) of the live runners without a pool, by runner id."""
    through = Runner.labels.through.objects.filter(
        runner__pool__isnull=True, runner__state__in=LIVE
    )
    names: dict[int, set[str]] = {}
    for runner_id, name in through.values_list("runner_id", "label__name"):
        names.setdefault(runner_id, set()).add(name.lower())
    return {runner_id: frozenset(labels) for runner_id, labels in names.items()}


def pool_views(
    scopes: Mapping[int, ScopeView], rules: Rules, *, now: datetime
) -> tuple[PoolView, ...]:
    """Every pool with its policy and what holds it back, by name."""
    pools = list(
        Pool.objects.select_related("scope__credential").prefetch_related("labels").order_by("name")
    )
    refused = versions_refused(pools)
    return tuple(
        pool_view(pool, scopes[pool.scope_id], rules, now=now, refused=refused.get(pool.pk, ""))
        for pool in pools
    )


def pool_view(
    pool: Pool, scope: ScopeView, rules: Rules, *, now: datetime, refused: str = ""
) -> PoolView:
    """What a plan knows of a pool; `refused`: why GitHub takes none of its runners' versions."""
    policy = pool_policy.scaling_policy(
        pool_policy.policy_of(pool),
        start_deadline_seconds=int(rules.start_deadline.total_seconds()),
    )
    return PoolView(
        id=pool.pk,
        name=pool.name,
        scope=scope,
        policy=policy,
        held=held(pool, now=now, refused=refused),
        scaled_at=pool.scaled_at,
    )


def held(pool: Pool, *, now: datetime, refused: str = "") -> Held | None:
    """What keeps the pool from starting anything; None when nothing does."""
    if pool.paused_at is not None and (pool.paused_until is None or pool.paused_until > now):
        words = f"paused{f', {pool.paused_reason}' if pool.paused_reason else ''}"
        return Held(Blocked.PAUSED, words, pool.paused_until)
    if pool.quarantined_at is not None:
        words = f"quarantined after {pool.consecutive_failures} failures, until it is released"
        return Held(Blocked.QUARANTINED, words)
    if pool.scope.github_unknown_since is not None:
        return Held(Blocked.GITHUB_UNKNOWN, "GitHub can't be reached")
    credential = pool.scope.credential
    renewed = credential.budget_reset_at
    if credential.budget_remaining == 0 and renewed is not None and renewed > now:
        words = f"the API budget of {credential.name} is spent until {renewed:%H:%M:%S}"
        return Held(Blocked.BUDGET_SPENT, words, renewed)
    if pool.backoff_until is not None and pool.backoff_until > now:
        failures = pool.consecutive_failures
        words = f"waiting until {pool.backoff_until:%H:%M:%S} after {failures} failures"
        return Held(Blocked.BACKING_OFF, words, pool.backoff_until)
    return Held(Blocked.VERSION_REFUSED, refused) if refused else None


def versions_refused(pools: list[Pool]) -> dict[int, str]:
    """Pools whose last runner's version GitHub refused, while it offers none that is newer.

    Looks only at pools whose starts fail; those are few.
    """
    why: dict[int, str] = {}
    for pool in pools:
        if not pool.consecutive_failures:
            continue
        last = (
            Runner.objects.filter(pool=pool, state=RunnerState.FAILED)
            .select_related("host")
            .order_by("-state_changed_at")
            .first()
        )
        if last is not None and (words := recovery.no_newer_version(last)):
            why[pool.pk] = words
    return why


def host_rooms(
    *,
    now: datetime,
    among: placement.Room | None = None,
    pools: Iterable[PoolView] | None = None,
) -> tuple[HostRoom, ...]:
    """Every host in service with what it has left, by name; `among` is a reading of them.

    `pools`: only what these ask of hosts is read; None for everything.
    """
    policies = None if pools is None else [pool.policy for pool in pools]
    sized = policies is None or any(policy.size != NO_SIZE for policy in policies)
    there_is = among or placement.room(sized=sized)
    labels: dict[int, set[str]] = {}
    if policies is None or any(policy.host_labels for policy in policies):
        carried = Host.labels.through.objects.filter(host__retired_at__isnull=True)
        for host_id, name in carried.values_list("host_id", "label__name"):
            labels.setdefault(host_id, set()).add(name.lower())
    return tuple(
        HostRoom(
            id=host.pk,
            name=host.name,
            slots=host.slots,
            free=there_is.free(host),
            left=there_is.left(host),
            site=host.site.lower(),
            labels=frozenset(labels.get(host.pk, ())),
            architecture=host.architecture,
            emulated=host.emulated,
            has_gpu=host.gpu_count > 0,
            proves=frozenset(label.lower() for label in host_labels(host)),
            refusal=placement.closed(host, now=now),
        )
        for host in there_is.hosts
    )


def registrations_since(moment: datetime) -> int:
    """Runners asked for since then, whoever asked: each is one registration at GitHub."""
    return Runner.objects.filter(created_at__gt=moment).count()
