"""The metrics: who may read them, that they are what the guide says, and that they stay cheap."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from prometheus_client.parser import text_string_to_metric_families

from runners import metrics
from runners.histograms import Histogram
from runners.models import Beat, JobDay, Outage
from runners.states import DisplayState, HostState
from tests.factories import (
    NOW,
    CredentialFactory,
    DriftFactory,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db
URL = reverse("metrics")
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "metrics.md"


def scraped(client):
    """Each sample's value by its name and labels."""
    answer = client.get(URL)
    assert answer.status_code == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_this_machine_may_read(client):
    assert client.get(URL)["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "headers",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "192.0.2.7"},
        {"HTTP_FORWARDED": "for=192.0.2.7"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
    ],
)
def test_others_may_not_without_a_token(client, headers):
    answer = client.get(URL, **headers)

    assert answer.status_code == 401
    assert b"FLEET_METRICS_TOKEN" in answer.content


@pytest.mark.parametrize(
    ("told", "status"),
    [("Bearer secret", 200), ("bearer secret", 200), ("Bearer wrong", 401), ("Basic secret", 401)],
)
def test_a_token_opens_them_from_anywhere(client, settings, told, status):
    settings.FLEET_METRICS_TOKEN = "secret"

    answer = client.get(URL, REMOTE_ADDR="192.0.2.7", headers={"Authorization": told})

    assert answer.status_code == status


def test_no_token_is_no_empty_password(client):
    answer = client.get(URL, REMOTE_ADDR="192.0.2.7", headers={"Authorization": "Bearer "})

    assert answer.status_code == 401


def test_nothing_is_posted(client):
    assert client.post(URL).status_code == 405


def test_every_state_of_a_runner_is_there(client):
    pool = PoolFactory(name="linux-x64")
    RunnerFactory(pool=pool, busy=True)
    RunnerFactory(pool=pool)
    RunnerFactory()

    found = scraped(client)

    states = {
        dict(labels)["state"]: value
        for (name, *labels), value in found.items()
        if name == "fleetui_runners" and dict(labels)["pool"] == "linux-x64"
    }
    assert states.keys() == {state.value for state in DisplayState}
    assert {state: value for state, value in states.items() if value} == {"busy": 1, "idle": 1}
    assert found[("fleetui_runners", ("pool", ""), ("state", "idle"))] == 1


def test_hosts_slots_and_waiting_jobs(client):
    RunnerFactory(host=HostFactory(slots=4))
    HostFactory(slots=2, offline=True)
    HostFactory(retired=True)
    JobFactory(queued_at=NOW - timedelta(seconds=90))
    JobFactory(running=True)

    found = scraped(client)

    states = {dict(labels)["state"] for (name, *labels) in found if name == "fleetui_hosts"}
    assert states == {state.value for state in HostState if state != HostState.RETIRED}
    assert found[("fleetui_hosts", ("state", "offline"))] == 1
    assert found[("fleetui_slots", ("use", "held"))] == 1
    assert found[("fleetui_slots", ("use", "free"))] == 5
    assert found[("fleetui_jobs_open", ("status", "in_progress"))] == 1
    assert found[("fleetui_queue_oldest_seconds",)] == 90


def test_what_was_counted_is_what_the_days_say(client):
    PoolFactory(name="linux-x64")
    for ago in (0, 1):
        for kind, key in (("fleet", ""), ("pool", "linux-x64")):
            JobDay.objects.create(
                kind=kind,
                key=key,
                day=(NOW - timedelta(days=ago)).date(),
                succeeded=5,
                failed=2,
                failed_product=2,
                late=1,
                billed_minutes=30,
                run_seconds=1500.0,
                run=Histogram.of([100, 200, 4000]).stored(),
            )

    found = scraped(client)

    assert found[("fleetui_jobs_total", ("result", "succeeded"))] == 10
    assert found[("fleetui_pool_jobs_total", ("pool", "linux-x64"), ("result", "failed"))] == 4
    assert found[("fleetui_job_failures_total", ("class", "product"))] == 4
    assert found[("fleetui_jobs_late_total",)] == 2
    assert found[("fleetui_job_billed_seconds_total",)] == 3600
    assert found[("fleetui_job_run_seconds_bucket", ("le", "300.0"))] == 4
    assert found[("fleetui_job_run_seconds_bucket", ("le", "+Inf"))] == 6
    assert found[("fleetui_job_run_seconds_sum",)] == 3000


