"""Runs and jobs: queueing, offering to runners, progress, cancelling, re-running, and giving up.

Callers hold the world's lock. Every change of a job or a run is told to ``events``, once.
"""

from __future__ import annotations

import secrets
from copy import deepcopy
from dataclasses import replace
from itertools import islice

from runners.simulator import events, fleet
from runners.simulator.model import Job, JobTemplate, Repository, Run, Runner, Step, Workflow
from runners.simulator.queue import Demand
from runners.simulator.wire import ApiError
from runners.simulator.world import World

CONCLUSIONS = {"Succeeded": "success", "Failed": "failure", "Canceled": "cancelled"}
LOST_MESSAGE = (
    "The self-hosted runner lost communication with the server. Verify the machine is running and "
    "has a healthy network connection."
)
# A cancelled job whose runner does not react is ended by GitHub after this long.
CANCEL_GRACE_SECONDS = 300
BAD_CONCLUSIONS = ("failure", "timed_out", "cancelled")


def create_run(
    world: World,
    repository: Repository,
    workflow: Workflow,
    templates: list[JobTemplate],
    *,
    event: str,
    branch: str,
    actor: str,
) -> Run:
    """Start a run of a workflow with these jobs, all queued (or waiting for an approval)."""
    now = world.clock.time()
    workflow.runs_count += 1
    run = Run(
        id=world.store.new_id(),
        repository_id=repository.id,
        workflow_id=workflow.id,
        number=workflow.runs_count,
        event=event,
        head_branch=branch,
        head_sha=secrets.token_hex(20),
        actor=actor,
        title=workflow.name,
        created_at=now,
        updated_at=now,
        started_at=now,
    )
    _forget_old_runs(world)
    world.store.add_run(run)
    events.run_changed(world, run, "requested")
    run.job_ids.append([])
    for template in templates:
        _add_job(world, run, template)
    _refresh_run(world, run)
    world.touch()
    return run


def _forget_old_runs(world: World) -> None:
    excess = len(world.store.runs) - world.settings.runs_kept + 1
    if excess > 0:
        finished = (r for r in world.store.runs.values() if r.status == "completed")
        for run in list(islice(finished, excess)):
            world.store.remove_run(run)


def _add_job(world: World, run: Run, template: JobTemplate) -> Job:
    job = Job(
        id=world.store.new_id(),
        run_id=run.id,
        run_attempt=run.attempt,
        repository_id=run.repository_id,
        template=template,
        created_at=world.clock.time(),
        steps=deepcopy(template.steps),
    )
    world.store.jobs[job.id] = job
    run.job_ids[-1].append(job.id)
    if template.environment:
        # GitHub sends "queued" with the status "waiting" first, then "waiting".
        job.status = "waiting"
        events.job_changed(world, job, "queued")
        events.job_changed(world, job, "waiting")
    else:
        enqueue(world, job)
    return job


def enqueue(world: World, job: Job) -> None:
    """Put a job in the queue and say so; it is cancelled if nobody takes it in time."""
    job.status = "queued"
    job.queued_at = world.clock.time()
    world.queue.add(demand(world, job), job)
    events.job_changed(world, job, "queued")
    arm_queue_limit(world, job)


def demand(world: World, job: Job) -> Demand:
    """What the job asks of a runner."""
    return Demand(
        repository_id=job.repository_id,
        workflow_id=world.store.runs[job.run_id].workflow_id,
        labels=frozenset(label.lower() for label in job.template.labels),
        group=job.template.group.lower(),
    )


def arm_queue_limit(world: World, job: Job) -> None:
    """Cancel the job once it has been in the queue for the limit."""

    def cancel_if_queued() -> None:
        if job.status == "queued" and world.store.jobs.get(job.id) is job:
            finish(world, job, "cancelled")

    world.timers.at(job.queued_at + world.settings.timings.queue_limit_seconds, cancel_if_queued)


