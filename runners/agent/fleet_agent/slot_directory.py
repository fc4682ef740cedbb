"""One slot's directory: made from the shared package, wiped when its runner is done.

With a view of its own (``confine.py``) the runner's root lies on memory-backed storage, so that
``.credentials`` and what else the runner writes there never touches a disk; the package's folders,
``_work`` and ``_diag`` are shown inside it. Without one, all of it lies here, and only the
credentials of a one-job runner, which the agent writes itself, are links into memory.

The runner takes the directory above ``bin/`` as its root and writes ``.runner``, ``_diag`` and
``_work`` there. It finds ``bin/`` by the real path of its own program, and its scripts resolve
links too, so links to the shared tree would make every slot share one root. Therefore ``bin/`` and
the scripts are hard links (copies where the file system does not allow them): cheap, and read-only
like the package. ``externals/`` (Node and friends) is only run, so one link does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from .errors import AgentError
from .limits import remove_groups
from .marks import place_of
from .removal import remove_tree

LINKED_DIRECTORIES = {"externals"}
CREDENTIAL_FILES = (
    ".credentials",
    ".credentials_rsaparams",
    ".credentials_migrated",
    ".runner",
    ".runner_migrated",
    ".env",
)


class SlotDirectory:
    """Paths of one slot below ``slots/<runner id>/``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_file = path / "slot.json"
        self.keeper_file = path / "keeper.json"
        self.exit_file = path / "exit.json"
        self.console = path / "console"
        self.runner_root = path / "runner"
        self.home = path / "home"
        self.temporary = path / "tmp"
        self.work = path / "work"
        self.diag = path / "diag"
        self.etc = path / "etc"
        self.groups_file = path / "groups"

    @property
    def memory(self) -> Path | None:
        """Where this slot keeps what must not touch a disk; None where the host has no such."""
        root = memory_root(self.path.parent)
        return None if root is None else root / self.path.name

    @property
    def files(self) -> Path:
        """The runner's root as the agent sees it."""
        memory = self.memory
        if memory is not None and (memory / "root").is_dir():
            return memory / "root"
        return self.runner_root

    @property
    def in_memory(self) -> bool:
        """Whether the runner's root was made in memory, for a view of its own."""
        return self.files != self.runner_root

    @property
    def listener(self) -> Path:
        """The runner program, as the runner itself sees it."""
        return self.runner_root / "bin" / "Runner.Listener"

    @property
    def configured(self) -> bool:
        """Whether a registration is stored here."""
        return (self.files / ".runner").exists()

    @property
    def groups(self) -> list[Path]:
        """The control groups that were made for it."""
        try:
            return [Path(line) for line in self.groups_file.read_text("utf-8").splitlines()]
        except OSError:
            return []

    def note_groups(self, groups: Iterable[Path]) -> None:
        """Remember the control groups that were made for it."""
        self.groups_file.write_text("".join(f"{group}\n" for group in groups), "utf-8")

    def prepare(
        self, package: Path, work_folder: str, *, private: bool = False, uid: int | None = None
    ) -> None:
        """Build the runner's root from a package; raises AgentError with what to do.

        ``private``: for a view of its own, in memory. ``uid``: the user it is to belong to.
        """
        check_work_folder(work_folder)
        try:
            self.wipe()
            for directory in (self.runner_root, self.home, self.temporary):
                directory.mkdir(mode=0o700, parents=True)
            if private:
                self._prepare_in_memory(package, work_folder)
            else:
                self._prepare_here(package)
            if uid is not None:
                for directory in (self.files, self.home, self.temporary, self.work, self.diag):
                    os.chown(directory, uid, uid)
        except OSError as err:
            raise AgentError(
                f"the slot's directory could not be made ({err.strerror}): look at the disk's "
                "space and permissions"
            ) from err

    def _prepare_here(self, package: Path) -> None:
        for entry in package.iterdir():
            target = self.runner_root / entry.name
            if entry.name in LINKED_DIRECTORIES:
                target.symlink_to(entry)
            else:
                link_tree(entry, target)

    def _prepare_in_memory(self, package: Path, work_folder: str) -> None:
        memory = self.make_memory()
        root = memory / "root"
        root.mkdir(mode=0o700)
        for entry in package.iterdir():
            if entry.is_dir():
                (root / entry.name).mkdir(mode=0o755)
            else:
                shutil.copy2(entry, root / entry.name, follow_symlinks=False)
        for directory in (self.work, self.diag):
            directory.mkdir(mode=0o700)
        (root / "_diag").mkdir(mode=0o755)
        (root / work_folder).mkdir(mode=0o755, parents=True)

    def make_memory(self) -> Path:
        """Make this slot's place in memory; raises AgentError where there is none."""
        memory = self.memory
        if memory is None:
            raise AgentError("this host has no memory-backed file system")
        for directory in (memory.parent, memory):
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=0o700)
        if not is_ours(memory.parent):
            raise AgentError(f"{memory.parent} belongs to somebody else: delete it")
        return memory

    def write_credentials(self, files: Mapping[str, bytes], uid: int | None = None) -> list[Path]:
        """Write a one-job runner's files in memory where there is any; return those with secrets.

        Raises AgentError for a name that is no credential file's, OSError when it fails.
        """
        unknown = files.keys() - set(CREDENTIAL_FILES)
        if unknown:
            raise AgentError(f"GitHub's answer holds a file named {min(unknown)!r}")
        linked = not self.in_memory and self.memory is not None
        place = self.make_memory() if linked else self.files
        written = []
        for name, content in files.items():
            path = place / name
            path.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
                file.write(content)
            if uid is not None:
                os.chown(path, uid, uid)
            if linked:
                (self.runner_root / name).symlink_to(path)
            if name != ".runner":
                written.append(path)
        return written

    def forget_run(self) -> None:
        """Delete what the last process left behind, before the next one starts."""
        self.keeper_file.unlink(missing_ok=True)
        self.exit_file.unlink(missing_ok=True)

    def wipe(self) -> None:
        """Delete credentials first, then work, home and temporary files.

        The slot's record and its bounded console stay until the server no longer asks for them.
        """
        for root in (self.files, self.runner_root):
            for name in CREDENTIAL_FILES:
                # A job may have put anything under these names, a directory included.
                with contextlib.suppress(OSError):
                    (root / name).unlink(missing_ok=True)
        self.forget_memory()
        ours = (self.runner_root, self.home, self.temporary, self.work, self.diag, self.etc)
        for directory in ours:
            remove_tree(directory)
        remove_groups(self.groups)
        self.groups_file.unlink(missing_ok=True)
        (self.path / "output").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the whole slot directory, and what it has in memory."""
        self.forget_memory()
        remove_groups(self.groups)
        remove_tree(self.path)

    def forget_memory(self) -> None:
        """Delete what this slot has in memory."""
        memory = self.memory
        if memory is not None:
            remove_tree(memory)
            with contextlib.suppress(OSError):
                memory.parent.rmdir()  # the last slot's end leaves nothing


def memory_root(slots_root: Path) -> Path | None:
    """Return the directory in memory of all slots of one agent, there or to be made; else None.

    Its parent may be written to by everybody, so that it must be seen to be ours.
    """
    for parent in memory_file_systems():
        root = parent / f"fleet-agent-{place_of(slots_root)}"
        if is_ours(root) or (not os.path.lexists(root) and os.access(parent, os.W_OK)):
            return root
    return None


def is_ours(directory: Path) -> bool:
    """Return whether this is a directory of this very user, and for nobody else."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & 0o077
    )


