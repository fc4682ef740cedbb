"""A GitHub client of our own: typed answers, typed errors, one method per operation.

Imports nothing else of this project and nothing of Django, so that it can be used and tested alone.
"""

from .auth import AppAuth, Auth, CredentialKind, TokenAuth
from .cache import ConditionalCache
from .client import GitHubClient
from .errors import (
    BadAnswer,
    BadCredential,
    Conflict,
    Forbidden,
    GitHubError,
    GitHubUnavailable,
    NameConflict,
    NotFound,
    PartialResult,
    RateLimited,
    RunnerBusy,
    Unauthorized,
    ValidationFailed,
)
from .limits import Budget
from .redact import redact
from .types import Listing
from .urls import ScopeKind, ScopePath

__all__ = [
    "AppAuth",
    "Auth",
    "BadAnswer",
    "BadCredential",
    "Budget",
    "ConditionalCache",
    "Conflict",
    "CredentialKind",
    "Forbidden",
    "GitHubClient",
    "GitHubError",
    "GitHubUnavailable",
    "Listing",
    "NameConflict",
    "NotFound",
    "PartialResult",
    "RateLimited",
    "RunnerBusy",
    "ScopeKind",
    "ScopePath",
    "TokenAuth",
    "Unauthorized",
    "ValidationFailed",
    "redact",
]
