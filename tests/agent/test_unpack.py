"""Archives that want out are refused as a whole; good ones become read-only."""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fleet_agent.unpack import HostileArchive, Limits, unpack

Member = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]


def archive(path: Path, *members: Member) -> Path:
    """Write a tar.gz of these members."""
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644):
    """Make one member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """An empty directory to unpack into, deep enough that an escape is seen."""
    folder = tmp_path / "store" / "tree"
    folder.mkdir(parents=True)
    return folder


HOSTILE: dict[str, Callable[[], list[Member]]] = {
    "a path up": lambda: [(entry("../evil"), b"x")],
    "a path up in the middle": lambda: [(entry("bin/../../evil"), b"x")],
    "an absolute path": lambda: [(entry("/tmp/evil"), b"x")],
    "a link to an absolute path": lambda: [entry("etc", tarfile.SYMTYPE, "/etc")],
    "a link up": lambda: [entry("up", tarfile.SYMTYPE, "../..")],
    "a link up from below": lambda: [entry("bin/up", tarfile.SYMTYPE, "../../outside")],
    "a link through a link": lambda: [
        entry("a/b/c/", tarfile.DIRTYPE),
        entry("short", tarfile.SYMTYPE, "a/b/c"),
        entry("out", tarfile.SYMTYPE, "short/../../../../outside"),
    ],
    "a file through a link": lambda: [
        entry("real", tarfile.DIRTYPE, mode=0o755),
        entry("door", tarfile.SYMTYPE, "real"),
        (entry("door/evil"), b"x"),
    ],
    "a hard link out": lambda: [entry("shadow", tarfile.LNKTYPE, "/etc/shadow")],
    "a hard link up": lambda: [entry("shadow", tarfile.LNKTYPE, "../../x")],
    "a hard link to a link": lambda: [
        entry("l", tarfile.SYMTYPE, "nowhere"),
        entry("h", tarfile.LNKTYPE, "l"),
    ],
    "a character device": lambda: [entry("null", tarfile.CHRTYPE)],
    "a block device": lambda: [entry("disk", tarfile.BLKTYPE)],
    "a pipe": lambda: [entry("pipe", tarfile.FIFOTYPE)],
    "a set-user-id program": lambda: [(entry("su", mode=0o4755), b"x")],
    "a set-group-id program": lambda: [(entry("sg", mode=0o2755), b"x")],
    "a file twice": lambda: [(entry("f"), b"1"), (entry("f"), b"2")],
    "a file that becomes a directory": lambda: [(entry("f"), b"1"), (entry("f/g"), b"2")],
    "a backslash": lambda: [(entry("a\\b"), b"x")],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_archive_with_this_is_refused(tmp_path: Path, into: Path, what: str) -> None:
    path = archive(tmp_path / "a.tar.gz", (entry("bin/fine"), b"x"), *HOSTILE[what]())
    with pytest.raises(HostileArchive):
        unpack(path, into)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "store"]
    assert [p.name for p in into.parent.iterdir()] == ["tree"]


def test_archive_past_its_size_is_refused(tmp_path: Path, into: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", (entry("zeros"), bytes(2_000_000)))
    with pytest.raises(HostileArchive, match="more than 1000000 bytes"):
        unpack(path, into, Limits(unpacked_bytes=1_000_000))


def test_archive_past_its_count_is_refused(tmp_path: Path, into: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", *((entry(f"f{n}"), b"") for n in range(11)))
    with pytest.raises(HostileArchive, match="more than 10 members"):
        unpack(path, into, Limits(members=10))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_cut_archive_is_refused(tmp_path: Path, into: Path, keep: float) -> None:
    path = archive(tmp_path / "a.tar.gz", (entry("f"), bytes(range(256)) * 400))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(HostileArchive):
        unpack(path, into)


def test_good_archive_is_unpacked_read_only(tmp_path: Path, into: Path) -> None:
    path = archive(
        tmp_path / "a.tar.gz",
        entry("./", tarfile.DIRTYPE, mode=0o755),
        entry("./bin", tarfile.DIRTYPE, mode=0o755),
        (entry("./bin/run", mode=0o755), b"#!/bin/sh\n"),
        (entry("./note"), b"hello"),
        entry("./bin/alias", tarfile.SYMTYPE, "run"),
        entry("./deep/link", tarfile.SYMTYPE, "../note"),
        entry("./again", tarfile.LNKTYPE, "./note"),
    )
    unpack(path, into)
    assert (into / "deep/link").read_text() == "hello"
    assert (into / "bin/alias").resolve() == into / "bin/run"
    modes = {p.name: stat.S_IMODE(p.lstat().st_mode) for p in (into / "bin/run", into / "note")}
    assert modes == {"run": 0o555, "note": 0o444}
    assert stat.S_IMODE((into / "bin").stat().st_mode) == 0o555
