"""Make, change and remove pools: what they keep ready is policy, so every change is an event.

`problems` is the one place that says what a pool may be: form, command line and file ask it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, time
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction

from runners import audit, placement, scaling
from runners.audit import Actor
from runners.errors import InvalidRequest, StaleState
from runners.hardware_labels import promises_hardware
from runners.lifecycle import clean_labels, get_labels
from runners.models import Event, Pool, Runner, Scope
from runners.scaling.policy import DAYS, GPU_SHARES

MAX_RUNNERS_LIMIT: Final = 10_000
ARCHITECTURES: Final = ("x64", "arm64", "arm", "riscv64")
EMULATED: Final = "emulated"
NAME_LIMIT: Final = 40
SITE_LIMIT: Final = 60
WINDOWS_LIMIT: Final = 50
GIB: Final = 2**30
REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.*-]+/[A-Za-z0-9_.*-]+")
TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
RANGES: Final[Mapping[str, tuple[int, int, str]]] = {
    "min_idle": (0, MAX_RUNNERS_LIMIT, "runners"),
    "max_runners": (0, MAX_RUNNERS_LIMIT, "runners"),
    "warm_spares": (0, MAX_RUNNERS_LIMIT, "runners"),
    "scale_up_jobs": (1, MAX_RUNNERS_LIMIT, "jobs"),
    "scale_up_seconds": (0, 86_400, "seconds"),
    "idle_timeout_seconds": (30, 604_800, "seconds"),
    "start_deadline_seconds": (10, 3_600, "seconds"),
    "max_lifetime_seconds": (600, 31_536_000, "seconds"),
    "scale_up_step": (0, MAX_RUNNERS_LIMIT, "runners"),
    "cooldown_seconds": (0, 3_600, "seconds"),
    "priority": (-100, 100, ""),
    "weight": (1, 100, ""),
    "cpus": (0, 1_024, "cores"),
    "memory_gib": (0, 16_384, "GiB"),
    "disk_gib": (0, 1_048_576, "GiB"),
    "runners_per_gpu": (1, 8, "runners"),
}
"""What each number may be, in which unit; `max_lifetime_seconds` may also be 0 for none."""
_ZERO_IS_NONE = frozenset({"max_lifetime_seconds"})


class InvalidPolicy(InvalidRequest):
    """A pool can't be like that; `problems` says what is wrong, by field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{field}: {words}" for field, words in problems.items()))
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Policy:
    """All of a pool that a person decides; docs/guide/scaling.md says what each field does.

    "" and () mean any, 0 means none, None what the preset or the installation says.
    """

    name: str
    scope: Scope
    labels: Sequence[str]
    min_idle: int
    max_runners: int
    ephemeral: bool = True
    architecture: str = ""
    needs_gpu: bool = False
    owner: str = ""
    runner_group_id: int | None = None
    runner_group_name: str = ""
    repositories: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    sites_only: bool = False
    host_labels: tuple[str, ...] = ()
    emulation: bool = False
    cpus: int = 0
    memory_gib: int = 0
    disk_gib: int = 0
    runners_per_gpu: int = 1
    warm_spares: int = 0
    preset: str = Pool.Preset.AGGRESSIVE.value
    scale_up_jobs: int | None = None
    scale_up_seconds: int | None = None
    idle_timeout_seconds: int | None = None
    start_deadline_seconds: int | None = None
    max_lifetime_seconds: int = 0
    scale_up_step: int = 0
    cooldown_seconds: int = 0
    priority: int = 0
    weight: int = 1
    time_zone: str = "UTC"
    windows: tuple[scaling.Window, ...] = ()


_COLUMNS: Final = tuple(
    field.name for field in fields(Policy) if field.name not in ("labels", "windows")
)
_LISTS: Final = ("repositories", "sites", "host_labels")


