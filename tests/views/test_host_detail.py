"""One host's page: load, slots, heartbeats, facts, notices, events."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import audit
from runners.audit import Actor
from runners.models import Sample
from tests.factories import (
    GIB,
    NOW,
    DriftFactory,
    EnrolmentCodeFactory,
    HostFactory,
    JobFactory,
    RunnerFactory,
    ScopeFactory,
    UserFactory,
)
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db


def page_of(client, host, query=""):
    return parse(client.get(f"{host.get_absolute_url()}?{query}").content)


def facts_of(page):
    names = [name.text for name in page.all("dt")]
    return dict(zip(names, [value.text for value in page.all("dd")], strict=True))


def test_the_two_signals_of_the_architecture_are_both_told(viewer):
    facts = facts_of(page_of(viewer, HostFactory(arm64=True)))

    assert facts["Architecture"] == "arm64, kernel says aarch64"


def test_facts_are_listed(viewer):
    host = HostFactory(gpu=True, temperature_celsius=64.2, owner="platform")
    code = EnrolmentCodeFactory(host=host, created_by=UserFactory(username="ci-admin"))

    facts = facts_of(page_of(viewer, host))

    assert facts["GPU"] == "NVIDIA L4"
    assert facts["Temperature"] == "64 °C"
    assert facts["Owner"] == "platform"
    assert facts["Code made by"] == code.created_by.username
    assert facts["Enrolled"] == "2 d ago"


KEPT_APART = {
    "limits": ["cpu", "memory"],
    "limits_by": "cgroup v1",
    "limits_reason": "",
    "jobs_run_as": "slot-user",
    "view": "private",
    "view_reason": "",
    "credentials": "memory",
    "shared": ["/opt/cache"],
}
HELD_TOGETHER = {
    "limits": [],
    "limits_by": "",
    "limits_reason": "no control groups",
    "jobs_run_as": "root",
    "view": "shared",
    "view_reason": "unshare: Operation not permitted",
    "credentials": "disk",
    "shared": [],
}


def test_how_jobs_are_kept_apart_is_told(viewer):
    host = HostFactory(isolation=KEPT_APART, slot_cpu_cores=2, slot_memory_bytes=8 * 10**9)

    facts = facts_of(page_of(viewer, host))

    assert facts["Limits"] == "cpu, memory by cgroup v1"
    assert facts["Jobs run as"] == "a user of each slot's own"
    assert facts["Jobs see"] == "their own processes, files and temp only"
    assert facts["Credentials"] == "in memory only"
    assert facts["Shared with jobs"] == "/opt/cache"
    assert facts["Slots"] == f"{host.slots}, each at most 2 cores and 8 GB"


def test_what_keeps_no_jobs_apart_is_told_as_a_warning(viewer):
    page = page_of(viewer, HostFactory(isolation=HELD_TOGETHER))

    facts = facts_of(page)
    assert facts["Limits"] == "none possible: no control groups"
    assert facts["Jobs see"] == "all their user may: unshare: Operation not permitted"
    assert "Jobs run as root on this host." in page.text
    assert "Limits" not in facts_of(page_of(viewer, HostFactory()))


def test_equal_gpus_are_counted(viewer):
    host = HostFactory(gpus=[{"model": "NVIDIA L4"}, {"model": "NVIDIA L4"}])

    assert facts_of(page_of(viewer, host))["GPU"] == "2 \N{MULTIPLICATION SIGN} NVIDIA L4"


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        ({"offline": True}, "has been silent for 10 min."),
        ({"late": True}, "has been silent for 1 min."),
        ({"cordoned_for_work": True}, "Cordoned: it takes no new runners."),
        ({"posing": True}, "This host is posing."),
        ({"retired": True}, "is retired."),
        ({"disk_used_bytes": 480 * GIB}, "Disk is 96% full."),
    ],
)
def test_what_is_out_of_the_ordinary_is_said_on_top(viewer, facts, title):
    page = page_of(viewer, HostFactory(**facts))

    assert title in " ".join(callout.text for callout in page.all(class_="callout"))


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"emulated": True}, "Emulated"),
        ({"clock_skew_seconds": 95.0}, "Clock"),
        ({"token_rotation_asked_at": NOW}, "Agent token"),
    ],
)
def test_a_fact_that_is_amiss_stands_out(viewer, facts, name):
    page = page_of(viewer, HostFactory(**facts))
    marked = [value.text for value in page.all("dd", class_=" caution")]

    assert [facts_of(page)[name]] == marked


def test_slots_name_their_runners_and_what_those_do(viewer):
    host = HostFactory(slots=2)
    runner = RunnerFactory(host=host, slot=1, busy=True)
    JobFactory(running=True, runner=runner, repository="acme/web", name="build")

    page = page_of(viewer, host)

    lines = [
        line.text
        for line in page.by_id("host-page").all("li")
        if "slot" in line.text.lower() or runner.name in line.text
    ]
    assert lines == [f"{runner.name} acme/web · build 40s", "Slot 2 is free"]


def test_a_runner_above_the_number_of_slots_is_still_listed(viewer):
    host = HostFactory(slots=1)
    runner = RunnerFactory(host=host, slot=3)

    assert page_of(viewer, host).all("a", href=runner.get_absolute_url())


def test_charts_show_the_samples_of_the_range(viewer):
    host = HostFactory()
    for minute in range(0, 50, 2):
        Sample.objects.create(
            host=host,
            at=NOW - timedelta(minutes=minute),
            cpu_percent=50,
            load1=4,
            memory_used_bytes=16 * GIB,
            disk_used_bytes=250 * GIB,
        )

    charts = page_of(viewer, host).all("svg", role="img")

    assert [chart["aria-label"].partition(":")[0] for chart in charts[:4]] == [
        "CPU",
        "Memory",
        "Disk",
        "Load",
    ]
    assert all(chart["aria-label"].endswith("50 % at last") for chart in charts[:4])


@pytest.mark.parametrize(("asked", "chosen"), [("6h", "6 h"), ("nonsense", "1 h"), ("", "1 h")])
def test_a_range_is_chosen_by_the_address(viewer, asked, chosen):
    ranges = page_of(viewer, HostFactory(), f"range={asked}").one(class_="seg end")

    assert ranges.one("a", aria_current="true").text == chosen


def test_a_host_without_samples_says_so(viewer):
    charts = page_of(viewer, HostFactory(enrolling=True)).all("svg", role="img")

    assert charts[0]["aria-label"] == "CPU: nothing measured"


def test_events_of_the_host_and_its_runners_make_one_timeline(viewer):
    host = HostFactory(name="forge-01")
    runner = RunnerFactory(host=host, name="forge-01-ab12")
    audit.record(host, "host.cordon", by=Actor.system("x"), at=NOW, reason="Kernel")
    audit.record(runner, "runner.failed", by=Actor.system("reconcile"), at=NOW, reason="No disk")

    titles = [
        event.one("b").text
        for event in page_of(viewer, host).one("ol", class_="timeline").all("li")
    ]

    assert titles == ["Runner failed forge-01-ab12", "Cordoned host forge-01"]


def test_a_viewer_sees_no_action(viewer):
    page = page_of(viewer, HostFactory())

    assert page.by_id("host-page").all("form") == []
    assert page.by_id("host-page").all("details") == []


def test_a_retired_host_keeps_its_page_without_actions(operator):
    page = page_of(operator, HostFactory(retired=True))

    assert page.by_id("host-page").all("form") == []


def test_a_fragment_is_the_page_alone_and_announces_its_state(viewer):
    host = HostFactory(offline=True)

    root = parse(viewer.get(host.get_absolute_url(), headers=HTMX).content).by_id("host-page")

    assert root["data-announce"] == f"{host.name}: Offline"


def test_an_unchanged_poll_is_204_in_two_queries(viewer, django_assert_num_queries):
    url = HostFactory().get_absolute_url()
    version = parse(viewer.get(url).content).by_id("host-page")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(url, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


@pytest.mark.parametrize("count", [3, 30])
def test_the_page_costs_the_same_however_much_runs_there(
    operator, django_assert_num_queries, count
):
    host, scope = HostFactory(slots=count), ScopeFactory()
    for slot in range(1, count + 1):
        runner = RunnerFactory(host=host, slot=slot, scope=scope, busy=True)
        JobFactory(running=True, runner=runner, scope=scope)
        audit.record(runner, "runner.active", by=Actor.system("x"), at=NOW)

    with django_assert_num_queries(19):
        operator.get(host.get_absolute_url())


def test_drift_on_it_is_told_with_the_way_there(viewer):
    row = DriftFactory(leftover=True)
    DriftFactory(leftover=True)

    line = parse(viewer.get(row.host.get_absolute_url()).content).by_id("host-drift")

    assert line.text.startswith("1 mismatch between")
    assert line.one("a")["href"] == f"{reverse('drift-list')}?host={row.host.name}"


def test_without_drift_nothing_is_said(viewer):
    page = parse(viewer.get(HostFactory().get_absolute_url()).content)

    assert not page.all(id="host-drift")


def test_an_unknown_host_is_a_404(viewer):
    assert viewer.get(reverse("host-detail", args=["nowhere"])).status_code == 404


def test_health_of_a_host_names_each_check_the_worst_first(viewer):
    host = HostFactory(disk_total_bytes=100, disk_used_bytes=95, clock_skew_seconds=0.2)

    checks = page_of(viewer, host).by_id("health")

    names = [name.text for name in checks.all("dt")]
    assert names[0] == "Disk"
    assert {"Heartbeat", "Memory", "Clock", "GPU", "Agent version"} <= set(names)


def test_retired_host_has_no_health(viewer):
    assert page_of(viewer, HostFactory(retired=True)).all(id="health") == []


def card(**fields):
    return {
        "vendor": "nvidia",
        "model": "NVIDIA L4",
        "memory_bytes": 24 * 10**9,
        "driver": "550.54.15",
        "uuid": "GPU-1",
        "pci": "0000:01:00.0",
        "state": "ok",
        "reason": "",
        "ecc_errors": 0,
        "mig": [],
    } | fields


def test_each_gpu_is_shown_with_its_health_and_the_runner_that_has_it(viewer):
    reading = {"id": "GPU-1", "temperature_celsius": 64, "busy_percent": 30, "memory_used_bytes": 0}
    host = HostFactory(gpus=[card()], gpu_readings=[reading])
    runner = RunnerFactory(host=host, slot=1, gpu="GPU-1", name="kiln-gpu-1")
    RunnerFactory(host=host, slot=2, name="kiln-other")

    line = page_of(viewer, host).one(id="host-gpus").text

    assert "Ready" in line
    assert "NVIDIA L4" in line
    assert "24 GB · 550.54.15 · 0000:01:00.0" in line
    assert "64 °C · 30% busy · 0 B in use" in line
    assert runner.name in line
    assert "kiln-other" not in line


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"state": "lost", "reason": "the driver lost it"}, ["Lost", "the driver lost it"]),
        ({"state": "no-driver", "reason": "install it"}, ["Not usable", "install it"]),
        ({"integrated": True}, ["Graphics only"]),
        ({"ecc_errors": 2}, ["Ready", "2 uncorrected memory errors"]),
        ({"mig": [{"uuid": "MIG-1", "profile": "3g.20gb"}]}, ["1 instance: 3g.20gb"]),
    ],
)
def test_gpu_that_is_amiss_says_how(viewer, fields, said):
    line = page_of(viewer, HostFactory(gpus=[card(**fields)])).one(id="host-gpus").text

    assert all(words in line for words in said)


def test_checks_are_shown_with_their_fixes_the_worst_first(viewer):
    checks = [
        {"key": "cpus", "verdict": "good", "words": "8 processors", "fix": ""},
        {"key": "images", "verdict": "fair", "words": "no engine", "fix": "install podman"},
        {"key": "storage", "verdict": "poor", "words": "refused: 40 GB", "fix": "a larger SSD"},
    ]
    page = page_of(viewer, HostFactory(checks=checks))

    words = page.one(id="host-checks").text
    places = [words.index(name) for name in ("Storage", "Container images", "Processors")]
    assert places == sorted(places)
    assert "a larger SSD" in words
    assert "2 of 3 below the recommendation" in page.text


def test_emulation_and_the_way_to_github_are_among_the_details(viewer):
    host = HostFactory(
        emulations=[{"architecture": "arm64", "slowdown": 5.8}],
        cpu_topology="4 cores, 8 threads",
        github_p95_ms=150.0,
        github_verdict="fair",
    )
    facts = facts_of(page_of(viewer, host))

    assert facts["Emulates arm64"] == "about 5.8 times slower than native"
    assert facts["Processors"] == "4 cores, 8 threads"
    assert facts["To GitHub"] == "150 ms"
