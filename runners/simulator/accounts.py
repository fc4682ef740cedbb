"""Credentials, Apps and policies made on demand, by the control API and the manifest flow."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from runners.simulator import events, seed
from runners.simulator.model import App, Credential, CredentialKind, Installation, User
from runners.simulator.principals import new_installation_token, new_token
from runners.simulator.wire import Fields, JsonObject, invalid
from runners.simulator.world import World

KEY_BITS = 2048
RUNNER_PERMISSIONS = {
    "metadata": "read",
    "actions": "write",
    "administration": "write",
    "organization_self_hosted_runners": "write",
    "organization_hooks": "write",
}


def mint(world: World, fields: Fields) -> Credential:
    """A token: ``kind`` classic, fine_grained or installation. Raises 422.

    Shape: kind, login, role, scopes, owner, permissions, repositories, life_seconds,
    sso_authorized, installation_id.
    """
    kind = fields.choice("kind", ("classic", "fine_grained", "installation"))
    now = world.clock.time()
    life_seconds = fields.number("life_seconds") if fields.has("life_seconds") else None
    expires_at = None if life_seconds is None else now + life_seconds
    if kind == "installation":
        return installation_token(world, fields, expires_at)
    login = _user(world, fields).login
    kinds: dict[str, tuple[CredentialKind, str, int]] = {
        "classic": ("classic", "ghp_", 36),
        "fine_grained": ("fine_grained", "github_pat_", 82),
    }
    known_kind, prefix, length = kinds[kind]
    credential = Credential(
        token=fields.text("token", new_token(prefix, length)),
        kind=known_kind,
        created_at=now,
        expires_at=expires_at,
        login=login,
        scopes=fields.texts("scopes", []),
        owner=fields.text("owner", login),
        permissions=fields.mapping("permissions"),
        repository_ids=repository_ids(world, fields),
        sso_authorized=[each.lower() for each in fields.texts("sso_authorized", [])],
    )
    world.store.credentials[credential.token] = credential
    world.touch()
    return credential


def installation_token(world: World, fields: Fields, expires_at: float | None) -> Credential:
    """A token of an installation, with its permissions and repositories or a part of them."""
    installation = world.store.installations.get(fields.integer("installation_id"))
    if installation is None:
        raise invalid("installation_id: no such installation")
    asked = fields.mapping("permissions")
    for name, level in asked.items():
        granted = installation.permissions.get(name, "")
        if not granted or (level == "write" and granted == "read"):
            raise invalid("The permissions requested are not granted to this installation.")
    now = world.clock.time()
    credential = Credential(
        token=new_installation_token(installation.app_id),
        kind="installation",
        created_at=now,
        expires_at=expires_at or now + world.settings.timings.installation_token_seconds,
        permissions=asked or dict(installation.permissions),
        repository_ids=_narrowed(world, installation, fields),
        installation_id=installation.id,
    )
    world.store.credentials[credential.token] = credential
    world.touch()
    return credential


def _narrowed(world: World, installation: Installation, fields: Fields) -> list[int] | None:
    allowed = installation.repository_ids
    owned = {r.name.lower(): r.id for r in world.store.repositories_of(installation.account)}
    chosen = fields.integers("repository_ids", [])
    for name in fields.texts("repositories", []):
        if name.lower() not in owned:
            raise _no_such_repository()
        chosen.append(owned[name.lower()])
    if not chosen:
        return allowed
    usable = set(owned.values()) if allowed is None else set(allowed)
    if not set(chosen) <= usable:
        raise _no_such_repository()
    return chosen


def _no_such_repository() -> Exception:
    return invalid(
        "There is at least one repository that does not exist or is not accessible to the parent "
        "installation."
    )


def repository_ids(world: World, fields: Fields) -> list[int] | None:
    """``repositories`` by full name as ids; None when not given."""
    if not fields.has("repositories"):
        return None
    found = []
    for full_name in fields.texts("repositories"):
        repository = world.store.repository(full_name)
        if repository is None:
            raise invalid(f"repositories: {full_name!r} does not exist")
        found.append(repository.id)
    return found


def _user(world: World, fields: Fields) -> User:
    login = fields.text("login", seed.ADMIN_LOGIN)
    known = world.store.users.get(login.lower())
    if known is None:
        known = User(world.store.new_id(), login, world.clock.time())
        world.store.users[login.lower()] = known
    for account in fields.texts("admin_of", []):
        known.roles[account.lower()] = "admin"
    for account in fields.texts("member_of", []):
        known.roles[account.lower()] = "member"
    return known


def new_app(
    world: World, name: str, owner: str, permissions: dict[str, str], events_wanted: list[str]
) -> tuple[App, str]:
    """An App and its private key (PEM), which is kept nowhere else."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    public_pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    app = App(
        id=world.store.new_id(),
        slug=name.lower().replace(" ", "-"),
        name=name,
        owner=owner,
        client_id=new_token("Iv23li", 14),
        public_key_pem=public_pem.decode(),
        created_at=world.clock.time(),
        permissions=permissions,
        events=events_wanted,
    )
    world.store.apps[app.id] = app
    return app, private_pem


def add_app(world: World, fields: Fields) -> JsonObject:
    """Make an App and install it. Answers app_id, client_id, installation_id and the private key.

    Shape: name, account, permissions, events, repositories, hook_url, hook_secret.
    """
    account = fields.text("account")
    permissions = fields.mapping("permissions") or dict(RUNNER_PERMISSIONS)
    app, private_pem = new_app(
        world,
        fields.text("name", "Fleet"),
        account,
        permissions,
        fields.texts("events", ["workflow_job"]),
    )
    app.hook_url = fields.text("hook_url", "")
    app.hook_secret = fields.text("hook_secret", "")
    app.hook_content_type = "json"
    installation = install(world, app, account, repository_ids(world, fields))
    return {
        "app_id": app.id,
        "slug": app.slug,
        "client_id": app.client_id,
        "installation_id": installation.id,
        "private_key": private_pem,
    }


def install(world: World, app: App, account: str, chosen: list[int] | None = None) -> Installation:
    """Install an App on an account and say so."""
    if account.lower() not in world.store.organizations | world.store.users:
        raise invalid(f"account: {account!r} does not exist")
    installation = Installation(
        id=world.store.new_id(),
        app_id=app.id,
        account=account,
        created_at=world.clock.time(),
        permissions=dict(app.permissions),
        events=list(app.events),
        repository_ids=chosen,
    )
    world.store.installations[installation.id] = installation
    events.installation_changed(world, installation, "created")
    world.touch()
    return installation


def change_organization(world: World, login: str, fields: Fields) -> None:
    """Set token policies: sso_required, classic_forbidden, fine_grained_forbidden, …_max_days."""
    organization = world.store.organizations.get(login.lower())
    if organization is None:
        organization = seed.add_organization(world, login)
    organization.sso_required = fields.flag("sso_required", organization.sso_required)
    organization.classic_forbidden = fields.flag(
        "classic_forbidden", organization.classic_forbidden
    )
    organization.fine_grained_forbidden = fields.flag(
        "fine_grained_forbidden", organization.fine_grained_forbidden
    )
    organization.fine_grained_max_days = fields.integer(
        "fine_grained_max_days", organization.fine_grained_max_days
    )
    world.touch()
