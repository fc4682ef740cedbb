"""Who the credential is, its budgets, the server, and the repositories it can see.

Source: GitHub Docs "REST API endpoints for users", "... rate limits", "... meta data",
"... repositories", "... GitHub App installations".
"""

from __future__ import annotations

from urllib.parse import quote

from runners.github.parsing import Fields
from runners.github.transport import Call
from runners.github.types.account import (
    EXPIRY_HEADER,
    AuthenticatedUser,
    Meta,
    Owner,
    RateLimits,
    Repository,
    expiry_from_header,
    parse_meta,
    parse_owner,
    parse_rate_limits,
    parse_repository,
)
from runners.github.types.listing import Listing, PageOf
from runners.github.urls import ScopeKind, ScopePath

from .base import Endpoints, without_none

REPOSITORY_PAGE = PageOf(parse_repository)
COUNTED_REPOSITORY_PAGE = PageOf(parse_repository, "repositories")
ORGANIZATION_PAGE = PageOf(parse_owner)


class AccountEndpoints(Endpoints):
    """Operations about the credential and what it reaches."""

    def get_authenticated_user(self) -> AuthenticatedUser:
        """The person behind a token. "Get the authenticated user"; any user token, not an App."""
        answer = self._transport.send(Call("get_authenticated_user", "/user"))
        fields = Fields(answer.value, "user")
        scopes = answer.headers.get("x-oauth-scopes")
        return AuthenticatedUser(
            id=fields.number("id"),
            login=fields.text("login"),
            token_scopes=None if scopes is None else split_scopes(scopes),
            token_expires_at=expiry_from_header(answer.headers.get(EXPIRY_HEADER, "")),
        )

    def get_rate_limit(self) -> RateLimits:
        """All budgets, at no cost. "Get rate limit status for the authenticated user"; any.

        Raises NotFound on a GitHub Enterprise Server with limits off.
        """
        return self._get("get_rate_limit", "/rate_limit", parse_rate_limits, conditional=False)

    def get_meta(self) -> Meta:
        """GitHub's addresses. "Get GitHub Enterprise meta information"; any."""
        return self._get("get_meta", "/meta", parse_meta)

    def list_organizations_for_authenticated_user(self) -> Listing[Owner]:
        """Organizations of the person. "List organizations for the authenticated user";
        classic token "read:org" or "user"."""
        return self._list(
            "list_organizations_for_authenticated_user",
            "/user/orgs",
            ORGANIZATION_PAGE,
            lambda owner: owner.id,
        )

    def get_organization(self, organization: ScopePath) -> Owner:
        """An organization. "Get an organization"; any."""
        return self._get("get_organization", organization.api_path, parse_owner)

    def get_repository(self, repository: ScopePath) -> Repository:
        """A repository, by its present name if it was renamed. "Get a repository"; metadata."""
        if repository.kind is not ScopeKind.REPOSITORY:
            raise ValueError(f"Not a repository: {repository}.")
        return self._get("get_repository", repository.api_path, parse_repository)

    def list_repositories_for_org(
        self, organization: ScopePath, *, sort: str | None = None, max_items: int | None = None
    ) -> Listing[Repository]:
        """Repositories of an organization. "List organization repositories"; metadata.

        `sort`: "pushed", the last pushed to first; GitHub's own order is the newest first.
        """
        if organization.kind is not ScopeKind.ORGANIZATION:
            raise ValueError(f"Not an organization: {organization}.")
        return self._list(
            "list_repositories_for_org",
            f"{organization.api_path}/repos",
            REPOSITORY_PAGE,
            lambda repository: repository.id,
            query=without_none(sort=sort),
            max_items=max_items,
        )

    def list_repositories_for_user(
        self, username: str, *, max_items: int | None = None
    ) -> Listing[Repository]:
        """Public repositories of a person. "List repositories for a user"; any."""
        return self._list(
            "list_repositories_for_user",
            f"/users/{quote(username, safe='')}/repos",
            REPOSITORY_PAGE,
            lambda repository: repository.id,
            max_items=max_items,
        )

    def list_repositories_for_authenticated_user(
        self, *, affiliation: str | None = None, max_items: int | None = None
    ) -> Listing[Repository]:
        """Repositories the person can reach. "List repositories for the authenticated user";
        metadata. `affiliation`: "owner,collaborator,organization_member"."""
        return self._list(
            "list_repositories_for_authenticated_user",
            "/user/repos",
            REPOSITORY_PAGE,
            lambda repository: repository.id,
            query=without_none(affiliation=affiliation),
            max_items=max_items,
        )

    def list_repositories_accessible_to_installation(
        self, *, max_items: int | None = None
    ) -> Listing[Repository]:
        """Repositories of the App's installation. "List repositories accessible to the app
        installation"; an installation token with metadata."""
        return self._list(
            "list_repositories_accessible_to_installation",
            "/installation/repositories",
            COUNTED_REPOSITORY_PAGE,
            lambda repository: repository.id,
            max_items=max_items,
        )


def split_scopes(header: str) -> tuple[str, ...]:
    """Read X-OAuth-Scopes: "repo, admin:org"."""
    return tuple(scope for part in header.split(",") if (scope := part.strip()))
