"""Pack the payload into a runner tarball: same version, system and architecture, same bytes.

The archive is made in memory from the files beside this module; nothing is written to disk.
"""

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAYLOAD = Path(__file__).with_name("payload")
SYSTEMS = frozenset({"linux", "osx", "win"})
ARCHITECTURES = frozenset({"x64", "arm", "arm64"})
# A fixed moment for every member: 2026-01-01T00:00:00Z.
MODIFIED_AT_SECONDS = 1_767_225_600
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
    """Build `actions-runner-<os>-<architecture>-<version>.tar.gz`.

    Raises ValueError for a system or architecture that GitHub has no runner for. A Windows
    package is a zip at GitHub; the stand-in has none and packs the same tarball for it.
    """
    if os not in SYSTEMS or architecture not in ARCHITECTURES:
        raise ValueError(f"no runner package for {os}-{architecture}")
    content = gzip.compress(_tar(version, os, architecture), compresslevel=9, mtime=0)
    return Package(
        filename=f"actions-runner-{os}-{architecture}-{version}.tar.gz",
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _tar(version: str, system: str, architecture: str) -> bytes:
    commit = hashlib.sha1(version.encode(), usedforsecurity=False).hexdigest()
    release = f"{version}\n{system}\n{architecture}\n{commit}\n".encode()
    members = {"./bin/runner.version": release}
    folders = {"."}
    for path in sorted(PAYLOAD.rglob("*")):
        if SKIPPED_FOLDERS & set(path.parts):
            continue
        name = f"./{path.relative_to(PAYLOAD).as_posix()}"
        if path.is_dir():
            folders.add(name)
        else:
            members[name] = path.read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(folders | set(members)):
            _add(archive, name, members.get(name))
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes | None) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = MODIFIED_AT_SECONDS
    member.uname = member.gname = "root"
    if content is None:
        member.type, member.mode = tarfile.DIRTYPE, FOLDER_MODE
        archive.addfile(member)
        return
    # By content, so that a checkout that lost the executable bits packs the same bytes.
    member.mode = PROGRAM_MODE if content.startswith(b"#!") else FILE_MODE
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
