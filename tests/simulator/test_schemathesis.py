"""Schemathesis, which nobody here wrote, against every operation the simulator serves.

It makes requests from GitHub's own description and checks each answer's status, body and headers
against it. Path parameters are narrowed to things that exist, so that requests arrive somewhere.
"""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.simulator import JobOrder, Settings, Simulator
from runners.simulator.settings import NO_LIMITS
from runners.simulator.simulator import ROUTES
from tests.simulator.app import App
from tests.simulator.client import Client, description
from tests.simulator.listener import persistent_listener
from tests.simulator.receiver import until

EXAMPLES_PER_OPERATION = 4
CHECKS = (
    "not_a_server_error",
    "response_schema_conformance",
    "content_type_conformance",
    "response_headers_conformance",
)
Known = dict[str, list[Any]]
RUNNER_REPOSITORY: Known = {"owner": ["actions"], "repo": ["runner"]}


@pytest.fixture
def busy_sim() -> Iterator[Simulator]:
    """A simulator with something of everything in it, and no limits on requests."""
    with Simulator(settings=Settings(limits=NO_LIMITS)) as sim:
        yield sim


def fill(sim: Simulator, admin: Client) -> Known:
    """Put something of everything in; answers good values of path parameters."""
    for scope in ("orgs/acme", "repos/acme/web", "enterprises/big-corp"):
        for name in ("a", "b"):
            body = {"name": name, "runner_group_id": 1, "labels": ["x", "Linux"]}
            admin.post(f"/{scope}/actions/runners/generate-jitconfig", body)
    listener = persistent_listener(admin)
    sim.queue_jobs(JobOrder("acme/web", count=3))
    listener.run_one()
    listener.run_one("Failed")
    sim.queue_jobs(JobOrder("acme/web", environment="production"))
    hooks = [
        admin.post(
            f"/{scope}/hooks",
            {"name": "web", "config": {"url": f"http://127.0.0.1:9/{scope}"}, "events": ["push"]},
        ).json()["id"]
        for scope in ("orgs/acme", "repos/acme/web")
    ]
    groups = [
        admin.post(
            f"/{scope}/actions/runner-groups", {"name": "some", "visibility": "selected"}
        ).json()["id"]
        for scope in ("orgs/acme", "enterprises/big-corp")
    ]
    store = sim.world.store
    until(lambda: all(d.status != "pending" for d in store.deliveries.values()))
    return {
        "org": ["acme"],
        "owner": ["acme"],
        "repo": ["web"],
        "enterprise": ["big-corp"],
        "username": ["octo-admin", "acme"],
        "runner_id": list(store.runners),
        "name": ["x", "linux", "y"],
        "version": ["2.336.0", "2.300.0"],
        "run_id": list(store.runs),
        "job_id": list(store.jobs),
        "attempt_number": [1],
        "workflow_id": ["ci.yml"],
        "hook_id": hooks,
        "delivery_id": list(store.deliveries),
        "runner_group_id": [1, *groups],
        "repository_id": [r.id for r in store.repositories_of("acme")],
        "org_id": [store.organizations["acme"].id],
        "installation_id": list(store.installations),
        "tag": ["v2.336.0"],
        "release_id": [release.id for release in store.releases.values()],
        "asset_id": [release.id * 100 + 2 for release in store.releases.values()],
    }


def narrowed(known: Known, who: set[str], prefix: str = "") -> dict[str, Any]:
    """GitHub's description, cut to what callers of a kind may call, with known path parameters."""
    spec = copy.deepcopy(description())
    served = {(r.method.lower(), r.pattern) for r in ROUTES if r.access.who in who}
    for path in list(spec["paths"]):
        item = spec["paths"][path]
        for method in list(item):
            if (method, path) not in served or not path.startswith(prefix):
                del item[method]
            else:
                values = known | RUNNER_REPOSITORY if "/releases" in path else known
                item[method]["parameters"] = [
                    _known_parameter(spec, parameter, values)
                    for parameter in item[method].get("parameters", [])
                ]
        if not item:
            del spec["paths"][path]
    return spec


