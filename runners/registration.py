"""Short-lived registration: made for the agent's question, handed out in the answer, never
stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from runners import audit, fleet, lifecycle
from runners.audit import Actor
from runners.errors import FleetError, StaleState
from runners.github.errors import NameConflict, NotFound, RunnerBusy
from runners.models import Event, Host, Runner
from runners.registry import RunnerRegistry, path_of
from runners.states import GitHubStatus, RunnerState

STARTABLE = (RunnerState.PROVISIONING, RunnerState.ACTIVE)


class NotWanted(StaleState):
    """The runner is no longer to be started."""


@dataclass(frozen=True, slots=True)
class Jit:
    """A runner made at GitHub and the secret that lets one process be it."""

    github_id: int
    encoded_jit_config: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registration:
    """What config.sh needs to register a persistent runner."""

    url: str
    token: str = field(repr=False)
    expires_at: datetime
    labels: tuple[str, ...]
    runner_group: str


def startable_runner(host: Host, pk: int) -> Runner:
    """Return the runner if it belongs to this host and is still wanted.

    Raises NotWanted, and Quiesced while no runner is let in: the agent asks again later.
    """
    runner = (
        Runner.objects.select_related("scope__credential", "host")
        .prefetch_related("labels")
        .filter(pk=pk, host=host)
        .first()
    )
    if runner is None or runner.state not in STARTABLE:
        raise NotWanted("This runner is not to be started on this host any more.")
    fleet.require_open()
    return runner


def issue_jit(runner: Runner, *, github: RunnerRegistry, now: datetime) -> Jit:
    """Register a one-job runner at GitHub for this answer.

    A name already taken is ours from a lost answer: it is looked up, deleted by id and made anew.
    Raises FleetError when the other one is not ours or runs a job, GitHubError for everything
    GitHub refuses.
    """
    scope = path_of(runner.scope)
    labels = [*(label.name for label in runner.labels.all()), fleet.owner_mark()]

    def generate() -> Jit:
        made = github.generate_jitconfig(
            scope,
            name=runner.name,
            runner_group_id=runner.runner_group_id,
            labels=labels,
            work_folder=runner.work_folder,
        )
        return Jit(made.runner.id, made.encoded_jit_config)

    try:
        jit = generate()
    except NameConflict:
        _delete_namesake(runner, github)
        jit = generate()
    _remember(runner, jit.github_id, now=now)
    return jit


def issue_registration(runner: Runner, *, github: RunnerRegistry, now: datetime) -> Registration:
    """Mint a registration token for this answer; the runner learns its id when it has
    registered."""
    token = github.create_registration_token(path_of(runner.scope))
    with transaction.atomic():
        if not Runner.objects.filter(pk=runner.pk, state__in=STARTABLE).update(registered_at=now):
            raise NotWanted("This runner was taken out of service while it registered.")
        _record(runner, now=now)
    return Registration(
        url=runner.scope.web_url,
        token=token.token,
        expires_at=token.expires_at,
        labels=(*(label.name for label in runner.labels.all()), fleet.owner_mark()),
        runner_group=runner.runner_group_name,
    )


def push_labels(runner: Runner, *, github: RunnerRegistry, now: datetime) -> list[str]:
    """Give a persistent runner at GitHub the custom labels we want; returns its labels then."""
    if runner.github_id is None or runner.github_deleted_at is not None:
        return []
    builtin = {"self-hosted", runner.host.os, runner.host.architecture}
    wanted = [label.name for label in runner.labels.all() if label.name.lower() not in builtin]
    labels = github.set_custom_labels_for_self_hosted_runner(
        path_of(runner.scope), runner.github_id, [*wanted, fleet.owner_mark()]
    )
    names = [label.name for label in labels]
    Runner.objects.filter(pk=runner.pk).update(github_labels=names, github_seen_at=now)
    return names


def _delete_namesake(runner: Runner, github: RunnerRegistry) -> None:
    scope = path_of(runner.scope)
    for other in github.list_self_hosted_runners(scope, name=runner.name):
        if other.name.lower() != runner.name.lower():
            continue
        if fleet.owner_mark() not in other.label_names:
            raise FleetError(
                f"GitHub has a runner named {runner.name} that this fleet did not register, so "
                "this one can't have the name. Provision another, or delete that one at GitHub."
            )
        try:
            github.delete_self_hosted_runner(scope, other.id)
        except NotFound:
            continue
        except RunnerBusy as error:
            raise FleetError(
                f"GitHub has a runner named {runner.name} that is running a job, so this one can't "
                "register under the same name. Deregister it, or let that job finish."
            ) from error


def _remember(runner: Runner, github_id: int, *, now: datetime) -> None:
    """Note the id whatever became of the runner meanwhile: what is registered must be removable."""
    with transaction.atomic():
        Runner.objects.filter(pk=runner.pk).update(
            github_id=github_id,
            github_status=GitHubStatus.OFFLINE,
            github_busy=False,
            github_deleted_at=None,
            registered_at=now,
        )
        _record(runner, now=now)
    if not Runner.objects.filter(pk=runner.pk, state__in=STARTABLE).exists():
        lifecycle.wake_reconcile(runner.scope_id)
        raise NotWanted("This runner was taken out of service while it registered.")


def _record(runner: Runner, *, now: datetime) -> None:
    audit.record(
        runner,
        "runner.register",
        by=Actor(Event.ActorKind.AGENT, runner.host.name),
        at=now,
        detail={"ephemeral": runner.ephemeral},
    )
