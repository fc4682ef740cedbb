"""One job in the worker: its steps in order, its stop, its result."""

import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from .channel import Channel
from .console import Trace
from .file_commands import FileCommandError, FileCommands
from .install import Package, Settings
from .job_environment import JobFolders, base_environment
from .job_faults import misbehave
from .protocol import Job, Step, runner_client
from .reporter import Reporter
from .signals import Signals
from .step_process import TRACKING, StepProcess, end_tracked_processes
from .step_script import read_workflow_command, shell_command
from .timings import Timings
from .workflow_run import ActOutput, act_available, act_command

SHUTDOWN_WORDS = (
    "The runner has received a shutdown signal. This can happen when the runner service is"
    " stopped, or a manually started runner is canceled."
)
CANCELLED_WORDS = "The operation was canceled."
SUCCESS, FAILURE, CANCELLED, SKIPPED = "success", "failure", "cancelled", "skipped"
RESULTS = {SUCCESS: "Succeeded", FAILURE: "Failed", CANCELLED: "Canceled"}
STOP_WORDS = {"cancel": CANCELLED_WORDS, "shutdown": SHUTDOWN_WORDS}
HOOK_STARTED = "ACTIONS_RUNNER_HOOK_JOB_STARTED"
HOOK_COMPLETED = "ACTIONS_RUNNER_HOOK_JOB_COMPLETED"


