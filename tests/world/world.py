"""The whole product on one clock: GitHub, dashboard, machines, and nothing that runs by itself.

`World` is a context manager around an empty database. Time moves only by `advance`, from one event
to the next; what lies between two events (beats that say nothing new, polls that find nothing) is
written down at once, with the very effect it would have had. Everything random is drawn from one
seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import ModuleType, TracebackType
from typing import Self

from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import connection
from django_q.models import OrmQ

from runners import credentials, enrolment, leases, loop, wiring
from runners.audit import Actor
from runners.credentials import NewCredential
from runners.github.cache import ConditionalCache
from runners.github.client import GitHubClient
from runners.models import Credential, Host, Label, Pool, Scope
from runners.simulator.settings import Limits
from runners.simulator.urls import API_V3
from runners.simulator.versions import runtime_refused
from tests.world.agenda import Agenda
from tests.world.github import GitHub
from tests.world.listener import Listener
from tests.world.machine import Machine
from tests.world.server import Killed, Server
from tests.world.wire import SITE, Wire, session

START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
SETUP = Actor.system("setup")
QUIET_MOST_SECONDS = 240.0
TURNS_AT_ONCE = 60
HEARD_EVERY_SECONDS = 20.0


def empty_tables() -> None:
    """Forget every row of ours and of the queue."""
    tables = [
        model._meta.db_table
        for label in ("runners", "django_q")
        for model in apps.get_app_config(label).get_models(include_auto_created=True)
    ]
    connection.ops.execute_sql_flush(
        connection.ops.sql_flush(no_style(), tables, reset_sequences=True, allow_cascade=True)
    )


def new_loop() -> loop.Loop:
    """The loop process as it starts: it remembers nothing."""
    return loop.Loop(
        owner="loop",
        recurring=loop.recurring(
            reconcile_seconds=settings.FLEET_RECONCILE_SECONDS,
            reconcile_active_seconds=settings.FLEET_RECONCILE_ACTIVE_SECONDS,
        ),
        beat_seconds=settings.FLEET_LOOP_SECONDS,
        canary_seconds=settings.FLEET_CANARY_SECONDS,
        worker_silent_seconds=settings.FLEET_WORKER_SILENT_SECONDS,
    )


@dataclass(frozen=True)
class PoolPlan:
    """A pool to have: its labels beside `self-hosted` and `linux`, and how many to keep ready."""

    name: str
    labels: tuple[str, ...]
    min_idle: int
    max_runners: int
    ephemeral: bool = True
    architecture: str = "x64"
    needs_gpu: bool = False

    @property
    def all_labels(self) -> tuple[str, ...]:
        """What a job asks for."""
        return ("self-hosted", "linux", *self.labels)


@dataclass(frozen=True)
class JobEnd:
    """Why a process that had a job ended before it."""

    cause: str
    runner: str


class World:
    """Make it, enter it, add machines and pools, then `advance`."""

    def __init__(
        self, seed: int = 0, *, limits: Limits | None = None, beat_seconds: float = 5.0
    ) -> None:
        self.seed = seed
        self._beat_seconds = beat_seconds
        self.random = random.Random(seed)
        self.agenda = Agenda()
        self.server = Server(self.time)
        self.github = GitHub(
            START, self.agenda, self.server.deliver, limits or Limits(), fault_seed=seed
        )
        self.reachable = True
        self.machines: dict[str, Machine] = {}
        self.job_ends: dict[int, JobEnd] = {}
        self.broken: list[str] = []
        self.forced: set[int] = set()
        self.watchers: list[Callable[[], None]] = []
        self._loop = new_loop()
        self._beat_at = self.time()
        self._beat_pace = beat_seconds
        self._seen = (0, 0)
        self._polled_revision = -1
        self._heard_at = 0.0
        self._cache = ConditionalCache()
        self._stack = ExitStack()
        self.quiet_seconds = float(settings.FLEET_HEARTBEAT_SECONDS)

    # --- the clock -----------------------------------------------------------------------------

    def time(self) -> float:
        """Unix seconds, everybody's."""
        return self.github.clock.time()

    def now(self) -> datetime:
        """The same as a moment in UTC."""
        return self.github.clock.now()

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something in so many seconds."""
        self.agenda.at(self.time() + max(0.0, seconds), action)

    def jitter(self) -> float:
        """A factor around 1."""
        return self.random.uniform(0.75, 1.0)

    def __enter__(self) -> Self:
        assert not connection.in_atomic_block, "a kill must be able to roll back for real"
        empty_tables()
        self._replace(wiring, "now", self.now)
        self._replace(wiring, "client_for", self._client_for)
        self._replace(leases, "this_process", self.server.owner)
        self._stack.enter_context(self.server.watching())
        self._set_up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _replace(self, module: ModuleType, name: str, value: object) -> None:
        was = getattr(module, name)
        setattr(module, name, value)
        self._stack.callback(setattr, module, name, was)

    def _client_for(self, credential: Credential) -> GitHubClient:
        wire = Wire(self.github.answer, self.server.on_request, lambda: self.reachable)
        return GitHubClient(
            base_url=credential.api_url,
            auth=wiring._auth(credential),
            session=session(wire),
            clock=self.now,
            sleep=lambda seconds: None,
            cache=self._cache,
            on_budget=lambda budget: wiring._note_budget(credential.pk, budget),
        )

    def _set_up(self) -> None:
        now, vault = self.now(), wiring.vault()
        credential = credentials.create(
            NewCredential(
                name="acme",
                kind=Credential.Kind.TOKEN,
                secret=self.github.token,
                api_url=SITE + API_V3,
            ),
            vault=vault,
            by=SETUP,
            now=now,
        )
        self.scope = Scope.objects.create(
            kind=Scope.Kind.ORGANIZATION,
            slug="acme",
            web_url=f"{SITE}/acme",
            credential=credential,
            webhook_secret_encrypted=vault.encrypt("hook-secret"),
            created_at=now,
        )
        self.github.listen(f"{SITE}/webhooks/{self.scope.pk}/", "hook-secret")
        self.github.plant_foreign(3)

    # --- what there is -------------------------------------------------------------------------

    def add_machine(
        self, name: str, *, site: str = "", architecture: str = "x64", slots: int = 4, gpu=False
    ) -> Machine:
        """Enrol a machine; its agent runs."""
        machine = Machine(self, name, site, architecture, slots, gpu)
        _, token = enrolment.issue_code(by=SETUP, now=self.now(), minutes=15)
        machine.enrol(token.text)
        self.machines[name] = machine
        return machine

    def add_pool(self, plan: PoolPlan) -> Pool:
        """Have a pool."""
        pool = Pool.objects.create(
            name=plan.name,
            scope=self.scope,
            ephemeral=plan.ephemeral,
            architecture=plan.architecture,
            needs_gpu=plan.needs_gpu,
            min_idle=plan.min_idle,
            max_runners=plan.max_runners,
            created_at=self.now(),
        )
        pool.labels.set(Label.objects.get_or_create(name=name)[0] for name in plan.all_labels)
        return pool

    def processes(self) -> list[Listener]:
        """Every runner process of every machine."""
        return [process for machine in self.machines.values() for process in machine.processes]

    # --- what is written down ------------------------------------------------------------------

    def note_job_ended(self, job_id: int, process: Listener, cause: str) -> None:
        """A process ended, or fell silent, before its job did."""
        self.job_ends.setdefault(job_id, JobEnd(cause, process.name))

    def note_stop(self, process: Listener, runner_id: int, *, force: bool) -> None:
        """An agent ends a process because it was told to: the moment to see whether it may."""
        if process.job_id and runner_id not in self.forced:
            self.broken.append(f"{process.name} was ended with its job on it (force={force})")

    # --- time ----------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        target = self.time() + seconds
        while True:
            self._settle()
            due = min(
                each
                for each in (
                    target,
                    self._beat_at,
                    self.agenda.next_due(),
                    self.github.world.timers.next_due(),
                )
                if each is not None
            )
            if due >= target:
                self._jump(target)
                self._settle()
                return
            self._jump(due)

    def _jump(self, moment: float) -> None:
        """Move the clock; who is well was heard on the way."""
        step = moment - self.time()
        if step <= 0:
            self.github.world.timers.fire_due()
            return
        for machine in self.machines.values():
            for process in machine.processes:
                process.hear(moment)
        if moment - self._heard_at >= HEARD_EVERY_SECONDS:
            self._hear_hosts(moment)
        self.github.clock.advance(step)

    def _hear_hosts(self, moment: float) -> None:
        """The quiet heartbeats up to then: what `heartbeat.quick` would have written."""
        self._heard_at = moment
        well = [m.pk for m in self.machines.values() if m.agent_alive and m.online and m.settled]
        at, policy = datetime.fromtimestamp(moment, UTC), wiring.heartbeat_policy()
        Host.objects.filter(
            pk__in=well, offline_noted_at__isnull=True, retired_at__isnull=True
        ).update(
            last_seen_at=at,
            late_after=at + timedelta(seconds=policy.late_after_seconds),
            offline_after=at + timedelta(seconds=policy.offline_after_seconds),
        )

    def _settle(self) -> None:
        """Let everything happen that is due now, until nothing more does."""
        for _ in range(TURNS_AT_ONCE):
            acted = False
            while action := self.agenda.take_due(self.time()):
                action()
                acted = True
            if self._beat_at <= self.time():
                self._beat()
                acted = True
            ran = self.server.drain()
            if ran:
                self._tell_machines()
            self._offer_jobs()
            for watcher in self.watchers:
                watcher()
            if not (acted or ran):
                break
        self._hurry()

    def _beat(self) -> None:
        with self.server.acts("loop"):
            try:
                self._loop.step(self.now())
            except Killed:
                self.server.restart("loop")
                self._loop = new_loop()
        quiet = self._news() == self._seen
        self._seen = self._news()
        first = self._beat_seconds
        self._beat_pace = min(self._beat_pace * 1.6, QUIET_MOST_SECONDS) if quiet else first
        self._beat_at = self.time() + self._beat_pace

    def _news(self) -> tuple[int, int]:
        return self.server.writes, self.github.world.revision

    def _hurry(self) -> None:
        """Something changed since the last beat: the next one comes at its usual time."""
        first = self._beat_seconds
        if self._news() != self._seen and self._beat_at > self.time() + first:
            self._beat_at, self._beat_pace = self.time() + first, first

    def _tell_machines(self) -> None:
        """Agents whose wanted set changed hear of it at their next heartbeat."""
        versions = dict(Host.objects.values_list("pk", "wanted_version"))
        for machine in self.machines.values():
            known = machine.wanted_version
            if machine.settled and known is not None and known != versions.get(machine.pk):
                machine.pace = 1.0
                machine.schedule(self.random.uniform(0.5, self.quiet_seconds))

    def _offer_jobs(self) -> None:
        """Long polls end with a job, or with the news that GitHub wants no more of a runner."""
        processes = self.processes()
        if len(self.github.world.queue) and self.github.world.revision != self._polled_revision:
            for process in processes:
                process.poll()
        self._polled_revision = self.github.world.revision
        versions = {process.version for process in processes}
        refused = {each for each in versions if runtime_refused(self.github.world, each)}
        for process in processes:
            if process.github_id not in self.github.world.store.runners or (
                process.version in refused
            ):
                process.poll()

    def queued_tasks(self) -> int:
        """How many tasks wait."""
        return int(OrmQ.objects.count())

    def in_transaction(self) -> bool:
        """Whether a transaction of the product is open: nobody else could write now."""
        return connection.in_atomic_block
