"""Accounts, repositories, hooks, Apps and installations as GitHub writes them in JSON.

Pure: reads records, changes nothing. Field names and shapes follow GitHub's OpenAPI description.
"""

from __future__ import annotations

import base64

from runners.simulator.model import (
    App,
    Delivery,
    Enterprise,
    Hook,
    Installation,
    Organization,
    Repository,
    User,
)
from runners.simulator.urls import Urls
from runners.simulator.wire import Json, JsonObject, iso
from runners.simulator.world import World

# Address fields of a repository: name without "_url" to the path below the repository's own.
REPOSITORY_PATHS = {
    "archive": "/{archive_format}{/ref}",
    "assignees": "/assignees{/user}",
    "blobs": "/git/blobs{/sha}",
    "branches": "/branches{/branch}",
    "collaborators": "/collaborators{/collaborator}",
    "comments": "/comments{/number}",
    "commits": "/commits{/sha}",
    "compare": "/compare/{base}...{head}",
    "contents": "/contents/{+path}",
    "contributors": "/contributors",
    "deployments": "/deployments",
    "downloads": "/downloads",
    "events": "/events",
    "forks": "/forks",
    "git_commits": "/git/commits{/sha}",
    "git_refs": "/git/refs{/sha}",
    "git_tags": "/git/tags{/sha}",
    "hooks": "/hooks",
    "issue_comment": "/issues/comments{/number}",
    "issue_events": "/issues/events{/number}",
    "issues": "/issues{/number}",
    "keys": "/keys{/key_id}",
    "labels": "/labels{/name}",
    "languages": "/languages",
    "merges": "/merges",
    "milestones": "/milestones{/number}",
    "notifications": "/notifications{?since,all,participating}",
    "pulls": "/pulls{/number}",
    "releases": "/releases{/id}",
    "stargazers": "/stargazers",
    "statuses": "/statuses/{sha}",
    "subscribers": "/subscribers",
    "subscription": "/subscription",
    "tags": "/tags",
    "teams": "/teams",
    "trees": "/git/trees{/sha}",
}
# Address fields of a user or organization, in the same way.
ACCOUNT_PATHS = {
    "followers": "/followers",
    "following": "/following{/other_user}",
    "gists": "/gists{/gist_id}",
    "starred": "/starred{/owner}{/repo}",
    "subscriptions": "/subscriptions",
    "organizations": "/orgs",
    "repos": "/repos",
    "events": "/events{/privacy}",
    "received_events": "/received_events",
}


def node_id(number: int) -> str:
    """An opaque global id for a record."""
    return base64.urlsafe_b64encode(f"0:SimulatorRecord{number}".encode()).decode().rstrip("=")


def owner_of(scope: str) -> str:
    """The account of a scope: ``acme`` for ``repos/acme/web`` and ``orgs/acme``."""
    return scope.split("/")[1]


def account(world: World, login: str, urls: Urls) -> JsonObject:
    """A ``simple-user``: a person or an organization; an unknown login shows as a stranger."""
    organization = world.store.organizations.get(login.lower())
    user = world.store.users.get(login.lower())
    known = organization or user
    name = known.login if known else login
    number = known.id if known else 1
    base = f"{urls.api}/users/{name}"
    rendered: JsonObject = {
        "login": name,
        "id": number,
        "node_id": node_id(number),
        "avatar_url": f"{urls.web}/avatars/{number}",
        "gravatar_id": "",
        "url": base,
        "html_url": f"{urls.web}/{name}",
        "type": "Organization" if organization else "User",
        "user_view_type": "public",
        "site_admin": False,
    }
    for field, path in ACCOUNT_PATHS.items():
        rendered[f"{field}_url"] = base + path
    return rendered


def public_user(world: World, user: User, urls: Urls) -> JsonObject:
    """A person's public profile."""
    rendered = account(world, user.login, urls)
    blank: dict[str, Json] = dict.fromkeys(("company", "location", "email", "bio", "hireable"))
    return (
        rendered
        | blank
        | {
            "name": user.login,
            "blog": "",
            "twitter_username": None,
            "public_repos": len(world.store.repositories_of(user.login)),
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": iso(user.created_at),
            "updated_at": iso(user.created_at),
        }
    )


