"""Runners over the API, alike for repositories, organizations and enterprises."""

from __future__ import annotations

from runners.simulator import fleet, render_actions
from runners.simulator.model import Credential, Label
from runners.simulator.packages import applications
from runners.simulator.principals import new_token
from runners.simulator.routing import Call, Route, listed, page_of, page_response
from runners.simulator.scopes import EVERY_SCOPE, scope_of
from runners.simulator.versions import is_older
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

REGISTRATION_TOKEN_LENGTH = 28
# The day github.com began to refuse registrations below the minimum version for good.
MINIMUM_ENFORCED_AT = "2026-09-25T00:00:00Z"


def list_runners(world: World, call: Call) -> Response:
    """Pages by id; ``name`` filters by exact name."""
    scope = scope_of(call)
    name = call.query.get("name")
    if name is not None:
        found = world.store.runner_named(scope, name)
        matching = [found] if found else []
        return listed(call, matching, lambda r: render_actions.runner(world, r), "runners")
    page = page_of(call)
    runners = world.store.runner_page(scope, page.start, page.per_page)
    rendered = [render_actions.runner(world, each) for each in runners]
    return page_response(call, world.store.runner_count(scope), rendered, "runners")


def get_runner(world: World, call: Call) -> Response:
    """One runner."""
    runner = fleet.find_runner(world, scope_of(call), call.number("runner_id"))
    return Response(body=render_actions.runner(world, runner))


def delete_runner(world: World, call: Call) -> Response:
    """Forced removal; 422 while it is busy."""
    fleet.delete(world, fleet.find_runner(world, scope_of(call), call.number("runner_id")))
    return Response(204)


def generate_jitconfig(world: World, call: Call) -> Response:
    """A runner for one job and the configuration it starts with."""
    fields = call.fields()
    scope = scope_of(call)
    world.limits.admit_registration(scope)
    runner = fleet.add_jit_runner(
        world,
        scope,
        fields.text("name"),
        fields.integer("runner_group_id"),
        fields.texts("labels"),
        fields.text("work_folder", "_work"),
    )
    return Response(
        201,
        {
            "runner": render_actions.runner(world, runner),
            "encoded_jit_config": fleet.jit_config(world, runner, call.urls),
        },
    )


def create_registration_token(world: World, call: Call) -> Response:
    """A token for ``config.sh``, good for many runners until it expires."""
    timings = world.settings.timings
    return _token(world, call, "registration", timings.registration_token_seconds)


def create_remove_token(world: World, call: Call) -> Response:
    """A token for ``config.sh remove``."""
    return _token(world, call, "remove", world.settings.timings.remove_token_seconds)


def _token(world: World, call: Call, kind: str, life_seconds: float) -> Response:
    now = world.clock.time()
    token = new_token("A", REGISTRATION_TOKEN_LENGTH).upper()
    world.store.credentials[token] = Credential(
        token=token,
        kind="registration" if kind == "registration" else "remove",
        created_at=now,
        expires_at=now + life_seconds,
        scope=scope_of(call),
    )
    world.touch()
    return Response(201, {"token": token, "expires_at": iso(now + life_seconds)})


def list_labels(world: World, call: Call) -> Response:
    """A runner's labels."""
    runner = fleet.find_runner(world, scope_of(call), call.number("runner_id"))
    return Response(body=render_actions.labels(runner))


def add_labels(world: World, call: Call) -> Response:
    """Add custom labels; those it has already stay as they are."""
    runner = fleet.find_runner(world, scope_of(call), call.number("runner_id"))
    names = fleet.clean_labels(call.fields().texts("labels"), minimum=1)
    fresh = [n for n in names if n.lower() not in runner.label_names]
    runner.labels += [Label(world.store.label_id(n), n, "custom") for n in fresh]
    world.touch()
    return Response(body=render_actions.labels(runner))


def set_labels(world: World, call: Call) -> Response:
    """Replace the custom labels; none clears them."""
    runner = fleet.find_runner(world, scope_of(call), call.number("runner_id"))
    names = fleet.clean_labels(call.fields().texts("labels"), minimum=0)
    fixed = [label for label in runner.labels if label.type == "read-only"]
    taken = {label.name.lower() for label in fixed}
    wanted = [n for n in names if n.lower() not in taken]
    runner.labels = fixed + [Label(world.store.label_id(n), n, "custom") for n in wanted]
    world.touch()
    return Response(body=render_actions.labels(runner))


def remove_labels(world: World, call: Call) -> Response:
    """Remove all custom labels; answers the read-only rest."""
    runner = fleet.find_runner(world, scope_of(call), call.number("runner_id"))
    runner.labels = [label for label in runner.labels if label.type == "read-only"]
    world.touch()
    return Response(body=render_actions.labels(runner))


def remove_label(world: World, call: Call) -> Response:
    """Remove one custom label; 404 when it is absent, 422 when it is read-only."""
    runner = fleet.find_runner(world, scope_of(call), call.number("runner_id"))
    name = call.params["name"].lower()
    found = [label for label in runner.labels if label.name.lower() == name]
    if not found:
        raise not_found()
    if found[0].type == "read-only":
        raise invalid("Read-only labels cannot be removed.")
    runner.labels.remove(found[0])
    world.touch()
    return Response(body=render_actions.labels(runner))


def list_downloads(world: World, call: Call) -> Response:
    """The runner application for each platform, with checksums."""
    rendered: list[Json] = [*applications(world.settings.runner_version, call.urls)]
    return Response(body=rendered)


def get_deprecation(world: World, call: Call) -> Response:
    """When a version stops registering and stops running. Not on GitHub Enterprise Server."""
    version = call.params["version"].removeprefix("v")
    if world.settings.ghes_version:
        raise not_found()
    if any(whole(part) is None for part in version.split(".")):
        raise ApiError(404, "Not Found")
    release = world.store.releases.get(version)
    body: JsonObject = {
        "runner_version": version,
        "registration_deprecates_at": None,
        "runtime_deprecates_at": None,
    }
    if release is not None:
        body["registration_deprecates_at"] = iso(release.registration_deprecates_at)
        body["runtime_deprecates_at"] = iso(release.runtime_deprecates_at)
    elif is_older(version, world.settings.minimum_runner_version):
        body["registration_deprecates_at"] = MINIMUM_ENFORCED_AT
    return Response(body=body)


def _routes() -> tuple[Route, ...]:
    routes = []
    for scope in EVERY_SCOPE:
        base = f"{scope.prefix}/actions/runners"
        one = f"{base}/{{runner_id}}"
        labels = f"{one}/labels"
        read, write = scope.reads(), scope.writes()
        routes += [
            Route("GET", base, read, list_runners),
            Route("GET", f"{base}/downloads", read, list_downloads),
            Route("GET", f"{base}/deprecations/{{version}}", read, get_deprecation),
            Route("POST", f"{base}/generate-jitconfig", write, generate_jitconfig),
            Route("POST", f"{base}/registration-token", write, create_registration_token),
            Route("POST", f"{base}/remove-token", write, create_remove_token),
            Route("GET", one, read, get_runner),
            Route("DELETE", one, write, delete_runner),
            Route("GET", labels, read, list_labels),
            Route("POST", labels, write, add_labels),
            Route("PUT", labels, write, set_labels),
            Route("DELETE", labels, write, remove_labels),
            Route("DELETE", f"{labels}/{{name}}", write, remove_label),
        ]
    return tuple(routes)


ROUTES = _routes()
