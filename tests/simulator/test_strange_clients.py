"""Clients that nobody here wrote: githubkit's typed models, and GitHub's own ``gh``."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from githubkit import AppAuthStrategy, GitHub
from githubkit.exception import RequestFailed

from runners.simulator import Settings, Simulator
from tests.simulator.app import App
from tests.simulator.client import Client
from tests.simulator.listener import jit_listener, register

GH = Path(sys.executable).parent / "gh"


@pytest.fixture
def kit(sim: Simulator) -> GitHub[Any]:
    """Models generated from GitHub's description; an answer that does not fit raises."""
    return GitHub(sim.token, base_url=sim.api_url, http_cache=False, auto_retry=False)


def test_githubkit_registers_lists_labels_and_deletes(kit: GitHub[Any]) -> None:
    actions = kit.rest.actions
    made = actions.generate_runner_jitconfig_for_org(
        "acme", name="kit", runner_group_id=1, labels=["self-hosted", "gpu"]
    ).parsed_data
    assert made.encoded_jit_config
    listed = actions.list_self_hosted_runners_for_org("acme").parsed_data
    assert [(r.name, r.status, r.busy) for r in listed.runners] == [("kit", "offline", False)]
    labelled = actions.add_custom_labels_to_self_hosted_runner_for_org(
        "acme", made.runner.id, labels=["fast"]
    ).parsed_data
    assert [label.name for label in labelled.labels] == ["self-hosted", "gpu", "fast"]
    gone = actions.delete_self_hosted_runner_from_org("acme", made.runner.id)
    assert gone.status_code == 204
    with pytest.raises(RequestFailed, match="404"):
        actions.get_self_hosted_runner_for_org("acme", made.runner.id)


def test_githubkit_reads_every_kind_of_thing(sim: Simulator, kit: GitHub[Any]) -> None:
    admin = Client(sim, sim.token)
    job = sim.queue_job()
    jit_listener(admin).run_one()
    admin.post("/orgs/acme/hooks", {"name": "web", "config": {"url": "http://127.0.0.1:9/"}})
    rest = kit.rest
    assert rest.users.get_authenticated().parsed_data.login == "octo-admin"
    assert rest.orgs.get("acme").parsed_data.login == "acme"
    assert rest.repos.get("acme", "web").parsed_data.full_name == "acme/web"
    assert len(rest.repos.list_for_org("acme").parsed_data) == 4
    assert rest.rate_limit.get().parsed_data.resources.core.limit == 5000
    assert rest.meta.root().parsed_data.current_user_url
    runs = rest.actions.list_workflow_runs_for_repo("acme", "web").parsed_data
    assert runs.workflow_runs[0].conclusion == "success"
    jobs = rest.actions.list_jobs_for_workflow_run("acme", "web", job.run_id).parsed_data
    assert jobs.jobs[0].runner_name == "jit-1"
    assert rest.actions.list_repo_workflows("acme", "web").parsed_data.workflows[0].name == "CI"
    groups = rest.actions.list_self_hosted_runner_groups_for_org("acme").parsed_data
    assert groups.runner_groups[0].default
    assert rest.actions.list_runner_applications_for_org("acme").parsed_data[0].sha256_checksum
    hooks: Any = rest.orgs.list_webhooks("acme").parsed_data
    deliveries: Any = rest.orgs.list_webhook_deliveries("acme", hooks[0].id).parsed_data
    assert deliveries[0].event == "ping"
    release = rest.repos.get_latest_release("actions", "runner").parsed_data
    assert (release.assets[0].digest or "").startswith("sha256:")


def test_githubkit_acts_as_an_app(sim: Simulator) -> None:
    app = App(sim)
    strategy = AppAuthStrategy(app.client_id, app.key)
    as_app = GitHub(strategy, base_url=sim.api_url, http_cache=False)
    token = as_app.rest.apps.create_installation_access_token(app.installation_id).parsed_data.token
    installed = GitHub(token, base_url=sim.api_url, http_cache=False)
    repositories = installed.rest.apps.list_repos_accessible_to_installation().parsed_data
    assert repositories.total_count == 4


def gh(sim: Simulator, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run ``gh api`` with a configuration of its own."""
    environment = os.environ | {
        # What gh sends to any host but github.com.
        "GH_ENTERPRISE_TOKEN": sim.token,
        "GH_CONFIG_DIR": str(folder),
        "GH_NO_UPDATE_NOTIFIER": "1",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [str(GH), "api", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def gh_json(sim: Simulator, folder: Path, *arguments: str) -> Any:
    done = gh(sim, folder, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def test_gh_registers_lists_labels_and_deletes(sim: Simulator, tmp_path: Path) -> None:
    runners = f"{sim.url}/orgs/acme/actions/runners"
    body = ("-f", "name=gh", "-F", "runner_group_id=1", "-f", "labels[]=self-hosted")
    made = gh_json(sim, tmp_path, f"{runners}/generate-jitconfig", *body)["runner"]
    assert gh_json(sim, tmp_path, runners)["runners"] == [made]
    one = f"{runners}/{made['id']}"
    labelled = gh_json(sim, tmp_path, f"{one}/labels", "-f", "labels[]=gpu")
    assert [label["name"] for label in labelled["labels"]] == ["self-hosted", "gpu"]
    assert gh_json(sim, tmp_path, "-X", "DELETE", one) is None
    assert gh_json(sim, tmp_path, runners)["total_count"] == 0
    refused = gh(sim, tmp_path, one)
    assert refused.returncode == 1
    assert "Not Found (HTTP 404)" in refused.stderr


def test_gh_follows_pages(tmp_path: Path) -> None:
    with Simulator(settings=Settings()) as sim:
        admin = Client(sim, sim.token)
        for number in range(35):
            register(admin, f"r{number}")
        url = f"{sim.url}/orgs/acme/actions/runners"
        done = gh(sim, tmp_path, "--paginate", "--jq", ".runners[].name", url)
        assert len(done.stdout.split()) == 35


def test_gh_reads_a_job_log_through_its_redirect(sim: Simulator, tmp_path: Path) -> None:
    admin = Client(sim, sim.token)
    job = sim.queue_job()
    listener = jit_listener(admin)
    message = listener.take()
    listener.send(f"jobs/{job.id}/log", {"lines": ["hello from the job"]})
    listener.finish(message)
    done = gh(sim, tmp_path, f"{sim.url}/repos/acme/web/actions/jobs/{job.id}/logs")
    assert "hello from the job" in done.stdout
