"""A small fleet in one process and on one clock, whose worker and web may end at any boundary.

Web is the real URL configuration through Django's test client; the worker is the real task
functions, run from django-q2's own table as it runs them: a task's row goes when the task is done,
so that one cut short is run again. GitHub is the fake, the host the model in `machine`.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client
from django.test.client import ClientHandler
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from runners import leases, wiring
from runners.github.errors import GitHubError
from runners.github.urls import ScopePath
from runners.models import (
    Drift,
    Event,
    Fleet,
    Host,
    JobDay,
    MaintenanceHost,
    Outage,
    Pool,
    Runner,
    Scope,
)
from runners.registry import path_of
from runners.states import LIVE
from tests.crash.boundaries import Boundaries
from tests.crash.machine import Machine, Process
from tests.factories import (
    NOW,
    HostFactory,
    RunnerPackageFactory,
    ScopeFactory,
    UserFactory,
    give_token,
)
from tests.fakes import FakeGitHub

ROUND_SECONDS = 15
LABELS = "self-hosted, linux, x64"
Snapshot = dict[str, Any]
# One for all clients: loading the middleware takes longer than a request
HANDLER = ClientHandler(enforce_csrf_checks=False)


def a_client() -> Client:
    """Somebody who sends requests to web."""
    client = Client()
    client.handler = HANDLER
    return client


def filled_tables() -> list[str]:
    """Every table that a case fills."""
    models = [
        *apps.get_app_config("runners").get_models(include_auto_created=True),
        OrmQ,
        Session,
        *(User.groups.through, User.user_permissions.through, User),
    ]
    return [model._meta.db_table for model in models]


def clear_database() -> None:
    """Empty every table that a case fills, quicker than a flush."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table in filled_tables():
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - names of our own


Rows = dict[str, tuple[str, list[tuple[Any, ...]]]]


def read_database() -> Rows:
    """Every row of those tables, with the statement that inserts it."""
    read: Rows = {}
    with connection.cursor() as cursor:
        for table in filled_tables():
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608
            rows = cursor.fetchall()
            if rows:
                names = ", ".join(f'"{column[0]}"' for column in cursor.description)
                values = ", ".join(["%s"] * len(cursor.description))
                insert = f"INSERT INTO {table} ({names}) VALUES ({values})"  # noqa: S608
                read[table] = (insert, rows)
    return read


def write_database(rows: Rows) -> None:
    """Make those tables hold these rows and no others."""
    with transaction.atomic():
        clear_database()
        with connection.cursor() as cursor:
            for insert, values in rows.values():
                cursor.executemany(insert, values)


@dataclass(frozen=True)
class Kept:
    """A world as it once was, to be put back many times."""

    now: datetime
    rows: Rows
    github: dict[str, Any]
    machine: dict[str, Any]


class WatchedGitHub(FakeGitHub):
    """The fake with a boundary on either side of each call."""

    def __init__(self, boundaries: Boundaries, world: World) -> None:
        super().__init__(clock=lambda: world.now)
        self.down: GitHubError | None = None
        for name in dir(FakeGitHub):
            if hasattr(getattr(FakeGitHub, name), "__wrapped__"):
                call = boundaries.around_call(name, self._reachable(getattr(self, name)))
                setattr(self, name, call)

    def _reachable(self, call: Any) -> Any:
        def reach(*args: Any, **kwargs: Any) -> Any:
            if self.down is not None:
                raise self.down
            return call(*args, **kwargs)

        return reach


