"""One runner's page as ready values: its life so far, its job, and its three columns of facts.

Read only; `runner_page` runs a constant number of queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.urls import reverse

from runners import drift
from runners.countdown_listing import OfferKey, of_known, offers
from runners.countdowns import Kind, Offer
from runners.doctor import health
from runners.models import Drift, Event, Job, Runner, RunnerLog
from runners.states import DisplayState, GitHubStatus, HostState, Phase, RunnerState
from runners.views.countdowns import NAMES
from runners.views.event_words import Happening, words_of
from runners.views.findings import FindingRow, rows, summary
from runners.views.fleet_map import Rack, racks
from runners.views.runner_rows import Action, actions_for, current_jobs, job_words
from runners.views.what_happened import WhatHappened, what_happened

EVENTS_SHOWN: Final = 30
LOG_CHARACTERS: Final = 8_000
ASKED_BY_NOW: Final = timedelta(minutes=3)
STILL_COUNTED: Final = (
    "GitHub still counts a job on it. This can last 15 minutes after a job; it is asked again with "
    "each pass."
)


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a runner's life; `weight` is its width in the track, 0 to 100."""

    label: str
    state: str
    began_at: datetime | None
    seconds: float | None
    weight: int
    now: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a column: a name and what is known, as text or as a moment."""

    name: str
    text: str = ""
    at: datetime | None = None
    mono: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """What one side says: what we want, what the host sees, what GitHub tells."""

    title: str
    note: str
    facts: list[Fact]


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job at work; `html_url` "" when GitHub has not told of it."""

    title: str
    text: str
    html_url: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RunnerPage:
    """Everything the page shows."""

    runner: Runner
    state: DisplayState
    labels: list[str]
    problem: str
    drift: list[str]
    drift_url: str
    waits: str
    steps: list[Step]
    job: CurrentJob | None
    columns: list[Column]
    health: list[FindingRow]
    health_words: str
    rack: Rack
    events: list[Happening]
    log: str
    log_cut: bool
    actions: list[Action]
    happened: WhatHappened | None
    announce: str


def runner_page(runner: Runner, *, now: datetime) -> RunnerPage:
    """Read what the page of `runner` (with host, scope and pool) shows."""
    state = runner.display_at(now)
    job = current_jobs([runner.pk]).get(runner.pk)
    log = RunnerLog.objects.filter(pk=runner.pk).first()
    text = log.text if log else ""
    offered = offers()
    offer = offered.get((runner.scope_id, runner.host.os, runner.host.architecture))
    checks = health.of_runner(runner, offer=offer, now=now)
    return RunnerPage(
        runner=runner,
        state=state,
        labels=[label.name for label in runner.labels.all()],
        problem=_problem(runner, state),
        drift=_drift(runner, now),
        drift_url=f"{reverse('drift-list')}?q={runner.name}",
        waits=_waits(runner, now),
        steps=_steps(runner, state, job, now),
        job=_job(runner, state, job, now),
        columns=[_wanted(runner), _observed(runner), _github(runner, offered, now)],
        health=rows(checks),
        health_words=summary(checks),
        rack=racks([runner.host], now=now)[0],
        events=_events(runner),
        log=text[-LOG_CHARACTERS:],
        log_cut=len(text) > LOG_CHARACTERS,
        actions=actions_for(runner),
        happened=what_happened(runner),
        announce=f"{runner.name}: {state.label}",
    )


def _problem(runner: Runner, state: DisplayState) -> str:
    if state == DisplayState.QUARANTINED:
        return f"It crashed {runner.crashes} times in a row, so it is not started again."
    if state == DisplayState.FAILED:
        return runner.state_reason or runner.phase_reason or "It could not go on."
    if state == DisplayState.LOST:
        return f"{runner.host.name} is silent, so what this runner does is unknown."
    if state == DisplayState.OFFLINE:
        return _mismatch(runner)
    return ""


def _drift(runner: Runner, now: datetime) -> list[str]:
    rows = Drift.objects.filter(drift.settled(now), runner=runner).order_by("since", "pk")
    return [row.get_kind_display() for row in rows]


def _waits(runner: Runner, now: datetime) -> str:
    """Say when GitHub keeps refusing to let go of a runner on which its host sees no job."""
    leaving = runner.state in (RunnerState.DRAINING, RunnerState.REMOVING)
    if not leaving or runner.github_id is None or runner.github_deleted_at is not None:
        return ""
    if runner.phase == Phase.BUSY or runner.host.state_at(now) == HostState.OFFLINE:
        return ""
    # Deleted at the first pass, unless it was refused; a refusal for another reason is told as such
    overdue = now - runner.state_changed_at >= ASKED_BY_NOW
    unheard = runner.scope.github_unknown_since is not None or runner.scope.github_error
    if not runner.github_busy and (unheard or not overdue):
        return ""
    return STILL_COUNTED


def _mismatch(runner: Runner) -> str:
    alive = Phase(runner.phase) in (Phase.LISTENING, Phase.BUSY)
    if runner.github_status == GitHubStatus.ABSENT:
        return "GitHub no longer has it registered" + (", but its process runs." if alive else ".")
    if runner.github_status == GitHubStatus.OFFLINE and alive:
        return "Its process runs, but GitHub says it is offline."
    return runner.phase_reason or f"Its process has ended: {Phase(runner.phase).label.lower()}."


