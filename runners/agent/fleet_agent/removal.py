"""Delete directory trees that a job may have left in any state.

Jobs leave read-only directories, odd permissions and very deep paths. The tree is first renamed
out of the way, so that whoever looks for it by name finds it gone at once and whole.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TRASH_PREFIX = ".trash-"


def remove_tree(path: Path) -> None:
    """Delete a file or tree; raises OSError naming what could not be deleted.

    A missing path is fine. Links are deleted, never followed.
    """
    try:
        trash = set_aside(path)
    except FileNotFoundError:
        return
    if trash.is_symlink() or not trash.is_dir():
        trash.unlink()
        return
    try:
        if sys.version_info >= (3, 12):
            shutil.rmtree(trash, onexc=_open_up_and_retry)
        else:
            shutil.rmtree(trash, onerror=_open_up_and_retry)
    except (OSError, RecursionError):
        # Paths too deep for Python's recursion; rm walks them without any.
        subprocess.run(["rm", "-rf", "--", str(trash)], check=False, capture_output=True)
    if trash.exists():
        raise OSError(f"{path} could not be deleted whole: look at {trash}")


def set_aside(path: Path) -> Path:
    """Rename something out of the way and return its new path, which is only good to be deleted."""
    trash = path.parent / f"{TRASH_PREFIX}{secrets.token_hex(8)}"
    if path.is_dir() and not path.is_symlink():
        os.chmod(path, 0o700)
    os.rename(path, trash)
    return trash


def _open_up_and_retry(function: Callable[..., object], path: str, _: object) -> None:
    """Give ourselves the permission that a job took away, once, and try again."""
    os.chmod(os.path.dirname(path), 0o700)
    if not os.path.islink(path):
        os.chmod(path, 0o700)
    if function in (os.rmdir, os.unlink):
        function(path)
    else:
        shutil.rmtree(path)
