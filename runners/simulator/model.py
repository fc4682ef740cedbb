"""The things GitHub knows, as plain records. No behaviour beyond cheap properties.

Moments (``*_at``) are Unix seconds by the simulator's clock. A ``scope`` is the URL prefix that
owns a runner: ``repos/acme/web``, ``orgs/acme`` or ``enterprises/big``, always in lower case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

CredentialKind = Literal["classic", "fine_grained", "installation", "registration", "remove"]
DEFAULT_GROUP_ID = 1


@dataclass
class User:
    """A person. ``roles`` maps an account (organization or enterprise, lower case) to a role."""

    id: int
    login: str
    created_at: float
    roles: dict[str, Literal["admin", "member"]] = field(default_factory=dict)


@dataclass
class Organization:
    """An organization and the token policies its owners set."""

    id: int
    login: str
    created_at: float
    enterprise: str = ""
    sso_required: bool = False
    classic_forbidden: bool = False
    fine_grained_forbidden: bool = False
    fine_grained_max_days: int = 0


@dataclass
class Enterprise:
    """An enterprise: a slug over organizations."""

    id: int
    slug: str
    created_at: float


@dataclass
class Repository:
    """A repository; ``owner`` is the login of an organization or a user."""

    id: int
    owner: str
    name: str
    created_at: float
    private: bool = True
    default_branch: str = "main"
    description: str = ""

    @property
    def full_name(self) -> str:
        """``owner/name`` as written by its owner."""
        return f"{self.owner}/{self.name}"

    @property
    def scope(self) -> str:
        """The scope of runners that belong to this repository."""
        return f"repos/{self.full_name}".lower()


@dataclass
class Label:
    """A runner's label: ``read-only`` ones were applied at configuration."""

    id: int
    name: str
    type: Literal["read-only", "custom"]


@dataclass
class RunnerGroup:
    """Which repositories (or organizations, in an enterprise) may use a set of runners."""

    id: int
    scope: str
    name: str
    visibility: str = "all"
    default: bool = False
    allows_public_repositories: bool = False
    restricted_to_workflows: bool = False
    selected_workflows: list[str] = field(default_factory=list)
    selected_ids: list[int] = field(default_factory=list)


@dataclass
class Runner:
    """A registered runner. ``secret`` is what its processes authenticate with."""

    id: int
    name: str
    scope: str
    group_id: int
    secret: str
    created_at: float
    labels: list[Label]
    os: str = "unknown"
    architecture: str = ""
    version: str | None = None
    ephemeral: bool = False
    jit: bool = False
    disable_update: bool = False
    work_folder: str = "_work"
    session_id: str = ""
    last_seen_at: float | None = None
    job_id: int = 0
    busy_until: float = 0
    # Set by the control API only: a runner without a process that shows as online.
    pinned_online: bool = False

    @property
    def label_names(self) -> frozenset[str]:
        """Its labels in lower case: GitHub matches them without regard to case."""
        return frozenset(label.name.lower() for label in self.labels)


@dataclass
class Step:
    """One shell step of a job, and how it went."""

    name: str
    run: str = ""
    shell: str = ""
    env: dict[str, str] = field(default_factory=dict)
    working_directory: str = ""
    continue_on_error: bool = False
    conclusion: str | None = None
    started_at: float | None = None
    completed_at: float | None = None


@dataclass
class JobTemplate:
    """A job as a workflow file describes it. ``environment`` makes it wait for an approval."""

    name: str
    labels: list[str]
    steps: list[Step]
    group: str = ""
    env: dict[str, str] = field(default_factory=dict)
    timeout_minutes: int = 360
    misbehave: str = ""
    environment: str = ""


