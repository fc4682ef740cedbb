"""From a step's text to a command line, and from its log lines to what they ask of the runner."""

import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

SHELLS = {
    "bash": ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail"),
    "sh": ("sh", "-e"),
    "python": ("python3",),
}
MARKED = {"error", "warning", "notice", "debug", "group"}


class LineMeaning(NamedTuple):
    """What to log for a line, and the secret it asks to mask, if any."""

    text: str
    secret: str


def shell_command(shell: str, script: Path) -> list[str]:
    """The command that runs `script`; raises OSError when the shell's template is malformed."""
    if not shell:
        return ["bash" if shutil.which("bash") else "sh", "-e", str(script)]
    if shell in SHELLS:
        return [*SHELLS[shell], str(script)]
    try:
        words = shlex.split(shell)
    except ValueError as err:
        raise OSError(f"Invalid shell option '{shell}': {err}") from err
    if not any("{0}" in word for word in words):
        raise OSError(f"Invalid shell option '{shell}': it must contain '{{0}}'")
    return [word.replace("{0}", str(script)) for word in words]


def read_workflow_command(line: str) -> LineMeaning:
    """Understand `::error::…`, `::group::…`, `::add-mask::…`; other lines stay as they are."""
    if not line.startswith("::"):
        return LineMeaning(line, "")
    head, separator, text = line[2:].partition("::")
    name = head.partition(" ")[0]
    if not separator:
        return LineMeaning(line, "")
    if name == "add-mask":
        return LineMeaning("::add-mask::***", text)
    if name in MARKED:
        return LineMeaning(f"##[{name}]{text}", "")
    if name == "endgroup":
        return LineMeaning("##[endgroup]", "")
    return LineMeaning(line, "")
