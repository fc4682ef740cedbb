"""GitHub Apps: the App, its installations, its tokens, and one made from a manifest.

Secrets (token, private key, client and webhook secret) are left out of every repr.
Source: GitHub Docs "REST API endpoints for GitHub Apps".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from runners.github.parsing import Fields, Json, text_of


@dataclass(frozen=True, slots=True)
class InstallationToken:
    """A token for one installation, good for about an hour; `permissions` as granted."""

    token: str = field(repr=False)
    expires_at: datetime
    permissions: dict[str, str] = field(default_factory=dict, hash=False)
    repository_selection: str = ""


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App: its permissions ("administration": "write") and the events it hears."""

    id: int
    slug: str
    name: str
    client_id: str
    html_url: str
    owner: str
    permissions: dict[str, str] = field(hash=False)
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Installation:
    """An App installed on an account; `suspended_at` is set while it is switched off."""

    id: int
    app_id: int
    app_slug: str
    account: str
    target_type: str
    repository_selection: str
    html_url: str
    permissions: dict[str, str] = field(hash=False)
    events: tuple[str, ...]
    suspended_at: datetime | None


@dataclass(frozen=True, slots=True)
class ManifestApp:
    """An App just made from a manifest, with all its secrets; GitHub gives them once."""

    app: App
    client_secret: str = field(repr=False)
    pem: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def _account(fields: Fields, name: str) -> str:
    """The login of a person or organization, the slug of an enterprise."""
    account = fields.object_or_none(name)
    if account is None:
        return ""
    return account.text_or("login") or account.text_or("slug")


def parse_installation_token(value: Json) -> InstallationToken:
    """Read an installation-token."""
    fields = Fields(value, "installation token")
    permissions = fields.object_or_none("permissions")
    return InstallationToken(
        token=fields.text("token"),
        expires_at=fields.moment("expires_at"),
        permissions=permissions.texts_by_name() if permissions else {},
        repository_selection=fields.text_or("repository_selection"),
    )


def parse_app(value: Json) -> App:
    """Read an integration."""
    fields = Fields(value, "app")
    return App(
        id=fields.number("id"),
        slug=fields.text_or("slug"),
        name=fields.text("name"),
        client_id=fields.text_or("client_id"),
        html_url=fields.text_or("html_url"),
        owner=_account(fields, "owner"),
        permissions=fields.object("permissions").texts_by_name(),
        events=fields.list_of("events", text_of),
    )


def parse_installation(value: Json) -> Installation:
    """Read an installation."""
    fields = Fields(value, "installation")
    return Installation(
        id=fields.number("id"),
        app_id=fields.number("app_id"),
        app_slug=fields.text_or("app_slug"),
        account=_account(fields, "account"),
        target_type=fields.text_or("target_type"),
        repository_selection=fields.text_or("repository_selection"),
        html_url=fields.text_or("html_url"),
        permissions=fields.object("permissions").texts_by_name(),
        events=fields.list_of("events", text_of),
        suspended_at=fields.moment_or_none("suspended_at"),
    )


def parse_manifest_app(value: Json) -> ManifestApp:
    """Read the answer to a manifest conversion."""
    fields = Fields(value, "app from manifest")
    return ManifestApp(
        app=parse_app(value),
        client_secret=fields.text("client_secret"),
        pem=fields.text("pem"),
        webhook_secret=fields.text_or("webhook_secret"),
    )