class World:
    """One scope, one host of four slots, and everything that happens to them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        clear_database()
        self.now = NOW
        self.process = 0
        self.boundaries = Boundaries()
        self.unanswered: list[Callable[[], None]] = []  # deliveries that GitHub will send again
        self.also: tuple[str, ...] = ()  # what the loop does now and then, done in every round
        self.code = ""
        self.github = WatchedGitHub(self.boundaries, self)
        patch.setattr(wiring, "now", lambda: self.now)
        patch.setattr(timezone, "now", lambda: self.now)
        patch.setattr(wiring, "github_client", lambda scope: self.github)
        patch.setattr(wiring, "client_for", lambda credential: self.github)
        patch.setattr(leases, "this_process", lambda: f"process-{self.process}")
        self.scope: Scope = ScopeFactory(slug="acme", web_url="https://github.com/acme")
        self.path: ScopePath = path_of(self.scope)
        self.github.add_repository("acme/web")
        RunnerPackageFactory(scope=self.scope, seen_at=NOW + timedelta(days=1))
        self.host: Host = HostFactory(name="forge-01", boot_id="boot-1")
        self.machine = Machine(self.post, give_token(self.host), self)
        self.agent = a_client()
        self.client = a_client()
        self.client.force_login(UserFactory(username="ada", role="operator"))

    # Beginning again: quicker than living through the same time once more.

    def keep(self) -> Kept:
        """Remember everything that can change: rows, GitHub, the machine, the time."""
        assert not self.unanswered
        assert self.process == 0
        return Kept(self.now, read_database(), _state(self.github), _state(self.machine))

    def put_back(self, kept: Kept) -> None:
        """Be as it was."""
        self.now, self.process, self.unanswered = kept.now, 0, []
        write_database(kept.rows)
        vars(self.github).update(copy.deepcopy(kept.github))
        vars(self.machine).update(copy.deepcopy(kept.machine))

    # Time, web, worker.

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def post(self, path: str, message: Mapping[str, Any], token: str) -> Any:
        """A POST of the agent."""
        return self.agent.post(
            path,
            json.dumps(message),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )

    def submit(self, name: str, /, *args: object, **fields: object) -> None:
        """A form sent by the operator; refusals fail the test."""
        answer = self.client.post(reverse(name, args=args), fields)
        assert answer.status_code == 302, (answer.status_code, answer.content[:2000])

    def run_tasks(self) -> None:
        """The worker takes every waiting task once; one that GitHub made fail waits on."""
        for row in OrmQ.objects.order_by("pk"):
            try:
                import_string(row.func())(*row.args())
            except GitHubError:
                continue
            row.delete()

    def run_task(self, path: str, *args: object) -> None:
        """The worker takes one task."""
        import_string(path)(*args)

    def beat(self) -> None:
        """What the loop queues, run by the worker with all it leads to."""
        watching = ("reconcile_due_scopes", "watch_jobs", "sweep_hosts")
        for task in (*watching, "scale_pools", "replace_failed", *self.also):
            self.run_task(f"runners.tasks.{task}")
        self.run_tasks()

    def round(self) -> None:
        """A stretch of ordinary life: the host's turn, the worker's, the host's again."""
        for send in self.unanswered:
            send()
        self.unanswered.clear()
        self.machine.turn()
        self.beat()
        self.machine.turn()
        self.pass_time(ROUND_SECONDS)

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.round()

    # Ends.

    def watch(self, end_at: int | None = None) -> AbstractContextManager[None]:
        return self.boundaries.watch(end_at)

    def restart(self) -> None:
        """A new process with another name takes the place of the ended one."""
        self.process += 1
        assert not connection.in_atomic_block

    # GitHub as the runner application meets it (see machine.RunnerSide).

    def configure(self, name: str, labels: list[str]) -> None:
        if name not in self.names_at_github():
            self.github.add_runner(self.path, name, labels=labels, ephemeral=False)

    def come_online(self, name: str) -> bool:
        if name not in self.names_at_github():
            return False
        self.github.set_runner(self.path, name, online=True)
        return True

    def go_offline(self, name: str) -> None:
        if name in self.names_at_github():
            self.github.set_runner(self.path, name, online=False, busy=False)

    def names_at_github(self) -> list[str]:
        return [runner.name for runner in self.github.runners(self.path)]

    def start_job(self, process: Process) -> None:
        """GitHub gives the runner a job."""
        run = self.github.add_run("acme/web", status="in_progress")
        job = self.github.add_job(run, labels=["self-hosted"], name=f"job-{process.slot}")
        self.github.set_job(
            job, status="in_progress", runner_name=process.name, started_at=self.now
        )
        self.github.set_runner(self.path, process.name, busy=True)
        self.machine.start_job(process, job.name)

    def end_job(self, process: Process) -> None:
        """The job ends well; GitHub lets an ephemeral runner go with it."""
        name = process.job
        (job,) = (
            job
            for job in self.github._jobs.values()
            if job.name == name and job.runner_name == process.name and job.status == "in_progress"
        )
        self.github.set_job(job, status="completed", conclusion="success", completed_at=self.now)
        run = self.github._runs["acme/web", job.run_id]
        self.github.set_run(run, status="completed", conclusion="success", updated_at=self.now)
        self.machine.end_job(process)
        if process.ephemeral and process.name in self.names_at_github():
            self.github.drop_runner(self.path, process.name)
        elif process.name in self.names_at_github():
            self.github.set_runner(self.path, process.name, busy=False)

    # Looking.

    def provision(self, count: int = 1, *, persistent: bool = False) -> None:
        """An operator asks for runners on the page."""
        self.submit(
            "runner-provision",
            scope=self.scope.pk,
            labels=LABELS,
            count=count,
            lifetime="persistent" if persistent else "ephemeral",
            reason="wanted",
        )

    def only(self) -> Runner:
        """The one runner there is."""
        return Runner.objects.select_related("scope", "host").get()

    def running(self) -> list[Process]:
        """The runners on the machine, by slot."""
        return sorted(self.machine.processes.values(), key=lambda process: process.slot)

    def snapshot(self) -> Snapshot:
        """Everything that counts, without the names, numbers and times that chance gives."""
        there = {runner.name: runner for runner in self.github.runners(self.path)}
        rows = []
        for row in Runner.objects.prefetch_related("labels"):
            known = there.pop(row.name, None)
            rows.append(
                (
                    str(row.state),
                    str(row.phase),
                    row.slot is not None,
                    row.ephemeral,
                    row.jobs_done,
                    sorted(label.name for label in row.labels.all()),
                    None if known is None else (known.status, known.busy),
                    None if known is None else sorted(map(_without_mark, known.label_names)),
                    known is not None and known.id == row.github_id,
                )
            )
        jobs = self.scope.jobs.values_list("name", "status", "conclusion")
        waiting = self.scope.deliveries.filter(processed_at=None)
        return {
            "runners": sorted(rows, key=repr),
            "only at GitHub": sorted(there),
            "on the host": sorted(
                (process.phase, process.job) for process in self.machine.processes.values()
            ),
            "jobs": sorted(jobs),
            "deliveries": (self.scope.deliveries.count(), waiting.count()),
            "events": _told(),
            **_kept(),
            "forced": sorted(self.machine.jobs_forced),
            "ended": sorted(self.machine.jobs_ended),
        }

    def check_always(self) -> None:
        """What must hold at every moment, however many processes ended."""
        names = [name.lower() for name in self.names_at_github()]
        assert len(names) == len(set(names)), f"registered twice: {names}"
        assert self.machine.jobs_cut == [], "a job was cut off"
        live = Runner.objects.filter(state__in=LIVE)
        held = list(live.exclude(slot=None).values_list("host_id", "slot"))
        assert len(held) == len(set(held)), f"one slot held twice: {held}"
        ids = [pk for pk in live.values_list("github_id", flat=True) if pk]
        assert len(ids) == len(set(ids))


