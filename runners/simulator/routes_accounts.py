"""Who one is, what there is, and what the site says of itself."""

from __future__ import annotations

from runners.simulator import render
from runners.simulator.model import Organization, Repository
from runners.simulator.permissions import can_see, repository_of
from runners.simulator.routing import API_VERSIONS, Access, Call, Route, listed
from runners.simulator.wire import ApiError, Json, JsonObject, Response, not_found
from runners.simulator.world import World

ANYONE = Access("anyone")
USER = Access("user")
METADATA = Access("token", "metadata", "read")
ZEN = "Approachable is better than simple."
OTHER_BUDGETS = {"graphql": 5000, "search": 30, "code_search": 10, "integration_manifest": 5000}
# The address templates of the root document; those without a path lead to the resource's name.
ROOT_PATHS = {
    "current_user": "/user",
    "authorizations": "/authorizations",
    "code_search": "/search/code?q={query}{&page,per_page,sort,order}",
    "commit_search": "/search/commits?q={query}{&page,per_page,sort,order}",
    "emails": "/user/emails",
    "emojis": "/emojis",
    "events": "/events",
    "feeds": "/feeds",
    "followers": "/user/followers",
    "following": "/user/following{/target}",
    "gists": "/gists{/gist_id}",
    "issue_search": "/search/issues?q={query}{&page,per_page,sort,order}",
    "issues": "/issues",
    "keys": "/user/keys",
    "label_search": "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}",
    "notifications": "/notifications",
    "organization": "/orgs/{org}",
    "organization_repositories": "/orgs/{org}/repos{?type,page,per_page,sort}",
    "organization_teams": "/orgs/{org}/teams",
    "public_gists": "/gists/public",
    "rate_limit": "/rate_limit",
    "repository": "/repos/{owner}/{repo}",
    "repository_search": "/search/repositories?q={query}{&page,per_page,sort,order}",
    "current_user_repositories": "/user/repos{?type,page,per_page,sort}",
    "starred": "/user/starred{/owner}{/repo}",
    "starred_gists": "/gists/starred",
    "user": "/users/{user}",
    "user_organizations": "/user/orgs",
    "user_repositories": "/users/{user}/repos{?type,page,per_page,sort}",
    "user_search": "/search/users?q={query}{&page,per_page,sort,order}",
}


def get_root(world: World, call: Call) -> Response:
    """The directory of the API."""
    del world
    body: JsonObject = {f"{name}_url": call.urls.api + path for name, path in ROOT_PATHS.items()}
    body["current_user_authorizations_html_url"] = (
        f"{call.urls.web}/settings/connections/applications{{/client_id}}"
    )
    return Response(body=body)


def get_meta(world: World, call: Call) -> Response:
    """What the site says of itself; an Enterprise Server adds its version."""
    del call
    body: JsonObject = {
        "verifiable_password_authentication": False,
        "hooks": ["127.0.0.0/8"],
        "web": ["127.0.0.0/8"],
        "api": ["127.0.0.0/8"],
        "git": ["127.0.0.0/8"],
        "actions": ["127.0.0.0/8"],
        "ssh_keys": [],
        "domains": {"website": ["127.0.0.1"], "actions": ["127.0.0.1"]},
    }
    if world.settings.ghes_version:
        body["installed_version"] = world.settings.ghes_version
    return Response(body=body)


def get_zen(world: World, call: Call) -> Response:
    """A line of wisdom."""
    del world, call
    return Response(content=ZEN.encode(), content_type="text/plain; charset=utf-8")


def get_versions(world: World, call: Call) -> Response:
    """The API versions; an Enterprise Server of old age does not know the question."""
    del call
    if world.settings.ghes_version:
        raise not_found()
    return Response(body=[*API_VERSIONS])


def get_rate_limit(world: World, call: Call) -> Response:
    """The caller's budgets; asking costs nothing."""
    caller = call.principal.caller
    if not world.limits.applies(caller):
        raise ApiError(404, "Rate limiting is not enabled.")
    core = world.limits.window(caller)
    registration_limit = world.settings.limits.registrations_per_five_minutes * 12
    resources: JsonObject = {"core": core.to_json()}
    for name, limit in (
        OTHER_BUDGETS | {"actions_runner_registration": registration_limit}
    ).items():
        resources[name] = {**core.to_json(), "limit": limit, "remaining": limit, "used": 0}
    body: JsonObject = {"resources": resources}
    if call.version == API_VERSIONS[0]:
        body["rate"] = core.to_json()
    return Response(body=body, headers=core.headers("core"))


