"""One runner's page: its life, its job, its three columns of facts, its log and its events."""

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import audit
from runners.audit import Actor
from runners.models import RunnerLog
from tests.factories import NOW, HostFactory, JobFactory, PoolFactory, RunnerFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db


def page_of(client, runner):
    return parse(client.get(runner.get_absolute_url()).content)


def test_the_head_names_runner_state_host_and_labels(viewer):
    runner = RunnerFactory(pool=PoolFactory(name="linux-x64"), labels=["gpu"])

    page = page_of(viewer, runner)

    assert page.one("h1").text == runner.name
    assert page.one("title").text == f"{runner.name} · Fleetui"
    assert page.one("span", class_="pill").text == "Idle"
    assert "pool linux-x64" in page.by_id("runner-page").text
    assert [tag.text for tag in page.all("span", class_="tag")] == ["gpu"]


def steps(page):
    return [step.one("div").text for step in page.by_id("track").all("li")]


def test_the_track_measures_each_stretch_of_its_life(viewer):
    runner = RunnerFactory(
        busy=True,
        created_at=NOW - timedelta(minutes=5),
        registered_at=NOW - timedelta(minutes=4, seconds=30),
        online_at=NOW - timedelta(minutes=4),
        job_started_at=NOW - timedelta(minutes=3),
    )

    page = page_of(viewer, runner)

    assert steps(page) == ["Requested 30s", "Registered 30s", "Online 1m 00s", "Busy 3m 00s"]
    assert page.by_id("track").one("li", aria_current="step").one("div").text == "Busy 3m 00s"


def test_the_track_of_a_removed_runner_ends(viewer):
    page = page_of(viewer, RunnerFactory(removed=True))

    assert steps(page)[-1] == "Removed"
    assert page.by_id("track").all("li", aria_current="step") == []


def test_the_current_job_links_to_github(viewer):
    runner = RunnerFactory(busy=True)
    JobFactory(
        running=True,
        runner=runner,
        name="test (3/8)",
        repository="acme/web",
        head_branch="main",
        html_url="https://github.com/acme/web/actions/runs/1/job/2",
    )

    page = page_of(viewer, runner)

    assert "test (3/8) acme/web · main · CI 40s so far" in page.text
    assert page.one("a", rel="noreferrer")["href"].startswith("https://github.com/acme/web")


def test_a_job_only_the_host_knows_is_shown_by_its_name(viewer):
    page = page_of(viewer, RunnerFactory(busy=True, job_name="build"))

    assert "build 3m 00s so far" in page.text


def test_an_idle_runner_has_no_job(viewer):
    page = page_of(viewer, RunnerFactory(jobs_done=4))

    assert "None. 4 done so far." in page.text


def test_wanted_host_and_github_stand_side_by_side(viewer):
    runner = RunnerFactory(
        busy=True, draining=True, state_reason="Kernel update", github_status="offline", pid=77
    )

    facts = page_of(viewer, runner).all("dl", class_="facts is-narrow")

    assert [column.all("dd")[0].text for column in facts] == [
        "Draining",
        "Running a job",
        "Offline, busy",
    ]
    assert "Kernel update" in facts[0].text
    assert "77" in facts[1].text
    assert f"#{runner.github_id}" in facts[2].text


@pytest.mark.parametrize(
    ("facts", "column", "line"),
    [
        ({"draining": True, "drain_deadline_at": NOW + timedelta(hours=2)}, 0, "Deadline in 2 h"),
        ({"removing": True, "force": True}, 0, "Force its job may fail"),
        ({"phase": "exited", "exit_code": 7}, 1, "Exit code 7"),
        ({"phase": "failed", "phase_reason": "No space left"}, 1, "Said No space left"),
        ({"github_labels": ["linux", "gpu"]}, 2, "Labels linux, gpu"),
        ({"removed": True}, 2, "Deleted 1 min ago"),
        ({"new": True}, 2, "Status Unknown"),
    ],
)
def test_a_side_adds_what_it_knows_only_at_times(viewer, facts, column, line):
    shown = page_of(viewer, RunnerFactory(**facts)).all("dl", class_="facts is-narrow")

    assert line in shown[column].text


def test_a_failed_runner_has_no_current_job(viewer):
    page = page_of(viewer, RunnerFactory(busy=True, state="failed", state_reason="Killed"))

    assert "None. 0 done so far." in page.text


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"failed": True, "state_reason": "No space left"}, "No space left"),
        ({"github_status": "offline"}, "Its process runs, but GitHub says it is offline."),
        ({"github_status": "absent"}, "GitHub no longer has it registered, but its process runs."),
        ({"phase": "gone"}, "Its process has ended: gone."),
    ],
)
def test_a_problem_is_said_on_top(viewer, facts, problem):
    page = page_of(viewer, RunnerFactory(**facts))

    assert page.one("div", class_="callout", data_state="failure").text == problem


def test_a_lost_runner_says_that_nothing_is_known(viewer):
    runner = RunnerFactory(host=HostFactory(name="reed", offline=True))

    page = page_of(viewer, runner)

    assert page.one("span", class_="pill").text == "Lost"
    assert "reed is silent" in page.one("div", class_="callout", data_state="failure").text


