"""The control API under ``/_sim/``: how tests and people steer the simulator. Not part of GitHub.

Open to whoever reaches the port: so the simulator listens on loopback unless told otherwise.
"""

from __future__ import annotations

from datetime import datetime

from runners.simulator import accounts, demand, render_actions, seed
from runners.simulator.faults import fault_from
from runners.simulator.model import Label, Runner
from runners.simulator.routing import Access, Call, Route, listed
from runners.simulator.settings import Limits, Timings
from runners.simulator.traffic import Traffic
from runners.simulator.wire import Fields, Json, JsonObject, Response, invalid, iso
from runners.simulator.world import World

OPEN = Access("open")
RUNNERS_AT_ONCE = 20_000


def queue_jobs(world: World, call: Call) -> Response:
    """Queue jobs; answers them as the API shows jobs."""
    jobs = demand.place(world, demand.order_from(call.fields()))
    rendered: list[Json] = [render_actions.job(world, job, call.urls) for job in jobs]
    return Response(201, {"jobs": rendered})


def list_jobs(world: World, call: Call) -> Response:
    """Every job, newest first, with its queue and its log; ``status`` and ``page`` narrow it."""
    status = call.query.get("status", "")
    jobs = [j for j in reversed(world.store.jobs.values()) if status in ("", j.status)]
    return listed(call, jobs, lambda j: render_actions.job(world, j, call.urls), "jobs")


def get_log(world: World, call: Call) -> Response:
    """A job's output so far, as text."""
    job = world.store.jobs.get(call.number("job_id"))
    if job is None:
        raise invalid("job_id: no such job")
    text = "\n".join(job.log)
    return Response(content=text.encode(), content_type="text/plain; charset=utf-8")


def get_state(world: World, call: Call) -> Response:
    """The figures of everything, and the runners of every scope in short."""
    store = world.store
    counts: JsonObject = {}
    for job in store.jobs.values():
        counts[job.status] = _plus_one(counts.get(job.status))
    runners: list[Json] = [
        {"scope": r.scope, **render_actions.runner(world, r)} for r in store.runners.values()
    ]
    scopes: list[Json] = [*store.groups]
    return Response(
        body={
            "now": iso(world.clock.time()),
            "runner_version": world.settings.runner_version,
            "scopes": scopes,
            "queued": len(world.queue),
            "jobs": counts,
            "runs": len(store.runs),
            "hooks": len(store.hooks),
            "deliveries": len(store.deliveries),
            "runners": runners,
            "faults": [fault.to_json() for fault in world.outbox.faults.listed()],
        }
    )


def _plus_one(value: Json) -> int:
    return value + 1 if isinstance(value, int) else 1


def set_clock(world: World, call: Call) -> Response:
    """``freeze`` (true or false), ``set`` (ISO time), ``advance_seconds``, done in this order."""
    fields = call.fields()
    if fields.has("freeze"):
        (world.clock.freeze if fields.flag("freeze", True) else world.clock.thaw)()
    if fields.has("set"):
        try:
            moment = datetime.fromisoformat(fields.text("set"))
        except ValueError:
            raise invalid("set: not an ISO time") from None
        if moment.tzinfo is None:
            raise invalid("set: needs a time zone")
        world.clock.set(moment)
    if fields.has("advance_seconds"):
        world.clock.advance(fields.number("advance_seconds"))
    return Response(body={"now": iso(world.clock.time()), "frozen": world.clock.frozen})


def list_faults(world: World, call: Call) -> Response:
    """The faults in force and how often each struck."""
    del call
    return Response(body={"faults": [f.to_json() for f in world.outbox.faults.listed()]})


def add_fault(world: World, call: Call) -> Response:
    """Put a fault in force."""
    return Response(201, world.outbox.faults.add(fault_from(call.fields())).to_json())


def clear_faults(world: World, call: Call) -> Response:
    """Lift all faults, or the one named in the path."""
    world.outbox.faults.clear(call.number("fault_id") if "fault_id" in call.params else None)
    return Response(204)


def set_settings(world: World, call: Call) -> Response:
    """Change timings and limits by name; answers all of them."""
    fields = call.fields()
    _assign(world.settings.timings, fields.record("timings", {}))
    _assign(world.settings.limits, fields.record("limits", {}))
    world.settings.minimum_runner_version = fields.text(
        "minimum_runner_version", world.settings.minimum_runner_version
    )
    timings: JsonObject = {**vars(world.settings.timings)}
    limits: JsonObject = {**vars(world.settings.limits)}
    return Response(body={"timings": timings, "limits": limits})


def _assign(target: Timings | Limits, fields: Fields) -> None:
    for name in fields.values:
        if name not in vars(target):
            raise invalid(f"{name}: no such setting")
        whole = isinstance(target, Limits)
        setattr(target, name, fields.integer(name) if whole else fields.number(name))


