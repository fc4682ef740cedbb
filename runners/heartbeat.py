"""What one heartbeat changes, and the wanted set it answers with.

The only writer of what hosts say (`Runner.phase`, `Host.last_seen_at` and their like). With nothing
changed it is one query (`quick`): an UPDATE that finds the host by its token and by the digest of
what it said last. Anything else takes the long way (`receive`), which answers the whole wanted set.
See docs/adr/0010-one-query-heartbeat.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models import F, Q

from runners import audit, conclusions, fleet, gpus, leftovers, tokens
from runners.agent_messages import (
    Report,
    SampleReport,
    parse_sample,
    quiet_digest,
)
from runners.audit import Actor
from runners.errors import Gone, NotPermitted
from runners.host_facts import apply_facts
from runners.models import Event, Host, Runner, RunnerPackage, Sample, Scope
from runners.states import PROCESS_ENDED, GitHubStatus, Phase, RunnerState


@dataclass(frozen=True, slots=True)
class Policy:
    """The times a heartbeat is judged by, in seconds; from settings."""

    quiet_seconds: int
    active_seconds: int
    late_after_seconds: int
    offline_after_seconds: int
    sample_seconds: int


@dataclass(frozen=True, slots=True)
class Package:
    """The runner application a host should unpack, with the digest it must check."""

    version: str
    os: str
    architecture: str
    filename: str
    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """The most one slot of a host may use; None is no limit of its own."""

    cpu_cores: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class WantedRunner:
    """One entry of the wanted set."""

    runner_id: int
    name: str
    slot: int
    stop: bool
    force: bool
    ephemeral: bool
    work_folder: str
    package: Package | None
    gpu: str = ""
    emulates: str = ""
    limits: SlotLimits = SlotLimits()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the agent is told; `token` only while a rotation is in progress, `clean` names the
    leftovers to be thrown away, `github_url` is told with the facts."""

    version: int
    journal_seq: int
    next_seconds: int
    want_facts: bool
    wanted: tuple[WantedRunner, ...]
    token: str = ""
    clean: tuple[str, ...] = ()
    github_url: str = ""


