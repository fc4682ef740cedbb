"""One stand-in GitHub in this process, on a thread: start it, steer it, stop it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from runners.simulator import (
    accounts,
    control,
    demand,
    fleet,
    persistence,
    routes_accounts,
    routes_apps,
    routes_groups,
    routes_hooks,
    routes_protocol,
    routes_releases,
    routes_runners,
    routes_runs,
    routes_site,
    routes_workflows,
    seed,
    work,
)
from runners.simulator.clock import Clock
from runners.simulator.demand import JobOrder
from runners.simulator.faults import Fault
from runners.simulator.gateway import Gateway, LoggedRequest
from runners.simulator.model import Job
from runners.simulator.routing import Route, Router
from runners.simulator.seed import Seed
from runners.simulator.server import Certificate, HttpServer
from runners.simulator.settings import Settings
from runners.simulator.store import Store
from runners.simulator.traffic import Traffic
from runners.simulator.urls import API_V3, Urls
from runners.simulator.wire import Fields, JsonObject
from runners.simulator.world import World

ROUTES: tuple[Route, ...] = (
    *routes_accounts.ROUTES,
    *routes_apps.ROUTES,
    *routes_groups.ROUTES,
    *routes_hooks.ROUTES,
    *routes_releases.ROUTES,
    *routes_runners.ROUTES,
    *routes_runs.ROUTES,
    *routes_workflows.ROUTES,
    *routes_protocol.ROUTES,
    *routes_site.ROUTES,
    *control.ROUTES,
)


class Simulator:
    """A stand-in GitHub. Use it as a context manager, or ``start`` and ``stop`` it.

    ``url`` is the site (``http://127.0.0.1:PORT``), ``api_url`` its REST base (``…/api/v3``; the
    bare site answers API calls too), ``token`` a classic token of an administrator of everything.
    """

    def __init__(
        self,
        seed_records: Seed | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: Settings | None = None,
        clock: Clock | None = None,
        state_file: Path | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.settings = settings or Settings()
        self._state_file = state_file
        loaded = persistence.load(state_file) if state_file else None
        self.world = World(self.settings, self.clock, loaded.store if loaded else Store())
        self.faults = self.world.outbox.faults
        self._stopped = threading.Event()
        self.traffic = Traffic(self.world)
        router = Router((*ROUTES, *control.traffic_routes(self.traffic)))
        self._gateway = Gateway(self.world, router, self.faults, self._stopped.wait)
        self._server = HttpServer(host, port, self._gateway.answer, certificate)
        self.url = f"{self._server.scheme}://{host}:{self._server.port}"
        self.api_url = self.url + API_V3
        self.world.urls = Urls(api=self.api_url, web=self.url)
        with self.world.lock:
            wanted = seed_records or Seed()
            if loaded:
                self.token = seed.admit(self.world, wanted.token or loaded.token)
                fleet.rearm(self.world)
                work.rearm(self.world)
            else:
                self.token = seed.plant(self.world, wanted)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="simulator-http", daemon=True
        )
        self._saver = threading.Thread(
            target=self._save_regularly, name="simulator-save", daemon=True
        )

    def start(self) -> Self:
        """Serve on a thread."""
        self.world.timers.start()
        self._thread.start()
        if self._state_file is not None:
            self._saver.start()
        return self

    def stop(self) -> None:
        """Stop serving, cut every connection, and save where there is a file to save to."""
        self._stopped.set()
        with self.world.lock:
            self.world.stopping = True
            self.world.changed.notify_all()
        self._server.shutdown()
        self._server.close_all()
        self._server.server_close()
        self._thread.join()
        self.world.timers.stop()
        self.world.outbox.stop()
        if self._state_file is not None:
            self._saver.join()
            self._save(self._state_file)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def requests(self) -> list[LoggedRequest]:
        """The latest answered requests, oldest first."""
        return list(self._gateway.log)

    def queue_job(
        self,
        repository: str = "acme/web",
        *,
        labels: Sequence[str] = ("self-hosted",),
        steps: Sequence[str] = (),
        name: str = "build",
        duration_seconds: float = 0,
        misbehave: str = "",
    ) -> Job:
        """Queue one job of shell steps; for more wishes there is ``queue_jobs``."""
        order = JobOrder(
            repository,
            tuple(labels),
            name,
            steps=tuple(steps),
            duration_seconds=duration_seconds,
            misbehave=misbehave,
        )
        return self.queue_jobs(order)[0]

    def queue_jobs(self, order: JobOrder) -> list[Job]:
        """Queue what was ordered."""
        with self.world.lock:
            return demand.place(self.world, order)

    def set_traffic(self, jobs_per_minute: float) -> None:
        """Let jobs arrive by themselves; 0 stops them."""
        with self.world.lock:
            self.traffic.set_rate(jobs_per_minute)

    def mint_token(self, values: JsonObject) -> str:
        """A token of any kind; the keys are those of ``POST /_sim/tokens``."""
        with self.world.lock:
            return accounts.mint(self.world, Fields(values)).token

    def add_app(self, values: JsonObject) -> JsonObject:
        """An App and its installation; keys and answer are those of ``POST /_sim/apps``."""
        with self.world.lock:
            return accounts.add_app(self.world, Fields(values))

    def add_fault(self, fault: Fault) -> Fault:
        """Misbehave."""
        return self.faults.add(fault)

    def clear_faults(self) -> None:
        """Behave again."""
        self.faults.clear()

    def _save_regularly(self) -> None:
        saved_revision = -1
        while not self._stopped.wait(persistence.SAVE_EVERY_SECONDS):
            if self._state_file is not None and saved_revision != self.world.revision:
                saved_revision = self.world.revision
                self._save(self._state_file)

    def _save(self, path: Path) -> None:
        with self.world.lock:
            text = persistence.dump(self.world, self.token)
        persistence.write(path, text)
