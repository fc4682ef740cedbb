"""Drift: the mismatches a pass found, kept since when; what is mended alone and what on request.

`reconcile` and `tasks.sweep_hosts` note what they find; `mend` carries repairs to GitHub, within
the pass. A repair that GitHub refuses stays wanted and says why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from runners import audit, fleet, leftovers, lifecycle, registration
from runners.audit import Actor
from runners.drift_kinds import MEANINGS, SAFE, DriftKind
from runners.errors import FleetError, InvalidRequest
from runners.failure import Cause
from runners.github.errors import GitHubError, NotFound, RateLimited, RunnerBusy
from runners.mismatches import Mismatch
from runners.models import Drift, Event, Fleet, Host, Runner, Scope
from runners.registry import RunnerRegistry, path_of

BY = Actor.system("drift")
WORDS = ("name", "wanted", "observed", "github", "github_id", "host_id", "runner_id", "detail")
OF_HOSTS = (DriftKind.LEFTOVER, DriftKind.UNKNOWN_PROCESS)
STRAY_REGISTRATIONS = (DriftKind.GHOST, DriftKind.FOREIGN, DriftKind.DUPLICATE_NAME)


def note(scope: Scope, found: Sequence[Mismatch], *, complete: bool, now: datetime) -> None:
    """Keep what a pass over a scope found; what a partial list does not show is unknown and
    stays."""
    rows = Drift.objects.filter(scope=scope).exclude(kind__in=OF_HOSTS)
    _sync(rows, found, scope_id=scope.pk, forget=complete, now=now)


def note_hosts(*, now: datetime) -> int:
    """Keep what hosts report to be left over; returns how many things there are."""
    found = [
        each
        for host in Host.objects.in_service().exclude(leftovers=[])
        for each in _of_host(host, now)
    ]
    _sync(Drift.objects.filter(kind__in=OF_HOSTS), found, scope_id=None, forget=True, now=now)
    return len(found)


def _of_host(host: Host, now: datetime) -> Iterable[Mismatch]:
    silent = host.offline_after is None or host.offline_after <= now
    for thing in host.leftovers:
        process = thing.get("kind") in ("process", leftovers.RUNNER)
        name = str(thing.get("name", ""))
        what = f"process {thing.get('pid')}" if process else str(thing.get("path", ""))
        yield Mismatch(
            kind=DriftKind.UNKNOWN_PROCESS if process else DriftKind.LEFTOVER,
            key=f"host:{host.pk}:{name}"[:200],
            name=f"{leftovers.shown(name)} on {host.name}"[:200],
            wanted="Nothing",
            observed=(f"unknown since the host is silent; was {what}" if silent else what)[:200],
            github="",
            host_id=host.pk,
            detail={"name": name, "path": str(thing.get("path", ""))[:500]},
        )


def _sync(
    rows: Iterable[Drift],
    found: Sequence[Mismatch],
    *,
    scope_id: int | None,
    forget: bool,
    now: datetime,
) -> None:
    known = {(row.kind, row.key): row for row in rows}
    new: list[Drift] = []
    changed: list[Drift] = []
    for each in found:
        row = known.pop((each.kind.value, each.key), None)
        words = {name: getattr(each, name) for name in WORDS[:-1]} | {"detail": dict(each.detail)}
        if row is None:
            new.append(Drift(kind=each.kind, key=each.key, scope_id=scope_id, since=now, **words))
        elif any(getattr(row, name) != value for name, value in words.items()):
            for name, value in words.items():
                setattr(row, name, value)
            changed.append(row)
    if new:
        # The same pass may be run twice after a kill: the second finds its rows there
        Drift.objects.bulk_create(new, ignore_conflicts=True)
    if changed:
        Drift.objects.bulk_update(changed, WORDS, batch_size=200)
    if forget and known:
        _forget(list(known.values()), now)


def _forget(rows: Sequence[Drift], now: datetime) -> None:
    """Delete what is found no more; of a registration whose deletion was cut off, tell it now."""
    with transaction.atomic():
        for row in rows:
            if row.fix_wanted_at is not None and row.kind in STRAY_REGISTRATIONS:
                audit.record(
                    row, "drift.fixed", by=BY, at=now, was=row.kind, became="not registered"
                )
        Drift.objects.filter(pk__in=[row.pk for row in rows]).delete()


def auto_kinds(whole: Fleet | None = None) -> frozenset[DriftKind]:
    """The kinds mended without asking: what a person chose, or the safe ones."""
    row = whole or Fleet.objects.filter(pk=fleet.ONLY).first()
    chosen = row.auto_fix if row is not None else None
    return frozenset(SAFE) if chosen is None else frozenset(map(DriftKind, chosen))


def set_auto_kinds(kinds: Collection[DriftKind], *, by: Actor, now: datetime) -> Event | None:
    """Choose what is mended without asking. Raises InvalidRequest for what is never ours to
    touch."""
    if DriftKind.FOREIGN in kinds:
        raise InvalidRequest("Somebody else's runners are never touched without a person's word.")
    was = auto_kinds()
    if was == frozenset(kinds):
        return None
    whole = fleet.get()
    with transaction.atomic():
        Fleet.objects.filter(pk=whole.pk).update(auto_fix=sorted(kind.value for kind in kinds))
        return audit.record(
            whole,
            "fleet.auto-fix",
            by=by,
            at=now,
            was=", ".join(sorted(kind.value for kind in was)),
            became=", ".join(sorted(kind.value for kind in kinds)),
        )


def settled(now: datetime) -> Q:
    """Drift that lasted long enough to be shown: most mismatches are news under way."""
    rule = Q()
    for seconds in sorted({meaning.settle_seconds for meaning in MEANINGS.values()}):
        kinds = [kind for kind, each in MEANINGS.items() if each.settle_seconds == seconds]
        rule |= Q(kind__in=kinds, since__lte=now - timedelta(seconds=seconds))
    return rule


def ours() -> Q:
    """Drift that is ours to mend: everything but somebody else's runners nobody adopted."""
    return ~Q(kind=DriftKind.FOREIGN) | Q(adopted_at__isnull=False)


