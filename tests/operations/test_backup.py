"""Backups: one moment, one file, readable by its owner, refused when it would do harm."""

import json
import sqlite3
import stat
import threading
import zipfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from runners import backup, database_copy
from runners.backup import BackupUnusable
from runners.database_copy import CopyFailed
from tests.factories import NOW
from tests.installation import Installation

KEY = "the-key-of-this-installation-and-of-no-other"


@pytest.fixture
def migrated(installation: Installation) -> Installation:
    installation.variables["FLEET_SECRET_KEY"] = KEY
    installation.migrate()
    return installation


def back_up(installation: Installation, *arguments: str, **variables: str) -> dict:
    done = installation.manage("backup", *arguments, "--json", **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_backup_is_whole_private_and_alone(migrated: Installation, tmp_path: Path):
    folder = tmp_path / "kept"
    folder.mkdir()

    made = back_up(migrated, str(folder))

    file = Path(made["file"])
    assert list(folder.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert backup.read_manifest(file).rows == made["rows"]
    assert made["rows"]["django_migrations"] > 0


def test_backup_holds_no_key_and_one_asked_for_says_so_loudly(migrated: Installation, tmp_path):
    plain = back_up(migrated, str(tmp_path / "plain.zip"))
    loud = migrated.manage("backup", str(tmp_path / "keyed.zip"), "--with-key")

    with zipfile.ZipFile(plain["file"]) as archive:
        assert archive.namelist() == ["manifest.json", "database"]
        assert all(KEY.encode() not in archive.read(name) for name in archive.namelist())
    assert "WARNING" in loud.stderr
    assert KEY not in loud.stdout + loud.stderr
    assert backup.read_keys(tmp_path / "keyed.zip") == [KEY]


def test_backup_is_recorded_for_the_audit_log_and_the_doctor(migrated: Installation):
    back_up(migrated)

    assert migrated.rows("SELECT action FROM runners_event WHERE action LIKE 'fleet.%'") == [
        ("fleet.backup",)
    ]
    assert migrated.rows("SELECT count(*) FROM runners_beat WHERE name = 'backup'") == [(1,)]


def test_keep_deletes_the_oldest_backups_and_nothing_else(tmp_path: Path):
    names = [backup.file_name(NOW + timedelta(days=day)) for day in range(4)]
    for name in [*names, "fleetui-notes.txt", "other.backup.zip"]:
        (tmp_path / name).touch()

    deleted = backup.keep_newest(tmp_path, 2)

    assert [file.name for file in deleted] == names[:2]
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {*names[2:], "fleetui-notes.txt", "other.backup.zip"}


def test_keep_without_a_folder_is_refused(migrated: Installation, tmp_path: Path):
    done = migrated.manage("backup", str(tmp_path / "one.zip"), "--keep", "3")

    assert done.returncode == 2
    assert not (tmp_path / "one.zip").exists()


def test_backup_overwrites_nothing(migrated: Installation, tmp_path: Path):
    file = tmp_path / "mine.zip"
    file.write_text("mine")

    done = migrated.manage("backup", str(file))

    assert done.returncode == 1
    assert file.read_text() == "mine"


def test_copy_made_during_writes_is_of_one_moment(tmp_path: Path):
    """Each transaction of the writer leaves both tables equal; so does every copy."""
    live, copy = tmp_path / "live", tmp_path / "copy"
    with closing(sqlite3.connect(live)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE a (n INTEGER, filler TEXT)")
        database.execute("CREATE TABLE b (n INTEGER, filler TEXT)")
        database.commit()
    stop, began = threading.Event(), threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(live, timeout=20)) as database:
            number = 0
            while not stop.is_set():
                number += 1
                with database:
                    database.execute("INSERT INTO a VALUES (?, ?)", (number, "x" * 2000))
                    database.execute("INSERT INTO b VALUES (?, ?)", (number, "x" * 2000))
                if number == 50:
                    began.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert began.wait(30)
        rows = database_copy.copy_sqlite(live, copy)
    finally:
        stop.set()
        writer.join()

    assert rows["a"] == rows["b"] >= 50


def test_damaged_database_is_not_backed_up_in_silence(tmp_path: Path):
    live = tmp_path / "live"
    with closing(sqlite3.connect(live)) as database:
        database.execute("CREATE TABLE a (n TEXT)")
        database.executemany("INSERT INTO a VALUES (?)", [("x" * 3000,)] * 20)
        database.commit()
    content = bytearray(live.read_bytes())
    content[4096 * 3 : 4096 * 3 + 512] = b"\xff" * 512
    live.write_bytes(content)

    with pytest.raises(CopyFailed):
        database_copy.copy_sqlite(live, tmp_path / "copy")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_file_that_is_no_backup_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "file"
    file.write_bytes(content)

    with pytest.raises(BackupUnusable, match="no backup of Fleetui"):
        backup.read_manifest(file)


def test_missing_file_is_refused_by_its_name(tmp_path: Path):
    with pytest.raises(BackupUnusable, match="There is no file"):
        backup.read_manifest(tmp_path / "nowhere")


def test_backup_of_another_format_is_refused(tmp_path: Path):
    file = tmp_path / "file"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", json.dumps({"format": 99}))

    with pytest.raises(BackupUnusable, match="format 99"):
        backup.read_manifest(file)