def _known_parameter(spec: dict[str, Any], parameter: dict[str, Any], known: Known) -> Any:
    if "$ref" in parameter:
        name = parameter["$ref"].rsplit("/", 1)[-1]
        parameter = spec["components"]["parameters"][name]
    if parameter["in"] != "path" or parameter["name"] not in known:
        return parameter
    return {**parameter, "schema": {"enum": known[parameter["name"]]}}


def run_schemathesis(
    sim: Simulator, token: str, spec: dict[str, Any], folder: Path
) -> "subprocess.CompletedProcess[str]":
    description_file, config = folder / "spec.json", folder / "schemathesis.toml"
    description_file.write_text(json.dumps(spec), encoding="utf-8")
    config.write_text(f'[headers]\nAuthorization = "Bearer {token}"\n', encoding="utf-8")
    program = Path(sys.executable).parent / "schemathesis"
    command = [str(program), "--config-file", str(config), "run", str(description_file)]
    command += ["--url", sim.api_url, "--mode", "positive", "--phases", "examples,fuzzing"]
    command += ["--checks", ",".join(CHECKS), "--no-color", "--seed", "1"]
    command += ["--workers", "2"]
    command += ["--max-examples", str(EXAMPLES_PER_OPERATION)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def operations(spec: dict[str, Any]) -> int:
    return sum(len(item) for item in spec["paths"].values())


def assert_passed(done: "subprocess.CompletedProcess[str]", spec: dict[str, Any]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Tested: {operations(spec)}" in done.stdout, done.stdout


def answered_well(sim: Simulator) -> set[str]:
    """The methods and first words of paths that got an answer other than a refusal."""
    good = [r for r in sim.requests if 200 <= r.status < 400]
    words = [(r.method, r.path.split("/")) for r in good]
    found = {f"{method} {path[1]}" for method, path in words}
    return found | {f"{method} {path[4]}" for method, path in words if len(path) > 4}


def test_person_gets_answers_as_described(busy_sim: Simulator, tmp_path: Path) -> None:
    admin = Client(busy_sim, busy_sim.token)
    known = fill(busy_sim, admin)
    spec = narrowed(known, {"token", "user", "anyone"})
    done = run_schemathesis(busy_sim, busy_sim.token, spec, tmp_path)
    assert_passed(done, spec)
    assert operations(spec) > 120
    wanted = {"POST orgs", "PUT repos", "DELETE enterprises", "GET user", "GET releases"}
    assert wanted <= answered_well(busy_sim)


def test_app_gets_answers_as_described(busy_sim: Simulator, tmp_path: Path) -> None:
    app = App(busy_sim, {"hook_url": "http://127.0.0.1:9/"})
    until(lambda: all(d.status != "pending" for d in busy_sim.world.store.deliveries.values()))
    known: Known = {
        "org": ["acme"],
        "owner": ["acme"],
        "repo": ["web"],
        "username": ["acme"],
        "installation_id": [app.installation_id],
        "delivery_id": list(busy_sim.world.store.deliveries),
    }
    spec = narrowed(known, {"app"})
    assert_passed(run_schemathesis(busy_sim, app.token(), spec, tmp_path), spec)
    assert {"GET app", "POST app", "PATCH app"} <= answered_well(busy_sim)


def test_installation_gets_answers_as_described(busy_sim: Simulator, tmp_path: Path) -> None:
    app = App(busy_sim)
    token = busy_sim.mint_token({"kind": "installation", "installation_id": app.installation_id})
    spec = narrowed({}, {"installation"})
    assert_passed(run_schemathesis(busy_sim, token, spec, tmp_path), spec)
    assert {"GET installation", "DELETE installation"} <= answered_well(busy_sim)


def test_schemathesis_notices_an_answer_that_is_not_as_described(
    busy_sim: Simulator, tmp_path: Path
) -> None:
    spec = narrowed({"org": ["acme"]}, {"token"}, "/orgs/{org}/actions/runners/downloads")
    schema = spec["paths"]["/orgs/{org}/actions/runners/downloads"]["get"]["responses"]["200"]
    schema["content"]["application/json"]["schema"]["items"] = {"required": ["planted"]}
    done = run_schemathesis(busy_sim, busy_sim.token, spec, tmp_path)
    assert done.returncode != 0
    assert "planted" in done.stdout
