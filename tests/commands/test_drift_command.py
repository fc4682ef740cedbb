"""Drift from the command line."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners import drift
from runners.drift_kinds import DriftKind
from runners.models import Drift, Event
from tests.factories import NOW, DriftFactory, ScopeFactory

pytestmark = pytest.mark.django_db


def test_list_tells_what_lasts_and_counts_what_is_not_ours(manage):
    row = DriftFactory(name="left-behind", scope=ScopeFactory(slug="acme"))
    DriftFactory(since=NOW)
    DriftFactory(foreign=True)

    said = manage("drift", "list", "--json").data

    (told,) = said["drift"]
    assert (told["id"], told["kind"], told["scope"]) == (row.pk, "ghost", "acme")
    assert (told["fix"], told["by_itself"], told["settled"]) == ("Deregister it", True, True)
    assert said["foreign"] == 1


def test_list_for_a_person_names_the_three_columns(manage):
    DriftFactory(name="left-behind")

    said = manage("drift", "list").out

    assert "left-behind: wanted No such runner, host says -, GitHub says Offline" in said


def test_list_narrows_by_kind_scope_and_search(manage):
    ghost = DriftFactory(name="ci-1", scope=ScopeFactory(slug="acme"))
    theirs = DriftFactory(foreign=True)
    news = DriftFactory(since=NOW)

    def ids(*arguments):
        return [row["id"] for row in manage("drift", "list", *arguments, "--json").data["drift"]]

    assert ids("--kind", "foreign") == [theirs.pk]
    assert ids("--scope", "acme") == [ghost.pk]
    assert ids("--search", "CI") == [ghost.pk]
    assert ids("--all") == [ghost.pk, news.pk]


def test_list_says_for_which_scopes_github_is_unknown(manage):
    ScopeFactory(slug="acme", github_unknown_since=NOW - timedelta(hours=1))

    said = manage("drift", "list", "--json").data

    assert said["unknown"] == [{"scope": "acme", "since": "2026-11-23T11:00:00+00:00"}]
    assert "GitHub unknown for acme since 2026-11-23 11:00 UTC" in manage("drift", "list").out


def test_no_drift_is_said(manage):
    assert "Everything agrees" in manage("drift", "list").out


def test_fix_asks_for_the_named_ones_with_a_reason(manage):
    row, other = DriftFactory.create_batch(2)

    said = manage("drift", "fix", str(row.pk), "--reason", "Tidy", "--json")

    assert said.data["drift"][0]["fix_wanted_at"] == NOW.isoformat()
    assert Event.objects.get(action="drift.fix").reason == "Tidy"
    assert list(Drift.objects.filter(fix_wanted_at=None)) == [other]


def test_fix_takes_a_whole_kind_that_lasts(manage):
    lasting = DriftFactory.create_batch(2)
    DriftFactory(since=NOW)
    DriftFactory(leftover=True)

    manage("drift", "fix", "--kind", "ghost")

    asked = Drift.objects.filter(fix_wanted_at=NOW).order_by("pk")
    assert list(asked) == lasting


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["fix"], 1),
        (["fix", "999"], 3),
        (["adopt", "999", "--reason", "x"], 3),
        (["list", "--scope", "nobody"], 3),
    ],
)
def test_what_is_not_there_ends_with_its_code(manage, arguments, code):
    assert manage("drift", *arguments).code == code


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--kind", "nonsense"],
        ["fix", "x"],
        ["fix", "--kind", "foreign"],
        ["adopt", "1"],
        ["auto", "--on", "foreign"],
    ],
)
def test_wrong_arguments_are_refused(manage, arguments):
    DriftFactory()

    assert manage("drift", *arguments).code != 0


def test_nothing_is_asked_when_one_is_missing(manage):
    row = DriftFactory()

    manage("drift", "fix", str(row.pk), "999999")

    assert Drift.objects.get().fix_wanted_at is None


def test_somebody_elses_runner_is_adopted_with_a_reason_and_fixed_then(manage):
    number = str(DriftFactory(foreign=True).pk)

    refused = manage("drift", "fix", number)
    adopted = manage("drift", "adopt", number, "--reason", "The old tool is gone", "--json")
    fixed = manage("drift", "fix", number)

    assert (refused.code, "Adopt it first" in refused.error) == (1, True)
    assert adopted.data["drift"][0]["adopted_at"] == NOW.isoformat()
    assert (fixed.code, Drift.objects.get().fix_wanted_at) == (0, NOW)


def test_auto_tells_and_changes_once(manage):
    told = manage("drift", "auto", "--json").data
    first = manage("drift", "auto", "--on", "wrong-version", "--off", "ghost", "--json").data
    again = manage("drift", "auto", "--on", "wrong-version", "--json").data

    assert (told["changed"], "ghost" in told["auto"]) == (False, True)
    assert (first["changed"], again["changed"]) == (True, False)
    assert DriftKind.WRONG_VERSION in drift.auto_kinds()
    assert DriftKind.GHOST not in drift.auto_kinds()
