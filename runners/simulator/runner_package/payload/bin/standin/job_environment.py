"""Where a job works and what its steps find in their environment."""

import os
import shutil
from pathlib import Path

from .install import Package, Settings
from .protocol import Job

STANDIN_PREFIX = "STANDIN_"


class JobFolders:
    """The directories of one job below the work folder."""

    def __init__(self, work: Path, repository: str) -> None:
        """Name them; `prepare` makes them."""
        name = repository.rpartition("/")[2] or "repository"
        self.temp = work / "_temp"
        self.actions = work / "_actions"
        self.tools = work / "_tool"
        self.pipeline = work / name
        self.workspace = work / name / name

    def prepare(self) -> None:
        """Make what is missing; `_temp` starts empty."""
        self.clean_temp()
        for folder in (self.temp, self.actions, self.tools, self.workspace):
            folder.mkdir(parents=True, exist_ok=True)

    def clean_temp(self) -> None:
        """Delete what the job left in `_temp`."""
        shutil.rmtree(self.temp, ignore_errors=True)


def base_environment(
    job: Job, settings: Settings, package: Package, folders: JobFolders, tracking_id: str
) -> dict[str, str]:
    """Our own environment without what is ours, plus GITHUB_* and RUNNER_* of this job."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(STANDIN_PREFIX)}
    env.update(job.env)
    env.update(_github_variables(job, settings, folders))
    env.update(
        {
            "CI": "true",
            "RUNNER_ARCH": package.architecture.upper(),
            "RUNNER_ENVIRONMENT": "self-hosted",
            "RUNNER_NAME": settings.agent_name,
            "RUNNER_OS": package.os_label,
            "RUNNER_TEMP": str(folders.temp),
            "RUNNER_TOOL_CACHE": str(folders.tools),
            "RUNNER_TRACKING_ID": tracking_id,
            "RUNNER_WORKSPACE": str(folders.pipeline),
        }
    )
    return env


def _github_variables(job: Job, settings: Settings, folders: JobFolders) -> dict[str, str]:
    server = settings.github_url or settings.server_url
    kind, _, ref_name = job.ref.removeprefix("refs/").partition("/")
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(folders.temp / "_github_workflow" / "event.json"),
        "GITHUB_JOB": job.name,
        "GITHUB_REF": job.ref,
        "GITHUB_REF_NAME": ref_name,
        "GITHUB_REF_TYPE": "tag" if kind == "tags" else "branch",
        "GITHUB_REPOSITORY": job.repository,
        "GITHUB_REPOSITORY_OWNER": job.repository.partition("/")[0],
        "GITHUB_RUN_ATTEMPT": job.run_attempt,
        "GITHUB_RUN_ID": job.run_id,
        "GITHUB_SERVER_URL": "/".join(server.split("/")[:3]),
        "GITHUB_SHA": job.sha,
        "GITHUB_WORKFLOW": job.workflow_name,
        "GITHUB_WORKSPACE": str(folders.workspace),
    }
