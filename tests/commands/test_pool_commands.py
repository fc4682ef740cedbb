"""`pools`, `apply` and `export` as their users call them."""

from datetime import timedelta

import pytest

from runners import pools
from runners.audit import Actor
from runners.models import Event, Pool, Runner
from runners.pool_picture import Rules
from tests.factories import NOW, HostFactory, JobFactory, PoolFactory, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db
FILE = '[[pool]]\nname = "linux"\nscope = "acme"\nlabels = ["linux"]\nmax_runners = 3\n'


def test_list_says_what_each_pool_has_and_why(manage):
    HostFactory()
    pool = PoolFactory(name="linux")
    RunnerFactory(pool=pool, scope=pool.scope, busy=True)
    JobFactory(scope=pool.scope, repository=f"{pool.scope.slug}/web")

    (row,) = manage("pools", "list", "--json").data["pools"]

    assert (row["name"], row["busy"], row["idle"], row["waiting"]) == ("linux", 1, 0, 0)
    assert manage("pools", "list").out.startswith("linux: 0 idle, 0 starting, 1 busy")


def test_show_gives_policy_and_what_waits_for_it(manage):
    pool = PoolFactory(name="linux", max_runners=0)
    JobFactory(scope=pool.scope, repository=f"{pool.scope.slug}/web")

    shown = manage("pools", "show", "linux", "--json").data

    assert shown["policy"]["preset"] == "aggressive"
    assert [(each["code"], each["left"]) for each in shown["verdicts"]] == [("closed", 1)]
    assert manage("pools", "show", "nobody").code == 3


def test_pause_ends_by_itself_and_resume_ends_it_sooner(manage):
    pool = PoolFactory(name="linux")

    paused = manage("pools", "pause", "linux", "--reason", "Kernel", "--minutes", "30", "--json")

    assert paused.data == {"pool": "linux", "changed": True}
    pool.refresh_from_db()
    assert pool.paused_until == NOW + timedelta(minutes=30)
    assert manage("pools", "resume", "linux", "--json").data["changed"] is True
    assert manage("pools", "resume", "linux").out == "linux: nothing to change\n"


def test_one_more_now_is_started_and_the_maximum_holds(manage):
    HostFactory()
    PoolFactory(name="linux", max_runners=1)

    (made,) = manage("pools", "start", "linux", "--json").data["runners"]

    for again in (("pools", "start", "linux"), ("provision", "--pool", "linux")):
        refused = manage(*again)
        assert (refused.code, Runner.objects.count()) == (1, 1)
        assert "linux has 1 of the 1 runners it may have now." in refused.error
    assert Runner.objects.get().name == made["name"]


def test_decisions_tell_what_was_done_and_why(manage):
    HostFactory()
    PoolFactory(name="linux", min_idle=1)
    PoolFactory(name="other")
    pools.scale(Rules(), now=NOW, by=Actor.system("pools"))

    (decision,) = manage("pools", "decisions", "--pool", "linux", "--json").data["decisions"]

    assert (decision["started"], decision["demand"]) == (1, 0)
    assert [line["name"] for line in decision["pools"]] == ["linux"]
    assert "starting 1 to keep 1 idle" in manage("pools", "decisions").out
    assert manage("pools", "decisions", "--pool", "other").out == "No decision yet\n"


def test_apply_tells_first_then_does_then_has_nothing_to_do(manage):
    ScopeFactory(slug="acme")

    told = manage("apply", "-", "--json", stdin=FILE)
    again = manage("apply", "-", stdin=FILE)

    assert told.data["changed"] is True
    assert [each["act"] for each in told.data["differences"]] == ["create"]
    assert again.out == "Everything is as the file says\n"
    assert Event.objects.get(action="pool.create").actor_kind == "command"


def test_dry_run_changes_nothing_and_exits_with_one(manage):
    ScopeFactory(slug="acme")

    with pytest.raises(SystemExit) as left:
        manage("apply", "-", "--dry-run", stdin=FILE)

    assert left.value.code == 1
    assert not Pool.objects.exists()


def test_a_wrong_file_is_refused_with_every_reason(manage):
    refused = manage("apply", "-", "--json", stdin=FILE + "weight = 0\n")

    assert refused.code == 1
    assert refused.data["problems"] == [
        "pool linux: scope: There is no scope acme. Connect it first (add_scope)."
    ]
    assert "cannot be read" in manage("apply", "/nowhere.toml").error


def test_file_without_a_pool_prunes_nothing(manage):
    PoolFactory(name="linux")

    refused = manage("apply", "-", "--prune", stdin="")

    assert (refused.code, Pool.objects.count()) == (1, 1)
    assert "names no pool" in refused.error


def test_export_is_taken_back_by_apply(manage):
    ScopeFactory(slug="acme")
    manage("apply", "-", stdin=FILE)

    text = manage("export").out

    assert manage("apply", "-", stdin=text).out == "Everything is as the file says\n"
    assert manage("export", "--json").data["toml"] == text
