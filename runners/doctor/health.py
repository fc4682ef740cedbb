"""What a health check looks at, one by one: of a host by its last word, of a runner by the words of
its host and of GitHub. Pure: whoever shows the checks reads the rows.

Each check says what it alone knows. What a silent host or an unreachable GitHub would have told is
unknown, not bad.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from runners.countdowns import VERSION_WINDOW, Offer
from runners.doctor.finding import Finding, Verdict
from runners.mismatches import OFFLINE_GRACE, is_older
from runners.models import Host, Runner, Scope
from runners.states import PROCESS_ENDED, GitHubStatus, HostState, Phase, RunnerState

DISK_WARN_PERCENT: Final = 80
DISK_BAD_PERCENT: Final = 90
MEMORY_WARN_PERCENT: Final = 90
MEMORY_BAD_PERCENT: Final = 97
SKEW_WARN_SECONDS: Final = 30
# GitHub refuses what was signed so far from its own time
SKEW_BAD_SECONDS: Final = 120
# What an agent says of a graphics card it finds without a driver, and of a tool that failed
NO_DRIVER: Final = "no driver"
TOOL_FAILED: Final = ("nvidia-smi ended", "nvidia-smi did not answer", "nvidia-smi could not")


def of_host(host: Host, *, shipped_agent: str, now: datetime) -> list[Finding]:
    """Every check of one host; `shipped_agent` "" when it can't be told."""
    return [
        _heartbeat(host, now),
        _share(
            "disk",
            host.disk_used_bytes,
            host.disk_total_bytes,
            (DISK_WARN_PERCENT, DISK_BAD_PERCENT),
            "Make room on the host: runners that find none fail to start.",
        ),
        _share(
            "memory",
            host.memory_used_bytes,
            host.memory_bytes,
            (MEMORY_WARN_PERCENT, MEMORY_BAD_PERCENT),
            "Give it fewer slots or more memory, before the kernel ends a job.",
        ),
        _clock(host),
        _gpu(host),
        _agent(host, shipped_agent),
    ]


def _heartbeat(host: Host, now: datetime) -> Finding:
    state = host.state_at(now)
    if host.last_seen_at is None:
        return Finding("heartbeat", Verdict.UNKNOWN, "None yet")
    seen = f"Last one {host.last_seen_at:%Y-%m-%d %H:%M:%S} UTC"
    fix = "Check its power, its network and the fleet-agent service."
    if state == HostState.OFFLINE:
        return Finding("heartbeat", Verdict.BAD, seen, fix)
    if state == HostState.LATE:
        return Finding("heartbeat", Verdict.WARN, f"{seen}: one was missed", fix)
    return Finding("heartbeat", Verdict.OK, seen)


def _share(
    name: str, used: int | None, total: int | None, limits: tuple[int, int], fix: str
) -> Finding:
    if used is None or not total:
        return Finding(name, Verdict.UNKNOWN, "Not told yet")
    percent = used * 100 // total
    warn, bad = limits
    if percent < warn:
        return Finding(name, Verdict.OK, f"{percent} % used")
    verdict = Verdict.BAD if percent >= bad else Verdict.WARN
    return Finding(name, verdict, f"{percent} % used", fix)


def _clock(host: Host) -> Finding:
    skew = host.clock_skew_seconds
    if skew is None:
        return Finding("clock", Verdict.UNKNOWN, "Not told yet")
    if abs(skew) < SKEW_WARN_SECONDS:
        return Finding("clock", Verdict.OK, f"{skew:+.0f} s against this server")
    verdict = Verdict.BAD if abs(skew) >= SKEW_BAD_SECONDS else Verdict.WARN
    seen = f"{skew:+.0f} s against this server"
    return Finding("clock", verdict, seen, "Let the host take its time by NTP.")


def _gpu(host: Host) -> Finding:
    source = host.gpu_source
    if NO_DRIVER in source:
        fix = "Install the vendor's driver, or restart the host if it was just updated."
        return Finding("GPU", Verdict.BAD, f"There is a card, but {NO_DRIVER} is in use", fix)
    lost = [gpu for gpu in host.gpus if gpu.get("state") == "lost"]
    if lost:
        first, why = lost[0].get("model", "GPU"), lost[0].get("reason")
        seen = f"{len(lost)} of {len(host.gpus)} lost: {first}" + (f", {why}" if why else "")
        fix = "Restart the host; a card that is lost again needs its seat and power looked at."
        return Finding("GPU", Verdict.BAD, seen, fix)
    if host.gpu_count:
        return Finding("GPU", Verdict.OK, f"{host.gpu_count}, by {source or 'its agent'}")
    if any(words in source for words in TOOL_FAILED):
        fix = "Run nvidia-smi on the host: driver and kernel module must be of one version."
        return Finding("GPU", Verdict.BAD, source.removeprefix("none: "), fix)
    return Finding("GPU", Verdict.OK, "None, and none expected")


