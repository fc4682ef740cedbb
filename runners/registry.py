"""What the domain needs of GitHub, as a type: the real client and the tests' fake both have this
shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from runners.github.types import (
    JitConfig,
    Listing,
    Runner,
    RunnerApplication,
    RunnerLabel,
    RunnerToken,
)
from runners.github.urls import ScopeKind, ScopePath
from runners.models import Scope


class RunnerRegistry(Protocol):
    """GitHub's self-hosted runners of a scope; every call may raise a GitHubError."""

    def list_self_hosted_runners(
        self, scope: ScopePath, *, name: str | None = None
    ) -> Listing[Runner]:
        """All runners of the scope, or those with exactly this name."""

    def delete_self_hosted_runner(self, scope: ScopePath, runner_id: int) -> None:
        """Deregister; raises RunnerBusy while a job is on it, NotFound when it is gone."""

    def generate_jitconfig(
        self,
        scope: ScopePath,
        *,
        name: str,
        runner_group_id: int,
        labels: Sequence[str],
        work_folder: str = "_work",
    ) -> JitConfig:
        """Register a one-job runner; raises NameConflict."""

    def create_registration_token(self, scope: ScopePath) -> RunnerToken:
        """A token for config.sh, good for an hour."""

    def set_custom_labels_for_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, labels: Sequence[str]
    ) -> tuple[RunnerLabel, ...]:
        """Replace the custom labels; the read-only ones stay."""

    def list_runner_applications(self, scope: ScopePath) -> Sequence[RunnerApplication]:
        """The runner packages GitHub offers this scope."""


def path_of(scope: Scope) -> ScopePath:
    """The scope as the client addresses it."""
    return ScopePath(ScopeKind(scope.kind), scope.slug)
