"""A runner reduced to its conversation with the server: no processes, no files."""

import base64
import json
from typing import Any

import requests

from runners.simulator import Simulator
from tests.simulator.client import Client

VERSION = "2.336.0"


class Listener:
    """Registers, listens, takes a job and reports on it."""

    def __init__(self, sim: Simulator, runner_id: int, secret: str) -> None:
        self.sim = sim
        self.runner_id = runner_id
        self.session_id = ""
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["Authorization"] = f"Bearer {secret}"

    def open(self, version: str = VERSION) -> requests.Response:
        """Start a session."""
        response = self.send("sessions", {"runner_id": self.runner_id, "version": version})
        if response.ok:
            self.session_id = response.json()["session_id"]
        return response

    def close(self) -> None:
        """End the session."""
        url = f"{self.sim.url}/_runner/sessions/{self.session_id}"
        assert self.http.delete(url, timeout=10).status_code == 204

    def poll(self, wait: int = 0) -> requests.Response:
        """Ask for a message."""
        return self.http.get(
            f"{self.sim.url}/_runner/messages",
            params={"session_id": self.session_id, "wait": str(wait)},
            timeout=wait + 10,
        )

    def offered(self) -> dict[str, Any] | None:
        """The job on offer, if any."""
        response = self.poll()
        return response.json()["job"] if response.status_code == 200 else None

    def take(self) -> dict[str, Any]:
        """Wait for a job and accept it."""
        job = self.poll(wait=5).json()["job"]
        answer = self.send(f"jobs/{job['id']}/acquire", {"session_id": self.session_id})
        assert answer.status_code == 200, answer.text
        return job

    def finish(self, job: dict[str, Any], result: str = "Succeeded") -> requests.Response:
        """Report the end of a job."""
        conclusion = {"Succeeded": "success", "Failed": "failure", "Canceled": "cancelled"}[result]
        steps = [
            {"number": n, "name": step["name"], "conclusion": conclusion}
            for n, step in enumerate(job["steps"], 1)
        ]
        return self.send(f"jobs/{job['id']}/complete", {"result": result, "steps": steps})

    def run_one(self, result: str = "Succeeded") -> dict[str, Any]:
        """Take a job and end it."""
        job = self.take()
        assert self.finish(job, result).status_code == 200
        return job

    def send(self, path: str, body: dict[str, Any]) -> requests.Response:
        """POST to the runner's side of the server."""
        return self.http.post(f"{self.sim.url}/_runner/{path}", json=body, timeout=10)


def jit_listener(
    client: Client,
    name: str = "jit-1",
    labels: tuple[str, ...] = ("self-hosted",),
    scope: str = "orgs/acme",
    group_id: int = 1,
    verify: str = "",
) -> Listener:
    """A listener on a JIT config, its session open."""
    body = {"name": name, "runner_group_id": group_id, "labels": list(labels)}
    made = client.post(f"/{scope}/actions/runners/generate-jitconfig", body)
    assert made.status_code == 201, made.text
    files = json.loads(base64.b64decode(made.json()["encoded_jit_config"]))
    secret = json.loads(base64.b64decode(files[".credentials"]))["Data"]["clientSecret"]
    listener = Listener(client.sim, made.json()["runner"]["id"], secret)
    listener.http.verify = verify or True
    assert listener.open().status_code == 201
    return listener


def register(client: Client, name: str = "box-1", scope: str = "orgs/acme", **wishes: Any) -> Any:
    """What ``config.sh`` does; answers the response."""
    token = client.post(f"/{scope}/actions/runners/registration-token").json()["token"]
    return register_with(client.sim, token, name, scope, **wishes)


def register_with(sim: Simulator, token: str, name: str, scope: str, **wishes: Any) -> Any:
    """The same with a token at hand."""
    body = {
        "url": f"{sim.url}/{scope.removeprefix('orgs/').removeprefix('repos/')}",
        "name": name,
        "labels": [],
        "version": VERSION,
        **wishes,
    }
    headers = {"Authorization": f"RemoteAuth {token}"}
    url = f"{sim.api_url}/actions/runners/register"
    return requests.post(url, json=body, headers=headers, timeout=10)


def persistent_listener(client: Client, name: str = "box-1", **wishes: Any) -> Listener:
    """A registered runner's listener, its session open."""
    made = register(client, name, **wishes).json()
    listener = Listener(client.sim, made["runner_id"], made["client_secret"])
    assert listener.open().status_code == 201
    return listener
