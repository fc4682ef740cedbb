"""What a caller may see and do, and in which words and headers GitHub refuses it.

Visibility comes first: what a token may not see is 404, only then is what it may not do 403.
"""

from __future__ import annotations

from runners.simulator.model import Credential, Organization, Repository
from runners.simulator.principals import Principal, expired
from runners.simulator.routing import Access, Call
from runners.simulator.wire import ApiError, not_found
from runners.simulator.world import World

# Scopes of a classic token that open a permission; any one of them is enough.
CLASSIC_SCOPES: dict[str, tuple[str, ...]] = {
    "administration": ("repo",),
    "actions": ("repo",),
    "contents": ("repo",),
    "deployments": ("repo",),
    "repository_hooks": ("admin:repo_hook", "write:repo_hook", "repo"),
    "organization_hooks": ("admin:org_hook",),
    "organization_self_hosted_runners": ("admin:org",),
    "organization_administration": ("admin:org",),
    "enterprise_runners": ("manage_runners:enterprise", "admin:enterprise"),
}
ADMIN_PERMISSIONS = (
    "administration",
    "repository_hooks",
    "organization_hooks",
    "organization_self_hosted_runners",
    "organization_administration",
)
# What anybody may read of a public repository, signed in or not.
PUBLIC_PERMISSIONS = ("metadata", "contents", "actions")


def headers_for(principal: Principal, access: Access) -> dict[str, str]:
    """The headers that tell what the token has and what the call accepts."""
    headers = {}
    if access.permission and access.permission != "enterprise_runners":
        headers["X-Accepted-GitHub-Permissions"] = f"{access.permission}={access.level}"
    if principal.kind == "classic" and principal.credential is not None:
        headers["X-OAuth-Scopes"] = ", ".join(principal.credential.scopes)
        headers["X-Accepted-OAuth-Scopes"] = ", ".join(CLASSIC_SCOPES.get(access.permission, ()))
    return headers


def check(world: World, call: Call, access: Access) -> None:
    """Raises 401, 403 or 404 unless the caller may call a route with these path parameters."""
    principal = call.principal
    if access.who in ("anyone", "open"):
        return
    if access.who == "app":
        if principal.kind != "app":
            raise ApiError(401, "A JSON web token could not be decoded")
        return
    if access.who == "installation":
        _require(
            principal, "installation", "You must authenticate with an installation access token"
        )
        return
    if principal.kind == "app":
        raise ApiError(403, "Resource not accessible by integration")
    if access.who == "user":
        _check_user(principal)
        return
    _check_target(world, call, access)


def _require(principal: Principal, kind: str, message: str) -> None:
    if principal.kind == "anonymous":
        raise ApiError(401, "Requires authentication")
    if principal.kind != kind:
        raise ApiError(403, f"{message} in order to list repositories for an installation.")


def _check_user(principal: Principal) -> None:
    if principal.kind == "anonymous":
        raise ApiError(401, "Requires authentication")
    if principal.kind == "installation":
        raise ApiError(403, "Resource not accessible by integration")


def _check_target(world: World, call: Call, access: Access) -> None:
    if "enterprise" in call.params:
        _check_enterprise(world, call, access)
    elif "owner" in call.params:
        _check_repository(world, call, access)
    elif "org" in call.params:
        _check_organization(world, call, access)
    elif call.principal.kind == "anonymous" and access.permission != "metadata":
        raise ApiError(401, "Requires authentication")


def repository_of(world: World, call: Call) -> Repository:
    """The repository named in the path. Raises 404."""
    found = world.store.repository(f"{call.params['owner']}/{call.params['repo']}")
    if found is None:
        raise not_found()
    return found


def can_see(world: World, principal: Principal, repository: Repository) -> bool:
    """True when the repository exists as far as the caller can tell."""
    if not repository.private:
        return True
    credential = principal.credential
    if credential is None:
        return False
    owner = repository.owner.lower()
    if principal.installation is not None:
        if principal.installation.account.lower() != owner:
            return False
        chosen = credential.repository_ids
        return chosen is None or repository.id in chosen
    user = principal.user
    if user is None or (owner not in user.roles and user.login.lower() != owner):
        return False
    if principal.kind == "classic":
        return "repo" in credential.scopes
    if credential.owner.lower() != owner:
        return False
    return credential.repository_ids is None or repository.id in credential.repository_ids


def _check_repository(world: World, call: Call, access: Access) -> None:
    principal = call.principal
    repository = repository_of(world, call)
    if not can_see(world, principal, repository):
        raise not_found()
    reads_public = access.permission in PUBLIC_PERMISSIONS and access.level == "read"
    if not repository.private and reads_public:
        return
    if principal.kind == "anonymous":
        raise ApiError(401, "Requires authentication")
    organization = world.store.organizations.get(repository.owner.lower())
    _check_policy(world, principal, organization)
    _check_grant(world, principal, access, repository.owner.lower(), repository)


