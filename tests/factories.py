"""The smallest valid row of each table; traits name situations. `now` is the tests' one moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import factory
from django.contrib.auth.models import Group, User

from runners import tokens
from runners.models import (
    AnnouncedWindow,
    Credential,
    Delivery,
    Drift,
    EnrolmentCode,
    Host,
    Job,
    Label,
    Maintenance,
    MaintenanceHost,
    Pool,
    Runner,
    RunnerPackage,
    Scope,
)
from runners.states import GitHubStatus, Phase, RunnerState

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GIB = 2**30


class UserFactory(factory.django.DjangoModelFactory):
    """A person; `role` names the group: viewer, operator, admin or auditor."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user-{n}")
    password = factory.django.Password("correct horse battery")

    @factory.post_generation
    def role(self, create, extracted, **kwargs):
        if create and extracted:
            group, _ = Group.objects.get_or_create(name=extracted)
            self.groups.add(group)


class CredentialFactory(factory.django.DjangoModelFactory):
    """A credential whose stored secret no key opens; tests that open it encrypt their own."""

    class Meta:
        model = Credential

    name = factory.Sequence(lambda n: f"credential-{n}")
    kind = Credential.Kind.TOKEN
    secret_encrypted = "sealed"
    created_at = NOW


class ScopeFactory(factory.django.DjangoModelFactory):
    """An organization."""

    class Meta:
        model = Scope

    kind = Scope.Kind.ORGANIZATION
    slug = factory.Sequence(lambda n: f"acme-{n}")
    web_url = factory.LazyAttribute(lambda o: f"https://github.com/{o.slug}")
    credential = factory.SubFactory(CredentialFactory)
    created_at = NOW


class HostFactory(factory.django.DjangoModelFactory):
    """An x64 host with four slots that reported a moment before NOW."""

    class Meta:
        model = Host

    class Params:
        offline = factory.Trait(
            last_seen_at=NOW - timedelta(minutes=10),
            late_after=NOW - timedelta(minutes=9),
            offline_after=NOW - timedelta(minutes=8),
        )
        late = factory.Trait(
            last_seen_at=NOW - timedelta(seconds=70),
            late_after=NOW - timedelta(seconds=10),
            offline_after=NOW + timedelta(seconds=20),
        )
        enrolling = factory.Trait(last_seen_at=None, late_after=None, offline_after=None)
        cordoned_for_work = factory.Trait(
            cordoned_at=NOW - timedelta(hours=1), cordoned_reason="Disk replacement"
        )
        retired = factory.Trait(retired_at=NOW - timedelta(days=1))
        gpu = factory.Trait(
            gpus=[
                {
                    "vendor": "nvidia",
                    "model": "NVIDIA L4",
                    "memory_bytes": 24 * GIB,
                    "driver": "570.1",
                    "uuid": "GPU-1",
                }
            ]
        )
        arm64 = factory.Trait(architecture="arm64", kernel_architecture="aarch64")

    name = factory.Sequence(lambda n: f"forge-{n:02d}")
    site = "eu-central"
    slots = 4
    hostname = factory.SelfAttribute("name")
    os = "linux"
    os_version = "Debian GNU/Linux 12"
    architecture = "x64"
    kernel_architecture = "x86_64"
    cpu_count = 8
    memory_bytes = 32 * GIB
    memory_used_bytes = 8 * GIB
    disk_total_bytes = 500 * GIB
    disk_used_bytes = 100 * GIB
    cpu_percent = 25.0
    load1 = 2.0
    agent_version = "0.1.0"
    facts_digest = "known"
    enrolled_at = NOW - timedelta(days=2)
    last_seen_at = NOW - timedelta(seconds=5)
    late_after = NOW + timedelta(seconds=55)
    offline_after = NOW + timedelta(seconds=85)


def give_token(host: Host) -> str:
    """Give the host an agent token and return its text."""
    token = tokens.new_token(tokens.AGENT_KIND)
    Host.objects.filter(pk=host.pk).update(token_prefix=token.prefix, token_sha256=token.sha256)
    host.token_prefix, host.token_sha256 = token.prefix, token.sha256
    return token.text