def ask_to_fix(rows: Iterable[Drift], *, by: Actor, reason: str, now: datetime) -> list[Event]:
    """Have these mended: at the host with its next heartbeat, at GitHub by the next pass, now.

    Raises InvalidRequest, changing nothing, when one is somebody else's runner not adopted.
    """
    rows = list(rows)
    for row in rows:
        if row.kind == DriftKind.FOREIGN and row.adopted_at is None:
            raise InvalidRequest(f"{row.name} is somebody else's runner. Adopt it first.")
    events = []
    with transaction.atomic():
        Drift.objects.filter(pk__in=[row.pk for row in rows]).update(
            fix_wanted_at=now, fix_error=""
        )
        for row in rows:
            events.append(
                audit.record(
                    row,
                    "drift.fix",
                    by=by,
                    at=now,
                    was=row.kind,
                    became=MEANINGS[DriftKind(row.kind)].fix,
                    reason=reason,
                )
            )
            if row.kind in OF_HOSTS:
                _tell_host(row)
        for scope_id in sorted({row.scope_id for row in rows if row.scope_id is not None}):
            lifecycle.wake_reconcile(scope_id)
    return events


def adopt(row: Drift, *, by: Actor, reason: str, now: datetime) -> Event:
    """Make somebody else's runner ours to clean up. Raises InvalidRequest for any other kind."""
    if row.kind != DriftKind.FOREIGN:
        raise InvalidRequest(f"{row.name} carries our mark already.")
    if not reason.strip():
        raise InvalidRequest("Say why this runner may be touched: somebody else registered it.")
    with transaction.atomic():
        Drift.objects.filter(pk=row.pk).update(adopted_at=now)
        return audit.record(
            row, "drift.adopt", by=by, at=now, was="not ours", became="adopted", reason=reason
        )


def _tell_host(row: Drift) -> None:
    """Put the thing on its host's list of what to clean, which the next heartbeat hands out."""
    name = str(row.detail.get("name", ""))
    for host in Host.objects.select_for_update().filter(drifts=row):
        _ask_to_clean(host, name)


def _ask_to_clean(host: Host, name: str) -> None:
    if name and name not in host.leftovers_to_clean:
        Host.objects.filter(pk=host.pk).update(
            leftovers_to_clean=[*host.leftovers_to_clean, name],
            wanted_version=F("wanted_version") + 1,
        )


