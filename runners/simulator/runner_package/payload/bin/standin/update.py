"""The self-update, as far as others see it: the words, the exit, and `update.finished` later.

The stand-in stays what it is; only the dance around an update is played, once an installation.
"""

import subprocess
from pathlib import Path

from .console import Terminal
from .install import Install

FINISHED = "update.finished"
DONE_MARK = Path("_diag") / "standin.updated"


def update_pending(root: Path) -> bool:
    """Whether this installation has not been through its update yet."""
    return not (root / DONE_MARK).exists()


def update_self(install: Install, terminal: Terminal) -> None:
    """Say what the official listener says and leave the rest to a process that outlives us."""
    package = install.package()
    (install.root / DONE_MARK).touch()
    terminal.say("Runner update in progress, do not shutdown runner.")
    terminal.say(f"Downloading {package.version} runner")
    terminal.say("Waiting for current job finish running.")
    terminal.say("Generate and execute update script.")
    subprocess.Popen(
        ["sh", "-c", f"sleep 1; : > {FINISHED}"],
        cwd=install.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    terminal.say("Runner will exit shortly for update, should be back online within 10 seconds.")