def create(policy: Policy, *, by: Actor, now: datetime) -> Pool:
    """Make a pool. Raises InvalidPolicy for what no pool may be, InvalidRequest for a taken
    name."""
    labels = _checked(policy)
    pool = Pool(created_at=now)
    _take_over(pool, policy)
    try:
        with transaction.atomic():
            pool.save(force_insert=True)
            pool.labels.set(get_labels(labels))
            audit.record(
                pool,
                "pool.create",
                by=by,
                at=now,
                became=_words(policy, labels),
                detail=_detail({}, as_data(policy)),
            )
    except IntegrityError as error:
        raise InvalidRequest(f"There is a pool named {policy.name} already.") from error
    return pool


def change(pool: Pool, policy: Policy, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Give a pool another policy; runners it has go on as they are. None when nothing changed."""
    labels = _checked(policy)
    was = policy_of(pool)
    differences = changes(was, policy)
    if not differences:
        return None
    try:
        with transaction.atomic():
            _take_over(pool, policy)
            pool.save(update_fields=[*_COLUMNS, "schedule"])
            pool.labels.set(get_labels(labels))
            return audit.record(
                pool,
                "pool.change",
                by=by,
                at=now,
                was=_words(was, list(was.labels)),
                became=_words(policy, labels),
                reason=reason,
                detail=_detail(as_data(was), as_data(policy)),
            )
    except IntegrityError as error:
        raise InvalidRequest(f"There is a pool named {policy.name} already.") from error


def remove(pool: Pool, *, by: Actor, reason: str, now: datetime) -> Event:
    """Forget a pool that has no runners any more; past runners keep their history."""
    with transaction.atomic():
        # Whoever starts one of its runners, or writes about it, waits here and finds it gone
        if Pool.objects.select_for_update().filter(pk=pool.pk).first() is None:
            raise StaleState(f"{pool.name} was removed a moment ago.")
        if Runner.objects.current().filter(pool=pool).exists():
            raise InvalidRequest(
                f"{pool.name} still has runners. Pause it and deregister them first."
            )
        event = audit.record(pool, "pool.remove", by=by, at=now, reason=reason)
        pool.delete()
    return event


def policy_of(pool: Pool) -> Policy:
    """The policy a pool has now; reads `scope` and `labels`, so select them."""
    values = {name: getattr(pool, name) for name in _COLUMNS}
    values |= {name: tuple(values[name]) for name in _LISTS}
    return Policy(
        labels=[label.name for label in pool.labels.all()],
        windows=tuple(window_of(each) for each in pool.schedule),
        **values,
    )


def scaling_policy(policy: Policy, *, start_deadline_seconds: int) -> scaling.Policy:
    """The policy as the arithmetic takes it; the deadline is the installation's."""
    labels = [label.lower() for label in policy.labels]
    deadline = policy.start_deadline_seconds
    return scaling.Policy(
        labels=frozenset(labels),
        min_idle=policy.min_idle,
        max_runners=policy.max_runners,
        warm_spares=policy.warm_spares,
        preset=scaling.Presets(policy.preset),
        scale_up_jobs=policy.scale_up_jobs,
        scale_up_seconds=policy.scale_up_seconds,
        idle_timeout_seconds=policy.idle_timeout_seconds,
        start_deadline_seconds=start_deadline_seconds if deadline is None else deadline,
        max_lifetime_seconds=policy.max_lifetime_seconds,
        scale_up_step=policy.scale_up_step,
        cooldown_seconds=policy.cooldown_seconds,
        priority=policy.priority,
        weight=policy.weight,
        ephemeral=policy.ephemeral,
        repositories=tuple(name.lower() for name in policy.repositories),
        architecture=placement.wanted_architecture(_need(policy)),
        needs_gpu=_uses_gpu(policy),
        promises=frozenset(label for label in labels if promises_hardware(label)),
        sites=tuple(site.lower() for site in policy.sites),
        sites_only=policy.sites_only,
        host_labels=frozenset(label.lower() for label in policy.host_labels),
        emulation=policy.emulation,
        size=size_of(policy),
        time_zone=policy.time_zone,
        windows=policy.windows,
    )


def size_of(policy: Policy) -> scaling.Size:
    """What one of its runners takes of a host besides a slot."""
    return scaling.Size(
        cpus=policy.cpus,
        memory_bytes=policy.memory_gib * GIB,
        disk_bytes=policy.disk_gib * GIB,
        gpu_shares=GPU_SHARES // policy.runners_per_gpu if _uses_gpu(policy) else 0,
    )


def _uses_gpu(policy: Policy) -> bool:
    return placement.wants_gpu(_need(policy))


def _need(policy: Policy) -> placement.Need:
    """What its labels and fields together promise of a host."""
    return placement.Need(
        labels=policy.labels, architecture=policy.architecture, needs_gpu=policy.needs_gpu
    )


# --- what a pool may be ------------------------------------------------------------------------


def problems(policy: Policy) -> dict[str, str]:
    """What is wrong with a policy, by field, in words that say what to do; {} when nothing is."""
    found: dict[str, str] = {}
    for check in (_identity, _numbers, _between, _hosts, _hours, _group):
        for name, words in check(policy):
            found.setdefault(name, words)
    return found


_Problems = list[tuple[str, str]]


def _identity(policy: Policy) -> _Problems:
    found: _Problems = []
    try:
        validate_slug(policy.name)
    except ValidationError:
        found.append(("name", "A pool's name has letters, digits, - and _, such as linux-x64."))
    if len(policy.name) > NAME_LIMIT:
        found.append(("name", f"A pool's name has at most {NAME_LIMIT} characters."))
    if policy.name == "new":
        found.append(("name", "A pool can't be named new: that is the page that adds one."))
    if len(policy.owner) > 100:
        found.append(("owner", "An owner has at most 100 characters."))
    if policy.preset not in Pool.Preset.values:
        found.append(("preset", f"Choose one of {', '.join(Pool.Preset.values)}."))
    for name in ("labels", "host_labels"):
        labels = getattr(policy, name)
        if name == "labels" or labels:
            try:
                clean_labels(labels)
            except InvalidRequest as error:
                found.append((name, error.user_message))
    found += [("repositories", words) for words in _repositories(policy)]
    return found


def _repositories(policy: Policy) -> list[str]:
    scope = policy.scope
    for name in policy.repositories:
        if not REPOSITORY.fullmatch(name):
            return [f"{name} is no repository: write owner/name, with * for any, as acme/web-*."]
        owner, slug = name.partition("/")[0].lower(), scope.slug.lower()
        if scope.kind == Scope.Kind.ORGANIZATION and "*" not in owner and owner != slug:
            return [f"{name} is not in {scope.slug}, where this pool's runners register."]
        if scope.kind == Scope.Kind.REPOSITORY and "*" not in name and name.lower() != slug:
            return [f"{name} can't use runners of {scope.slug}: they serve that repository alone."]
    return []


def _numbers(policy: Policy) -> _Problems:
    found: _Problems = []
    for name, (low, high, unit) in RANGES.items():
        value = getattr(policy, name)
        if value is None or (value == 0 and name in _ZERO_IS_NONE):
            continue
        if not low <= value <= high:
            none = " or 0 for none," if name in _ZERO_IS_NONE else ""
            between = f"between {low} and {high:,}".replace(",", " ")
            found.append((name, f"Give{none} {between} {unit}".rstrip() + f", not {value}."))
    return found


def _between(policy: Policy) -> _Problems:
    """What two fields say against each other."""
    found: _Problems = []
    if policy.min_idle > policy.max_runners:
        found.append(("min_idle", f"That is more than the {policy.max_runners} it may run."))
    if policy.warm_spares > policy.max_runners:
        found.append(("warm_spares", f"That is more than the {policy.max_runners} it may run."))
    lifetime = policy.max_lifetime_seconds
    timeout = policy.idle_timeout_seconds
    if lifetime and timeout is not None and timeout > lifetime:
        found.append(
            ("idle_timeout_seconds", f"A runner leaves after {lifetime} seconds at the latest.")
        )
    gpu = _uses_gpu(policy)
    if policy.runners_per_gpu > 1 and not gpu:
        found.append(("runners_per_gpu", "Only a pool that needs a GPU can share one."))
    if policy.emulation:
        found += _emulation(policy, gpu)
    return found


def _emulation(policy: Policy, gpu: bool) -> _Problems:
    """GitHub gives a runner every job whose labels it carries all of, so an emulated one must carry
    none that a job for real hardware could ask for."""
    plain = [label for label in policy.labels if EMULATED not in label.lower()]
    found: _Problems = []
    if plain:
        found.append(
            (
                "labels",
                f"With emulation every label must say so, as {EMULATED}-arm64 does: a runner that "
                f"carries {plain[0]} would be given jobs that never asked to be emulated.",
            )
        )
    if not policy.ephemeral:
        found.append(
            ("ephemeral", "Emulated runners serve one job each: GitHub adds labels to others.")
        )
    if gpu:
        found.append(("needs_gpu", "An emulated runner has no GPU. Turn one of the two off."))
    return found


def _hosts(policy: Policy) -> _Problems:
    found: _Problems = []
    promised = sorted(
        {
            architecture
            for label in policy.labels
            if (architecture := placement.ARCHITECTURE_LABELS.get(label.lower()))
        }
    )
    if len(promised) > 1:
        found.append(("labels", f"No host is {' and '.join(promised)} at once. Make two pools."))
    if policy.architecture:
        if policy.architecture not in ARCHITECTURES:
            found.append(("architecture", f"Choose one of {', '.join(ARCHITECTURES)}, or none."))
        elif promised and promised != [policy.architecture]:
            found.append(
                (
                    "architecture",
                    f"The label {promised[0]} promises {promised[0]} hosts, not "
                    f"{policy.architecture}.",
                )
            )
    for site in policy.sites:
        if not site.strip() or len(site) > SITE_LIMIT:
            found.append(("sites", f"A site has between 1 and {SITE_LIMIT} characters."))
    if policy.sites_only and not policy.sites:
        found.append(("sites", "Name the sites, or let every site serve."))
    return found


def _hours(policy: Policy) -> _Problems:
    found: _Problems = []
    try:
        ZoneInfo(policy.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        found.append(
            (
                "time_zone",
                f"{policy.time_zone or 'Nothing'} is no time zone. Write one as Europe/Berlin.",
            )
        )
    if len(policy.windows) > WINDOWS_LIMIT:
        found.append(("windows", f"A pool has at most {WINDOWS_LIMIT} windows."))
    for number, window in enumerate(policy.windows, start=1):
        if words := _window_problem(policy, window):
            found.append(("windows", f"Window {number}: {words}"))
    return found


def _window_problem(policy: Policy, window: scaling.Window) -> str:
    if not window.days or not window.days <= set(DAYS):
        return f"name its days, among {', '.join(DAYS)}."
    if window.min_idle is None and window.max_runners is None:
        return "give it a min_idle, a max_runners or both."
    for value in (window.min_idle, window.max_runners):
        if value is not None and not 0 <= value <= MAX_RUNNERS_LIMIT:
            return f"its numbers are between 0 and {MAX_RUNNERS_LIMIT}."
    minimum = policy.min_idle if window.min_idle is None else window.min_idle
    maximum = policy.max_runners if window.max_runners is None else window.max_runners
    if window.min_idle is not None and minimum > maximum:
        return f"it keeps {minimum} idle, which is more than the {maximum} it may run then."
    return ""


def _group(policy: Policy) -> _Problems:
    if policy.runner_group_id is None:
        if policy.runner_group_name:
            return [("runner_group_id", "Give the group's number beside its name.")]
        return []
    if policy.scope.kind == Scope.Kind.REPOSITORY:
        return [("runner_group_id", "A repository has no runner groups. Leave it empty.")]
    return []


# --- as data -----------------------------------------------------------------------------------


def as_data(policy: Policy) -> dict[str, object]:
    """The policy as plain values, by field name; the scope by its slug. For files and diffs."""
    values: dict[str, object] = {
        name: list(value) if name in _LISTS else value
        for name in _COLUMNS
        if (value := getattr(policy, name)) is not None
    }
    values["scope"] = policy.scope.slug
    values["labels"] = sorted(policy.labels, key=str.lower)
    values["windows"] = [window_data(window) for window in policy.windows]
    return values


def changes(was: Policy, becomes: Policy) -> dict[str, tuple[object, object]]:
    """What differs between two policies: (before, after) by field name."""
    before, after = as_data(was), as_data(becomes)
    before["scope"], after["scope"] = was.scope.web_url, becomes.scope.web_url
    before["labels"] = sorted(label.lower() for label in was.labels)
    after["labels"] = sorted(label.lower() for label in becomes.labels)
    return {
        name: (before.get(name), after.get(name))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    }


def window_data(window: scaling.Window) -> dict[str, object]:
    """A window as it is stored: {"days", "from", "to"} and "min_idle" and "max_runners" where it
    has them."""
    limits = {"min_idle": window.min_idle, "max_runners": window.max_runners}
    return {
        "days": [day for day in DAYS if day in window.days],
        "from": f"{window.begins:%H:%M}",
        "to": f"{window.ends:%H:%M}",
        **{name: value for name, value in limits.items() if value is not None},
    }


def window_of(data: Mapping[str, object]) -> scaling.Window:
    """The window of its stored form. Raises InvalidRequest for what is none."""
    unknown = set(data) - {"days", "from", "to", "min_idle", "max_runners"}
    if unknown:
        raise InvalidRequest(f"A window has no {min(unknown)}.")
    days = data.get("days", list(DAYS))
    if not isinstance(days, list) or not all(isinstance(day, str) for day in days):
        raise InvalidRequest('A window\'s days are a list, such as ["mon", "tue"].')
    return scaling.Window(
        days=frozenset(day.strip().lower()[:3] for day in days),
        begins=_clock(data.get("from", "00:00")),
        ends=_clock(data.get("to", "00:00")),
        min_idle=_whole(data.get("min_idle")),
        max_runners=_whole(data.get("max_runners")),
    )


def _clock(value: object) -> time:
    if value == "24:00":
        return time(0)
    if not isinstance(value, str) or not TIME.fullmatch(value):
        raise InvalidRequest(f"{value!r} is no time of day: write 08:00.")
    return time.fromisoformat(value)


def _whole(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{value!r} is no whole number.")
    return value


def _checked(policy: Policy) -> list[str]:
    """Refuse what no pool may be; return its labels cleaned."""
    if found := problems(policy):
        raise InvalidPolicy(found)
    return clean_labels(policy.labels)


def _take_over(pool: Pool, policy: Policy) -> None:
    for name in _COLUMNS:
        value = getattr(policy, name)
        setattr(pool, name, list(value) if name in _LISTS else value)
    pool.schedule = [window_data(window) for window in policy.windows]


def _detail(was: Mapping[str, object], becomes: Mapping[str, object]) -> dict[str, list[str]]:
    """What changed, by field: {"field": [before, after]}, in words."""
    return {
        name: [str(was.get(name, "")), str(becomes.get(name, ""))]
        for name in {**was, **becomes}
        if was.get(name) != becomes.get(name)
    }


def _words(policy: Policy, labels: Sequence[str]) -> str:
    """The policy in one line, as the audit log shows it; at most 200 characters."""
    parts = [
        policy.name,
        policy.scope.slug,
        "+".join(sorted(labels)),
        f"idle {policy.min_idle}",
        f"max {policy.max_runners}",
        policy.preset,
        "one job" if policy.ephemeral else "until stopped",
        policy.architecture,
        "GPU" if policy.needs_gpu else "",
        "/".join(policy.sites),
        policy.owner,
    ]
    return ", ".join(part for part in parts if part)[:200]
