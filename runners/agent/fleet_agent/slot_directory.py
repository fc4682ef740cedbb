"""One slot's directory: made from the shared package, wiped when its runner is done.

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
from pathlib import Path, PurePosixPath

from .errors import AgentError
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

    @property
    def listener(self) -> Path:
        """The runner program."""
        return self.runner_root / "bin" / "Runner.Listener"

    @property
    def configured(self) -> bool:
        """Whether a registration is stored here."""
        return (self.runner_root / ".runner").exists()

    def prepare(self, package: Path, work_folder: str) -> None:
        """Build the runner's root from a package; raises AgentError with what to do."""
        check_work_folder(work_folder)
        try:
            self.wipe()
            for directory in (self.runner_root, self.home, self.temporary):
                directory.mkdir(mode=0o700, parents=True)
            for entry in package.iterdir():
                target = self.runner_root / entry.name
                if entry.name in LINKED_DIRECTORIES:
                    target.symlink_to(entry)
                else:
                    link_tree(entry, target)
        except OSError as err:
            raise AgentError(
                f"the slot's directory could not be made ({err.strerror}): look at the disk's "
                "space and permissions"
            ) from err

    def forget_run(self) -> None:
        """Delete what the last process left behind, before the next one starts."""
        self.keeper_file.unlink(missing_ok=True)
        self.exit_file.unlink(missing_ok=True)

    def wipe(self) -> None:
        """Delete credentials first, then work, home and temporary files.

        The slot's record and its bounded console stay until the server no longer asks for them.
        """
        for name in CREDENTIAL_FILES:
            # A job may have put anything under these names, a directory included.
            with contextlib.suppress(OSError):
                (self.runner_root / name).unlink(missing_ok=True)
        for directory in (self.runner_root, self.home, self.temporary):
            remove_tree(directory)
        (self.path / "output").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the whole slot directory."""
        remove_tree(self.path)


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
