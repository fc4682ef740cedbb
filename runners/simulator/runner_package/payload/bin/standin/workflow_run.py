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
        self._step_names = list(step_names)
        self._named: dict[str, int] = {}
        self._latest = 0
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
        identity = said.get("stepID")
        if said.get("stage") != "Main" or not isinstance(identity, list) or not identity:
            return
        name = str(said.get("step") or "")
        report = self._report(self._number(str(identity[0]), name), name)
        if "stepResult" in said:
            report["conclusion"] = CONCLUSIONS.get(str(said["stepResult"]), "failure")
            report["completed_at"] = self._moment()
        elif text.startswith("⭐"):
            report["started_at"] = self._moment()
            self._write(f"##[group]Run {report['name']}")
            self._write("##[endgroup]")

    def _number(self, identity: str, name: str) -> int:
        """A step's number from 1: act names a step by its index, or by its `id` if it has one."""
        if identity.isdecimal():
            self._latest = int(identity) + 1
        elif identity not in self._named:
            later = range(self._latest + 1, len(self._step_names) + 1)
            same = [number for number in later if self._step_names[number - 1] == name]
            self._latest = same[0] if same else self._latest + 1
            self._named[identity] = self._latest
        return self._named.get(identity, self._latest)

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
