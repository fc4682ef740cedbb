"""What one heartbeat writes and answers: facts, samples, silence, the wanted set, tokens."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import transaction

from runners import enrolment, heartbeat
from runners.audit import Actor
from runners.errors import Gone, NotPermitted
from runners.models import Event, Host, Sample
from runners.states import Phase, RunnerState
from tests.domain.messages import POLICY, SAMPLE, as_told, report, slot
from tests.factories import (
    NOW,
    HostFactory,
    RunnerFactory,
    RunnerPackageFactory,
    give_token,
)

pytestmark = pytest.mark.django_db


def beat(host, *slots, token="", now=NOW, **said):
    """One heartbeat, the long way."""
    host.refresh_from_db()
    return heartbeat.receive(host, token, report(host, *slots, **said), policy=POLICY, now=now)


def stored(row):
    return type(row).objects.get(pk=row.pk)


def test_heartbeat_sets_the_deadlines_by_the_servers_clock():
    host = HostFactory()

    beat(host, at="1999-01-01T00:00:00Z")

    row = stored(host)
    assert row.last_seen_at == NOW
    assert row.late_after == NOW + timedelta(seconds=60)
    assert row.offline_after == NOW + timedelta(seconds=90)


def test_first_heartbeat_of_an_enrolled_host_is_an_event():
    host = HostFactory(enrolling=True)

    beat(host)
    beat(host)

    event = Event.objects.get()
    assert (event.action, event.was, event.became) == ("host.online", "enrolled", "online")
    assert (event.actor_kind, event.actor_name) == (Event.ActorKind.AGENT, host.name)


def test_silence_and_return_are_one_event_each():
    host = HostFactory(offline=True)
    watch = Actor.system("heartbeat watch")

    assert enrolment.note_silent_hosts(now=NOW, by=watch) == [host]
    assert enrolment.note_silent_hosts(now=NOW, by=watch) == []
    beat(host)
    beat(host)

    actions = [event.action for event in Event.objects.order_by("pk")]
    assert actions == ["host.offline", "host.online"]
    assert stored(host).offline_noted_at is None


def test_host_that_reports_while_its_silence_is_noted_is_not_called_offline(monkeypatch):
    host = HostFactory(offline=True)
    atomic = transaction.atomic

    def heard_first():
        Host.objects.filter(pk=host.pk).update(offline_after=NOW + timedelta(seconds=90))
        return atomic()

    monkeypatch.setattr("runners.enrolment.transaction.atomic", heard_first)

    assert enrolment.note_silent_hosts(now=NOW, by=Actor.system("watch")) == []
    assert not Event.objects.exists()


@pytest.mark.parametrize("trait", ["late", "retired", "enrolling"])
def test_hosts_not_past_their_deadline_or_retired_are_not_offline(trait):
    HostFactory(**{trait: True})

    assert enrolment.note_silent_hosts(now=NOW, by=Actor.system("watch")) == []


def test_facts_are_written_when_told_and_kept_when_not():
    host = HostFactory(architecture="", facts_digest="")

    answer = beat(host)
    assert answer.want_facts
    answer = beat(host, facts={"architecture": "arm64", "cpu_count": 8, "boot_id": ""})

    assert not answer.want_facts
    assert (stored(host).architecture, stored(host).cpu_count) == ("arm64", 8)
    assert not beat(host).want_facts
    assert stored(host).architecture == "arm64"


def test_how_jobs_are_kept_apart_is_read_with_care():
    host = HostFactory()
    told = {"limits": ["cpu", 7, "memory"], "limits_by": "cgroup v1", "view": "private", "x": "y"}

    beat(host, facts={"isolation": told})

    kept = stored(host).isolation
    assert (kept["limits"], kept["limits_by"]) == (["cpu", "memory"], "cgroup v1")
    assert "x" not in kept
    beat(host, facts={"isolation": "none of your business"})
    assert stored(host).isolation == {}


def test_facts_are_asked_for_after_a_reboot():
    host = HostFactory(boot_id="before")

    assert beat(host, boot_id="after").want_facts
    assert not beat(host, boot_id="before").want_facts


def test_new_agent_version_is_kept():
    host = HostFactory(agent_version="0.1.0")

    beat(host, agent_version="0.2.0")

    assert stored(host).agent_version == "0.2.0"


def test_sample_is_shown_at_once_and_kept_once_a_minute():
    host = HostFactory()

    for seconds in range(0, 181, 3):
        beat(host, sample=SAMPLE | {"cpu_percent": seconds}, now=NOW + timedelta(seconds=seconds))

    assert stored(host).cpu_percent == 180
    assert stored(host).temperature_celsius == 51.5
    kept = list(Sample.objects.order_by("at").values_list("at", flat=True))
    gaps = {(later - sooner).total_seconds() for sooner, later in pairwise(kept)}
    assert len(kept) == 4
    assert gaps == {60}


def test_beats_that_come_a_little_early_still_make_one_sample_a_period():
    host = HostFactory()

    for number in range(4):
        beat(host, sample=SAMPLE, now=NOW + timedelta(seconds=59.4 * number))

    assert Sample.objects.count() == 4


def test_heartbeat_without_a_sample_keeps_the_last_one():
    host = HostFactory(cpu_percent=25.0)

    beat(host)

    assert stored(host).cpu_percent == 25.0
    assert not Sample.objects.exists()


def test_wanted_set_is_every_runner_that_holds_a_slot_and_no_other():
    host = HostFactory(slots=8)
    scope = RunnerPackageFactory().scope
    wanted = {
        RunnerFactory(host=host, scope=scope, slot=number, state=state): state
        for number, state in enumerate(
            (s for s in RunnerState if s != RunnerState.REMOVED), start=1
        )
    }
    RunnerFactory(host=host, removed=True)
    RunnerFactory()

    answer = beat(host)

    stopped = (RunnerState.REMOVING, RunnerState.FAILED)
    assert [(w.runner_id, w.slot, w.stop) for w in answer.wanted] == [
        (runner.pk, runner.slot, state in stopped) for runner, state in wanted.items()
    ]
    assert answer.version == stored(host).wanted_version


def test_wanted_runner_says_how_it_is_to_be_run():
    host = HostFactory()
    runner = RunnerFactory(host=host, removing=True, force=True, persistent=True)

    (wanted,) = beat(host).wanted

    assert (wanted.name, wanted.force, wanted.ephemeral) == (runner.name, True, False)
    assert wanted.work_folder == "_work"


def test_package_of_the_hosts_platform_goes_with_runners_that_have_to_start():
    host = HostFactory(slots=5)
    starting = RunnerFactory(host=host, slot=1, new=True)
    package = RunnerPackageFactory(scope=starting.scope)
    RunnerPackageFactory(scope=starting.scope, architecture="arm64")
    RunnerFactory(host=host, slot=2, scope=starting.scope)
    RunnerFactory(host=host, slot=3, scope=starting.scope, persistent=True)

    first, running, persistent = beat(host).wanted

    assert first.package == persistent.package
    assert first.package is not None
    assert (first.package.sha256, first.package.url) == (package.sha256, package.download_url)
    assert running.package is None


def test_host_is_not_told_of_a_new_runner_before_there_is_a_package_for_it():
    host = HostFactory()
    runner = RunnerFactory(host=host, new=True)
    RunnerPackageFactory(scope=runner.scope, architecture="arm64")

    assert beat(host).wanted == ()
    RunnerPackageFactory(scope=runner.scope)
    assert [wanted.runner_id for wanted in beat(host).wanted] == [runner.pk]


@pytest.mark.parametrize(
    ("traits", "seconds"),
    [
        ({}, 30),
        ({"busy": True}, 30),
        ({"starting": True, "phase": Phase.FETCHING}, 3),
        ({"starting": True}, 3),
        ({"draining": True}, 3),
        ({"removing": True}, 3),
        ({"failed": True}, 3),
        ({"phase": Phase.EXITED}, 3),
        ({"phase": Phase.EXITED, "github_status": "absent"}, 30),
    ],
)
def test_host_reports_more_often_while_something_on_it_moves(traits, seconds):
    host = HostFactory()
    runner = RunnerFactory(host=host, **{"persistent": True, **traits})

    assert beat(host, as_told(runner)).next_seconds == seconds


def test_empty_host_reports_quietly():
    assert beat(HostFactory()).next_seconds == 30


def test_runner_we_closed_is_told_to_stop_and_one_we_never_made_is_left_alone():
    host, other = HostFactory(), HostFactory()
    closed = RunnerFactory(host=host, removed=True)
    failed = RunnerFactory(host=host, failed=True, slot=None)
    elsewhere = RunnerFactory(host=other, removed=True)
    never_ours = RunnerFactory.build(pk=987654, host=host)

    answer = beat(
        host,
        *(slot(r, "listening") for r in (closed, failed, elsewhere, never_ours)),
    )

    assert {(w.runner_id, w.stop, w.force) for w in answer.wanted} == {
        (closed.pk, True, False),
        (failed.pk, True, False),
    }


def test_closed_runner_that_is_gone_is_not_told_again():
    host = HostFactory()
    closed = RunnerFactory(host=host, removed=True)

    assert beat(host, slot(closed, "gone")).wanted == ()


def test_what_a_host_says_of_another_hosts_runner_changes_nothing():
    host, victim = HostFactory(), RunnerFactory()

    beat(host, slot(victim, "failed", reason="Gotcha"))

    assert (stored(victim).phase, stored(victim).state) == (Phase.LISTENING, "active")


def test_token_is_handed_out_until_it_is_used_and_then_replaces_the_old_one(ada):
    host = HostFactory()
    old = give_token(host)
    enrolment.ask_token_rotation(host, by=ada, now=NOW)

    lost = beat(host, token=old).token
    new = beat(host, token=old).token

    assert lost
    assert new not in ("", lost)
    assert heartbeat.authenticate(old) == heartbeat.authenticate(new) == host
    with pytest.raises(NotPermitted):
        heartbeat.authenticate(lost)

    assert beat(host, token=new).token == ""
    assert heartbeat.authenticate(new) == host
    assert stored(host).token_rotated_at == NOW
    with pytest.raises(NotPermitted):
        heartbeat.authenticate(old)


def test_tokens_are_stored_as_digests_only(ada):
    host = HostFactory()
    old = give_token(host)
    enrolment.ask_token_rotation(host, by=ada, now=NOW)
    new = beat(host, token=old).token

    values = " ".join(map(str, Host.objects.values_list().get()))

    for token in (old, new):
        assert token not in values
        assert token.split("_", 2)[2] not in values


@pytest.mark.parametrize(
    "token",
    ["", "nonsense", "fla_short_x", "fle_0123456789ab_secret", "fla_\x00\x00\x00\x00\x00\x00_x_y"],
)
def test_token_of_another_shape_opens_nothing(token):
    HostFactory()

    with pytest.raises(NotPermitted):
        heartbeat.authenticate(token)


def test_right_prefix_with_a_wrong_secret_opens_nothing():
    host = HostFactory()
    token = give_token(host)

    with pytest.raises(NotPermitted):
        heartbeat.authenticate(token[:-1] + ("a" if token[-1] != "a" else "b"))


def test_host_without_a_token_is_not_opened_by_any():
    HostFactory(token_prefix="0123456789ab", token_sha256="")

    with pytest.raises(NotPermitted):
        heartbeat.authenticate("fla_0123456789ab_")


def test_retired_host_is_told_so(ada):
    host = HostFactory()
    token = give_token(host)
    enrolment.retire(host, by=ada, reason="", now=NOW)

    with pytest.raises(Gone, match="retired"):
        heartbeat.authenticate(token)


@pytest.mark.parametrize(
    ("hosts", "a_second", "seconds"),
    [
        (0, 10, 3),
        (39, 10, 3),
        (40, 10, 4),
        (100, 10, 10),
        (300, 10, 30),
        (1000, 10, 30),
        (1000, 100, 10),
        (3, 0, 30),
    ],
)
def test_small_fleet_reports_often_and_a_large_one_every_half_minute(hosts, a_second, seconds):
    assert heartbeat.quiet_pace(hosts, a_second=a_second, quickest=3, slowest=30) == seconds


def test_quickest_pace_is_never_slower_than_the_setting_for_quiet_hosts():
    assert heartbeat.quiet_pace(0, a_second=10, quickest=60, slowest=30) == 30
