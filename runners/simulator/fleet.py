"""Runners: registration, JIT, groups, labels, sessions and removal, by GitHub's rules.

Callers hold the world's lock. Jobs are the business of ``work``; here a runner only knows whether
it has one.
"""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass

from runners.simulator.model import DEFAULT_GROUP_ID, Label, Repository, Runner, RunnerGroup
from runners.simulator.urls import Urls
from runners.simulator.versions import is_older, registration_refused, runtime_refused
from runners.simulator.wire import ApiError, JsonObject, invalid, not_found
from runners.simulator.world import World

LABEL_LENGTH = 256
NAME_LENGTH = 64
LABELS_AT_ONCE = 100
DEFAULT_LABELS = {"self-hosted", "linux", "macos", "windows", "x64", "x86", "arm", "arm64"}


@dataclass(frozen=True)
class Registration:
    """What a runner tells of itself when it registers."""

    name: str
    labels: list[str]
    group_name: str
    no_default_labels: bool
    ephemeral: bool
    replace: bool
    version: str
    os: str
    architecture: str
    disable_update: bool
    work_folder: str


def clean_labels(names: list[str], *, minimum: int) -> list[str]:
    """Trimmed and without duplicates. Raises 422 for empty, over-long or too many names."""
    if not minimum <= len(names) <= LABELS_AT_ONCE:
        raise invalid(f"labels: must have between {minimum} and {LABELS_AT_ONCE} items")
    cleaned: dict[str, str] = {}
    for name in names:
        stripped = name.strip()
        if not stripped or len(stripped) > LABEL_LENGTH or "," in stripped:
            raise invalid(f"labels: {name!r} is not a valid label name")
        cleaned.setdefault(stripped.lower(), stripped)
    return list(cleaned.values())


def check_name(name: str) -> None:
    """Raises 422 for a name GitHub would refuse."""
    if not name.strip() or len(name) > NAME_LENGTH:
        raise invalid(f"name: must be between 1 and {NAME_LENGTH} characters")


def find_runner(world: World, scope: str, runner_id: int) -> Runner:
    """The runner of that id in that scope. Raises 404."""
    runner = world.store.runners.get(runner_id)
    if runner is None or runner.scope != scope:
        raise not_found()
    return runner


def find_group(world: World, scope: str, group_id: int) -> RunnerGroup:
    """The group of that id in that scope. Raises 404."""
    group = world.store.groups.get(scope, {}).get(group_id)
    if group is None:
        raise not_found()
    return group


def register(world: World, scope: str, asked: Registration) -> Runner:
    """``config.sh``: add a runner. Raises 403 too old, 404 no such group, 409 name taken."""
    check_name(asked.name)
    if registration_refused(world, asked.version):
        raise ApiError(
            403,
            f"Your runner version {asked.version} is out of date and can no longer register with "
            f"GitHub. Please update to {world.settings.minimum_runner_version} or later.",
        )
    group = _group_named(world, scope, asked.group_name)
    known = world.store.runner_named(scope, asked.name)
    if known is not None:
        if not asked.replace:
            raise ApiError(409, "A runner exists with the same name")
        _refuse_if_busy(world, known)
        drop(world, known)
    defaults = [] if asked.no_default_labels else ["self-hosted", asked.os, asked.architecture]
    custom = clean_labels(asked.labels, minimum=0)
    taken = {name.lower() for name in defaults}
    labels = [Label(world.store.label_id(n), n, "read-only") for n in defaults]
    labels += [
        Label(world.store.label_id(n), n, "custom") for n in custom if n.lower() not in taken
    ]
    runner = _new_runner(world, scope, asked.name, group, labels)
    runner.os = asked.os
    runner.architecture = asked.architecture
    runner.version = asked.version
    runner.ephemeral = asked.ephemeral
    runner.disable_update = asked.disable_update
    runner.work_folder = asked.work_folder or "_work"
    _arm_removal(world, runner)
    world.touch()
    return runner


