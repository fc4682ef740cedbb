"""Ports that cannot be had: one line that names the setting, at once, and nothing started."""

import socket
from contextlib import closing

import pytest

from runners import ports
from tests.installation import Installation, free_port

NOWHERE = "192.0.2.1"  # RFC 5737: no machine has it


def require(address: str, port: int) -> None:
    ports.require_free(address, port, port_name="PORT", address_name="FLEET_BIND")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_free_port_is_left_free(address):
    port = free_port()

    require(address, port)

    with closing(socket.create_server(("127.0.0.1", port))):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_taken_port_is_named_with_its_setting(address):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(ports.PortTaken, match=f"Port {port} is taken: set PORT to another"):
            require(address, port)


@pytest.mark.parametrize("address", [NOWHERE, "no such host", "a" * 80, "999.1.1.1"])
def test_address_of_no_machine_of_ours_is_named_with_its_setting(address):
    with pytest.raises(ports.NoSuchAddress, match=r"^FLEET_BIND: "):
        require(address, free_port())


@pytest.mark.e2e
@pytest.mark.parametrize("command", ["fleet_up", "fleet_web"])
def test_taken_port_ends_the_command_at_once(installation: Installation, command: str):
    with closing(socket.create_server(("127.0.0.1", installation.port))):
        ended = installation.manage(command)

    assert ended.returncode == 1
    line = f"CommandError: Port {installation.port} is taken: set PORT to another one.\n"
    assert (ended.stderr, ended.stdout) == (line, "")
    assert not (installation.data_dir / "fleet.sqlite3").exists()


@pytest.mark.e2e
@pytest.mark.parametrize("command", ["fleet_up", "fleet_web"])
def test_bad_address_ends_the_command_as_a_setting_that_does_not_fit(
    installation: Installation, command: str
):
    ended = installation.manage(command, FLEET_BIND=NOWHERE)

    assert ended.returncode == 78
    assert ended.stderr.endswith(
        f"CommandError: FLEET_BIND: this machine has no address '{NOWHERE}' to listen on.\n"
    )
