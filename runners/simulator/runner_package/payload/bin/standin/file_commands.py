"""The files through which a step speaks to the runner: GITHUB_ENV, GITHUB_OUTPUT and the like."""

import os
from pathlib import Path

FILES = {
    "GITHUB_ENV": "set_env",
    "GITHUB_OUTPUT": "set_output",
    "GITHUB_PATH": "add_path",
    "GITHUB_STATE": "save_state",
    "GITHUB_STEP_SUMMARY": "step_summary",
}
# GitHub refuses to let a step change these for the ones after it.
FORBIDDEN = ("GITHUB_", "RUNNER_")


class FileCommandError(Exception):
    """A step wrote a command file that GitHub would refuse."""


class FileCommands:
    """The command files of one step."""

    def __init__(self, temp: Path) -> None:
        """Make the empty files below `temp`."""
        folder = temp / "_runner_file_commands"
        folder.mkdir(parents=True, exist_ok=True)
        mark = os.urandom(16).hex()
        self._paths = {name: folder / f"{stem}_{mark}" for name, stem in FILES.items()}
        for path in self._paths.values():
            path.touch()

    def environment(self) -> dict[str, str]:
        """Where the files are, by variable."""
        return {name: str(path) for name, path in self._paths.items()}

    def variables(self) -> dict[str, str]:
        """What the step put into GITHUB_ENV; raises FileCommandError when it is malformed."""
        found = parse_assignments(self._read("GITHUB_ENV"))
        return {
            name: value for name, value in found.items() if not name.upper().startswith(FORBIDDEN)
        }

    def outputs(self) -> dict[str, str]:
        """What the step put into GITHUB_OUTPUT; raises FileCommandError when it is malformed."""
        return parse_assignments(self._read("GITHUB_OUTPUT"))

    def added_paths(self) -> list[str]:
        """The directories that the step wants in front of PATH, the last one first."""
        return [line for line in self._read("GITHUB_PATH").splitlines() if line.strip()][::-1]

    def summary(self) -> str:
        """The step's summary in Markdown."""
        return self._read("GITHUB_STEP_SUMMARY")

    def _read(self, name: str) -> str:
        try:
            return self._paths[name].read_text("utf-8", "replace")
        except OSError:
            return ""  # the step deleted it


def parse_assignments(text: str) -> dict[str, str]:
    """Parse `NAME=value` and `NAME<<MARK … MARK`; raises FileCommandError when malformed."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if not line.strip():
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if equals >= 0 and (heredoc < 0 or equals < heredoc):
            name, _, value = line.partition("=")
            if not name:
                raise FileCommandError(f"Invalid format '{line}'")
            found[name] = value
        elif heredoc > 0:
            name, _, mark = line.partition("<<")
            value_lines = []
            for value_line in lines:
                if value_line == mark:
                    break
                value_lines.append(value_line)
            else:
                raise FileCommandError(f"Matching delimiter not found '{mark}'")
            found[name] = "\n".join(value_lines)
        else:
            raise FileCommandError(f"Invalid format '{line}'")
    return found
