"""Self-hosted runners, their labels, tokens and JIT configs, at all three scopes.

Source: GitHub Docs "REST API endpoints for self-hosted runners". Permissions: repository
"administration", organization "organization_self_hosted_runners", enterprise a classic token with
"manage_runners:enterprise"; classic tokens need "repo" or "admin:org" for the first two. Lists need
read, everything else needs write.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from runners.github.parsing import Json
from runners.github.types.listing import Listing, PageOf
from runners.github.types.runners import (
    JitConfig,
    Runner,
    RunnerApplication,
    RunnerLabel,
    RunnerToken,
    RunnerVersionDeprecation,
    parse_deprecation,
    parse_jit_config,
    parse_labels,
    parse_runner,
    parse_runner_application,
    parse_runner_token,
)
from runners.github.urls import ScopePath

from .base import Endpoints, without_none

RUNNER_PAGE = PageOf(parse_runner, "runners")
APPLICATION_PAGE = PageOf(parse_runner_application)


class RunnerEndpoints(Endpoints):
    """Operations under `…/actions/runners`."""

    def list_self_hosted_runners(
        self, scope: ScopePath, *, name: str | None = None
    ) -> Listing[Runner]:
        """List runners, optionally the one named exactly `name`.

        "List self-hosted runners for …"; read. Look at `complete` before reading absence from it.
        """
        return self._list(
            "list_self_hosted_runners",
            _runners(scope),
            RUNNER_PAGE,
            lambda runner: runner.id,
            query=without_none(name=name),
        )

    def get_self_hosted_runner(self, scope: ScopePath, runner_id: int) -> Runner:
        """Get one runner. "Get a self-hosted runner for …"; read. Raises NotFound."""
        return self._get("get_self_hosted_runner", f"{_runners(scope)}/{runner_id}", parse_runner)

    def delete_self_hosted_runner(self, scope: ScopePath, runner_id: int) -> None:
        """Deregister a runner. "Delete a self-hosted runner from …"; write.

        Raises RunnerBusy while a job is on it, NotFound when it is gone already.
        """
        self._change("DELETE", "delete_self_hosted_runner", f"{_runners(scope)}/{runner_id}")

    def create_registration_token(self, scope: ScopePath) -> RunnerToken:
        """A token for `config.sh`. "Create a registration token for …"; write."""
        path = f"{_runners(scope)}/registration-token"
        return parse_runner_token(self._change("POST", "create_registration_token", path))

    def create_remove_token(self, scope: ScopePath) -> RunnerToken:
        """A token for `config.sh remove`. "Create a remove token for …"; write."""
        path = f"{_runners(scope)}/remove-token"
        return parse_runner_token(self._change("POST", "create_remove_token", path))

    def generate_jitconfig(
        self,
        scope: ScopePath,
        *,
        name: str,
        runner_group_id: int,
        labels: Sequence[str],
        work_folder: str | None = None,
    ) -> JitConfig:
        """Make a runner for one job. "Create configuration for a just-in-time runner for …"; write.

        `labels` (1-100) are exactly what the runner gets: pass "self-hosted" and the rest. The
        runner exists from here on, even if the answer is lost. Raises NameConflict.
        """
        body: dict[str, Json] = {
            "name": name,
            "runner_group_id": runner_group_id,
            "labels": list(labels),
        }
        if work_folder is not None:
            body["work_folder"] = work_folder
        path = f"{_runners(scope)}/generate-jitconfig"
        return parse_jit_config(self._change("POST", "generate_jitconfig", path, body=body))

    def list_runner_applications(self, scope: ScopePath) -> tuple[RunnerApplication, ...]:
        """Packages of the runner application that this scope is to use.

        "List runner applications for …"; read. Never kept: it may carry download tokens.
        """
        return self._get(
            "list_runner_applications",
            f"{_runners(scope)}/downloads",
            APPLICATION_PAGE,
            conditional=False,
        ).items

    def get_runner_version_deprecation(
        self, scope: ScopePath, version: str
    ) -> RunnerVersionDeprecation:
        """End-of-life dates of a version ("2.336.0"). Enterprise Cloud only; read.

        "Get runner version deprecation for …". Raises NotFound elsewhere.
        """
        return self._get(
            "get_runner_version_deprecation",
            f"{_runners(scope)}/deprecations/{quote(version, safe='')}",
            parse_deprecation,
        )

    def list_labels_for_self_hosted_runner(
        self, scope: ScopePath, runner_id: int
    ) -> tuple[RunnerLabel, ...]:
        """A runner's labels. "List labels for a self-hosted runner for …"; read."""
        return self._get(
            "list_labels_for_self_hosted_runner", _labels(scope, runner_id), parse_labels
        )

    def add_custom_labels_to_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, labels: Sequence[str]
    ) -> tuple[RunnerLabel, ...]:
        """Add 1-100 labels, answering all. "Add custom labels to a self-hosted runner …"; write."""
        return self._change_labels(
            "POST", "add_custom_labels_to_self_hosted_runner", scope, runner_id, labels
        )

    def set_custom_labels_for_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, labels: Sequence[str]
    ) -> tuple[RunnerLabel, ...]:
        """Replace the custom labels (0-100). "Set custom labels for a self-hosted runner …"; write.

        Answers all labels, the read-only ones with them.
        """
        return self._change_labels(
            "PUT", "set_custom_labels_for_self_hosted_runner", scope, runner_id, labels
        )

    def remove_all_custom_labels_from_self_hosted_runner(
        self, scope: ScopePath, runner_id: int
    ) -> tuple[RunnerLabel, ...]:
        """Leave only the read-only labels. "Remove all custom labels from …"; write."""
        operation = "remove_all_custom_labels_from_self_hosted_runner"
        return parse_labels(self._change("DELETE", operation, _labels(scope, runner_id)))

    def remove_custom_label_from_self_hosted_runner(
        self, scope: ScopePath, runner_id: int, label: str
    ) -> tuple[RunnerLabel, ...]:
        """Remove one label. "Remove a custom label from a self-hosted runner …"; write.

        Raises NotFound when the runner does not carry it.
        """
        path = f"{_labels(scope, runner_id)}/{quote(label, safe='')}"
        operation = "remove_custom_label_from_self_hosted_runner"
        return parse_labels(self._change("DELETE", operation, path))

    def _change_labels(
        self, method: str, operation: str, scope: ScopePath, runner_id: int, labels: Sequence[str]
    ) -> tuple[RunnerLabel, ...]:
        body: Json = {"labels": list(labels)}
        return parse_labels(self._change(method, operation, _labels(scope, runner_id), body=body))


def _runners(scope: ScopePath) -> str:
    return f"{scope.api_path}/actions/runners"


def _labels(scope: ScopePath, runner_id: int) -> str:
    return f"{_runners(scope)}/{runner_id}/labels"
