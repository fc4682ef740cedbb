"""Where the three columns do not agree, named: pure; `drift` keeps what is found here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from runners.drift_kinds import DriftKind
from runners.github.types import Runner as GitHubRunner
from runners.reconcile_view import Conditions, OurRunner
from runners.states import SERVING, GitHubStatus, Phase, RunnerState

OFFLINE_GRACE = timedelta(seconds=90)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One disagreement, with the words of the three columns; `key` tells it from others."""

    kind: DriftKind
    key: str
    name: str
    wanted: str
    observed: str
    github: str
    runner_id: int | None = None
    host_id: int | None = None
    github_id: int | None = None
    detail: Mapping[str, str | int | bool] = field(default_factory=dict)


def of_runner(runner: OurRunner, seen: Conditions) -> Iterable[Mismatch]:
    """Where the columns of one runner disagree; a silent host's word is unknown, not wrong."""
    if runner.state not in SERVING or runner.host_silent(seen.now):
        return
    if runner.state == RunnerState.PROVISIONING:
        registered = runner.registered_at
        if (
            runner.github_id is not None
            and runner.github_status == GitHubStatus.OFFLINE
            and registered is not None
            and seen.now - registered >= OFFLINE_GRACE
        ):
            yield _of(runner, DriftKind.NEVER_ONLINE)
        return
    alive = runner.phase in (Phase.LISTENING, Phase.BUSY)
    offline = runner.github_status == GitHubStatus.OFFLINE
    offline_since = runner.github_offline_since or seen.now
    if alive and offline and seen.now - offline_since >= OFFLINE_GRACE:
        yield _of(runner, DriftKind.ALIVE_BUT_OFFLINE)
    if alive and runner.github_status == GitHubStatus.ABSENT and seen.complete:
        yield _of(runner, DriftKind.REMOVED_AT_GITHUB)
    if runner.github_busy and runner.phase == Phase.LISTENING:
        yield _of(runner, DriftKind.BUSY_BUT_IDLE)
    if difference := label_difference(runner, seen.owner_mark):
        yield _of(runner, DriftKind.LABELS, github=difference)
    offered = seen.offered.get((runner.host_os, runner.host_architecture), "")
    if alive and offered and is_older(runner.runner_version, offered):
        yield _of(
            runner,
            DriftKind.WRONG_VERSION,
            wanted=f"version {offered}",
            observed=f"version {runner.runner_version}",
        )


def _of(runner: OurRunner, kind: DriftKind, **words: str) -> Mismatch:
    busy = ", busy" if runner.github_busy else ""
    return Mismatch(
        kind=kind,
        key=f"runner:{runner.pk}",
        name=runner.name,
        wanted=words.get("wanted", runner.state.label),
        observed=words.get("observed", runner.phase.label),
        github=words.get("github", f"{runner.github_status.label}{busy}")[:200],
        runner_id=runner.pk,
        host_id=runner.host_id,
        github_id=runner.github_id,
    )


def of_stranger(there: GitHubRunner, our_names: set[str], seen: Conditions) -> Mismatch:
    """What a runner at GitHub is that no row of ours goes by."""
    marked = seen.owner_mark.lower() in (label.lower() for label in there.label_names)
    if there.name.lower() in our_names:
        kind, wanted = DriftKind.DUPLICATE_NAME, "One of this name"
    elif marked:
        kind, wanted = DriftKind.GHOST, "No such runner"
    else:
        kind, wanted = DriftKind.FOREIGN, "Not ours"
    status = "Online" if there.online else "Offline"
    return Mismatch(
        kind=kind,
        key=f"github:{there.id}",
        name=there.name[:200],
        wanted=wanted,
        observed="",
        github=f"{status}{', busy' if there.busy else ''}",
        github_id=there.id,
        detail={
            "online": there.online,
            "busy": there.busy,
            "labels": ", ".join(there.label_names)[:500],
        },
    )


def label_difference(runner: OurRunner, owner_mark: str) -> str:
    """How the labels at GitHub differ from the wanted ones; "" when they don't or are unknown."""
    if not runner.github_labels or not runner.labels:
        return ""
    given = {label.lower() for label in runner.github_labels}
    wanted = {label.lower() for label in runner.labels}
    granted = {"self-hosted", runner.host_os, runner.host_architecture, owner_mark.lower()}
    missing, extra = sorted(wanted - given), sorted(given - wanted - granted)
    parts = []
    if missing:
        parts.append(f"without {', '.join(missing)}")
    if extra:
        parts.append(f"with {', '.join(extra)}")
    return "; ".join(parts)


def is_older(version: str, offered: str) -> bool:
    """Whether a runner version such as 2.329.0 comes before another; unknown ones never do."""
    ours, theirs = _numbers(version), _numbers(offered)
    return bool(ours) and bool(theirs) and ours < theirs


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.removeprefix("v").split(".")
    return tuple(int(part) for part in parts) if all(p.isdecimal() for p in parts) else ()
