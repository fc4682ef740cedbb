"""What every page's frame shows: who is signed in, what they may do, the navigation and its counts.

A template context processor; nothing here is computed for fragments, and counts cost two queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypedDict, cast

from django.db.models import Count, DateTimeField, F, Value
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from runners import drift
from runners.access import Role, may, role_of
from runners.models import Credential, Drift, Fleet, Host, Job, Runner


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the navigation; `names` are prefixes of the URL names of its pages."""

    url_name: str
    label: str
    icon: str
    key: str
    names: tuple[str, ...]
    count_of: str = ""
    needs: Role = Role.VIEWER
    on_tabbar: bool = False


SECTIONS: Final = (
    Section("overview", "Overview", "layout-dashboard", "o", ("overview",), on_tabbar=True),
    Section("runner-list", "Runners", "circle-play", "r", ("runner-",), "runners", on_tabbar=True),
    Section(
        "host-list", "Hosts", "server", "h", ("host-", "maintenance-"), "hosts", on_tabbar=True
    ),
    Section("pool-list", "Pools", "layers", "p", ("pool-", "decision-")),
    Section(
        "job-list", "Jobs", "square-chart-gantt", "j", ("job-", "label-"), "jobs", on_tabbar=True
    ),
    Section("drift-list", "Drift", "activity", "d", ("drift-", "countdown-"), "drift"),
    Section("report-month", "Reports", "chart-column", "s", ("report-",)),
    Section("event-list", "Audit log", "scroll-text", "l", ("event-",)),
    Section(
        "settings",
        "Settings",
        "settings",
        ",",
        (
            "settings",
            "scope-",
            "delivery-",
            "credential-",
            "code-",
            "member-",
            "environment",
            "doctor",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class NavItem:
    """A section as this person sees it on this page; `count` None while there is nothing."""

    url: str
    label: str
    icon: str
    key: str
    current: bool
    counted: bool
    count: int | None
    on_tabbar: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """The GitHub API budget of the credential that has least left."""

    credential: str
    remaining: int
    limit: int
    percent: int
    reset_at: datetime | None


@dataclass(frozen=True, slots=True)
class Quiesced:
    """Why and since when the whole fleet starts no runner."""

    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Shell:
    """The frame around a page."""

    nav: list[NavItem]
    waiting_jobs: int
    budget: Budget | None
    quiesced: Quiesced | None


class _Counted(TypedDict):
    """A row of the one query of `_counts`; `at` and `words` are the fleet's."""

    what: str
    number: int
    at: datetime
    words: str


class FleetContext(TypedDict):
    """The variables every template has."""

    role: Role | None
    can_operate: bool
    can_admin: bool
    can_audit: bool
    shell: Shell


def fleet(request: HttpRequest) -> FleetContext:
    """Return the variables every template has; `shell` is computed only where it is used."""
    # Error pages of requests that never reached the sign-in middleware have no user.
    user = getattr(request, "user", None)
    role = role_of(user) if user is not None else None
    return FleetContext(
        role=role,
        can_operate=role in (Role.OPERATOR, Role.ADMIN),
        can_admin=role is Role.ADMIN,
        can_audit=role in (Role.AUDITOR, Role.ADMIN),
        shell=SimpleLazyObject(lambda: _shell(request, role)),  # type: ignore[typeddict-item]
    )


def _shell(request: HttpRequest, role: Role | None) -> Shell:
    if role is None:
        return Shell(nav=[], waiting_jobs=0, budget=None, quiesced=None)
    counts, quiesced = _counts()
    match = request.resolver_match
    here = (match.url_name or "") if match else ""
    nav = [
        NavItem(
            url=reverse(section.url_name),
            label=section.label,
            icon=section.icon,
            key=section.key,
            current=here.startswith(section.names),
            counted=bool(section.count_of),
            count=counts.get(section.count_of) if section.count_of else None,
            on_tabbar=section.on_tabbar,
        )
        for section in SECTIONS
        if may(request.user, section.needs)
    ]
    return Shell(
        nav=nav,
        waiting_jobs=counts.get("jobs", 0),
        budget=_tightest_budget(),
        quiesced=quiesced,
    )


def _counts() -> tuple[dict[str, int], Quiesced | None]:
    """Count runners, hosts, waiting jobs and drift, and read the fleet's row, in one query."""
    none = {"at": Cast(Value(None), DateTimeField()), "words": Value("")}
    runners = Runner.objects.current().order_by().values(what=Value("runners"), **none)
    hosts = Host.objects.in_service().order_by().values(what=Value("hosts"), **none)
    # Both conditions, so that the index of open jobs is used
    open_jobs = Job.objects.unfinished()
    jobs = open_jobs.filter(status=Job.Status.QUEUED).order_by().values(what=Value("jobs"), **none)
    lasting = Drift.objects.filter(drift.settled(timezone.now()), drift.ours())
    drifts = lasting.order_by().values(what=Value("drift"), **none)
    held = Fleet.objects.filter(quiesced_at__isnull=False).values(
        what=Value("quiesced"), at=F("quiesced_at"), words=F("quiesced_reason")
    )
    union = runners.annotate(number=Count("pk")).union(
        hosts.annotate(number=Count("pk")),
        jobs.annotate(number=Count("pk")),
        drifts.annotate(number=Count("pk")),
        held.annotate(number=Value(1)),
        all=True,
    )
    rows = cast(list[_Counted], list(union))
    quiesced = [Quiesced(row["at"], row["words"]) for row in rows if row["what"] == "quiesced"]
    return {row["what"]: row["number"] for row in rows}, quiesced[0] if quiesced else None


def _tightest_budget() -> Budget | None:
    row = (
        Credential.objects.filter(budget_limit__gt=0, budget_remaining__isnull=False)
        .order_by(F("budget_remaining") * 100 / F("budget_limit"))
        .first()
    )
    if row is None or not row.budget_limit or row.budget_remaining is None:
        return None
    return Budget(
        credential=row.name,
        remaining=row.budget_remaining,
        limit=row.budget_limit,
        percent=min(100, row.budget_remaining * 100 // row.budget_limit),
        reset_at=row.budget_reset_at,
    )
