"""What a webhook payload says that we need: a short copy of it, and the job in it. Pure.

The copy is an allowlist: what people write into issues, commits and steps never reaches our tables,
and a delivery of 7 kB is kept in one. Source: GitHub Docs "Webhook events and payloads".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runners import jobs
from runners.jobs import JobFacts
from runners.untrusted import LARGEST_INTEGER, clean, integer, moment, text

JOB_EVENT = "workflow_job"
RUN_EVENT = "workflow_run"
JOB_ACTIONS = ("queued", "waiting", "in_progress", "completed")
RUN_ACTIONS = ("requested", "in_progress", "completed")
INSTALLATION_EVENTS = ("installation", "installation_repositories", "installation_target")
ACTIONS_BY_EVENT: Mapping[str, tuple[str, ...]] = {
    JOB_EVENT: JOB_ACTIONS,
    RUN_EVENT: RUN_ACTIONS,
    "meta": ("deleted",),
    "installation": (
        "created",
        "deleted",
        "suspend",
        "unsuspend",
        "new_permissions_accepted",
    ),
    "installation_repositories": ("added", "removed"),
    "installation_target": ("renamed",),
    "repository": (
        "archived",
        "created",
        "deleted",
        "edited",
        "privatized",
        "publicized",
        "renamed",
        "transferred",
        "unarchived",
    ),
}
"""The actions we know of each event we use; others are kept and nothing is done."""

TEXT_LIMIT = 500
LIST_LIMIT = 100
KEPT: Mapping[str, tuple[str, ...]] = {
    "workflow_job": (
        "id",
        "run_id",
        "run_attempt",
        "name",
        "workflow_name",
        "head_branch",
        "html_url",
        "status",
        "conclusion",
        "labels",
        "runner_name",
        "runner_group_name",
        "created_at",
        "started_at",
        "completed_at",
    ),
    "workflow_run": (
        "id",
        "run_attempt",
        "name",
        "event",
        "head_branch",
        "html_url",
        "status",
        "conclusion",
        "created_at",
        "updated_at",
    ),
    "repository": ("id", "full_name", "private", "archived"),
    "organization": ("login",),
    "sender": ("login", "type"),
    "hook": ("id", "type", "active", "events"),
    "installation": ("id", "events", "repository_selection", "suspended_at"),
}
TOP = ("action", "hook_id", "zen")
NAMED_LISTS = ("repositories", "repositories_added", "repositories_removed")
ADMITTED = (JOB_EVENT, RUN_EVENT, "ping", "meta", "repository", *INSTALLATION_EVENTS)


@dataclass(frozen=True, slots=True)
class Essence:
    """What is kept of one delivery; `payload` is None for events we have no use for."""

    payload: dict[str, object] | None
    repository: str
    subject_id: int | None


def essence(event: str, payload: Mapping[str, object]) -> Essence:
    """Copy what we need of a payload, whatever its shape."""
    repository = payload.get("repository")
    name = text(repository, "full_name", 200) if isinstance(repository, dict) else ""
    subject = payload.get(event) if event in (JOB_EVENT, RUN_EVENT) else None
    return Essence(
        payload=_copy(payload) if event in ADMITTED else None,
        repository=name,
        subject_id=integer(subject, "id") if isinstance(subject, dict) else None,
    )


def _copy(payload: Mapping[str, object]) -> dict[str, object]:
    copy: dict[str, object] = {
        key: _plain(payload[key]) for key in TOP if isinstance(payload.get(key), (str, int))
    }
    for part, keys in KEPT.items():
        value = payload.get(part)
        if isinstance(value, dict):
            kept = {key: _plain(value[key]) for key in keys if key in value}
            if part == JOB_EVENT:
                # When the job was set up; nothing else of what it did
                kept["steps"] = [{"completed_at": text(_first_step(value), "completed_at", 40)}]
            copy[part] = kept
    installation = payload.get("installation")
    if isinstance(installation, dict) and isinstance(installation.get("account"), dict):
        copy["account"] = text(installation["account"], "login", 200)
    for key in NAMED_LISTS:
        value = payload.get(key)
        if isinstance(value, list):
            copy[key] = [
                text(each, "full_name", 200)
                for each in value[:LIST_LIMIT]
                if isinstance(each, dict)
            ]
    return copy


def _plain(value: object) -> object:
    """The value as a database takes it: no NUL, nothing nested, nothing endless."""
    if isinstance(value, str):
        return clean(value[:TEXT_LIMIT])
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    if isinstance(value, float):
        return None if value != value or value in (float("inf"), float("-inf")) else value
    if isinstance(value, list):
        return [_plain(each) for each in value[:LIST_LIMIT] if not isinstance(each, (dict, list))]
    return None


def job_facts(payload: Mapping[str, object]) -> JobFacts | None:
    """Read a workflow_job payload; None when it lacks what every job has.

    `status` is the job's own, not the action: an environment-gated job is `queued` with status
    `waiting`. Source: GitHub Docs "Webhook events and payloads: workflow_job".
    """
    job = payload.get(JOB_EVENT)
    repository = payload.get("repository")
    if not isinstance(job, dict) or not isinstance(repository, dict):
        return None
    github_id, run_id = integer(job, "id"), integer(job, "run_id")
    created = moment(job, "created_at") or moment(job, "started_at")
    if github_id is None or run_id is None or created is None:
        return None
    labels = job.get("labels")
    return JobFacts(
        github_id=github_id,
        run_id=run_id,
        run_attempt=integer(job, "run_attempt", low=1, high=LARGEST_INTEGER) or 1,
        repository=text(repository, "full_name", 200),
        workflow_name=text(job, "workflow_name", 300),
        name=text(job, "name", 300),
        labels=[str(label) for label in labels] if isinstance(labels, list) else [],
        html_url=text(job, "html_url", 500),
        head_branch=text(job, "head_branch", 255),
        status=text(job, "status", 20),
        conclusion=text(job, "conclusion", 20),
        runner_name=text(job, "runner_name", 64),
        created_at=created,
        started_at=moment(job, "started_at"),
        completed_at=moment(job, "completed_at"),
        setup_seconds=_setup_seconds(job),
    )


def _setup_seconds(job: Mapping[str, object]) -> float | None:
    first = _first_step(job)
    return jobs.setup_seconds(moment(job, "started_at"), moment(first, "completed_at"))


def _first_step(job: Mapping[str, object]) -> Mapping[str, object]:
    steps = job.get("steps")
    first = steps[0] if isinstance(steps, list) and steps else None
    return first if isinstance(first, dict) else {}


def hook_problem(payload: Mapping[str, object]) -> str:
    """What is wrong with a hook as its ping tells of it; "" when it sends us what we need."""
    hook = payload.get("hook")
    events = hook.get("events") if isinstance(hook, dict) else None
    if not isinstance(events, list) or JOB_EVENT in events or "*" in events:
        return ""
    return "The webhook does not send Workflow jobs: tick that event on its page at GitHub."
