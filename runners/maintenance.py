"""Rolling maintenance: a round over hosts, moved on at each beat, paused, resumed and stopped.

`rolling` decides which host moves; this carries it out through cordon and drain. Each step of a
host is one transaction with its event, so that a beat cut off anywhere is taken up by the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from runners import audit, enrolment, lifecycle, rolling
from runners.audit import Actor
from runners.errors import FleetError, InvalidRequest
from runners.models import Event, Host, Maintenance, MaintenanceHost, Pool, Runner
from runners.states import RunnerState

Act = Maintenance.Act
State = Maintenance.State
Step = MaintenanceHost.Step
OUT = (Step.DRAINING, Step.ACTING)
OVER = (Step.DONE, Step.SKIPPED)
MINUTES_LIMIT = 7 * 24 * 60
BY = Actor.system("maintenance")


@dataclass(frozen=True, slots=True)
class Plan:
    """What somebody asks for. `drain_minutes` None waits for jobs as long as they take."""

    hosts: Sequence[Host]
    reason: str
    act: str = Act.CONFIRM
    minutes: int = 30
    percent_out: int = 25
    drain_minutes: int | None = None


def start(plan: Plan, *, by: Actor, now: datetime) -> Maintenance:
    """Begin a round over these hosts, in this order. Raises InvalidRequest."""
    _check(plan)
    with transaction.atomic():
        work = Maintenance.objects.create(
            reason=plan.reason.strip()[:200],
            act=plan.act,
            minutes=plan.minutes,
            percent_out=plan.percent_out,
            drain_minutes=plan.drain_minutes,
            created_by=by.name[:150],
            created_at=now,
        )
        MaintenanceHost.objects.bulk_create(
            MaintenanceHost(maintenance=work, host=host, position=position, step_at=now)
            for position, host in enumerate(plan.hosts, start=1)
        )
        audit.record(
            work,
            "maintenance.start",
            by=by,
            at=now,
            became="running",
            reason=work.reason,
            detail={
                "hosts": [host.name for host in plan.hosts],
                "act": plan.act,
                "percent_out": plan.percent_out,
            },
        )
    return work


def _check(plan: Plan) -> None:
    if not plan.reason.strip():
        raise InvalidRequest("Say what the maintenance is for; others will see it.")
    if not plan.hosts:
        raise InvalidRequest("Choose at least one host in service.")
    if plan.act not in Act.values:
        raise InvalidRequest(f"What ends a host's turn is one of {', '.join(Act.values)}.")
    if not 1 <= plan.percent_out <= 100:
        raise InvalidRequest("The share out at once is between 1 and 100 percent.")
    if not 1 <= plan.minutes <= MINUTES_LIMIT:
        raise InvalidRequest(f"Minutes are between 1 and {MINUTES_LIMIT}.")
    if plan.drain_minutes is not None and not 1 <= plan.drain_minutes <= MINUTES_LIMIT:
        raise InvalidRequest(f"A drain's minutes are between 1 and {MINUTES_LIMIT}.")
    gone = [host.name for host in plan.hosts if host.retired_at is not None]
    if gone:
        raise InvalidRequest(f"{', '.join(gone)} is retired.")


def advance(work: Maintenance, *, now: datetime) -> int:
    """Move every host of a running round that may move; returns how many changed their step."""
    turns = list(_turns(work))
    places = {place.host_id: place for place in fleet_places(now)}
    elsewhere = set(
        MaintenanceHost.objects.filter(step__in=OUT)
        .exclude(maintenance=work)
        .values_list("host_id", flat=True)
    )
    rules = rolling.Rules(work.act, work.minutes, work.percent_out)
    by_host = {turn.host_id: turn for turn in turns}
    steps = rolling.next_steps(
        rules,
        [
            rolling.Turn(t.host_id, t.step, t.step_at, t.boot_id, t.note, t.host_id in elsewhere)
            for t in turns
        ],
        places.values(),
        now,
    )
    moved = 0
    for step in steps:
        turn = by_host[step.host_id]
        if step.to == turn.step:
            MaintenanceHost.objects.filter(pk=turn.pk, step=turn.step).update(note=step.note)
        else:
            moved += _apply(work, turn, step, now=now)
    _close_if_over(work, now=now)
    return moved


def advance_all(*, now: datetime) -> int:
    """One beat: every running round, oldest first; returns how many hosts changed their step."""
    running = Maintenance.objects.filter(state=State.RUNNING).order_by("created_at", "pk")
    return sum(advance(work, now=now) for work in running)


def _apply(work: Maintenance, turn: MaintenanceHost, step: rolling.Step, *, now: datetime) -> bool:
    if step.to == Step.DRAINING:
        return _take_out(work, turn, now=now)
    if step.to in OVER:
        return _give_back(work, turn, Step(step.to), by=BY, note=step.note, now=now)
    return _move(turn, Step(step.to), by=BY, note=step.note, now=now)


def _take_out(work: Maintenance, turn: MaintenanceHost, *, now: datetime) -> bool:
    host = turn.host
    try:
        with transaction.atomic():
            turn.cordoned_before, turn.boot_id = host.cordoned, host.boot_id
            if not _move(turn, Step.DRAINING, by=BY, note="", now=now):
                return False
            minutes = work.drain_minutes
            enrolment.drain_host(
                host,
                by=BY,
                reason=words_of(work),
                now=now,
                deadline_at=now + timedelta(minutes=minutes) if minutes else None,
            )
    except IntegrityError:
        return False  # another round took it out in this moment
    return True


def _give_back(
    work: Maintenance, turn: MaintenanceHost, to: Step, *, by: Actor, note: str, now: datetime
) -> bool:
    """End a host's turn: it takes runners again unless it was cordoned before."""
    was = Step(turn.step)
    with transaction.atomic():
        if not _move(turn, to, by=by, note=note, now=now):
            return False
        if was in OUT and not turn.cordoned_before and turn.host.retired_at is None:
            enrolment.uncordon(turn.host, by=by, reason=words_of(work), now=now)
            if to != Step.DONE:
                _stop_drains(work, turn.host, by=by, now=now)
    return True