class LabelFactory(factory.django.DjangoModelFactory):
    """A custom label."""

    class Meta:
        model = Label

    name = factory.Sequence(lambda n: f"label-{n}")


class PoolFactory(factory.django.DjangoModelFactory):
    """A pool that keeps nothing ready until told to."""

    class Meta:
        model = Pool
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"linux-x64-{n}")
    scope = factory.SubFactory(ScopeFactory)
    created_at = NOW

    @factory.post_generation
    def labels(self, create, extracted, **kwargs):
        if create:
            self.labels.set(labels_named(extracted or ["self-hosted", "linux", "x64"]))


class RunnerFactory(factory.django.DjangoModelFactory):
    """An idle ephemeral runner, online at GitHub, on slot 1 of its own host."""

    class Meta:
        model = Runner
        skip_postgeneration_save = True

    class Params:
        new = factory.Trait(
            state=RunnerState.PROVISIONING,
            phase=Phase.UNSEEN,
            github_id=None,
            github_status=GitHubStatus.UNKNOWN,
            online_at=None,
            registered_at=None,
            pid=None,
        )
        starting = factory.Trait(
            state=RunnerState.PROVISIONING,
            phase=Phase.STARTING,
            github_status=GitHubStatus.OFFLINE,
            online_at=None,
        )
        busy = factory.Trait(
            phase=Phase.BUSY,
            github_busy=True,
            job_name="build",
            job_started_at=NOW - timedelta(minutes=3),
            cpu_percent=80.0,
            memory_bytes=2 * GIB,
        )
        draining = factory.Trait(state=RunnerState.DRAINING)
        removing = factory.Trait(state=RunnerState.REMOVING)
        removed = factory.Trait(
            state=RunnerState.REMOVED,
            slot=None,
            phase=Phase.GONE,
            github_status=GitHubStatus.ABSENT,
            github_deleted_at=NOW - timedelta(minutes=1),
            removed_at=NOW - timedelta(minutes=1),
        )
        failed = factory.Trait(
            state=RunnerState.FAILED,
            state_reason="Did not come online within 120 s",
            phase=Phase.FAILED,
            exit_code=1,
        )
        persistent = factory.Trait(ephemeral=False)

    name = factory.Sequence(lambda n: f"linux-x64-{n:04x}")
    scope = factory.SubFactory(ScopeFactory)
    host = factory.SubFactory(HostFactory)
    slot = 1
    runner_group_name = "Default"
    state = RunnerState.ACTIVE
    state_changed_at = NOW - timedelta(minutes=10)
    phase = Phase.LISTENING
    pid = 4242
    process_started_at = NOW - timedelta(minutes=10)
    runner_version = "2.336.0"
    observed_at = NOW - timedelta(seconds=5)
    github_id = factory.Sequence(lambda n: 1000 + n)
    github_status = GitHubStatus.ONLINE
    github_seen_at = NOW - timedelta(seconds=5)
    created_at = NOW - timedelta(minutes=11)
    registered_at = NOW - timedelta(minutes=10)
    online_at = NOW - timedelta(minutes=10)

    @factory.post_generation
    def labels(self, create, extracted, **kwargs):
        if create:
            self.labels.set(labels_named(extracted or ["self-hosted", "linux", "x64"]))


class RunnerPackageFactory(factory.django.DjangoModelFactory):
    """The linux-x64 package a scope is offered."""

    class Meta:
        model = RunnerPackage

    scope = factory.SubFactory(ScopeFactory)
    os = "linux"
    architecture = "x64"
    version = "2.336.0"
    filename = "actions-runner-linux-x64-2.336.0.tar.gz"
    download_url = "https://example.com/actions-runner-linux-x64-2.336.0.tar.gz"
    sha256 = "0" * 64
    seen_at = NOW


