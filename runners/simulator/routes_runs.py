"""Workflows, runs and jobs over the API, and the log addresses they redirect to."""

from __future__ import annotations

import hashlib
import hmac
import io
import secrets
import zipfile
from datetime import UTC, datetime

from runners.simulator import render, render_actions, work
from runners.simulator.model import Job, Repository, Run, Workflow
from runners.simulator.permissions import repository_of
from runners.simulator.routing import Access, Call, Route, listed
from runners.simulator.wire import (
    ApiError,
    Json,
    JsonObject,
    Response,
    invalid,
    iso,
    not_found,
    whole,
)
from runners.simulator.world import World

READ = Access("token", "actions", "read")
WRITE = Access("token", "actions", "write")
# GitHub shows at most this many results of a filtered list of runs.
FILTERED_MOST = 1000
FILTERS = ("actor", "branch", "event", "status", "created", "head_sha", "check_suite_id")
LOG_KEY = secrets.token_bytes(32)


def find_run(world: World, call: Call) -> Run:
    """The run in the path. Raises 404."""
    run = world.store.runs.get(call.number("run_id"))
    if run is None or run.repository_id != repository_of(world, call).id:
        raise not_found()
    return run


def find_job(world: World, call: Call) -> Job:
    """The job in the path. Raises 404."""
    job = world.store.jobs.get(call.number("job_id"))
    if job is None or job.repository_id != repository_of(world, call).id:
        raise not_found()
    return job


def find_workflow(world: World, call: Call) -> Workflow:
    """The workflow in the path, by id or by file name. Raises 404."""
    repository, wanted = repository_of(world, call), call.params["workflow_id"]
    for workflow in world.store.workflows.values():
        names = (str(workflow.id), workflow.path.rsplit("/", 1)[-1])
        if workflow.repository_id == repository.id and wanted in names:
            return workflow
    raise not_found()


def list_runs(world: World, call: Call) -> Response:
    """A repository's runs, newest first."""
    return _listed_runs(world, call, world.store.runs_of(repository_of(world, call).id))


def list_workflow_runs(world: World, call: Call) -> Response:
    """A workflow's runs, newest first."""
    workflow = find_workflow(world, call)
    runs = world.store.runs_of(workflow.repository_id)
    return _listed_runs(world, call, [r for r in runs if r.workflow_id == workflow.id])


def _listed_runs(world: World, call: Call, runs: list[Run]) -> Response:
    asked = {name: call.query[name] for name in FILTERS if call.query.get(name)}
    if asked:
        runs = [run for run in runs if _matches(run, asked)][:FILTERED_MOST]
    return listed(call, runs, lambda r: render_actions.run(world, r, call.urls), "workflow_runs")


def _matches(run: Run, asked: dict[str, str]) -> bool:
    facts = {
        "actor": (run.actor,),
        "branch": (run.head_branch,),
        "event": (run.event,),
        "status": (run.status, run.conclusion or ""),
        "head_sha": (run.head_sha,),
        "check_suite_id": (str(run.id),),
    }
    if "created" in asked and not created_within(run.created_at, asked["created"]):
        return False
    return all(value in facts[name] for name, value in asked.items() if name != "created")


def created_within(at: float, expression: str) -> bool:
    """GitHub's search syntax for dates: ``>=2026-01-01``, ``<…``, ``a..b`` or a single day."""
    moment = datetime.fromtimestamp(int(at), UTC)
    first, dots, last = expression.partition("..")
    for sign in (">=", "<=", ">", "<"):
        if expression.startswith(sign):
            edge = _date(expression.removeprefix(sign))
            comparisons = {
                ">=": moment >= edge,
                "<=": moment <= edge,
                ">": moment > edge,
                "<": moment < edge,
            }
            return comparisons[sign]
    if dots:
        return (first == "*" or moment >= _date(first)) and (last == "*" or moment <= _date(last))
    return moment.date() == _date(first).date()


