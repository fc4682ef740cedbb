"""The only writer of `Runner.state`: provision, observe, drain, deregister, fail, finish.

Every move is a conditional update with its `Event` in the same transaction. Nothing here calls
GitHub or a host: a move is decided and committed, and the worker (`reconcile`) and the agent
converge on it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.db import IntegrityError, transaction
from django.db.models import F
from django_q.tasks import async_task

from runners import (
    audit,
    crashes,
    fleet,
    hardware_labels,
    losses,
    placement,
    postmortems,
)
from runners.audit import Actor
from runners.errors import IllegalTransition, InvalidRequest, NoCapacity, StaleState
from runners.failure import NOTHING_TOLD, Cause, End
from runners.models import Event, Host, Label, Pool, Runner, RunnerPackage, Scope
from runners.scaling.policy import NO_SIZE, Size
from runners.states import SERVING, TRANSITIONS, RunnerState

NAME_LIMIT = 64
NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{NAME_LIMIT}}}")
LABEL_LIMIT = 256
LABELS_LIMIT = 100
COUNT_LIMIT = 100
GITHUB_ARCHITECTURES = ("x64", "arm64", "arm")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody asks to have provisioned.

    `host` None lets placement choose. `name_pattern` may hold {host}, {pool} and {random}; {host}
    and {random} are added when missing, so that two hosts never clash. `replaces` is the failed
    runner whose place one takes.
    """

    scope: Scope
    labels: Sequence[str]
    host: Host | None = None
    pool: Pool | None = None
    ephemeral: bool = True
    count: int = 1
    name_pattern: str = "{host}-{random}"
    runner_group_id: int | None = None
    runner_group_name: str = ""
    architecture: str = ""
    needs_gpu: bool = False
    sites: tuple[str, ...] = ()
    sites_only: bool = False
    host_labels: tuple[str, ...] = ()
    emulation: bool = False
    size: Size = NO_SIZE
    replaces: Runner | None = None

    @property
    def need(self) -> placement.Need:
        """What it asks of a host."""
        return placement.Need(
            labels=tuple(self.labels),
            host_id=self.host.pk if self.host else None,
            architecture=self.architecture,
            needs_gpu=self.needs_gpu,
            sites=self.sites,
            sites_only=self.sites_only,
            host_labels=self.host_labels,
            emulation=self.emulation,
            size=self.size,
        )


def transition(runner: Runner, to: RunnerState, *, by: Actor, reason: str, now: datetime) -> Event:
    """Move a runner and record who and why, in one transaction.

    Raises IllegalTransition when TRANSITIONS forbids it, StaleState when another writer moved
    first.
    """
    was = RunnerState(runner.state)
    if to not in TRANSITIONS[was]:
        raise IllegalTransition(
            f"{runner.name} is {was.label.lower()}, so it can't become {to.label.lower()}."
        )
    removed_at = now if to == RunnerState.REMOVED else None
    with transaction.atomic():
        # The host's row first, here as everywhere: two writers never wait for each other's row
        _tell_host(runner.host_id)
        moved = Runner.objects.filter(pk=runner.pk, state=was).update(
            state=to, state_changed_at=now, state_reason=reason, removed_at=removed_at
        )
        if not moved:
            raise StaleState(f"{runner.name} changed while you were looking. Reload and try again.")
        event = audit.record(
            runner, f"runner.{to.value}", by=by, at=now, was=was, became=to, reason=reason
        )
    runner.state, runner.state_changed_at, runner.state_reason = to, now, reason
    runner.removed_at = removed_at
    return event


def provision(order: Order, *, by: Actor, reason: str, now: datetime) -> list[Runner]:
    """Create runners in `provisioning`, each holding one slot of a host, all or none.

    Raises InvalidRequest for labels, counts or names that GitHub or we refuse, NoCapacity when the
    hosts that can serve the labels have too few free slots, Quiesced while the fleet admits none.
    """
    fleet.require_open()
    labels = clean_labels(order.labels)
    if not 1 <= order.count <= COUNT_LIMIT:
        raise InvalidRequest(f"Ask for between 1 and {COUNT_LIMIT} runners at a time.")
    with transaction.atomic():
        label_rows = get_labels(labels)
        runners = []
        taken = placement.free_slots(replace(order, labels=labels).need, count=order.count, now=now)
        for host in {host.pk: host for host, _ in taken}.values():
            _require_package(order.scope, host)
        for host, slot in taken:
            runners.append(_create(order, host, slot, label_rows, by=by, reason=reason, now=now))
        for host_id in sorted({host.pk for host, _ in taken}):
            _tell_host(host_id)
    return runners


