"""What a credential must be allowed for each kind of scope, and what is more than enough.

Data with its reading; asks GitHub nothing.
Source: GitHub Docs "REST API endpoints for self-hosted runners", "Scopes for OAuth apps",
"Permissions required for GitHub Apps".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .urls import ScopeKind


@dataclass(frozen=True, slots=True)
class Need:
    """What managing the runners of one kind of scope takes.

    `permission` is the fine-grained or App permission wanted at "write", "" where there is none;
    `classic_scopes` are alternatives, each enough; `fitting_*` are not counted as too much.
    """

    classic_scopes: tuple[str, ...]
    permission: str
    permission_words: str
    fitting_classic_scopes: frozenset[str]
    fitting_permissions: Mapping[str, str]


NEEDS: Mapping[ScopeKind, Need] = {
    ScopeKind.REPOSITORY: Need(
        classic_scopes=("repo",),
        permission="administration",
        permission_words='repository permission "Administration: read and write"',
        fitting_classic_scopes=frozenset(
            {"repo", "public_repo", "workflow", "admin:repo_hook", "write:repo_hook"}
            | {"read:repo_hook", "read:org", "read:user", "repo:status"}
        ),
        fitting_permissions={
            "administration": "write",
            "actions": "write",
            "repository_hooks": "write",
            "organization_hooks": "write",
            "organization_self_hosted_runners": "write",
        },
    ),
    ScopeKind.ORGANIZATION: Need(
        classic_scopes=("admin:org",),
        permission="organization_self_hosted_runners",
        permission_words='organization permission "Self-hosted runners: read and write"',
        fitting_classic_scopes=frozenset(
            {"admin:org", "write:org", "read:org", "manage_runners:org", "admin:org_hook"}
            | {"repo", "public_repo", "workflow", "read:user"}
        ),
        fitting_permissions={
            "organization_self_hosted_runners": "write",
            "organization_hooks": "write",
            "actions": "write",
            "repository_hooks": "write",
        },
    ),
    ScopeKind.ENTERPRISE: Need(
        classic_scopes=("manage_runners:enterprise", "admin:enterprise"),
        permission="",
        permission_words='classic token scope "manage_runners:enterprise"',
        fitting_classic_scopes=frozenset(
            {"manage_runners:enterprise", "read:enterprise", "read:org", "read:user", "repo"}
            | {"workflow", "public_repo"}
        ),
        fitting_permissions={},
    ),
}

# What jobs are polled with; runners are managed without it.
JOBS_PERMISSION = "actions"
JOBS_PERMISSION_WORDS = 'repository permission "Actions: read"'

_RANK = {"": 0, "read": 1, "write": 2, "admin": 3}


def grants(permissions: Mapping[str, str], name: str, wanted: str) -> bool:
    """Whether granted permissions reach `wanted` ("read" or "write")."""
    return _RANK.get(permissions.get(name, ""), 0) >= _RANK[wanted]


def beyond_need(permissions: Mapping[str, str], need: Need) -> tuple[str, ...]:
    """The permissions to change things that managing runners does not take, sorted."""
    return tuple(
        sorted(
            name
            for name, level in permissions.items()
            if _RANK.get(level, 0) >= _RANK["write"]
            and _RANK.get(level, 0) > _RANK[need.fitting_permissions.get(name, "")]
        )
    )
