"""The overview: its sentence, figures, map, and what needs attention."""

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import audit
from runners.audit import Actor
from runners.models import Event
from tests.factories import (
    NOW,
    CredentialFactory,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)
from tests.looks import look
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("overview")


def overview(client):
    return parse(client.get(URL).content)


def test_an_empty_fleet_leads_an_admin_to_the_set_up(sign_in):
    page = overview(sign_in("admin"))

    assert page.one("main").one("h2").text == "The fleet is empty"
    assert page.one("main").one("a")["href"] == reverse("setup")


def test_an_empty_fleet_tells_others_who_can_fill_it(viewer):
    assert "An admin connects GitHub" in overview(viewer).one("main").text


def test_the_sentence_is_calm_when_nothing_is_wrong(viewer):
    RunnerFactory()

    sentence = overview(viewer).one("h1").text

    assert sentence == "1 of 1 runner is online. Nothing waits, and every host reports."


def test_the_sentence_names_waiting_jobs_and_the_silent_host(viewer):
    RunnerFactory()
    silent = HostFactory(offline=True)
    JobFactory(queued_at=NOW - timedelta(minutes=6))
    JobFactory()

    sentence = overview(viewer).one("h1").text

    assert sentence == (
        "1 of 1 runner is online. 2 jobs are waiting , the oldest for 6 min, and "
        f"{silent.name} is offline ."
    )


def test_several_silent_hosts_become_a_number_that_leads_to_their_list(viewer):
    HostFactory.create_batch(2, offline=True)

    link = overview(viewer).one("h1").one("a")

    assert (link.text, link["href"]) == (
        "2 hosts are offline",
        f"{reverse('host-list')}?state=offline",
    )


def test_the_figures_count_only_slots_that_can_be_used(viewer):
    host = HostFactory(slots=4)
    RunnerFactory(host=host, slot=1, busy=True)
    RunnerFactory(host=host, slot=2)
    HostFactory(slots=6, offline=True)

    values = [figure.text for figure in overview(viewer).all("dd", class_="kpi__value")]

    assert values == ["0", "1 of 4 slots", "2 of 2", "1 of 2", "0"]


def manual_actions(client):
    return overview(client).by_id("manual-actions").one("dd", class_="kpi__value").text


def test_a_change_by_a_person_raises_the_number_of_manual_actions(operator):
    host = HostFactory()
    before = manual_actions(operator)

    operator.post(reverse("host-cordon", args=[host.name]))

    assert (before, manual_actions(operator)) == ("0", "1")


def test_what_machines_and_timers_do_is_no_manual_action(viewer):
    host, now = HostFactory(), NOW
    audit.record(host, "host.offline", by=Actor.system("heartbeat watch"), at=now)
    by_command = Actor(Event.ActorKind.COMMAND, "cron")
    audit.record(host, "fleet.backup", by=by_command, at=now)
    audit.record(host, "host.cordon", by=by_command, at=now - timedelta(days=31))

    assert manual_actions(viewer) == "0"


def test_a_host_shows_one_window_a_slot(viewer):
    host = HostFactory(slots=3)
    runner = RunnerFactory(host=host, slot=2, busy=True)

    windows = overview(viewer).by_id(f"rack-{host.name}").all(class_="slot")
    lit = overview(viewer).by_id(f"rack-{host.name}").one("a", data_state="busy")

    assert len(windows) == 2
    assert lit["href"] == runner.get_absolute_url()
    assert lit["title"] == f"{runner.name} — Busy · build, 3m 00s"


def test_a_window_beyond_the_slots_a_host_now_has_stays_visible(viewer):
    host = HostFactory(slots=1)
    RunnerFactory(host=host, slot=3)

    rack = overview(viewer).by_id(f"rack-{host.name}")

    assert [slot["data-state"] for slot in rack.all(class_="slot")] == ["free", "idle"]


@pytest.mark.parametrize(
    ("trait", "state", "note"),
    [
        ("offline", "offline", "Silent for 10 min"),
        ("late", "late", "Silent for 1 min"),
        ("enrolling", "enrolling", "Waiting for first heartbeat"),
        ("cordoned_for_work", "cordoned", "Disk replacement"),
    ],
)
def test_a_host_in_trouble_says_so_instead_of_its_load(viewer, trait, state, note):
    host = HostFactory(**{trait: True})

    rack = overview(viewer).by_id(f"rack-{host.name}")

    assert rack["data-state"] == state
    assert rack.one("p").text == note


def test_a_retired_host_is_not_on_the_map(viewer):
    RunnerFactory()
    host = HostFactory(retired=True)

    assert overview(viewer).all(id=f"rack-{host.name}") == []


def test_of_many_hosts_the_troubled_come_first_and_the_rest_is_counted(viewer):
    HostFactory.create_batch(60)
    troubled = HostFactory(name="zz-last", offline=True)

    page = overview(viewer)

    racks = page.all("article")
    assert len(racks) == 60
    assert racks[0]["id"] == f"rack-{troubled.name}"
    assert "1 more hosts" in page.text


def concern_titles(page):
    return [line.one("b").text for line in page.by_id("attention").all("li")]


def test_what_needs_attention_comes_worst_first(viewer):
    late = HostFactory(late=True)
    failed = RunnerFactory(failed=True)
    silent = HostFactory(offline=True)

    titles = concern_titles(overview(viewer))

    assert titles == [
        f"{silent.name} is offline",
        f"{failed.name} failed",
        f"{late.name} is late",
    ]


