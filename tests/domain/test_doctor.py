"""The doctor: each check's verdicts, no secret in any of them, and a cost that does not grow."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django_q.models import Schedule

from runners import backup, doctor, leases, loop
from runners.doctor import Surroundings, Verdict, fleet, server, webhooks
from runners.doctor.finding import Finding
from runners.github.types import Delivery
from runners.registry import path_of
from runners.vault import Vault
from tests.factories import NOW, CredentialFactory, HostFactory, JobFactory, ScopeFactory
from tests.fakes import FakeGitHub, refusal

CANARY = "ghp_" + "c4n4ry" * 6
BASE_URL = "https://fleet.example.org"


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    """A sound place to run in."""
    tmp_path.chmod(0o700)
    key_file = tmp_path / "secret.key"
    key_file.write_text("key")
    key_file.chmod(0o600)
    return Surroundings(
        data_dir=tmp_path,
        key_file=key_file,
        base_url=BASE_URL,
        loop_seconds=5,
        worker_silent_seconds=60,
        agent_version="0.2.0",
    )


def verdicts(findings: list[Finding]) -> dict[str, str]:
    return {each.name: each.verdict.value for each in findings}


def found(findings: list[Finding], name: str) -> Finding:
    (finding,) = [each for each in findings if each.name == name]
    return finding


def make_sound() -> None:
    """Traces of processes that work, and one of everything they work with."""
    for beat in (loop.LOOP, loop.WORKER, backup.BEAT):
        loop.touch(beat, NOW - timedelta(seconds=2), detail="all is well")
    Schedule.objects.create(name="keep-house", func="runners.tasks.keep_house", next_run=NOW)
    credential = CredentialFactory(verdict="valid", budget_limit=5000, budget_remaining=4000)
    ScopeFactory(credential=credential, github_seen_at=NOW)
    HostFactory(agent_version="0.2.0", disk_total_bytes=100, disk_used_bytes=10)


@pytest.mark.django_db
def test_nothing_is_bad_about_a_sound_installation(around):
    make_sound()

    findings = doctor.examine(around, now=NOW)

    # A database server's clock does not stand still at the tests' moment
    bad = {each.name for each in findings if each.verdict is Verdict.BAD}
    assert bad - {"database clock"} == set()
    assert verdicts(findings)["worker"] == verdicts(findings)["files"] == "ok"


@pytest.mark.django_db
def test_whatever_is_wrong_comes_with_a_fix(around):
    around.key_file.chmod(0o644)
    CredentialFactory(verdict="revoked", verdict_message="No more", verdict_fix="Make a new one")
    ScopeFactory(github_unknown_since=NOW, github_error="Timed out")
    HostFactory(offline_after=NOW)

    findings = doctor.examine(around, now=NOW)

    wrong = [each for each in findings if each.verdict in (Verdict.WARN, Verdict.BAD)]
    assert len(wrong) >= 7
    assert [each.name for each in wrong if not each.fix] == []


@pytest.mark.django_db
def test_processes_that_never_showed_themselves_are_bad(around):
    said = verdicts(server.processes(around, NOW))

    assert (said["loop"], said["worker"], said["schedules"]) == ("bad", "bad", "bad")
    assert said["backup"] == "warn"


@pytest.mark.django_db
def test_worker_whose_canary_stays_away_is_bad(around):
    loop.touch(loop.WORKER, NOW - timedelta(seconds=61))

    assert verdicts(server.processes(around, NOW))["worker"] == "bad"


@pytest.mark.django_db
def test_lease_held_from_the_future_is_bad_and_one_that_ran_out_is_not(around):
    leases.acquire("old", "dead:1", 5, NOW - timedelta(days=1))
    assert found(server.processes(around, NOW), "leases").verdict is Verdict.OK

    leases.acquire("loop", "clock-ahead:1", 20, NOW + timedelta(days=1))

    assert "loop" in found(server.processes(around, NOW), "leases").seen


@pytest.mark.django_db
def test_backup_of_last_month_is_too_old(around):
    loop.touch(backup.BEAT, NOW - timedelta(days=30))

    assert verdicts(server.processes(around, NOW))["backup"] == "warn"


@pytest.mark.parametrize(("mode", "verdict"), [(0o600, "ok"), (0o640, "bad"), (0o604, "bad")])
def test_key_that_others_may_read_is_bad(around, mode, verdict):
    around.key_file.chmod(mode)

    assert verdicts(server.machine(around))["files"] == verdict


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(0, "ok"), (-4.9, "ok"), (5, "warn"), (-61, "bad")]
)
def test_clock_that_is_off_is_noticed(seconds, verdict):
    assert server.skew("database clock", seconds).verdict == verdict


def test_unsafe_settings_are_named(around, settings):
    settings.DEBUG = True

    finding = found(server.machine(around), "settings")

    assert finding.verdict is Verdict.WARN
    assert "DEBUG" in finding.seen


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({"verdict": ""}, "unknown"),
        ({"verdict": "valid"}, "ok"),
        ({"verdict": "expired"}, "bad"),
        ({"verdict": "valid", "expires_at": NOW + timedelta(days=2)}, "warn"),
        ({"verdict": "valid", "expires_at": NOW}, "bad"),
    ],
)
def test_credential_is_judged_by_githubs_verdict_and_its_end(around, facts, verdict):
    ScopeFactory(credential=CredentialFactory(name="c", **facts))

    assert verdicts(fleet.github(around, NOW))["credential c"] == verdict


@pytest.mark.django_db
@pytest.mark.parametrize(("left", "verdict"), [(5000, "ok"), (499, "warn"), (0, "bad")])
def test_spent_budget_is_noticed_until_it_is_renewed(around, left, verdict):
    reset_at = NOW + timedelta(minutes=9)
    row = CredentialFactory(
        name="c", budget_limit=5000, budget_remaining=left, budget_reset_at=reset_at
    )
    ScopeFactory(credential=row)

    assert verdicts(fleet.github(around, NOW))["budget c"] == verdict
    assert verdicts(fleet.github(around, reset_at))["budget c"] == "ok"


@pytest.mark.django_db
def test_webhook_that_delivers_nothing_while_jobs_come_is_noticed(around):
    scope = ScopeFactory(slug="acme", webhook_secret_encrypted="sealed")
    scope.deliveries.create(guid="1", event="ping", received_at=NOW - timedelta(hours=1))
    assert verdicts(fleet.github(around, NOW))["webhook acme"] == "ok"

    JobFactory(scope=scope, queued_at=NOW)

    assert verdicts(fleet.github(around, NOW))["webhook acme"] == "warn"


@pytest.mark.django_db
def test_hosts_are_judged_by_silence_agent_and_health(around):
    HostFactory(
        name="sick",
        offline_after=NOW,
        clock_skew_seconds=-90,
        agent_version="0.1.9",
        disk_total_bytes=100,
        disk_used_bytes=95,
        memory_bytes=100,
        memory_used_bytes=99,
        gpu_source="none: nvidia-smi did not answer in 10 s",
    )

    findings = fleet.hosts(around, NOW)

    assert verdicts(findings) == {
        "hosts": "bad",
        "host clocks": "warn",
        "agents": "warn",
        "host disks": "bad",
        "host memory": "bad",
        "host GPUs": "bad",
    }
    assert all("sick" in each.seen for each in findings)


@pytest.mark.django_db
def test_cost_does_not_grow_with_the_fleet(around, django_assert_max_num_queries):
    make_sound()
    for _ in range(8):
        HostFactory()
        ScopeFactory()

    with django_assert_max_num_queries(20):
        doctor.examine(around, now=NOW)


@pytest.mark.django_db
def test_database_without_our_tables_is_a_finding(around, monkeypatch):
    pending = Finding("migrations", Verdict.BAD, "1 not applied", "migrate")
    monkeypatch.setattr(server, "migrations", lambda: pending)

    findings = doctor.examine(around, now=NOW)

    assert pending in findings
    assert "worker" not in verdicts(findings)


@pytest.mark.django_db
def test_newest_delivery_that_failed_at_github_is_bad():
    scope, github = ScopeFactory(slug="acme", webhook_secret_encrypted="sealed"), FakeGitHub()
    hook = github.create_webhook(
        path_of(scope), url=f"{BASE_URL}/webhooks/1/", secret="s", events=["workflow_job"]
    )
    assert webhooks.deliveries(scope, github=github, base_url=BASE_URL).verdict is Verdict.OK

    refused = Delivery(
        id=7,
        guid="7",
        delivered_at=NOW,
        redelivery=False,
        duration_seconds=0.1,
        status="Bad Gateway",
        status_code=502,
        event="workflow_job",
        action="queued",
        repository_id=None,
        throttled_at=None,
    )
    github.add_delivery(path_of(scope), hook.id, refused)

    finding = webhooks.deliveries(scope, github=github, base_url=BASE_URL)
    assert finding.verdict is Verdict.BAD
    assert "502" in finding.seen


@pytest.mark.django_db
def test_credential_that_may_not_look_at_webhooks_leaves_them_unknown():
    scope, github = ScopeFactory(), FakeGitHub()
    github.fail_next("list_webhooks", refusal("list_webhooks", 404, "Not Found"))

    finding = webhooks.deliveries(scope, github=github, base_url=BASE_URL)

    assert finding.verdict is Verdict.UNKNOWN


@pytest.mark.django_db
def test_command_prints_no_secret_and_asks_github_nothing_offline(settings, capsys):
    vault = Vault(settings.FLEET_SECRET_KEYS)
    ScopeFactory(
        credential=CredentialFactory(secret_encrypted=vault.encrypt(CANARY)),
        webhook_secret_encrypted=vault.encrypt(CANARY),
    )

    with pytest.raises(CommandError) as ended:
        call_command("doctor", "--offline", "--json")

    out = capsys.readouterr().out
    data = json.loads(out)
    assert ended.value.returncode == 1
    assert data["worst"] == "bad"
    assert [each for each in data["checks"] if each["name"].startswith("deliveries")] == []
    secrets = [CANARY, vault.encrypt(CANARY)[:20], *settings.FLEET_SECRET_KEYS]
    assert [secret for secret in secrets if secret in out + str(ended.value)] == []


def test_worst_of_nothing_is_good():
    assert doctor.worst([]) is Verdict.OK
