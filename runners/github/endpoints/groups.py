"""Runner groups of organizations and enterprises; repositories have none.

Source: GitHub Docs "REST API endpoints for self-hosted runner groups". Permissions: organization
"organization_self_hosted_runners", enterprise a classic token with "manage_runners:enterprise".
"""

from __future__ import annotations

from runners.github.errors import NotFound
from runners.github.types.listing import Listing, PageOf
from runners.github.types.runners import Runner, RunnerGroup, parse_runner_group
from runners.github.urls import ScopeKind, ScopePath

from .base import Endpoints, without_none
from .runners import RUNNER_PAGE

GROUP_PAGE = PageOf(parse_runner_group, "runner_groups")


class RunnerGroupEndpoints(Endpoints):
    """Operations under `…/actions/runner-groups`."""

    def list_self_hosted_runner_groups(
        self, scope: ScopePath, *, visible_to_repository: str | None = None
    ) -> Listing[RunnerGroup]:
        """List groups, optionally those that one repository (its bare name) may use.

        "List self-hosted runner groups for …"; read. The filter is for organizations only.
        """
        operation = "list_self_hosted_runner_groups"
        return self._list(
            operation,
            _groups(scope, operation),
            GROUP_PAGE,
            lambda group: group.id,
            query=without_none(visible_to_repository=visible_to_repository),
        )

    def get_self_hosted_runner_group(self, scope: ScopePath, runner_group_id: int) -> RunnerGroup:
        """Get one group. "Get a self-hosted runner group for …"; read. Raises NotFound."""
        operation = "get_self_hosted_runner_group"
        return self._get(
            operation, f"{_groups(scope, operation)}/{runner_group_id}", parse_runner_group
        )

    def list_self_hosted_runners_in_group(
        self, scope: ScopePath, runner_group_id: int
    ) -> Listing[Runner]:
        """List a group's runners. "List self-hosted runners in a group for …"; read."""
        operation = "list_self_hosted_runners_in_group"
        return self._list(
            operation,
            f"{_groups(scope, operation)}/{runner_group_id}/runners",
            RUNNER_PAGE,
            lambda runner: runner.id,
        )

    def add_self_hosted_runner_to_group(
        self, scope: ScopePath, runner_group_id: int, runner_id: int
    ) -> None:
        """Move a runner to a group. "Add a self-hosted runner to a group for …"; write."""
        operation = "add_self_hosted_runner_to_group"
        self._change(
            "PUT", operation, f"{_groups(scope, operation)}/{runner_group_id}/runners/{runner_id}"
        )

    def remove_self_hosted_runner_from_group(
        self, scope: ScopePath, runner_group_id: int, runner_id: int
    ) -> None:
        """Put a runner back to the default group. "Remove a self-hosted runner from …"; write."""
        operation = "remove_self_hosted_runner_from_group"
        self._change(
            "DELETE",
            operation,
            f"{_groups(scope, operation)}/{runner_group_id}/runners/{runner_id}",
        )


def _groups(scope: ScopePath, operation: str) -> str:
    if scope.kind is ScopeKind.REPOSITORY:
        raise NotFound(
            f"A repository has no runner groups ({scope.slug}): its runners are in group 1.",
            operation=operation,
        )
    return f"{scope.api_path}/actions/runner-groups"