def test_a_failed_runner_says_why(viewer):
    RunnerFactory(failed=True, state_reason="Did not come online within 120 s")

    concern = overview(viewer).by_id("attention").one("li")

    assert concern.one("p").text == "Did not come online within 120 s"


def test_a_full_disk_needs_attention(viewer):
    host = HostFactory(disk_total_bytes=100, disk_used_bytes=95)

    assert concern_titles(overview(viewer)) == [f"{host.name} disk is 95% full"]


@pytest.mark.parametrize(
    ("fields", "title"),
    [
        ({"github_p95_ms": 150.0, "github_verdict": "fair"}, "kiln-01 is slow to reach GitHub"),
        ({"github_p95_ms": None, "github_verdict": "poor"}, "kiln-01 does not reach GitHub"),
        ({"github_verdict": "poor", "offline": True}, "kiln-01 is offline"),
    ],
)
def test_host_far_from_github_needs_attention(viewer, fields, title):
    HostFactory(name="kiln-01", **fields)

    HostFactory(name="kiln-02", github_p95_ms=20.0, github_verdict="good")

    assert concern_titles(overview(viewer)) == [title]


def test_a_bad_credential_names_its_verdict_and_its_fix(viewer):
    HostFactory()
    credential = CredentialFactory(
        verdict="wrong-scope", verdict_message="It can't see acme.", verdict_fix="Grant admin:org."
    )
    CredentialFactory(verdict="valid")

    concern = overview(viewer).by_id("attention").one("li")

    assert concern["data-state"] == "critical"
    assert concern.one("b").text == f"Credential {credential.name}: wrong scope"
    assert concern.one("p").text == "It can't see acme. Grant admin:org."


def test_an_unreachable_github_needs_attention(viewer):
    HostFactory()
    scope = ScopeFactory(github_unknown_since=NOW - timedelta(minutes=5))

    assert concern_titles(overview(viewer)) == [f"GitHub can't be read for {scope.slug}"]


def test_many_failed_runners_are_three_names_and_a_number(viewer):
    RunnerFactory.create_batch(5, failed=True)

    page = overview(viewer)

    assert len(concern_titles(page)) == 4
    assert concern_titles(page)[-1] == "2 more runners failed or are offline"


def test_waiting_jobs_are_listed_oldest_first_with_their_reason(viewer):
    HostFactory()
    JobFactory(name="late", queued_at=NOW - timedelta(minutes=1), labels=["gpu"])
    JobFactory(name="early", queued_at=NOW - timedelta(minutes=9))
    look()

    jobs = overview(viewer).by_id("waiting").all("li")

    assert [job.one("b").text for job in jobs] == ["early", "late"]
    assert "No pool carries gpu." in jobs[1].text


def test_jobs_that_nothing_can_run_need_attention_with_their_countdown(viewer):
    HostFactory()
    job = JobFactory(labels=["cuda-13"], repository="acme/ml")
    look()

    concern = overview(viewer).by_id("attention").one("li")

    assert concern["data-state"] == "critical"
    assert concern.one("b").text == "1 job of acme/ml can't run"
    assert "No pool carries cuda-13." in concern.text
    ends = job.queued_at + timedelta(hours=24)
    assert f"GitHub cancels the oldest at {ends:%Y-%m-%d %H:%M} UTC." in concern.text
    assert concern.one("a")["href"] == f"{reverse('job-queue')}?state=unroutable"


def test_only_a_few_that_cannot_run_are_named(viewer):
    HostFactory()
    for number in range(5):
        JobFactory(labels=[f"nobody-{number}"])
    look()

    titles = [each.text for each in overview(viewer).by_id("attention").all("b")]

    assert "2 more jobs can't run" in titles
    assert len(titles) == 4


def test_jobs_that_github_soon_cancels_need_attention(viewer):
    pool = PoolFactory()
    RunnerFactory(scope=pool.scope, pool=pool, busy=True)
    JobFactory(scope=pool.scope, queued_at=NOW - timedelta(hours=19))
    look()
    assert overview(viewer).all(id="attention") == []

    JobFactory(scope=pool.scope, repository="acme/api", queued_at=NOW - timedelta(hours=21))
    look()

    concern = overview(viewer).by_id("attention").one("li")
    assert concern.one("b").text == "GitHub soon cancels waiting jobs of acme/api"


def test_running_jobs_are_listed_longest_first(viewer):
    young = RunnerFactory(busy=True, job_started_at=NOW - timedelta(minutes=1))
    old = RunnerFactory(busy=True, job_started_at=NOW - timedelta(minutes=9))

    links = overview(viewer).all("a", class_="rowlink mono")

    assert [link.text for link in links] == [old.name, young.name]


@pytest.mark.parametrize("count", [3, 30])
def test_the_overview_costs_the_same_queries_however_large(
    operator, django_assert_num_queries, count
):
    scope = ScopeFactory()
    for _ in range(count):
        RunnerFactory(scope=scope, busy=True)
        RunnerFactory(scope=scope, failed=True)
        JobFactory(scope=scope)
    look()

    with django_assert_num_queries(25):
        operator.get(URL)


def test_hostile_names_are_shown_as_text(viewer):
    RunnerFactory(busy=True, job_name="<script>alert(1)</script>")

    page = overview(viewer)

    assert "<script>alert(1)</script>" in page.by_id("overview").text
    assert page.by_id("overview").all("script") == []
