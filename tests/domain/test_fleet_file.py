"""The fleet as a file: read, refused with reasons, compared, applied, written."""

from __future__ import annotations

from pathlib import Path

import pytest

from runners import fleet, fleet_file, pool_policy
from runners.audit import Actor
from runners.fleet_file import Act, InvalidFile
from runners.models import Event, Host, Pool
from tests.factories import GIB, NOW, HostFactory, PoolFactory, RunnerFactory, ScopeFactory

pytestmark = pytest.mark.django_db
BY = Actor(Event.ActorKind.COMMAND, "ada")
EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.toml"))
REFERENCE = (Path(__file__).parents[2] / "docs" / "examples" / "reference-fleet.toml").read_text()


@pytest.fixture(autouse=True)
def acme():
    return ScopeFactory(slug="acme", web_url="https://github.com/acme")


def apply(text, **how):
    return fleet_file.apply(fleet_file.parse(text), by=BY, reason="file", now=NOW, **how)


def acts(differences):
    return [(each.act, each.kind, each.name) for each in differences]


def pool(**values):
    told = {"name": "linux", "scope": "acme", "labels": ["linux"], **values}
    return "[[pool]]\n" + "\n".join(fleet_file._lines(told))


def reference_hosts():
    for name in ("arm64-1", "arm64-2"):
        HostFactory(name=name, site="", arm64=True, cpu_count=4, slots=2)
    HostFactory(name="gpu-1", site="", gpu=True, cpu_count=8, slots=2)


def test_the_reference_fleet_is_three_slots_and_applying_it_again_changes_nothing():
    reference_hosts()

    apply(REFERENCE)
    events = Event.objects.count()

    assert [host.slots for host in Host.objects.all()] == [1, 1, 1]
    assert {row.name: row.max_runners for row in Pool.objects.all()} == {
        "linux-arm64": 2,
        "linux-gpu": 1,
    }
    assert apply(REFERENCE) == []
    assert Event.objects.count() == events


def test_drift_from_the_file_is_shown_and_mended():
    reference_hosts()
    apply(REFERENCE)
    Pool.objects.filter(name="linux-gpu").update(max_runners=5)
    Host.objects.filter(name="arm64-2").update(slots=3, cpu_count=8)

    found = fleet_file.compare(fleet_file.parse(REFERENCE))

    assert [(each.act, each.name, dict(each.fields)) for each in found] == [
        (Act.CHANGE, "arm64-2", {"slots": (3, 1)}),
        (Act.DIFFERS, "arm64-2", {"cpus": (8, 4)}),
        (Act.CHANGE, "linux-gpu", {"max_runners": (5, 1)}),
    ]
    apply(REFERENCE)
    assert Pool.objects.get(name="linux-gpu").max_runners == 1
    assert acts(apply(REFERENCE)) == [(Act.DIFFERS, "host", "arm64-2")]


def test_another_spelling_of_a_site_is_taken_over_once():
    HostFactory(name="h", site="berlin")
    text = '[[host]]\nname = "h"\nsite = "Berlin"'

    first, again = apply(text), apply(text)

    assert (acts(first), again) == ([(Act.CHANGE, "host", "h")], [])
    assert Host.objects.get().site == "Berlin"


def test_slots_of_a_file_leave_what_each_slot_may_use():
    HostFactory(name="h", slots=2, slot_cpu_cores=1.5, slot_memory_bytes=GIB)

    apply('[[host]]\nname = "h"\nslots = 3')

    host = Host.objects.get()
    assert (host.slots, host.slot_cpu_cores, host.slot_memory_bytes) == (3, 1.5, GIB)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_applied_and_written_back_as_it_was(path):
    apply(path.read_text())

    written = fleet_file.export()

    assert acts(fleet_file.compare(fleet_file.parse(written))) == []


def test_a_host_that_is_not_there_is_named_and_the_rest_is_done():
    done = apply(REFERENCE)

    assert acts(done)[:3] == [(Act.DIFFERS, "host", n) for n in ("arm64-1", "arm64-2", "gpu-1")]
    assert "not enrolled yet" in done[0].note
    assert Pool.objects.count() == 2


