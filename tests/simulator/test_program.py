"""The simulator as a program, and what it remembers from one start to the next."""

import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from runners.simulator import Certificate, JobOrder, Seed, Settings, Simulator
from tests.simulator.client import Client
from tests.simulator.listener import Listener, jit_listener, persistent_listener


def start(*arguments: str) -> tuple["subprocess.Popen[str]", str]:
    """Start the program on a free port; answers its URL, the first line it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runners.simulator", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_program_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    seed = ("--org", "umbrella", "--repo", "umbrella/x")
    process, url = start("--token-file", str(token_file), *seed)
    try:
        token = token_file.read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.get(f"{url}/orgs/umbrella/repos", headers=headers, timeout=5)
        assert [r["full_name"] for r in answer.json()] == ["umbrella/x"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


def test_program_explains_itself() -> None:
    command = [sys.executable, "-m", "runners.simulator", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for option in ("--port", "--state", "--org", "--repo", "--traffic", "--runner-version"):
        assert option in shown


def test_state_survives_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state" / "github.json"
    with Simulator(state_file=state) as sim:
        token = sim.token
        client = Client(sim, token)
        idle = persistent_listener(client, "box", labels=["gpu"])
        secret = sim.world.store.runners[idle.runner_id].secret
        waiting = sim.queue_job(labels=["gpu"])
        running = jit_listener(client, "worker", labels=("work",))
        job = sim.queue_job(labels=["work"])
        running.take()
        worker_secret = sim.world.store.runners[running.runner_id].secret
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    with Simulator(state_file=state) as again:
        assert again.token == token
        client = Client(again, token)
        names = [r["name"] for r in client.get("/orgs/acme/actions/runners").json()["runners"]]
        assert names == ["box", "worker"]
        again.clock.advance(61)
        listener = Listener(again, idle.runner_id, secret)
        assert listener.open().status_code == 201
        assert listener.take()["id"] == waiting.id
        worker = Listener(again, running.runner_id, worker_secret)
        assert worker.send(f"jobs/{job.id}/renew", {}).json() == {"cancel": False}


def test_timers_run_on_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "github.json"
    with Simulator(state_file=state) as sim:
        persistent_listener(Client(sim, sim.token), "box").close()
        job = sim.queue_job(labels=["nobody"])
        silent = sim.queue_job(labels=["work"])
        jit_listener(Client(sim, sim.token), labels=("work",)).take()
    with Simulator(state_file=state) as again:
        again.clock.advance(86401)
        assert again.world.store.jobs[job.id].conclusion == "cancelled"
        assert again.world.store.jobs[silent.id].conclusion == "failure"
        again.clock.advance(14 * 86400)
        assert again.world.store.runners == {}


def test_records_are_the_same_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "github.json"
    with Simulator(state_file=state) as sim:
        sim.add_app({"account": "acme", "repositories": ["acme/web"]})
        client = Client(sim, sim.token)
        body = {"name": "web", "config": {"url": "http://127.0.0.1:9/", "secret": "s"}}
        client.post("/orgs/acme/hooks", body)
        client.post("/orgs/acme/actions/runner-groups", {"name": "GPU"})
        sim.queue_jobs(JobOrder("acme/web", environment="production", env={"A": "b"}))
        before = sim.world.store
        before.deliveries.clear()
    with Simulator(state_file=state) as again:
        assert again.world.store == before


def test_token_given_at_a_restart_is_the_administrators(tmp_path: Path) -> None:
    state = tmp_path / "github.json"
    with Simulator(state_file=state) as sim:
        old = sim.token
    newer = Settings(runner_version="2.337.0")
    with Simulator(Seed(token="ghp_other"), state_file=state, settings=newer) as again:
        assert again.token == "ghp_other"
        for token in (old, "ghp_other"):
            assert Client(again, token).get("/orgs/acme/actions/runners").status_code == 200
        latest = Client(again, old).get("/repos/actions/runner/releases/latest").json()
        assert latest["tag_name"] == "v2.337.0"


def test_file_of_another_version_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "github.json"
    state.write_text('{"format": 0}')
    with pytest.raises(ValueError, match="another version"):
        Simulator(state_file=state)


def test_stopped_simulator_answers_nobody() -> None:
    sim = Simulator().start()
    client = Client(sim, sim.token)
    assert client.get("/user").status_code == 200
    sim.stop()
    with pytest.raises(OSError, match=r"refused|aborted|closed|reset"):
        client.get("/user")


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """A certificate for loopback, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(tmp_path / "chain.pem", tmp_path / "key.pem")
    made.chain.write_bytes(signed.public_bytes(Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return made


def test_simulator_serves_https(certificate: Certificate) -> None:
    with Simulator(certificate=certificate) as sim:
        client = Client(sim, sim.token)
        client.session.verify = str(certificate.chain)
        assert client.get("/user").json()["url"].startswith("https://127.0.0.1:")
        listener = jit_listener(client, verify=str(certificate.chain))
        job = sim.queue_job()
        assert listener.poll(wait=5).json()["job"]["id"] == job.id