class JobRun:
    """Runs one job. Why it must stop is "cancel", "timeout" or "shutdown", or nothing."""

    def __init__(
        self,
        job: Job,
        *,
        settings: Settings,
        package: Package,
        secret: str,
        faults: frozenset[str],
        work: Path,
        channel: Channel,
        signals: Signals,
        timings: Timings,
        trace: Trace,
    ) -> None:
        """Prepare; `run` does everything."""
        self._job = job
        self._settings = settings
        self._channel = channel
        self._signals = signals
        self._timings = timings
        self._trace = trace
        self._faults = faults
        self._folders = JobFolders(work, job.repository)
        self._tracking_id = f"github_{os.urandom(16).hex()}"
        self._env = base_environment(job, settings, package, self._folders, self._tracking_id)
        client = runner_client(settings.server_url, secret, package.version)
        self._reporter = Reporter(client, job.id, timings, trace, self._cancel)
        self._reporter.mask(secret)
        self._event_path = Path(self._env["GITHUB_EVENT_PATH"])
        self._stop = ""
        self._stop_served = ""  # the stop that the running step was started after
        self._status = SUCCESS
        self._announced = False
        self._deadline = time.monotonic() + job.timeout_minutes * 60
        self._reports: list[dict[str, object]] = []
        self._processes = StepProcess(
            signals,
            timings,
            on_line=self._heed_line,
            log_is_full=lambda: self._reporter.full,
            must_stop=self._must_stop,
            attend=self._attend,
            attended=[channel.reading],
        )

    def run(self) -> str:
        """Run the job; answers the result. Raises Closed when the listener went away."""
        if not self._reporter.begin(self._settings.agent_name):
            self._trace.info("JobRunner", "The job was cancelled before it started")
            return RESULTS[CANCELLED]
        self._reporter.start()
        self._folders.prepare()
        self._write_event()
        self._reporter.write(f"Runner name: '{self._settings.agent_name}'")
        self._reporter.write(f"Machine name: '{socket.gethostname()}'")
        self._run_hook(HOOK_STARTED)
        if self._job.workflow_yaml and act_available():
            self._run_workflow()
        else:
            for number, step in enumerate(self._job.steps, start=1):
                self._run_step(number, step)
        self._run_hook(HOOK_COMPLETED)
        self._end_orphans()
        self._folders.clean_temp()
        result = RESULTS[self._status]
        self._reporter.finish(result, self._reports)
        return result

    def _run_step(self, number: int, step: Step) -> None:
        started_at = api_moment()
        conclusion = SKIPPED
        self._look_for_stop()
        if self._wanted(step.condition):
            self._stop_served = self._stop
            self._reporter.write(f"##[group]Run {step.name}")
            self._reporter.write("##[endgroup]")
            conclusion = self._conclude(self._execute(step), step)
        self._trace.info("StepsRunner", f"Step {number} {step.name!r}: {conclusion}")
        self._reports.append(
            {
                "number": number,
                "name": step.name,
                "conclusion": conclusion,
                "started_at": started_at,
                "completed_at": api_moment(),
            }
        )

    def _conclude(self, succeeded: bool, step: Step) -> str:
        if self._must_stop():
            self._stopped()
            return CANCELLED
        if succeeded:
            return SUCCESS
        if not step.continue_on_error and self._status == SUCCESS:
            self._status = FAILURE
        return SUCCESS if step.continue_on_error else FAILURE

    def _stopped(self) -> None:
        self._reporter.write(f"##[error]{self._stop_words()}")
        self._status = FAILURE if self._stop == "shutdown" else CANCELLED

    def _execute(self, step: Step) -> bool:
        """Run the step's program; whether it ended well."""
        try:
            commands = FileCommands(self._folders.temp)
            script = self._folders.temp / f"{os.urandom(16).hex()}.sh"
            script.write_text(step.run if step.run.endswith("\n") else step.run + "\n", "utf-8")
            code = self._processes.run(
                shell_command(step.shell, script),
                {**self._env, **commands.environment(), **step.env, "GITHUB_ACTION": "__run"},
                self._folders.workspace / step.working_directory,
                self._program_started,
            )
            if code != 0:
                self._reporter.write(f"##[error]Process completed with exit code {code}.")
            self._apply(commands)
        except (OSError, FileCommandError) as err:
            self._reporter.write(f"##[error]{err}")
            return False
        return code == 0

    def _apply(self, commands: FileCommands) -> None:
        self._env.update(commands.variables())
        for name in commands.outputs():
            self._trace.info("StepsRunner", f"Set output {name}")
        for folder in reversed(commands.added_paths()):
            self._env["PATH"] = f"{folder}:{self._env.get('PATH', '')}"
        summary = commands.summary()
        if summary:
            self._trace.info("StepsRunner", f"Step summary of {len(summary)} characters")

    def _run_workflow(self) -> None:
        """Hand the whole job to act; its steps become ours."""
        self._look_for_stop()
        if self._status != SUCCESS:
            return
        temp = self._folders.temp
        workflow = temp / "workflow.yml"
        workflow.write_text(self._job.workflow_yaml, "utf-8")
        output = ActOutput(self._heed_line, api_moment, [step.name for step in self._job.steps])
        self._processes.on_line = output.heed
        # act keeps its settings and caches below these; the user's own stay untouched.
        homes = {name: str(temp / "act") for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
        try:
            code = self._processes.run(
                act_command(workflow, self._event_path, temp / "act", self._job.labels),
                self._env | homes,
                self._folders.workspace,
                self._program_started,
            )
        except OSError as err:
            self._reporter.write(f"##[error]{err}")
            code = 1
        finally:
            self._processes.on_line = self._heed_line
        self._reports = output.reports()
        if self._must_stop():
            self._stopped()
        elif code != 0:
            self._status = FAILURE

    def _run_hook(self, variable: str) -> None:
        path = os.environ.get(variable, "")
        if not path or self._stop == "shutdown":
            return
        self._reporter.write(f"A job hook has been configured: '{path}'")
        try:
            code = self._processes.run(
                ["bash", path], self._env, self._folders.workspace, lambda: None
            )
        except OSError as err:
            self._reporter.write(f"##[error]{err}")
            code = 1
        if code != 0 and self._status == SUCCESS:
            self._status = FAILURE

    def _wanted(self, condition: str) -> bool:
        if self._stop == "shutdown":
            return False
        words = condition.replace(" ", "").removeprefix("${{").removesuffix("}}")
        verdicts = {
            "always()": True,
            "failure()": self._status == FAILURE,
            "cancelled()": self._status == CANCELLED,
            "!cancelled()": self._status != CANCELLED,
        }
        return verdicts.get(words, self._status == SUCCESS)

    def _program_started(self) -> None:
        if self._announced:
            return
        self._announced = True
        self._channel.send({"type": "running"})
        misbehave(
            self._faults,
            self._channel,
            self._env,
            TRACKING,
            self._timings.left_children_seconds,
            self._reporter.silence,
        )

    def _attend(self, _ready: list[int]) -> None:
        for message in self._channel.receive():
            if message.get("type") == "shutdown":
                self._stop = "shutdown"

    def _cancel(self) -> None:
        """Called from the reporter's thread."""
        self._stop = self._stop or "cancel"
        self._signals.wake()

    def _look_for_stop(self) -> None:
        """Between steps: read what came meanwhile and let it decide about the next step."""
        if self._channel.reading in self._signals.wait(0, [self._channel.reading]):
            self._attend([])
        if self._must_stop():
            self._status = FAILURE if self._stop == "shutdown" else CANCELLED

    def _must_stop(self) -> bool:
        if self._signals.received is not None:
            self._stop = "shutdown"
        if not self._stop and time.monotonic() >= self._deadline:
            self._stop = "timeout"
        return self._stop != self._stop_served

    def _stop_words(self) -> str:
        overtime = (
            f"The job running on runner {self._settings.agent_name} has exceeded the maximum"
            f" execution time of {self._job.timeout_minutes:g} minutes."
        )
        return STOP_WORDS.get(self._stop, overtime)

    def _heed_line(self, line: str) -> None:
        meaning = read_workflow_command(line)
        self._reporter.mask(meaning.secret)
        self._reporter.write(meaning.text)

    def _end_orphans(self) -> None:
        for pid in end_tracked_processes(self._tracking_id):
            self._reporter.write(f"Terminate orphan process: pid ({pid})")

    def _write_event(self) -> None:
        self._event_path.parent.mkdir(parents=True, exist_ok=True)
        event: Mapping[str, object] = {
            "ref": self._job.ref,
            "after": self._job.sha,
            "repository": {"full_name": self._job.repository},
        }
        self._event_path.write_text(json.dumps(event), "utf-8")


def api_moment() -> str:
    """Now, as the REST API writes times: `2026-01-01T00:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
