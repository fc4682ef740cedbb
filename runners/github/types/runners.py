"""Runners, their labels and groups, and the short-lived tokens that make them.

Field names are GitHub's. Tokens and JIT configs are secrets: they are left out of every repr.
Source: GitHub Docs "REST API endpoints for self-hosted runners" and "... runner groups".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from runners.github.parsing import Fields, Json, text_of

READ_ONLY_LABEL = "read-only"
CUSTOM_LABEL = "custom"


@dataclass(frozen=True, slots=True)
class RunnerLabel:
    """A label; `type` is "read-only", "custom" or "" where GitHub does not say."""

    name: str
    type: str = ""
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Runner:
    """A registered runner. `version` is "" until it has connected once."""

    id: int
    name: str
    os: str
    status: str
    busy: bool
    labels: tuple[RunnerLabel, ...]
    runner_group_id: int | None = None
    ephemeral: bool | None = None
    version: str = ""

    @property
    def online(self) -> bool:
        """Whether GitHub holds it for connected."""
        return self.status == "online"

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels, in GitHub's order and spelling."""
        return tuple(label.name for label in self.labels)


@dataclass(frozen=True, slots=True)
class RunnerToken:
    """A registration or remove token, good for one hour."""

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class JitConfig:
    """A runner made by the call itself, and the secret that lets one process be it."""

    runner: Runner
    encoded_jit_config: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RunnerApplication:
    """A package of the runner application. `sha256_checksum` may be "": refuse to use it then."""

    os: str
    architecture: str
    download_url: str
    filename: str
    sha256_checksum: str = ""
    temp_download_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RunnerVersionDeprecation:
    """When a version stops registering and stops running; None where nothing is set."""

    runner_version: str
    registration_deprecates_at: datetime | None
    runtime_deprecates_at: datetime | None


@dataclass(frozen=True, slots=True)
class RunnerGroup:
    """A runner group. `visibility` is all, selected or private (organizations only)."""

    id: int
    name: str
    visibility: str
    default: bool
    inherited: bool
    allows_public_repositories: bool
    restricted_to_workflows: bool
    selected_workflows: tuple[str, ...]


def parse_label(value: Json) -> RunnerLabel:
    """Read a runner-label."""
    fields = Fields(value, "label")
    return RunnerLabel(fields.text("name"), fields.text_or("type"), fields.number_or_none("id"))


def parse_labels(value: Json) -> tuple[RunnerLabel, ...]:
    """Read `{total_count, labels: [...]}`."""
    return Fields(value, "labels").list_of("labels", parse_label)


def parse_runner(value: Json) -> Runner:
    """Read a runner."""
    fields = Fields(value, "runner")
    return Runner(
        id=fields.number("id"),
        name=fields.text("name"),
        os=fields.text("os"),
        status=fields.text("status"),
        busy=fields.flag("busy"),
        labels=fields.list_of("labels", parse_label),
        runner_group_id=fields.number_or_none("runner_group_id"),
        ephemeral=fields.flag("ephemeral") if fields.has("ephemeral") else None,
        version=fields.text_or("version"),
    )


def parse_runner_token(value: Json) -> RunnerToken:
    """Read an authentication-token."""
    fields = Fields(value, "token")
    return RunnerToken(token=fields.text("token"), expires_at=fields.moment("expires_at"))


def parse_jit_config(value: Json) -> JitConfig:
    """Read `{runner, encoded_jit_config}`."""
    fields = Fields(value, "jitconfig")
    return JitConfig(
        runner=parse_runner(fields.raw("runner")),
        encoded_jit_config=fields.text("encoded_jit_config"),
    )


def parse_runner_application(value: Json) -> RunnerApplication:
    """Read a runner-application."""
    fields = Fields(value, "download")
    return RunnerApplication(
        os=fields.text("os"),
        architecture=fields.text("architecture"),
        download_url=fields.text("download_url"),
        filename=fields.text("filename"),
        sha256_checksum=fields.text_or("sha256_checksum"),
        temp_download_token=fields.text_or("temp_download_token"),
    )


def parse_deprecation(value: Json) -> RunnerVersionDeprecation:
    """Read a runner version's end-of-life dates."""
    fields = Fields(value, "deprecation")
    return RunnerVersionDeprecation(
        runner_version=fields.text("runner_version"),
        registration_deprecates_at=fields.moment_or_none("registration_deprecates_at"),
        runtime_deprecates_at=fields.moment_or_none("runtime_deprecates_at"),
    )


def parse_runner_group(value: Json) -> RunnerGroup:
    """Read a runner group of an organization or an enterprise."""
    fields = Fields(value, "runner group")
    return RunnerGroup(
        id=fields.number("id"),
        name=fields.text("name"),
        visibility=fields.text("visibility"),
        default=fields.flag("default"),
        inherited=fields.flag_or("inherited", False),
        allows_public_repositories=fields.flag("allows_public_repositories"),
        restricted_to_workflows=fields.flag_or("restricted_to_workflows", False),
        selected_workflows=fields.list_of_or("selected_workflows", text_of),
    )
