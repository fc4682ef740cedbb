"""Turning a refusing answer of GitHub into the error that says what to do.

Reads status, headers and message; sends nothing and decides nothing about repeating.
Source: GitHub Docs "Troubleshooting the REST API", "Rate limits for the REST API".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from .errors import (
    BadAnswer,
    Conflict,
    Forbidden,
    GitHubError,
    GitHubUnavailable,
    NameConflict,
    NotFound,
    RunnerBusy,
    Unauthorized,
    ValidationFailed,
)
from .parsing import Json

MAX_MESSAGE_CHARS = 500
_SSO_URL = re.compile(r"\burl=(?P<url>https?://[^;\s]+)")


class Facts(TypedDict):
    """What every error carries."""

    operation: str
    status: int
    request_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusing answer, read once."""

    operation: str
    status: int
    headers: Mapping[str, str]
    message: str
    problems: tuple[str, ...]

    @property
    def facts(self) -> Facts:
        """The facts common to all errors."""
        return {
            "operation": self.operation,
            "status": self.status,
            "request_id": self.headers.get("x-github-request-id", ""),
            "detail": self.message,
        }


def read_refusal(operation: str, status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """Read GitHub's error body `{message, errors?}`; anything else gives an empty message."""
    try:
        value: Json = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    found = value if isinstance(value, dict) else {}
    message = found.get("message")
    errors = found.get("errors")
    return Refusal(
        operation=operation,
        status=status,
        headers=headers,
        message=message[:MAX_MESSAGE_CHARS] if isinstance(message, str) else "",
        problems=tuple(map(_problem, errors)) if isinstance(errors, list) else (),
    )


def _problem(error: Json) -> str:
    """Say one element of `errors`, which GitHub writes as a text or as an object."""
    if isinstance(error, str):
        return error[:MAX_MESSAGE_CHARS]
    if not isinstance(error, dict):
        return "unnamed problem"
    words = [error.get(name) for name in ("field", "code", "message")]
    said = ": ".join(word for word in words if isinstance(word, str) and word)
    return said[:MAX_MESSAGE_CHARS] or "unnamed problem"


def error_for(refusal: Refusal, *, is_read: bool) -> GitHubError:
    """The typed error for an answer that is neither success nor a rate limit."""
    status = refusal.status
    quoted = f" GitHub says: {refusal.message}" if refusal.message else ""
    facts = refusal.facts
    if status == 401:
        return Unauthorized(
            "GitHub does not accept the credential: it is wrong, expired or revoked. "
            f"Enter a new one.{quoted}",
            **facts,
        )
    if status == 403:
        return _forbidden(refusal, quoted)
    if status in {404, 410}:
        return NotFound(
            "GitHub has no such thing, or does not show it to this credential: check the name "
            f"and what the credential may read.{quoted}",
            **facts,
        )
    if status == 409:
        return _conflict(refusal, quoted)
    if status in {400, 422}:
        return _invalid(refusal, quoted)
    if status in {408, 429} or status >= 500:
        return GitHubUnavailable(
            f"GitHub has a problem of its own (status {status}). Nothing needs to be changed here; "
            "it will be asked again.",
            may_have_happened=not is_read and status >= 500,
            **facts,
        )
    return BadAnswer(f"GitHub answered with status {status}, which was not expected.", **facts)


def _forbidden(refusal: Refusal, quoted: str) -> Forbidden:
    accepted = refusal.headers.get("x-accepted-github-permissions", "")
    scopes = refusal.headers.get("x-accepted-oauth-scopes", "")
    sso = _SSO_URL.search(refusal.headers.get("x-github-sso", ""))
    needs = f" It needs: {accepted}." if accepted else ""
    if not accepted and scopes:
        needs = f" It needs one of the scopes: {scopes}."
    if sso:
        needs = " Authorise the token for the organization's single sign-on."
    return Forbidden(
        f"GitHub does not allow this with the credential.{needs}{quoted}",
        accepted_permissions=accepted,
        sso_url=sso["url"] if sso else "",
        **refusal.facts,
    )


def _conflict(refusal: Refusal, quoted: str) -> Conflict:
    if refusal.operation == "generate_jitconfig":
        return NameConflict(
            "A runner of this name exists at GitHub already, perhaps from an answer that was "
            f"lost: delete it by its id or choose another name.{quoted}",
            **refusal.facts,
        )
    return Conflict(f"This clashes with how things stand at GitHub.{quoted}", **refusal.facts)


def _invalid(refusal: Refusal, quoted: str) -> ValidationFailed:
    # Every 422 on deleting a runner is read as "a job is on it", whatever the wording: waiting is
    # the safe side, and the wording has changed before.
    if refusal.operation == "delete_self_hosted_runner" and refusal.status == 422:
        return RunnerBusy(
            f"A job is running on this runner: wait until it has ended.{quoted}",
            problems=refusal.problems,
            **refusal.facts,
        )
    named = f" ({'; '.join(refusal.problems)})" if refusal.problems else ""
    return ValidationFailed(
        f"GitHub did not accept a value.{quoted}{named}",
        problems=refusal.problems,
        **refusal.facts,
    )