def _stop_drains(work: Maintenance, host: Host, *, by: Actor, now: datetime) -> None:
    """Give the runners this round told to drain back to work, where GitHub still has them."""
    draining = Runner.objects.filter(
        host=host, state=RunnerState.DRAINING, state_reason=words_of(work)
    )
    for runner in draining:
        try:
            with transaction.atomic():
                lifecycle.stop_drain(runner, by=by, reason=words_of(work), now=now)
        except FleetError:
            continue  # already on its way out: it goes


def _move(turn: MaintenanceHost, to: Step, *, by: Actor, note: str, now: datetime) -> bool:
    was = turn.step
    with transaction.atomic():
        if not MaintenanceHost.objects.filter(pk=turn.pk, step=was).update(
            step=to,
            step_at=now,
            note=note[:200],
            boot_id=turn.boot_id,
            cordoned_before=turn.cordoned_before,
        ):
            return False
        audit.record(
            turn.host, "maintenance.step", by=by, at=now, was=was, became=to.value, reason=note
        )
    turn.step, turn.step_at, turn.note = to.value, now, note
    return True


def _close_if_over(work: Maintenance, *, now: datetime) -> None:
    if not work.hosts.exclude(step__in=OVER).exists():
        _end(work, (State.RUNNING,), State.DONE, "maintenance.done", by=BY, reason="", now=now)


def _end(
    work: Maintenance,
    was: Sequence[State],
    to: State,
    action: str,
    *,
    by: Actor,
    reason: str,
    now: datetime,
) -> Event | None:
    ended_at = now if to in (State.DONE, State.STOPPED) else None
    with transaction.atomic():
        rows = Maintenance.objects.filter(pk=work.pk, state__in=was)
        if not rows.update(state=to, ended_at=ended_at):
            return None
        event = audit.record(
            work, action, by=by, at=now, was=work.state, became=to.value, reason=reason
        )
    work.state, work.ended_at = to.value, ended_at
    return event