def private_user(world: World, user: User, urls: Urls) -> JsonObject:
    """A person's own profile, as ``GET /user`` shows it."""
    return public_user(world, user, urls) | {
        "user_view_type": "private",
        "private_gists": 0,
        "total_private_repos": 0,
        "owned_private_repos": 0,
        "disk_usage": 0,
        "collaborators": 0,
        "two_factor_authentication": True,
    }


def organization_simple(organization: Organization, urls: Urls) -> JsonObject:
    """An organization in lists and in webhooks."""
    base = f"{urls.api}/orgs/{organization.login}"
    return {
        "login": organization.login,
        "id": organization.id,
        "node_id": node_id(organization.id),
        "url": base,
        "repos_url": f"{base}/repos",
        "events_url": f"{base}/events",
        "hooks_url": f"{base}/hooks",
        "issues_url": f"{base}/issues",
        "members_url": f"{base}/members{{/member}}",
        "public_members_url": f"{base}/public_members{{/member}}",
        "avatar_url": f"{urls.web}/avatars/{organization.id}",
        "description": "",
    }


def organization_full(world: World, organization: Organization, urls: Urls) -> JsonObject:
    """An organization by itself."""
    repositories = world.store.repositories_of(organization.login)
    return organization_simple(organization, urls) | {
        "name": organization.login,
        "has_organization_projects": True,
        "has_repository_projects": True,
        "public_repos": sum(not r.private for r in repositories),
        "total_private_repos": sum(r.private for r in repositories),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "html_url": f"{urls.web}/{organization.login}",
        "type": "Organization",
        "created_at": iso(organization.created_at),
        "updated_at": iso(organization.created_at),
        "archived_at": None,
    }


def enterprise(record: Enterprise, urls: Urls) -> JsonObject:
    """An enterprise."""
    return {
        "id": record.id,
        "node_id": node_id(record.id),
        "name": record.slug,
        "slug": record.slug,
        "description": None,
        "website_url": None,
        "html_url": f"{urls.web}/enterprises/{record.slug}",
        "created_at": iso(record.created_at),
        "updated_at": iso(record.created_at),
        "avatar_url": f"{urls.web}/avatars/{record.id}",
    }


def minimal_repository(world: World, record: Repository, urls: Urls) -> JsonObject:
    """A repository with its addresses and little else."""
    base = f"{urls.api}/repos/{record.full_name}"
    rendered: JsonObject = {
        "id": record.id,
        "node_id": node_id(record.id),
        "name": record.name,
        "full_name": record.full_name,
        "private": record.private,
        "owner": account(world, record.owner, urls),
        "html_url": f"{urls.web}/{record.full_name}",
        "description": record.description or None,
        "fork": False,
        "url": base,
    }
    for field, path in REPOSITORY_PATHS.items():
        rendered[f"{field}_url"] = base + path
    return rendered


def repository(
    world: World, record: Repository, urls: Urls, *, webhook: bool = False
) -> JsonObject:
    """A repository in full; webhooks leave out what only a signed-in reader sees."""
    host = urls.web.split("://", 1)[1]
    created = iso(record.created_at)
    rendered = minimal_repository(world, record, urls) | {
        "git_url": f"git://{host}/{record.full_name}.git",
        "ssh_url": f"git@{host}:{record.full_name}.git",
        "clone_url": f"{urls.web}/{record.full_name}.git",
        "svn_url": f"{urls.web}/{record.full_name}",
        "mirror_url": None,
        "homepage": None,
        "language": None,
        "license": None,
        "size": 0,
        "default_branch": record.default_branch,
        "is_template": False,
        "topics": [],
        "visibility": "private" if record.private else "public",
        "archived": False,
        "disabled": False,
        "allow_forking": True,
        "web_commit_signoff_required": False,
        "created_at": created,
        "updated_at": created,
        "pushed_at": created,
    }
    for field in ("has_issues", "has_projects", "has_downloads", "has_wiki"):
        rendered[field] = True
    for field in ("has_pages", "has_discussions"):
        rendered[field] = False
    for field in ("forks", "open_issues", "watchers"):
        rendered[field] = rendered[f"{field}_count"] = 0
    rendered["stargazers_count"] = 0
    if not webhook:
        rendered["permissions"] = dict.fromkeys(
            ("admin", "maintain", "push", "triage", "pull"), True
        )
        rendered["network_count"] = rendered["subscribers_count"] = 0
    return rendered


