"""The pools: what each keeps, and an admin's changes to it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.models import Event, Pool
from tests.factories import NOW, HostFactory, PoolFactory, RunnerFactory, ScopeFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
LIST, NEW = reverse("pool-list"), reverse("pool-new")


@pytest.fixture
def admin(sign_in):
    return sign_in("admin")


def url_of(verb, pool):
    return reverse(f"pool-{verb}", args=[pool.name])


def policy(scope, /, **changes):
    return {
        "name": "linux-x64",
        "scope": scope.pk,
        "labels": "self-hosted, linux, x64",
        "min_idle": "2",
        "max_runners": "10",
        "lifetime": "ephemeral",
        **changes,
    }


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
        min_idle=2, max_runners=8, sites=["eu"], needs_gpu=True, architecture="arm64"
    )

    text = parse(viewer.get(pool.get_absolute_url()).content).by_id("pool-page").text

    for sentence in (
        "Keep 2 idle runners ready.",
        "Never run more than 8 at a time.",
        "Prefer hosts in eu",
        "Needs a GPU and arm64 hosts.",
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
        ({"name": "new"}, "this page's address"),
        ({"name": "taken"}, "There is a pool named taken already."),
        ({"labels": " , "}, "between 1 and 100 labels"),
        ({"min_idle": "11"}, "more than the 10"),
        ({"max_runners": "0"}, "greater than or equal to 1"),
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
    admin.post(url_of("edit", pool), policy(pool.scope, min_idle="3"))

    event = Event.objects.get(action="pool.change")
    assert begun == "1"
    assert Pool.objects.get().min_idle == 3
    assert "idle 1" in event.was
    assert "idle 3" in event.became


def test_a_mistake_in_a_change_leaves_the_pool_as_it_was(admin):
    pool = PoolFactory(name="linux-x64", min_idle=1)

    response = admin.post(url_of("edit", pool), policy(pool.scope, min_idle="99"))

    assert response.status_code == 422
    assert Pool.objects.get().min_idle == 1


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
