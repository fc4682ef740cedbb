"""Background tasks: load by id, call the domain, return a short summary. Each may run twice."""

from __future__ import annotations

import logging
from datetime import timedelta

from django_q.tasks import async_task

from runners import (
    credentials,
    deliveries,
    drift,
    enrolment,
    fleet,
    history,
    housekeeping,
    job_polling,
    leases,
    lifecycle,
    log_context,
    loop,
    lost_deliveries,
    maintenance,
    packages,
    pools,
    reconcile,
    recovery,
    registration,
    watch,
    wiring,
)
from runners.audit import Actor
from runners.github.errors import GitHubError
from runners.github.verdicts import check_credential
from runners.models import Credential, Runner, Scope
from runners.registry import RunnerRegistry, path_of

log = logging.getLogger(__name__)

LEASE_SECONDS = reconcile.LEASE_SECONDS
PASSES_A_TASK = 3
DELIVERIES_FORGOTTEN_AFTER = timedelta(seconds=10)
VERDICT_EVERY = timedelta(hours=1)


def canary(sent_at: str) -> str:
    """Come back through the queue, so that the loop sees it moves."""
    loop.answer_canary(sent_at, wiring.now())
    return sent_at


def keep_house() -> str:
    """Throw away what nobody will look at again."""
    return housekeeping.keep_house(decisions_kept=wiring.decisions_kept(), now=wiring.now())


def keep_history() -> str:
    """Settle finished jobs and add up their days, one process at a time."""
    if not leases.acquire("history", leases.this_process(), LEASE_SECONDS, wiring.now()):
        return "another one is at it"
    try:
        return str(history.keep(policy=wiring.history_policy(), now=wiring.now()))
    finally:
        leases.release("history", leases.this_process())


def watch_pools() -> str:
    """Look whether each pool could start a job in time, one process at a time."""
    if not leases.acquire("watch", leases.this_process(), LEASE_SECONDS, wiring.now()):
        return "another one is at it"
    try:
        return str(watch.watch(now=wiring.now()))
    finally:
        leases.release("watch", leases.this_process())


def close_failed() -> str:
    """Close failed runners that were shown for long enough."""
    return f"{housekeeping.close_failed(keep=wiring.keep_failed(), now=wiring.now())} closed"


def reconcile_due_scopes() -> str:
    """Queue a pass over every scope, and a check of the credentials whose verdict is old."""
    now = wiring.now()
    count = 0
    for scope in Scope.objects.all():
        async_task("runners.tasks.reconcile_scope", scope.pk)
        count += 1
    for pk in Credential.objects.values_list("pk", flat=True):
        credential = Credential.objects.get(pk=pk)
        if credential.verdict_at is None or now - credential.verdict_at >= VERDICT_EVERY:
            async_task("runners.tasks.check_credential_by_id", pk)
    return f"{count} scopes"


def reconcile_scope(scope_id: int) -> str:
    """One pass over one scope, alone."""
    scope = Scope.objects.select_related("credential").filter(pk=scope_id).first()
    if scope is None:
        return "the scope was removed"
    log_context.add(scope=scope.slug)
    name = reconcile.lease_name(scope_id)
    if not leases.acquire(name, leases.this_process(), LEASE_SECONDS, wiring.now()):
        return "another pass is under way"
    try:
        summary = reconcile.Summary()
        with wiring.github_client(scope) as github:
            if scope.github_unknown_since is None:
                _refresh_packages(scope, github)
            for _ in range(PASSES_A_TASK):
                # From here on a wish asks for another pass: this one may have read past its cause
                Scope.objects.filter(pk=scope_id).update(reconcile_wanted=False)
                now = wiring.now()
                summary = reconcile.reconcile_scope(
                    scope, github=github, deadlines=wiring.deadlines(), now=now
                )
                Scope.objects.filter(pk=scope_id).update(reconciled_at=now)
                if not Scope.objects.filter(pk=scope_id, reconcile_wanted=True).exists():
                    break
        return str(summary)
    finally:
        leases.release(name, leases.this_process())


def poll_jobs(scope_id: int) -> str:
    """Bring one scope's jobs up to date."""
    scope = Scope.objects.select_related("credential").filter(pk=scope_id).first()
    if scope is None:
        return "the scope was removed"
    log_context.add(scope=scope.slug)
    name = f"jobs:{scope_id}"
    if not leases.acquire(name, leases.this_process(), LEASE_SECONDS, wiring.now()):
        return "another poll is under way"
    try:
        source, every, now = wiring.job_source(scope), wiring.job_poll_interval(), wiring.now()
        with wiring.github_client(scope) as github:
            look = job_polling.poll(
                scope,
                github=github,
                now=now,
                source=source,
                may=job_polling.allowance(scope.credential, every=every, now=now),
            )
    finally:
        leases.release(name, leases.this_process())
    if look.changed:
        lifecycle.wake_scaling()
    if look.problem:
        log.warning("Jobs of scope %s: %s", scope_id, look.problem)
    return str(look)


