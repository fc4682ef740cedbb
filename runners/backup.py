"""Backups of the control plane: one file with the database of one moment and a manifest.

The key that opens the stored secrets is not in it unless that is asked for. Knows nothing of how a
database is copied (`runners.database_copy`) or put back (`runners.restore`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from runners import audit, database_copy, fleet, loop
from runners.audit import Actor
from runners.errors import FleetError, InvalidRequest
from runners.vault import Vault

FORMAT = 1
# The beat that tells the doctor when the last backup was made
BEAT = "backup"
MANIFEST, DATABASE, KEYS = "manifest.json", "database", "secret.key"
KEY_CHECK = "the key of this backup"
NAME = re.compile(r"fleetui-\d{8}T\d{12}Z\.backup\.zip")
_MANIFEST_LIMIT_BYTES = 4 * 1024 * 1024


class BackupUnusable(FleetError):
    """This file is no whole backup of ours."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself; kept as JSON with these keys.

    `migrations` are those applied, as "app.name"; `rows` counts them by table; `key_check` is a
    known text encrypted with the first key, by which a restore tells whether it has the key.
    """

    format: int
    made_at: str
    version: str
    vendor: str
    migrations: tuple[str, ...]
    rows: dict[str, int]
    database_sha256: str
    database_bytes: int
    with_key: bool
    key_check: str

    @property
    def moment(self) -> datetime:
        """The recovery point: what happened later is not in the backup."""
        return datetime.fromisoformat(self.made_at)


@dataclass(frozen=True, slots=True)
class Made:
    """A finished backup."""

    file: Path
    manifest: Manifest
    file_bytes: int


def file_name(now: datetime) -> str:
    """The name of a backup of this moment; names sort as moments do."""
    return f"fleetui-{now:%Y%m%dT%H%M%S%f}Z.backup.zip"


def make(
    target: Path, *, keys: Sequence[str], with_key: bool, version: str, by: Actor, now: datetime
) -> Made:
    """Write a backup to `target`, a new file or a folder, readable by its owner alone.

    The file has its name only once it is whole. Raises CopyFailed, InvalidRequest for a target
    that can't be written.
    """
    file = target / file_name(now) if target.is_dir() else target
    if file.exists():
        raise InvalidRequest(f"{file} is there already; a backup overwrites nothing.")
    try:
        with _drafts_beside(file) as drafts:
            copy = drafts / DATABASE
            rows = database_copy.copy_out(copy)
            manifest = Manifest(
                format=FORMAT,
                made_at=now.isoformat(),
                version=version,
                vendor=connection.vendor,
                migrations=tuple(
                    f"{app}.{name}"
                    for app, name in sorted(MigrationRecorder(connection).applied_migrations())
                ),
                rows=rows,
                database_sha256=_sha256(copy),
                database_bytes=copy.stat().st_size,
                with_key=with_key,
                key_check=Vault(keys).encrypt(KEY_CHECK),
            )
            whole = drafts / "whole"
            _pack(whole, copy, manifest, keys if with_key else ())
            whole.replace(file)
            _sync_folder(file.parent)
    except OSError as error:
        raise InvalidRequest(f"{file} can't be written: {error.strerror}.") from error
    made = Made(file, manifest, file.stat().st_size)
    loop.touch(BEAT, now, detail=f"{made.file_bytes} bytes")
    audit.record(fleet.get(), "fleet.backup", by=by, at=now, detail={"with_key": with_key})
    return made


def keep_newest(folder: Path, number: int) -> list[Path]:
    """Delete all but the newest `number` backups of a folder, by their names; returns the deleted.

    Files with other names are never touched.
    """
    found = sorted(file for file in folder.iterdir() if NAME.fullmatch(file.name))
    old = found[: max(0, len(found) - number)]
    for file in old:
        file.unlink()
    return old


def read_manifest(file: Path) -> Manifest:
    """What a backup says of itself. Raises BackupUnusable."""
    with _opened(file) as archive:
        if archive.getinfo(MANIFEST).file_size > _MANIFEST_LIMIT_BYTES:
            raise BackupUnusable(f"{file} is no backup of Fleetui.")
        data = json.loads(archive.read(MANIFEST))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            said = data.get("format") if isinstance(data, dict) else None
            raise BackupUnusable(
                f"{file} has the format {said!r}; this version reads {FORMAT}. Use the version of "
                "Fleetui that made it, or a newer one."
            )
        return Manifest(**{**data, "migrations": tuple(data["migrations"])})


def unpack_database(file: Path, manifest: Manifest, target: Path) -> None:
    """Write the database of a backup to `target`. Raises BackupUnusable when its digest differs."""
    with _opened(file) as archive, archive.open(DATABASE) as packed, target.open("xb") as plain:
        shutil.copyfileobj(packed, plain, 1024 * 1024)
    if _sha256(target) != manifest.database_sha256:
        raise BackupUnusable(
            f"{file} is damaged: its database is not the one that was packed. Use another backup."
        )


def read_keys(file: Path) -> list[str]:
    """The keys in a backup that was made with them."""
    with _opened(file) as archive:
        return archive.read(KEYS).decode().split()


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except FileNotFoundError:
        raise BackupUnusable(f"There is no file {file}.") from None
    except OSError as error:
        raise BackupUnusable(f"{file} can't be read: {error.strerror}.") from error
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError, zlib.error) as error:
        raise BackupUnusable(f"{file} is no backup of Fleetui, or is damaged.") from error


@contextmanager
def _drafts_beside(file: Path) -> Iterator[Path]:
    """A folder of ours on the disk of `file`, gone afterwards."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=file.parent) as folder:
        yield Path(folder)


def _pack(whole: Path, copy: Path, manifest: Manifest, keys: Sequence[str]) -> None:
    descriptor = os.open(whole, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as output:
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=2))
            archive.write(copy, DATABASE)
            if keys:
                archive.writestr(KEYS, "\n".join(keys) + "\n")
        output.flush()
        os.fsync(output.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