def add_jit_runner(
    world: World, scope: str, name: str, group_id: int, labels: list[str], work_folder: str
) -> Runner:
    """``generate-jitconfig``: the record exists at once, offline. Raises 404, 409, 422."""
    check_name(name)
    group = find_group(world, scope, group_id)
    cleaned = clean_labels(labels, minimum=1)
    if world.store.runner_named(scope, name) is not None:
        raise ApiError(409, f"Already exists - A runner with the name {name} already exists.")
    records = [
        Label(world.store.label_id(n), n, "read-only" if n.lower() in DEFAULT_LABELS else "custom")
        for n in cleaned
    ]
    runner = _new_runner(world, scope, name, group, records)
    runner.ephemeral = True
    runner.jit = True
    runner.work_folder = work_folder
    _arm_removal(world, runner)
    world.touch()
    return runner


def jit_config(world: World, runner: Runner, urls: Urls) -> str:
    """What ``run.sh --jitconfig`` takes: base64 of a JSON object, file name to base64 content."""
    group = world.store.groups[runner.scope][runner.group_id]
    settings: JsonObject = {
        "AgentId": runner.id,
        "AgentName": runner.name,
        "PoolId": group.id,
        "PoolName": group.name,
        "ServerUrl": urls.web,
        "GitHubUrl": f"{urls.web}/{runner.scope.removeprefix('repos/').removeprefix('orgs/')}",
        "WorkFolder": runner.work_folder,
        "Ephemeral": True,
        "DisableUpdate": True,
        "UseV2Flow": True,
        "ServerUrlV2": urls.web,
    }
    credentials: JsonObject = {
        "Scheme": "OAuth",
        "Data": {
            "clientId": client_id(runner),
            "authorizationUrl": f"{urls.web}/_runner/token",
            "clientSecret": runner.secret,
        },
    }
    key: JsonObject = {"d": secrets.token_urlsafe(32)}
    files = {".runner": settings, ".credentials": credentials, ".credentials_rsaparams": key}
    encoded = {name: _base64_json(value) for name, value in files.items()}
    return _base64_json(encoded)


def client_id(runner: Runner) -> str:
    """A stable, public name for a runner's credentials."""
    return f"00000000-0000-4000-8000-{runner.id:012d}"


def delete(world: World, runner: Runner) -> None:
    """The API's forced removal. Raises 422 while a job is on it, and some seconds after."""
    _refuse_if_busy(world, runner)
    drop(world, runner)
    world.touch()


def drop(world: World, runner: Runner) -> None:
    """Take a runner off the books; whoever polls for it is told that it is gone."""
    world.store.remove_runner(runner)


def status(world: World, runner: Runner) -> str:
    """``online`` or ``offline``, as GitHub would say now."""
    if runner.pinned_online:
        return "online"
    if not runner.session_id or runner.last_seen_at is None:
        return "offline"
    silent_seconds = world.clock.time() - runner.last_seen_at
    return "online" if silent_seconds <= world.settings.timings.online_seconds else "offline"


def open_session(world: World, runner: Runner, version: str) -> str:
    """Start listening. Raises 403 for a version that gets no messages, 409 while another does."""
    if runtime_refused(world, version):
        raise deprecated(version)
    if runner.session_id and status(world, runner) == "online":
        raise ApiError(409, "The runner already has an active session.")
    runner.version = version
    if runner.os == "unknown":
        runner.os = "Linux"
    runner.session_id = secrets.token_hex(16)
    runner.last_seen_at = world.clock.time()
    _arm_idle_removal(world, runner)
    world.touch()
    return runner.session_id


def close_session(world: World, runner: Runner) -> None:
    """Stop listening: offline at once."""
    runner.session_id = ""
    world.touch()


def heard(world: World, runner: Runner) -> None:
    """Note a sign of life."""
    runner.last_seen_at = world.clock.time()


def deprecated(version: str) -> ApiError:
    """What a runner too old to receive messages is told."""
    return ApiError(403, f"Runner version v{version} is deprecated and cannot receive messages.")


