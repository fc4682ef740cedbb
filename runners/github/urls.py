"""Web addresses and API addresses of GitHub, and the path of whatever owns runners.

Covers github.com, data residency (SUBDOMAIN.ghe.com), GitHub Enterprise Server (HOST/api/v3) and a
stand-in on loopback. Plain HTTP is for loopback only: a credential must not travel in the clear.
Source: GitHub Docs "Getting started with the REST API"; actions/runner UrlUtil.cs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, urlsplit

GITHUB_API = "https://api.github.com"
GITHUB_WEB = "https://github.com"

_PART = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class ScopeKind(StrEnum):
    """What can own a runner."""

    REPOSITORY = "repository"
    ORGANIZATION = "organization"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, slots=True)
class ScopePath:
    """A repository ("owner/name"), organization or enterprise (its slug).

    Raises ValueError for a slug that could not be a name at GitHub.
    """

    kind: ScopeKind
    slug: str

    def __post_init__(self) -> None:
        parts = self.slug.split("/")
        wanted = 2 if self.kind is ScopeKind.REPOSITORY else 1
        if len(parts) != wanted or not all(_is_name(part) for part in parts):
            shape = "OWNER/NAME" if wanted == 2 else "one name without a slash"
            raise ValueError(f"A {self.kind} is written as {shape}, not {self.slug!r}.")

    @classmethod
    def repository(cls, full_name: str) -> ScopePath:
        """A repository by its full name, "owner/name"."""
        return cls(ScopeKind.REPOSITORY, full_name)

    @classmethod
    def organization(cls, login: str) -> ScopePath:
        """An organization by its login."""
        return cls(ScopeKind.ORGANIZATION, login)

    @classmethod
    def enterprise(cls, slug: str) -> ScopePath:
        """An enterprise by its slug."""
        return cls(ScopeKind.ENTERPRISE, slug)

    @property
    def api_path(self) -> str:
        """The path below the API base, "/orgs/acme"."""
        prefix = {
            ScopeKind.REPOSITORY: "repos",
            ScopeKind.ORGANIZATION: "orgs",
            ScopeKind.ENTERPRISE: "enterprises",
        }[self.kind]
        return f"/{prefix}/{quote(self.slug, safe='/')}"

    @property
    def web_path(self) -> str:
        """The path below the web address; `config.sh --url` wants this."""
        if self.kind is ScopeKind.ENTERPRISE:
            return f"/enterprises/{self.slug}"
        return f"/{self.slug}"

    def __str__(self) -> str:
        return f"{self.kind} {self.slug}"


def _is_name(part: str) -> bool:
    return bool(_PART.fullmatch(part)) and part not in {".", ".."}


def _split(url: str) -> SplitResult:
    """Split and vet an address. Raises ValueError with a sentence for the person who typed it."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"Not a web address: {url!r}. Write it as https://HOST.")
    if parts.username or parts.password:
        raise ValueError("An address must not hold a user name or password.")
    if parts.query or parts.fragment:
        raise ValueError(f"An address must not hold '?' or '#': {parts.hostname!r}.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"Use https for {parts.hostname!r}: over http a token can be read by all.")
    if parts.port == 0:
        raise ValueError(f"Port 0 is no port: {parts.hostname!r}.")
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.lower()}"


def api_base_url(web_url: str) -> str:
    """The API base for any web address on a GitHub ("https://github.com/acme" too)."""
    parts = _split(web_url)
    host = parts.hostname or ""
    if host in {"github.com", "www.github.com", "api.github.com"}:
        return GITHUB_API
    if host.endswith(".ghe.com"):
        return f"{parts.scheme}://{host if host.startswith('api.') else f'api.{host}'}"
    return f"{_origin(parts)}/api/v3"


def checked_api_base(base_url: str) -> str:
    """An API base without a trailing slash; raises ValueError when it cannot be one."""
    parts = _split(base_url)
    return f"{_origin(parts)}{parts.path.rstrip('/')}"


def web_base_url(api_base: str) -> str:
    """The web address that belongs to an API base, without a path."""
    parts = _split(api_base)
    host = parts.hostname or ""
    if host == "api.github.com":
        return GITHUB_WEB
    if host.endswith(".ghe.com"):
        return f"{parts.scheme}://{host.removeprefix('api.')}"
    return _origin(parts)


def scope_web_url(api_base: str, scope: ScopePath) -> str:
    """The page of a scope; the runner application's `config.sh --url` takes it."""
    return web_base_url(api_base) + scope.web_path


def scope_from_web_url(url: str) -> tuple[str, ScopePath]:
    """Read what a person pastes into (API base, scope). Raises ValueError with a fix.

    Accepts ".git" and pages deeper inside a repository or organization.
    """
    parts = _split(url.split("?", 1)[0].split("#", 1)[0])
    names = [name for name in parts.path.split("/") if name]
    if names[:1] == ["enterprises"] and len(names) > 1:
        scope = ScopePath.enterprise(names[1])
    elif names[:1] == ["organizations"] or (names[:1] == ["orgs"] and len(names) > 1):
        scope = ScopePath.organization(names[1] if len(names) > 1 else "")
    elif len(names) == 1:
        scope = ScopePath.organization(names[0])
    elif len(names) > 1:
        scope = ScopePath.repository(f"{names[0]}/{names[1].removesuffix('.git')}")
    else:
        raise ValueError("The address names no repository, organization or enterprise.")
    return api_base_url(_origin(parts)), scope
