"""A fleet of any size, written straight into an empty database for a benchmark to look at.

`python -m bench.fleet_data HOSTS RUNNERS` prints, as JSON, each host's agent token, its id and the
idle runners on it as [id, name, slot].
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import django

django.setup()

from runners import history, tokens  # noqa: E402 - models need Django set up
from runners.models import (  # noqa: E402
    Credential,
    Event,
    Host,
    Job,
    Label,
    Pool,
    Runner,
    Sample,
    Scope,
)
from runners.states import GitHubStatus, Phase, RunnerState  # noqa: E402

GIB = 2**30
SITES = ("eu-central", "us-east", "ap-south")
ARCHITECTURES = ("x64", "x64", "x64", "arm64")
BATCH = 2000
POOLS = ("linux-x64", "linux-arm64", "gpu", "large", "nightly")
WAITING = 200
DAYS = 90


def fill(*, hosts: int, runners: int, jobs: int = 0) -> list[str]:
    """Write `hosts` hosts with `runners` live runners spread over them; return agents' tokens."""
    now = datetime.now(UTC)
    scope = _scope(now)
    made = add_hosts(hosts, -(-runners // hosts), now)
    pools = _pools(scope, now)
    _runners(scope, pools, made, runners, now)
    _jobs(scope, [host for host, _ in made], jobs, now)
    _history(made, now)
    return [token for _, token in made]


def _scope(now: datetime) -> Scope:
    credential = Credential.objects.create(
        name="bench",
        kind=Credential.Kind.TOKEN,
        secret_encrypted="sealed",
        verdict="valid",
        created_at=now,
    )
    return Scope.objects.create(
        kind=Scope.Kind.ORGANIZATION,
        slug="acme",
        web_url="https://github.com/acme",
        credential=credential,
        github_seen_at=now,
        created_at=now,
    )


def add_hosts(count: int, slots: int, now: datetime) -> list[tuple[Host, str]]:
    made = []
    for number in range(count):
        token = tokens.new_token(tokens.AGENT_KIND)
        host = Host(
            name=f"forge-{number:04d}",
            site=SITES[number % len(SITES)],
            slots=max(1, slots),
            architecture=ARCHITECTURES[number % len(ARCHITECTURES)],
            kernel_architecture="x86_64",
            hostname=f"forge-{number:04d}",
            os="linux",
            os_version="Debian GNU/Linux 12",
            cpu_count=32,
            memory_bytes=128 * GIB,
            memory_used_bytes=40 * GIB,
            disk_total_bytes=1000 * GIB,
            disk_used_bytes=300 * GIB,
            cpu_percent=37.5,
            agent_version="0.1.0",
            boot_id="boot",
            facts_digest="known",
            token_prefix=token.prefix,
            token_sha256=token.sha256,
            enrolled_at=now - timedelta(days=30),
            last_seen_at=now,
            late_after=now + timedelta(hours=1),
            offline_after=now + timedelta(hours=2),
            sampled_at=now,
        )
        made.append((host, token.text))
    Host.objects.bulk_create([host for host, _ in made], batch_size=BATCH)
    return made


def _pools(scope: Scope, now: datetime) -> list[Pool]:
    labels = [Label.objects.get_or_create(name=name)[0] for name in ("self-hosted", "linux", "x64")]
    pools = []
    for name in POOLS:
        pool = Pool.objects.create(name=name, scope=scope, max_runners=5000, created_at=now)
        pool.labels.set(labels)
        pools.append(pool)
    return pools


def _runners(
    scope: Scope, pools: list[Pool], hosts: list[tuple[Host, str]], count: int, now: datetime
) -> None:
    rows = []
    for number in range(count):
        host = hosts[number % len(hosts)][0]
        busy = number % 3 == 0
        rows.append(
            Runner(
                name=f"{pools[number % 5].name}-{number:06x}",
                scope=scope,
                host=host,
                pool=pools[number % len(pools)],
                slot=number // len(hosts) + 1,
                state=RunnerState.ACTIVE,
                state_changed_at=now,
                phase=Phase.BUSY if busy else Phase.LISTENING,
                pid=1000 + number,
                job_name="build" if busy else "",
                job_started_at=now - timedelta(minutes=4) if busy else None,
                cpu_percent=80.0 if busy else None,
                memory_bytes=2 * GIB if busy else None,
                runner_version="2.336.0",
                observed_at=now,
                github_id=10_000 + number,
                github_status=GitHubStatus.ONLINE,
                github_busy=busy,
                github_seen_at=now,
                created_at=now - timedelta(minutes=30),
                registered_at=now - timedelta(minutes=29),
                online_at=now - timedelta(minutes=29),
            )
        )
    Runner.objects.bulk_create(rows, batch_size=BATCH)
    labels = list(Label.objects.values_list("pk", flat=True))
    through = Runner.labels.through
    through.objects.bulk_create(
        [through(runner_id=row.pk, label_id=label) for row in rows for label in labels],
        batch_size=BATCH,
    )


def _jobs(scope: Scope, hosts: list[Host], count: int, now: datetime) -> None:
    """The first ones wait; the rest ended evenly over the last ninety days, settled as the worker
    would have left them, and their days are added up."""
    step = timedelta(days=DAYS) / max(1, count)
    rows: list[Job] = []
    for number in range(count):
        done = number >= WAITING
        queued = now - (step * number if done else timedelta(seconds=30 * number))
        host = hosts[number % len(hosts)]
        waited = timedelta(seconds=2 + number % 90)
        failed = number % 20 == 7
        rows.append(
            Job(
                scope=scope,
                github_id=number + 1,
                run_id=number // 4 + 1,
                repository=f"acme/repo-{number % 40}",
                workflow_name=("CI", "Release", "Nightly")[number % 3],
                name=f"build ({number % 8}/8)",
                labels=["self-hosted", "linux", host.architecture],
                status=Job.Status.COMPLETED if done else Job.Status.QUEUED,
                conclusion=("failure" if failed else "success") if done else "",
                failure_class="product" if done and failed else "",
                queued_at=queued,
                started_at=queued + waited if done else None,
                completed_at=queued + waited + timedelta(seconds=60 + number % 840)
                if done
                else None,
                seen_at=now,
                setup_seconds=2.0 if done else None,
                label_set=f"linux,self-hosted,{host.architecture}" if done else "",
                pool_name=POOLS[number % len(POOLS)] if done else "",
                host_name=host.name if done else "",
                site=host.site if done else "",
                architecture=host.architecture if done else "",
                wait_cause="no-capacity" if done and number % 90 > 58 else "",
                settled_at=now if done else None,
            )
        )
        if len(rows) == BATCH:
            Job.objects.bulk_create(rows)
            rows = []
    Job.objects.bulk_create(rows)
    for ago in range(DAYS + 1 if count else 0):
        history.add_up((now - timedelta(days=ago)).date())


def _history(hosts: list[tuple[Host, str]], now: datetime) -> None:
    Sample.objects.bulk_create(
        [
            Sample(
                host=host,
                at=now - timedelta(minutes=minute),
                cpu_percent=30.0 + minute % 40,
                memory_used_bytes=40 * GIB,
                disk_used_bytes=300 * GIB,
            )
            for host, _ in hosts[:50]
            for minute in range(60)
        ],
        batch_size=BATCH,
    )
    Event.objects.bulk_create(
        [
            Event(
                at=now - timedelta(seconds=number),
                actor_kind=Event.ActorKind.SYSTEM,
                actor_name="reconcile",
                action="runner.active",
                object_kind="runner",
                object_id=number,
                object_name=f"runner-{number}",
                host=hosts[number % len(hosts)][0],
            )
            for number in range(5000)
        ],
        batch_size=BATCH,
    )


def idle_slots() -> dict[int, list[tuple[int, str, int]]]:
    """Each host's idle runners as (id, name, slot)."""
    slots: dict[int, list[tuple[int, str, int]]] = defaultdict(list)
    rows = Runner.objects.filter(phase=Phase.LISTENING)
    for pk, name, slot, host in rows.values_list("pk", "name", "slot", "host_id"):
        slots[host].append((pk, name, slot or 0))
    return slots


if __name__ == "__main__":
    made = fill(hosts=int(sys.argv[1]), runners=int(sys.argv[2]))
    ids = Host.objects.order_by("pk").values_list("pk", flat=True)
    idle = idle_slots()
    print(json.dumps([[token, pk, idle[pk]] for token, pk in zip(made, ids, strict=True)]))
