"""Throw-away databases for benchmarks: a SQLite file, or a PostgreSQL cluster on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class Unavailable(Exception):
    """This database can't be had on this machine; the text says why."""


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Yield a DATABASE_URL for an empty database in `folder`. Raises Unavailable."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'bench.sqlite3'}"
        return
    with postgresql() as url:
        yield url


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a PostgreSQL cluster in a temporary folder and end it afterwards."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="fleetui-postgresql-"))
    owner = _unprivileged_owner(folder)
    port = free_port()
    data = folder / "data"
    _run(
        owner,
        [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "fleetui", "--no-sync"],
    )
    start = [
        str(binaries / "pg_ctl"),
        *("-D", str(data), "-w", "-l", str(folder / "log")),
        *("-o", f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"),
        "start",
    ]
    _run(owner, start)
    try:
        _run(
            owner,
            [
                str(binaries / "createdb"),
                "-h",
                "127.0.0.1",
                "-p",
                str(port),
                "-U",
                "fleetui",
                "bench",
            ],
        )
        yield f"postgres://fleetui@127.0.0.1:{port}/bench"
    finally:
        _run(owner, [str(binaries / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"])
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise Unavailable("PostgreSQL's server programs are not installed")
    return Path(on_path).parent


def _unprivileged_owner(folder: Path) -> str | None:
    """PostgreSQL refuses root: give the folder to its own user then."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam("postgres")
    except KeyError as error:
        raise Unavailable("PostgreSQL refuses root and there is no user postgres") from error
    os.chown(folder, account.pw_uid, account.pw_gid)
    return "postgres"


def _run(owner: str | None, command: Sequence[str]) -> None:
    done = subprocess.run(command, user=owner, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise Unavailable(f"{command[0]} failed: {done.stderr.strip()[-300:]}")
