"""The jobs: what waits and why, what runs, and what finished lately."""

from __future__ import annotations

from typing import Final

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners import job_picture, wiring
from runners.models import Job
from runners.views import versions
from runners.views.guard import role_required
from runners.views.job_rows import job_rows, waiting_rows
from runners.views.links import list_query
from runners.views.shared import Context, FleetRequest, page, polled

WAITING_SHOWN: Final = 50
RUNNING_SHOWN: Final = 100
RECENT_SHOWN: Final = 50
_LIST: Final = "jobs/_job_lists.html"
_PAGE: Final = "jobs/_job_page.html"


@polled(versions.fleet_version)
@role_required("viewer")
@require_GET
def job_list(request: FleetRequest) -> HttpResponse:
    return page(request, "jobs/job_list.html", _LIST, _list_context(request))


def _page_version(request: HttpRequest, pk: int) -> str:
    return versions.fleet_version(request)


@polled(_page_version)
@role_required("viewer")
@require_GET
def job_detail(request: FleetRequest, pk: int) -> HttpResponse:
    now = timezone.now()
    job = get_object_or_404(Job.objects.select_related("scope", "runner__host"), pk=pk)
    waits = job.status in (Job.Status.QUEUED, Job.Status.WAITING)
    rows = waiting_rows([job], now=now) if waits else job_rows([job], now=now)
    context = {"now": now, "version": versions.fleet_version(request), "row": rows[0]}
    return page(request, "jobs/job_detail.html", _PAGE, context)


def _list_context(request: FleetRequest) -> Context:
    now = timezone.now()
    query = list_query(request, "job-list")
    jobs = Job.objects.all()
    words = query.get("q", "").strip()
    if words:
        jobs = jobs.filter(_matching(words))
    waiting = jobs.unfinished().filter(status__in=[Job.Status.QUEUED, Job.Status.WAITING])
    running = jobs.unfinished().filter(status=Job.Status.IN_PROGRESS)
    recent = jobs.filter(status=Job.Status.COMPLETED)
    return {
        "now": now,
        "version": versions.fleet_version(request),
        "pictures": job_picture.pictures(source_of=wiring.job_source, now=now),
        "search": words,
        "list_url": _list_url(query),
        "waiting_count": waiting.count(),
        "waiting": waiting_rows(waiting.order_by("queued_at")[:WAITING_SHOWN], now=now),
        "running": job_rows(running.order_by("-started_at")[:RUNNING_SHOWN], now=now),
        "recent": job_rows(recent.order_by("-queued_at")[:RECENT_SHOWN], now=now),
    }


def _matching(words: str) -> Q:
    return (
        Q(repository__icontains=words)
        | Q(name__icontains=words)
        | Q(head_branch__icontains=words)
        | Q(runner_name__icontains=words)
    )


def _list_url(query: QueryDict) -> str:
    return f"?{query.urlencode()}" if query else "?"
