"""Reads the runners for which something runs out: the few rows, then the rules of `countdowns`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from django.db.models import Q

from runners.countdowns import Countdown, Offer, Watched, of_runner
from runners.mismatches import OFFLINE_GRACE, is_older
from runners.models import Runner, RunnerPackage
from runners.models.runner import RunnerQuerySet
from runners.states import GitHubStatus, RunnerState

OfferKey = tuple[int, str, str]


def offers() -> dict[OfferKey, Offer]:
    """What GitHub offers by (scope id, system, architecture): one query."""
    rows = RunnerPackage.objects.only("scope_id", "os", "architecture", "version", "version_since")
    return {
        (row.scope_id, row.os, row.architecture): Offer(row.version, row.version_since)
        for row in rows
    }


def of_known(runner: Runner, offered: Mapping[OfferKey, Offer], now: datetime) -> list[Countdown]:
    """What runs out for one runner, read with its host; the earliest first."""
    offline = runner.github_offline_since
    settled = offline is not None and offline <= now - OFFLINE_GRACE
    registered = runner.github_status == GitHubStatus.OFFLINE and not runner.github_deleted_at
    leaving = runner.state in (RunnerState.PROVISIONING, RunnerState.REMOVING, RunnerState.REMOVED)
    watched = Watched(
        ephemeral=runner.ephemeral,
        offline_since=offline if settled and registered and not leaving else None,
        version=runner.runner_version if runner.state == RunnerState.ACTIVE else "",
        drain_deadline_at=(
            runner.drain_deadline_at if runner.state == RunnerState.DRAINING else None
        ),
    )
    offer = offered.get((runner.scope_id, runner.host.os, runner.host.architecture))
    return of_runner(watched, offer)


def running_out(among: RunnerQuerySet, now: datetime) -> Iterator[tuple[Runner, Countdown]]:
    """Everything that runs out for these runners, with host and scope: three queries."""
    offered = offers()
    current = among.current()
    told = current.order_by().values_list("runner_version", flat=True).distinct()
    newest = {offer.version for offer in offered.values()}
    old = [version for version in told if any(is_older(version, offer) for offer in newest)]
    rows = (
        current.exclude(state__in=[RunnerState.PROVISIONING, RunnerState.REMOVING])
        .filter(
            Q(github_offline_since__lte=now - OFFLINE_GRACE, github_status=GitHubStatus.OFFLINE)
            | Q(drain_deadline_at__isnull=False, state=RunnerState.DRAINING)
            | Q(runner_version__in=old, state=RunnerState.ACTIVE)
        )
        .select_related("host", "scope")
        .only(
            "name",
            "state",
            "ephemeral",
            "runner_version",
            "drain_deadline_at",
            "github_status",
            "github_offline_since",
            "github_deleted_at",
            "host__name",
            "host__os",
            "host__architecture",
            "scope__slug",
            "scope__github_unknown_since",
        )
    )
    for runner in rows:
        for countdown in of_known(runner, offered, now):
            yield runner, countdown