def _steps(runner: Runner, state: DisplayState, job: Job | None, now: datetime) -> list[Step]:
    """Cut the runner's life where its times say it changed."""
    begun: list[tuple[str, str, datetime]] = [("Requested", "starting", runner.created_at)]
    if runner.registered_at:
        begun.append(("Registered", "starting", runner.registered_at))
    if runner.online_at:
        begun.append(("Online", "idle", runner.online_at))
    works_since = (job.started_at if job else None) or runner.job_started_at
    if works_since and (runner.phase == Phase.BUSY or runner.github_busy):
        begun.append(("Busy", "busy", works_since))
    if runner.state in (RunnerState.DRAINING, RunnerState.REMOVING, RunnerState.FAILED):
        begun.append((state.label, state.value, runner.state_changed_at))
    if runner.removed_at:
        begun.append(("Removed", "removed", runner.removed_at))
    begun.sort(key=lambda step: step[2])
    return _measured(begun, ended=runner.removed_at is not None, now=now)


def _measured(
    begun: Sequence[tuple[str, str, datetime]], *, ended: bool, now: datetime
) -> list[Step]:
    starts = [at for _, _, at in begun]
    ends = [*starts[1:], now]
    lengths = [
        max(0.0, (end - start).total_seconds()) for start, end in zip(starts, ends, strict=True)
    ]
    longest = max(lengths) or 1.0
    last = len(begun) - 1
    return [
        Step(
            label=label,
            state=state,
            began_at=at,
            seconds=None if ended and place == last else lengths[place],
            weight=max(4, round(lengths[place] / longest * 40)),
            now=place == last and not ended,
        )
        for place, (label, state, at) in enumerate(begun)
    ]


def _job(runner: Runner, state: DisplayState, job: Job | None, now: datetime) -> CurrentJob | None:
    if job is None and not (runner.phase == Phase.BUSY or runner.github_busy):
        return None
    if state in (DisplayState.REMOVED, DisplayState.FAILED, DisplayState.QUARANTINED):
        return None
    since = (job.started_at if job else None) or runner.job_started_at
    seconds = (now - since).total_seconds() if since else None
    if job is None:
        return CurrentJob(job_words(runner, None), "", "", seconds)
    parts = [job.repository, job.head_branch, job.workflow_name]
    return CurrentJob(job.name, " · ".join(part for part in parts if part), job.html_url, seconds)


def _wanted(runner: Runner) -> Column:
    facts = [
        Fact("State", runner.get_state_display()),
        Fact("Since", at=runner.state_changed_at),
        Fact("Why", runner.state_reason or "—"),
    ]
    if runner.drain_deadline_at:
        facts.append(Fact("Deadline", at=runner.drain_deadline_at))
    if runner.force:
        facts.append(Fact("Force", "its job may fail"))
    return Column("Wanted", "what this dashboard decided", facts)


def _observed(runner: Runner) -> Column:
    facts = [
        Fact("Process", Phase(runner.phase).label),
        Fact("Seen", at=runner.observed_at),
        Fact("Process id", str(runner.pid or "—"), mono=True),
        Fact("Version", runner.runner_version or "—", mono=True),
        Fact("Jobs done", str(runner.jobs_done)),
    ]
    if runner.exit_code is not None:
        facts.append(Fact("Exit code", str(runner.exit_code), mono=True))
    if runner.phase_reason:
        facts.append(Fact("Said", runner.phase_reason))
    return Column("Host", f"what {runner.host.name} sees", facts)


def _github(runner: Runner, offered: Mapping[OfferKey, Offer], now: datetime) -> Column:
    status = GitHubStatus(runner.github_status).label
    facts = [
        Fact("Status", f"{status}, busy" if runner.github_busy else status),
        Fact("Seen", at=runner.github_seen_at),
        Fact("Runner id", f"#{runner.github_id}" if runner.github_id else "—", mono=True),
        Fact("Group", runner.runner_group_name or str(runner.runner_group_id)),
    ]
    if runner.github_labels:
        facts.append(Fact("Labels", ", ".join(str(label) for label in runner.github_labels)))
    if runner.github_deleted_at:
        facts.append(Fact("Deleted", at=runner.github_deleted_at))
    facts += [
        Fact(NAMES[each.kind], "" if each.at else "ends, nobody can tell when", each.at)
        for each in of_known(runner, offered, now)
        if each.kind != Kind.DRAIN
    ]
    return Column("GitHub", f"what {runner.scope.slug} lists", facts)


def _events(runner: Runner) -> list[Happening]:
    events = Event.objects.filter(object_kind="runner", object_id=runner.pk)[:EVENTS_SHOWN]
    return [_happening(event) for event in events]


def _happening(event: Event) -> Happening:
    state, title = words_of(event.action)
    changed = f"{event.was} → {event.became}" if event.action == "runner.labels" else ""
    parts = [event.actor_name, changed, event.reason]
    return Happening(state, title, " · ".join(part for part in parts if part), event.at)