def _create(
    order: Order,
    host: Host,
    slot: int,
    labels: Sequence[Label],
    *,
    by: Actor,
    reason: str,
    now: datetime,
) -> Runner:
    gpu, gpu_place = _gpu_for(order, host)
    runner = Runner(
        name=runner_name(order.name_pattern, host=host, pool=order.pool),
        scope=order.scope,
        host=host,
        pool=order.pool,
        slot=slot,
        ephemeral=order.ephemeral,
        gpu=gpu,
        gpu_place=gpu_place,
        emulates=hardware_labels.emulated_architecture(order.labels),
        runner_group_id=order.runner_group_id or order.scope.runner_group_id,
        runner_group_name=order.runner_group_name or order.scope.runner_group_name,
        state=RunnerState.PROVISIONING,
        state_changed_at=now,
        state_reason=reason,
        created_at=now,
        replaces=order.replaces,
        crashes=order.replaces.crashes if order.replaces else 0,
    )
    try:
        with transaction.atomic():
            runner.save(force_insert=True)
    except IntegrityError as error:
        if order.replaces and Runner.objects.filter(replaces=order.replaces).exists():
            raise StaleState(f"{order.replaces.name} was replaced a moment ago.") from error
        raise NoCapacity(
            f"Slot {slot} on {host.name}, or its GPU, was taken a moment ago. Try again."
        ) from error
    runner.labels.set(labels)
    audit.record(
        runner,
        "runner.provision",
        by=by,
        at=now,
        became=RunnerState.PROVISIONING,
        reason=reason,
        detail={
            "host": host.name,
            "scope": order.scope.slug,
            "labels": [label.name for label in labels],
            "ephemeral": order.ephemeral,
        },
    )
    return runner


def _gpu_for(order: Order, host: Host) -> tuple[str, int]:
    """The GPU of a new runner and its place there; ("", 0) for one that needs none."""
    if not placement.wants_gpu(order.need):
        return "", 0
    # Two that choose at once would both find the same GPU free; the constraint only stops those
    # that take it alone
    Host.objects.select_for_update().filter(pk=host.pk).first()
    return placement.free_gpu(host, shares=order.pool.runners_per_gpu if order.pool else 1)


def _require_package(scope: Scope, host: Host) -> None:
    """Refuse a host whose architecture GitHub makes no runner for, unless somebody gave one.

    Raises InvalidRequest. Never another architecture's: it would not even start.
    """
    if host.architecture in ("", *GITHUB_ARCHITECTURES):
        return
    own = RunnerPackage.objects.filter(scope=scope, os=host.os, architecture=host.architecture)
    if not own.exists():
        raise InvalidRequest(
            f"GitHub makes no runner for {host.architecture}, which {host.name} is. Give "
            f"{scope.slug} a build of your own with its SHA-256, or choose another host."
        )


def drain(
    runner: Runner, *, by: Actor, reason: str, now: datetime, deadline_at: datetime | None = None
) -> Event:
    """Let the runner finish its job and take no other; then it is deregistered and its slot freed.

    Draining a draining runner updates its deadline and reason.
    """
    if runner.state == RunnerState.DRAINING:
        with transaction.atomic():
            _update_if(
                runner, RunnerState.DRAINING, drain_deadline_at=deadline_at, state_reason=reason
            )
            event = audit.record(
                runner, "runner.drain-update", by=by, at=now, reason=reason, became="draining"
            )
        runner.drain_deadline_at, runner.state_reason = deadline_at, reason
        return event
    with transaction.atomic():
        event = transition(runner, RunnerState.DRAINING, by=by, reason=reason, now=now)
        Runner.objects.filter(pk=runner.pk).update(drain_deadline_at=deadline_at)
        runner.drain_deadline_at = deadline_at
        wake_reconcile(runner.scope_id)
    return event


