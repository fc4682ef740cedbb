"""GitHub Apps: the App itself, its installations, their tokens, and the manifest flow."""

from __future__ import annotations

from collections.abc import Callable

from runners.simulator import accounts, events, render
from runners.simulator.model import App, Installation
from runners.simulator.principals import new_token
from runners.simulator.routing import API_VERSIONS, Access, Call, Route, listed
from runners.simulator.wire import ApiError, Fields, JsonObject, Response, iso, not_found
from runners.simulator.world import World

APP = Access("app", detailed_errors=True)
INSTALLATION = Access("installation")


def _app(call: Call) -> App:
    app = call.principal.app
    if app is None:
        raise not_found()
    return app


def get_app(world: World, call: Call) -> Response:
    """The App that asks."""
    return Response(body=render.app(world, _app(call), call.urls))


def list_installations(world: World, call: Call) -> Response:
    """Where the App is installed."""
    app = _app(call)
    found = [i for i in world.store.installations.values() if i.app_id == app.id]
    return listed(call, found, lambda i: render.installation(world, i, call.urls))


def list_installation_requests(world: World, call: Call) -> Response:
    """Nobody asks: installing is open to all here."""
    del world
    _app(call)
    return Response(body=[])


def find_installation(world: World, call: Call) -> Installation:
    """The installation in the path, of the App that asks. Raises 404."""
    found = world.store.installations.get(call.number("installation_id"))
    if found is None or found.app_id != _app(call).id:
        raise not_found()
    return found


def get_installation(world: World, call: Call) -> Response:
    """One installation."""
    found = find_installation(world, call)
    return Response(body=render.installation(world, found, call.urls))


def delete_installation(world: World, call: Call) -> Response:
    """Uninstall; newer API versions answer 202."""
    found = find_installation(world, call)
    events.installation_changed(world, found, "deleted")
    del world.store.installations[found.id]
    world.touch()
    return Response(204) if call.version == API_VERSIONS[0] else Response(202, {})


def suspend(world: World, call: Call) -> Response:
    """Block an installation's tokens."""
    found = find_installation(world, call)
    found.suspended_at = world.clock.time()
    events.installation_changed(world, found, "suspend")
    world.touch()
    return Response(204)


def unsuspend(world: World, call: Call) -> Response:
    """Let an installation's tokens work again."""
    found = find_installation(world, call)
    found.suspended_at = None
    events.installation_changed(world, found, "unsuspend")
    world.touch()
    return Response(204)


def create_access_token(world: World, call: Call) -> Response:
    """A token of an installation for an hour, for all of its rights or fewer."""
    found = find_installation(world, call)
    if found.suspended_at:
        raise ApiError(403, "This installation has been suspended")
    fields = call.fields(required=False)
    asked = Fields({**fields.values, "installation_id": found.id})
    credential = accounts.installation_token(world, asked, None)
    chosen = credential.repository_ids
    permissions: JsonObject = {**credential.permissions}
    body: JsonObject = {
        "token": credential.token,
        "expires_at": iso(credential.expires_at),
        "permissions": permissions,
        "repository_selection": "all" if chosen is None else "selected",
    }
    if fields.has("repositories") or fields.has("repository_ids"):
        body["repositories"] = [
            render.repository(world, world.store.repositories[i], call.urls) for i in chosen or []
        ]
    return Response(201, body)


def revoke_token(world: World, call: Call) -> Response:
    """End the life of the installation token that asks."""
    credential = call.principal.credential
    if credential is not None:
        world.store.credentials.pop(credential.token, None)
        world.touch()
    return Response(204)


def list_installation_repositories(world: World, call: Call) -> Response:
    """What the installation token that asks may use."""
    installation, credential = call.principal.installation, call.principal.credential
    if installation is None or credential is None:
        raise not_found()
    chosen = credential.repository_ids
    records = [
        r
        for r in render.installation_repositories(world, installation)
        if chosen is None or r.id in chosen
    ]
    response = listed(
        call, records, lambda r: render.repository(world, r, call.urls), "repositories"
    )
    if isinstance(response.body, dict):
        response.body["repository_selection"] = "all" if chosen is None else "selected"
    return response


def _installation_on(world: World, call: Call, account: str) -> Response:
    app = _app(call)
    for found in world.store.installations.values():
        if found.app_id == app.id and found.account.lower() == account.lower():
            return Response(body=render.installation(world, found, call.urls))
    raise not_found()


def _installation_by(name: str) -> Callable[[World, Call], Response]:
    def get_installation_on_account(world: World, call: Call) -> Response:
        return _installation_on(world, call, call.params[name])

    return get_installation_on_account


def get_repository_installation(world: World, call: Call) -> Response:
    """The installation that covers a repository."""
    record = world.store.repository(f"{call.params['owner']}/{call.params['repo']}")
    if record is None:
        raise not_found()
    return _installation_on(world, call, record.owner)


def list_organization_installations(world: World, call: Call) -> Response:
    """The Apps installed on an organization."""
    name = call.params["org"].lower()
    found = [i for i in world.store.installations.values() if i.account.lower() == name]
    return listed(call, found, lambda i: render.installation(world, i, call.urls), "installations")


def convert_manifest(world: World, call: Call) -> Response:
    """The manifest flow's last step: a code, good once and for an hour, becomes an App."""
    pending = world.store.manifests.pop(call.params["code"], None)
    if pending is None or pending.expires_at <= world.clock.time():
        raise not_found()
    app, private_pem = accounts.new_app(
        world, pending.name, pending.account, pending.permissions, pending.events
    )
    app.setup_url = pending.setup_url
    app.hook_url = pending.hook_url
    app.hook_secret = new_token("", 40)
    app.hook_content_type = "json"
    world.touch()
    return Response(
        201,
        render.app(world, app, call.urls)
        | {
            "client_secret": new_token("", 40),
            "webhook_secret": app.hook_secret if app.hook_url else None,
            "pem": private_pem,
        },
    )


ROUTES = (
    Route("GET", "/app", APP, get_app),
    Route("GET", "/app/installations", APP, list_installations),
    Route("GET", "/app/installation-requests", APP, list_installation_requests),
    Route("GET", "/app/installations/{installation_id}", APP, get_installation),
    Route("DELETE", "/app/installations/{installation_id}", APP, delete_installation),
    Route("PUT", "/app/installations/{installation_id}/suspended", APP, suspend),
    Route("DELETE", "/app/installations/{installation_id}/suspended", APP, unsuspend),
    Route("POST", "/app/installations/{installation_id}/access_tokens", APP, create_access_token),
    Route("GET", "/orgs/{org}/installation", APP, _installation_by("org")),
    Route("GET", "/users/{username}/installation", APP, _installation_by("username")),
    Route("GET", "/repos/{owner}/{repo}/installation", APP, get_repository_installation),
    Route(
        "GET",
        "/orgs/{org}/installations",
        Access("token", "organization_administration", "read"),
        list_organization_installations,
    ),
    Route("GET", "/installation/repositories", INSTALLATION, list_installation_repositories),
    Route("DELETE", "/installation/token", INSTALLATION, revoke_token),
    Route("POST", "/app-manifests/{code}/conversions", Access("anyone"), convert_manifest),
)