def hook(record: Hook, urls: Urls) -> JsonObject:
    """A webhook; its secret shows as asterisks, as GitHub does."""
    base = f"{urls.api}/{record.scope}/hooks/{record.id}"
    of_repository = record.scope.startswith("repos/")
    rendered: JsonObject = {
        "type": "Repository" if of_repository else "Organization",
        "id": record.id,
        "name": "web",
        "active": record.active,
        "events": [*record.events],
        "config": hook_config(record.url, record.content_type, record.insecure_ssl, record.secret),
        "updated_at": iso(record.updated_at),
        "created_at": iso(record.created_at),
        "url": base,
        "ping_url": f"{base}/pings",
        "deliveries_url": f"{base}/deliveries",
    }
    if of_repository:
        rendered["test_url"] = f"{base}/test"
        rendered["last_response"] = {
            "code": record.last_code,
            "status": record.last_status,
            "message": None,
        }
    return rendered


def hook_config(url: str, content_type: str, insecure_ssl: str, secret: str) -> JsonObject:
    """A hook's configuration without its secret."""
    config: JsonObject = {"content_type": content_type, "insecure_ssl": insecure_ssl, "url": url}
    if secret:
        config["secret"] = "********"  # noqa: S105 (what GitHub shows instead)
    return config


def delivery_item(record: Delivery) -> JsonObject:
    """A delivery in a list."""
    return {
        "id": record.id,
        "guid": record.guid,
        "delivered_at": iso(record.delivered_at),
        "redelivery": record.redelivery,
        "duration": record.duration_seconds,
        "status": record.status,
        "status_code": record.status_code,
        "event": record.event,
        "action": record.action,
        "installation_id": record.installation_id,
        "repository_id": record.repository_id,
        "throttled_at": None,
    }


def installation(world: World, record: Installation, urls: Urls) -> JsonObject:
    """An installation of an App."""
    app = world.store.apps[record.app_id]
    organization = world.store.organizations.get(record.account.lower())
    owner = account(world, record.account, urls)
    place = f"organizations/{record.account}/settings" if organization else "settings"
    return {
        "id": record.id,
        "account": owner,
        "repository_selection": "all" if record.repository_ids is None else "selected",
        "access_tokens_url": f"{urls.api}/app/installations/{record.id}/access_tokens",
        "repositories_url": f"{urls.api}/installation/repositories",
        "html_url": f"{urls.web}/{place}/installations/{record.id}",
        "app_id": app.id,
        "client_id": app.client_id,
        "app_slug": app.slug,
        "target_id": owner["id"],
        "target_type": owner["type"],
        "permissions": {**record.permissions},
        "events": [*record.events],
        "created_at": iso(record.created_at),
        "updated_at": iso(record.created_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": account(world, app.owner, urls) if record.suspended_at else None,
        "suspended_at": iso(record.suspended_at),
    }


def installation_repositories(world: World, record: Installation) -> list[Repository]:
    """The repositories an installation may use."""
    owned = world.store.repositories_of(record.account)
    chosen = record.repository_ids
    return owned if chosen is None else [r for r in owned if r.id in chosen]


def app(world: World, record: App, urls: Urls) -> JsonObject:
    """A GitHub App, without anything secret."""
    return {
        "id": record.id,
        "slug": record.slug,
        "node_id": node_id(record.id),
        "client_id": record.client_id,
        "owner": account(world, record.owner, urls),
        "name": record.name,
        "description": "",
        "external_url": f"{urls.web}/apps/{record.slug}",
        "html_url": f"{urls.web}/apps/{record.slug}",
        "created_at": iso(record.created_at),
        "updated_at": iso(record.created_at),
        "permissions": {**record.permissions},
        "events": [*record.events],
        "installations_count": sum(
            i.app_id == record.id for i in world.store.installations.values()
        ),
    }