def watch_jobs() -> str:
    """Queue the looks at jobs that are due, and deliveries that nobody takes in."""
    now = wiring.now()
    every = wiring.job_poll_interval()
    polls = 0
    for scope in Scope.objects.all():
        if job_polling.is_due(scope, source=wiring.job_source(scope), every=every, now=now):
            async_task("runners.tasks.poll_jobs", scope.pk)
            polls += 1
        if wiring.job_source(scope).takes_deliveries and lost_deliveries.is_due(scope, now=now):
            async_task("runners.tasks.replay_deliveries", scope.pk)
    woken = deliveries.wake_forgotten(now=now, older_than=DELIVERIES_FORGOTTEN_AFTER)
    return f"{polls} looks, {woken} left over"


def replay_deliveries(scope_id: int) -> str:
    """Find what was delivered and never arrived."""
    scope = Scope.objects.select_related("credential").filter(pk=scope_id).first()
    if scope is None:
        return "the scope was removed"
    name = f"deliveries:{scope_id}"
    if not leases.acquire(name, leases.this_process(), LEASE_SECONDS, wiring.now()):
        return "another look is under way"
    try:
        if job_polling.is_short_of_budget(scope.credential, now=wiring.now()):
            return "the API budget is left to the runners"
        with wiring.github_client(scope) as github:
            address = wiring.webhook_address(scope)
            found = lost_deliveries.replay(scope, github=github, address=address, now=wiring.now())
    finally:
        leases.release(name, leases.this_process())
    return str(found)


def take_in_deliveries(scope_id: int) -> str:
    """Take in what was delivered for a scope."""
    scope = Scope.objects.filter(pk=scope_id).first()
    if scope is None:
        return "the scope was removed"
    return f"{deliveries.take_in(scope, now=wiring.now())} taken in"


def push_labels(runner_id: int) -> str:
    """Carry a persistent runner's labels to GitHub."""
    runner = (
        Runner.objects.select_related("scope__credential", "host")
        .prefetch_related("labels")
        .filter(pk=runner_id)
        .first()
    )
    if runner is None:
        return "the runner was removed"
    with wiring.github_client(runner.scope) as github:
        return ", ".join(registration.push_labels(runner, github=github, now=wiring.now()))


def check_credential_by_id(credential_id: int) -> str:
    """Ask GitHub what a credential is worth for each of its scopes; the worst answer counts."""
    credential = Credential.objects.filter(pk=credential_id).first()
    if credential is None:
        return "the credential was removed"
    verdicts = []
    with wiring.client_for(credential) as github:
        for scope in credential.scopes.all():
            verdicts.append(check_credential(github, path_of(scope)))
    if not verdicts:
        return "no scope uses it yet"
    worst = max(verdicts, key=lambda verdict: verdict.severity)
    credentials.note_verdict(
        credential, worst, by=Actor.system("credential check"), now=wiring.now()
    )
    return worst.code.value


def sweep_hosts() -> str:
    """Record hosts that fell silent, and what others have left over."""
    now = wiring.now()
    noted = enrolment.note_silent_hosts(now=now, by=Actor.system("heartbeat watch"))
    left = drift.note_hosts(now=now)
    asked = drift.mend_hosts(now=now)
    _roll_maintenance()
    return f"{len(noted)} fell silent, {left} left over, {asked} asked to clean"


def _roll_maintenance() -> None:
    """Move rounds of maintenance on, one process at a time."""
    if not leases.acquire("maintenance", leases.this_process(), LEASE_SECONDS, wiring.now()):
        return
    try:
        maintenance.advance_all(now=wiring.now())
    finally:
        leases.release("maintenance", leases.this_process())


def scale_pools() -> str:
    """Start what jobs and pools want and let go what nobody needs, one process at a time."""
    if not leases.acquire("scale", leases.this_process(), LEASE_SECONDS, wiring.now()):
        return "another one is at it"  # it looks again when it was asked to meanwhile
    try:
        said = ""
        for _ in range(PASSES_A_TASK):
            # From here on a wish asks for another look: this one may have read past its cause
            fleet.take_scaling_wish()
            said = str(
                pools.scale(wiring.scaling_rules(), now=wiring.now(), by=Actor.system("pools"))
            )
            if not fleet.scaling_wished():
                break
        return said
    finally:
        leases.release("scale", leases.this_process())


def replace_failed() -> str:
    """Start the replacements that are due, one process at a time."""
    if not leases.acquire("replace", leases.this_process(), LEASE_SECONDS, wiring.now()):
        return "another one is at it"
    try:
        return str(recovery.replace_due(now=wiring.now(), by=Actor.system("recovery")))
    finally:
        leases.release("replace", leases.this_process())


def _refresh_packages(scope: Scope, github: RunnerRegistry) -> None:
    try:
        packages.refresh(scope, github=github, now=wiring.now())
    except GitHubError as error:
        log.warning("Runner packages of scope %s: %s", scope.pk, error.user_message)
