"""Passes of reconcile over a scope, as the worker runs them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from runners import reconcile
from runners.github.errors import GitHubUnavailable
from runners.models import Runner, Scope
from runners.reconcile import Summary
from runners.reconcile_view import Deadlines
from runners.registry import path_of
from tests.factories import NOW, RunnerFactory
from tests.fakes import FakeGitHub

DEADLINES = Deadlines(start=timedelta(seconds=120))
DOWN = GitHubUnavailable("GitHub answered 502.", status=502)
LATER = NOW + timedelta(minutes=5)


def run_pass(scope: Scope, github: FakeGitHub, *, now: datetime = NOW) -> Summary:
    """One pass."""
    return reconcile.reconcile_scope(scope, github=github, deadlines=DEADLINES, now=now)


def registered(
    github: FakeGitHub, *, online: bool = True, busy: bool = False, **traits: Any
) -> Runner:
    """A runner of ours that GitHub has."""
    runner: Runner = RunnerFactory(**traits)
    there = github.add_runner(path_of(runner.scope), runner.name, online=online, busy=busy)
    Runner.objects.filter(pk=runner.pk).update(github_id=there.id)
    runner.github_id = there.id
    return runner


def at_github(runner: Runner, github: FakeGitHub) -> list[str]:
    """The names of the runners that GitHub has in this one's scope."""
    return [there.name for there in github.runners(path_of(runner.scope))]


def stored(row: Any) -> Any:
    """The row as the database has it."""
    return type(row).objects.get(pk=row.pk)
