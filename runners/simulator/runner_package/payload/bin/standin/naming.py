"""The name under which a process shows in `ps` and `/proc/<pid>/comm`."""

from pathlib import Path


def name_process(name: str) -> None:
    """Show this process as `name` (15 characters at most) instead of `python3`, where Linux can."""
    try:
        Path("/proc/self/comm").write_text(name, "ascii")
    except OSError:
        return  # no /proc: the command line still tells
