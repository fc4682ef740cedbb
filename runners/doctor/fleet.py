"""Checks of what the control plane talks to, from the last that was heard of it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from django.db.models import OuterRef, Subquery

from runners.doctor import health
from runners.doctor.finding import Finding, Surroundings, Verdict, some, worst
from runners.github.verdicts import USABLE
from runners.job_picture import OLD_AFTER, webhook_trouble
from runners.job_sources import in_force
from runners.models import Credential, Delivery, Host, Job, Pool, Runner, Scope

BUDGET_LOW_SHARE = 0.1
EXPIRES_SOON = timedelta(days=7)
# A job known for so long without a delivery was found by polling.
DELIVERY_LATE = timedelta(minutes=10)
# A health check of single hosts → the doctor's name for all of them.
OF_ALL_HOSTS = {
    "clock": "host clocks",
    "disk": "host disks",
    "memory": "host memory",
    "GPU": "host GPUs",
}


def github(around: Surroundings, now: datetime) -> list[Finding]:
    """One finding a credential and two a scope; none there is worth a line too."""
    credentials = list(Credential.objects.order_by("name"))
    delivery = Delivery.objects.filter(scope=OuterRef("pk")).order_by("-received_at")
    job = Job.objects.filter(scope=OuterRef("pk")).order_by("-queued_at")
    scopes = list(
        Scope.objects.annotate(
            delivered_at=Subquery(delivery.values("received_at")[:1]),
            job_at=Subquery(job.values("queued_at")[:1]),
        ).order_by("slug")
    )
    if not scopes:
        return [
            Finding("github", Verdict.WARN, "No scope yet", "Connect GitHub on the set-up page.")
        ]
    return [
        *(_credential(row, now) for row in credentials),
        *(_budget(row, now) for row in credentials if row.budget_limit),
        *(_scope(row) for row in scopes),
        *(_webhook(row, row.delivered_at, row.job_at, around, now) for row in scopes),
        *(_picture(row, around, now) for row in scopes),
    ]


def _credential(row: Credential, now: datetime) -> Finding:
    name = f"credential {row.name}"
    if not row.verdict:
        return Finding(name, Verdict.UNKNOWN, "Not checked yet", "Check it on its page.")
    if row.verdict not in USABLE:
        return Finding(name, Verdict.BAD, row.verdict_message or row.verdict, row.verdict_fix)
    if row.expires_at is not None and row.expires_at < now + EXPIRES_SOON:
        return Finding(
            name,
            Verdict.BAD if row.expires_at <= now else Verdict.WARN,
            f"Expires {row.expires_at:%Y-%m-%d %H:%M} UTC",
            "Make a new one at GitHub and replace the secret on the credentials page.",
        )
    if row.verdict_fix:
        return Finding(name, Verdict.WARN, row.verdict_message, row.verdict_fix)
    until = f", until {row.expires_at:%Y-%m-%d}" if row.expires_at else ""
    return Finding(name, Verdict.OK, f"{row.verdict}{until}")


def _budget(row: Credential, now: datetime) -> Finding:
    limit, left = row.budget_limit or 0, row.budget_remaining or 0
    over = row.budget_reset_at is not None and row.budget_reset_at <= now
    seen = f"{left} of {limit} calls left" + (" before it was renewed" if over else "")
    if over or left >= limit * BUDGET_LOW_SHARE:
        return Finding(f"budget {row.name}", Verdict.OK, seen)
    return Finding(
        f"budget {row.name}",
        Verdict.BAD if left == 0 else Verdict.WARN,
        seen,
        "Raise FLEET_RECONCILE_SECONDS, use webhooks, or give scopes a GitHub App of their own.",
    )


def _scope(row: Scope) -> Finding:
    name = f"scope {row.slug}"
    if row.github_unknown_since is not None:
        return Finding(
            name,
            Verdict.BAD,
            f"GitHub unknown since {row.github_unknown_since:%Y-%m-%d %H:%M:%S} UTC: "
            f"{row.github_error}",
            "See whether this machine reaches GitHub, and what the credential's check says.",
        )
    if row.github_seen_at is None:
        return Finding(
            name, Verdict.UNKNOWN, "GitHub was not asked yet", "See whether worker runs."
        )
    return Finding(name, Verdict.OK, f"GitHub answered {row.github_seen_at:%Y-%m-%d %H:%M:%S} UTC")


def _webhook(
    row: Scope,
    delivered_at: datetime | None,
    job_at: datetime | None,
    around: Surroundings,
    now: datetime,
) -> Finding:
    name = f"webhook {row.slug}"
    if not row.webhook_secret_encrypted:
        return Finding(name, Verdict.OK, "None is set up: jobs are found by polling")
    fix = (
        f"See the webhook's recent deliveries at GitHub; it must reach {around.base_url} "
        "from outside."
    )
    trouble = webhook_trouble(row, now)
    if trouble:
        return Finding(name, Verdict.BAD, trouble, fix)
    if delivered_at is None:
        return Finding(name, Verdict.WARN, "A secret is set, and nothing was ever delivered", fix)
    seen = f"Last delivery {delivered_at:%Y-%m-%d %H:%M:%S} UTC"
    if job_at is not None and job_at > delivered_at + DELIVERY_LATE:
        return Finding(name, Verdict.WARN, f"{seen}; later jobs were found by polling", fix)
    return Finding(name, Verdict.OK, seen)


def _picture(row: Scope, around: Surroundings, now: datetime) -> Finding:
    """How old what we know of a scope's jobs by asking is."""
    name = f"jobs {row.slug}"
    if not in_force(row.job_source, around.job_source).asks_for_runs:
        return Finding(name, Verdict.OK, "Told by webhook alone: repositories are not asked")
    if row.jobs_swept_at is None:
        seen = row.jobs_problem or "Not every repository was looked at yet"
        return Finding(name, Verdict.UNKNOWN, seen, "See whether worker and loop run.")
    seen = f"Every repository was looked at since {row.jobs_swept_at:%Y-%m-%d %H:%M:%S} UTC"
    if row.jobs_problem or now - row.jobs_swept_at > OLD_AFTER:
        return Finding(
            name,
            Verdict.WARN,
            f"{seen}; {row.jobs_problem}" if row.jobs_problem else seen,
            "Use webhooks, raise FLEET_JOB_POLL_SECONDS, or give the scope an App of its own.",
        )
    return Finding(name, Verdict.OK, seen)