def memory_file_systems(mounts: Path = Path("/proc/self/mounts")) -> list[Path]:
    """Return the memory-backed places there are for this user, the usual one first."""
    try:
        lines = [line.split() for line in mounts.read_text("utf-8").splitlines()]
    except OSError:
        return []
    in_memory = {fields[1] for fields in lines if fields[2] in ("tmpfs", "ramfs")}
    candidates = ("/dev/shm", f"/run/user/{os.geteuid()}", "/run")  # noqa: S108
    return [Path(path) for path in candidates if path in in_memory]


def check_work_folder(work_folder: str) -> None:
    """Refuse a work folder that is not below the slot's own root."""
    path = PurePosixPath(work_folder)
    first = path.parts[0] if path.parts else ""
    if path.is_absolute() or ".." in path.parts or first in ("", "bin", "externals", ".runner"):
        raise AgentError(
            f"the work folder {work_folder!r} is not inside the runner's directory: change the "
            "runner's work folder"
        )


def link_tree(source: Path, target: Path) -> None:
    """Make ``target`` look like ``source``: directories made, files hard-linked or copied."""
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
    elif source.is_dir():
        target.mkdir(mode=0o755)
        for entry in source.iterdir():
            link_tree(entry, target / entry.name)
    else:
        try:
            os.link(source, target)
        except OSError:  # another file system, or the kernel protects hard links
            shutil.copy2(source, target)