def offer(world: World, runner: Runner) -> Job | None:
    """The job this runner should take now, marked as offered to it; None when there is none."""
    if runner.job_id:
        return None
    if fleet.starved_by_age(world, runner):
        return None
    labels = runner.label_names
    group = world.store.groups[runner.scope][runner.group_id]

    def serves(wanted: Demand) -> bool:
        if not wanted.labels <= labels or wanted.group not in ("", group.name.lower()):
            return False
        repository = world.store.repositories[wanted.repository_id]
        path = world.store.workflows[wanted.workflow_id].path
        return fleet.may_serve(world, runner, repository, path)

    job_id = world.queue.first(serves)
    if job_id is None:
        return None
    job = world.store.jobs[job_id]
    world.queue.discard(job_id)
    job.offered_to = runner.id
    job.offered_at = world.clock.time()
    runner.job_id = job.id
    _arm_pick_up(world, job, runner)
    world.touch()
    return job


def _arm_pick_up(world: World, job: Job, runner: Runner) -> None:
    offered_at = job.offered_at

    def requeue_if_ignored() -> None:
        if job.status != "queued" or job.offered_to != runner.id or job.offered_at != offered_at:
            return
        job.offered_to = 0
        runner.job_id = 0
        world.queue.add(demand(world, job), job)
        world.touch()

    world.timers.at(offered_at + world.settings.timings.pick_up_seconds, requeue_if_ignored)


def rearm(world: World) -> None:
    """Queue and arm every unfinished job again, as after loading a file."""
    for job in world.store.jobs.values():
        if job.status == "queued":
            runner = world.store.runners.get(job.offered_to)
            if runner is None:
                world.queue.add(demand(world, job), job)
            else:
                _arm_pick_up(world, job, runner)
            arm_queue_limit(world, job)
        elif job.status == "in_progress":
            _arm_lease(world, job)
            _arm_time_out(world, job)
            if job.cancel_requested:
                _arm_cancel_grace(world, job)


def acquire(world: World, runner: Runner, job: Job) -> None:
    """The runner accepts what it was offered. Raises 409 when the offer no longer stands."""
    if job.status != "queued" or job.offered_to != runner.id:
        raise ApiError(409, "The job was already taken or cancelled.")
    group = world.store.groups[runner.scope][runner.group_id]
    now = world.clock.time()
    job.status = "in_progress"
    job.started_at = now
    job.renewed_at = now
    job.runner_id = runner.id
    job.runner_name = runner.name
    job.runner_secret = runner.secret
    job.runner_group_id = group.id
    job.runner_group_name = group.name
    fleet.heard(world, runner)
    _arm_lease(world, job)
    _arm_time_out(world, job)
    events.job_changed(world, job, "in_progress")
    _refresh_run(world, world.store.runs[job.run_id])
    world.touch()


def _arm_lease(world: World, job: Job) -> None:
    def end_if_silent() -> None:
        if job.status != "in_progress":
            return
        due = job.renewed_at + world.settings.timings.lease_seconds
        if due > world.clock.time():
            world.timers.at(due, end_if_silent)
            return
        job.log.append(f"##[error]{LOST_MESSAGE}")
        finish(world, job, "failure")

    world.timers.at(job.renewed_at + world.settings.timings.lease_seconds, end_if_silent)


def _arm_time_out(world: World, job: Job) -> None:
    def cancel_if_running() -> None:
        if job.status == "in_progress":
            job.cancel_requested = True

    began = job.started_at or world.clock.time()
    world.timers.at(began + job.template.timeout_minutes * 60, cancel_if_running)


def renew(world: World, job: Job) -> bool:
    """A sign of life of a job's worker; answers whether the job is to be cancelled."""
    runner = world.store.runners.get(job.runner_id)
    if runner is not None:
        fleet.heard(world, runner)
    job.renewed_at = world.clock.time()
    return job.cancel_requested or job.status == "completed"


