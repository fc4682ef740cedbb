"""Why jobs wait: one job, or the whole queue by what it asks for, as the last look found it.

Exit codes: 0 said, 2 wrong arguments, 3 no such job, 5 database. JSON: `{"at", "old", "jobs":
[{"id", "github_id", "repository", "name", "labels", "status", "queued_at", "waited_seconds",
"cancelled_at", "code", "cause", "fix", "pool"}]}` for one job; `{"at", "old", "groups": [{"scope",
"repository", "labels", "jobs", "oldest_at", "cancelled_at", "reasons": [{"jobs", "code", "cause",
"fix", "pool"}]}]}` for the queue. `code` is stable; the words are for people.
"""

from __future__ import annotations

from datetime import datetime

from django.core.management.base import BaseCommand, CommandParser

from runners import queue_picture, waiting, wiring
from runners.management import cli
from runners.models import Job
from runners.queue_picture import Group, Picture
from runners.waiting import Reason


class Command(BaseCommand):
    help = "Say why a job waits and what helps; without one, of the whole queue."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "job",
            nargs="?",
            type=cli.between(1, 10**18),
            help="its number in the address of its page, here or at GitHub",
        )
        parser.add_argument("--label", default="", help="only groups that ask for this label")
        cli.add_json(parser)

    def handle(self, *, job: int | None, label: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            now = wiring.now()
            picture = queue_picture.read()
            if job is None:
                self._queue(picture, label.lower(), json, now)
            else:
                self._job(picture, _find(job), json, now)

    def _job(self, picture: Picture, job: Job, as_json: bool, now: datetime) -> None:
        if job.status in (Job.Status.QUEUED, Job.Status.WAITING):
            reason = next(picture.reasons([job], now=now))
        else:
            reason = Reason("", f"It does not wait: it is {job.get_status_display().lower()}.")
        waits = reason.state != ""
        data = {
            "id": job.pk,
            "github_id": job.github_id,
            "repository": job.repository,
            "name": job.name,
            "labels": job.labels,
            "status": job.status,
            "queued_at": job.queued_at,
            "waited_seconds": (now - job.queued_at).total_seconds() if waits else None,
            "cancelled_at": waiting.cancelled_at(job.queued_at) if waits else None,
            **_plain(reason),
        }
        lines = [f"{job}: {reason.cause}", *([reason.fix] if reason.fix else [])]
        cli.say(self, as_json, {**_head(picture, now), "jobs": [data]}, lines)

    def _queue(self, picture: Picture, label: str, as_json: bool, now: datetime) -> None:
        groups = sorted(
            (each for each in picture.groups if not label or label in each.labels),
            key=lambda each: each.oldest_at,
        )
        lines = [line for group in groups for line in _lines(group, now)]
        if picture.is_old(now):
            old = waiting.picture_is_old(picture.at)
            lines.insert(0, f"{old.cause} {old.fix}")
        data = {**_head(picture, now), "groups": [_group(each) for each in groups]}
        cli.say(self, as_json, data, lines or ["No job waits"])


def _find(number: int) -> Job:
    job = Job.objects.filter(pk=number).first()
    # GitHub's numbers are eleven digits and more, ours far fewer
    job = job or Job.objects.filter(github_id=number).order_by("-run_attempt").first()
    if job is None:
        raise cli.not_found("job", str(number), "`why` without a number lists what waits.")
    return job


def _head(picture: Picture, now: datetime) -> dict[str, object]:
    return {"at": picture.at, "old": picture.is_old(now)}


def _plain(reason: Reason) -> dict[str, object]:
    return {
        "code": reason.code,
        "cause": reason.cause,
        "fix": reason.fix,
        "pool": reason.pool,
    }


def _group(group: Group) -> dict[str, object]:
    return {
        "scope": group.scope,
        "repository": group.repository,
        "labels": list(group.labels),
        "jobs": group.jobs,
        "oldest_at": group.oldest_at,
        "cancelled_at": waiting.cancelled_at(group.oldest_at),
        "reasons": [{"jobs": share.jobs, **_plain(share.reason)} for share in group.shares],
    }


def _lines(group: Group, now: datetime) -> list[str]:
    waited = int((now - group.oldest_at).total_seconds())
    head = f"{group.jobs} x {', '.join(group.labels)} ({group.repository}), oldest {waited} s"
    return [
        head,
        *(
            f"    {share.jobs}: {share.reason.cause} {share.reason.fix}".rstrip()
            for share in group.shares
        ),
    ]
