"""Turn DATABASE_URL into Django's DATABASES entry, with the options the fleet's load needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dj_database_url

from fleetui.env import MASK, ConfigurationError

# Django's defaults lose 39 to 70 % of concurrent heartbeats to "database is locked": a deferred
# transaction that turns into a writer cannot wait. Measured in docs/adr/0004-settings.md.
_SQLITE_OPTIONS: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
_POSTGRESQL_SCHEMES = frozenset({"postgres", "postgresql", "pgsql"})


def database(url: str, default_file: Path) -> dict[str, Any]:
    """The DATABASES entry for `url`, or for an SQLite file at `default_file` when it is empty.

    Raises ConfigurationError, which never repeats the address: it may hold a password.
    """
    if not url:
        return _sqlite({"ENGINE": "django.db.backends.sqlite3", "NAME": str(default_file)})
    scheme = url.partition(":")[0]
    if scheme != "sqlite" and scheme not in _POSTGRESQL_SCHEMES:
        raise ConfigurationError("DATABASE_URL", "must start with sqlite:// or postgres://")
    try:
        entry: dict[str, Any] = dict(dj_database_url.parse(url))
    except (ValueError, dj_database_url.ParseError):
        raise ConfigurationError("DATABASE_URL", "is not a database address") from None
    if scheme == "sqlite":
        return _sqlite(entry)
    if importlib.util.find_spec("psycopg") is None:
        raise ConfigurationError("DATABASE_URL", "needs the package psycopg")
    # One connection a thread for as long as the process lives; checked before a request uses it,
    # so that a restarted PostgreSQL costs nobody an error.
    return entry | {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}


def without_password(url: str) -> str:
    """The address as it may be printed."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return MASK
    # Drivers also take the password as a query parameter.
    if "password" in parts.query.lower():
        return MASK
    if password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{MASK}@{host}"))


def _sqlite(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"OPTIONS": entry.get("OPTIONS", {}) | _SQLITE_OPTIONS, "CONN_MAX_AGE": None}
