"""HTTPS with a private authority: the right certificate works, every wrong one is refused."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.agent.dashboard import CODE, Dashboard
from tests.agent.machine import Machine
from tests.agent.patience import until

Key = ec.EllipticCurvePrivateKey
LOCALHOST = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


class Authority:
    """A certificate authority of one test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        certificate = self._sign(self.name, self.key.public_key(), authority=True)
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def serve(self, dashboard: Dashboard, *names: x509.GeneralName) -> None:
        """Make a dashboard speak HTTPS with a certificate for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dashboard")])
        certificate = self._sign(subject, key.public_key(), names)
        chain = self.folder / "server.pem"
        chain.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        dashboard.http.socket = context.wrap_socket(
            dashboard.http.socket, server_side=True, do_handshake_on_connect=False
        )
        dashboard.url = dashboard.url.replace("http://", "https://")

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        names: tuple[x509.GeneralName, ...] = (),
        *,
        authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority that signs the dashboard's certificate."""
    return Authority(tmp_path, "ours")


@pytest.fixture
def serve(authority: Authority) -> Iterator[Callable[..., Dashboard]]:
    """Start a dashboard with HTTPS."""
    started: list[Dashboard] = []

    def start(*names: x509.GeneralName) -> Dashboard:
        dashboard = Dashboard()
        authority.serve(dashboard, *names)
        started.append(dashboard.__enter__())
        return dashboard

    yield start
    for dashboard in started:
        dashboard.__exit__(None, None, None)


def test_private_authority_named_at_enrolment_is_used_from_then_on(
    serve: Callable[..., Dashboard], authority: Authority, machine: Machine
) -> None:
    dashboard = serve(LOCALHOST)
    machine.join(dashboard, "--ca-file", str(authority.file))
    until(lambda: len(dashboard.heartbeats) > 1, "heartbeats over HTTPS")


def enrol(machine: Machine, dashboard: Dashboard, *arguments: str) -> str:
    """Try to enrol; return what was said, having checked that nothing was sent or stored."""
    where = ("--server", dashboard.url, "--state-dir", str(machine.state))
    done = machine.command("enrol", *where, *arguments, code=CODE)
    assert done.returncode == 1
    assert dashboard.enrolments == []
    assert not (machine.state / "token").exists()
    return done.stderr


def test_unknown_authority_is_refused(serve: Callable[..., Dashboard], machine: Machine) -> None:
    assert "certificate" in enrol(machine, serve(LOCALHOST))


def test_other_private_authority_is_refused(
    serve: Callable[..., Dashboard], machine: Machine, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    said = enrol(machine, serve(LOCALHOST), "--ca-file", str(other.file))
    assert "certificate" in said


def test_certificate_for_another_name_is_refused(
    serve: Callable[..., Dashboard], authority: Authority, machine: Machine
) -> None:
    dashboard = serve(x509.DNSName("fleet.example.org"))
    assert "certificate" in enrol(machine, dashboard, "--ca-file", str(authority.file))
