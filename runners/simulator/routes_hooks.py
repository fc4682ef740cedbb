"""Webhooks of repositories, organizations and Apps: settings, deliveries and redelivery."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from runners.simulator import events, render
from runners.simulator.model import App, Delivery, Hook
from runners.simulator.outbox import Receiver, again
from runners.simulator.routing import Access, Call, Route, listed, page_of
from runners.simulator.scopes import scope_of
from runners.simulator.wire import (
    ApiError,
    Fields,
    Json,
    JsonObject,
    Response,
    invalid,
    not_found,
    whole,
)
from runners.simulator.world import World

CONTENT_TYPES = ("json", "form")
APP = Access("app", detailed_errors=True)


def list_hooks(world: World, call: Call) -> Response:
    """The hooks of a repository or an organization."""
    scope = scope_of(call)
    hooks = [h for h in world.store.hooks.values() if h.scope == scope]
    return listed(call, hooks, lambda h: render.hook(h, call.urls))


def find_hook(world: World, call: Call) -> Hook:
    """The hook in the path. Raises 404."""
    hook = world.store.hooks.get(call.number("hook_id"))
    if hook is None or hook.scope != scope_of(call):
        raise not_found()
    return hook


def create_hook(world: World, call: Call) -> Response:
    """A new hook; it is pinged at once."""
    scope, fields = scope_of(call), call.fields()
    fields.choice("name", ("web",), "web")
    config = fields.record("config")
    now = world.clock.time()
    hook = Hook(
        id=world.store.new_id(),
        scope=scope,
        url=_address(config),
        content_type="form",
        secret="",
        insecure_ssl="0",
        events=list(dict.fromkeys(fields.texts("events", ["push"]))),
        active=fields.flag("active", True),
        created_at=now,
        updated_at=now,
    )
    _configure(hook, config)
    _check_new(world, hook)
    world.store.hooks[hook.id] = hook
    events.ping(world, hook)
    world.touch()
    rendered = render.hook(hook, call.urls)
    return Response(201, rendered, {"Location": str(rendered["url"])})


def _check_new(world: World, hook: Hook) -> None:
    others = [h for h in world.store.hooks.values() if h.scope == hook.scope]
    for other in others:
        if other.url == hook.url and set(other.events) & set(hook.events):
            kind = "repository" if hook.scope.startswith("repos/") else "organization"
            raise invalid(f"Hook already exists on this {kind}")
    most = world.settings.limits.hooks_per_event
    for event in hook.events:
        if most and sum(event in h.events for h in others) >= most:
            raise invalid(f'The "{event}" event cannot have more than {most} hooks')


def _address(config: Fields) -> str:
    url = config.text("url")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(c.isspace() for c in url):
        raise invalid("url: is not a valid URL")
    return url


def _configure(hook: Hook, config: Fields) -> None:
    """Take over what a configuration says; what it does not name stays."""
    address = _address(config) if config.has("url") else hook.url
    content_type = config.choice("content_type", CONTENT_TYPES, hook.content_type)
    insecure_ssl = _insecure_ssl(config, hook.insecure_ssl)
    hook.secret = config.text("secret", hook.secret)
    hook.url, hook.content_type, hook.insecure_ssl = address, content_type, insecure_ssl


def _insecure_ssl(config: Fields, default: str) -> str:
    """GitHub takes the number as well as the text."""
    value = str(config.values.get("insecure_ssl", default))
    if value not in ("0", "1"):
        raise invalid("insecure_ssl: must be 0 or 1")
    return value


def get_hook(world: World, call: Call) -> Response:
    """One hook."""
    return Response(body=render.hook(find_hook(world, call), call.urls))


def update_hook(world: World, call: Call) -> Response:
    """Change a hook; a configuration replaces the old one, so a secret left out is gone."""
    hook, fields = find_hook(world, call), call.fields(required=False)
    if fields.has("config"):
        hook.secret = ""
        _configure(hook, fields.record("config"))
    wanted = fields.texts("events", hook.events)
    wanted = wanted + fields.texts("add_events", [])
    dropped = fields.texts("remove_events", [])
    hook.events = [e for e in dict.fromkeys(wanted) if e not in dropped]
    hook.active = fields.flag("active", hook.active)
    hook.updated_at = world.clock.time()
    world.touch()
    return Response(body=render.hook(hook, call.urls))


def delete_hook(world: World, call: Call) -> Response:
    """Remove a hook; it hears of that itself."""
    hook = find_hook(world, call)
    events.hook_deleted(world, hook)
    del world.store.hooks[hook.id]
    world.touch()
    return Response(204)


def get_config(world: World, call: Call) -> Response:
    """A hook's configuration."""
    return Response(body=_config(find_hook(world, call)))


def update_config(world: World, call: Call) -> Response:
    """Change parts of a hook's configuration."""
    hook = find_hook(world, call)
    _configure(hook, call.fields(required=False))
    hook.updated_at = world.clock.time()
    world.touch()
    return Response(body=_config(hook))


def _config(hook: Hook) -> JsonObject:
    return render.hook_config(hook.url, hook.content_type, hook.insecure_ssl, hook.secret)


def ping_hook(world: World, call: Call) -> Response:
    """Send a ``ping`` again."""
    events.ping(world, find_hook(world, call))
    return Response(204)


def test_hook(world: World, call: Call) -> Response:
    """GitHub sends the latest ``push`` here; without one, as here, nothing."""
    find_hook(world, call)
    return Response(204)


