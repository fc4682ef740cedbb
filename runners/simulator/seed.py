"""What a simulator starts with: accounts, repositories with workflows, and a token to get in.

Only puts records in; the demo's ready-made world is here too.
"""

from __future__ import annotations

from dataclasses import dataclass

from runners.simulator.model import (
    Credential,
    Enterprise,
    JobTemplate,
    Organization,
    Repository,
    RunnerRelease,
    Step,
    User,
    Workflow,
)
from runners.simulator.principals import new_token
from runners.simulator.world import World

ADMIN_LOGIN = "octo-admin"
RUNNER_REPOSITORY = "actions/runner"
ADMIN_SCOPES = (
    "repo",
    "workflow",
    "admin:org",
    "admin:org_hook",
    "admin:repo_hook",
    "manage_runners:enterprise",
)
DAY_SECONDS = 86400
# Runner releases on offer and how long before the start each was published, in days.
RELEASES = (("2.329.0", 400), ("2.334.0", 216), ("2.335.0", 168), ("2.336.0", 126))


@dataclass(frozen=True)
class Seed:
    """Accounts and repositories by name; ``token`` empty makes one up.

    ``repositories`` are ``owner/name``; an owner that is not an organization becomes a user.
    """

    enterprise: str = "big-corp"
    organizations: tuple[str, ...] = ("acme",)
    repositories: tuple[str, ...] = ("acme/web", "acme/api", "acme/firmware", "acme/models")
    public_repositories: tuple[str, ...] = ()
    token: str = ""


def plant(world: World, seed: Seed) -> str:
    """Put a seed's records in; answers the token of an administrator of all of it."""
    store, now = world.store, world.clock.time()
    admin = User(store.new_id(), ADMIN_LOGIN, now)
    store.users[ADMIN_LOGIN] = admin
    if seed.enterprise:
        add_enterprise(world, seed.enterprise)
    for login in seed.organizations:
        add_organization(world, login, seed.enterprise)
    for full_name in (*seed.repositories, *seed.public_repositories):
        add_repository(world, full_name, private=full_name not in seed.public_repositories)
    store.organizations["actions"] = Organization(store.new_id(), "actions", now)
    store.add_repository(Repository(store.new_id(), "actions", "runner", now, private=False))
    for version, age_days in RELEASES:
        publish(world, version, now - age_days * DAY_SECONDS)
    return admit(world, seed.token or new_token("ghp_"))


def admit(world: World, token: str) -> str:
    """Make a token the administrator's and the version on offer a release, unless they are."""
    now = world.clock.time()
    publish(world, world.settings.runner_version, now)
    if token not in world.store.credentials:
        world.store.credentials[token] = Credential(
            token, "classic", now, login=ADMIN_LOGIN, scopes=list(ADMIN_SCOPES)
        )
    return token


def add_enterprise(world: World, slug: str) -> Enterprise:
    """An enterprise that the administrator owns."""
    record = Enterprise(world.store.new_id(), slug, world.clock.time())
    world.store.enterprises[slug.lower()] = record
    world.store.users[ADMIN_LOGIN].roles[slug.lower()] = "admin"
    world.store.add_scope(f"enterprises/{slug.lower()}")
    return record


def add_organization(world: World, login: str, enterprise: str = "") -> Organization:
    """An organization that the administrator owns."""
    record = Organization(
        world.store.new_id(), login, world.clock.time(), enterprise=enterprise.lower()
    )
    world.store.organizations[login.lower()] = record
    world.store.users[ADMIN_LOGIN].roles[login.lower()] = "admin"
    world.store.add_scope(f"orgs/{login.lower()}")
    return record


def add_repository(world: World, full_name: str, *, private: bool = True) -> Repository:
    """A repository with one workflow, ``CI``."""
    store, now = world.store, world.clock.time()
    owner, _, name = full_name.partition("/")
    if owner.lower() not in store.organizations and owner.lower() not in store.users:
        store.users[owner.lower()] = User(store.new_id(), owner, now)
    record = Repository(store.new_id(), owner, name, now, private=private)
    store.add_repository(record)
    add_workflow(world, record, "CI", [default_job()])
    return record


def add_workflow(
    world: World, repository: Repository, name: str, jobs: list[JobTemplate]
) -> Workflow:
    """A workflow file of that name."""
    path = f".github/workflows/{name.lower().replace(' ', '-')}.yml"
    record = Workflow(world.store.new_id(), repository.id, name, path, world.clock.time(), jobs)
    world.store.workflows[record.id] = record
    return record


def workflow_named(world: World, repository: Repository, name: str) -> Workflow | None:
    """A repository's workflow by name."""
    for workflow in world.store.workflows.values():
        if workflow.repository_id == repository.id and workflow.name == name:
            return workflow
    return None


def default_job() -> JobTemplate:
    """The job of a workflow nobody described."""
    return JobTemplate("build", ["self-hosted"], [Step("Say hello", "echo hello")])


def publish(world: World, version: str, published_at: float) -> RunnerRelease:
    """Publish a runner version, or answer the one there is."""
    known = world.store.releases.get(version)
    if known is not None:
        return known
    release = RunnerRelease(world.store.new_id(), version, published_at)
    world.store.releases[version] = release
    return release