def _state(of: object) -> dict[str, Any]:
    """What an object holds of its own, copied; what it only knows of is left out."""
    plain = (dict, list, set, tuple, str, int, type(None))
    return copy.deepcopy({k: v for k, v in vars(of).items() if isinstance(v, plain)})


def _without_mark(label: str) -> str:
    """The owner mark is of chance, but that it is there counts."""
    return "the owner mark" if label.startswith("fleetui-") else label


def _kept() -> Snapshot:
    """What holds of hosts, pools, rounds and the rest, besides runners and jobs."""
    hosts = Host.objects.values_list(
        "name", "slots", "offline_noted_at", "cordoned_at", "quarantined_at", "retired_at"
    )
    owned = Pool.objects.values_list("name", "min_idle", "paused_at", "quarantined_at")
    rounds = MaintenanceHost.objects.values_list("maintenance__state", "step")
    return {
        "hosts": sorted((name, slots, *map(bool, times)) for name, slots, *times in hosts),
        "pools": sorted((name, least, *map(bool, times)) for name, least, *times in owned),
        "rounds": sorted(rounds),
        "quiesced": Fleet.objects.filter(quiesced_at__isnull=False).count(),
        "adopted": Drift.objects.filter(adopted_at__isnull=False).count(),
        "outages": sorted(Outage.objects.values_list("pool__name", "cause")),
        "history": sorted(JobDay.objects.values_list("kind", "key", "jobs")),
    }


def _told() -> list[tuple[str, int]]:
    """How often each action is told; a registration or enrolment whose answer was lost is made
    again, and whether a job is seen unroutable before GitHub no longer knows it is chance."""
    actions: Counter[str] = Counter(Event.objects.values_list("action", flat=True))
    for by_chance in ("runner.register", "host.enrol", "job.unroutable"):
        actions.pop(by_chance, None)
    return sorted(actions.items())
