"""What needs a person's attention, worst first: each with its cause and the one next step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import F, Q
from django.urls import reverse

from runners import queue_picture, waiting
from runners.models import Credential, Host, Pool, Runner, Scope
from runners.states import DisplayState, HostState

FAILED_NAMED: Final = 3
HOSTS_NAMED: Final = 20
GROUPS_NAMED: Final = 3
DISK_FULL_SHARE: Final = 0.9
_GOOD_VERDICTS: Final = ("", "valid", "unknown")
_WARNING_VERDICTS: Final = ("too-broad", "expiring")
_SEVERITY: Final = {"critical": 0, "failed": 1, "warning": 2, "late": 2, "info": 3}


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing to look at; `state` is its glyph and tone, `since` when it began."""

    state: str
    title: str
    text: str
    since: datetime | None
    url: str
    action: str


def concerns(*, now: datetime) -> list[Concern]:
    """Return what to look at; seven queries, for hosts, pools, runners, credentials, scopes and the
    queue."""
    found = [
        *_silent_hosts(now),
        *_strained_hosts(now),
        *(_quarantined(pool) for pool in Pool.objects.filter(quarantined_at__isnull=False)),
        *_runners(now),
        *_credentials(),
        *_scopes(),
        *_queue(now),
    ]
    return sorted(found, key=lambda concern: _SEVERITY[concern.state])


def _silent_hosts(now: datetime) -> Iterable[Concern]:
    late = Q(late_after__lte=now, last_seen_at__isnull=False)
    troubled = Host.objects.in_service().filter(late | Q(quarantined_at__isnull=False))
    for host in troubled.order_by("last_seen_at")[:HOSTS_NAMED]:
        state = host.state_at(now)
        if state == HostState.QUARANTINED:
            yield _quarantined(host)
            continue
        yield Concern(
            state="critical" if state == HostState.OFFLINE else "late",
            title=f"{host.name} is {state.label.lower()}",
            text=f"No heartbeat since {host.last_seen_at:%H:%M:%S} UTC. "
            "Check its power, its network and the agent.",
            since=host.last_seen_at,
            url=host.get_absolute_url(),
            action="Open host",
        )


def _quarantined(held: Host | Pool) -> Concern:
    """A host or pool whose runners keep failing: nothing starts there until it is released."""
    kind = "host" if isinstance(held, Host) else "pool"
    return Concern(
        state="critical",
        title=f"{held.name} is quarantined",
        text=f"Its last {held.consecutive_failures} runners failed. Release it once that is "
        "mended.",
        since=held.quarantined_at,
        url=held.get_absolute_url(),
        action=f"Open {kind}",
    )


def _strained_hosts(now: datetime) -> Iterable[Concern]:
    """Hosts that last said their disk is nearly full, or GitHub far; a silent one has other
    troubles."""
    full = Q(disk_total_bytes__gt=0, disk_used_bytes__gte=F("disk_total_bytes") * DISK_FULL_SHARE)
    far = Q(github_verdict__in=["fair", "poor"])
    troubled = Host.objects.in_service().filter(full | far, late_after__gt=now)
    for host in troubled[:HOSTS_NAMED]:
        if host.github_verdict in ("fair", "poor"):
            yield _far_from_github(host)
        used, total = host.disk_used_bytes or 0, host.disk_total_bytes or 0
        if not total or used < total * DISK_FULL_SHARE:
            continue
        percent = round((host.disk_used_bytes or 0) * 100 / (host.disk_total_bytes or 1))
        yield Concern(
            state="warning",
            title=f"{host.name} disk is {percent}% full",
            text="Runners that find no room fail to start.",
            since=host.sampled_at,
            url=host.get_absolute_url(),
            action="Open host",
        )


def _far_from_github(host: Host) -> Concern:
    """A host whose way to GitHub is slow or cut; its runners wait for every step."""
    ms = host.github_p95_ms
    cut = ms is None
    return Concern(
        state="failed" if host.github_verdict == "poor" else "warning",
        title=f"{host.name} {'does not reach' if cut else 'is slow to reach'} GitHub",
        text="Look at its firewall, DNS and proxy."
        if ms is None
        else f"The first byte takes {ms:.0f} ms (95th percentile); under 100 are wanted.",
        since=host.sampled_at,
        url=host.get_absolute_url(),
        action="Open host",
    )


