"""Runner groups of organizations and enterprises: who may use which runners."""

from __future__ import annotations

from runners.simulator import fleet, render, render_actions
from runners.simulator.model import DEFAULT_GROUP_ID, Repository, Runner, RunnerGroup
from runners.simulator.routing import Call, Route, listed
from runners.simulator.scopes import ENTERPRISE, ORGANIZATION, scope_of
from runners.simulator.wire import ApiError, Fields, Response, invalid, not_found
from runners.simulator.world import World

VISIBILITIES = {"orgs": ("all", "selected", "private"), "enterprises": ("all", "selected")}


def list_groups(world: World, call: Call) -> Response:
    """Own groups, then those inherited from the enterprise; ``visible_to_repository`` narrows."""
    scope = scope_of(call)
    groups = [*world.store.groups[scope].values(), *_inherited(world, scope)]
    wanted = call.query.get("visible_to_repository")
    if wanted is not None and scope.startswith("orgs/"):
        repository = world.store.repository(f"{call.params['org']}/{wanted}")
        groups = [g for g in groups if repository and _visible(world, g, repository)]
    return listed(
        call,
        groups,
        lambda g: render_actions.group(g, call.urls, seen_from=scope),
        "runner_groups",
    )


def _inherited(world: World, scope: str) -> list[RunnerGroup]:
    if not scope.startswith("orgs/"):
        return []
    organization = world.store.organizations[scope.removeprefix("orgs/")]
    above = world.store.groups.get(f"enterprises/{organization.enterprise}", {})
    return [
        group
        for group in above.values()
        if not group.default
        and (group.visibility != "selected" or organization.id in group.selected_ids)
    ]


def _visible(world: World, group: RunnerGroup, repository: Repository) -> bool:
    if group.visibility == "private" and not repository.private:
        return False
    if not repository.private and not group.allows_public_repositories:
        return False
    if group.scope.startswith("enterprises/"):
        return True
    return group.visibility != "selected" or repository.id in group.selected_ids


def get_group(world: World, call: Call) -> Response:
    """One group, own or inherited."""
    scope, group_id = scope_of(call), call.number("runner_group_id")
    group = world.store.groups[scope].get(group_id)
    if group is None:
        inherited = [g for g in _inherited(world, scope) if g.id == group_id]
        if not inherited:
            raise not_found()
        group = inherited[0]
    return Response(body=render_actions.group(group, call.urls, seen_from=scope))


def create_group(world: World, call: Call) -> Response:
    """A new group, with runners moved into it if asked."""
    scope, fields = scope_of(call), call.fields()
    name = fields.text("name")
    _check_name(world, scope, name, None)
    group = RunnerGroup(world.store.new_id(), scope, name)
    members = [fleet.find_runner(world, scope, i) for i in fields.integers("runners", [])]
    _change(scope, group, fields)
    key = "selected_repository_ids" if scope.startswith("orgs/") else "selected_organization_ids"
    group.selected_ids = _known_ids(world, scope, fields.integers(key, []))
    world.store.groups[scope][group.id] = group
    for runner in members:
        runner.group_id = group.id
    world.touch()
    return Response(201, render_actions.group(group, call.urls, seen_from=scope))


def update_group(world: World, call: Call) -> Response:
    """Change a group's name, visibility and restrictions."""
    scope = scope_of(call)
    group = fleet.find_group(world, scope, call.number("runner_group_id"))
    fields = call.fields(required=scope.startswith("orgs/"))
    name = fields.text("name", group.name)
    _check_name(world, scope, name, group)
    _change(scope, group, fields)
    group.name = name
    world.touch()
    return Response(200, render_actions.group(group, call.urls, seen_from=scope))


def _check_name(world: World, scope: str, name: str, own: RunnerGroup | None) -> None:
    if not name.strip():
        raise invalid("name: cannot be empty")
    for group in world.store.groups[scope].values():
        if group is not own and group.name.lower() == name.lower():
            raise ApiError(409, f"Runner group with name {name} already exists.")


def _change(scope: str, group: RunnerGroup, fields: Fields) -> None:
    choices = VISIBILITIES[scope.split("/")[0]]
    group.visibility = fields.choice("visibility", choices, group.visibility)
    group.allows_public_repositories = fields.flag(
        "allows_public_repositories", group.allows_public_repositories
    )
    group.restricted_to_workflows = fields.flag(
        "restricted_to_workflows", group.restricted_to_workflows
    )
    group.selected_workflows = fields.texts("selected_workflows", group.selected_workflows)


def delete_group(world: World, call: Call) -> Response:
    """Only an empty group that is not the default can go."""
    scope = scope_of(call)
    group = fleet.find_group(world, scope, call.number("runner_group_id"))
    if group.default:
        raise invalid("The default runner group cannot be deleted.")
    if _members(world, group):
        raise invalid("This group cannot be deleted because it has runners.")
    del world.store.groups[scope][group.id]
    world.touch()
    return Response(204)


def _members(world: World, group: RunnerGroup) -> list[Runner]:
    return [r for r in world.store.scope_runners(group.scope) if r.group_id == group.id]


