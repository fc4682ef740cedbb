"""What reconcile learns and carries besides runners: packages, labels."""

from datetime import timedelta

import pytest

from runners import fleet, packages, registration
from runners.github.errors import GitHubUnavailable
from runners.github.types import RunnerApplication
from runners.models import Runner, RunnerPackage
from runners.registry import path_of
from tests.factories import NOW, RunnerFactory, ScopeFactory
from tests.fakes import FakeGitHub

pytestmark = pytest.mark.django_db


@pytest.fixture
def github():
    return FakeGitHub()


def application(architecture="x64", version="2.336.0", checksum="AB" * 32, os="linux"):
    ending = "zip" if os == "win" else "tar.gz"
    filename = f"actions-runner-{os}-{architecture}-{version}.{ending}"
    return RunnerApplication(
        os, architecture, f"https://example.com/{filename}", filename, checksum
    )


def refresh(scope, github, *, now=NOW):
    return packages.refresh(scope, github=github, now=now)


def test_packages_are_learned_with_version_and_digest(github):
    scope = ScopeFactory()
    github.applications = (application(), application("arm64"), application(os="win"))

    assert refresh(scope, github) == 3

    rows = RunnerPackage.objects.order_by("os", "architecture")
    assert [(row.os, row.architecture, row.version) for row in rows] == [
        ("linux", "arm64", "2.336.0"),
        ("linux", "x64", "2.336.0"),
        ("win", "x64", "2.336.0"),
    ]
    assert {row.sha256 for row in rows} == {"ab" * 32}


def test_package_without_a_digest_is_never_offered(github):
    scope = ScopeFactory()
    github.applications = (application(checksum=""), application("arm64"))

    assert refresh(scope, github) == 1
    assert RunnerPackage.objects.get().architecture == "arm64"


def test_packages_are_asked_for_once_an_hour_and_replaced_by_newer_ones(github):
    scope = ScopeFactory()
    github.applications = (application(),)
    refresh(scope, github)
    github.applications = (application(version="2.337.0"),)

    assert refresh(scope, github, now=NOW + timedelta(minutes=59)) == 0
    assert RunnerPackage.objects.get().version == "2.336.0"
    assert refresh(scope, github, now=NOW + timedelta(minutes=60)) == 1
    assert RunnerPackage.objects.get().version == "2.337.0"
    assert github.calls == ["list_runner_applications"] * 2


def test_packages_known_stay_while_github_is_away(github):
    scope = ScopeFactory()
    github.applications = (application(),)
    refresh(scope, github)
    github.fail_next("list_runner_applications", GitHubUnavailable("Down"))

    with pytest.raises(GitHubUnavailable):
        refresh(scope, github, now=NOW + timedelta(days=1))

    assert RunnerPackage.objects.count() == 1


def push(runner, github):
    row = Runner.objects.select_related("scope", "host").get(pk=runner.pk)
    return registration.push_labels(row, github=github, now=NOW)


def test_custom_labels_are_carried_and_the_read_only_ones_left_to_github(github):
    runner = RunnerFactory(persistent=True, labels=["self-hosted", "Linux", "X64", "gpu", "large"])
    there = github.add_runner(path_of(runner.scope), runner.name, labels=["self-hosted", "old"])
    Runner.objects.filter(pk=runner.pk).update(github_id=there.id)

    labels = ["self-hosted", "gpu", "large", fleet.owner_mark()]
    assert push(runner, github) == labels

    row = Runner.objects.get()
    assert (row.github_labels, row.github_seen_at) == (labels, NOW)


@pytest.mark.parametrize("traits", [{"github_id": None}, {"github_deleted_at": NOW}])
def test_labels_of_a_runner_github_does_not_have_wait_for_its_registration(traits, github):
    runner = RunnerFactory(persistent=True, **traits)

    assert push(runner, github) == []
    assert github.calls == []
