"""Who the credential is, what it may spend, and what the server says of itself.

Source: GitHub Docs "REST API endpoints for users", "... rate limits", "... meta data".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from runners.github.limits import Budget
from runners.github.parsing import Fields, Json, moment_from, text_of

EXPIRY_HEADER = "github-authentication-token-expiration"


@dataclass(frozen=True, slots=True)
class Owner:
    """A person or an organization."""

    id: int
    login: str


@dataclass(frozen=True, slots=True)
class AuthenticatedUser:
    """The person behind a token, and what the answer's headers told of the token.

    `token_scopes` is None for tokens that have none (fine-grained); `token_expires_at` is None for
    a token that does not expire, or does not say so.
    """

    id: int
    login: str
    token_scopes: tuple[str, ...] | None
    token_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Meta:
    """Addresses GitHub calls from, and the version of a GitHub Enterprise Server ("" elsewhere)."""

    hooks: tuple[str, ...]
    actions: tuple[str, ...]
    api: tuple[str, ...]
    installed_version: str


@dataclass(frozen=True, slots=True)
class RateLimits:
    """All budgets of a credential, by GitHub's resource name."""

    resources: dict[str, Budget] = field(hash=False)

    @property
    def core(self) -> Budget | None:
        """The budget nearly every call is paid from."""
        return self.resources.get("core")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository; `full_name` is "owner/name"."""

    id: int
    name: str
    full_name: str
    owner: str
    private: bool
    archived: bool
    fork: bool
    visibility: str
    default_branch: str
    html_url: str
    pushed_at: datetime | None


def parse_owner(value: Json) -> Owner:
    """Read a person or an organization."""
    fields = Fields(value, "account")
    return Owner(fields.number("id"), fields.text("login"))


def parse_meta(value: Json) -> Meta:
    """Read an api-overview."""
    fields = Fields(value, "meta")
    return Meta(
        hooks=fields.list_of_or("hooks", text_of),
        actions=fields.list_of_or("actions", text_of),
        api=fields.list_of_or("api", text_of),
        installed_version=fields.text_or("installed_version"),
    )


def parse_rate_limits(value: Json) -> RateLimits:
    """Read a rate-limit-overview; `rate` is ignored, newer API versions leave it out."""
    resources = Fields(value, "rate limit").object("resources")
    return RateLimits({name: _budget(name, resources.object(name)) for name in resources.names()})


def _budget(name: str, fields: Fields) -> Budget:
    return Budget(
        resource=name,
        limit=fields.number("limit"),
        remaining=fields.number("remaining"),
        used=fields.number("used"),
        reset_at=fields.moment("reset"),
    )


def parse_repository(value: Json) -> Repository:
    """Read a repository, full or minimal."""
    fields = Fields(value, "repository")
    private = fields.flag("private")
    return Repository(
        id=fields.number("id"),
        name=fields.text("name"),
        full_name=fields.text("full_name"),
        owner=fields.object("owner").text("login"),
        private=private,
        archived=fields.flag_or("archived", False),
        fork=fields.flag_or("fork", False),
        visibility=fields.text_or("visibility", "private" if private else "public"),
        default_branch=fields.text_or("default_branch"),
        html_url=fields.text_or("html_url"),
        pushed_at=fields.moment_or_none("pushed_at"),
    )


def expiry_from_header(text: str) -> datetime | None:
    """Read github-authentication-token-expiration: "2026-12-01 10:00:00 UTC" or "... +0200"."""
    text = text.strip()
    if text.endswith(" UTC"):
        text = f"{text.removesuffix(' UTC')}+00:00"
    return moment_from(text.replace(" +", "+").replace(" -", "-"))
