"""GitHub as the world has it: the simulator's own rules and gateway, without server or threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from runners.simulator import demand, seed
from runners.simulator.clock import Clock
from runners.simulator.demand import JobOrder
from runners.simulator.faults import Fault, FaultBook
from runners.simulator.gateway import Gateway, RawAnswer, RawRequest
from runners.simulator.model import Delivery, Job, Runner
from runners.simulator.outbox import (
    REORDER_PATIENCE_SECONDS,
    Outbox,
    Receiver,
    signatures,
)
from runners.simulator.routing import Router
from runners.simulator.seed import Seed
from runners.simulator.settings import Limits, Settings
from runners.simulator.simulator import ROUTES
from runners.simulator.store import Store
from runners.simulator.urls import API_V3, Urls
from runners.simulator.wire import JsonObject
from runners.simulator.world import World as GitHubWorld
from tests.world.agenda import Agenda
from tests.world.wire import SITE, raw_request

KEEP_ALL = 1_000_000
REPOSITORIES = ("acme/web", "acme/api", "acme/firmware")
SCOPE = "orgs/acme"

Deliver = Callable[[str, Mapping[str, str], bytes], int]


@dataclass(frozen=True)
class JobPlan:
    """How a job would go on a healthy runner: seconds of work, then `Succeeded` or `Failed`."""

    seconds: float
    result: str


class WebhookLane:
    """Carries deliveries by the world's agenda instead of by a thread."""

    def __init__(self, agenda: Agenda, clock: Clock, deliver: Deliver) -> None:
        self._agenda = agenda
        self._clock = clock
        self._deliver = deliver
        self._held: list[tuple[Receiver, Delivery]] = []

    def put(
        self, due: float, receiver: Receiver, delivery: Delivery, *, held: bool = False
    ) -> None:
        """Send at `due`; held ones go out after the next, or after `REORDER_PATIENCE_SECONDS`."""
        item = (receiver, delivery)
        if held:
            self._held.append(item)
            latest = self._clock.time() + REORDER_PATIENCE_SECONDS
            self._agenda.at(latest, lambda: self._release(item))
            return
        self._agenda.at(due, lambda: self._send(receiver, delivery))
        for late in self._held:
            self._agenda.at(due, lambda late=late: self._send(*late))  # type: ignore[misc]
        self._held.clear()

    def stop(self) -> None:
        """Nothing runs."""

    def _release(self, item: tuple[Receiver, Delivery]) -> None:
        if item in self._held:
            self._held.remove(item)
            self._send(*item)

    def _send(self, receiver: Receiver, delivery: Delivery) -> None:
        body = delivery.payload.encode()
        headers = delivery.request_headers | signatures(receiver.secret, body)
        delivery.status_code = self._deliver(receiver.url, headers, body)


@dataclass
class GitHub:
    """A stand-in GitHub on the agenda's clock; `now` is its clock and everybody's."""

    start: datetime
    agenda: Agenda
    deliver: Deliver
    limits: Limits = field(default_factory=Limits)
    fault_seed: int = 0

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.clock.freeze()
        self.clock.set(self.start)
        settings = Settings(limits=self.limits, runs_kept=KEEP_ALL, deliveries_kept=50)
        self.world = GitHubWorld(settings, self.clock, Store())
        self.world.outbox = Outbox(
            self.clock,
            self.world.lock,
            self.world.store,
            settings,
            new_lane=lambda: WebhookLane(self.agenda, self.clock, self.deliver),
        )
        self.faults = FaultBook(self.fault_seed)
        self.world.outbox.faults = self.faults
        self.world.urls = Urls(api=SITE + API_V3, web=SITE)
        self.token = seed.plant(self.world, Seed(repositories=REPOSITORIES))
        self._gateway = Gateway(self.world, Router(ROUTES), self.faults, lambda seconds: False)
        self.calls = 0
        self.plans: dict[int, JobPlan] = {}
        self.foreign: set[int] = set()

    def answer(self, request: RawRequest) -> RawAnswer:
        """Answer a request of our own client, counted."""
        self.calls += 1
        return self._gateway.answer(request)

    def runner_call(
        self, method: str, path: str, authorization: str, body: JsonObject | None = None
    ) -> tuple[int, JsonObject]:
        """What a runner process or `config.sh` says; (status, JSON), status 0 for no answer."""
        headers = {"authorization": authorization, "user-agent": "runner"}
        raw = raw_request(method, SITE + path, headers, json.dumps(body or {}).encode())
        answer = self._gateway.answer(raw)
        if answer.drop or answer.cut:
            return 0, {}
        value = json.loads(answer.body) if answer.body else {}
        return answer.status, value if isinstance(value, dict) else {}

    def admin(self, method: str, path: str, body: JsonObject) -> JsonObject:
        """Speak as the administrator, or to the control API. Raises AssertionError for a
        refusal."""
        headers = {"authorization": f"Bearer {self.token}", "user-agent": "setup"}
        raw = raw_request(method, SITE + path, headers, json.dumps(body).encode())
        answer = self._gateway.answer(raw)
        assert answer.status < 300, answer.body
        value = json.loads(answer.body) if answer.body else {}
        assert isinstance(value, dict)
        return value

    def listen(self, url: str, secret: str) -> None:
        """Send the organization's jobs to this address."""
        config: JsonObject = {"url": url, "secret": secret, "content_type": "json"}
        self.admin(
            "POST",
            "/orgs/acme/hooks",
            {"name": "web", "events": ["workflow_job"], "config": config},
        )

    def plant_foreign(self, count: int) -> None:
        """Runners of somebody else, online, which nobody of ours may touch."""
        made = self.admin(
            "POST",
            "/_sim/runners",
            {"scope": SCOPE, "count": count, "prefix": "theirs", "labels": ["theirs"]},
        )
        ids = made["runner_ids"]
        assert isinstance(ids, list)
        self.foreign |= {int(str(each)) for each in ids}

    def queue_job(self, labels: tuple[str, ...], repository: str, plan: JobPlan) -> Job:
        """Queue one job that goes by `plan`."""
        with self.world.lock:
            (job,) = demand.place(self.world, JobOrder(repository, labels=labels))
        self.plans[job.id] = plan
        return job

    def ours(self) -> list[Runner]:
        """Every registration of the organization but the foreign ones."""
        return [
            runner
            for runner in self.world.store.scope_runners(SCOPE)
            if runner.id not in self.foreign
        ]

    def jobs(self) -> list[Job]:
        """Every job there ever was, oldest first."""
        return list(self.world.store.jobs.values())

    def fault(self, fault: Fault) -> Fault:
        """Misbehave."""
        return self.faults.add(fault)