def hosts(around: Surroundings, now: datetime) -> list[Finding]:
    """Silence, agents and health of all hosts, a finding each; one query."""
    rows = list(
        Host.objects.in_service()
        .exclude(last_seen_at=None)
        .only(
            "name",
            "last_seen_at",
            "late_after",
            "offline_after",
            "quarantined_at",
            "cordoned_at",
            "retired_at",
            "clock_skew_seconds",
            "agent_version",
            "gpus",
            "gpu_source",
            "memory_bytes",
            "memory_used_bytes",
            "disk_total_bytes",
            "disk_used_bytes",
        )
        .order_by("name")
    )
    if not rows:
        return [Finding("hosts", Verdict.WARN, "No host reports yet", "Add one on the hosts page.")]
    return [_silent(rows, now), _agents(rows, around.agent_version), *_healths(rows, around, now)]


def runners(now: datetime) -> list[Finding]:
    """Runners in trouble, and what keeps runners from starting after too many failures."""
    troubled = list(Runner.objects.in_trouble(now).order_by("name").values_list("name", flat=True))
    held = [
        *(f"host {row.name}" for row in Host.objects.in_service().exclude(quarantined_at=None)),
        *(f"pool {row.name}" for row in Pool.objects.exclude(quarantined_at=None)),
    ]
    return [
        Finding(
            "runners",
            Verdict.BAD,
            f"{len(troubled)} failed or offline: {some(troubled)}",
            "See what happened on their pages; one that was replaced no longer counts.",
        )
        if troubled
        else Finding("runners", Verdict.OK, "None is failed or offline"),
        Finding("quarantine", Verdict.BAD, some(held), "Mend the cause, then release it.")
        if held
        else Finding("quarantine", Verdict.OK, "Nothing is held back"),
    ]


def _silent(rows: list[Host], now: datetime) -> Finding:
    silent = [row.name for row in rows if row.offline_after and row.offline_after <= now]
    if silent:
        return Finding(
            "hosts",
            Verdict.BAD,
            f"{len(silent)} of {len(rows)} silent: {some(silent)}",
            "Check power, network and the agent's service there; retire what is gone for good.",
        )
    return Finding("hosts", Verdict.OK, f"All {len(rows)} report")


def _agents(rows: list[Host], shipped: str) -> Finding:
    versions = Counter(row.agent_version or "unknown" for row in rows)
    seen = ", ".join(f"{version} on {count}" for version, count in sorted(versions.items()))
    old = [row.name for row in rows if shipped and _parts(row.agent_version) < _parts(shipped)]
    if old:
        return Finding(
            "agents",
            Verdict.WARN,
            f"{seen}; older than {shipped}: {some(old)}",
            "Install the present agent there; its runners go on meanwhile.",
        )
    if len(versions) > 1:
        return Finding("agents", Verdict.WARN, f"Mixed: {seen}", "Bring all to one version.")
    return Finding("agents", Verdict.OK, seen)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isascii() and part.isdigit())


def _healths(rows: list[Host], around: Surroundings, now: datetime) -> list[Finding]:
    """Each health check over all hosts: those that are not well by name, or that all are."""
    checked = [
        (
            row.name,
            {
                check.name: check
                for check in health.of_host(row, shipped_agent=around.agent_version, now=now)
            },
        )
        for row in rows
    ]
    return [
        _together(label, [(host, checks[name]) for host, checks in checked])
        for name, label in OF_ALL_HOSTS.items()
    ]


def _together(label: str, checks: list[tuple[str, Finding]]) -> Finding:
    ill = [each for each in checks if each[1].verdict in (Verdict.WARN, Verdict.BAD)]
    if not ill:
        return Finding(label, Verdict.OK, f"Nothing amiss on {len(checks)}")
    seen = some([f"{host} ({check.seen})" for host, check in ill])
    return Finding(label, worst(check for _, check in ill), seen, ill[0][1].fix)
