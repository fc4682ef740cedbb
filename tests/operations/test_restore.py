"""Restores: what is refused before anything is touched, and what comes back fit to go on."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django_q.models import OrmQ

from runners import backup, heartbeat, leases, loop, reconcile, restore, wiring
from runners.agent_messages import parse_heartbeat
from runners.audit import Actor
from runners.backup import Manifest
from runners.errors import InvalidRequest
from runners.models import Beat, EnrolmentCode, Event, Lease
from runners.registry import path_of
from runners.states import GitHubStatus, RunnerState
from runners.vault import Vault
from tests.factories import (
    NOW,
    CredentialFactory,
    EnrolmentCodeFactory,
    HostFactory,
    RunnerFactory,
    ScopeFactory,
    give_token,
)
from tests.fakes import FakeGitHub
from tests.installation import Installation, copy_database, database_like, wait_for

KEY = "the-key-of-this-installation-and-of-no-other"
BY = Actor.system("test")
MADE_AT = NOW - timedelta(hours=6)
MANIFEST = Manifest(
    format=backup.FORMAT,
    made_at=MADE_AT.isoformat(),
    version="0.1.0",
    vendor="sqlite",
    migrations=(),
    rows={},
    database_sha256="",
    database_bytes=0,
    with_key=False,
    key_check="",
)


def prepare() -> restore.Restored:
    return restore.prepare(MANIFEST, vault=Vault([KEY]), by=BY, now=NOW)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database with one credential."""
    folder = tmp_path_factory.mktemp("filled")
    with database_like(os.environ.get("DATABASE_URL", ""), folder) as url:
        first = Installation(folder, url, variables={"FLEET_SECRET_KEY": KEY})
        first.migrate()
        add_credential(first, "acme")
        yield url


@pytest.fixture
def installed(installation: Installation, filled: str) -> Installation:
    """An installation with one credential."""
    installation.variables["FLEET_SECRET_KEY"] = KEY
    copy_database(filled, installation.database_url)
    return installation


def add_credential(installation: Installation, name: str) -> None:
    file = installation.data_dir / f"{name}.token"
    file.write_text("ghp_" + "a" * 36)
    done = installation.manage("add_credential", name, "--secret-file", str(file))
    assert done.returncode == 0, done.stderr


def back_up(installation: Installation, *arguments: str) -> str:
    file = installation.data_dir / f"kept-{len(list(installation.data_dir.iterdir()))}.zip"
    done = installation.manage("backup", str(file), *arguments)
    assert done.returncode == 0, done.stderr
    return str(file)


def credentials_of(installation: Installation) -> list[str]:
    return [row[0] for row in installation.rows("SELECT name FROM runners_credential ORDER BY 1")]


