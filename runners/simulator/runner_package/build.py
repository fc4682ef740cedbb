"""Pack the payload into a runner tarball: same version, system and architecture, same bytes.

The archive is made in memory from the files beside this module; nothing is written to disk.
"""

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath

PAYLOAD = Path(__file__).with_name("payload")
SYSTEMS = frozenset({"linux", "osx", "win"})
ARCHITECTURES = frozenset({"x64", "arm", "arm64"})
# One moment for every member.
MODIFIED_AT = datetime(2026, 1, 1, tzinfo=UTC)
UNIX = 3  # the zip format's number for where the modes come from
FILE_MODE, PROGRAM_MODE, FOLDER_MODE = 0o644, 0o755, 0o755
SKIPPED_FOLDERS = frozenset({"__pycache__"})


@dataclass(frozen=True)
class Package:
    """A runner package as the downloads list offers it; `sha256` is of `content`, in hex."""

    filename: str
    content: bytes
    sha256: str


@cache
def build_package(version: str, os: str, architecture: str) -> Package:
    """Build `actions-runner-<os>-<architecture>-<version>.tar.gz`, for `win` a `.zip`.

    Raises ValueError for a system or architecture that GitHub has no runner for. The Windows
    package is there to be listed and downloaded; the programs in it are the same and need Unix.
    """
    if os not in SYSTEMS or architecture not in ARCHITECTURES:
        raise ValueError(f"no runner package for {os}-{architecture}")
    members = _members(version, os, architecture)
    content = _zip(members) if os == "win" else _tar_gz(members)
    ending = "zip" if os == "win" else "tar.gz"
    return Package(
        filename=f"actions-runner-{os}-{architecture}-{version}.{ending}",
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _members(version: str, system: str, architecture: str) -> dict[str, bytes]:
    """Every file of the package by its path in it, in order."""
    commit = hashlib.sha1(version.encode(), usedforsecurity=False).hexdigest()
    release = f"{version}\n{system}\n{architecture}\n{commit}\n".encode()
    members = {"bin/runner.version": release}
    for path in PAYLOAD.rglob("*"):
        if path.is_file() and not SKIPPED_FOLDERS & set(path.parts):
            members[path.relative_to(PAYLOAD).as_posix()] = path.read_bytes()
    return dict(sorted(members.items()))


def _tar_gz(members: dict[str, bytes]) -> bytes:
    folders = {parent.as_posix() for name in members for parent in PurePosixPath(name).parents}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(folders | set(members)):
            _add(archive, "." if name == "." else f"./{name}", members.get(name))
    return gzip.compress(buffer.getvalue(), compresslevel=9, mtime=0)


def _add(archive: tarfile.TarFile, name: str, content: bytes | None) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = int(MODIFIED_AT.timestamp())
    member.uname = member.gname = "root"
    if content is None:
        member.type, member.mode = tarfile.DIRTYPE, FOLDER_MODE
        archive.addfile(member)
        return
    member.mode = _mode(content)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, MODIFIED_AT.timetuple()[:6])
            member.create_system = UNIX
            member.external_attr = (stat.S_IFREG | _mode(content)) << 16
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _mode(content: bytes) -> int:
    """By content, so that a checkout that lost the executable bits packs the same bytes."""
    return PROGRAM_MODE if content.startswith(b"#!") else FILE_MODE