def quiet_pace(hosts: int, *, a_second: int, quickest: int, slowest: int) -> int:
    """The seconds between two reports of a quiet host, in a fleet of so many.

    A host learns of a new runner when it next reports, so a small fleet reports often; together
    they send about `a_second`, each one at most every `quickest` and at least every `slowest`
    seconds. See ADR 0029.
    """
    if not a_second:
        return slowest
    return min(slowest, max(quickest, hosts // a_second))


def quick(
    token: str, message: Mapping[str, object], *, policy: Policy, now: datetime
) -> int | None:
    """Take a heartbeat that says nothing new, in one query; None when it has to go the long way.

    Returns the version of the wanted set, which is the one the agent already holds. The row matches
    only if the token is right, the agent holds the present version, and it says what it said when
    nothing was left to do. A sample that is due for keeping goes the long way too.
    """
    version = message.get("wanted_version")
    prefix = tokens.prefix_of(token, tokens.AGENT_KIND)
    if not isinstance(version, int) or not prefix or message.get("journal") or "facts" in message:
        return None
    sample = message.get("sample")
    moved = Host.objects.filter(
        token_prefix=prefix,
        token_sha256=tokens.digest(token),
        wanted_version=version,
        quiet_digest=quiet_digest(message),
        sampled_at__gt=now - timedelta(seconds=policy.sample_seconds - 1),
        offline_noted_at__isnull=True,
        token_rotation_asked_at__isnull=True,
        retired_at__isnull=True,
    ).update(
        last_seen_at=now,
        late_after=now + timedelta(seconds=policy.late_after_seconds),
        offline_after=now + timedelta(seconds=policy.offline_after_seconds),
        **_sample_columns(parse_sample(sample) if isinstance(sample, dict) else None),
    )
    return version if moved else None


def authenticate(token: str) -> Host:
    """Return the host this bearer token speaks for. Raises NotPermitted, Gone for a retired one."""
    host = _host_of(token)
    if host is None:
        raise NotPermitted("This agent token is not known here. Enrol the host again.")
    if host.retired_at is not None:
        raise Gone(f"{host.name} was retired. Enrol it again to bring it back.")
    return host


def _host_of(token: str) -> Host | None:
    prefix = tokens.prefix_of(token, tokens.AGENT_KIND)
    if prefix:
        host = Host.objects.filter(token_prefix=prefix).first()
        if host is not None and tokens.matches(token, host.token_sha256):
            return host
        host = Host.objects.filter(next_token_prefix=prefix).first()
        if host is not None and tokens.matches(token, host.next_token_sha256):
            return host
    return None


def receive(host: Host, token: str, report: Report, *, policy: Policy, now: datetime) -> Answer:
    """Take one heartbeat from an authenticated host and return its whole wanted set."""
    runners = list(Runner.objects.for_host(host.pk).order_by("slot"))
    _update_host(host, token, report, policy=policy, now=now)
    seen = {runner.pk: runner for runner in runners}
    if report.facts is not None:
        gpus.drain_without(host, runners, now=now)
        gpus.drain_untrue(host, runners, now=now)
    # First: a runner that ended is judged by all jobs it did, the last ones among them
    _read_journal(host, report, seen, now)
    for slot in report.slots:
        runner = seen.get(slot.runner_id)
        if runner is not None:
            conclusions.observe(runner, slot, now=now, host=host)
    new_token = _rotate_token(host)
    strays = _told_to_stop(host, report, seen, now)
    runners = [runner for runner in runners if runner.slot is not None]
    packages = _packages(host, runners)
    held_back = _held_back(runners)
    moving = any(_in_motion(runner) for runner in runners)
    if not (moving or strays or new_token or host.leftovers_to_clean):
        _note_quiet(host, report)
    return Answer(
        version=host.wanted_version,
        journal_seq=host.journal_seq,
        next_seconds=policy.active_seconds if moving else policy.quiet_seconds,
        want_facts=not host.facts_digest or (report.boot_id != host.boot_id and not report.facts),
        wanted=tuple(
            _wanted(host, runner, packages)
            for runner in runners
            if runner.pk not in held_back and _can_be_told(runner, packages)
        )
        + strays,
        token=new_token,
        clean=leftovers.told_to_clean(host),
        github_url=_github_url(runners) if report.facts is not None else "",
    )


def _github_url(runners: list[Runner]) -> str:
    """Where the host's runners find GitHub: something small there, and not of the API, whose budget
    the jobs on the same address need."""
    scopes = Scope.objects.filter(pk__in={runner.scope_id for runner in runners})
    scope = (scopes.first() if runners else None) or Scope.objects.first()
    if scope is None:
        return ""
    parts = urlsplit(scope.web_url)
    return f"{parts.scheme}://{parts.netloc}/robots.txt"


def _note_quiet(host: Host, report: Report) -> None:
    """Remember what this heartbeat said, so that the same words again take the quick way."""
    if report.wanted_version == host.wanted_version and report.digest != host.quiet_digest:
        Host.objects.filter(pk=host.pk).update(quiet_digest=report.digest)


def _update_host(host: Host, token: str, report: Report, *, policy: Policy, now: datetime) -> None:
    """The one UPDATE of the host row, with everything this heartbeat says of it."""
    changed: dict[str, object] = {
        "last_seen_at": now,
        "late_after": now + timedelta(seconds=policy.late_after_seconds),
        "offline_after": now + timedelta(seconds=policy.offline_after_seconds),
    }
    if report.agent_version != host.agent_version:
        changed["agent_version"] = report.agent_version
    if report.facts is not None:
        had = host.gpu_devices
        names = apply_facts(host, report.facts)
        gpus.note_lost(host, had, now=now)
        changed |= {name: getattr(host, name) for name in names}
    if report.sample is not None:
        changed |= _sample_columns(report.sample)
        if _sample_due(host, policy, now):
            changed["sampled_at"] = now
            _keep_sample(host, report.sample, now)
    if report.leftovers is not None:
        changed |= leftovers.columns(host, report.leftovers)
    if host.next_token_sha256 and tokens.matches(token, host.next_token_sha256):
        changed |= {
            "token_prefix": host.next_token_prefix,
            "token_sha256": host.next_token_sha256,
            "token_rotated_at": now,
            "next_token_prefix": "",
            "next_token_sha256": "",
            "token_rotation_asked_at": None,
        }
    if host.offline_noted_at is not None or host.last_seen_at is None:
        _come_back(host, changed, now=now)
    else:
        Host.objects.filter(pk=host.pk).update(**changed)
    for name, value in changed.items():
        setattr(host, name, value)


def _come_back(host: Host, changed: dict[str, object], *, now: datetime) -> None:
    """Write the heartbeat that ends a silence, and tell of it once, both or neither."""
    changed["offline_noted_at"] = None
    row = Host.objects.filter(pk=host.pk)
    with transaction.atomic():
        away = Q(offline_noted_at__isnull=False) | Q(last_seen_at__isnull=True)
        if not row.filter(away).update(**changed):
            row.update(**changed)  # the same heartbeat came twice at once, and the other one told
            return
        audit.record(
            host,
            "host.online",
            by=Actor(Event.ActorKind.AGENT, host.name),
            at=now,
            was="offline" if host.last_seen_at else "enrolled",
            became="online",
        )


def _sample_columns(sample: SampleReport | None) -> dict[str, object]:
    if sample is None:
        return {}
    return {
        "cpu_percent": sample.cpu_percent,
        "load1": sample.load1,
        "memory_used_bytes": sample.memory_used_bytes,
        "disk_used_bytes": sample.disk_used_bytes,
        "temperature_celsius": sample.temperature_celsius,
        "gpu_readings": list(sample.gpu_readings),
        "github_p95_ms": sample.github_p95_ms,
        "github_verdict": sample.github_verdict,
    }


def _sample_due(host: Host, policy: Policy, now: datetime) -> bool:
    # A second's grace: beats that come a little early still make one sample a period
    return host.sampled_at is None or now - host.sampled_at >= timedelta(
        seconds=policy.sample_seconds - 1
    )


def _keep_sample(host: Host, sample: SampleReport, now: datetime) -> None:
    Sample.objects.create(
        host=host,
        at=now,
        cpu_percent=sample.cpu_percent,
        load1=sample.load1,
        memory_used_bytes=sample.memory_used_bytes,
        disk_used_bytes=sample.disk_used_bytes,
        network_sent_bytes=sample.network_sent_bytes,
        network_received_bytes=sample.network_received_bytes,
    )


def _read_journal(host: Host, report: Report, seen: dict[int, Runner], now: datetime) -> None:
    """Count what finished since the last heartbeat we took; told twice, it counts once."""
    news = [entry for entry in report.journal if entry.seq > host.journal_seq]
    if not news:
        return
    last = max(entry.seq for entry in news)
    with transaction.atomic():
        ours = Host.objects.filter(pk=host.pk, journal_seq=host.journal_seq)
        if not ours.update(journal_seq=last):
            # The same heartbeat came twice at once, and the other one was counted
            host.refresh_from_db(fields=["journal_seq"])
            return
        done = Counter(entry.runner_id or 0 for entry in news if entry.kind == "job-completed")
        for runner_id in sorted(done.keys() & seen.keys()):
            count = done[runner_id]
            # A job may begin and end between two heartbeats: the runner idles from now on
            Runner.objects.filter(pk=runner_id).update(
                jobs_done=F("jobs_done") + count, job_ended_at=now
            )
            seen[runner_id].jobs_done += count
            seen[runner_id].job_ended_at = now
    host.journal_seq = last


def _rotate_token(host: Host) -> str:
    """Make the next token while a rotation is asked for; it counts once the agent has used it."""
    if host.token_rotation_asked_at is None:
        return ""
    token = tokens.new_token(tokens.AGENT_KIND)
    Host.objects.filter(pk=host.pk).update(
        next_token_prefix=token.prefix, next_token_sha256=token.sha256
    )
    return token.text


def _told_to_stop(
    host: Host, report: Report, seen: dict[int, Runner], now: datetime
) -> tuple[WantedRunner, ...]:
    """Runners the host still has although we closed them: it is told to stop those.

    One that we never made is drift, and is told to stop only when a person says so.
    """
    strange = {slot.runner_id: slot for slot in report.slots if slot.runner_id not in seen}
    ours = {runner.pk: runner for runner in host.runners.filter(pk__in=strange)} if strange else {}
    unmade = [slot for runner_id, slot in strange.items() if runner_id not in ours]
    leftovers.note_unmade(host, unmade, now=now)
    closed = [
        _stop(runner.pk, runner.name, runner.ephemeral, runner.work_folder)
        for runner in ours.values()
        if runner.state in (RunnerState.REMOVED, RunnerState.FAILED)
        and strange[runner.pk].phase != Phase.GONE
    ]
    unwanted = [_stop(slot.runner_id) for slot in unmade if leftovers.told_to_stop(host, slot)]
    return (*closed, *unwanted)


def _stop(
    runner_id: int, name: str = "", ephemeral: bool = True, work_folder: str = "_work"
) -> WantedRunner:
    """What a host is told of a runner that it should have no more; a job on it is waited for."""
    return WantedRunner(
        runner_id=runner_id,
        name=name,
        slot=0,
        stop=True,
        force=False,
        ephemeral=ephemeral,
        work_folder=work_folder,
        package=None,
    )


def _packages(host: Host, runners: list[Runner]) -> dict[int, Package]:
    """The runner package of each scope with a runner that still has to start."""
    scopes = {r.scope_id for r in runners if _needs_package(r)}
    if not scopes:
        return {}
    rows = RunnerPackage.objects.filter(
        scope__in=scopes, os=host.os, architecture=host.architecture
    )
    return {
        row.scope_id: Package(
            version=row.version,
            os=row.os,
            architecture=row.architecture,
            filename=row.filename,
            url=row.download_url,
            sha256=row.sha256,
        )
        for row in rows
    }


def _can_be_told(runner: Runner, packages: dict[int, Package]) -> bool:
    """A runner still to be started is only told once there is a package to start it from."""
    return runner.state != RunnerState.PROVISIONING or runner.scope_id in packages


def _held_back(runners: list[Runner]) -> set[int]:
    """Runners their host did not begin yet, while the fleet lets none in; a query only for such."""
    new = {r.pk for r in runners if r.state == RunnerState.PROVISIONING and not r.phase}
    return new if new and fleet.quiesced() else set()


def _needs_package(runner: Runner) -> bool:
    if runner.state == RunnerState.PROVISIONING:
        return True
    return not runner.ephemeral and runner.state == RunnerState.ACTIVE


def _wanted(host: Host, runner: Runner, packages: dict[int, Package]) -> WantedRunner:
    return WantedRunner(
        runner_id=runner.pk,
        name=runner.name,
        slot=runner.slot or 0,
        stop=runner.state in (RunnerState.REMOVING, RunnerState.FAILED, RunnerState.REMOVED),
        force=runner.force,
        ephemeral=runner.ephemeral,
        work_folder=runner.work_folder,
        package=packages.get(runner.scope_id) if _needs_package(runner) else None,
        gpu=runner.gpu,
        emulates=runner.emulates,
        limits=SlotLimits(host.slot_cpu_cores, host.slot_memory_bytes),
    )


def _in_motion(runner: Runner) -> bool:
    """Whether something on this host is about to change, so that the next beat should come soon."""
    if runner.state in (RunnerState.ACTIVE, RunnerState.FAILED):
        return runner.phase in PROCESS_ENDED and runner.github_status != GitHubStatus.ABSENT
    return True
