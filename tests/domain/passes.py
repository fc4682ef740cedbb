"""Passes of reconcile over a scope, as the worker runs them."""

from __future__ import annotations

from datetime import datetime, timedelta

from runners import reconcile
from runners.models import Scope
from runners.reconcile import Deadlines, Summary
from tests.factories import NOW
from tests.fakes import FakeGitHub

DEADLINES = Deadlines(start=timedelta(seconds=120))


def run_pass(scope: Scope, github: FakeGitHub, *, now: datetime = NOW) -> Summary:
    """One pass."""
    return reconcile.reconcile_scope(scope, github=github, deadlines=DEADLINES, now=now)