def add_release(world: World, call: Call) -> Response:
    """Publish a runner version, make it the one on offer, or say when it stops working."""
    fields = call.fields()
    version = fields.text("version")
    if not all(part.isdecimal() for part in version.split(".")) or version.count(".") != 2:
        raise invalid("version: must look like 2.336.0")
    release = seed.publish(world, version, world.clock.time())
    for name in ("registration_deprecates_at", "runtime_deprecates_at"):
        if fields.has(name):
            setattr(release, name, _moment(fields, name))
    if fields.flag("current", False):
        world.settings.runner_version = version
    world.touch()
    return Response(201, {"version": version, "current": world.settings.runner_version})


def _moment(fields: Fields, name: str) -> float | None:
    if fields.values.get(name) is None:
        return None
    try:
        return datetime.fromisoformat(fields.text(name)).timestamp()
    except ValueError:
        raise invalid(f"{name}: not an ISO time") from None


def add_runners(world: World, call: Call) -> Response:
    """Registrations without processes, for lists of any size; they may show as online and busy."""
    fields = call.fields()
    scope = fields.text("scope").lower()
    if scope not in world.store.groups:
        raise invalid(f"scope: {scope!r} does not exist")
    count = fields.integer("count", 1)
    if not 1 <= count <= RUNNERS_AT_ONCE:
        raise invalid(f"count: must be between 1 and {RUNNERS_AT_ONCE}")
    prefix = fields.text("prefix", "runner")
    names = fields.texts("labels", ["self-hosted", "Linux", "X64"])
    store = world.store
    added: list[Json] = []
    for _ in range(count):
        number = store.new_id()
        labels = [Label(store.label_id(n), n, "custom") for n in names]
        name = f"{prefix}-{number}"
        runner = Runner(
            number, name, scope, 1, store.new_runner_secret(), world.clock.time(), labels
        )
        runner.os = "Linux"
        runner.version = world.settings.runner_version
        runner.pinned_online = fields.flag("online", True)
        runner.ephemeral = fields.flag("ephemeral", True)
        store.add_runner(runner)
        added.append(runner.id)
    world.touch()
    return Response(201, {"runner_ids": added})


def mint_token(world: World, call: Call) -> Response:
    """A credential of any kind; answers its token."""
    return Response(201, {"token": accounts.mint(world, call.fields()).token})


def add_app(world: World, call: Call) -> Response:
    """A GitHub App with its private key, installed where ``account`` says."""
    return Response(201, accounts.add_app(world, call.fields()))


def change_organization(world: World, call: Call) -> Response:
    """An organization's token policies; makes the organization if it is new."""
    accounts.change_organization(world, call.params["org"], call.fields())
    return Response(204)


def add_repository(world: World, call: Call) -> Response:
    """A repository: ``full_name``, ``private``."""
    fields = call.fields()
    full_name = fields.text("full_name")
    if full_name.count("/") != 1 or world.store.repository(full_name) is not None:
        raise invalid("full_name: must be a new owner/name")
    record = seed.add_repository(world, full_name, private=fields.flag("private", True))
    return Response(201, {"id": record.id, "full_name": record.full_name})


def rename_repository(world: World, call: Call) -> Response:
    """Rename a repository; its former name answers 301."""
    record = world.store.repository(f"{call.params['owner']}/{call.params['repo']}")
    if record is None:
        raise invalid("no such repository")
    world.store.rename_repository(record, call.fields().text("name"))
    world.touch()
    return Response(200, {"full_name": record.full_name})


def traffic_routes(traffic: Traffic) -> tuple[Route, ...]:
    """``/_sim/traffic``: read or set the stream of jobs."""

    def get_traffic(world: World, call: Call) -> Response:
        del world, call
        return Response(body=traffic.to_json())

    def set_traffic(world: World, call: Call) -> Response:
        del world
        return Response(body=traffic.configure(call.fields()))

    return (
        Route("GET", "/_sim/traffic", OPEN, get_traffic),
        Route("POST", "/_sim/traffic", OPEN, set_traffic),
    )


ROUTES = (
    Route("GET", "/_sim/state", OPEN, get_state),
    Route("GET", "/_sim/jobs", OPEN, list_jobs),
    Route("POST", "/_sim/jobs", OPEN, queue_jobs),
    Route("GET", "/_sim/jobs/{job_id}/log", OPEN, get_log),
    Route("POST", "/_sim/clock", OPEN, set_clock),
    Route("GET", "/_sim/faults", OPEN, list_faults),
    Route("POST", "/_sim/faults", OPEN, add_fault),
    Route("DELETE", "/_sim/faults", OPEN, clear_faults),
    Route("DELETE", "/_sim/faults/{fault_id}", OPEN, clear_faults),
    Route("PATCH", "/_sim/settings", OPEN, set_settings),
    Route("POST", "/_sim/releases", OPEN, add_release),
    Route("POST", "/_sim/runners", OPEN, add_runners),
    Route("POST", "/_sim/tokens", OPEN, mint_token),
    Route("POST", "/_sim/apps", OPEN, add_app),
    Route("PATCH", "/_sim/organizations/{org}", OPEN, change_organization),
    Route("POST", "/_sim/repositories", OPEN, add_repository),
    Route("PATCH", "/_sim/repositories/{owner}/{repo}", OPEN, rename_repository),
)
