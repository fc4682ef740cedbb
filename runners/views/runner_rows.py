"""What the pages say of a runner: its words, its doing, and which actions its state allows.

Read only; a constant number of queries however many runners.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.urls import reverse

from runners.models import Job, Runner
from runners.states import DisplayState, GitHubStatus, Phase, RunnerState
from runners.templatetags.fleet import duration


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do with a runner; `why_not` says why its state forbids it, "" when it may.

    `asks` means that a dialog comes first: the address answers GET with the question.
    """

    name: str
    label: str
    icon: str
    url: str
    why_not: str = ""
    asks: bool = False
    danger: bool = False


@dataclass(frozen=True, slots=True)
class RunnerRow:
    """One runner as lists show it; times in UTC, `cpu_percent` of all cores, whole numbers."""

    pk: int
    name: str
    url: str
    state: DisplayState
    kind: str
    host: str
    host_url: str
    slot: int | None
    doing: str
    doing_more: str
    cpu_percent: int | None
    memory_bytes: int | None
    created_at: datetime
    actions: list[Action]


def current_jobs(runner_ids: Iterable[int]) -> dict[int, Job]:
    """Return the running job of each of these runners, by runner; one query."""
    jobs = (
        Job.objects.unfinished()
        .filter(runner_id__in=list(runner_ids), status=Job.Status.IN_PROGRESS)
        .order_by("started_at")
    )
    return {job.runner_id: job for job in jobs if job.runner_id is not None}


def runner_rows(keys: Iterable[int], *, now: datetime) -> list[RunnerRow]:
    """Return the rows of these runners, in their order; three queries however many."""
    order = list(keys)
    runners = Runner.objects.for_rows().in_bulk(order)
    jobs = current_jobs(runners)
    return [_row(runners[key], jobs.get(key), now) for key in order if key in runners]


def _row(runner: Runner, job: Job | None, now: datetime) -> RunnerRow:
    state = runner.display_at(now)
    doing, more = doing_words(runner, state, job, now)
    labels = ", ".join(label.name for label in runner.labels.all() if label.name != "self-hosted")
    # What a silent host said last is no longer known
    lost = state == DisplayState.LOST
    use = None if lost else runner.cpu_percent
    mode = "ephemeral" if runner.ephemeral else "persistent"
    return RunnerRow(
        pk=runner.pk,
        name=runner.name,
        url=runner.get_absolute_url(),
        state=state,
        kind=f"{mode} · {labels}" if labels else mode,
        host=runner.host.name,
        host_url=runner.host.get_absolute_url(),
        slot=runner.slot,
        doing=doing,
        doing_more=more,
        cpu_percent=None if use is None else min(100, round(use)),
        memory_bytes=None if lost else runner.memory_bytes,
        created_at=runner.created_at,
        actions=actions_for(runner),
    )


def job_words(runner: Runner, job: Job | None) -> str:
    """Name the job: GitHub's name of it when known, else what the host said."""
    if job is not None:
        return f"{job.repository} · {job.name}"
    return runner.job_name or "a job"


def doing_words(
    runner: Runner, state: DisplayState, job: Job | None, now: datetime
) -> tuple[str, str]:
    """Say what the runner does now, in one line and a smaller one."""
    since = job.started_at if job is not None else runner.job_started_at
    works = runner.phase == Phase.BUSY or runner.github_busy
    elapsed = duration((now - since).total_seconds()) if since else ""
    if state == DisplayState.DRAINING:
        if works:
            return job_words(runner, job), f"{elapsed}, then stops".removeprefix(", ")
        return "Leaving GitHub", "then stops"
    if state == DisplayState.BUSY:
        return job_words(runner, job), elapsed
    if state == DisplayState.IDLE:
        return "Waiting for a job", f"{runner.jobs_done} done" if runner.jobs_done else ""
    if state == DisplayState.STARTING:
        age = duration((now - runner.created_at).total_seconds())
        return Phase(runner.phase).label if runner.phase else "Waiting for its host", age
    if state == DisplayState.LOST:
        return "Unknown: its host is silent", job_words(runner, job) if works else ""
    if state == DisplayState.OFFLINE:
        return _offline_words(runner), runner.phase_reason
    return runner.state_reason or "—", runner.phase_reason


def _offline_words(runner: Runner) -> str:
    if runner.github_status == GitHubStatus.ABSENT:
        return "Not registered at GitHub"
    if runner.github_status == GitHubStatus.OFFLINE:
        return "GitHub says offline"
    return Phase(runner.phase).label


_NO_DRAIN: Final = {
    RunnerState.REMOVING: "It is being removed.",
    RunnerState.REMOVED: "It was removed.",
    RunnerState.FAILED: "It failed and takes no jobs. Deregister it.",
}


def actions_for(runner: Runner) -> list[Action]:
    """Return the actions an operator sees, those the state forbids with the reason."""
    state = RunnerState(runner.state)
    actions = []
    if state == RunnerState.FAILED and runner.quarantined_at is not None:
        actions.append(Action("release", "Release", "circle-play", _url(runner, "release")))
    elif state == RunnerState.DRAINING:
        gone = runner.github_deleted_at is not None
        why_not = "GitHub no longer has it." if gone else ""
        actions.append(
            Action("stop-drain", "Stop draining", "rotate-cw", _url(runner, "stop-drain"), why_not)
        )
        if not gone:
            drain = _url(runner, "drain")
            actions.append(Action("drain", "Change drain", "arrow-down-to-line", drain, asks=True))
    else:
        why_not = _NO_DRAIN.get(state, "")
        actions.append(
            Action("drain", "Drain", "arrow-down-to-line", _url(runner, "drain"), why_not)
        )
    actions.append(
        Action(
            "labels", "Edit labels", "tag", _url(runner, "labels"), _no_labels(runner), asks=True
        )
    )
    actions.append(
        Action(
            "deregister",
            "Deregister",
            "trash-2",
            _url(runner, "deregister"),
            "It was removed." if state == RunnerState.REMOVED else "",
            asks=True,
            danger=True,
        )
    )
    return actions


def _no_labels(runner: Runner) -> str:
    if runner.ephemeral:
        return "Ephemeral: its labels are fixed."
    if runner.state not in (RunnerState.PROVISIONING, RunnerState.ACTIVE):
        return f"It is {runner.get_state_display().lower()}."
    return ""


def _url(runner: Runner, verb: str) -> str:
    return reverse(f"runner-{verb}", args=[runner.pk])
