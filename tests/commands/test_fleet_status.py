"""fleet_status: everything in one reading, at a constant price, and --check."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from runners import loop
from runners.doctor import fleet as doctor_fleet
from runners.models import Beat
from runners.views.attention import concerns
from tests.factories import (
    NOW,
    CredentialFactory,
    HostFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)

pytestmark = pytest.mark.django_db


def alive():
    for name in (loop.LOOP, loop.WORKER):
        Beat.objects.create(name=name, at=NOW - timedelta(seconds=5))


def status(manage):
    return manage("fleet_status", "--json").data


def test_empty_fleet_has_every_part_in_its_answer(manage):
    assert status(manage) == {
        "at": NOW.isoformat(),
        "quiesced": "",
        "hosts": [],
        "runners": [],
        "runners_by_state": {},
        "pools": [],
        "scopes": [],
        "credentials": [],
        "processes": [
            {"name": "loop", "seen_at": None, "alive": False},
            {"name": "worker", "seen_at": None, "alive": False},
        ],
        "manual_actions": 0,
        "problems": [
            "The loop shows no sign of life: start `fleet_loop`.",
            "The worker shows no sign of life: start `fleet_worker`.",
        ],
    }


def test_hosts_runners_and_pools_are_counted(manage):
    alive()
    host = HostFactory(name="anvil", slots=4)
    HostFactory(retired=True)
    pool = PoolFactory(name="linux", min_idle=1, max_runners=5)
    busy = RunnerFactory(host=host, slot=1, busy=True, pool=pool)
    RunnerFactory(host=host, slot=2, pool=pool, draining=True, github_busy=True)
    RunnerFactory(host=host, slot=3, starting=True)
    RunnerFactory(host=host, removed=True)

    said = status(manage)

    (row,) = said["hosts"]
    assert (row["state"], row["slots"], row["slots_taken"], row["slots_busy"]) == (
        "online",
        4,
        3,
        2,
    )
    assert said["runners_by_state"] == {"busy": 1, "draining": 1, "starting": 1}
    runner = next(each for each in said["runners"] if each["name"] == busy.name)
    assert (runner["state"], runner["wanted"], runner["busy"], runner["job"]) == (
        "busy",
        "active",
        True,
        "build",
    )
    assert (runner["host"], runner["pool"], runner["slot"]) == ("anvil", "linux", 1)
    (counted,) = said["pools"]
    assert (counted["busy"], counted["idle"], counted["max_runners"]) == (1, 0, 5)
    assert said["problems"] == []


def test_scopes_and_credentials_tell_what_github_said(manage):
    alive()
    credential = CredentialFactory(
        name="acme",
        verdict="valid",
        budget_limit=5000,
        budget_remaining=4200,
        budget_reset_at=NOW + timedelta(minutes=10),
    )
    ScopeFactory(slug="acme", credential=credential, github_seen_at=NOW, foreign_runners=3)

    said = status(manage)

    assert said["scopes"][0]["foreign_runners"] == 3
    assert said["scopes"][0]["credential"] == "acme"
    assert said["credentials"][0]["budget_remaining"] == 4200
    text = manage("fleet_status").out
    assert "seen 12:00:00, 3 not ours" in text
    assert "valid, 4200 of 5000 calls left" in text
    assert text.strip().endswith("Nothing is wrong.")


def failed_and_gone():
    """A runner that failed and holds nothing any more."""
    return RunnerFactory(name="gone", failed=True, slot=None, github_deleted_at=NOW)


def named_by_each(manage):
    """Which of these names are trouble to the check, to the overview and to the doctor."""
    said = {
        "check": " ".join(status(manage)["problems"]),
        "overview": " ".join(concern.title for concern in concerns(now=NOW)),
        "doctor": " ".join(each.seen for each in doctor_fleet.runners(NOW)),
    }
    names = ("gone", "down", "held-host", "held-pool", "held-runner")
    return {who: [name for name in names if name in text] for who, text in said.items()}


def test_check_overview_and_doctor_agree_on_what_is_trouble(manage):
    alive()
    gone = failed_and_gone()
    RunnerFactory(name="down", github_status="offline")
    HostFactory(name="held-host", quarantined_at=NOW)
    PoolFactory(name="held-pool", quarantined_at=NOW)
    RunnerFactory(name="held-runner", failed=True, quarantined_at=NOW)
    trouble = ["gone", "down", "held-host", "held-pool", "held-runner"]
    assert set(map(tuple, named_by_each(manage).values())) == {tuple(trouble)}

    RunnerFactory(name="next", replaces=gone, starting=True)

    assert set(map(tuple, named_by_each(manage).values())) == {tuple(trouble[1:])}


PROBLEMS = [
    (lambda: HostFactory(name="h", offline=True), "Host h is offline."),
    (lambda: HostFactory(name="h", late=True), "Host h is late."),
    (lambda: RunnerFactory(name="r", host__name="h", github_status="offline"), "Runner r is off"),
    (
        lambda: RunnerFactory(name="r", failed=True, state_reason="No disk."),
        "Runner r is failed: No disk.",
    ),
    (lambda: RunnerFactory(name="r", failed=True, state_reason=""), "Runner r is failed."),
    (
        lambda: ScopeFactory(slug="acme", github_unknown_since=NOW, github_error="502."),
        "GitHub is unknown for acme since 2026-11-23 12:00:00 UTC: 502.",
    ),
    (lambda: CredentialFactory(name="c", verdict="invalid"), "Credential c is invalid."),
    (
        lambda: CredentialFactory(name="c", budget_limit=5000, budget_remaining=499),
        "Credential c has 499 of 5000 API calls left.",
    ),
]


@pytest.mark.parametrize(("make", "words"), PROBLEMS)
def test_check_ends_with_one_and_names_what_is_wrong(make, words, manage):
    alive()
    make()

    checked = manage("fleet_status", "--check")

    assert (checked.code, words in checked.error) == (1, True)
    assert words in checked.out
    assert manage("fleet_status").code == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: HostFactory(offline=True, retired=True),
        lambda: HostFactory(cordoned_for_work=True),
        lambda: CredentialFactory(verdict="too-broad"),
        lambda: CredentialFactory(verdict=""),
        lambda: CredentialFactory(
            budget_limit=5000, budget_remaining=0, budget_reset_at=NOW - timedelta(seconds=1)
        ),
        lambda: CredentialFactory(budget_limit=5000, budget_remaining=500),
        lambda: RunnerFactory(busy=True),
        lambda: RunnerFactory(starting=True),
        lambda: RunnerFactory(replaces=failed_and_gone()),
    ],
)
def test_check_is_silent_about_what_is_ordinary(make, manage):
    alive()
    make()

    checked = manage("fleet_status", "--check", "--json")

    assert (checked.code, checked.data["problems"]) == (0, [])


@pytest.mark.parametrize(("seconds", "is_alive"), [(60, True), (61, False)])
def test_process_is_alive_for_as_long_as_the_setting_says(seconds, is_alive, manage, settings):
    settings.FLEET_WORKER_SILENT_SECONDS = 60
    Beat.objects.create(name=loop.WORKER, at=NOW - timedelta(seconds=seconds))

    worker = next(row for row in status(manage)["processes"] if row["name"] == "worker")

    assert worker["alive"] == is_alive


def test_text_tells_the_same_in_lines(manage):
    alive()
    HostFactory(name="forge-01")
    PoolFactory(name="linux", paused_at=NOW, paused_reason="Kernel")
    ScopeFactory(slug="new")
    ScopeFactory(slug="lost", github_unknown_since=NOW)

    text = manage("fleet_status").out

    for words in (
        "Runners                      none",
        "Host forge-01                online, 0 of 4 slots, 0 busy",
        "(paused, Kernel)",
        "Scope new                    not asked yet",
        "GitHub unknown since 2026-11-23 12:00:00",
        "not checked yet",
        "Worker                       alive",
    ):
        assert words in text


def test_reading_costs_the_same_for_a_large_fleet(manage):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            status(manage)
        return len(captured)

    def grow(number):
        for _ in range(number):
            RunnerFactory(pool=PoolFactory())

    grow(2)
    few = cost()
    grow(20)

    assert cost() == few <= 14
