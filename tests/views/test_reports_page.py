"""The monthly report in the browser: money, machines, who pays; every figure equal everywhere."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from runners import accounts
from runners.figures import Period
from runners.models import (
    CostModel,
    Event,
    HostCost,
    JobDay,
    PoolTarget,
    RepositoryPayer,
)
from tests.factories import NOW, HostFactory, PoolFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("report-month")
# 1 to 23 November, 12:00
HOURS = Decimal(22 * 24 + 12)


def machine(name="forge-01", **facts):
    """1 an hour for hardware, nothing else; 32 cores in four slots."""
    host = HostFactory(
        name=name, cpu_count=32, slots=4, enrolled_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    HostCost.objects.create(host=host, **{"purchase": 730, "months": 1, **facts})
    return host


def used(
    minutes=100_000,
    seconds=0.0,
    pool="linux-x64",
    repository="acme/web",
    host="forge-01",
    architecture="x64",
    **facts,
):
    common = {"day": NOW.date(), "run_seconds": seconds, "billed_minutes": minutes}
    common |= {"jobs": 10, "started": 10, **facts}
    JobDay.objects.create(
        kind=JobDay.Kind.SHARE, key=f"{architecture}|{pool}|{repository}", **common
    )
    row, made = JobDay.objects.get_or_create(
        kind=JobDay.Kind.HOST, key=host, defaults=common, day=NOW.date()
    )
    if not made:
        JobDay.objects.filter(pk=row.pk).update(run_seconds=row.run_seconds + seconds)


def page_of(client, **query):
    return parse(client.get(URL, query).content)


def cells(element):
    return [[cell.text for cell in row.all("td")] for row in element.all("tr")[1:]]


def test_the_month_says_what_was_saved(viewer):
    """540 hours cost 540; 100,000 minutes at 0.022 are 2,200."""
    machine()
    used(seconds=float(HOURS * 3600))

    page = page_of(viewer)

    assert page.by_id("saved").text == "$1,660.00"
    sums = [each.text for each in page.by_id("sums").all("dd")]
    assert sums[:4] == ["$2,200.00", "$540.00", "$405.00, 75%", "$0.00"]
    # 540 in 22.5 days are 720 in 30, and 730 in a mean month: 730 / 0.022
    assert sums[4:6] == ["$720.00", "33,182 min a month"]


def test_three_baselines_are_reported(viewer):
    machine()
    used()

    rows = cells(page_of(viewer).by_id("baselines"))

    assert [row[0] for row in rows] == [
        "GitHub-hosted, same kind",
        "Always-on cloud machines",
        "GitHub-hosted ARM64",
    ]
    # 32 cores x 540 h x 0.0504; 100,000 x 0.014
    assert [row[1] for row in rows] == ["$2,200.00", "$870.91", "$1,400.00"]


def test_no_saving_is_said_where_hosted_is_free(viewer):
    machine()
    RepositoryPayer.objects.create(name="acme/web", public=True)
    CostModel.objects.create(pk=1, pool_skus={"linux-x64": "linux-x64-4"})
    used()

    page = page_of(viewer)

    assert "No saving: it is free there" in page.by_id("baselines").text
    assert "free for them. No saving." in page.by_id("pools").text


def test_the_platform_charge_is_a_switch(viewer, sign_in):
    machine()
    used()
    CostModel.objects.create(pk=1, charge_per_minute="0.002")

    assert [each.text for each in page_of(viewer).by_id("sums").all("dd")][1:4] == [
        "$740.00",
        "$540.00, 100%",
        "$200.00",
    ]


def test_a_machine_without_a_price_is_said_to_be_missing(viewer):
    HostFactory(name="unpriced")

    page = page_of(viewer)

    assert "1 of 1 machines have no price" in page.by_id("unpriced").text
    assert "no price" in page.by_id("machine-unpriced").text


def test_a_machine_costs_from_its_enrolment_to_its_retirement(viewer):
    host = machine()
    host.enrolled_at, host.retired_at = NOW - timedelta(hours=100), NOW - timedelta(hours=40)
    host.save()

    assert page_of(viewer).by_id("machine-forge-01").all("td")[1].text == "$60.00"


def test_page_file_and_account_tell_the_same(viewer):
    machine()
    machine("forge-02", rack_a_month=73)
    RepositoryPayer.objects.create(name="acme/web", team="web")
    used(seconds=100_000.0, minutes=2000)
    used(seconds=300_000.0, minutes=6000, repository="acme/api", host="forge-02")

    files = {}
    for by in ("repository", "team", "pool"):
        body = viewer.get(URL, {"format": "csv", "by": by}).getvalue().decode()
        files[by] = list(csv.DictReader(io.StringIO(body)))

    account = accounts.books(Period(date(2026, 11, 1), date(2026, 11, 30)), now=NOW).account
    for rows in files.values():
        total = sum(Decimal(row["total"]) for row in rows)
        assert abs(total - account.ours) < Decimal("0.05")
    assert [row["subject"] for row in files["team"]] == ["(none)", "web"]
    # Three quarters of the seconds
    assert files["repository"][0]["subject"] == "acme/api"
    assert files["repository"][0]["total"] == f"{account.ours * 3 / 4:.2f}"
    assert f"${account.ours:,.2f}" in page_of(viewer).by_id("pools").one("tfoot").text


def test_how_it_was_kept_is_on_the_report(viewer):
    pool = PoolFactory(name="linux-x64")
    PoolTarget.objects.create(pool=pool, watched_since=NOW - timedelta(days=20), watched_at=NOW)

    assert cells(page_of(viewer).by_id("kept")) == [["linux-x64", "100.00%", "99.5%", "Kept"]]


def test_an_empty_month_saves_nothing(viewer):
    page = page_of(viewer, month="2026-01")

    assert page.by_id("saved").text == "$0.00"
    assert "No machine yet" in page.by_id("month").text


def rates(**changes):
    form = {"per_kwh": "0.25", "charge_per_minute": "0"}
    model = accounts.rates_of(accounts.cost_model())
    form |= {f"sku:{price.sku}": str(price.per_minute) for price in model.prices}
    form |= {f"cloud:{name}": str(price) for name, price in model.cloud_per_core_hour.items()}
    return form | changes


def test_an_admin_changes_a_price_and_only_that_is_kept(sign_in):
    sign_in("admin").post(reverse("report-prices"), rates(**{"sku:linux-x64-2": "0.004"}))

    row = CostModel.objects.get()
    assert (row.prices, row.cloud_per_core_hour) == ({"linux-x64-2": "0.004"}, {})
    assert row.per_kwh == Decimal("0.25")
    assert Event.objects.get().action == "cost.rates"


def test_a_price_below_nothing_is_refused(sign_in):
    response = sign_in("admin").post(reverse("report-prices"), rates(per_kwh="-1"))

    assert response.status_code == 422
    assert not CostModel.objects.exists()


PRICE = {
    "purchase": "3600",
    "months": "36",
    "watts_idle": "100",
    "watts_busy": "200",
    "rack_a_month": "20",
    "hands_a_month": "0",
}


@pytest.mark.parametrize(("everywhere", "priced"), [("", 1), ("on", 2)])
def test_an_admin_prices_a_machine_or_all_like_it(sign_in, everywhere, priced):
    host = HostFactory()
    HostFactory()
    HostFactory(arm64=True)
    machine()

    sign_in("admin").post(
        reverse("report-host-price", args=[host.name]), {**PRICE, "everywhere": everywhere}
    )

    assert HostCost.objects.filter(purchase=3600).count() == priced
    assert HostCost.objects.get(host__name="forge-01").purchase == 730


def test_a_purchase_over_no_months_is_refused(sign_in):
    host = HostFactory()

    response = sign_in("admin").post(
        reverse("report-host-price", args=[host.name]), {**PRICE, "months": "0"}
    )

    assert response.status_code == 422


def test_an_admin_says_who_pays_for_a_repository(sign_in):
    sign_in("admin").post(
        reverse("report-repository"), {"name": "acme/web", "team": "web", "public": "on"}
    )

    row = RepositoryPayer.objects.get()
    assert (row.name, row.team, row.public) == ("acme/web", "web", True)


def test_an_unchanged_report_is_204_in_two_queries(viewer, django_assert_num_queries):
    version = page_of(viewer).by_id("month")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


@pytest.mark.parametrize("count", [3, 30])
def test_the_report_costs_the_same_however_many_machines(viewer, django_assert_num_queries, count):
    for number in range(count):
        machine(f"forge-{number:02d}x")
        PoolFactory(name=f"pool-{number}")
        used(pool=f"pool-{number}", repository=f"acme/repo-{number}", host=f"forge-{number:02d}x")

    with django_assert_num_queries(20):
        viewer.get(URL)
