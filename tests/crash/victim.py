"""A process whose children do one step of web or worker each, and may end themselves in it.

Reads one JSON object a line, {"act": name, "arguments": [...], "end_at": number or null}, and
answers one: {"killed": bool, "passed": [...], "answer": ...}. A child ends by SIGKILL, in the
middle of its work, with its connections open. Run as `python -m tests.crash.victim`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from typing import Any

import django

django.setup()

import requests  # noqa: E402
from django.db import connections  # noqa: E402
from django.utils import timezone  # noqa: E402

from runners import heartbeat, lifecycle, registration, tasks, wiring  # noqa: E402
from runners.agent_messages import parse_heartbeat  # noqa: E402
from runners.audit import Actor  # noqa: E402
from runners.models import Event, Host, Runner, Scope  # noqa: E402
from runners.models.process import Lease  # noqa: E402
from tests.crash.boundaries import Boundaries  # noqa: E402

BY = Actor(Event.ActorKind.USER, "ada")
COUNTED = ("GitHub", "COMMIT")


def provision(ephemeral: bool) -> int:
    """One runner asked for; returns its id."""
    order = lifecycle.Order(
        scope=Scope.objects.get(), labels=["self-hosted", "linux", "x64"], ephemeral=ephemeral
    )
    (runner,) = lifecycle.provision(order, by=BY, reason="wanted", now=timezone.now())
    return runner.pk


def secret(pk: int) -> None:
    """What web does when an agent asks for a start's secret."""
    now = timezone.now()
    runner = registration.startable_runner(Runner.objects.get(pk=pk).host, pk)
    with wiring.github_client(runner.scope) as github:
        issue = registration.issue_jit if runner.ephemeral else registration.issue_registration
        issue(runner, github=github, now=now)


def drain(pk: int) -> None:
    """A drain asked for."""
    lifecycle.drain(Runner.objects.get(pk=pk), by=BY, reason="leaving", now=timezone.now())


def reconcile() -> str:
    """The worker's pass."""
    return tasks.reconcile_scope(Scope.objects.get().pk)


def poll_jobs() -> str:
    """The worker's look at the jobs."""
    return tasks.poll_jobs(Scope.objects.get().pk)


def tell(pk: int, phase: str) -> None:
    """The host says how far a runner is."""
    host = Host.objects.get()
    slot = {"runner_id": pk, "phase": phase}
    message = {"protocol": 1, "wanted_version": None, "slots": [slot], "boot_id": "boot-1"}
    policy = wiring.heartbeat_policy()
    heartbeat.receive(host, "", parse_heartbeat(message), policy=policy, now=timezone.now())


def leases_pass() -> None:
    """The time after which what an ended process held is free."""
    Lease.objects.update(expires_at=timezone.now())


def add_host() -> None:
    """A host with room for everything."""
    now = timezone.now()
    Host.objects.create(
        name="forge-01",
        slots=100,
        os="linux",
        architecture="x64",
        facts_digest="known",
        enrolled_at=now,
        last_seen_at=now,
        late_after=now + timedelta(hours=1),
        offline_after=now + timedelta(hours=1),
    )


ACTS = {
    act.__name__: act
    for act in (provision, secret, drain, reconcile, poll_jobs, tell, leases_pass, add_host)
}


def serve() -> None:
    """One child a line."""
    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _be_the_child(asked, writing)
        os.close(writing)
        with os.fdopen(reading) as told:
            text = told.read()
        _, status = os.waitpid(child, 0)
        answer = json.loads(text) if text else {"passed": [], "answer": None}
        answer["killed"] = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        answer["status"] = status
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _be_the_child(asked: dict[str, Any], writing: int) -> None:
    boundaries = Boundaries(lambda _: os.kill(os.getpid(), signal.SIGKILL), only=COUNTED)
    send = requests.Session.send

    def sent(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> Any:
        name = f"{request.method} {str(request.url).rpartition('/')[2]}"
        return boundaries.around_call(name, send)(self, request, **options)

    requests.Session.send = sent  # type: ignore[method-assign]
    with boundaries.watch(asked["end_at"]):
        answer = ACTS[asked["act"]](*asked["arguments"])
    connections.close_all()
    with os.fdopen(writing, "w") as told:
        json.dump({"passed": boundaries.passed, "answer": answer}, told)
    os._exit(0)


if __name__ == "__main__":
    serve()
