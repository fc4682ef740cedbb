"""What runner processes talk: registration, sessions, messages and job reports.

Not GitHub's wire protocol but a plain stand-in for it, spoken with the stand-in runner package.
Authorised by registration tokens (``RemoteAuth``) and by each runner's own secret (``Bearer``).
"""

from __future__ import annotations

import hmac
import time
from datetime import datetime

from runners.simulator import fleet, work
from runners.simulator.model import Credential, Job, Runner, Step
from runners.simulator.packages import PLATFORMS, package
from runners.simulator.principals import expired
from runners.simulator.routing import Access, Call, Route
from runners.simulator.scopes import scope_of_url
from runners.simulator.versions import runtime_refused
from runners.simulator.wire import ApiError, Fields, Json, JsonObject, Response, not_found, whole
from runners.simulator.world import World

LONGEST_POLL_SECONDS = 50
# A poll looks again this often even if nothing happened, so that a timer's effect is seen soon.
POLL_LOOK_SECONDS = 1.0
# A job that floods its log keeps its first lines; the rest is thrown away.
LOG_LINES_KEPT = 50_000
OPEN = Access("open")


def register(world: World, call: Call) -> Response:
    """``config.sh``: registration token in, runner and its secret out."""
    fields = call.fields()
    scope = _scope_for_token(world, call, fields, "registration")
    world.limits.admit_registration(scope)
    runner = fleet.register(
        world,
        scope,
        fleet.Registration(
            name=fields.text("name"),
            labels=fields.texts("labels", []),
            group_name=fields.text("runner_group", ""),
            no_default_labels=fields.flag("no_default_labels", False),
            ephemeral=fields.flag("ephemeral", False),
            replace=fields.flag("replace", False),
            version=fields.text("version"),
            os=fields.text("os", "Linux"),
            architecture=fields.text("architecture", "X64"),
            disable_update=fields.flag("disable_update", False),
            work_folder=fields.text("work_folder", "_work"),
        ),
    )
    group = world.store.groups[scope][runner.group_id]
    return Response(
        201,
        {
            "runner_id": runner.id,
            "pool_id": group.id,
            "pool_name": group.name,
            "server_url": call.urls.web,
            "client_id": fleet.client_id(runner),
            "client_secret": runner.secret,
            "ephemeral": runner.ephemeral,
        },
    )


def remove(world: World, call: Call) -> Response:
    """``config.sh remove``: remove token and runner id in."""
    fields = call.fields()
    fields.choice("runner_event", ("remove",))
    scope = _scope_for_token(world, call, fields, "remove")
    fleet.delete(world, fleet.find_runner(world, scope, fields.integer("runner_id")))
    return Response(200, {})


def _scope_for_token(world: World, call: Call, fields: Fields, kind: str) -> str:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    credential: Credential | None = world.store.credentials.get(token.strip())
    if (
        scheme.lower() != "remoteauth"
        or credential is None
        or credential.kind != kind
        or expired(world, credential)
    ):
        raise ApiError(401, "Invalid or expired token")
    scope = scope_of_url(world, fields.text("url"))
    if scope != credential.scope:
        raise not_found()
    return scope


def open_session(world: World, call: Call) -> Response:
    """A listener starts."""
    fields = call.fields()
    runner = _caller(world, call)
    if runner.id != fields.integer("runner_id"):
        raise gone()
    return Response(201, {"session_id": fleet.open_session(world, runner, fields.text("version"))})


def close_session(world: World, call: Call) -> Response:
    """A listener stops."""
    runner = _caller(world, call)
    if runner.session_id == call.params["session_id"]:
        fleet.close_session(world, runner)
    return Response(204)


def get_message(world: World, call: Call) -> Response:
    """Long poll: a job at once when there is one, else 202 after ``wait`` seconds."""
    runner = _caller(world, call)
    session_id = call.query.get("session_id", "")
    wait_seconds = min(whole(call.query.get("wait", "")) or 0, LONGEST_POLL_SECONDS)
    deadline = time.monotonic() + wait_seconds
    while True:
        _check_session(world, runner, session_id)
        if not call.connected():
            return Response(202, {})
        fleet.heard(world, runner)
        job = work.offer(world, runner)
        if job is not None:
            return Response(200, {"type": "job", "job": _job_message(world, job)})
        left_seconds = deadline - time.monotonic()
        if left_seconds <= 0 or world.stopping:
            return Response(202, {})
        world.changed.wait(min(left_seconds, POLL_LOOK_SECONDS))


def _check_session(world: World, runner: Runner, session_id: str) -> None:
    if world.store.runners.get(runner.id) is not runner:
        raise gone()
    if not session_id or runner.session_id != session_id:
        raise ApiError(401, "The session is not known.")
    if runner.version is not None and runtime_refused(world, runner.version):
        raise fleet.deprecated(runner.version)


def acquire_job(world: World, call: Call) -> Response:
    """The runner takes the job it was offered."""
    work.acquire(world, _caller(world, call), _job(world, call))
    return Response(200, {})


