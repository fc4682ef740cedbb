"""What a page shows, reduced to a few letters by one query, so that a poll knows nothing changed.

Every value hangs off the signed-in user's row: one row is certain, and nobody switched off is told
even that nothing changed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.db.models import (
    Count,
    IntegerField,
    Max,
    Model,
    Q,
    QuerySet,
    Subquery,
    Sum,
    TextField,
    Value,
)
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest
from django.utils import timezone

from runners import drift, history
from runners.models import (
    AnnouncedWindow,
    Beat,
    Drift,
    Event,
    Host,
    Job,
    Outage,
    QueuePicture,
    Runner,
    RunnerLog,
    Scope,
)
from runners.states import GitHubStatus
from runners.views.shared import version_of

M = TypeVar("M", bound=Model)

# CPU, memory and "last seen" move with every heartbeat; pages follow them this often.
SAMPLE_SECONDS: Final = 30


def fleet_version(request: HttpRequest) -> str:
    """The version of pages about the whole fleet; "" when the user is gone."""
    now = timezone.now()
    runners = Runner.objects.current()
    hosts = Host.objects.in_service()
    open_jobs = Job.objects.unfinished()
    rows = _user_row(request).annotate(
        last_event=Subquery(Event.objects.order_by("-pk").values("pk")[:1]),
        runners=_together(
            runners,
            Max("state_changed_at"),
            Max("observed_at"),
            Count("pk", filter=Q(github_status=GitHubStatus.ONLINE)),
            Count("pk", filter=Q(github_busy=True)),
        ),
        hosts=_together(
            hosts,
            Count("pk", filter=Q(late_after__lte=now)),
            Count("pk", filter=Q(offline_after__lte=now)),
        ),
        jobs=_together(open_jobs, Count("pk"), Max("seen_at")),
        queue=Subquery(QueuePicture.objects.values("digest")[:1]),
    )
    return _digest(rows, _bucket(now))


def drift_version(request: HttpRequest) -> str:
    """The version of the drift page; "" when the user is gone."""
    now = timezone.now()
    rows = _user_row(request).annotate(
        last_event=Subquery(Event.objects.order_by("-pk").values("pk")[:1]),
        drift=_together(
            Drift.objects.all(),
            Count("pk"),
            Max("pk"),
            Max("fix_wanted_at"),
            Count("pk", filter=~Q(fix_error="")),
            Count("pk", filter=drift.settled(now)),
        ),
        scopes=_together(
            Scope.objects.all(),
            Count("pk", filter=Q(github_unknown_since__isnull=False)),
            Sum("foreign_runners"),
        ),
    )
    return _digest(rows, _bucket(now))


def history_version(request: HttpRequest) -> str:
    """The version of pages about past jobs; "" when the user is gone."""
    waiting = Job.objects.unfinished().filter(status=Job.Status.QUEUED)
    rows = _user_row(request).annotate(
        added_up=Subquery(Beat.objects.filter(name=history.BEAT).values("at")),
        oldest=Subquery(waiting.order_by("queued_at").values("queued_at")[:1]),
    )
    return _digest(rows, 0)


def targets_version(request: HttpRequest) -> str:
    """The version of pages about targets; "" when the user is gone."""
    rows = _user_row(request).annotate(
        added_up=Subquery(Beat.objects.filter(name=history.BEAT).values("at")),
        outages=_together(Outage.objects.all(), Max("pk"), Max("ended_at")),
        windows=_together(AnnouncedWindow.objects.all(), Count("pk"), Max("pk")),
    )
    return _digest(rows, _bucket(timezone.now()))


def runner_version(request: HttpRequest, pk: int) -> str:
    """The version of one runner's page; "" when the user is gone."""
    now = timezone.now()
    runner = Runner.objects.filter(pk=pk).order_by()
    rows = _user_row(request).annotate(
        last_event=Subquery(
            Event.objects.filter(object_kind="runner", object_id=pk)
            .order_by("-at", "-pk")
            .values("pk")[:1]
        ),
        observed=Subquery(runner.values("observed_at")),
        status=Subquery(runner.values("github_status")),
        busy=Subquery(runner.values("github_busy")),
        seen=Subquery(runner.values("github_id")),
        silent=_one(runner, Count("pk", filter=Q(host__offline_after__lte=now))),
        log=Subquery(RunnerLog.objects.filter(runner_id=pk).values("offset")),
        jobs=_one(Job.objects.filter(runner_id=pk), Max("seen_at")),
    )
    return _digest(rows, _bucket(now))


def _user_row(request: HttpRequest) -> QuerySet[User]:
    return User.objects.filter(pk=str(request.session[SESSION_KEY]), is_active=True)


def _together(rows: QuerySet[M], *numbers: Count | Max | Sum) -> Subquery:
    """These aggregates as one text, so that ten thousand rows are looked at once for all."""
    texts = [Cast(number, TextField()) for number in numbers]
    spaced = [part for text in texts for part in (text, Value(" "))]
    return _one(rows, Concat(*spaced, output_field=TextField()))


def _one(rows: QuerySet[M], number: Count | Max | Concat) -> Subquery:
    """One value: the aggregate over all of `rows`."""
    every = rows.order_by().annotate(every=Value(1, output_field=IntegerField()))
    return Subquery(every.values("every").annotate(number=number).values("number"))


def _bucket(now: datetime) -> int:
    return int(now.timestamp()) // SAMPLE_SECONDS


def _digest(rows: QuerySet[User], bucket: int) -> str:
    names = list(rows.query.annotations)
    facts = rows.values_list(*names).first()
    return version_of(facts, bucket) if facts is not None else ""
