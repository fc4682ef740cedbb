"""A whole workflow job handed to nektos/act, run on this machine without containers.

`act` writes one JSON object a line; this module turns them into log lines and step reports.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

ACT = "act"
ON_THIS_MACHINE = "-self-hosted"  # act's word for "no container"
CONCLUSIONS = {"success": "success", "failure": "failure", "skipped": "skipped"}


def act_available() -> bool:
    """Whether `act` is on PATH."""
    return shutil.which(ACT) is not None


def act_command(workflow: Path, event: Path, cache: Path, labels: Sequence[str]) -> list[str]:
    """The command that runs the workflow for a push, every label on this machine."""
    command = [ACT, "push", "--json", "--no-cache-server", "--container-daemon-socket", "-"]
    command += ["--workflows", str(workflow), "--eventpath", str(event)]
    command += ["--action-cache-path", str(cache)]
    for label in dict.fromkeys(["self-hosted", *labels]):
        command += ["--platform", f"{label}={ON_THIS_MACHINE}"]
    return command


class ActOutput:
    """Reads what act says."""

    def __init__(
        self, write: Callable[[str], None], moment: Callable[[], str], step_names: Sequence[str]
    ) -> None:
        """`write` takes log lines; steps of which act says nothing count as skipped."""
        self._write = write
        self._moment = moment
        self._reports: dict[int, dict[str, object]] = {}
        for number, name in enumerate(step_names, start=1):
            self._report(number, name)

    def reports(self) -> list[dict[str, object]]:
        """The steps so far, in order."""
        return [self._reports[number] for number in sorted(self._reports)]

    def heed(self, line: str) -> None:
        """Take one line; what is not JSON is logged as it is."""
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            self._write(line)
            return
        text = str(said.get("msg") or "").rstrip("\n")
        if said.get("raw_output") is True:
            self._write(text)
            return
        number = _step_number(said)
        if said.get("stage") != "Main" or number is None:
            return
        report = self._report(number, str(said.get("step") or ""))
        if "stepResult" in said:
            report["conclusion"] = CONCLUSIONS.get(str(said["stepResult"]), "failure")
            report["completed_at"] = self._moment()
        elif text.startswith("⭐"):
            report["started_at"] = self._moment()
            self._write(f"##[group]Run {report['name']}")
            self._write("##[endgroup]")

    def _report(self, number: int, name: str) -> dict[str, object]:
        now = self._moment()
        return self._reports.setdefault(
            number,
            {
                "number": number,
                "name": name,
                "conclusion": "skipped",
                "started_at": now,
                "completed_at": now,
            },
        )


def _step_number(said: dict[str, object]) -> int | None:
    identity = said.get("stepID")
    if not isinstance(identity, list) or not identity or not str(identity[0]).isdecimal():
        return None
    return int(str(identity[0])) + 1