def list_members(world: World, call: Call) -> Response:
    """The runners in a group."""
    group = fleet.find_group(world, scope_of(call), call.number("runner_group_id"))
    return listed(
        call, _members(world, group), lambda r: render_actions.runner(world, r), "runners"
    )


def set_members(world: World, call: Call) -> Response:
    """Replace the runners in a group; those left out go to the default group."""
    scope = scope_of(call)
    group = fleet.find_group(world, scope, call.number("runner_group_id"))
    ids = call.fields().integers("runners")
    chosen = [fleet.find_runner(world, scope, runner_id) for runner_id in ids]
    for runner in _members(world, group):
        runner.group_id = DEFAULT_GROUP_ID
    for runner in chosen:
        runner.group_id = group.id
    world.touch()
    return Response(204)


def add_member(world: World, call: Call) -> Response:
    """Move a runner into a group."""
    scope = scope_of(call)
    group = fleet.find_group(world, scope, call.number("runner_group_id"))
    fleet.find_runner(world, scope, call.number("runner_id")).group_id = group.id
    world.touch()
    return Response(204)


def remove_member(world: World, call: Call) -> Response:
    """Return a runner to the default group."""
    scope = scope_of(call)
    group = fleet.find_group(world, scope, call.number("runner_group_id"))
    runner = fleet.find_runner(world, scope, call.number("runner_id"))
    if runner.group_id != group.id:
        raise not_found()
    runner.group_id = DEFAULT_GROUP_ID
    world.touch()
    return Response(204)


def list_repositories(world: World, call: Call) -> Response:
    """The repositories selected for a group."""
    group = _selected_group(world, call)
    chosen = [world.store.repositories[i] for i in group.selected_ids]
    return listed(
        call,
        chosen,
        lambda r: render.minimal_repository(world, r, call.urls),
        "repositories",
    )


def list_organizations(world: World, call: Call) -> Response:
    """The organizations selected for an enterprise's group."""
    group = _selected_group(world, call)
    chosen = [o for o in world.store.organizations.values() if o.id in group.selected_ids]
    return listed(call, chosen, lambda o: render.organization_simple(o, call.urls), "organizations")


def set_selected(world: World, call: Call) -> Response:
    """Replace the selection."""
    group = _selected_group(world, call)
    of_organization = group.scope.startswith("orgs/")
    key = "selected_repository_ids" if of_organization else "selected_organization_ids"
    group.selected_ids = _known_ids(world, group.scope, call.fields().integers(key))
    world.touch()
    return Response(204)


def add_selected(world: World, call: Call) -> Response:
    """Add one to the selection."""
    group = _selected_group(world, call)
    (chosen,) = _known_ids(world, group.scope, [_selected_id(call)])
    if chosen not in group.selected_ids:
        group.selected_ids.append(chosen)
    world.touch()
    return Response(204)


def remove_selected(world: World, call: Call) -> Response:
    """Take one out of the selection."""
    group = _selected_group(world, call)
    chosen = _selected_id(call)
    if chosen not in group.selected_ids:
        raise not_found()
    group.selected_ids.remove(chosen)
    world.touch()
    return Response(204)


def _selected_id(call: Call) -> int:
    return call.number("repository_id" if "repository_id" in call.params else "org_id")


def _selected_group(world: World, call: Call) -> RunnerGroup:
    group = fleet.find_group(world, scope_of(call), call.number("runner_group_id"))
    if group.visibility != "selected" and call.method != "GET":
        raise invalid("visibility: must be set to selected for this operation")
    return group


def _known_ids(world: World, scope: str, ids: list[int]) -> list[int]:
    """The ids, each once. Raises 404 for one that is not below the scope."""
    kind, name = scope.split("/")
    if kind == "orgs":
        known = {r.id for r in world.store.repositories_of(name)}
    else:
        known = {o.id for o in world.store.organizations.values() if o.enterprise == name}
    if not set(ids) <= known:
        raise not_found()
    return list(dict.fromkeys(ids))


def _routes() -> tuple[Route, ...]:
    routes = []
    for scope in (ORGANIZATION, ENTERPRISE):
        base = f"{scope.prefix}/actions/runner-groups"
        one = f"{base}/{{runner_group_id}}"
        runner = f"{one}/runners/{{runner_id}}"
        of_organization = scope is ORGANIZATION
        selected = f"{one}/{'repositories' if of_organization else 'organizations'}"
        item = f"{selected}/{{{'repository_id' if of_organization else 'org_id'}}}"
        read, write = scope.reads(), scope.writes()
        routes += [
            Route("GET", base, read, list_groups),
            Route("POST", base, write, create_group),
            Route("GET", one, read, get_group),
            Route("PATCH", one, write, update_group),
            Route("DELETE", one, write, delete_group),
            Route("GET", f"{one}/runners", read, list_members),
            Route("PUT", f"{one}/runners", write, set_members),
            Route("PUT", runner, write, add_member),
            Route("DELETE", runner, write, remove_member),
            Route(
                "GET", selected, read, list_repositories if of_organization else list_organizations
            ),
            Route("PUT", selected, write, set_selected),
            Route("PUT", item, write, add_selected),
            Route("DELETE", item, write, remove_selected),
        ]
    return tuple(routes)


ROUTES = _routes()