def test_the_timeline_tells_who_what_and_why_newest_first(viewer):
    runner = RunnerFactory()
    by = Actor.system("pool linux")
    audit.record(runner, "runner.provision", by=by, at=NOW - timedelta(minutes=2), reason="0 ready")
    audit.record(runner, "runner.draining", by=by, at=NOW, reason="Update")
    audit.record(RunnerFactory(), "runner.failed", by=by, at=NOW)

    events = page_of(viewer, runner).one("ol", class_="timeline").all("li")

    assert [event.one("b").text for event in events] == ["Draining runner", "Provisioned runner"]
    assert events[0].one("p").text == "pool linux · Update"


def test_the_log_shows_its_end_as_text_and_can_be_downloaded(viewer):
    runner = RunnerFactory()
    text = "first\n" + "<b>line</b>\n" * 2_000
    RunnerLog.objects.create(runner=runner, text=text, offset=len(text), updated_at=NOW)

    page = page_of(viewer, runner)
    download = viewer.get(reverse("runner-log", args=[runner.pk]))

    shown = page.by_id("runner-log")
    assert "first" not in shown.text
    assert shown.all("b") == []
    assert download.content.decode() == text
    assert download["Content-Type"].startswith("text/plain")
    assert download["Content-Disposition"] == f'attachment; filename="{runner.name}.log"'


def test_a_runner_that_said_nothing_has_no_log(viewer):
    runner = RunnerFactory()

    assert viewer.get(reverse("runner-log", args=[runner.pk])).status_code == 404
    assert "has sent no line yet" in page_of(viewer, runner).text


def test_a_viewer_finds_no_actions(viewer):
    page = page_of(viewer, RunnerFactory())

    assert page.one("main").all("form") == []
    assert page.one("main").all("button") == []


@pytest.mark.parametrize(
    ("facts", "offered", "refused"),
    [
        ({"persistent": True}, ["drain", "labels", "deregister"], []),
        ({}, ["drain", "deregister"], ["labels"]),
        ({"draining": True}, ["stop-drain", "drain", "deregister"], ["labels"]),
        ({"draining": True, "github_deleted_at": NOW}, ["deregister"], ["stop-drain", "labels"]),
        ({"failed": True}, ["deregister"], ["drain", "labels"]),
        ({"removing": True}, ["deregister"], ["drain", "labels"]),
        ({"removed": True}, [], ["drain", "labels", "deregister"]),
    ],
)
def test_actions_follow_the_state_and_the_refused_say_why(operator, facts, offered, refused):
    page = page_of(operator, RunnerFactory(**facts))

    actions = page.one("main").one("div", class_="actions")
    ids = [element["id"] for element in actions.all() if element.has("id")]
    assert [key.removeprefix("action-") for key in ids if key.startswith("action-")] == offered
    assert [key.removeprefix("why-") for key in ids if key.startswith("why-")] == refused
    assert all(actions.by_id(f"why-{name}").text for name in refused)


def test_a_fragment_is_only_the_live_part(viewer):
    runner = RunnerFactory()

    fragment = parse(viewer.get(runner.get_absolute_url(), headers=HTMX).content)

    roots = [child for child in fragment.children if not isinstance(child, str)]
    assert [root["id"] for root in roots] == ["runner-page"]
    assert roots[0]["hx-get"] == runner.get_absolute_url()


@pytest.mark.parametrize("count", [3, 30])
def test_the_page_costs_the_same_queries_however_much_happened(
    operator, django_assert_num_queries, count
):
    host = HostFactory(slots=count)
    for slot in range(1, count + 1):
        runner = RunnerFactory(host=host, slot=slot)
        for _ in range(3):
            audit.record(runner, "runner.draining", by=Actor.system("x"), at=NOW)

    with django_assert_num_queries(14):
        operator.get(runner.get_absolute_url())


WAITS = "GitHub still counts a job on it. This can last 15 minutes after a job"


@pytest.mark.parametrize(
    "facts",
    [
        {"github_busy": True, "state_changed_at": NOW},
        {"state_changed_at": NOW - timedelta(minutes=3)},
        {"removing": True, "force": True, "github_busy": True, "phase": "gone"},
    ],
)
def test_a_deletion_that_github_keeps_refusing_is_explained(viewer, facts):
    page = page_of(viewer, RunnerFactory(**{"draining": True, **facts}))

    assert WAITS in page.by_id("runner-page").text


@pytest.mark.parametrize(
    "facts",
    [
        {"busy": True},
        {"state_changed_at": NOW},
        {"github_deleted_at": NOW},
        {"github_id": None},
        {"host__offline": True},
        {"scope__github_unknown_since": NOW},
        {"scope__github_error": "GitHub answered 502."},
        {"state": "active", "github_busy": True},
    ],
)
def test_what_else_a_leaving_runner_waits_for_is_not_taken_for_it(viewer, facts):
    page = page_of(viewer, RunnerFactory(**{"draining": True, **facts}))

    assert WAITS not in page.by_id("runner-page").text


def test_health_names_what_is_not_well_first_with_its_fix(viewer):
    runner = RunnerFactory(phase_reason="it lost its connection to GitHub")

    checks = page_of(viewer, runner).by_id("health")

    assert checks.all("dt")[0].text == "Listener"
    assert "Bad" in checks.all("dd")[0].text
    assert "reaches GitHub" in checks.all("dd")[0].text
