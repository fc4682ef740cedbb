"""The few pages of the site that a browser is sent to: App manifests, installing, a job's page.

The stand-in says yes where a person on github.com would be asked.
"""

from __future__ import annotations

import json
import secrets
from html import escape
from urllib.parse import parse_qs, urlencode

from runners.simulator import accounts
from runners.simulator.model import Manifest
from runners.simulator.routing import Access, Call, Route
from runners.simulator.wire import Fields, Json, Response, invalid, not_found
from runners.simulator.world import World

OPEN = Access("open")


def accept_manifest(world: World, call: Call) -> Response:
    """The form of the manifest flow: keep the manifest, go back with a code."""
    form = parse_qs(call.body.decode(errors="replace"))
    try:
        value: Json = json.loads(form.get("manifest", [""])[0])
    except ValueError:
        raise invalid("manifest: not JSON") from None
    if not isinstance(value, dict):
        raise invalid("manifest: not an object")
    manifest = Fields(value)
    code = secrets.token_hex(20)
    world.store.manifests[code] = Manifest(
        account=call.params.get("org", "octo-admin"),
        name=manifest.text("name", "Fleet"),
        permissions=manifest.mapping("default_permissions"),
        events=manifest.texts("default_events", []),
        hook_url=manifest.record("hook_attributes", {}).text("url", ""),
        setup_url=manifest.text("setup_url", ""),
        expires_at=world.clock.time() + world.settings.timings.manifest_code_seconds,
    )
    world.touch()
    query = {"code": code} | ({"state": call.query["state"]} if "state" in call.query else {})
    return _see_other(f"{manifest.text('redirect_url')}?{urlencode(query)}")


def install_app(world: World, call: Call) -> Response:
    """The page that installs an App: done at once, on the account that owns it."""
    for app in list(world.store.apps.values()):
        if app.slug == call.params["slug"]:
            installation = accounts.install(world, app, app.owner)
            query = {"installation_id": str(installation.id), "setup_action": "install"}
            if app.setup_url:
                return _see_other(f"{app.setup_url}?{urlencode(query)}")
            return _page(f"{app.name} is installed on {app.owner}", [str(installation.id)])
    raise not_found()


def show_job(world: World, call: Call) -> Response:
    """A job's page: its state and its output."""
    job = world.store.jobs.get(call.number("job_id"))
    if job is None or job.run_id != call.number("run_id"):
        raise not_found()
    state = job.conclusion or job.status
    return _page(f"{job.template.name}: {state}", [f"runner: {job.runner_name or '-'}", *job.log])


def show_run(world: World, call: Call) -> Response:
    """A run's page: its jobs and their states."""
    run = world.store.runs.get(call.number("run_id"))
    if run is None:
        raise not_found()
    jobs = [world.store.jobs[job_id] for job_id in run.job_ids[-1]]
    lines = [f"{j.template.name}: {j.conclusion or j.status}" for j in jobs]
    return _page(f"{run.title} #{run.number}: {run.conclusion or run.status}", lines)


def _see_other(location: str) -> Response:
    return Response(302, None, {"Location": location}, content=b"")


def _page(title: str, lines: list[str]) -> Response:
    body = "\n".join(escape(line) for line in lines)
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<h1>{escape(title)}</h1><p>A page of the stand-in GitHub.</p><pre>{body}</pre></html>"
    )
    return Response(content=text.encode(), content_type="text/html; charset=utf-8")


ROUTES = (
    Route("POST", "/settings/apps/new", OPEN, accept_manifest),
    Route("POST", "/organizations/{org}/settings/apps/new", OPEN, accept_manifest),
    Route("GET", "/apps/{slug}/installations/new", OPEN, install_app),
    Route("GET", "/{owner}/{repo}/actions/runs/{run_id}", OPEN, show_run),
    Route("GET", "/{owner}/{repo}/actions/runs/{run_id}/job/{job_id}", OPEN, show_job),
)