def _check_organization(world: World, call: Call, access: Access) -> None:
    principal = call.principal
    name = call.params["org"].lower()
    organization = world.store.organizations.get(name)
    if organization is None:
        raise not_found()
    if access.permission == "metadata":
        return
    if principal.kind == "anonymous":
        raise ApiError(401, "Requires authentication")
    if principal.user is not None and name not in principal.user.roles:
        raise not_found()
    if principal.installation is not None and principal.installation.account.lower() != name:
        raise not_found()
    _check_policy(world, principal, organization)
    _check_grant(world, principal, access, name, None)


def _check_enterprise(world: World, call: Call, access: Access) -> None:
    """Enterprise operations are closed to Apps and to fine-grained tokens."""
    principal = call.principal
    slug = call.params["enterprise"].lower()
    if principal.kind == "anonymous":
        raise ApiError(401, "Requires authentication")
    if slug not in world.store.enterprises:
        raise not_found()
    if principal.kind == "installation":
        raise ApiError(403, "Resource not accessible by integration")
    if principal.kind == "fine_grained":
        raise ApiError(403, "Resource not accessible by personal access token")
    user, credential = principal.user, principal.credential
    if user is None or credential is None or slug not in user.roles:
        raise not_found()
    scopes = CLASSIC_SCOPES[access.permission]
    if user.roles[slug] != "admin" or not set(scopes) & set(credential.scopes):
        raise ApiError(403, "Must have admin rights to Enterprise.")


def _check_policy(world: World, principal: Principal, organization: Organization | None) -> None:
    """The organization's rules about tokens: single sign-on, and which kinds it takes at all."""
    credential = principal.credential
    if organization is None or credential is None or principal.kind == "installation":
        return
    login = organization.login
    if principal.kind == "classic":
        if organization.classic_forbidden:
            raise ApiError(
                403,
                f"`{login}` forbids access via a personal access token (classic). Please use a "
                "GitHub App, OAuth App, or a personal access token with fine-grained permissions.",
            )
        if organization.sso_required and login.lower() not in credential.sso_authorized:
            _raise_sso(world, login)
        return
    if organization.fine_grained_forbidden:
        raise ApiError(
            403,
            f"`{login}` forbids access via a fine-grained personal access token. Please use a "
            "GitHub App, OAuth App, or a personal access token (classic).",
        )
    _check_token_age(organization, credential)


def _raise_sso(world: World, login: str) -> None:
    address = f"{world.urls.web}/orgs/{login}/sso?authorization_request=simulator"
    raise ApiError(
        403,
        "Resource protected by organization SAML enforcement. You must grant your Personal Access "
        "token access to this organization.",
        headers={"X-GitHub-SSO": f"required; url={address}"},
    )


def _check_token_age(organization: Organization, credential: Credential) -> None:
    most_days = organization.fine_grained_max_days
    if not most_days:
        return
    ends = credential.expires_at
    if ends is None or ends - credential.created_at > most_days * 86400:
        raise ApiError(
            403,
            f"The '{organization.login}' organization forbids access via a fine-grained personal "
            f"access tokens if the token's lifetime is greater than {most_days} days. Please "
            "adjust your token's lifetime.",
        )


def _check_grant(
    world: World, principal: Principal, access: Access, owner: str, repository: Repository | None
) -> None:
    credential = principal.credential
    if credential is None or expired(world, credential):
        raise ApiError(401, "Requires authentication")
    if principal.kind == "classic":
        _check_classic(principal, credential, access, owner)
        return
    application = principal.kind == "installation"
    word = "integration" if application else "personal access token"
    refusal = ApiError(403, f"Resource not accessible by {word}")
    if not application and credential.owner.lower() != owner:
        # A fine-grained token outside its own resource owner sees public things only.
        raise not_found() if repository is None or repository.private else refusal
    granted = credential.permissions.get(access.permission, "")
    if access.permission == "metadata":
        granted = granted or "read"
    if not granted or (access.level == "write" and granted == "read"):
        raise refusal


def _check_classic(
    principal: Principal, credential: Credential, access: Access, owner: str
) -> None:
    user = principal.user
    scopes = CLASSIC_SCOPES.get(access.permission, ())
    reads_hooks = access.permission == "repository_hooks" and access.level == "read"
    if reads_hooks:
        scopes = (*scopes, "read:repo_hook")
    has_scope = not scopes or bool(set(scopes) & set(credential.scopes))
    owns = user is not None and (user.roles.get(owner) == "admin" or user.login.lower() == owner)
    if not has_scope or (access.permission in ADMIN_PERMISSIONS and not owns):
        raise ApiError(403, "Must have admin rights to Repository.")
