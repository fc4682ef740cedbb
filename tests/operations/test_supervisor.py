import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import pytest

from tests.installation import ROOT, wait_for

# Nothing else on the machine sleeps for so long: a process is known by its argument.
_numbers = count(1)


@pytest.fixture
def unique() -> Iterator[str]:
    """An argument for `sleep` by which this test's processes are found, and ended at its end."""
    argument = f"{86400 + next(_numbers)}.{os.getpid()}"
    yield argument
    for pid in sleepers(argument):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def supervise(tmp_path: Path):
    """Starts a supervisor of the given programs; what is left of it is ended with the test."""

    @contextmanager
    def start(*programs: dict[str, object], written_to: str = "") -> Iterator["Supervised"]:
        log = Path(written_to) if written_to else tmp_path / "log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.operations.supervise", json.dumps(programs)],
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Else a suite that is run by nohup hands on that it is to be ignored.
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            )
        try:
            yield Supervised(process, log)
        finally:
            process.kill()
            process.wait()

    return start


class Supervised:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log

    def says(self, text: str) -> bool:
        return text in self.log.read_text(encoding="utf-8")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


def sleepers(argument: str) -> list[int]:
    """Process ids of every living `sleep <argument>`."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["cmdline"] == ["sleep", argument]:
            found.append(process.pid)
    return found


def shell(script: str, **fields: object) -> dict[str, object]:
    return {"name": "shell", "argv": ["sh", "-c", script], **fields}


def test_lines_are_passed_on_with_the_programs_name(supervise):
    json_line = '{"level": "INFO"}'
    script = f"echo one; echo two >&2; echo '{json_line}'; exec sleep 60"
    with supervise(shell(script)) as supervised:
        lines = f"shell    | one\nshell    | two\n{json_line}\n"
        wait_for("all lines, JSON as it is", lambda: supervised.says(lines))


def test_line_without_an_end_is_passed_on_when_the_program_ends(supervise):
    with supervise(shell("printf half")) as supervised:
        wait_for("the half line", lambda: supervised.says("shell    | half\n"))


def test_output_goes_to_the_log_file_when_there_is_one(supervise, tmp_path):
    file = tmp_path / "logs" / "shell.log"
    with supervise(shell("echo one; exec sleep 60", log_file=str(file))) as supervised:
        wait_for("the line", lambda: file.exists() and file.read_text() == "one\n")

        assert not supervised.says("one")


def test_large_log_file_is_put_aside(supervise, tmp_path):
    file = tmp_path / "shell.log"
    file.write_bytes(b"x" * 5_000_001)
    with supervise(shell("echo one; exec sleep 60", log_file=str(file))):
        wait_for("the line", lambda: file.exists() and file.read_text() == "one\n")

    assert (tmp_path / "shell.log.1").stat().st_size == 5_000_001


def test_program_that_ends_is_started_again(supervise):
    with supervise(shell("echo started; exit 3")) as supervised:
        wait_for(
            "the second start",
            lambda: supervised.says(
                "shell    | started\n"
                "shell    | ended (exit code 3); starting again in 1 s\n"
                "shell    | started\n"
            ),
        )


def test_pauses_grow_while_a_program_keeps_ending(supervise):
    with supervise(shell("exit 3")) as supervised:
        wait_for("the second pause", lambda: supervised.says("starting again in 2 s"))


def test_killed_program_is_named_by_its_signal(supervise):
    with supervise(shell("kill -9 $$")) as supervised:
        wait_for("the death", lambda: supervised.says("shell    | ended (SIGKILL)"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopping_ends_programs_and_all_they_started(supervise, unique, number):
    """A child, a grandchild that ignores SIGTERM, and a daemon in a session of its own."""
    script = f"(trap '' TERM; sleep {unique}) & setsid -f sleep {unique}; exec sleep {unique}"
    with supervise(shell(script, stop_seconds=5)) as supervised:
        wait_for("three sleepers", lambda: len(sleepers(unique)) == 3)

        assert supervised.end(number) == 0
        assert sleepers(unique) == []


def test_program_that_ignores_sigterm_is_killed_after_its_time(supervise, unique):
    script = f"trap '' TERM; sleep {unique}; sleep {unique}"
    with supervise(shell(script, stop_seconds=0.2)) as supervised:
        wait_for("the sleeper", lambda: sleepers(unique))

        assert supervised.end() == 0
        assert sleepers(unique) == []


def test_second_signal_does_not_wait_any_longer(supervise, unique):
    # A shell runs a trap at once while it waits, but only afterwards while it runs a command
    script = f"trap 'echo asked' TERM; sleep {unique} & while :; do wait; sleep 0.05; done"
    with supervise(shell(script, stop_seconds=600)) as supervised:
        wait_for("the sleeper", lambda: sleepers(unique))
        supervised.process.send_signal(signal.SIGINT)
        wait_for("the first signal", lambda: supervised.says("asked"))

        assert supervised.end(signal.SIGINT) == 0
        assert sleepers(unique) == []


def test_ctrl_c_in_the_terminal_reaches_the_supervisor_alone(supervise):
    """A terminal signals the whole foreground group; the program must hear of it only from us."""
    script = (
        "trap 'echo interrupted' INT; trap 'echo asked; exit' TERM; echo up; "
        "while :; do sleep 0.05; done"
    )
    with supervise(shell(script)) as supervised:
        wait_for("the start", lambda: supervised.says("up"))
        os.killpg(supervised.process.pid, signal.SIGINT)

        assert supervised.process.wait(timeout=30) == 0
        assert supervised.says("asked")
        assert not supervised.says("interrupted")


def test_terminal_that_closed_and_takes_no_more_words_ends_all_the_same(supervise, unique):
    script = f"trap 'echo asked' TERM; setsid -f sleep {unique}; while :; do sleep 0.05; done"
    with supervise(shell(script, stop_seconds=0.5), written_to="/dev/full") as supervised:
        wait_for("the sleeper", lambda: sleepers(unique))

        assert supervised.end(signal.SIGHUP) == 0
        assert sleepers(unique) == []


def test_closed_terminal_is_nothing_to_a_supervisor_started_with_nohup(supervise, unique):
    ignoring = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with supervise(shell(f"exec sleep {unique}")) as supervised:
            wait_for("the sleeper", lambda: sleepers(unique))
            supervised.process.send_signal(signal.SIGHUP)

            assert supervised.end(signal.SIGTERM) == 0
    finally:
        signal.signal(signal.SIGHUP, ignoring)


def test_programs_end_when_the_supervisor_is_killed(supervise, unique):
    with supervise(shell(f"exec sleep {unique}")) as supervised:
        wait_for("the sleeper", lambda: sleepers(unique))

        supervised.end(signal.SIGKILL)

        wait_for("no sleeper", lambda: not sleepers(unique))


def test_what_a_dead_program_leaves_is_ended_before_it_starts_again(supervise, unique):
    with supervise(shell(f"sleep {unique} & echo up; sleep 0.3")) as supervised:
        wait_for("the second start", lambda: supervised.says("again in 1 s\nshell    | up"))

        assert len(sleepers(unique)) == 1


def test_what_a_program_may_leave_lives_until_the_supervisor_stops(supervise, unique):
    program = shell(f"setsid -f sleep {unique}; echo up", leaves_children=True)
    with supervise(program) as supervised:
        wait_for("the second start", lambda: supervised.says("again in 1 s\nshell    | up"))
        assert len(sleepers(unique)) == 2

        supervised.end()

        assert sleepers(unique) == []


def test_end_that_no_new_start_would_mend_ends_everything_with_its_code(supervise, unique):
    broken = {"name": "broken", "argv": ["sh", "-c", "exit 78"], "fatal_exit_codes": [78]}
    with supervise(shell(f"exec sleep {unique}"), broken) as supervised:
        assert supervised.process.wait(timeout=30) == 78
        assert sleepers(unique) == []
