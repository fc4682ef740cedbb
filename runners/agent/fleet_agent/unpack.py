"""Unpack a runner package from an archive nobody vouches for but its digest.

Everything an archive could do beyond creating plain files, directories and links inside its own
tree is refused as a whole: paths that leave it, absolute paths, links that point out or are
written through, devices, pipes, set-user-id bits, and sizes or counts past the limits.
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

COPY_BYTES = 256 * 1024


class HostileArchive(Exception):
    """The archive must not be unpacked; the message says which member and why."""


@dataclass(frozen=True)
class Limits:
    """Most bytes and members an archive may unpack to."""

    unpacked_bytes: int = 4 * 1024**3
    members: int = 200_000


DEFAULT_LIMITS = Limits()


def unpack(archive: Path, into: Path, limits: Limits = DEFAULT_LIMITS) -> None:
    """Unpack a ``.tar.gz`` into an empty directory and make the result read-only.

    Raises HostileArchive, and leaves the half-written directory to the caller to delete.
    """
    unpacker = _Unpacker(into, limits)
    try:
        with tarfile.open(archive, mode="r|gz") as tar:
            for member in tar:
                unpacker.add(tar, member)
    except (tarfile.TarError, EOFError, OSError) as err:
        raise HostileArchive(f"not a whole tar.gz archive: {err}") from err
    unpacker.make_read_only()


class _Unpacker:
    """One archive on its way into a directory, with what is already there by kind."""

    def __init__(self, into: Path, limits: Limits) -> None:
        self.into = into
        self.limits = limits
        self.bytes_written = 0
        self.member_count = 0
        self.files: set[PurePosixPath] = set()
        self.links: set[PurePosixPath] = set()
        self.directories: set[PurePosixPath] = set()

    def add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Write one member, or raise HostileArchive."""
        self.member_count += 1
        if self.member_count > self.limits.members:
            raise HostileArchive(f"more than {self.limits.members} members")
        path = safe_path(member.name)
        if path == PurePosixPath("."):
            return
        if member.mode & 0o7000 and not member.isdir():
            raise HostileArchive(f"{member.name!r} has a set-user-id, set-group-id or sticky bit")
        if any(parent in self.links for parent in path.parents):
            raise HostileArchive(f"{member.name!r} would be written through a link")
        if member.isdir():
            self._make_directory(path)
            return
        self._make_directory(path.parent)
        if path in self.files or path in self.links or path in self.directories:
            raise HostileArchive(f"{member.name!r} is in the archive twice")
        if member.isreg():
            self._write_file(tar, member, path)
        elif member.issym():
            self._make_symlink(member, path)
        elif member.islnk():
            self._make_hard_link(member, path)
        else:
            raise HostileArchive(f"{member.name!r} is a device, pipe or other special file")

    def _make_directory(self, path: PurePosixPath) -> None:
        for part in [*reversed(path.parents), path]:
            if part in self.files or part in self.links:
                raise HostileArchive(f"{str(part)!r} is both a file and a directory")
            if part != PurePosixPath(".") and part not in self.directories:
                (self.into / part).mkdir(mode=0o755)
                self.directories.add(part)

    def _write_file(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: PurePosixPath
    ) -> None:
        self.bytes_written += member.size
        if self.bytes_written > self.limits.unpacked_bytes:
            raise HostileArchive(f"unpacks to more than {self.limits.unpacked_bytes} bytes")
        source = tar.extractfile(member)
        if source is None:
            raise HostileArchive(f"{member.name!r} has no content")
        mode = 0o555 if member.mode & 0o111 else 0o444
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(self.into / path, flags, mode), "wb") as file:
            while chunk := source.read(COPY_BYTES):
                file.write(chunk)
            os.fchmod(file.fileno(), mode)
        self.files.add(path)

    def _make_symlink(self, member: tarfile.TarInfo, path: PurePosixPath) -> None:
        target = PurePosixPath(member.linkname)
        if target.is_absolute():
            raise HostileArchive(f"{member.name!r} links to an absolute path")
        depth = len(path.parts) - 1
        for part in target.parts:
            depth += -1 if part == ".." else 1
            if depth < 0:
                raise HostileArchive(f"{member.name!r} links out of the archive")
        # Counting levels is only right while no part of the way is itself a link.
        if ".." in target.parts and self.links:
            resolved = PurePosixPath(os.path.normpath(path.parent / target))
            if any(parent in self.links for parent in [resolved, *resolved.parents]):
                raise HostileArchive(f"{member.name!r} links through another link")
        os.symlink(member.linkname, self.into / path)
        self.links.add(path)

    def _make_hard_link(self, member: tarfile.TarInfo, path: PurePosixPath) -> None:
        target = safe_path(member.linkname)
        if target not in self.files:
            raise HostileArchive(f"{member.name!r} is a hard link to no file of the archive")
        os.link(self.into / target, self.into / path, follow_symlinks=False)
        self.files.add(path)

    def make_read_only(self) -> None:
        """Check once more that every link stays inside, then take away the right to write."""
        for link in self.links:
            resolved = (self.into / link).resolve()
            if not resolved.is_relative_to(self.into.resolve()):
                raise HostileArchive(f"{str(link)!r} links out of the archive")
        for directory in self.directories:
            (self.into / directory).chmod(0o555)
        self.into.chmod(0o555)


def safe_path(name: str) -> PurePosixPath:
    """Return a member's path inside the tree, or raise HostileArchive."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise HostileArchive(f"{name!r} leaves the archive's own tree")
    return path
