"""Which webhooks a change causes, for whom, and what they say. Callers hold the world's lock."""

from __future__ import annotations

import json
from collections.abc import Callable

from runners.simulator import render, render_actions
from runners.simulator.model import App, Delivery, Hook, Installation, Job, Repository, Run
from runners.simulator.outbox import Message, Receiver, new_guid
from runners.simulator.urls import API_V3, Urls
from runners.simulator.wire import JsonObject
from runners.simulator.world import World


def job_changed(world: World, job: Job, action: str) -> None:
    """``workflow_job``: queued, waiting, in_progress or completed."""
    run = world.store.runs[job.run_id]

    def content(urls: Urls) -> JsonObject:
        return {"workflow_job": render_actions.job(world, job, urls)}

    _emit(world, "workflow_job", action, run, content)


def run_changed(world: World, run: Run, action: str) -> None:
    """``workflow_run``: requested, in_progress or completed."""

    def content(urls: Urls) -> JsonObject:
        workflow = world.store.workflows[run.workflow_id]
        return {
            "workflow_run": render_actions.run(world, run, urls),
            "workflow": render_actions.workflow(world, workflow, urls),
        }

    _emit(world, "workflow_run", action, run, content)


def _emit(
    world: World, event: str, action: str, run: Run, content: Callable[[Urls], JsonObject]
) -> None:
    repository = world.store.repositories[run.repository_id]
    hooks = _listening_hooks(world, event, repository)
    installed = _listening_apps(world, event, repository)
    if not hooks and not installed:
        return
    urls = webhook_urls(world)
    payload: JsonObject = {"action": action, **content(urls)}
    payload |= _context(world, repository, run.actor, urls)
    guid = new_guid()
    text = json.dumps(payload)
    for hook in hooks:
        receiver = hook_receiver(world, hook)
        world.outbox.post(receiver, Message(event, action, text, guid, repository.id))
    for app, installation in installed:
        payload["installation"] = {
            "id": installation.id,
            "node_id": render.node_id(installation.id),
        }
        message = Message(event, action, json.dumps(payload), guid, repository.id, installation.id)
        world.outbox.post(app_receiver(app), message)


def _context(world: World, repository: Repository, actor: str, urls: Urls) -> JsonObject:
    context: JsonObject = {
        "repository": render.repository(world, repository, urls, webhook=True),
        "sender": render.account(world, actor, urls),
    }
    organization = world.store.organizations.get(repository.owner.lower())
    if organization is not None:
        context["organization"] = render.organization_simple(organization, urls)
        enterprise = world.store.enterprises.get(organization.enterprise)
        if enterprise is not None:
            context["enterprise"] = render.enterprise(enterprise, urls)
    return context


def ping(world: World, hook: Hook) -> Delivery:
    """The ``ping`` of a hook's creation, of a settings page and of ``POST …/pings``."""
    urls = webhook_urls(world)
    payload: JsonObject = {
        "zen": "Practicality beats purity.",
        "hook_id": hook.id,
        "hook": render.hook(hook, urls),
        "sender": render.account(world, render.owner_of(hook.scope), urls),
    }
    payload |= _hook_owner(world, hook, urls)
    message = Message("ping", None, json.dumps(payload), new_guid(), _repository_id(world, hook))
    return world.outbox.post(hook_receiver(world, hook), message)


def hook_deleted(world: World, hook: Hook) -> None:
    """``meta``: the hook's last words."""
    if "meta" not in hook.events and "*" not in hook.events:
        return
    urls = webhook_urls(world)
    payload: JsonObject = {
        "action": "deleted",
        "hook_id": hook.id,
        "hook": render.hook(hook, urls),
        "sender": render.account(world, render.owner_of(hook.scope), urls),
    }
    payload |= _hook_owner(world, hook, urls)
    message = Message("meta", "deleted", json.dumps(payload), new_guid())
    world.outbox.post(hook_receiver(world, hook), message)


def installation_changed(world: World, installation: Installation, action: str) -> None:
    """``installation``: created, deleted, suspend, unsuspend."""
    app = world.store.apps[installation.app_id]
    if not app.hook_url:
        return
    urls = webhook_urls(world)
    repositories = render.installation_repositories(world, installation)
    payload: JsonObject = {
        "action": action,
        "installation": render.installation(world, installation, urls),
        "repositories": [
            {
                "id": r.id,
                "node_id": render.node_id(r.id),
                "name": r.name,
                "full_name": r.full_name,
                "private": r.private,
            }
            for r in repositories
        ],
        "sender": render.account(world, installation.account, urls),
    }
    if action == "created":
        payload["requester"] = None
    message = Message(
        "installation", action, json.dumps(payload), new_guid(), None, installation.id
    )
    world.outbox.post(app_receiver(app), message)


def payload_of(delivery: Delivery) -> JsonObject:
    """What a delivery said."""
    payload: JsonObject = json.loads(delivery.payload)
    return payload


def hook_receiver(world: World, hook: Hook) -> Receiver:
    """Where a repository's or an organization's hook delivers to."""
    repository_id = _repository_id(world, hook)
    organization = world.store.organizations.get(render.owner_of(hook.scope))
    return Receiver(
        hook_id=hook.id,
        app_id=0,
        url=hook.url,
        secret=hook.secret,
        content_type=hook.content_type,
        insecure_ssl=hook.insecure_ssl,
        target_type="repository" if repository_id else "organization",
        target_id=repository_id or (organization.id if organization else 0),
    )


def app_receiver(app: App) -> Receiver:
    """Where an App's hook delivers to."""
    return Receiver(
        hook_id=0,
        app_id=app.id,
        url=app.hook_url,
        secret=app.hook_secret,
        content_type=app.hook_content_type,
        insecure_ssl=app.hook_insecure_ssl,
        target_type="integration",
        target_id=app.id,
    )


def webhook_urls(world: World) -> Urls:
    """The bases that webhook payloads name: the API where the site's own address leads to it."""
    return Urls(api=world.urls.web + API_V3, web=world.urls.web)


def _hook_owner(world: World, hook: Hook, urls: Urls) -> JsonObject:
    repository_id = _repository_id(world, hook)
    if repository_id is not None:
        repository = world.store.repositories[repository_id]
        return {"repository": render.repository(world, repository, urls, webhook=True)}
    organization = world.store.organizations[render.owner_of(hook.scope)]
    return {"organization": render.organization_simple(organization, urls)}


def _repository_id(world: World, hook: Hook) -> int | None:
    if not hook.scope.startswith("repos/"):
        return None
    repository = world.store.repository(hook.scope.removeprefix("repos/"))
    return repository.id if repository else None


def _listening_hooks(world: World, event: str, repository: Repository) -> list[Hook]:
    scopes = (repository.scope, f"orgs/{repository.owner.lower()}")
    return [
        hook
        for hook in world.store.hooks.values()
        if hook.active and hook.scope in scopes and (event in hook.events or "*" in hook.events)
    ]


def _listening_apps(
    world: World, event: str, repository: Repository
) -> list[tuple[App, Installation]]:
    found = []
    for installation in world.store.installations.values():
        app = world.store.apps[installation.app_id]
        if not app.hook_url or installation.suspended_at or event not in app.events:
            continue
        if installation.account.lower() != repository.owner.lower():
            continue
        chosen = installation.repository_ids
        if chosen is None or repository.id in chosen:
            found.append((app, installation))
    return found
