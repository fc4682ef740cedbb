"""The stand-in server's protocol as the runner sees it: paths, messages and what refusals mean."""

from typing import NamedTuple

from .wire import Client


class Step(NamedTuple):
    """One shell step of a job; `condition` is `success()`, `failure()`, `always()`, …."""

    name: str
    run: str
    shell: str
    env: dict[str, str]
    working_directory: str
    continue_on_error: bool
    condition: str


class Job(NamedTuple):
    """One job as the server hands it out; `raw` is what travels to the worker."""

    id: str
    name: str
    run_id: str
    run_attempt: str
    workflow_name: str
    repository: str
    sha: str
    ref: str
    steps: tuple[Step, ...]
    env: dict[str, str]
    timeout_minutes: float
    misbehave: str
    workflow_yaml: str
    labels: tuple[str, ...]
    raw: dict[str, object]


def parse_job(raw: dict[str, object]) -> Job:
    """Read a JOB object; what is missing gets GitHub's default."""

    def text(name: str, default: str = "") -> str:
        value = raw.get(name)
        return default if value is None else str(value)

    steps, labels = raw.get("steps"), raw.get("labels")
    return Job(
        id=text("id"),
        name=text("name", "job"),
        run_id=text("run_id", "0"),
        run_attempt=text("run_attempt", "1"),
        workflow_name=text("workflow_name"),
        repository=text("repository", "owner/repository"),
        sha=text("sha"),
        ref=text("ref", "refs/heads/main"),
        steps=tuple(_parse_step(step) for step in steps) if isinstance(steps, list) else (),
        env=_texts(raw.get("env")),
        timeout_minutes=float(text("timeout_minutes") or 360),
        misbehave=text("misbehave"),
        workflow_yaml=text("workflow_yaml"),
        labels=tuple(str(label) for label in labels) if isinstance(labels, list) else (),
        raw=raw,
    )


def _parse_step(raw: object) -> Step:
    fields = raw if isinstance(raw, dict) else {}
    run = str(fields.get("run") or "")
    first_line = run.strip().partition("\n")[0]
    return Step(
        name=str(fields.get("name") or f"Run {first_line}"),
        run=run,
        shell=str(fields.get("shell") or ""),
        env=_texts(fields.get("env")),
        working_directory=str(fields.get("working_directory") or ""),
        continue_on_error=bool(fields.get("continue_on_error")),
        condition=str(fields.get("if") or "success()"),
    )


def _texts(raw: object) -> dict[str, str]:
    return {str(key): str(value) for key, value in raw.items()} if isinstance(raw, dict) else {}


def runner_client(server_url: str, secret: str, version: str) -> Client:
    """A client that speaks as one runner."""
    return Client(server_url, f"Bearer {secret}", f"GitHubActionsRunner-standin/{version}")


def job_path(job_id: str, action: str) -> str:
    """The path of one report about a job: acquire, start, log, renew or complete."""
    return f"/_runner/jobs/{job_id}/{action}"