def pause(work: Maintenance, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Take no further host out; those that are out stay so. None when it was not running."""
    return _end(
        work, (State.RUNNING,), State.PAUSED, "maintenance.pause", by=by, reason=reason, now=now
    )


def resume(work: Maintenance, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Go on with a paused round. None when it was not paused."""
    return _end(
        work, (State.PAUSED,), State.RUNNING, "maintenance.resume", by=by, reason=reason, now=now
    )


def stop(work: Maintenance, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """End the round early: hosts that are out are given back. None when it was over."""
    with transaction.atomic():
        event = _end(
            work,
            (State.RUNNING, State.PAUSED),
            State.STOPPED,
            "maintenance.stop",
            by=by,
            reason=reason,
            now=now,
        )
        if event is not None:
            for turn in _turns(work).exclude(step__in=OVER):
                _give_back(work, turn, Step.SKIPPED, by=by, note="The round was stopped", now=now)
    return event


def skip(work: Maintenance, host: Host, *, by: Actor, now: datetime) -> None:
    """Leave a host out of the round; one that is out is given back. Raises InvalidRequest."""
    turn = _open_turn(work, host)
    _give_back(work, turn, Step.SKIPPED, by=by, note=f"Skipped by {by.name}", now=now)
    _close_if_over(work, now=now)


def confirm_done(work: Maintenance, host: Host, *, by: Actor, now: datetime) -> None:
    """Somebody says the work on this host is done. Raises InvalidRequest before its turn to be
    worked on, and while it is silent."""
    turn = _open_turn(work, host)
    if turn.step != Step.ACTING:
        raise InvalidRequest(
            f"{host.name} is not being worked on yet: {turn.get_step_display().lower()}."
        )
    if host.offline_after is None or host.offline_after <= now:
        raise InvalidRequest(
            f"{host.name} is silent. It counts as done once its heartbeat is back."
        )
    _give_back(work, turn, Step.DONE, by=by, note="", now=now)
    _close_if_over(work, now=now)


def _open_turn(work: Maintenance, host: Host) -> MaintenanceHost:
    turn = _turns(work).filter(host=host).exclude(step__in=OVER).first()
    if turn is None:
        raise InvalidRequest(f"{host.name} has no turn left in this round.")
    return turn


def _turns(work: Maintenance) -> QuerySet[MaintenanceHost]:
    return work.hosts.select_related("host").order_by("position")


def words_of(work: Maintenance) -> str:
    """The reason written on hosts and runners while the round has them."""
    return f"Maintenance {work.pk}: {work.reason}"[:200]


def fleet_places(now: datetime) -> list[rolling.Place]:
    """Every host in service with what it serves: its labels, its runners', the pools' it may run.

    Six queries, however many hosts.
    """
    hosts = list(Host.objects.in_service().prefetch_related("labels").order_by("name"))
    labels: dict[int, set[str]] = defaultdict(set)
    held = dict(Runner.objects.held_slots())
    carried = Runner.objects.live().order_by().values_list("host_id", "labels__name").distinct()
    for host_id, name in carried:
        if name:
            labels[host_id].add(name)
    pools = [
        (pool, {label.name for label in pool.labels.all()})
        for pool in Pool.objects.prefetch_related("labels")
    ]
    places = []
    for host in hosts:
        own = labels[host.pk] | {label.name for label in host.labels.all()}
        for pool, names in pools:
            fits = pool.architecture in ("", host.architecture)
            if fits and (host.gpu_count or not pool.needs_gpu):
                own |= names
        own.add(host.architecture or "unknown architecture")
        places.append(
            rolling.Place(
                host_id=host.pk,
                name=host.name,
                slots=host.slots,
                keys=frozenset(own),
                cordoned=host.cordoned,
                silent=host.offline_after is None or host.offline_after <= now,
                held=held.get(host.pk, 0),
                boot_id=host.boot_id,
            )
        )
    return places
