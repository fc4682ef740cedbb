"""A whole installation for one test: its own data folder, database and port, and real processes."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.05

T = TypeVar("T")


def wait_for(what: str, condition: Callable[[], T | None], *, seconds: float = 60) -> T:
    """Poll until `condition` gives something true and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"{what}: not within {seconds} s")


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Installation:
    """Runs `manage.py` commands, short or long, as an operator would."""

    data_dir: Path
    database_url: str
    port: int = field(default_factory=free_port)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the processes see: nothing of the suite's own settings."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FLEET_", "DJANGO_", "PYTEST_", "COV_"))
        }
        return {
            **inherited,
            "DATA_DIR": str(self.data_dir),
            "DATABASE_URL": self.database_url,
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            **self.variables,
            **(extra or {}),
        }

    def manage(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; `extra` are more variables."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment(extra),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def migrate(self) -> None:
        """What `manage.py migrate` leaves of an empty database, copied from one it was run on."""
        copy_database(_migrated(os.environ.get("DATABASE_URL", "")), self.database_url)

    @contextmanager
    def running(self, *arguments: str, **extra: str) -> Iterator[RunningCommand]:
        """Run a command until the block ends, and then end whatever it left."""
        log = self.data_dir / f"{arguments[0]}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.environment(extra),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        command = RunningCommand(process, log)
        try:
            yield command
        finally:
            command.end()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query gives, read beside the running processes."""
        if self.database_url.startswith("sqlite"):
            file = self.database_url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(file, timeout=20)) as connection:
                return connection.execute(sql).fetchall()
        import psycopg

        with psycopg.connect(self.database_url) as connection:
            return connection.execute(sql).fetchall()

    def lose_database(self) -> None:
        """What a broken disk leaves: no file, or a server's database without a table."""
        if self.database_url.startswith("sqlite"):
            file = self.database_url.removeprefix("sqlite:///")
            for name in (file, f"{file}-wal", f"{file}-shm"):
                Path(name).unlink(missing_ok=True)
            return
        import psycopg

        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")


@dataclass
class RunningCommand:
    """A long-running command of an installation, and the file with all it printed."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def family(self) -> set[psutil.Process]:
        """The command and all its descendants."""
        try:
            main = psutil.Process(self.process.pid)
            return {main, *main.children(recursive=True)}
        except psutil.NoSuchProcess:
            return set()

    def end(self) -> None:
        """SIGKILL everything; for the end of a test, after it looked at what it wanted to see."""
        for process in self.family():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait(timeout=30)


@contextmanager
def database_like(url: str, data_dir: Path) -> Iterator[str]:
    """The URL of an empty database of the kind that `url` names, gone when the block ends."""
    if not url.startswith("postgres"):
        yield f"sqlite:///{data_dir / 'fleet.sqlite3'}"
        return
    import psycopg

    name = f"fleet_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{url.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def copy_database(source: str, target: str) -> None:
    """Make the database `target` a copy of `source`; nobody may have either of them open."""
    if source.startswith("sqlite"):
        files = [url.removeprefix("sqlite:///") for url in (source, target)]
        with closing(sqlite3.connect(files[0])) as old, closing(sqlite3.connect(files[1])) as new:
            old.backup(new)
        return
    import psycopg

    server = os.environ["DATABASE_URL"]
    names = [url.rpartition("/")[2] for url in (source, target)]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {names[1]}")
        connection.execute(f"CREATE DATABASE {names[1]} TEMPLATE {names[0]}")


@functools.cache
def _migrated(server: str) -> str:
    """The URL of a migrated database that nobody fills, gone with this process."""
    folder = Path(tempfile.mkdtemp(prefix="fleetui-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    kept = ExitStack()
    url = kept.enter_context(database_like(server, folder))
    atexit.register(kept.close)
    done = Installation(folder, url).manage("migrate", "--verbosity", "0")
    if done.returncode:
        raise AssertionError(f"migrate exited with {done.returncode}: {done.stderr}")
    return url
