"""What pages say of failures: what happened, what was lost, what is quarantined, and Release."""

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import lifecycle, recovery
from runners.audit import Actor
from runners.failure import Cause, End, FailureClass
from runners.models import Event, Host, Job, Pool, Runner
from tests.factories import (
    GIB,
    NOW,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
)
from tests.views.dom import parse

pytestmark = pytest.mark.django_db

BY = Actor.system("test")


def page_of(client, row):
    return parse(client.get(row.get_absolute_url()).content)


@pytest.fixture
def crashed():
    """A runner that went down with its job, and whose replacement was started."""
    host = HostFactory(name="kiln-02")
    runner = RunnerFactory(busy=True, host=host, exit_code=137)
    JobFactory(runner=runner, scope=runner.scope, running=True, name="build")
    lifecycle.fail(
        runner,
        cause=Cause.OOM,
        reason="killed by SIGKILL: the kernel ran out of memory",
        now=NOW,
        by=BY,
        end=End("busy", "Running job: <build>\n", {"disk_free_bytes": 4 * 10**9}),
    )
    recovery.replace_due(now=NOW + timedelta(seconds=5), by=BY)
    return Runner.objects.get(pk=runner.pk)


def test_failed_runners_page_says_what_happened(viewer, crashed):
    card = page_of(viewer, crashed).by_id("what-happened")

    for words in (
        "Out of memory",
        "the kernel ran out of memory",
        "Exit code 137 (killed)",
        "Running a job",
        "4 GB free",
        "25%",
        "Running job: <build>",
    ):
        assert words in card.text


def test_failed_runner_its_job_and_its_replacement_lead_to_each_other(viewer, crashed):
    new = Runner.objects.get(replaces=crashed)
    job = Job.objects.get()

    links = {link["href"] for link in page_of(viewer, crashed).by_id("what-happened").all("a")}
    back = {link["href"] for link in page_of(viewer, new).by_id("what-happened").all("a")}

    assert links == {new.get_absolute_url(), job.get_absolute_url()}
    assert back == {crashed.get_absolute_url()}


def test_runner_that_never_failed_has_no_such_card(viewer):
    page = page_of(viewer, RunnerFactory())

    assert not page.all(id="what-happened")


def test_lost_jobs_page_and_line_name_the_class_first(viewer, crashed):
    page = page_of(viewer, Job.objects.get())
    line = parse(viewer.get(reverse("job-list")).content)

    assert "Environment: the host" in page.text
    assert "exit code 137 (killed: out of memory) on kiln-02" in page.text
    assert "Environment: the host" in line.by_id(f"job-{Job.objects.get().pk}").text


@pytest.mark.parametrize("kind", list(FailureClass))
def test_each_class_is_said_in_words(kind, viewer):
    job = JobFactory(done=True, conclusion="failure", failure_class=kind, failure_reason="Why.")

    assert kind.label in page_of(viewer, job).text


def test_quarantined_runner_is_shown_and_released(operator):
    runner = RunnerFactory(failed=True, crashes=5, quarantined_at=NOW)
    page = page_of(operator, runner)

    assert page.one("span", class_="pill").text == "Quarantined"
    assert "It crashed 5 times in a row" in page.text
    assert page.by_id("action-release").text == "Release"

    operator.post(reverse("runner-release", args=[runner.pk]))

    row = Runner.objects.get()
    assert (row.quarantined_at, row.replace_at) == (None, NOW)
    assert Event.objects.get(action="runner.release").actor_kind == "user"


@pytest.mark.parametrize(
    "held",
    [
        {"quarantined_at": NOW, "consecutive_failures": 10},
        {"backoff_until": NOW + timedelta(minutes=1), "consecutive_failures": 4},
    ],
)
def test_held_host_says_so_and_is_released(held, operator):
    host = HostFactory(**held)
    page = page_of(operator, host)

    assert f"its last {host.consecutive_failures} runners failed" in page.text.lower()
    operator.post(reverse("host-release", args=[host.name]))

    assert page.by_id("action-release").text == "Release"
    row = Host.objects.get()
    assert (row.quarantined_at, row.backoff_until, row.consecutive_failures) == (None, None, 0)


def test_quarantined_host_is_in_the_list_and_on_the_overview(operator):
    HostFactory(name="kiln-02", quarantined_at=NOW, consecutive_failures=10)

    listed = parse(operator.get(reverse("host-list")).content)
    overview = parse(operator.get(reverse("overview")).content)

    assert "Quarantined" in listed.text
    assert "kiln-02 is quarantined" in overview.text


def test_quarantined_pool_says_so_and_is_released(operator):
    pool = PoolFactory(quarantined_at=NOW, consecutive_failures=10)
    page = page_of(operator, pool)

    assert page.one("span", class_="pill").text == "Quarantined"
    operator.post(reverse("pool-release", args=[pool.name]))

    assert page.by_id("pool-release").text == "Release"
    assert Pool.objects.get().quarantined_at is None


@pytest.mark.parametrize("name", ["runner-release", "host-release", "pool-release"])
def test_viewer_releases_nothing(name, viewer):
    rows = {
        "runner-release": lambda: RunnerFactory(failed=True, quarantined_at=NOW).pk,
        "host-release": lambda: HostFactory(quarantined_at=NOW).name,
        "pool-release": lambda: PoolFactory(quarantined_at=NOW).name,
    }

    response = viewer.post(reverse(name, args=[rows[name]()]))

    assert response.status_code == 403
    assert not Event.objects.filter(action__endswith=".release").exists()


def test_host_whose_memory_was_told_shows_how_much_there_was(viewer):
    runner = RunnerFactory(host=HostFactory(memory_used_bytes=8 * GIB))
    lifecycle.fail(runner, cause=Cause.EXIT, reason="", now=NOW, by=BY)

    assert "8.6 GB used of 34.4 GB" in page_of(viewer, runner).by_id("what-happened").text
