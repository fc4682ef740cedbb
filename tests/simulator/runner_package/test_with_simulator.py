"""The real package against the real stand-in GitHub: both sides of the protocol agree."""

import hashlib
import io
import shutil
import signal
import tarfile
from pathlib import Path
from typing import Any

import pytest

from runners.simulator import Simulator
from runners.simulator.runner_package.build import build_package
from tests.simulator.client import Client
from tests.simulator.runner_package.conftest import Start, eventually

RUNNERS = "/orgs/acme/actions/runners"


def jit(admin: Client, name: str = "jit-1") -> dict[str, str]:
    """A JIT configuration as the runner's environment takes it."""
    body = {"name": name, "runner_group_id": 1, "labels": ["self-hosted"]}
    answer = admin.post(f"{RUNNERS}/generate-jitconfig", body)
    return {"ACTIONS_RUNNER_INPUT_JITCONFIG": answer.json()["encoded_jit_config"]}


def job_at(admin: Client, job_id: int) -> dict[str, Any]:
    found: dict[str, Any] = admin.get(f"/repos/acme/web/actions/jobs/{job_id}").json()
    return found


def runners_at(admin: Client) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = admin.get(RUNNERS).json()["runners"]
    return listed


def test_downloaded_package_has_the_listed_checksum(sim: Simulator, admin: Client) -> None:
    listed = admin.get(f"{RUNNERS}/downloads").json()
    offered = next(app for app in listed if (app["os"], app["architecture"]) == ("linux", "x64"))
    content = admin.session.get(offered["download_url"], timeout=10).content
    assert hashlib.sha256(content).hexdigest() == offered["sha256_checksum"]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert "./bin/Runner.Listener" in archive.getnames()


def test_windows_packages_are_listed_as_zip(admin: Client) -> None:
    listed = admin.get(f"{RUNNERS}/downloads").json()
    names = [app["filename"] for app in listed if app["os"] == "win"]
    assert names
    assert all(name.endswith(".zip") for name in names)


def test_jit_runner_runs_its_job_and_leaves_nothing_at_github(
    sim: Simulator, admin: Client, start: Start
) -> None:
    job = sim.queue_job(steps=["echo real work", "true"])
    runner = start(**jit(admin))
    assert runner.wait() == 0, runner.output
    done = job_at(admin, job.id)
    assert (done["status"], done["conclusion"]) == ("completed", "success")
    assert done["runner_name"] == "jit-1"
    assert [step["conclusion"] for step in done["steps"]] == ["success", "success"]
    assert runners_at(admin) == []
    assert any(line.endswith(" real work") for line in job.log)


def test_listening_runner_is_online_with_its_version_and_busy_while_it_works(
    sim: Simulator, admin: Client, start: Start
) -> None:
    runner = start(**jit(admin))
    runner.says("Listening for Jobs")
    (idle,) = runners_at(admin)
    assert (idle["status"], idle["busy"]) == ("online", False)
    sim.queue_job(steps=["sleep 60"])
    runner.says("Running job: build")
    (busy,) = runners_at(admin)
    assert (busy["status"], busy["busy"]) == ("online", True)


def test_stopped_runner_is_offline_at_once_and_still_registered(
    sim: Simulator, admin: Client, start: Start
) -> None:
    runner = start(**jit(admin))
    runner.says("Listening for Jobs")
    runner.process.send_signal(signal.SIGTERM)
    runner.wait()
    assert [each["status"] for each in runners_at(admin)] == ["offline"]


def test_cancelled_run_ends_the_step(sim: Simulator, admin: Client, start: Start) -> None:
    job = sim.queue_job(steps=["echo ready; sleep 600"])
    runner = start(**jit(admin))
    eventually(lambda: any(line.endswith("ready") for line in job.log))
    admin.post(f"/repos/acme/web/actions/runs/{job.run_id}/cancel")
    assert runner.wait() == 0
    assert job_at(admin, job.id)["conclusion"] == "cancelled"


def test_failing_step_fails_the_job(sim: Simulator, admin: Client, start: Start) -> None:
    job = sim.queue_job(steps=["exit 7", "true"])
    assert start(**jit(admin)).wait() == 0
    done = job_at(admin, job.id)
    assert done["conclusion"] == "failure"
    assert [step["conclusion"] for step in done["steps"]] == ["failure", "skipped"]