def may_serve(world: World, runner: Runner, repository: Repository, workflow_path: str) -> bool:
    """True when the runner's scope and group let this repository's workflow use it."""
    owner = repository.owner.lower()
    if runner.scope == repository.scope:
        return True
    group = world.store.groups[runner.scope][runner.group_id]
    if not group_admits(group, repository, workflow_path):
        return False
    if runner.scope == f"orgs/{owner}":
        return group.visibility != "selected" or repository.id in group.selected_ids
    organization = world.store.organizations.get(owner)
    if organization is None or runner.scope != f"enterprises/{organization.enterprise}":
        return False
    return group.visibility != "selected" or organization.id in group.selected_ids


def group_admits(group: RunnerGroup, repository: Repository, workflow_path: str) -> bool:
    """The group's own restrictions, apart from the selection by id."""
    if not repository.private and not group.allows_public_repositories:
        return False
    if group.visibility == "private" and not repository.private:
        return False
    if not group.restricted_to_workflows:
        return True
    wanted = f"{repository.full_name}/{workflow_path}@"
    return any(w.startswith(wanted) for w in group.selected_workflows)


def starved_by_age(world: World, runner: Runner) -> bool:
    """True for a runner with updates off that fell behind longer ago than GitHub allows."""
    if not runner.disable_update or runner.jit or runner.version is None:
        return False
    limit = world.clock.time() - world.settings.timings.update_grace_seconds
    newer = [r for r in world.store.releases.values() if is_older(runner.version, r.version)]
    return any(r.published_at < limit for r in newer)


def _refuse_if_busy(world: World, runner: Runner) -> None:
    if runner.job_id or world.clock.time() < runner.busy_until:
        raise ApiError(
            422,
            f"Bad request - Runner {runner.name} is currently running a job and cannot be deleted.",
        )


def _group_named(world: World, scope: str, name: str) -> RunnerGroup:
    groups = world.store.groups.get(scope)
    if groups is None:
        raise not_found()
    if not name:
        return groups[DEFAULT_GROUP_ID]
    for group in groups.values():
        if group.name.lower() == name.lower():
            return group
    raise ApiError(404, f"Could not find any self-hosted runner group named '{name}'.")


def _new_runner(
    world: World, scope: str, name: str, group: RunnerGroup, labels: list[Label]
) -> Runner:
    store = world.store
    if store.runner_count(scope) >= world.settings.limits.runners_per_group:
        members = sum(r.group_id == group.id for r in store.scope_runners(scope))
        if members >= world.settings.limits.runners_per_group:
            raise invalid("runner_group_id: the runner group is full")
    secret = store.new_runner_secret()
    runner = Runner(store.new_id(), name, scope, group.id, secret, world.clock.time(), labels)
    store.add_runner(runner)
    return runner


def _arm_removal(world: World, runner: Runner) -> None:
    """GitHub removes runners that stay away: 14 days, one day for one-job runners."""
    timings = world.settings.timings
    limit = (
        timings.ephemeral_removal_seconds if runner.ephemeral else timings.offline_removal_seconds
    )

    def remove_if_away() -> None:
        if world.store.runners.get(runner.id) is not runner:
            return
        now = world.clock.time()
        due = (runner.last_seen_at or runner.created_at) + limit
        if due > now:
            world.timers.at(due, remove_if_away)
        elif runner.pinned_online or runner.job_id:
            world.timers.at(now + limit, remove_if_away)
        else:
            drop(world, runner)
            world.touch()

    world.timers.at((runner.last_seen_at or runner.created_at) + limit, remove_if_away)


def _arm_idle_removal(world: World, runner: Runner) -> None:
    limit = world.settings.timings.jit_idle_removal_seconds
    if not limit or not runner.jit:
        return
    session = runner.session_id

    def remove_if_idle() -> None:
        if runner.session_id == session and not runner.job_id:
            drop(world, runner)
            world.touch()

    world.timers.at(world.clock.time() + limit, remove_if_idle)


def rearm(world: World) -> None:
    """Arm the removal of every runner again, as after loading a file."""
    for runner in world.store.runners.values():
        _arm_removal(world, runner)


def _base64_json(value: object) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()