def _agent(host: Host, shipped: str) -> Finding:
    version = host.agent_version
    if not version:
        return Finding("agent version", Verdict.UNKNOWN, "Not told yet")
    if shipped and is_older(version, shipped):
        fix = "Install the present agent there; its runners go on meanwhile."
        return Finding("agent version", Verdict.WARN, f"{version}, {shipped} is there", fix)
    return Finding("agent version", Verdict.OK, version)


def of_runner(runner: Runner, *, offer: Offer | None, now: datetime) -> list[Finding]:
    """Every check of one runner that should work, read with its host and scope; none of one that
    should not."""
    if runner.state not in (RunnerState.PROVISIONING, RunnerState.ACTIVE, RunnerState.DRAINING):
        return []
    silent = runner.host.state_at(now) == HostState.OFFLINE
    return [
        _process(runner, silent),
        _listener(runner, silent),
        _registration(runner, runner.scope, now),
        _version(runner, offer, now),
    ]


def _process(runner: Runner, silent: bool) -> Finding:
    phase = Phase(runner.phase)
    if silent:
        return Finding("process tree", Verdict.UNKNOWN, f"{runner.host.name} is silent")
    if phase in PROCESS_ENDED:
        said = f"{phase.label}: {runner.phase_reason}" if runner.phase_reason else phase.label
        if runner.ephemeral and runner.jobs_done and not runner.exit_code:
            return Finding("process tree", Verdict.OK, "Ended as it should, after its job")
        return Finding("process tree", Verdict.BAD, said, "It is replaced by itself.")
    if runner.pid is None:
        return Finding("process tree", Verdict.UNKNOWN, phase.label)
    return Finding("process tree", Verdict.OK, f"Alive, process {runner.pid}")


def _listener(runner: Runner, silent: bool) -> Finding:
    phase = Phase(runner.phase)
    if silent or phase in PROCESS_ENDED or phase == Phase.UNSEEN:
        return Finding("listener", Verdict.UNKNOWN, "Nobody can tell")
    if phase in (Phase.LISTENING, Phase.BUSY) and runner.phase_reason:
        fix = "See whether the host reaches GitHub; the listener tries again by itself."
        return Finding("listener", Verdict.BAD, runner.phase_reason, fix)
    if phase in (Phase.LISTENING, Phase.BUSY):
        return Finding("listener", Verdict.OK, "Connected to GitHub")
    return Finding("listener", Verdict.UNKNOWN, f"Not yet: {phase.label.lower()}")


def _registration(runner: Runner, scope: Scope, now: datetime) -> Finding:
    if scope.github_unknown_since is not None:
        words = f"GitHub unknown since {scope.github_unknown_since:%Y-%m-%d %H:%M:%S} UTC"
        return Finding("registration", Verdict.UNKNOWN, words)
    status = GitHubStatus(runner.github_status)
    ended = Phase(runner.phase) in PROCESS_ENDED
    if status == GitHubStatus.ONLINE:
        return Finding("registration", Verdict.OK, "Registered and online")
    if status == GitHubStatus.UNKNOWN or runner.state == RunnerState.PROVISIONING or ended:
        return Finding("registration", Verdict.UNKNOWN, status.label)
    since = runner.github_offline_since
    if status == GitHubStatus.OFFLINE and (since is None or now - since < OFFLINE_GRACE):
        return Finding("registration", Verdict.UNKNOWN, "Offline, not for long enough to count")
    return Finding("registration", Verdict.BAD, status.label, "See it on the drift page.")


def _version(runner: Runner, offer: Offer | None, now: datetime) -> Finding:
    version = runner.runner_version
    if not version or offer is None:
        return Finding("version", Verdict.UNKNOWN, version or "Not told yet")
    if not is_older(version, offer.version):
        return Finding("version", Verdict.OK, version)
    over = offer.since is not None and now >= offer.since + VERSION_WINDOW
    return Finding(
        "version",
        Verdict.BAD if over else Verdict.WARN,
        f"{version}, {offer.version} is offered" + (", for more than 30 days" if over else ""),
        "Drain and replace it, on the drift page: GitHub gives old ones no jobs after 30 days.",
    )