def _deliveries(world: World, call: Call) -> tuple[list[Delivery], Receiver]:
    """The deliveries a call is about, newest first, and where they go."""
    app = call.principal.app
    if app is not None and "hook_id" not in call.params:
        found = [d for d in world.store.deliveries.values() if d.app_id == app.id]
        return found[::-1], events.app_receiver(app)
    hook = find_hook(world, call)
    found = [d for d in world.store.deliveries.values() if d.hook_id == hook.id]
    return found[::-1], events.hook_receiver(world, hook)


def list_deliveries(world: World, call: Call) -> Response:
    """Newest first; ``cursor`` goes on where a page ended, ``status`` narrows."""
    found, _ = _deliveries(world, call)
    status = call.query.get("status", "")
    if status not in ("", "success", "failure"):
        raise invalid("status: must be success or failure")
    if status:
        sent = [d for d in found if d.status != "pending"]
        found = [d for d in sent if (d.status == "OK") == (status == "success")]
    cursor = call.query.get("cursor", "")
    if cursor:
        number = whole(cursor.removeprefix("v1_"))
        if number is None:
            raise ApiError(400, "Invalid cursor")
        found = [d for d in found if d.id <= number]
    per_page = page_of(call).per_page
    headers = {}
    if len(found) > per_page:
        more = f"{call.urls.api}{call.path}?per_page={per_page}&cursor=v1_{found[per_page].id}"
        headers["Link"] = f'<{more}>; rel="next"'
    items: list[Json] = [render.delivery_item(d) for d in found[:per_page]]
    return Response(body=items, headers=headers)


def _find_delivery(world: World, call: Call) -> tuple[Delivery, Receiver]:
    found, receiver = _deliveries(world, call)
    wanted = call.number("delivery_id")
    for delivery in found:
        if delivery.id == wanted:
            return delivery, receiver
    raise not_found()


def get_delivery(world: World, call: Call) -> Response:
    """One delivery with what was sent and what came back."""
    delivery, receiver = _find_delivery(world, call)
    sent: JsonObject = {**delivery.request_headers}
    received: JsonObject = {**delivery.response_headers}
    payload: Json = events.payload_of(delivery)
    return Response(
        body=render.delivery_item(delivery)
        | {
            "url": receiver.url,
            "request": {"headers": sent, "payload": payload},
            "response": {"headers": received, "payload": delivery.response_body},
        }
    )


def redeliver(world: World, call: Call) -> Response:
    """Send a delivery once more, with the same GUID."""
    delivery, receiver = _find_delivery(world, call)
    world.outbox.post(receiver, again(delivery), redelivery=True)
    return Response(202, {})


def get_app_config(world: World, call: Call) -> Response:
    """The App's own hook."""
    del world
    return Response(body=_app_config(_app(call)))


def update_app_config(world: World, call: Call) -> Response:
    """Change the App's own hook."""
    app = _app(call)
    config = call.fields()
    address = _address(config) if config.has("url") else app.hook_url
    content_type = config.choice("content_type", CONTENT_TYPES, app.hook_content_type)
    insecure_ssl = _insecure_ssl(config, app.hook_insecure_ssl)
    app.hook_secret = config.text("secret", app.hook_secret)
    app.hook_url, app.hook_content_type = address, content_type
    app.hook_insecure_ssl = insecure_ssl
    world.touch()
    return Response(body=_app_config(app))


def _app(call: Call) -> App:
    app = call.principal.app
    if app is None:
        raise not_found()
    return app


def _app_config(app: App) -> JsonObject:
    config = render.hook_config(
        app.hook_url, app.hook_content_type, app.hook_insecure_ssl, app.hook_secret
    )
    if not app.hook_url:
        del config["url"]
    return config


def _routes() -> tuple[Route, ...]:
    routes = [
        Route("GET", "/app/hook/config", APP, get_app_config),
        Route("PATCH", "/app/hook/config", APP, update_app_config),
        Route("GET", "/app/hook/deliveries", APP, list_deliveries),
        Route("GET", "/app/hook/deliveries/{delivery_id}", APP, get_delivery),
        Route("POST", "/app/hook/deliveries/{delivery_id}/attempts", APP, redeliver),
    ]
    for prefix, permission in (
        ("/repos/{owner}/{repo}", "repository_hooks"),
        ("/orgs/{org}", "organization_hooks"),
    ):
        base, one = f"{prefix}/hooks", f"{prefix}/hooks/{{hook_id}}"
        delivery = f"{one}/deliveries/{{delivery_id}}"
        read = Access("token", permission, "read", detailed_errors=True)
        write = Access("token", permission, "write", detailed_errors=True)
        creates = replace(write, creates_content=True)
        routes += [
            Route("GET", base, read, list_hooks),
            Route("POST", base, creates, create_hook),
            Route("GET", one, read, get_hook),
            Route("PATCH", one, write, update_hook),
            Route("DELETE", one, write, delete_hook),
            Route("GET", f"{one}/config", read, get_config),
            Route("PATCH", f"{one}/config", write, update_config),
            Route("POST", f"{one}/pings", write, ping_hook),
            Route("GET", f"{one}/deliveries", read, list_deliveries),
            Route("GET", delivery, read, get_delivery),
            Route("POST", f"{delivery}/attempts", write, redeliver),
        ]
        if permission == "repository_hooks":
            routes.append(Route("POST", f"{one}/tests", write, test_hook))
    return tuple(routes)


ROUTES = _routes()