def _runners(now: datetime) -> Iterable[Concern]:
    """Failed and offline runners: the newest by name, the rest as a number."""
    in_trouble = Runner.objects.in_trouble(now).select_related("host")
    rows = in_trouble.order_by("-state_changed_at", "pk")
    troubled = list(rows[: 10 * FAILED_NAMED])
    for runner in troubled[:FAILED_NAMED]:
        display = runner.display_at(now)
        words = {
            DisplayState.QUARANTINED: "is quarantined",
            DisplayState.FAILED: "failed",
        }.get(display, "is offline")
        failed = display != DisplayState.OFFLINE
        why = runner.state_reason if failed else runner.phase_reason
        yield Concern(
            state="failed",
            title=f"{runner.name} {words}",
            text=why or f"On {runner.host.name}.",
            since=runner.state_changed_at,
            url=runner.get_absolute_url(),
            action="Open runner",
        )
    more = len(troubled) - FAILED_NAMED
    if more > 0:
        at_least = "at least " if len(troubled) == 10 * FAILED_NAMED else ""
        yield Concern(
            state="failed",
            title=f"{at_least}{more} more runners failed or are offline".capitalize(),
            text="",
            since=None,
            url=f"{reverse('runner-list')}?sort=state",
            action="Open list",
        )


def _queue(now: datetime) -> Iterable[Concern]:
    """Jobs that nothing can run, by what they ask for; and jobs that GitHub gives up on soon."""
    picture = queue_picture.read()
    if picture.at is None or picture.is_old(now):
        return
    url = reverse("job-queue")
    stuck = sorted(
        (group for group in picture.groups if group.unroutable), key=lambda group: group.oldest_at
    )
    for group in stuck[:GROUPS_NAMED]:
        jobs = "1 job" if group.jobs == 1 else f"{group.jobs} jobs"
        ends = waiting.cancelled_at(group.oldest_at)
        yield Concern(
            state="critical",
            title=f"{jobs} of {group.repository} can't run",
            text=f"{group.worst.cause} {group.worst.fix} GitHub cancels the oldest at "
            f"{ends:%Y-%m-%d %H:%M} UTC.",
            since=group.oldest_at,
            url=f"{url}?state=unroutable",
            action="Open queue",
        )
    if len(stuck) > GROUPS_NAMED:
        jobs_left = sum(group.jobs for group in stuck[GROUPS_NAMED:])
        yield Concern(
            state="critical",
            title=f"{jobs_left} more jobs can't run",
            text="No pool serves them.",
            since=None,
            url=f"{url}?state=unroutable",
            action="Open queue",
        )
    late = [
        group
        for group in picture.groups
        if group.ours
        and not group.unroutable
        and waiting.cancelled_at(group.oldest_at) - now <= waiting.CANCEL_IS_NEAR
    ]
    if late:
        oldest = min(late, key=lambda group: group.oldest_at)
        yield Concern(
            state="warning",
            title=f"GitHub soon cancels waiting jobs of {oldest.repository}",
            text=f"The oldest is cancelled at "
            f"{waiting.cancelled_at(oldest.oldest_at):%Y-%m-%d %H:%M} UTC, after 24 hours. "
            f"{oldest.worst.cause}",
            since=oldest.oldest_at,
            url=url,
            action="Open queue",
        )


def _credentials() -> Iterable[Concern]:
    for credential in Credential.objects.exclude(verdict__in=_GOOD_VERDICTS).prefetch_related(
        "scopes"
    ):
        scopes = ", ".join(scope.slug for scope in credential.scopes.all())
        yield Concern(
            state="warning" if credential.verdict in _WARNING_VERDICTS else "critical",
            title=f"Credential {credential.name}: {credential.verdict.replace('-', ' ')}",
            text=f"{credential.verdict_message} {credential.verdict_fix}".strip()
            or f"Used for {scopes}.",
            since=credential.verdict_at,
            url=reverse("settings"),
            action="Open settings",
        )


def _scopes() -> Iterable[Concern]:
    for scope in Scope.objects.filter(Q(github_unknown_since__isnull=False) | ~Q(github_error="")):
        unreachable = scope.github_unknown_since is not None
        yield Concern(
            state="warning",
            title=f"GitHub can't be read for {scope.slug}"
            if unreachable
            else f"GitHub refuses something for {scope.slug}",
            text=scope.github_error or "What GitHub says of its runners is unknown meanwhile.",
            since=scope.github_unknown_since,
            url=scope.get_absolute_url(),
            action="Open scope",
        )
