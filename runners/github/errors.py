"""Typed errors of the GitHub client: what happened, what to do, and never a secret.

Each error carries a `user_message` fit for a person and the facts a program needs (status, request
id, when to come back). This module knows nothing of HTTP: `refusals.py` reads answers into errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .redact import redact


class GitHubError(Exception):
    """Something GitHub, or the way to it, refused.

    `may_have_happened` is true when a change was sent and its outcome is unknown (answer lost):
    look before asking again. `request_id` is GitHub's, for its support.
    """

    may_have_happened = False

    def __init__(
        self,
        user_message: str,
        *,
        operation: str = "",
        status: int | None = None,
        request_id: str = "",
        detail: str = "",
    ) -> None:
        self.user_message = redact(user_message)
        self.operation = operation
        self.status = status
        self.request_id = request_id
        self.detail = redact(detail)
        super().__init__(self.user_message)

    def __str__(self) -> str:
        facts = [self.user_message]
        if self.operation:
            facts.append(f"operation {self.operation}")
        if self.status is not None:
            facts.append(f"status {self.status}")
        if self.request_id:
            facts.append(f"request {self.request_id}")
        return " | ".join(facts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class Unauthorized(GitHubError):
    """401: GitHub does not know the credential (any more)."""


class Forbidden(GitHubError):
    """403: the credential may not do this.

    `accepted_permissions` is GitHub's X-Accepted-GitHub-Permissions ("administration=write"),
    `sso_url` the page that authorises the token for single sign-on, where there is one.
    """

    def __init__(
        self,
        user_message: str,
        *,
        accepted_permissions: str = "",
        sso_url: str = "",
        operation: str = "",
        status: int | None = None,
        request_id: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(
            user_message, operation=operation, status=status, request_id=request_id, detail=detail
        )
        self.accepted_permissions = accepted_permissions
        self.sso_url = sso_url


class NotFound(GitHubError):
    """404 or 410: not there, or not to be seen with this credential."""


class Conflict(GitHubError):
    """409: what was asked for clashes with what is there."""


class NameConflict(Conflict):
    """409 on a JIT config: a runner of that name exists (perhaps from a lost answer)."""


class ValidationFailed(GitHubError):
    """400 or 422: GitHub refused a value. `problems` are GitHub's own words, one a value."""

    def __init__(
        self,
        user_message: str,
        *,
        problems: Sequence[str] = (),
        operation: str = "",
        status: int | None = None,
        request_id: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(
            user_message, operation=operation, status=status, request_id=request_id, detail=detail
        )
        self.problems = tuple(redact(problem) for problem in problems)


class RunnerBusy(ValidationFailed):
    """422 on deleting a runner: a job is on it. Wait and ask again."""


class RateLimited(GitHubError):
    """403 or 429: the budget is spent. `retry_at` is in the caller's clock (UTC).

    `resource` is GitHub's bucket ("core"); `secondary` is true for the abuse limits.
    """

    def __init__(
        self,
        retry_at: datetime,
        *,
        resource: str = "core",
        secondary: bool = False,
        operation: str = "",
        status: int | None = None,
        request_id: str = "",
        detail: str = "",
    ) -> None:
        kind = "secondary rate limit" if secondary else f"rate limit for {resource!r}"
        super().__init__(
            f"GitHub's {kind} is reached. Asking again after {retry_at:%Y-%m-%d %H:%M:%S} UTC.",
            operation=operation,
            status=status,
            request_id=request_id,
            detail=detail,
        )
        self.retry_at = retry_at
        self.resource = resource
        self.secondary = secondary


class GitHubUnavailable(GitHubError):
    """No usable answer: network, time-out, 5xx, cut-off body. Nothing is known by it."""

    def __init__(
        self,
        user_message: str,
        *,
        may_have_happened: bool = False,
        operation: str = "",
        status: int | None = None,
        request_id: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(
            user_message, operation=operation, status=status, request_id=request_id, detail=detail
        )
        self.may_have_happened = may_have_happened


class BadAnswer(GitHubError):
    """GitHub, or something in between, answered what its description does not allow."""

    def __init__(
        self,
        user_message: str,
        *,
        may_have_happened: bool = False,
        operation: str = "",
        status: int | None = None,
        request_id: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(
            user_message, operation=operation, status=status, request_id=request_id, detail=detail
        )
        self.may_have_happened = may_have_happened


class PartialResult(GitHubError):
    """Some pages came, some did not. `items` are real; what is absent from them is unknown.

    `cause` is the error that ended the walk. Never read this as a shorter list.
    """

    def __init__(self, items: Sequence[object], cause: GitHubError, *, operation: str = "") -> None:
        super().__init__(
            f"GitHub's list came only in part ({len(items)} entries): {cause.user_message}",
            operation=operation,
            status=cause.status,
            request_id=cause.request_id,
            detail=cause.detail,
        )
        self.items = tuple(items)
        self.cause = cause


class BadCredential(GitHubError):
    """The credential cannot be used as it was entered: unreadable key, wrong kind, empty token."""
