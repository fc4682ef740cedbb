"""What rows guarantee by themselves: constraints, words, addresses, counts."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from runners.models import (
    Beat,
    Credential,
    Delivery,
    EnrolmentCode,
    Event,
    Host,
    Job,
    Lease,
    Pool,
    Runner,
    RunnerLog,
    RunnerPackage,
    Sample,
    Scope,
)
from runners.states import RunnerState
from tests.factories import (
    NOW,
    CredentialFactory,
    EnrolmentCodeFactory,
    HostFactory,
    JobFactory,
    LabelFactory,
    PoolFactory,
    RunnerFactory,
    RunnerPackageFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Host(name="forge-01"), "forge-01"),
        (Runner(name="forge-01-a"), "forge-01-a"),
        (RunnerLog(runner_id=7), "log of 7"),
        (Scope(slug="acme"), "acme"),
        (Credential(name="acme-app"), "acme-app"),
        (RunnerPackage(filename="x.tar.gz"), "x.tar.gz"),
        (Pool(name="linux"), "linux"),
        (Job(repository="acme/web", name="build"), "acme/web · build"),
        (Delivery(event="ping", guid="1"), "ping 1"),
        (Event(action="runner.drain", object_name="a"), "runner.drain a"),
        (EnrolmentCode(prefix="0123456789ab"), "fle_0123456789ab_…"),
        (Beat(name="loop", at=NOW), "loop at 2026-11-23 12:00:00"),
        (Lease(name="loop", owner="here:1"), "loop held by here:1"),
        (Sample(host_id=3, at=NOW), "3 at 2026-11-23 12:00:00"),
        (LabelFactory.build(name="gpu"), "gpu"),
    ],
)
def test_row_says_what_it_is_without_asking_the_database(row, words, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert str(row) == words


@pytest.mark.parametrize(
    "make", [HostFactory, RunnerFactory, ScopeFactory, PoolFactory, JobFactory]
)
def test_row_with_a_page_knows_its_address(make):
    assert make().get_absolute_url().startswith("/")


REFUSED = [
    (HostFactory, {"slots": 0}),
    (HostFactory, {"slots": 257}),
    (CredentialFactory, {"kind": "password"}),
    (ScopeFactory, {"kind": "team"}),
    (PoolFactory, {"min_idle": 5, "max_runners": 4}),
    (JobFactory, {"status": "hibernating"}),
]


@pytest.mark.parametrize(("make", "fields"), REFUSED)
def test_database_refuses_what_cannot_be(make, fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        make(**fields)


UNIQUE = [
    (HostFactory, "name"),
    (CredentialFactory, "name"),
    (ScopeFactory, "web_url"),
    (PoolFactory, "name"),
    (EnrolmentCodeFactory, "prefix"),
]


@pytest.mark.parametrize(("make", "field"), UNIQUE)
def test_database_refuses_a_second_one(make, field):
    first = make()

    with pytest.raises(IntegrityError), transaction.atomic():
        make(**{field: getattr(first, field)})


def test_label_is_one_row_in_every_spelling():
    LabelFactory(name="GPU")

    with pytest.raises(IntegrityError), transaction.atomic():
        LabelFactory(name="gpu")


def test_job_is_one_row_an_attempt():
    job = JobFactory()
    JobFactory(scope=job.scope, github_id=job.github_id, run_attempt=2)

    with pytest.raises(IntegrityError), transaction.atomic():
        JobFactory(scope=job.scope, github_id=job.github_id)


def test_package_is_one_row_a_platform():
    package = RunnerPackageFactory()
    RunnerPackageFactory(scope=package.scope, architecture="arm64")

    with pytest.raises(IntegrityError), transaction.atomic():
        RunnerPackageFactory(scope=package.scope)


def test_github_id_is_one_runners_in_a_scope_and_unknown_is_no_id():
    runner = RunnerFactory(github_id=77)
    RunnerFactory(github_id=77)
    for _ in range(2):
        RunnerFactory(scope=runner.scope, github_id=None)

    with pytest.raises(IntegrityError), transaction.atomic():
        RunnerFactory(scope=runner.scope, github_id=77)


def test_held_slots_are_counted_and_numbered_by_host():
    host, empty = HostFactory(), HostFactory()
    RunnerFactory(host=host, slot=1, busy=True)
    RunnerFactory(host=host, slot=3)
    RunnerFactory(host=host, removed=True)

    assert dict(Runner.objects.held_slots()) == {host.pk: 2}
    numbers = Runner.objects.held_slot_numbers([host.pk, empty.pk])
    assert sorted(numbers) == [(host.pk, 1), (host.pk, 3)]


def test_current_and_live_runners_are_told_apart():
    rows = {state: RunnerFactory(state=state) for state in RunnerState}

    current = set(Runner.objects.current())
    live = set(Runner.objects.live())

    assert set(rows.values()) - current == {rows[RunnerState.REMOVED]}
    assert current - live == {rows[RunnerState.FAILED]}


@pytest.mark.parametrize(
    ("traits", "maybe"),
    [
        ({}, True),
        ({"removing": True, "github_deleted_at": NOW}, True),
        ({"failed": True}, True),
        ({"failed": True, "github_deleted_at": NOW}, True),
        ({"failed": True, "slot": None}, True),
        ({"failed": True, "slot": None, "github_deleted_at": NOW}, False),
        ({"removed": True}, False),
        ({"removed": True, "github_deleted_at": None}, True),
        ({"removed": True, "github_deleted_at": None, "github_id": None}, False),
    ],
)
def test_only_runners_that_github_may_have_are_looked_at(traits, maybe):
    runner = RunnerFactory(**traits)

    assert list(Runner.objects.maybe_at_github()) == ([runner] if maybe else [])


def test_host_knows_its_graphics_cards_and_whether_it_is_cordoned():
    plain, special = HostFactory(), HostFactory(gpu=True, cordoned_for_work=True)

    assert (plain.gpu_count, plain.cordoned) == (0, False)
    assert (special.gpu_count, special.cordoned) == (1, True)


def test_silence_of_a_host_is_read_at_the_moment_asked_for():
    runner = RunnerFactory()

    assert runner.display_at(NOW) == "idle"
    assert runner.display_at(NOW + timedelta(minutes=10)) == "lost"