def start_job(world: World, call: Call) -> Response:
    """The worker runs."""
    return _renewed(world, call)


def renew_job(world: World, call: Call) -> Response:
    """The worker is alive; answers whether the job is to be cancelled."""
    return _renewed(world, call)


def add_log(world: World, call: Call) -> Response:
    """Lines of output."""
    lines = call.fields().texts("lines")
    job = _own_job(world, call)
    if job.status == "in_progress":
        room = LOG_LINES_KEPT - len(job.log)
        job.log.extend(lines[: max(room, 0)])
    return _renewed(world, call)


def complete_job(world: World, call: Call) -> Response:
    """The worker's last word; ignored when the job has ended otherwise."""
    fields = call.fields()
    job = _own_job(world, call)
    result = fields.choice("result", tuple(work.CONCLUSIONS))
    steps = [_step(job, each) for each in fields.records("steps")]
    if job.status == "in_progress":
        conclusion = work.CONCLUSIONS[result]
        work.finish(world, job, conclusion, steps or None)
    return Response(200, {})


def _step(job: Job, fields: Fields) -> Step:
    number = fields.integer("number")
    known = job.steps[number - 1] if 0 < number <= len(job.steps) else Step(fields.text("name"))
    return Step(
        name=fields.text("name", known.name),
        run=known.run,
        conclusion=fields.text("conclusion", "success"),
        started_at=_moment(fields, "started_at"),
        completed_at=_moment(fields, "completed_at"),
    )


def _moment(fields: Fields, name: str) -> float | None:
    if fields.values.get(name) is None:
        return None
    try:
        return datetime.fromisoformat(fields.text(name)).timestamp()
    except ValueError:
        raise ApiError(422, f"{name} is not a time") from None


def _renewed(world: World, call: Call) -> Response:
    job = _own_job(world, call)
    return Response(200, {"cancel": work.renew(world, job)})


def _caller(world: World, call: Call) -> Runner:
    runner = world.store.runner_by_secret(_secret(call))
    if runner is None:
        raise gone()
    return runner


def _secret(call: Call) -> str:
    scheme, _, secret = call.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def gone() -> ApiError:
    """What a runner is told whose registration is gone."""
    return ApiError(404, "The runner no longer exists on the server")


def _job(world: World, call: Call) -> Job:
    job = world.store.jobs.get(call.number("job_id"))
    if job is None:
        raise not_found()
    return job


def _own_job(world: World, call: Call) -> Job:
    job = _job(world, call)
    if not hmac.compare_digest(job.runner_secret.encode(), _secret(call).encode()):
        raise not_found()
    return job


def _job_message(world: World, job: Job) -> JsonObject:
    run = world.store.runs[job.run_id]
    repository = world.store.repositories[job.repository_id]
    template = job.template
    env: JsonObject = {**template.env}
    return {
        "id": job.id,
        "run_id": job.run_id,
        "run_attempt": job.run_attempt,
        "name": template.name,
        "workflow_name": world.store.workflows[run.workflow_id].name,
        "repository": repository.full_name,
        "sha": run.head_sha,
        "ref": f"refs/heads/{run.head_branch}",
        "steps": [_step_message(step) for step in template.steps],
        "env": env,
        "timeout_minutes": template.timeout_minutes,
        "misbehave": template.misbehave,
    }


def _step_message(step: Step) -> Json:
    env: JsonObject = {**step.env}
    message: JsonObject = {"name": step.name, "run": step.run}
    if step.shell:
        message["shell"] = step.shell
    if step.env:
        message["env"] = env
    if step.working_directory:
        message["working_directory"] = step.working_directory
    if step.continue_on_error:
        message["continue_on_error"] = True
    return message


def download(world: World, call: Call) -> Response:
    """A file of a runner release."""
    version = call.params["tag"].removeprefix("v")
    if version in world.store.releases:
        for os, architecture in PLATFORMS:
            built = package(version, os, architecture)
            if built.filename == call.params["filename"]:
                return Response(content=built.content, content_type="application/octet-stream")
    raise not_found()


ROUTES = (
    Route("POST", "/actions/runners/register", OPEN, register),
    Route("POST", "/actions/runner-registration", OPEN, remove),
    Route("POST", "/_runner/sessions", OPEN, open_session),
    Route("DELETE", "/_runner/sessions/{session_id}", OPEN, close_session),
    Route("GET", "/_runner/messages", OPEN, get_message),
    Route("POST", "/_runner/jobs/{job_id}/acquire", OPEN, acquire_job),
    Route("POST", "/_runner/jobs/{job_id}/start", OPEN, start_job),
    Route("POST", "/_runner/jobs/{job_id}/log", OPEN, add_log),
    Route("POST", "/_runner/jobs/{job_id}/renew", OPEN, renew_job),
    Route("POST", "/_runner/jobs/{job_id}/complete", OPEN, complete_job),
    Route("GET", "/actions/runner/releases/download/{tag}/{filename}", OPEN, download),
)