def stop_drain(runner: Runner, *, by: Actor, reason: str, now: datetime) -> Event:
    """Give a draining runner back to work, as long as GitHub still has it.

    One that was never seen online goes on starting: it counts once it is.
    """
    if runner.state != RunnerState.DRAINING:
        raise IllegalTransition(f"{runner.name} does not drain, so there is nothing to stop.")
    back = RunnerState.PROVISIONING if runner.online_at is None else RunnerState.ACTIVE
    with transaction.atomic():
        event = transition(runner, back, by=by, reason=reason, now=now)
        registered = Runner.objects.filter(pk=runner.pk, github_deleted_at__isnull=True)
        if not registered.update(drain_deadline_at=None):
            raise InvalidRequest(
                f"{runner.name} is already deregistered at GitHub, so its drain can't be stopped."
            )
    runner.drain_deadline_at = None
    return event


def deregister(
    runner: Runner, *, by: Actor, reason: str, now: datetime, force: bool = False
) -> Event:
    """Take the runner out of service: deleted at GitHub first, then stopped and wiped.

    Without `force` this is a drain: a runner that works finishes its job. With `force` its process
    is ended now and the job on it fails; the reason is required and recorded.
    """
    if not force:
        if runner.state == RunnerState.FAILED:
            with transaction.atomic():
                event = transition(runner, RunnerState.REMOVING, by=by, reason=reason, now=now)
                wake_reconcile(runner.scope_id)
            return event
        deadline = runner.drain_deadline_at if runner.state == RunnerState.DRAINING else None
        return drain(runner, by=by, reason=reason, now=now, deadline_at=deadline)
    if not reason.strip():
        raise InvalidRequest("Say why: forcing a runner out fails the job on it.")
    with transaction.atomic():
        if runner.state == RunnerState.REMOVING:
            event = audit.record(
                runner, "runner.force", by=by, at=now, reason=reason, became="removing"
            )
            _tell_host(runner.host_id)
        else:
            event = transition(runner, RunnerState.REMOVING, by=by, reason=reason, now=now)
        Runner.objects.filter(pk=runner.pk).update(force=True)
        runner.force = True
        if losses.was_busy(runner, NOTHING_TOLD):
            losses.lose_job_of(runner, cause=Cause.FORCED, now=now, by=by)
        wake_reconcile(runner.scope_id)
    return event


def activate(runner: Runner, *, now: datetime, by: Actor) -> Event:
    """The runner was seen online at GitHub: it counts as supply from now on."""
    with transaction.atomic():
        event = transition(runner, RunnerState.ACTIVE, by=by, reason="Online at GitHub", now=now)
        Runner.objects.filter(pk=runner.pk).update(online_at=now)
        crashes.note_active(runner)
    runner.online_at = now
    return event


def fail(
    runner: Runner,
    *,
    cause: Cause,
    reason: str,
    now: datetime,
    by: Actor,
    end: End = NOTHING_TOLD,
) -> Event:
    """The runner cannot go on; cause and reason are what its page shows, with a postmortem.

    The job it worked on is recorded as lost with it, and it is replaced when that is due
    (`recovery`).
    """
    serving = runner.state in SERVING
    with transaction.atomic():
        event = transition(runner, RunnerState.FAILED, by=by, reason=reason, now=now)
        Runner.objects.filter(pk=runner.pk).update(failure_cause=cause)
        runner.failure_cause = cause
        job = None
        if losses.was_busy(runner, end):
            job = losses.lose_job_of(runner, cause=cause, now=now, by=by)
        postmortems.write(runner, cause=cause, words=reason, end=end, job=job, now=now)
        crashes.note_failure(runner, cause=cause, serving=serving, now=now, by=by)
        if cause == Cause.DEPRECATED:
            # GitHub takes newer ones only: the next pass asks which, whatever we knew
            RunnerPackage.objects.filter(scope=runner.scope_id).update(seen_at=LONG_AGO)
        wake_reconcile(runner.scope_id)
    return event


def retire_registration(runner: Runner, *, reason: str, now: datetime, by: Actor) -> Event:
    """GitHub no longer has the runner: its process may be stopped and wiped."""
    return transition(runner, RunnerState.REMOVING, by=by, reason=reason, now=now)


def finish(runner: Runner, *, reason: str, now: datetime, by: Actor) -> Event:
    """Nothing of the runner is left at GitHub or on the host: give the slot back and close the
    row."""
    with transaction.atomic():
        event = transition(runner, RunnerState.REMOVED, by=by, reason=reason, now=now)
        release_slot(runner)
    return event


