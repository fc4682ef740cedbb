"""Workflow files over the API, and dispatching them."""

from __future__ import annotations

from runners.simulator import render_actions, work
from runners.simulator.model import Run
from runners.simulator.permissions import repository_of
from runners.simulator.routes_runs import READ, WRITE, find_workflow
from runners.simulator.routing import API_VERSIONS, Access, Call, Route, listed
from runners.simulator.seed import ADMIN_LOGIN
from runners.simulator.wire import JsonObject, Response, invalid
from runners.simulator.world import World


def list_workflows(world: World, call: Call) -> Response:
    """A repository's workflow files."""
    repository = repository_of(world, call)
    found = [w for w in world.store.workflows.values() if w.repository_id == repository.id]
    return listed(call, found, lambda w: render_actions.workflow(world, w, call.urls), "workflows")


def get_workflow(world: World, call: Call) -> Response:
    """One workflow file, by id or file name."""
    return Response(body=render_actions.workflow(world, find_workflow(world, call), call.urls))


def enable_workflow(world: World, call: Call) -> Response:
    """Let it run again."""
    find_workflow(world, call).state = "active"
    world.touch()
    return Response(204)


def disable_workflow(world: World, call: Call) -> Response:
    """Keep it from running."""
    find_workflow(world, call).state = "disabled_manually"
    world.touch()
    return Response(204)


def get_workflow_timing(world: World, call: Call) -> Response:
    """Self-hosted minutes are not billed."""
    find_workflow(world, call)
    return Response(body={"billable": {}})


def dispatch(world: World, call: Call) -> Response:
    """Run a workflow now. Newer API versions answer the run, older ones nothing unless asked."""
    fields = call.fields()
    workflow = find_workflow(world, call)
    ref = fields.text("ref").removeprefix("refs/heads/")
    fields.record("inputs", {})
    details = fields.flag("return_run_details", False) or call.version != API_VERSIONS[0]
    if not ref:
        raise invalid("No ref found for: ")
    if workflow.state != "active":
        raise invalid("Cannot trigger a 'workflow_dispatch' on a disabled workflow")
    user = call.principal.user
    run = work.create_run(
        world,
        repository_of(world, call),
        workflow,
        workflow.jobs,
        event="workflow_dispatch",
        branch=ref,
        actor=user.login if user else ADMIN_LOGIN,
    )
    return Response(200, _run_details(world, call, run)) if details else Response(204)


def _run_details(world: World, call: Call, run: Run) -> JsonObject:
    rendered = render_actions.run(world, run, call.urls)
    return {
        "workflow_run_id": run.id,
        "run_url": rendered["url"],
        "html_url": rendered["html_url"],
    }


def _routes() -> tuple[Route, ...]:
    workflows = "/repos/{owner}/{repo}/actions/workflows"
    one = f"{workflows}/{{workflow_id}}"
    creates = Access("token", "actions", "write", creates_content=True)
    return (
        Route("GET", workflows, READ, list_workflows),
        Route("GET", one, READ, get_workflow),
        Route("GET", f"{one}/timing", READ, get_workflow_timing),
        Route("PUT", f"{one}/enable", WRITE, enable_workflow),
        Route("PUT", f"{one}/disable", WRITE, disable_workflow),
        Route("POST", f"{one}/dispatches", creates, dispatch),
    )


ROUTES = _routes()
