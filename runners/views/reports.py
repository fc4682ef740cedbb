"""The monthly report: what the fleet cost and saved, who used it, and how it was kept; prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from runners import accounts, costs, figures, price_list, promises
from runners.accounts import Books
from runners.costs import Comparison, Line, MachineCost
from runners.figures import Period
from runners.forms.reports import HostPriceForm, RatesForm, RepositoryForm
from runners.models import Host, JobDay, RepositoryPayer
from runners.promises import PoolPromise
from runners.views import versions
from runners.views.csv_export import csv_response
from runners.views.guard import role_required
from runners.views.links import changed
from runners.views.shared import Confirm, Context, FleetRequest, actor, ask, page, polled
from runners.views.targets import month_asked, months_to_choose

SHOWN: Final = 25
_PAGE: Final = "reports/_month.html"
_BY: Final = ("repository", "team", "pool")


@dataclass(frozen=True, slots=True)
class ComparisonLine:
    """One baseline: what it would have cost, in money and percent, or that nothing is saved."""

    comparison: Comparison
    percent: int | None
    verdict: str


@dataclass(frozen=True, slots=True)
class PoolCost:
    """One pool against the hosted runner it is compared with."""

    line: Line
    name: str
    sku: str
    per_minute: Decimal | None
    advice: str
    share: int


@dataclass(frozen=True, slots=True)
class HostLine:
    """One machine: what it cost and how much of that was for waiting."""

    cost: MachineCost
    url: str
    price_url: str
    used_percent: int
    idle_percent: int


@dataclass(frozen=True, slots=True)
class BreakEven:
    """From how many minutes a month the fleet is cheaper, and when its purchase is earned back."""

    minutes: int | None
    on: date | None


def _version(request: HttpRequest) -> str:
    return versions.targets_version(request)


@polled(_version)
@role_required("viewer")
@require_GET
def report_month(request: FleetRequest) -> HttpResponseBase:
    now = timezone.now()
    period = month_asked(request, now.date())
    if request.GET.get("format") == "csv":
        return _csv(request, accounts.books(period, now=now), period)
    return page(request, "reports/month.html", _PAGE, _context(request, period))


def _context(request: FleetRequest, period: Period) -> Context:
    now = timezone.now()
    url = reverse("report-month")
    books = accounts.books(period, now=now)
    account = books.account
    compared = [_comparison(each) for each in account.comparisons()]
    lengths = figures.lengths(JobDay.Kind.FLEET, [""], period)[""]
    return {
        "now": now,
        "version": versions.targets_version(request),
        "period": period,
        "months": months_to_choose(request, url, period, now.date()),
        "currency": price_list.shipped().currency,
        "prices": price_list.shipped(),
        "own_prices": len(books.model.prices),
        "account": account,
        "books": books,
        "hosted": compared[0],
        "compared": compared,
        "projected_saving": books.projected(compared[0].comparison.saved),
        "projected_cost": books.projected(account.ours),
        "break_even": _break_even(books),
        "idle_percent": round(account.idle_percent or 0),
        "pools": _pools(books),
        "repositories": account.lines("repository")[:SHOWN],
        "teams": account.lines("team")[:SHOWN],
        "hosts": _hosts(books)[:SHOWN],
        "host_count": len(account.machines),
        "whole": figures.whole(period),
        "lengths": {
            name: getattr(lengths, name).percentile(95) for name in ("queue", "run", "startup")
        },
        "availability": [_kept(each) for each in promises.pools(period, now=now)],
        "csv_urls": [(by, changed(url, request.GET, format="csv", by=by)) for by in _BY],
        "list_url": changed(url, request.GET),
    }


def _comparison(each: Comparison) -> ComparisonLine:
    percent = round(each.percent) if each.percent is not None else None
    if not each.theirs:
        verdict = "No saving: it is free there"
    elif not each.saves:
        verdict = "No saving"
    else:
        verdict = "Saved"
    return ComparisonLine(each, percent, verdict)


def _break_even(books: Books) -> BreakEven:
    """Of the whole fleet at this month's mix of minutes."""
    account = books.account
    hosted = account.comparisons()[0].theirs
    days = books.elapsed_days
    if not account.minutes or not days:
        return BreakEven(None, None)
    month = costs.DAYS_A_MONTH / days
    kwh = account.rates.per_kwh
    moving = sum(
        (
            (each.machine.watts_busy - each.machine.watts_idle)
            * each.used_share
            * each.hours
            / 1000
            * kwh
            for each in account.machines
        ),
        costs.NOTHING,
    )
    fixed = (account.machine_total - moving) * month
    minutes = costs.break_even_minutes(
        fixed,
        hosted / account.minutes,
        (moving + account.charge) / account.minutes,
    )
    bought = [each.machine.bought_on for each in account.machines if each.machine.bought_on]
    hardware = sum((each.hardware for each in account.machines), costs.NOTHING)
    purchase = sum((each.machine.purchase for each in account.machines), costs.NOTHING)
    on = None
    if bought:
        running = (account.ours - hardware) * month
        on = costs.break_even_date(min(bought), purchase, hosted * month, running)
    return BreakEven(round(minutes) if minutes is not None else None, on)


def _pools(books: Books) -> list[PoolCost]:
    account = books.account
    advice = {each.pool: each.words for each in costs.advise(account)}
    lines = account.lines("pool")
    saved = sum((line.saved for line in lines if line.saved > 0), costs.NOTHING)
    return [
        PoolCost(
            line=line,
            name=line.key or ("No pool" if line.minutes else "Machines nobody used"),
            sku=account.skus[line.key].sku if line.key in account.skus and line.minutes else "",
            per_minute=account.skus[line.key].per_minute
            if line.key in account.skus and line.minutes
            else None,
            advice=advice.get(line.key, "") if line.minutes else "",
            share=round(line.saved * 100 / saved) if saved and line.saved > 0 else 0,
        )
        for line in lines
    ]