def test_database_comes_back_as_it_was_at_the_backup(installed: Installation):
    file = back_up(installed)
    add_credential(installed, "later")

    done = installed.manage("restore", file, "--force", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["restored"] is True
    assert credentials_of(installed) == ["acme"]


def test_backup_is_restored_into_a_database_without_tables(installed: Installation):
    file = back_up(installed)
    installed.lose_database()

    done = installed.manage("restore", file)

    assert done.returncode == 0, done.stderr
    assert "What to do next" in done.stdout
    assert credentials_of(installed) == ["acme"]


def test_occupied_database_is_not_replaced_without_force(installed: Installation):
    file = back_up(installed)
    add_credential(installed, "later")

    done = installed.manage("restore", file)

    assert done.returncode == 1
    assert "2 credentials" in done.stderr
    assert credentials_of(installed) == ["acme", "later"]


def test_wrong_key_is_refused_in_words(installed: Installation):
    file = back_up(installed)

    done = installed.manage("restore", file, "--force", FLEET_SECRET_KEY="another-key" * 4)

    assert done.returncode == 1
    assert "FLEET_SECRET_KEY is not the one of this backup" in done.stderr


def test_key_in_the_backup_is_taken_into_the_data_folder(installed: Installation):
    file = back_up(installed, "--with-key")
    installed.variables["FLEET_SECRET_KEY"] = ""
    assert installed.manage("restore", file, "--force").returncode == 1

    done = installed.manage("restore", file, "--force", "--with-key")

    assert done.returncode == 0, done.stderr
    key_file = installed.data_dir / "secret.key"
    assert key_file.read_text().splitlines()[0] == KEY
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert KEY not in done.stdout + done.stderr
    assert "No present key opens" not in done.stdout


def test_database_somebody_has_open_is_not_replaced(installed: Installation):
    file = back_up(installed)
    with installed.running("fleet_loop"):
        wait_for("a beat", lambda: installed.rows("SELECT 1 FROM runners_beat WHERE name='loop'"))
        done = installed.manage("restore", file, "--force")

    assert done.returncode == 1
    assert "in use" in done.stderr


def test_damaged_backup_is_refused_and_nothing_is_touched(installed: Installation):
    file = Path(back_up(installed))
    add_credential(installed, "later")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    file.write_bytes(content)

    done = installed.manage("restore", str(file), "--force")

    assert done.returncode == 1
    assert "damaged" in done.stderr
    assert credentials_of(installed) == ["acme", "later"]


def test_check_restores_nothing(installed: Installation):
    file = back_up(installed)
    add_credential(installed, "later")

    done = installed.manage("restore", file, "--check")

    assert done.returncode == 0
    assert "can be restored" in done.stdout
    assert credentials_of(installed) == ["acme", "later"]


def test_backup_of_a_newer_version_is_recognized():
    newer = replace(MANIFEST, migrations=("runners.0001_initial", "runners.9999_to_come"))

    assert restore.unknown_migrations(newer) == ["runners.9999_to_come"]


@pytest.mark.django_db
def test_fleet_whose_loop_holds_its_lease_is_running():
    leases.acquire(loop.LOOP, "elsewhere:1", 20, NOW)

    with pytest.raises(InvalidRequest, match="elsewhere:1"):
        restore.refuse_leased(NOW)
    restore.refuse_leased(NOW + timedelta(seconds=20))


@pytest.mark.django_db
def test_leases_tasks_beats_and_sign_ins_of_before_are_dropped():
    leases.acquire("reconcile:1", "dead:1", 600, NOW)
    loop.touch(loop.CANARY, MADE_AT)
    OrmQ.objects.create(key="fleetui", payload="of a process that is gone", lock=MADE_AT)
    Session.objects.create(session_key="s", session_data="", expire_date=NOW + timedelta(days=9))
    EnrolmentCodeFactory()

    prepare()

    assert not Lease.objects.exists()
    assert not OrmQ.objects.exists()
    assert not Session.objects.exists()
    assert list(Beat.objects.values_list("name", flat=True)) == [restore.BEAT]
    assert EnrolmentCode.objects.get().revoked_at == NOW
    assert Event.objects.get().action == "fleet.restore"


@pytest.mark.django_db
def test_github_is_unknown_and_asked_first():
    scope = ScopeFactory(reconcile_wanted=True)

    assert prepare().scopes == 1

    scope.refresh_from_db()
    assert scope.github_unknown_since == NOW
    assert [task.func() for task in OrmQ.objects.all()] == ["runners.tasks.reconcile_scope"]


@pytest.mark.django_db
def test_host_that_holds_a_later_set_hears_its_whole_set():
    """The agent heard version 9 after the backup; the table has 3 and goes on from there."""
    host = HostFactory(wanted_version=3, quiet_digest="d", sampled_at=NOW)
    token = give_token(host)

    prepare()

    message = {
        "protocol": 1,
        "agent_version": "1",
        "boot_id": "b",
        "wanted_version": 9,
        "slots": [],
    }
    policy = wiring.heartbeat_policy()
    assert heartbeat.quick(token, message, policy=policy, now=NOW) is None
    host.refresh_from_db()
    answer = heartbeat.receive(host, token, parse_heartbeat(message), policy=policy, now=NOW)
    assert answer.version > 1_000_000
    assert answer.want_facts


@pytest.mark.django_db
def test_host_is_silent_from_the_restore_on_and_not_for_longer():
    host = HostFactory(last_seen_at=MADE_AT, offline_after=MADE_AT)

    prepare()

    host.refresh_from_db()
    assert host.offline_after == host.late_after == host.offline_noted_at == NOW


@pytest.mark.django_db
def test_what_was_under_way_keeps_the_time_it_had_left():
    drained = RunnerFactory(draining=True, drain_deadline_at=MADE_AT + timedelta(minutes=5))
    starting = RunnerFactory(new=True, state_changed_at=MADE_AT)

    prepare()

    drained.refresh_from_db()
    starting.refresh_from_db()
    assert drained.drain_deadline_at == NOW + timedelta(minutes=5)
    assert starting.state_changed_at == NOW


def count_again_from(number: int) -> None:
    """What loading the same backup once more does to the numbers of runners."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "UPDATE sqlite_sequence SET seq = %s WHERE name = 'runners_runner'", [number]
            )
        else:
            cursor.execute("SELECT setval('runners_runner_id_seq', %s)", [number])


@pytest.mark.django_db
def test_number_of_a_runner_made_after_the_backup_is_never_given_out_again():
    """Two restores of the same backup, and a runner made after each: three different numbers."""
    count_again_from(1000)
    before = RunnerFactory()

    restore.skip_numbers(NOW)
    first = RunnerFactory()
    first_pk = first.pk
    first.delete()
    count_again_from(before.pk)
    restore.skip_numbers(NOW + timedelta(minutes=1))
    second = RunnerFactory()

    assert before.pk + 1_000_000 < first_pk
    assert first_pk + 10_000 < second.pk


@pytest.mark.django_db
def test_secret_under_a_key_dropped_since_is_named():
    CredentialFactory(name="mine", secret_encrypted=Vault([KEY]).encrypt("ghp_x"))
    CredentialFactory(
        name="old", secret_encrypted=Vault(["a key nobody has any more"]).encrypt("x")
    )

    assert prepare().unreadable == ("credential old",)


@pytest.mark.django_db
def test_first_pass_after_a_restore_starts_from_githubs_facts():
    """One runner still there, one gone since, one made since: kept, closed, left alone."""
    scope = ScopeFactory()
    github, path = FakeGitHub(), path_of(scope)
    kept = github.add_runner(path, "kept", labels=["linux"], online=True)
    made_since = github.add_runner(path, "made-since", labels=["linux"], online=True, busy=True)
    stays = RunnerFactory(scope=scope, name="kept", github_id=kept.id)
    gone = RunnerFactory(
        scope=scope, name="gone", removing=True, phase="gone", github_id=999, registered_at=MADE_AT
    )
    prepare()

    summary = reconcile.reconcile_scope(
        scope, github=github, deadlines=wiring.deadlines(), now=NOW + timedelta(seconds=5)
    )

    stays.refresh_from_db()
    gone.refresh_from_db()
    scope.refresh_from_db()
    assert (stays.state, stays.github_status) == (RunnerState.ACTIVE, GitHubStatus.ONLINE)
    assert gone.state == RunnerState.REMOVED
    assert summary.foreign == 1
    assert made_since in github.runners(path)
    assert scope.github_unknown_since is None