def _date(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise invalid(f"created: {text!r} is not a date") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def get_run(world: World, call: Call) -> Response:
    """A run, as of its latest attempt."""
    return Response(body=render_actions.run(world, find_run(world, call), call.urls))


def delete_run(world: World, call: Call) -> Response:
    """A run that is over can be deleted."""
    run = find_run(world, call)
    if run.status != "completed":
        raise ApiError(403, "Could not delete the workflow run: it is still in progress.")
    world.store.remove_run(run)
    world.touch()
    return Response(204)


def get_attempt(world: World, call: Call) -> Response:
    """A run as of one attempt."""
    run = find_run(world, call)
    return Response(body=render_actions.run(world, run, call.urls, _attempt(run, call)))


def _attempt(run: Run, call: Call) -> int:
    attempt = call.number("attempt_number")
    if not 1 <= attempt <= run.attempt:
        raise not_found()
    return attempt


def list_attempt_jobs(world: World, call: Call) -> Response:
    """The jobs of one attempt."""
    run = find_run(world, call)
    return _listed_jobs(world, call, run.job_ids[_attempt(run, call) - 1])


def list_run_jobs(world: World, call: Call) -> Response:
    """The jobs of the latest attempt, or of all (``filter=all``)."""
    run = find_run(world, call)
    if call.query.get("filter") == "all":
        return _listed_jobs(world, call, [i for attempt in run.job_ids for i in attempt])
    return _listed_jobs(world, call, run.job_ids[-1])


def _listed_jobs(world: World, call: Call, ids: list[int]) -> Response:
    jobs = [world.store.jobs[job_id] for job_id in ids]
    return listed(call, jobs, lambda j: render_actions.job(world, j, call.urls), "jobs")


def get_job(world: World, call: Call) -> Response:
    """One job."""
    return Response(body=render_actions.job(world, find_job(world, call), call.urls))


def cancel_run(world: World, call: Call) -> Response:
    """Ask for the end of a run."""
    work.cancel(world, find_run(world, call), force=False)
    return Response(202, {})


def force_cancel_run(world: World, call: Call) -> Response:
    """End a run whether its runners react or not."""
    work.cancel(world, find_run(world, call), force=True)
    return Response(202, {})


def rerun(world: World, call: Call) -> Response:
    """All jobs again."""
    run = find_run(world, call)
    work.rerun(world, run, work.current_jobs(world, run))
    return Response(201, {})


def rerun_failed(world: World, call: Call) -> Response:
    """The jobs again that did not succeed."""
    run = find_run(world, call)
    failed = [j for j in work.current_jobs(world, run) if j.conclusion != "success"]
    if run.status == "completed" and not failed:
        raise ApiError(403, "This workflow run cannot be retried")
    work.rerun(world, run, failed)
    return Response(201, {})


def rerun_job(world: World, call: Call) -> Response:
    """One job of the latest attempt again."""
    job = find_job(world, call)
    run = world.store.runs[job.run_id]
    if job.id not in run.job_ids[-1]:
        raise ApiError(403, "This job belongs to an earlier attempt and cannot be retried")
    work.rerun(world, run, [job])
    return Response(201, {})


def get_job_logs(world: World, call: Call) -> Response:
    """A redirect to the text of a finished job; the address is good for a minute."""
    job = find_job(world, call)
    if job.status != "completed":
        raise not_found()
    return _redirect(world, call, f"jobs/{job.id}")


def get_run_logs(world: World, call: Call) -> Response:
    """A redirect to a zip of all logs of a run."""
    run = find_run(world, call)
    attempt = _attempt(run, call) if "attempt_number" in call.params else run.attempt
    if run.status != "completed" and attempt == run.attempt:
        raise not_found()
    return _redirect(world, call, f"runs/{run.id}-{attempt}")


def _redirect(world: World, call: Call, what: str) -> Response:
    ends = int(world.clock.time() + world.settings.timings.log_url_seconds)
    address = f"{call.urls.web}/_logs/{what}?expires={ends}&signature={_sign(what, ends)}"
    return Response(302, None, {"Location": address}, content=b"")


def _sign(what: str, ends: int) -> str:
    return hmac.new(LOG_KEY, f"{what} {ends}".encode(), hashlib.sha256).hexdigest()


def read_log(world: World, call: Call) -> Response:
    """The short-lived address of a log: needs no token, only its own signature."""
    what = f"{call.params['kind']}/{call.params['what']}"
    good_until = whole(call.query.get("expires", "")) or 0
    signature = call.query.get("signature", "")
    signed = hmac.compare_digest(_sign(what, good_until).encode(), signature.encode())
    if not signed or good_until < world.clock.time():
        raise ApiError(403, "The link has expired.")
    if call.params["kind"] == "jobs":
        job = world.store.jobs.get(call.number("what"))
        if job is None:
            raise not_found()
        return Response(content=_text(job), content_type="text/plain; charset=utf-8")
    run_id, _, attempt = call.params["what"].partition("-")
    run = world.store.runs.get(int(run_id))
    if run is None:
        raise not_found()
    jobs = [world.store.jobs[job_id] for job_id in run.job_ids[int(attempt) - 1]]
    return Response(content=_zip(jobs), content_type="application/zip")


def _text(job: Job) -> bytes:
    stamp = iso(job.started_at) or ""
    return "".join(f"{stamp} {line}\n" for line in job.log).encode()


def _zip(jobs: list[Job]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, job in enumerate(jobs):
            archive.writestr(f"{number}_{job.template.name}.txt", _text(job))
    return buffer.getvalue()


def delete_logs(world: World, call: Call) -> Response:
    """Throw a finished run's logs away."""
    run = find_run(world, call)
    if run.status != "completed":
        raise ApiError(403, "Logs of a run in progress cannot be deleted")
    for job in work.current_jobs(world, run):
        job.log.clear()
    world.touch()
    return Response(204)


def get_run_timing(world: World, call: Call) -> Response:
    """Self-hosted minutes are not billed: only how long it took."""
    run = find_run(world, call)
    seconds = max(0.0, run.updated_at - run.started_at)
    return Response(body={"billable": {}, "run_duration_ms": int(seconds * 1000)})


def list_pending_deployments(world: World, call: Call) -> Response:
    """The environments a run waits for."""
    run = find_run(world, call)
    names = {j.template.environment for j in work.current_jobs(world, run) if j.status == "waiting"}
    pending: list[Json] = [
        {
            "environment": {
                "id": environment_id(name),
                "node_id": render.node_id(environment_id(name)),
                "name": name,
                "url": f"{call.urls.api}{call.path}",
                "html_url": f"{call.urls.web}/environments/{environment_id(name)}",
            },
            "wait_timer": 0,
            "wait_timer_started_at": None,
            "current_user_can_approve": True,
            "reviewers": [],
        }
        for name in sorted(names)
    ]
    return Response(body=pending)


def environment_id(name: str) -> int:
    """A stable id for an environment's name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:3])


def review_deployments(world: World, call: Call) -> Response:
    """Approve or reject what a run waits for; answers the deployments it made."""
    run, fields = find_run(world, call), call.fields()
    wanted = fields.integers("environment_ids")
    state = fields.choice("state", ("approved", "rejected"))
    fields.text("comment")
    waiting = [j for j in work.current_jobs(world, run) if j.status == "waiting"]
    chosen = [j for j in waiting if environment_id(j.template.environment) in wanted]
    if not chosen:
        raise invalid("environment_ids: the run does not wait for any of them")
    repository = world.store.repositories[run.repository_id]
    for job in chosen:
        if state == "approved":
            work.approve(world, job)
        else:
            work.finish(world, job, "failure")
    made: list[Json] = [_deployment(world, call, repository, run, job) for job in chosen]
    return Response(body=made if state == "approved" else [])


def _deployment(world: World, call: Call, repository: Repository, run: Run, job: Job) -> JsonObject:
    base = f"{call.urls.api}/repos/{repository.full_name}"
    now = iso(world.clock.time())
    return {
        "id": job.id,
        "node_id": render.node_id(job.id),
        "url": f"{base}/deployments/{job.id}",
        "sha": run.head_sha,
        "ref": run.head_branch,
        "task": "deploy",
        "payload": {},
        "original_environment": job.template.environment,
        "environment": job.template.environment,
        "description": None,
        "creator": render.account(world, run.actor, call.urls),
        "created_at": now,
        "updated_at": now,
        "statuses_url": f"{base}/deployments/{job.id}/statuses",
        "repository_url": base,
    }


def _routes() -> tuple[Route, ...]:
    actions = "/repos/{owner}/{repo}/actions"
    runs, run = f"{actions}/runs", f"{actions}/runs/{{run_id}}"
    attempt = f"{run}/attempts/{{attempt_number}}"
    job = f"{actions}/jobs/{{job_id}}"
    deployments = f"{run}/pending_deployments"
    return (
        Route("GET", runs, READ, list_runs),
        Route("GET", run, READ, get_run),
        Route("DELETE", run, WRITE, delete_run),
        Route("GET", attempt, READ, get_attempt),
        Route("GET", f"{attempt}/jobs", READ, list_attempt_jobs),
        Route("GET", f"{attempt}/logs", READ, get_run_logs),
        Route("GET", f"{run}/jobs", READ, list_run_jobs),
        Route("GET", f"{run}/logs", READ, get_run_logs),
        Route("DELETE", f"{run}/logs", WRITE, delete_logs),
        Route("GET", f"{run}/timing", READ, get_run_timing),
        Route("POST", f"{run}/cancel", WRITE, cancel_run),
        Route("POST", f"{run}/force-cancel", WRITE, force_cancel_run),
        Route("POST", f"{run}/rerun", WRITE, rerun),
        Route("POST", f"{run}/rerun-failed-jobs", WRITE, rerun_failed),
        Route("GET", deployments, READ, list_pending_deployments),
        Route("POST", deployments, Access("token", "deployments", "write"), review_deployments),
        Route("GET", job, READ, get_job),
        Route("GET", f"{job}/logs", READ, get_job_logs),
        Route("POST", f"{job}/rerun", WRITE, rerun_job),
        Route("GET", f"{actions}/workflows/{{workflow_id}}/runs", READ, list_workflow_runs),
        Route("GET", "/_logs/{kind}/{what}", Access("open"), read_log),
    )


ROUTES = _routes()