def _hosts(books: Books) -> list[HostLine]:
    found = sorted(books.account.machines, key=lambda each: (-each.idle, each.machine.name))
    return [
        HostLine(
            cost=each,
            url=reverse("host-detail", args=[each.machine.name]),
            price_url=reverse("report-host-price", args=[each.machine.name]),
            used_percent=round(each.used_share * 100),
            idle_percent=100 - round(each.used_share * 100),
        )
        for each in found
    ]


def _kept(promise: PoolPromise) -> tuple[PoolPromise, str, str]:
    kept = promise.availability
    if kept is None or kept.percent is None:
        return promise, "none", "Nothing to count yet"
    return (promise, "ok", "Kept") if kept.met else (promise, "critical", "Missed")


_CSV_HEAD: Final = (
    "month",
    "subject",
    "jobs",
    "minutes",
    "free_minutes",
    "used",
    "idle",
    "charge",
    "total",
    "hosted_price",
    "saved",
    "currency",
)


def _csv(request: FleetRequest, books: Books, period: Period) -> HttpResponseBase:
    by = request.GET.get("by", "")
    by = by if by in _BY else "repository"
    rows = _csv_rows(books, by, period)
    return csv_response(f"charge-back-by-{by}-{period.first:%Y-%m}.csv", _CSV_HEAD, rows)


def _csv_rows(books: Books, by: str, period: Period) -> Iterator[list[str]]:
    for line in books.account.lines(by):
        yield [
            f"{period.first:%Y-%m}",
            line.key or ("(none)" if line.minutes else "(machines nobody used)"),
            *map(str, (line.jobs, line.minutes, line.free_minutes)),
            *(
                f"{amount:.2f}"
                for amount in (
                    line.used,
                    line.idle,
                    line.charge,
                    line.ours,
                    line.hosted,
                    line.saved,
                )
            ),
            price_list.shipped().currency,
        ]


@role_required("admin")
@require_http_methods(["GET", "POST"])
def report_prices(request: FleetRequest) -> HttpResponse:
    rates = accounts.rates_of(accounts.cost_model())
    form = RatesForm(request.POST if request.method == "POST" else None, rates)
    if form.is_valid():
        accounts.set_rates(
            per_kwh=form.cleaned_data["per_kwh"],
            charge_per_minute=form.cleaned_data["charge_per_minute"],
            prices=form.told("sku"),
            cloud_per_core_hour=form.told("cloud"),
            by=actor(request),
            now=timezone.now(),
        )
        messages.success(request, "The prices are saved.")
        return redirect("report-month")
    shipped = price_list.shipped()
    confirm = Confirm(
        title="Prices",
        text=f"{shipped.provider}, list of {shipped.dated}, {shipped.source}, in "
        f"{shipped.currency}. Cloud: "
        + "; ".join(f"{name}: {source}" for name, source in shipped.cloud_source.items())
        + ". What you change stays when a newer list is shipped.",
        button="Save",
        action=reverse("report-prices"),
        cancel_url=reverse("report-month"),
    )
    return ask(request, confirm, form)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def report_host_price(request: FleetRequest, name: str) -> HttpResponse:
    host = get_object_or_404(Host.objects.select_related("cost"), name=name)
    known = getattr(host, "cost", None)
    initial = {each: getattr(known, each) for each in accounts.HostPrice.__slots__} if known else {}
    form = HostPriceForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        hosts = [host]
        if form.cleaned_data["everywhere"]:
            hosts += (
                Host.objects.in_service()
                .filter(architecture=host.architecture, cost__isnull=True)
                .exclude(pk=host.pk)
            )
        accounts.set_host_cost(hosts, form.price(), by=actor(request), now=timezone.now())
        said = host.name if len(hosts) == 1 else f"{len(hosts)} machines"
        messages.success(request, f"The price of {said} is saved.")
        return redirect("report-month")
    confirm = Confirm(
        title=f"What {host.name} costs",
        text="Its purchase is spread over the months; electricity goes from idle to busy as its "
        "slots fill. The currency is that of the price list.",
        button="Save",
        action=reverse("report-host-price", args=[host.name]),
        cancel_url=reverse("report-month"),
    )
    return ask(request, confirm, form)


@role_required("admin")
@require_http_methods(["GET", "POST"])
def report_repository(request: FleetRequest) -> HttpResponse:
    name = request.GET.get("name", "")
    known = RepositoryPayer.objects.filter(name=name).first()
    form = RepositoryForm(
        request.POST if request.method == "POST" else None,
        initial={
            "name": name,
            "team": known.team if known else "",
            "public": known.public if known else False,
        },
    )
    if form.is_valid():
        told = form.cleaned_data
        accounts.set_repository(
            told["name"],
            team=told["team"],
            public=told["public"],
            by=actor(request),
            now=timezone.now(),
        )
        messages.success(request, f"{told['name']} is saved.")
        return redirect("report-month")
    confirm = Confirm(
        title="Who pays for a repository",
        text="Costs are charged back by repository and by team. Hosted runners are free for public "
        "repositories, and GitHub charges no self-hosted minutes of theirs.",
        button="Save",
        action=reverse("report-repository"),
        cancel_url=reverse("report-month"),
    )
    return ask(request, confirm, form)