def test_idle_runner_removed_by_github_says_so_and_cleans_up(
    sim: Simulator, admin: Client, start: Start, root: Path
) -> None:
    sim.settings.timings.jit_idle_removal_seconds = 120
    runner = start(**jit(admin))
    runner.says("Listening for Jobs")
    sim.clock.advance(121)
    assert runner.wait() == 0
    assert "The runner no longer exists on the server." in runner.output
    assert not (root / ".credentials").exists()


def test_second_process_of_one_runner_is_a_conflict(
    sim: Simulator, admin: Client, start: Start, root: Path
) -> None:
    config = jit(admin)
    start(**config).says("Listening for Jobs")
    shutil.copytree(root, root.parent / "copy")
    second = start(
        "../copy/bin/Runner.Listener", "run", STANDIN_CONFLICT_LIMIT_SECONDS="0", **config
    )
    assert second.wait() == 5


def test_out_of_memory_worker_fails_its_job(sim: Simulator, admin: Client, start: Start) -> None:
    job = sim.queue_job(steps=["true"], misbehave="oom")
    assert start(**jit(admin)).wait() == 0
    assert job_at(admin, job.id)["conclusion"] == "failure"


def test_crashed_listener_leaves_its_job_running_at_github(
    sim: Simulator, admin: Client, start: Start
) -> None:
    job = sim.queue_job(steps=["true"], misbehave="crash")
    assert start(**jit(admin)).wait() == -signal.SIGKILL
    assert job_at(admin, job.id)["status"] == "in_progress"
    assert [each["busy"] for each in runners_at(admin)] == [True]


def test_runner_is_configured_runs_two_jobs_and_is_removed(
    sim: Simulator, admin: Client, start: Start
) -> None:
    token = admin.post(f"{RUNNERS}/registration-token").json()["token"]
    words = ["--unattended", "--url", f"{sim.url}/acme", "--token", token, "--name", "steady"]
    configured = start("./config.sh", *words, "--labels", "gpu", jit=False)
    assert configured.wait() == 0, configured.output
    jobs = [sim.queue_job(steps=["true"], labels=["gpu"]) for _ in range(2)]
    runner = start(jit=False)
    eventually(lambda: all(job.status == "completed" for job in jobs))
    (steady,) = runners_at(admin)
    labels = {label["name"] for label in steady["labels"]}
    assert labels == {"self-hosted", "Linux", "X64", "gpu"}
    runner.process.send_signal(signal.SIGINT)
    runner.wait()
    sim.clock.advance(sim.settings.timings.busy_linger_seconds + 1)
    token = admin.post(f"{RUNNERS}/remove-token").json()["token"]
    removed = start("./config.sh", "remove", "--token", token, jit=False)
    assert removed.wait() == 0, removed.output
    assert runners_at(admin) == []


def test_a_taken_name_is_refused_without_replace(
    sim: Simulator, admin: Client, start: Start
) -> None:
    jit(admin, "taken")
    token = admin.post(f"{RUNNERS}/registration-token").json()["token"]
    words = ["--unattended", "--url", f"{sim.url}/acme", "--token", token, "--name", "taken"]
    runner = start("./config.sh", *words, jit=False)
    assert runner.wait() == 1
    assert "A runner exists with the same name taken." in runner.output


def test_a_version_too_old_cannot_register(
    sim: Simulator, admin: Client, start: Start, root: Path
) -> None:
    with tarfile.open(
        fileobj=io.BytesIO(build_package("2.300.0", "linux", "x64").content)
    ) as archive:
        archive.extract("./bin/runner.version", root, filter="data")
    token = admin.post(f"{RUNNERS}/registration-token").json()["token"]
    words = ["--unattended", "--url", f"{sim.url}/acme", "--token", token]
    runner = start("./config.sh", *words, jit=False)
    assert runner.wait() == 1
    assert "out of date" in runner.output


@pytest.mark.parametrize("scope", ["repos/acme/web", "enterprises/big-corp"])
def test_jit_runner_serves_the_other_scopes_too(
    sim: Simulator, admin: Client, start: Start, scope: str
) -> None:
    body = {"name": "scoped", "runner_group_id": 1, "labels": ["self-hosted"]}
    answer = admin.post(f"/{scope}/actions/runners/generate-jitconfig", body)
    job = sim.queue_job("acme/web", steps=["true"])
    start(ACTIONS_RUNNER_INPUT_JITCONFIG=answer.json()["encoded_jit_config"]).wait()
    assert job_at(admin, job.id)["conclusion"] == "success"
