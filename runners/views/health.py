"""Probes for supervisors and load balancers: no sign-in, no detail that helps a stranger."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from runners.models.process import Beat

logger = logging.getLogger(__name__)

WORKER_SEEN_WITHIN = timedelta(minutes=1)


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """`{"ok": true}` as long as this process answers at all."""
    return JsonResponse({"ok": True})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Whether this installation can do its work; 503 when it cannot.

    Shape: `{"ok": bool, "checks": {"database": bool, "migrations": bool, "worker": bool}}`.
    """
    checks = {"database": False, "migrations": False, "worker": False}
    try:
        checks["migrations"] = _migrations_are_applied()
        checks["database"] = True
        checks["worker"] = checks["migrations"] and _worker_was_seen()
    except DatabaseError:
        logger.exception("The database does not answer")
    ready = all(checks.values())
    return JsonResponse({"ok": ready, "checks": checks}, status=200 if ready else 503)


def _migrations_are_applied() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _worker_was_seen() -> bool:
    return Beat.objects.filter(name="worker", at__gt=timezone.now() - WORKER_SEEN_WITHIN).exists()