def finish(world: World, job: Job, conclusion: str, steps: list[Step] | None = None) -> None:
    """End a job, free its runner, and remove the runner if it was for one job."""
    now = world.clock.time()
    world.queue.discard(job.id)
    job.status = "completed"
    job.conclusion = conclusion
    job.completed_at = now
    if job.started_at is None:
        job.started_at = now
    if steps is not None:
        job.steps = steps
    runner = world.store.runners.get(job.runner_id or job.offered_to)
    if runner is not None and runner.job_id == job.id:
        runner.job_id = 0
        if job.runner_id:
            runner.busy_until = now + world.settings.timings.busy_linger_seconds
            if runner.ephemeral:
                fleet.drop(world, runner)
    events.job_changed(world, job, "completed")
    _refresh_run(world, world.store.runs[job.run_id])
    world.touch()


def cancel(world: World, run: Run, *, force: bool) -> None:
    """Cancel what is left of a run. Raises 409 when nothing is."""
    if run.status == "completed":
        raise ApiError(409, "Cannot cancel a workflow run that is completed.")
    for job in current_jobs(world, run):
        if job.status in ("queued", "waiting") or (force and job.status == "in_progress"):
            job.cancel_requested = True
            finish(world, job, "cancelled")
        elif job.status == "in_progress" and not job.cancel_requested:
            job.cancel_requested = True
            _arm_cancel_grace(world, job)
    world.touch()


def _arm_cancel_grace(world: World, job: Job) -> None:
    def end_if_running() -> None:
        if job.status == "in_progress":
            finish(world, job, "cancelled")

    world.timers.at(world.clock.time() + CANCEL_GRACE_SECONDS, end_if_running)


def approve(world: World, job: Job) -> None:
    """Let a waiting job go."""
    enqueue(world, job)
    _refresh_run(world, world.store.runs[job.run_id])
    world.touch()


def rerun(world: World, run: Run, again: list[Job]) -> None:
    """A new attempt that runs ``again`` anew and carries the other jobs over as they ended.

    Raises 403 while the run is going on, as GitHub does.
    """
    if run.status != "completed":
        raise ApiError(403, "This workflow is already running")
    now = world.clock.time()
    former = current_jobs(world, run)
    run.attempt += 1
    run.status, run.conclusion, run.started_at = "queued", None, now
    run.job_ids.append([])
    events.run_changed(world, run, "requested")
    for job in former:
        if job in again:
            _add_job(world, run, job.template)
            continue
        carried = replace(job, id=world.store.new_id(), run_attempt=run.attempt)
        world.store.jobs[carried.id] = carried
        run.job_ids[-1].append(carried.id)
        # GitHub sends "completed" again for jobs that were not run again.
        events.job_changed(world, carried, "completed")
    _refresh_run(world, run)
    world.touch()


def current_jobs(world: World, run: Run) -> list[Job]:
    """The jobs of the latest attempt."""
    return [world.store.jobs[job_id] for job_id in run.job_ids[-1]]


def _refresh_run(world: World, run: Run) -> None:
    jobs = current_jobs(world, run)
    was = run.status
    if all(job.status == "completed" for job in jobs):
        run.status = "completed"
        run.conclusion = _run_conclusion(jobs)
    elif any(job.status in ("in_progress", "completed") for job in jobs):
        run.status = "in_progress"
    elif all(job.status == "waiting" for job in jobs):
        run.status = "waiting"
    else:
        run.status = "queued"
    if run.status == was:
        return
    run.updated_at = world.clock.time()
    if run.status in ("in_progress", "completed"):
        events.run_changed(world, run, run.status)


def _run_conclusion(jobs: list[Job]) -> str:
    conclusions = [job.conclusion for job in jobs]
    for bad in BAD_CONCLUSIONS:
        if bad in conclusions:
            return bad
    return "success"
