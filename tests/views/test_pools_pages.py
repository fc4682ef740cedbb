"""The pools: what each keeps, and an admin's changes to it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import pool_samples, pools
from runners.audit import Actor
from runners.models import Event, Pool, Runner
from runners.pool_picture import Rules
from runners.pool_samples import PoolCounts
from tests.factories import NOW, HostFactory, PoolFactory, RunnerFactory, ScopeFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse
from tests.views.pool_fields import pool_fields

pytestmark = pytest.mark.django_db
LIST, NEW = reverse("pool-list"), reverse("pool-new")


@pytest.fixture
def admin(sign_in):
    return sign_in("admin")


def url_of(verb, pool):
    return reverse(f"pool-{verb}", args=[pool.name])


def policy(scope, /, **changes):
    return {**pool_fields(scope), "min_idle": "2", **changes}


def status_of(client, pool):
    row = parse(client.get(LIST).content).by_id(f"pool-{pool.pk}")
    return row.one("td", data_c="status").text


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"min_idle": 0}, "Kept"),
        ({"min_idle": 2}, "Short 0 of 2 idle runners ready."),
        ({"paused_at": NOW, "paused_reason": "Driver update"}, "Paused Driver update"),
        (
            {"backoff_until": NOW + timedelta(minutes=1), "consecutive_failures": 4},
            "Backing off 4 starts failed in a row; it tries again soon.",
        ),
    ],
)
def test_a_pool_says_whether_it_is_kept(viewer, facts, words):
    assert status_of(viewer, PoolFactory(**facts)) == words


def test_a_pool_waits_while_github_is_unknown(viewer):
    pool = PoolFactory(scope=ScopeFactory(github_unknown_since=NOW))

    assert status_of(viewer, pool).startswith("Waiting for GitHub")


def test_runners_are_counted_by_what_they_are_worth(viewer):
    pool = PoolFactory(min_idle=1, max_runners=10)
    RunnerFactory(pool=pool)
    RunnerFactory(pool=pool, busy=True)
    RunnerFactory(pool=pool, starting=True)
    RunnerFactory(pool=pool, host=HostFactory(offline=True))
    RunnerFactory(pool=pool, removed=True)

    bar = parse(viewer.get(LIST).content).by_id(f"pool-{pool.pk}").one(role="img")

    assert bar["aria-label"] == "1 working, 1 idle, 1 starting, 1 down, of at most 10"
    assert [(share["data-state"], share["class"]) for share in bar.all("i")] == [
        ("busy", "v10"),
        ("idle", "v10"),
        ("starting", "v10"),
        ("offline", "v10"),
        ("free", "v60"),
    ]


def test_a_pool_page_says_its_policy_in_sentences(viewer):
    pool = PoolFactory(
        min_idle=2,
        max_runners=8,
        sites=["eu"],
        needs_gpu=True,
        architecture="arm64",
        preset="lazy",
        idle_timeout_seconds=600,
        schedule=[{"days": ["sat"], "from": "08:00", "to": "10:00", "max_runners": 1}],
    )

    text = parse(viewer.get(pool.get_absolute_url()).content).by_id("pool-page").text

    for sentence in (
        "Keep 2 idle runners ready.",
        "Never run more than 8 at a time.",
        "Prefer hosts in eu",
        "Needs a GPU and arm64 hosts.",
        "Start runners when 5 jobs wait, or one has waited 2 min.",
        "Let a runner go after 10 min without a job.",
        "Other limits: sat 08:00-10:00 max 1 (UTC).",
    ):
        assert sentence in text


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_an_admin_finds_the_ways_to_change_one(sign_in, role):
    page = parse(sign_in(role).get(PoolFactory().get_absolute_url()).content)

    assert page.all(id="pool-pause") == []
    assert page.all(id="pool-remove") == []


# Changing


def test_a_pool_is_created(admin):
    scope = ScopeFactory()

    response = admin.post(
        NEW, policy(scope, architecture="x64", sites="eu", needs_gpu="on", owner="platform")
    )

    pool = Pool.objects.get()
    assert response["Location"] == pool.get_absolute_url()
    assert (pool.min_idle, pool.max_runners, pool.ephemeral, pool.needs_gpu) == (2, 10, True, True)
    assert {label.name for label in pool.labels.all()} == {"self-hosted", "linux", "x64"}
    assert Event.objects.get(action="pool.create").object_name == "linux-x64"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "no blanks"}, "letters, digits"),
        ({"name": "new"}, "can't be named new"),
        ({"name": "taken"}, "There is a pool named taken already."),
        ({"labels": " , "}, "between 1 and 100 labels"),
        ({"min_idle": "11"}, "more than the 10"),
        ({"max_runners": "-1"}, "Give between 0 and 10 000 runners"),
        ({"min_idle": ""}, "Give a number; 0 means none."),
        ({"needs_gpu": "", "runners_per_gpu": "2"}, "Only a pool that needs a GPU can share one."),
        ({"architecture": "arm64"}, "promises x64 hosts, not arm64"),
        ({"time_zone": "Mars/Phobos"}, "is no time zone"),
        ({"windows": "working hours"}, "Line 1 is no window. Write it as: mon-fri"),
        ({"windows": "mon-fri 08:00-18:00 idle 11"}, "keeps 11 idle, which is more than the 10"),
        ({"sites_only": "on"}, "Name the sites"),
        ({"repositories": "web"}, "web is no repository: write owner/name"),
        ({"emulation": "on"}, "With emulation every label must say so"),
        ({"scope": ""}, "required"),
    ],
)
def test_a_pool_that_cannot_be_is_refused_with_all_that_was_entered(admin, changes, words):
    scope = ScopeFactory()
    PoolFactory(name="taken", scope=scope)

    response = admin.post(NEW, policy(scope, owner="kept", **changes))

    page = parse(response.content)
    assert response.status_code == 422
    assert words in page.one("main").text
    assert page.by_id("id_owner")["value"] == "kept"
    assert Pool.objects.count() == 1


def test_a_change_begins_with_what_is_and_is_recorded(admin):
    pool = PoolFactory(name="linux-x64", min_idle=1)

    begun = parse(admin.get(url_of("edit", pool)).content).by_id("id_min_idle")["value"]
    admin.post(url_of("edit", pool), policy(pool.scope, min_idle="3", reason="Mornings"))

    event = Event.objects.get(action="pool.change")
    assert begun == "1"
    assert Pool.objects.get().min_idle == 3
    assert "idle 1" in event.was
    assert "idle 3" in event.became
    assert (event.reason, event.detail["min_idle"]) == ("Mornings", ["1", "3"])


def test_a_mistake_in_a_change_leaves_the_pool_as_it_was(admin):
    pool = PoolFactory(name="linux-x64", min_idle=1)

    response = admin.post(url_of("edit", pool), policy(pool.scope, min_idle="99", reason="x"))

    assert response.status_code == 422
    assert Pool.objects.get().min_idle == 1


def test_a_change_without_a_reason_is_asked_for_one(admin):
    pool = PoolFactory(name="linux-x64", min_idle=1)

    response = admin.post(url_of("edit", pool), policy(pool.scope, min_idle="3"))

    assert response.status_code == 422
    assert "Say why, in a few words." in parse(response.content).one("main").text
    assert Pool.objects.get().min_idle == 1


def test_a_change_of_nothing_says_so(admin):
    pool = PoolFactory(name="linux-x64", min_idle=2)
    fields = policy(pool.scope, reason="x")

    response = admin.post(url_of("edit", pool), fields, follow=True)

    assert "linux-x64 is as it was." in parse(response.content).by_id("messages").text
    assert not Event.objects.filter(action="pool.change").exists()


def test_a_pause_may_end_by_itself(admin):
    pool = PoolFactory(name="linux-x64")

    refused = admin.post(url_of("pause", pool), {"reason": "x", "minutes": "0"})
    admin.post(url_of("pause", pool), {"reason": "Driver update", "minutes": "90"})

    until = NOW + timedelta(minutes=90)
    assert refused.status_code == 422
    assert "at least one minute" in parse(refused.content).one("main").text
    assert Pool.objects.get().paused_until == until
    assert status_of(admin, pool) == "Paused Driver update, until 2026-11-23 13:30 UTC"


def test_one_more_is_started_now_whatever_the_policy_wants(sign_in):
    HostFactory(name="forge-01")
    pool = PoolFactory(name="linux-x64", min_idle=0)

    response = sign_in("operator").post(url_of("more", pool), follow=True)

    runner = Runner.objects.get()
    assert (runner.pool, runner.state_reason) == (pool, "One more, asked for by hand")
    assert "is on its way on forge-01." in parse(response.content).by_id("messages").text


def test_one_more_without_a_host_is_refused_with_the_reason(sign_in):
    pool = PoolFactory(name="linux-x64")

    response = sign_in("operator").post(url_of("more", pool), headers=HTMX)

    assert response.status_code == 409
    assert "There is no host yet." in response.content.decode()


def test_a_viewer_may_not_start_one_more(viewer):
    pool = PoolFactory()

    assert viewer.post(url_of("more", pool)).status_code == 403
    assert parse(viewer.get(pool.get_absolute_url()).content).all(id="pool-more") == []


def test_a_pools_page_draws_what_was_sampled_with_its_numbers(viewer):
    pool = PoolFactory(name="linux-x64")
    for minutes, busy in ((30, 1), (20, 3), (10, 2)):
        counts = PoolCounts(pool.pk, waiting=5, starting=1, idle=0, busy=busy)
        pool_samples.note([counts], now=NOW - timedelta(minutes=minutes))

    page = parse(viewer.get(pool.get_absolute_url(), {"range": "6h"}).content)

    graph = page.by_id("pool-graph")
    assert graph.one("svg")["aria-label"] == (
        "Demand and supply: working at most 3, runners at most 4, jobs waiting at most 5"
    )
    rows = page.by_id("numbers-pool").one("tbody").all("tr")
    assert [cell.text for cell in rows[-1].all("td")[1:]] == ["2", "3", "5"]
    assert graph.one("a", aria_current="true").text == "6 h"
    assert page.by_id("pool-page")["hx-get"].endswith("?range=6h")


def test_a_pools_page_lists_its_latest_decisions(viewer):
    HostFactory()
    pool, other = PoolFactory(name="linux-x64", min_idle=1), PoolFactory(name="other")
    pools.scale(Rules(), now=NOW, by=Actor.system("pools"))

    text = parse(viewer.get(pool.get_absolute_url()).content).by_id("pool-decisions").text
    none = parse(viewer.get(other.get_absolute_url()).content).by_id("pool-decisions").text

    assert "Start 1" in text
    assert "starting 1 to keep 1 idle" in text
    assert "No runner of this pool was started" in none


def test_a_pause_asks_why_and_can_be_undone(admin):
    pool = PoolFactory(name="linux-x64")

    refused = admin.post(url_of("pause", pool), {"reason": ""})
    response = admin.post(url_of("pause", pool), {"reason": "Driver update"}, follow=True)

    assert refused.status_code == 422
    assert Pool.objects.get().paused_reason == "Driver update"
    undo = parse(response.content).by_id("messages").one("form")
    assert undo["action"] == url_of("resume", pool)


def test_a_paused_pool_is_resumed(admin):
    pool = PoolFactory(paused_at=NOW, paused_reason="x")

    page = parse(admin.post(url_of("resume", pool), headers=HTMX).content)

    assert Pool.objects.get().paused_at is None
    assert page.by_id("pool-page").all(id="pool-pause")


def test_an_empty_pool_is_removed(admin):
    pool = PoolFactory()
    RunnerFactory(pool=pool, removed=True)

    response = admin.post(url_of("remove", pool), {"reason": "Merged"})

    assert response["Location"] == LIST
    assert Pool.objects.count() == 0
    assert Event.objects.get(action="pool.remove").reason == "Merged"


def test_a_pool_with_runners_stays(admin):
    pool = RunnerFactory(pool=PoolFactory()).pool

    response = admin.post(url_of("remove", pool), follow=True)

    assert "still has runners" in parse(response.content).by_id("messages").text
    assert Pool.objects.count() == 1


# Emptiness, polls, cost


@pytest.mark.parametrize(
    ("role", "scope", "words"),
    [
        ("viewer", True, "An admin can make one"),
        ("admin", True, "No pool yet"),
        ("admin", False, "Connect GitHub first"),
    ],
)
def test_no_pool_offers_the_one_step(sign_in, role, scope, words):
    if scope:
        ScopeFactory()

    assert words in parse(sign_in(role).get(LIST).content).by_id("pools").text


def test_an_unchanged_poll_is_204(viewer):
    url = PoolFactory().get_absolute_url()
    version = parse(viewer.get(url).content).by_id("pool-page")["data-version"]

    response = viewer.get(url, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


@pytest.mark.parametrize("count", [3, 30])
def test_pools_cost_the_same_however_many(viewer, django_assert_num_queries, count):
    scope = ScopeFactory()
    for _ in range(count):
        RunnerFactory(scope=scope, pool=PoolFactory(scope=scope))

    with django_assert_num_queries(9):
        viewer.get(LIST)
