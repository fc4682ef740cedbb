"""The demonstration's fleet: which hosts, pools and people it has, put in once and found again.

Interface code for `manage.py demo`: it calls the domain as a person would, and starts no process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Count

from runners import credentials, enrolment, members, pool_policy, scopes, wiring
from runners.access import Role
from runners.audit import Actor
from runners.github.client import GitHubClient
from runners.models import Credential, Host, Job, Pool, Runner, Scope
from runners.registry import path_of
from runners.states import HostState
from runners.vault import Vault

ACTOR = Actor.system("demo")
CREDENTIAL_NAME = "stand-in-github"
ORGANIZATION = "acme"
WEBHOOK_EVENTS = ("workflow_job",)
GIB = 2**30


@dataclass(frozen=True)
class DemoHost:
    """A machine this one poses as; `facts` are laid over the real ones."""

    name: str
    site: str
    slots: int
    facts: Mapping[str, object]


@dataclass(frozen=True)
class DemoPool:
    """A pool of the demonstration, its labels beside self-hosted and linux."""

    name: str
    labels: tuple[str, ...]
    architecture: str
    min_idle: int
    max_runners: int
    needs_gpu: bool = False


HOSTS = (
    DemoHost(
        name="forge-01",
        site="berlin",
        slots=4,
        facts={
            "hostname": "forge-01",
            "architecture": "x64",
            "machine": "x86_64",
            "kernel_architecture": "x86_64",
            "emulated": False,
            "cpu_count": 16,
            "memory_bytes": 64 * GIB,
            "gpus": [],
        },
    ),
    DemoHost(
        name="kiln-01",
        site="berlin",
        slots=3,
        facts={
            "hostname": "kiln-01",
            "architecture": "arm64",
            "machine": "aarch64",
            "kernel_architecture": "aarch64",
            "emulated": False,
            "cpu_count": 8,
            "memory_bytes": 16 * GIB,
            "gpus": [],
        },
    ),
    DemoHost(
        name="anvil-01",
        site="oslo",
        slots=2,
        facts={
            "hostname": "anvil-01",
            "architecture": "x64",
            "machine": "x86_64",
            "kernel_architecture": "x86_64",
            "emulated": False,
            "cpu_count": 32,
            "memory_bytes": 128 * GIB,
            "gpus": [
                {
                    "vendor": "nvidia",
                    "model": "NVIDIA RTX 4000 SFF Ada Generation",
                    "memory_bytes": 20 * GIB,
                    "driver": "550.54.15",
                    "uuid": "GPU-00000000-0000-4000-8000-000000000001",
                }
            ],
            "gpu_source": "demo",
        },
    ),
)

POOLS = (
    DemoPool("linux-x64", ("x64",), "x64", min_idle=2, max_runners=4),
    DemoPool("linux-arm64", ("arm64",), "arm64", min_idle=1, max_runners=3),
    DemoPool("gpu", ("x64", "gpu"), "x64", min_idle=1, max_runners=2, needs_gpu=True),
)


def seed(*, github_url: str, token: str, now: datetime) -> Scope:
    """Put the scope with its credential and the pools in, where they are missing.

    `github_url` is the stand-in's address. An address that changed since the last time is
    followed; the credential's secret is set anew each time, for the stand-in may be a new one.
    """
    vault = wiring.vault()
    credential = _credential(f"{github_url}/api/v3", token, vault=vault, now=now)
    web_url = f"{github_url}/{ORGANIZATION}"
    scope = Scope.objects.filter(credential=credential).first()
    if scope is None:
        scope = scopes.add_scope(web_url, credential=credential, by=ACTOR, now=now)
    else:
        scopes.move_scope(scope, web_url, by=ACTOR, now=now)
    for pool in POOLS:
        _pool(pool, scope, now=now)
    return scope


def connect_webhook(scope: Scope, *, github: GitHubClient, address: str, now: datetime) -> None:
    """Have the stand-in post its jobs to `address`, signed with a secret made for it."""
    path = path_of(scope)
    for hook in github.list_webhooks(path).items:
        github.delete_webhook(path, hook.id)
    secret = scopes.make_webhook_secret(scope, vault=wiring.vault(), by=ACTOR, now=now)
    github.create_webhook(path, url=address, secret=secret, events=WEBHOOK_EVENTS)


def people(password: str, *, now: datetime) -> list[str]:
    """Make one user a role, named like it, all with this password; returns the names."""
    for role in Role:
        known = User.objects.filter(username=role.value).first()
        user = known or members.create(role.value, "", role, by=ACTOR, now=now)
        if not user.check_password(password):
            members.set_password(user, password, by=ACTOR, now=now)
        members.set_role(user, role, by=ACTOR, now=now)
    return [role.value for role in Role]


def enrolment_code(host: DemoHost, *, now: datetime) -> str:
    """A code for a host that is not enrolled, or whose agent lost its token."""
    known = Host.objects.filter(name=host.name, retired_at__isnull=True).first()
    if known is not None:
        enrolment.retire(known, by=ACTOR, reason="Its agent's files are gone", now=now)
    _, token = enrolment.issue_code(by=ACTOR, now=now, minutes=15, site=host.site, slots=host.slots)
    return token.text


def online_hosts(*, now: datetime) -> set[str]:
    """The names of the hosts that report."""
    return {
        host.name for host in Host.objects.in_service() if host.state_at(now) == HostState.ONLINE
    }


def progress(*, now: datetime) -> str:
    """The fleet in one line."""
    hosts = len(online_hosts(now=now))
    runners = Counter(runner.display_at(now).label.lower() for runner in Runner.objects.current())
    jobs = dict(Job.objects.values_list("status").annotate(Count("pk")))
    ran, runs = jobs.get(Job.Status.COMPLETED, 0), jobs.get(Job.Status.IN_PROGRESS, 0)
    waits = sum(jobs.values()) - ran - runs
    states = ", ".join(f"{count} {state}" for state, count in sorted(runners.items()))
    return (
        f"{hosts} hosts online · runners: {states or 'none yet'} · "
        f"jobs: {waits} waiting, {runs} running, {ran} done"
    )


def _credential(api_url: str, token: str, *, vault: Vault, now: datetime) -> Credential:
    known = Credential.objects.filter(name=CREDENTIAL_NAME).first()
    if known is None:
        new = credentials.NewCredential(
            name=CREDENTIAL_NAME, kind=Credential.Kind.TOKEN, secret=token, api_url=api_url
        )
        return credentials.create(new, vault=vault, by=ACTOR, now=now)
    credentials.move(known, api_url, by=ACTOR, now=now)
    credentials.replace_secret(known, token, vault=vault, by=ACTOR, now=now)
    return known


def _pool(pool: DemoPool, scope: Scope, *, now: datetime) -> None:
    if Pool.objects.filter(name=pool.name).exists():
        return
    policy = pool_policy.Policy(
        name=pool.name,
        scope=scope,
        labels=("self-hosted", "linux", *pool.labels),
        architecture=pool.architecture,
        needs_gpu=pool.needs_gpu,
        min_idle=pool.min_idle,
        max_runners=pool.max_runners,
    )
    pool_policy.create(policy, by=ACTOR, now=now)
