"""Recovery from the command line: free what leaked, release what is held."""

import pytest
from django_q.models import OrmQ

from runners.models import Event, Host, Job, Lease, Pool, Runner
from tests.factories import NOW, HostFactory, JobFactory, PoolFactory, RunnerFactory

pytestmark = pytest.mark.django_db


def test_recover_frees_what_leaked_and_starts_what_is_due(manage):
    host = HostFactory(slots=8)
    leaked = RunnerFactory(host=host, removed=True, slot=7)
    RunnerFactory(host=host, failed=True, slot=2, replace_at=NOW)
    Lease.objects.create(name="old", owner="elsewhere:1", expires_at=NOW)

    done = manage("recover", "--json")
    again = manage("recover")

    new = Runner.objects.get(replaces__isnull=False)
    assert done.data == {
        "slots_freed": [leaked.name],
        "leases_freed": ["old"],
        "replaced": [new.name],
        "held_back": [],
    }
    assert (again.code, again.out.strip()) == (0, "Nothing was leaked, nothing is due")


def test_recover_touches_no_job_no_task_and_no_live_runner(manage):
    runner = RunnerFactory(busy=True)
    JobFactory(runner=runner, scope=runner.scope, running=True)
    OrmQ.objects.create(key="fleet", payload="task", lock=NOW)
    before = (Runner.objects.values().get(), Job.objects.values().get())

    manage("recover")

    assert (Runner.objects.values().get(), Job.objects.values().get()) == before
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize(
    ("kind", "make", "rows"),
    [
        ("runner", lambda: RunnerFactory(failed=True, quarantined_at=NOW), Runner.objects),
        ("host", lambda: HostFactory(quarantined_at=NOW), Host.objects),
        ("pool", lambda: PoolFactory(quarantined_at=NOW), Pool.objects),
    ],
)
def test_release_lets_out_once(kind, make, rows, manage):
    name = make().name

    first = manage("release", kind, name, "--reason", "Mended", "--json")
    again = manage("release", kind, name)

    assert first.data == {"kind": kind, "name": name, "changed": True}
    assert (again.code, "nothing changed" in again.out) == (0, True)
    assert rows.get().quarantined_at is None
    assert Event.objects.get(action=f"{kind}.release").reason == "Mended"


@pytest.mark.parametrize("kind", ["runner", "host", "pool"])
def test_release_of_what_is_not_there_says_so(kind, manage):
    assert manage("release", kind, "nobody").code == 3