def test_everything_a_pool_may_be_survives_the_way_out_and_in():
    text = (
        pool(
            min_idle=1,
            max_runners=9,
            warm_spares=2,
            repositories=["acme/web-*"],
            sites=["eu", "us"],
            sites_only=True,
            host_labels=["ssd"],
            preset="lazy",
            scale_up_jobs=3,
            idle_timeout_seconds=60,
            start_deadline_seconds=200,
            max_lifetime_seconds=86400,
            priority=-3,
            weight=2,
            runner_group_id=7,
            runner_group_name="builders",
            time_zone="Europe/Berlin",
            owner='the "core" team',
        )
        + '\n  [[pool.window]]\n  days = ["mon", "fri"]\n  from = "08:00"\n  to = "24:00"\n'
        "  min_idle = 4\n"
    )
    apply(text)

    again = fleet_file.parse(fleet_file.export()).pools[0]

    assert pool_policy.changes(pool_policy.policy_of(Pool.objects.get()), again) == {}
    assert (again.windows[0].min_idle, again.repositories) == (4, ("acme/web-*",))
    assert apply(fleet_file.export()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pool = 3", "Write each pool as [[pool]]."),
        ("[", "This is no TOML"),
        ("[pools]", "There is no 'pools'"),
        (pool(min_idel=1), "pool linux: min_idel: There is no such field. Did you mean min_idle?"),
        (pool(max_runners="10"), "pool linux: max_runners: Write a whole number, not '10'."),
        (pool(ephemeral=1), "pool linux: ephemeral: Write true or false, not 1."),
        (pool(labels="linux"), "pool linux: labels: Write a list of texts"),
        (pool(name=5), "pool 5: name: Write a text, not 5."),
        (pool(scope="nobody"), "pool linux: scope: There is no scope nobody."),
        (pool(min_idle=3, max_runners=2), "pool linux: min_idle: That is more than the 2"),
        (pool() + "\n" + pool(), "pool linux: is there twice."),
        ('[[pool]]\nname = "x"', "pool x: scope: is missing."),
        ('[[host]]\nname = "h"\nslot = 2', "host h: slot: There is no such field. Did you mean"),
        ("[reserve]\ncpus = -1", "reserve: cpus: Give a whole number between 0 and 256."),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_changes_nothing(text, words):
    with pytest.raises(InvalidFile) as refused:
        fleet_file.parse(text)

    assert any(words in problem for problem in refused.value.problems)
    assert not Pool.objects.exists()


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(InvalidFile) as refused:
        fleet_file.parse(pool(weight=0, priority=500) + '\n[[host]]\nsite = "eu"')

    assert len(refused.value.problems) == 3


def test_a_pool_the_file_does_not_name_is_left_alone_unless_asked():
    PoolFactory(name="other")
    busy = RunnerFactory(pool=PoolFactory(name="used")).pool

    assert [(each.act, each.name) for each in apply("")] == [
        (Act.UNMANAGED, "other"),
        (Act.UNMANAGED, "used"),
    ]
    assert [(each.act, each.name) for each in apply("", prune=True)] == [
        (Act.REMOVE, "other"),
        (Act.DIFFERS, "used"),
    ]
    assert list(Pool.objects.all()) == [busy]


def test_one_large_or_four_small_fit_the_machine_they_were_made_for():
    large, small = (
        pool_policy.scaling_policy(
            fleet_file.parse(path.read_text()).pools[0], start_deadline_seconds=120
        ).size
        for path in EXAMPLES
        if path.stem in ("one-large", "four-small")
    )
    sizes = sorted((large, small), key=lambda size: size.cpus)

    assert [(s.cpus, s.memory_bytes // GIB, s.disk_bytes // GIB) for s in sizes] == [
        (4, 6, 30),
        (10, 16, 100),
    ]


def test_the_reserve_is_set_once_and_refused_out_of_range():
    apply("[reserve]\ncpu_percent = 50\ncpus = 1")

    assert fleet.reserve() == fleet.Reserve(cpu_percent=50, cpus=1)
    assert apply("[reserve]\ncpu_percent = 50\ncpus = 1") == []


@pytest.mark.parametrize(
    ("cpus", "memory", "kept"), [(4, 8, (2, 2)), (10, 13, (2, 2)), (16, 64, (4, 9.6))]
)
def test_a_host_keeps_a_share_but_at_least_so_much(cpus, memory, kept):
    reserve = fleet.Reserve()

    assert reserve.cpus_of(cpus) == kept[0]
    assert reserve.memory_of(memory * GIB) == pytest.approx(kept[1] * GIB, abs=1)