class JobFactory(factory.django.DjangoModelFactory):
    """A job that waits since a minute."""

    class Meta:
        model = Job

    class Params:
        running = factory.Trait(
            status=Job.Status.IN_PROGRESS, started_at=NOW - timedelta(seconds=40)
        )
        done = factory.Trait(
            status=Job.Status.COMPLETED,
            conclusion="success",
            started_at=NOW - timedelta(seconds=40),
            completed_at=NOW - timedelta(seconds=5),
        )

    scope = factory.SubFactory(ScopeFactory)
    github_id = factory.Sequence(lambda n: 5000 + n)
    run_id = factory.Sequence(lambda n: 9000 + n)
    repository = "acme/web"
    workflow_name = "CI"
    name = "build"
    labels = factory.LazyFunction(lambda: ["self-hosted", "linux", "x64"])
    status = Job.Status.QUEUED
    queued_at = NOW - timedelta(minutes=1)
    seen_at = NOW


class DeliveryFactory(factory.django.DjangoModelFactory):
    """A job that GitHub told as queued, taken in a moment before NOW."""

    class Meta:
        model = Delivery

    class Params:
        pending = factory.Trait(processed_at=None, result="pending", outcome="")

    scope = factory.SubFactory(ScopeFactory)
    hook_id = "77"
    guid = factory.Sequence(lambda n: f"72d3162e-cc78-11e3-81ab-{n:012}")
    event = "workflow_job"
    action = "queued"
    repository = "acme/web"
    subject_id = factory.Sequence(lambda n: 5000 + n)
    payload = factory.LazyAttribute(
        lambda o: {"action": o.action, "workflow_job": {"id": o.subject_id, "status": o.action}}
    )
    received_at = NOW - timedelta(seconds=10)
    processed_at = NOW - timedelta(seconds=9)
    result = "changed"
    outcome = "Job is queued"


class DriftFactory(factory.django.DjangoModelFactory):
    """An offline ghost that lasts for an hour; `online` is what GitHub says of it."""

    class Meta:
        model = Drift

    class Params:
        online = False
        foreign = factory.Trait(kind="foreign", wanted="Not ours")
        leftover = factory.Trait(
            kind="leftover",
            scope=None,
            host=factory.SubFactory("tests.factories.HostFactory"),
            github_id=None,
            github="",
        )

    kind = "ghost"
    key = factory.Sequence(lambda n: f"github:{7000 + n}")
    scope = factory.SubFactory(ScopeFactory)
    github_id = factory.Sequence(lambda n: 7000 + n)
    name = factory.Sequence(lambda n: f"left-behind-{n}")
    wanted = "No such runner"
    github = factory.LazyAttribute(lambda o: "Online" if o.online else "Offline")
    detail = factory.LazyAttribute(
        lambda o: {"online": o.online, "busy": False, "labels": "self-hosted"}
    )
    since = NOW - timedelta(hours=1)


class EnrolmentCodeFactory(factory.django.DjangoModelFactory):
    """An unused code, good for fifteen minutes; `text` is its plain form."""

    class Meta:
        model = EnrolmentCode

    class Params:
        text = factory.LazyFunction(lambda: tokens.new_token(tokens.ENROLMENT_KIND).text)

    prefix = factory.LazyAttribute(lambda o: tokens.prefix_of(o.text, tokens.ENROLMENT_KIND))
    sha256 = factory.LazyAttribute(lambda o: tokens.digest(o.text))
    created_at = NOW
    expires_at = NOW + timedelta(minutes=15)


class MaintenanceFactory(factory.django.DjangoModelFactory):
    """A running round without hosts, that waits for somebody's word."""

    class Meta:
        model = Maintenance

    reason = "Kernel update"
    act = Maintenance.Act.CONFIRM
    created_by = "ada"
    created_at = NOW


class MaintenanceHostFactory(factory.django.DjangoModelFactory):
    """A host that waits for its turn."""

    class Meta:
        model = MaintenanceHost

    maintenance = factory.SubFactory(MaintenanceFactory)
    host = factory.SubFactory(HostFactory)
    position = factory.Sequence(lambda n: n + 1)
    step_at = NOW


class AnnouncedWindowFactory(factory.django.DjangoModelFactory):
    """Maintenance of all pools, announced for tomorrow."""

    class Meta:
        model = AnnouncedWindow

    begins_at = NOW + timedelta(days=1)
    ends_at = NOW + timedelta(days=1, hours=1)
    reason = "Switch"
    announced_at = NOW
    announced_by = "ada"


def labels_named(names):
    """Rows for these label names, made where missing."""
    return [Label.objects.get_or_create(name=name)[0] for name in names]
