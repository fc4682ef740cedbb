"""Copies of the whole database, out and in again, and who else has it open: SQLite and PostgreSQL.

The only module that knows the vendors' ways of doing so. A copy out is of one moment and keeps
nobody waiting; a copy in happens whole or not at all. See docs/adr/0007-backups.md.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import psutil
from django.db import connection, transaction
from django.db.backends.postgresql.client import DatabaseClient

from runners.errors import FleetError

SQLITE, POSTGRESQL = "sqlite", "postgresql"
# How long a copy in waits for the last writer; nobody should be there at all.
BUSY_SECONDS = 20


class CopyFailed(FleetError):
    """The database could not be copied; the message says what to do."""


def copy_out(target: Path) -> dict[str, int]:
    """Write the database as it is at one moment into the new file `target`; rows by table.

    Others go on reading and writing meanwhile. Raises CopyFailed.
    """
    if connection.vendor == SQLITE:
        source = _sqlite_file()
        if not source.exists():
            raise CopyFailed(f"There is no database at {source}: nothing to back up.")
        return copy_sqlite(source, target)
    return _dump_postgresql(target)


def copy_in(source: Path, work: Path) -> None:
    """Put the copy `source` in the place of everything in the database; `work` is for drafts.

    Raises CopyFailed, and then the database is as it was.
    """
    connection.close()
    if connection.vendor == SQLITE:
        target = _sqlite_file()
        # The folder holds sessions and password hashes
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        overwrite_sqlite(source, target)
    else:
        _load_postgresql(source, work / "database.sql")


def users_of_database() -> list[str]:
    """Who else has the database open, in words."""
    if connection.vendor == SQLITE:
        return processes_with(_sqlite_file())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, application_name, coalesce(host(client_addr), 'this machine')"
            " FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY pid"
        )
        return [
            f"{name or 'a client'} from {address} (server process {pid})"
            for pid, name, address in cursor.fetchall()
        ]


def processes_with(file: Path) -> list[str]:
    """Other processes that hold `file` open, as far as this user may look at them."""
    wanted = file.resolve()
    found = []
    for process in psutil.process_iter(["pid", "name", "open_files"]):
        files = process.info["open_files"] or ()
        if process.pid != os.getpid() and any(Path(each.path) == wanted for each in files):
            found.append(f"{process.info['name']} (process {process.pid})")
    return found


def copy_sqlite(source: Path, target: Path) -> dict[str, int]:
    """SQLite's online backup, in one step: small ones start anew at each write of somebody else.

    The log of a database in WAL mode keeps its writers going while it is read.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as copy,
        ):
            reader.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            reader.backup(copy, pages=-1)
            # One file, with no log of its own beside it
            copy.execute("PRAGMA journal_mode = DELETE")
            _check_sqlite(copy)
            names = [
                row[0]
                for row in copy.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table'"
                    " AND name NOT LIKE 'sqlite_%' ORDER BY name"
                )
            ]
            return {name: _count(copy.execute, name) for name in names}
    except sqlite3.Error as error:
        raise CopyFailed(f"SQLite could not copy the database: {error}.") from error


def overwrite_sqlite(source: Path, target: Path) -> None:
    """Copy `source` over `target` in one transaction of SQLite."""
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as copy,
            closing(sqlite3.connect(target)) as database,
        ):
            _check_sqlite(copy)
            database.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            copy.backup(database, pages=-1)
    except sqlite3.Error as error:
        raise CopyFailed(f"SQLite could not put the copy in place: {error}.") from error
    target.chmod(0o600)


def _check_sqlite(database: sqlite3.Connection) -> None:
    said = [str(row[0]) for row in database.execute("PRAGMA quick_check(3)")]
    if said != ["ok"]:
        raise CopyFailed("The copy of the database is damaged: " + "; ".join(said))


def _count(execute: Callable[[str], sqlite3.Cursor], table: str) -> int:
    # Not a parameter: names of the copy's own tables
    (number,) = execute(f'SELECT count(*) FROM "{table}"').fetchone()  # noqa: S608
    return int(number)


def _sqlite_file() -> Path:
    name = str(connection.settings_dict["NAME"])
    if connection.is_in_memory_db():  # type: ignore[attr-defined]
        raise CopyFailed("This database is kept in memory: it has no file to copy.")
    return Path(name)


def _dump_postgresql(target: Path) -> dict[str, int]:
    """pg_dump and the counts look at the same moment: the snapshot this transaction exports."""
    _need("pg_dump")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        _run(
            *("pg_dump", "--format=custom", "--no-owner", "--no-privileges"),
            *(f"--snapshot={snapshot}", f"--file={target}"),
        )
        rows = {}
        for name in sorted(connection.introspection.table_names(cursor)):
            quoted = connection.ops.quote_name(name)
            cursor.execute(f"SELECT count(*) FROM {quoted}")  # noqa: S608 - our tables' names
            rows[name] = int(cursor.fetchone()[0])
        return rows


def _load_postgresql(source: Path, script: Path) -> None:
    """Drop our tables and make those of the copy, in one transaction.

    pg_restore alone would drop only what the copy knows, and leave what a newer version had made.
    """
    _need("pg_restore", "psql")
    _run("pg_restore", "--no-owner", "--no-privileges", f"--file={script}", str(source))
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
    connection.close()
    drop = ", ".join(map(connection.ops.quote_name, tables))
    _run(
        *("psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"),
        *(["--command", f"DROP TABLE {drop} CASCADE"] if tables else []),
        *("--output", os.devnull, "--file", str(script)),
    )


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise CopyFailed(
            f"{' and '.join(missing)} is not on this machine. Install PostgreSQL's client programs "
            "(postgresql-client), of the server's version or newer."
        )


def _run(*argv: str) -> None:
    """Run one of PostgreSQL's programs; where the database is, and the password, stay out of
    argv."""
    done = subprocess.run(
        argv,
        env={**os.environ, **_postgresql_environment(connection.settings_dict)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise CopyFailed(f"{argv[0]} failed: {' '.join(said[-3:])}")


def _postgresql_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """The connection as libpq's variables."""
    _, variables = DatabaseClient.settings_to_cmd_args_env(dict(settings), [])
    named = {
        "PGHOST": settings.get("HOST"),
        "PGPORT": settings.get("PORT"),
        "PGUSER": settings.get("USER"),
        "PGDATABASE": settings.get("NAME"),
    }
    return {**(variables or {}), **{name: str(value) for name, value in named.items() if value}}