@dataclass
class Job:
    """One job of one attempt of a run."""

    id: int
    run_id: int
    run_attempt: int
    repository_id: int
    template: JobTemplate
    created_at: float
    status: Literal["queued", "waiting", "in_progress", "completed"] = "queued"
    conclusion: str | None = None
    queued_at: float = 0
    started_at: float | None = None
    completed_at: float | None = None
    steps: list[Step] = field(default_factory=list)
    runner_id: int = 0
    runner_name: str = ""
    runner_group_id: int = 0
    runner_group_name: str = ""
    # What its worker authenticates with, also after a one-job runner is gone.
    runner_secret: str = ""
    # Offered to a runner that has not accepted it yet.
    offered_to: int = 0
    offered_at: float = 0
    renewed_at: float = 0
    cancel_requested: bool = False
    log: list[str] = field(default_factory=list)


@dataclass
class Run:
    """A workflow run; ``job_ids`` holds the jobs of each attempt, the first attempt first."""

    id: int
    repository_id: int
    workflow_id: int
    number: int
    event: str
    head_branch: str
    head_sha: str
    actor: str
    title: str
    created_at: float
    updated_at: float
    started_at: float
    attempt: int = 1
    status: str = "queued"
    conclusion: str | None = None
    job_ids: list[list[int]] = field(default_factory=list)


@dataclass
class Workflow:
    """A workflow file: what a dispatch runs."""

    id: int
    repository_id: int
    name: str
    path: str
    created_at: float
    jobs: list[JobTemplate]
    state: Literal["active", "disabled_manually"] = "active"
    runs_count: int = 0


@dataclass
class Credential:
    """A token somebody may send. ``repository_ids`` None means all of the owner's."""

    token: str
    kind: CredentialKind
    created_at: float
    expires_at: float | None = None
    login: str = ""
    scopes: list[str] = field(default_factory=list)
    owner: str = ""
    permissions: dict[str, str] = field(default_factory=dict)
    repository_ids: list[int] | None = None
    sso_authorized: list[str] = field(default_factory=list)
    installation_id: int = 0
    scope: str = ""
    used_count: int = 0


@dataclass
class App:
    """A GitHub App. The private key is given out once, at creation, and not kept."""

    id: int
    slug: str
    name: str
    owner: str
    client_id: str
    public_key_pem: str
    created_at: float
    permissions: dict[str, str]
    events: list[str]
    hook_url: str = ""
    hook_content_type: str = "form"
    hook_insecure_ssl: str = "0"
    hook_secret: str = ""
    setup_url: str = ""


@dataclass
class Manifest:
    """An App that a browser asked for and that a code will turn into one."""

    account: str
    name: str
    permissions: dict[str, str]
    events: list[str]
    hook_url: str
    setup_url: str
    expires_at: float


@dataclass
class Installation:
    """An App installed on an account. ``repository_ids`` None means all repositories."""

    id: int
    app_id: int
    account: str
    created_at: float
    permissions: dict[str, str]
    events: list[str]
    repository_ids: list[int] | None = None
    suspended_at: float | None = None


@dataclass
class Hook:
    """A webhook of a repository or an organization (``scope``)."""

    id: int
    scope: str
    url: str
    content_type: str
    secret: str
    insecure_ssl: str
    events: list[str]
    active: bool
    created_at: float
    updated_at: float
    last_code: int | None = None
    last_status: str = "unused"


@dataclass
class Delivery:
    """One attempt to deliver one event to one hook. ``hook_id`` is 0 for an App's hook."""

    id: int
    guid: str
    hook_id: int
    app_id: int
    event: str
    action: str | None
    delivered_at: float
    payload: str
    request_headers: dict[str, str]
    redelivery: bool = False
    repository_id: int | None = None
    installation_id: int | None = None
    duration_seconds: float = 0
    status: str = "pending"
    status_code: int = 0
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""


@dataclass
class RunnerRelease:
    """A published version of the runner application, and when it stops working."""

    id: int
    version: str
    published_at: float
    registration_deprecates_at: float | None = None
    runtime_deprecates_at: float | None = None