def test_what_is_out_of_order(client):
    pool = PoolFactory(name="linux-x64", paused_at=NOW)
    Outage.objects.create(pool=pool, cause="policy", words="Paused.", began_at=NOW)
    ScopeFactory(github_unknown_since=NOW)
    DriftFactory()
    CredentialFactory(name="app", budget_limit=5000, budget_remaining=12)
    Beat.objects.create(name="worker", at=NOW)

    found = scraped(client)

    assert found[("fleetui_pool_available", ("pool", "linux-x64"))] == 0
    assert found[("fleetui_pool_paused", ("pool", "linux-x64"))] == 1
    assert found[("fleetui_scopes_unknown",)] == 1
    assert found[("fleetui_drift", ("kind", "ghost"))] == 1
    assert found[("fleetui_github_budget_remaining", ("credential", "app"))] == 12
    seen = found[("fleetui_process_seen_timestamp_seconds", ("process", "worker"))]
    assert seen == NOW.timestamp()


def test_labels_are_bounded_and_what_is_left_out_is_counted(client, monkeypatch):
    monkeypatch.setattr(metrics, "SUBJECTS", 2)
    for number in range(3):
        PoolFactory(name=f"pool-{number}")

    found = scraped(client)

    pools = {dict(labels)["pool"] for (name, *labels) in found if name == "fleetui_pool_paused"}
    assert pools == {"pool-0", "pool-1"}
    assert found[("fleetui_metrics_left_out",)] == 1


@pytest.mark.parametrize("count", [2, 20])
def test_a_scrape_costs_the_same_however_many(client, django_assert_num_queries, count):
    for number in range(count):
        pool = PoolFactory()
        RunnerFactory(pool=pool)
        JobFactory()
        CredentialFactory(budget_limit=1, budget_remaining=1)
        JobDay.objects.create(
            kind="fleet", key="", day=(NOW - timedelta(days=number)).date(), jobs=1
        )

    with django_assert_num_queries(12):
        client.get(URL)


def families():
    """(name, type, labels, words) of each family as the guide's table has them."""
    row = re.compile(r"^\| `(fleetui_\w+)` \| (\w+) \| (.*?) \| (.+?) \|$", re.MULTILINE)
    return {
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), words)
        for name, kind, labels, words in row.findall(GUIDE.read_text(encoding="utf-8"))
    }


def test_the_guide_lists_every_family_and_no_other():
    suffix = {"counter": "_total"}

    assert families() == {
        (each.name + suffix.get(each.kind, ""), each.kind, each.labels, each.words)
        for each in metrics.FAMILIES
    }


def test_every_family_is_served_in_its_type(client):
    PoolFactory()
    CredentialFactory(budget_limit=1, budget_remaining=1)
    DriftFactory()
    Beat.objects.create(name="worker", at=NOW)

    served = {
        (family.name, family.type)
        for family in text_string_to_metric_families(client.get(URL).content.decode())
        if family.samples
    }

    assert served == {(each.name, each.kind) for each in metrics.FAMILIES}


@pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (Debian package prometheus): metrics are not linted",
)
def test_prometheus_own_tool_finds_nothing_to_complain_of(client):
    pool = PoolFactory(name="linux-x64")
    RunnerFactory(pool=pool, busy=True)
    CredentialFactory(budget_limit=5000, budget_remaining=12)
    DriftFactory()
    JobDay.objects.create(
        kind="fleet", key="", day=NOW.date(), queue=Histogram.of([1, 90]).stored()
    )

    found = subprocess.run(
        ["promtool", "check", "metrics"],
        input=client.get(URL).content,
        capture_output=True,
        check=False,
    )

    assert (found.returncode, found.stdout + found.stderr) == (0, b"")
