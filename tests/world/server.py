"""The dashboard's processes in the world: web answers, workers run the queue, any may be killed.

A kill strikes at a boundary: before a statement of the database, before or after a request to
GitHub. From then on nothing that process tries has an effect, `finally` blocks included, as after
SIGKILL; an open transaction is rolled back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test import RequestFactory
from django.urls import resolve
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from runners.simulator.wire import JsonObject
from tests.world.wire import SITE

NEWS = (
    '"runners_runner"',
    '"runners_job"',
    '"runners_event"',
    '"runners_pool"',
    '"runners_drift"',
)
CHANGES = ("INSERT", "UPDATE", "DELETE")
TRANSACTION = ("BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")
TASKS_AT_ONCE = 200


class Killed(BaseException):
    """The process that ran this was killed here; nobody may catch it."""


class Server:
    """Web and workers. `writes` counts what changed of what the fleet is about."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._requests = RequestFactory()
        self.acting = ""
        self.lives = {"worker": 1, "worker-2": 1}
        self.writes = 0
        self.fuse: int | None = None
        self.dead = False
        self.kills = 0
        self.intruder: Callable[[], None] | None = None
        self.intruder_after = 0
        self.intrusions = 0
        self.repeat_tasks = 0
        self.repeated = 0
        self.worker_down_until = 0.0
        self.lose_answers = 0
        self.tasks_run = 0
        self.passes = 0

    def owner(self) -> str:
        """The name that leases are held by: another one after each restart."""
        return f"{self.acting}:{self.lives.get(self.acting, 1)}"

    # --- boundaries --------------------------------------------------------------------------

    def on_statement(
        self,
        execute: Callable[..., object],
        sql: str,
        params: object,
        many: bool,
        context: Mapping[str, Any],
    ) -> object:
        """Django's execute wrapper: every statement of the database passes here."""
        if not sql.startswith(TRANSACTION):
            self._boundary()
            if sql.startswith(CHANGES) and any(name in sql for name in NEWS):
                self.writes += 1
        return execute(sql, params, many, context)

    def on_request(self, moment: str) -> None:
        """Before and after each request to GitHub; outside every transaction of the product."""
        del moment
        self._boundary()
        if self.intruder is not None and self.intruder_after <= 0:
            intruder, self.intruder = self.intruder, None
            self.intrusions += 1
            self._intrude(intruder)
        self.intruder_after -= 1

    def _boundary(self) -> None:
        if not self.acting:
            return
        if self.dead:
            raise Killed
        if self.fuse is None:
            return
        self.fuse -= 1
        if self.fuse <= 0:
            self.fuse, self.dead = None, True
            raise Killed

    def _intrude(self, intruder: Callable[[], None]) -> None:
        """Let somebody else act while this process waits for GitHub."""
        was, fuse = self.acting, self.fuse
        self.fuse = None
        try:
            intruder()
        finally:
            self.acting, self.fuse = was, fuse

    # --- web ---------------------------------------------------------------------------------

    def post(self, path: str, message: JsonObject, token: str) -> tuple[int, JsonObject]:
        """Post JSON to the agent API; (status, JSON), status 0 when no answer came."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, body = self.request(path, json.dumps(message).encode(), headers)
        if status and self.lose_answers:
            self.lose_answers -= 1
            return 0, {}
        value = json.loads(body) if body else {}
        return status, value if isinstance(value, dict) else {}

    def deliver(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """A webhook of GitHub's; the status of our answer."""
        return self.request(url.removeprefix(SITE), body, headers)[0]

    def request(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """One POST through the real routes and views; status 0 when the web was killed in it."""
        found = resolve(path, "runners.api.urls")
        request = self._requests.post(
            path, data=body, content_type="application/json", headers=dict(headers)
        )
        with self.acts("web"):
            try:
                answer = found.func(request, *found.args, **found.kwargs)
            except Killed:
                self.restart("web")
                return 0, b""
        return answer.status_code, answer.content

    @contextmanager
    def acts(self, process: str) -> Iterator[None]:
        """Who holds the leases taken inside."""
        was, self.acting = self.acting, process
        try:
            yield
        finally:
            self.acting = was

    # --- workers -----------------------------------------------------------------------------

    def drain(self, process: str = "worker") -> int:
        """Run what the queue holds, oldest first; returns how many tasks were run."""
        count = 0
        while self._now() >= self.worker_down_until and count < TASKS_AT_ONCE:
            row = OrmQ.objects.order_by("pk").first()
            if row is None:
                break
            count += 1
            task = row.task
            with self.acts(process):
                try:
                    self._run(task["func"], task["args"])
                except Killed:
                    self.restart(process)
                    self.worker_down_until = self._now() + 5
                    break
            OrmQ.objects.filter(pk=row.pk).delete()
        return count

    def run_now(self, func: str, *args: object, process: str = "worker-2") -> None:
        """Run one task outside the queue, as a second worker that took it."""
        with self.acts(process):
            self._run(func, args)

    def _run(self, func: str, args: tuple[object, ...]) -> None:
        self.tasks_run += 1
        self.passes += func.endswith("reconcile_scope")
        import_string(func)(*args)
        if self.repeat_tasks:
            self.repeat_tasks -= 1
            self.repeated += 1
            import_string(func)(*args)

    def restart(self, process: str) -> None:
        """The process was killed and is there again, under another name."""
        self.dead, self.fuse = False, None
        self.kills += 1
        self.lives[process] = self.lives.get(process, 1) + 1

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Hear of every statement inside."""
        with connection.execute_wrapper(self.on_statement):
            yield