def release_slot(runner: Runner) -> None:
    """Give the runner's slot back to its host."""
    Runner.objects.filter(pk=runner.pk, slot__isnull=False).update(slot=None)
    runner.slot = None
    _tell_host(runner.host_id)


def edit_labels(
    runner: Runner, labels: Iterable[str], *, by: Actor, reason: str, now: datetime
) -> Event:
    """Change the custom labels of a persistent runner; the worker carries them to GitHub."""
    if runner.ephemeral:
        raise InvalidRequest(
            f"{runner.name} is ephemeral: its labels are fixed. Change its pool or provision anew."
        )
    if runner.state not in (RunnerState.PROVISIONING, RunnerState.ACTIVE):
        raise InvalidRequest(f"{runner.name} is {runner.get_state_display().lower()}.")
    wanted = clean_labels(labels)
    with transaction.atomic():
        was = sorted(label.name for label in runner.labels.all())
        runner.labels.set(get_labels(wanted))
        event = audit.record(
            runner,
            "runner.labels",
            by=by,
            at=now,
            was=", ".join(was),
            became=", ".join(sorted(wanted)),
            reason=reason,
        )
        async_task("runners.tasks.push_labels", runner.pk)
    return event


def clean_labels(labels: Iterable[str]) -> list[str]:
    """Return the labels trimmed, without doubles (case aside), in the order given.

    Raises InvalidRequest for none, too many, too long, or a comma inside one.
    """
    seen: dict[str, str] = {}
    for label in labels:
        text = label.strip()
        if text:
            seen.setdefault(text.lower(), text)
    if not 1 <= len(seen) <= LABELS_LIMIT:
        raise InvalidRequest(f"Give between 1 and {LABELS_LIMIT} labels.")
    for text in seen.values():
        if len(text) > LABEL_LIMIT or "," in text:
            raise InvalidRequest(
                f"A label has at most {LABEL_LIMIT} characters and no comma: {text[:40]}"
            )
    return list(seen.values())


def get_labels(names: Iterable[str]) -> list[Label]:
    """Return the rows for these names, made where missing; spelling of the first use is kept."""
    rows = []
    for name in names:
        row = Label.objects.filter(name__iexact=name).first()
        if row is None:
            try:
                with transaction.atomic():
                    row = Label.objects.create(name=name)
            except IntegrityError:  # somebody else made it in the same moment
                row = Label.objects.get(name__iexact=name)
        rows.append(row)
    return rows


def runner_name(pattern: str, *, host: Host, pool: Pool | None) -> str:
    """Return a fresh name of at most 64 characters; always holds the host's name and a random
    part.

    A pool's name is cut where the whole would be too long; GitHub takes no more.
    """
    for part in ("{host}", "{random}"):
        if part not in pattern:
            pattern = f"{pattern}-{part}"
    name = pattern.replace("{host}", host.name).replace("{random}", secrets.token_hex(4))
    pool_name = pool.name if pool else "runner"
    room = NAME_LIMIT - len(name.replace("{pool}", ""))
    name = name.replace("{pool}", pool_name[: max(1, room // max(1, name.count("{pool}")))])
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"Runner names are letters, digits, - _ and ., at most {NAME_LIMIT}: {name}"
        )
    return name


def _update_if(runner: Runner, state: RunnerState, **fields: object) -> None:
    if not Runner.objects.filter(pk=runner.pk, state=state).update(**fields):
        raise StaleState(f"{runner.name} changed while you were looking. Reload and try again.")


def _tell_host(host_id: int) -> None:
    """Raise the version of the host's wanted set, so that the agent sees something changed."""
    Host.objects.filter(pk=host_id).update(wanted_version=F("wanted_version") + 1)


def wake_reconcile(scope_id: int) -> None:
    """Queue a look at the scope now instead of at the next beat; asked often, it is queued once."""
    if Scope.objects.filter(pk=scope_id, reconcile_wanted=False).update(reconcile_wanted=True):
        async_task("runners.tasks.reconcile_scope", scope_id)


def wake_scaling() -> None:
    """Queue a look at the pools now instead of at the next beat; asked often, it is queued once."""
    if fleet.wish_scaling():
        async_task("runners.tasks.scale_pools")