def get_user(world: World, call: Call) -> Response:
    """Oneself."""
    user = call.principal.user
    if user is None:
        raise not_found()
    return Response(body=render.private_user(world, user, call.urls))


def get_user_by_name(world: World, call: Call) -> Response:
    """Anybody: a person or an organization."""
    name = call.params["username"].lower()
    user = world.store.users.get(name)
    if user is not None:
        return Response(body=render.public_user(world, user, call.urls))
    organization = world.store.organizations.get(name)
    if organization is None:
        raise not_found()
    full = render.organization_full(world, organization, call.urls)
    blank: dict[str, Json] = dict.fromkeys(("company", "location", "email", "bio", "hireable"))
    return Response(
        body=render.account(world, organization.login, call.urls)
        | blank
        | {name: full[name] for name in ("name", "public_repos", "created_at", "updated_at")}
        | {"blog": "", "public_gists": 0, "followers": 0, "following": 0}
    )


def _visible(world: World, call: Call, owner: str | None) -> list[Repository]:
    """The repositories the caller may see, filtered and sorted as asked."""
    kind = call.query.get("visibility") or call.query.get("type") or "all"
    found = [
        record
        for record in world.store.repositories.values()
        if (owner is None or record.owner.lower() == owner.lower())
        and can_see(world, call.principal, record)
        and (kind not in ("public", "private") or record.private == (kind == "private"))
    ]
    descending = call.query.get("direction") == "desc"
    return sorted(found, key=lambda r: r.full_name.lower(), reverse=descending)


def list_own_repositories(world: World, call: Call) -> Response:
    """The repositories of the accounts one belongs to."""
    user = call.principal.user
    if user is None:
        raise not_found()
    mine = {*user.roles, user.login.lower()}
    records = [r for r in _visible(world, call, None) if r.owner.lower() in mine]
    return listed(call, records, lambda r: render.repository(world, r, call.urls))


def list_organization_repositories(world: World, call: Call) -> Response:
    """An organization's repositories that the caller may see."""
    records = _visible(world, call, call.params["org"])
    return listed(call, records, lambda r: render.repository(world, r, call.urls))


def list_user_repositories(world: World, call: Call) -> Response:
    """An account's repositories that the caller may see."""
    name = call.params["username"].lower()
    if name not in world.store.users and name not in world.store.organizations:
        raise not_found()
    records = _visible(world, call, name)
    return listed(call, records, lambda r: render.repository(world, r, call.urls))


def list_own_organizations(world: World, call: Call) -> Response:
    """The organizations one belongs to."""
    user = call.principal.user
    if user is None:
        raise not_found()
    mine = [o for o in world.store.organizations.values() if o.login.lower() in user.roles]
    return listed(call, mine, lambda o: render.organization_simple(o, call.urls))


def get_organization(world: World, call: Call) -> Response:
    """An organization."""
    organization: Organization = world.store.organizations[call.params["org"].lower()]
    return Response(body=render.organization_full(world, organization, call.urls))


def get_repository(world: World, call: Call) -> Response:
    """A repository."""
    rendered = render.repository(world, repository_of(world, call), call.urls)
    if call.version != API_VERSIONS[0]:
        del rendered["has_downloads"]
    return Response(body=rendered)


def get_languages(world: World, call: Call) -> Response:
    """No code, no languages."""
    repository_of(world, call)
    return Response(body={})


def get_topics(world: World, call: Call) -> Response:
    """No topics."""
    repository_of(world, call)
    return Response(body={"names": []})


ROUTES = (
    Route("GET", "/", ANYONE, get_root),
    Route("GET", "/meta", ANYONE, get_meta),
    Route("GET", "/zen", ANYONE, get_zen),
    Route("GET", "/versions", ANYONE, get_versions),
    Route("GET", "/rate_limit", ANYONE, get_rate_limit),
    Route("GET", "/user", USER, get_user),
    Route("GET", "/user/repos", USER, list_own_repositories),
    Route("GET", "/user/orgs", USER, list_own_organizations),
    Route("GET", "/users/{username}", METADATA, get_user_by_name),
    Route("GET", "/users/{username}/repos", METADATA, list_user_repositories),
    Route("GET", "/orgs/{org}", METADATA, get_organization),
    Route("GET", "/orgs/{org}/repos", METADATA, list_organization_repositories),
    Route("GET", "/repos/{owner}/{repo}", METADATA, get_repository),
    Route("GET", "/repos/{owner}/{repo}/languages", METADATA, get_languages),
    Route("GET", "/repos/{owner}/{repo}/topics", METADATA, get_topics),
)