def mend_hosts(*, now: datetime) -> int:
    """Have left-over directories cleaned where that is automatic; returns how many were asked."""
    kinds = auto_kinds() & frozenset(OF_HOSTS)
    if not kinds:
        return 0
    rows = Drift.objects.filter(settled(now), kind__in=kinds, fix_wanted_at__isnull=True)
    return len(ask_to_fix(list(rows), by=BY, reason="Mended by itself", now=now))


def mend(
    scope: Scope,
    *,
    github: RunnerRegistry,
    auto: Collection[DriftKind],
    online_ghost: timedelta,
    now: datetime,
) -> int:
    """Carry out what is wanted or automatic in a scope; returns how many were mended.

    A ghost that is online is left alone for `online_ghost`, and as long as it is busy.
    """
    due = Q(fix_wanted_at__isnull=False) | (Q(kind__in=list(auto)) & settled(now))
    rows = (
        Drift.objects.filter(due, scope=scope)
        .exclude(kind__in=OF_HOSTS)
        .select_related("runner__host", "runner__scope")
    )
    mended = 0
    for row in rows:
        if not _may_be_mended(row, online_ghost, now):
            continue
        try:
            mended += _mend(row, scope, github, now)
        except RateLimited as error:
            _note_refusal(row, error.user_message)
            break
        except (FleetError, GitHubError) as error:
            _note_refusal(row, error.user_message)
    return mended


def _may_be_mended(row: Drift, online_ghost: timedelta, now: datetime) -> bool:
    if row.fix_wanted_at is not None:
        return row.kind != DriftKind.FOREIGN or row.adopted_at is not None
    if row.kind == DriftKind.GHOST:
        # One that is online may be news under way for longer; a busy one ends by itself
        wait = online_ghost if row.detail.get("online") else timedelta(0)
        return not row.detail.get("busy") and row.since + wait <= now
    return True


def _mend(row: Drift, scope: Scope, github: RunnerRegistry, now: datetime) -> int:
    """Mend one; 1 when something was done. The row goes when a pass no longer finds it."""
    kind = DriftKind(row.kind)
    if kind in STRAY_REGISTRATIONS and row.github_id is not None:
        return _forget_at_github(row, row.github_id, scope, github, now)
    runner = row.runner
    if runner is None:
        return 0
    if kind == DriftKind.LABELS and not runner.ephemeral:
        registration.push_labels(runner, github=github, now=now)
        return _done(row, runner, "labels pushed", now)
    by_hand = row.fix_wanted_at is not None
    if kind in (DriftKind.NEVER_ONLINE, DriftKind.REMOVED_AT_GITHUB) and not by_hand:
        return 0  # their deadlines are the plan's; a person's word makes it now
    if kind == DriftKind.NEVER_ONLINE:
        lifecycle.fail(
            runner,
            cause=Cause.START_DEADLINE,
            reason="Registered, but not online at GitHub; given up on before its deadline.",
            now=now,
            by=BY,
        )
        return _done(row, runner, "failed", now)
    lifecycle.drain(runner, by=BY, reason=kind.label, now=now)
    return _done(row, runner, "draining", now)


def _forget_at_github(
    row: Drift, github_id: int, scope: Scope, github: RunnerRegistry, now: datetime
) -> int:
    # In the table before it is done, so that a pass cut off here is told of by the next
    by_itself = Drift.objects.filter(pk=row.pk, fix_wanted_at__isnull=True)
    marked = by_itself.update(fix_wanted_at=now)
    try:
        github.delete_self_hosted_runner(path_of(scope), github_id)
    except NotFound:
        pass  # already gone, which is what we want
    except GitHubError as error:
        if marked:
            Drift.objects.filter(pk=row.pk).update(fix_wanted_at=None)
        if not isinstance(error, RunnerBusy):
            raise
        _note_refusal(row, "GitHub counts a job on it. It is tried again with each pass.")
        return 0
    with transaction.atomic():
        audit.record(row, "drift.fixed", by=BY, at=now, was=row.kind, became="not registered")
        row.delete()
    return 1


def _done(row: Drift, runner: Runner, became: str, now: datetime) -> int:
    with transaction.atomic():
        audit.record(runner, "drift.fixed", by=BY, at=now, was=row.kind, became=became)
        row.delete()
    return 1


def _note_refusal(row: Drift, words: str) -> None:
    Drift.objects.filter(pk=row.pk).update(fix_error=words[:300])
