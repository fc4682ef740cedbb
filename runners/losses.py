"""Jobs that were lost with their runner: recorded as ours, with the cause in one sentence.

GitHub calls them failed like any other. Taken back when GitHub says that the job succeeded after
all. Moves no runner; runs inside the caller's transaction.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from runners import audit
from runners.audit import Actor
from runners.failure import CLASS_OF, Cause, End, FailureClass, exit_words
from runners.models import Job, Postmortem, Runner
from runners.states import Phase, RunnerState

BY = Actor.system("losses")
FAILED_CONCLUSIONS = ("failure", "timed_out", "cancelled", "startup_failure")
OWN_FAILURES = ("failure", "timed_out")
OURS = tuple(name for name in FailureClass if name != FailureClass.PRODUCT)


def was_busy(runner: Runner, end: End) -> bool:
    """Whether a job ran on it when it ended, by the host's word or by GitHub's."""
    return Phase.BUSY in (end.was_phase, runner.phase) or runner.github_busy


def job_on(runner: Runner) -> Job | None:
    """The job a runner worked on until now: the one in progress, or the one GitHub just failed."""
    there = Q(status=Job.Status.IN_PROGRESS)
    if runner.ephemeral:
        there |= Q(status=Job.Status.COMPLETED, conclusion__in=FAILED_CONCLUSIONS)
    elif runner.job_started_at is not None:
        there |= Q(
            status=Job.Status.COMPLETED,
            conclusion__in=FAILED_CONCLUSIONS,
            completed_at__gte=runner.job_started_at,
        )
    return Job.objects.filter(there, runner=runner).order_by("-queued_at").first()


def lose(runner: Runner, job: Job, *, cause: Cause, now: datetime, by: Actor) -> bool:
    """Record the job as lost with its runner; told twice, it is recorded once."""
    why = reason(runner, cause)
    kind = CLASS_OF[cause]
    with transaction.atomic():
        unclaimed = Job.objects.filter(pk=job.pk, failure_class__in=["", FailureClass.PRODUCT])
        if not unclaimed.update(failure_class=kind, failure_reason=why, settled_at=None):
            return False
        job.failure_class, job.failure_reason = kind, why
        audit.record(job, "job.lost", by=by, at=now, became=kind, reason=why)
    return True


def lose_job_of(runner: Runner, *, cause: Cause, now: datetime, by: Actor) -> Job | None:
    """Record the job a runner worked on as lost with it; None when GitHub told of none yet."""
    job = job_on(runner)
    if job is not None:
        lose(runner, job, cause=cause, now=now, by=by)
    return job


def reason(runner: Runner, cause: Cause) -> str:
    """Why the job was lost, as a sentence."""
    if cause == Cause.FORCED:
        return f"{runner.name} on {runner.host.name} was stopped by a person while the job ran."
    if runner.exit_code:
        words = _with(exit_words(runner.exit_code), cause)
        return f"The runner ended with {words} on {runner.host.name} while the job ran."
    return f"The runner was lost on {runner.host.name} while the job ran: {_lower(cause)}."


def _with(code: str, cause: Cause) -> str:
    if cause in (Cause.EXIT, Cause.SIGNAL, Cause.OTHER):
        return code
    if code.endswith(")"):
        return f"{code[:-1]}: {_lower(cause)})"
    return f"{code} ({_lower(cause)})"


def _lower(cause: Cause) -> str:
    return cause.label[0].lower() + cause.label[1:]


def settle(job_id: int, *, now: datetime) -> None:
    """Set what GitHub now says of a job against what became of its runner.

    A loss stays when GitHub completes the job with a failure, and is taken back when the job
    succeeded. A job told only after its runner was gone is lost then; one that failed on a runner
    that went on is its own.
    """
    job = Job.objects.select_related("runner__host").get(pk=job_id)
    if job.runner is None or job.status in (Job.Status.WAITING, Job.Status.QUEUED):
        return
    if job.status == Job.Status.COMPLETED and job.conclusion not in FAILED_CONCLUSIONS:
        if job.conclusion == "success":
            _take_back(job, now)
        return
    if job.failure_class or _lost_late(job, job.runner, now):
        return
    if job.conclusion in OWN_FAILURES and job.runner.state != RunnerState.FAILED:
        Job.objects.filter(pk=job.pk, failure_class="").update(
            failure_class=FailureClass.PRODUCT,
            failure_reason="A step of the job failed; its runner went on and ended as it should.",
            settled_at=None,
        )


def _take_back(job: Job, now: datetime) -> None:
    if not job.failure_class:
        return
    with transaction.atomic():
        ours = Job.objects.filter(pk=job.pk, failure_class__in=OURS)
        if not ours.update(failure_class="", failure_reason="", settled_at=None):
            return
        Postmortem.objects.filter(job=job).update(job=None)
        audit.record(
            job,
            "job.found",
            by=BY,
            at=now,
            was=job.failure_class,
            became="success",
            reason="GitHub says the job finished after all, so its loss is taken back.",
        )


def _lost_late(job: Job, runner: Runner, now: datetime) -> bool:
    post = Postmortem.objects.filter(runner=runner, was_phase=Phase.BUSY, job__isnull=True).first()
    if post is None or not lose(runner, job, cause=Cause(post.cause), now=now, by=BY):
        return False
    Postmortem.objects.filter(pk=post.pk).update(job=job, job_name=job.name)
    return True
