"""What a runner is started with: its environment from a list, config.sh's inputs, the keeper."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fleet_agent import keeper
from fleet_agent.console import end_offset, read_events, read_from
from fleet_agent.process_table import ProcessRef
from fleet_agent.process_tree import Tree, end_tree, members
from fleet_agent.runner_process import (
    Started,
    StartFailed,
    attach_keeper,
    configure,
    read_exit_file,
    registration_inputs,
    runner_environment,
    start_keeper,
)
from fleet_agent.slot_directory import SlotDirectory
from fleet_agent.wire import Registration

from tests.agent.patience import until

MARK = "0123456789abcdef"
DEFAULTS = ("self-hosted", "Linux", "X64")


@pytest.fixture
def slot(tmp_path: Path) -> SlotDirectory:
    """A slot with an empty root."""
    made = SlotDirectory(tmp_path / "12")
    made.runner_root.mkdir(parents=True)
    return made


def start(slot: SlotDirectory, script: str) -> Started:
    """Start a shell script as the runner of a slot."""
    order = {
        "argv": ["/bin/sh", "-c", script],
        "cwd": str(slot.runner_root),
        "env": {"PATH": os.environ["PATH"], "FLEET_SLOT": MARK},
    }
    return start_keeper(slot, slot.path / "wake", order, MARK, [])


def ended(slot: SlotDirectory) -> bool:
    """Whether the keeper recorded the end."""
    return read_exit_file(slot)[0]


def test_environment_is_built_from_a_list(slot: SlotDirectory) -> None:
    ours = {
        "PATH": "/bin",
        "https_proxy": "http://proxy:3128",
        "RUNNER_TOOL_CACHE": "/opt/tools",
        "RUNNER_TOKEN": "secret",
        "RUNNER_ALLOW_RUNASROOT": "1",
        "GITHUB_TOKEN": "secret",
        "FLEET_ENROLMENT_CODE": "secret",
        "FLEET_SERVER": "secret",
        "ACTIONS_RUNNER_INPUT_PAT": "secret",
        "LD_PRELOAD": "secret",
        "HOME": "/home/agent",
    }
    made = runner_environment(slot, MARK, ours, as_root=False)
    assert "secret" not in made.values()
    assert made["PATH"] == "/bin"
    assert made["https_proxy"] == "http://proxy:3128"
    assert made["RUNNER_TOOL_CACHE"] == "/opt/tools"
    assert made["HOME"] == str(slot.home)
    assert made["FLEET_SLOT"] == MARK
    assert "RUNNER_ALLOW_RUNASROOT" not in made


def test_root_is_allowed_only_when_the_agent_is_root(slot: SlotDirectory) -> None:
    assert runner_environment(slot, MARK, {}, as_root=True)["RUNNER_ALLOW_RUNASROOT"] == "1"


@pytest.mark.parametrize(
    ("labels", "flags", "passed"),
    [
        (("self-hosted", "linux", "x64"), [], None),
        (("self-hosted", "linux", "x64", "gpu", "big"), [], "gpu,big"),
        (("Self-Hosted", "Linux", "X64", "gpu"), [], "gpu"),
        (("gpu",), ["--no-default-labels"], "gpu"),
        (("self-hosted", "gpu"), ["--no-default-labels"], "self-hosted,gpu"),
    ],
)
def test_labels_reach_config_sh(
    labels: tuple[str, ...], flags: list[str], passed: str | None
) -> None:
    given, inputs = registration_inputs(registration(labels), DEFAULTS)
    assert given == flags
    assert inputs.get("ACTIONS_RUNNER_INPUT_LABELS") == passed
    assert inputs["ACTIONS_RUNNER_INPUT_TOKEN"] == "A" * 29
    assert "ACTIONS_RUNNER_INPUT_EPHEMERAL" not in inputs


def registration(labels: tuple[str, ...] = DEFAULTS) -> Registration:
    """What the server answers for a persistent runner."""
    return Registration(
        url="https://github.com/acme",
        token="A" * 29,
        name="forge-01",
        labels=labels,
        runner_group="Default",
        ephemeral=False,
        work_folder="_work",
    )


def configure_with(slot: SlotDirectory, script: str) -> None:
    """Register with a `config.sh` that only does this."""
    program = slot.runner_root / "config.sh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    environment = {"PATH": os.environ["PATH"], "FLEET_SLOT": MARK}
    configure(slot, registration(), environment, MARK, DEFAULTS, {})


def test_registration_token_is_in_no_argument_while_config_sh_runs(slot: SlotDirectory) -> None:
    configure_with(
        slot,
        'cat /proc/[0-9]*/cmdline > arguments; printf %s "$ACTIONS_RUNNER_INPUT_TOKEN" > told; '
        "touch .runner",
    )
    arguments = (slot.runner_root / "arguments").read_bytes()
    assert (slot.runner_root / "told").read_text() == registration().token
    assert b"config.sh" in arguments
    assert registration().token.encode() not in arguments


def test_config_sh_that_does_not_end_is_ended_with_its_token(
    slot: SlotDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet_agent.runner_process.CONFIGURE_SECONDS", 0.5)
    with pytest.raises(StartFailed, match=r"config\.sh ended with"):
        configure_with(slot, "sleep 600")
    assert members(Tree(MARK, None, None)) == set()


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143)]
)
def test_exit_code_is_recorded(slot: SlotDirectory, script: str, code: int) -> None:
    start(slot, script)
    until(lambda: ended(slot), "the record")
    assert read_exit_file(slot) == (True, code)


def test_program_that_cannot_be_started_says_so(slot: SlotDirectory) -> None:
    order = {"argv": ["/nowhere/Runner.Listener"], "cwd": str(slot.runner_root), "env": {}}
    start_keeper(slot, slot.path / "wake", order, MARK, [])
    until(lambda: ended(slot), "the record")
    assert read_exit_file(slot) == (True, 127)
    assert b"cannot start /nowhere" in read_from(slot.console, "console-", 0).data


def test_output_is_kept_whole_and_notable_lines_apart(slot: SlotDirectory) -> None:
    start(slot, "echo one; echo '2026-01-01 00:00:00Z: Listening for Jobs'; echo two >&2")
    until(lambda: ended(slot), "the end")
    data = read_from(slot.console, "console-", 0).data
    assert data == b"one\n2026-01-01 00:00:00Z: Listening for Jobs\ntwo\n"
    events, offset = read_events(slot.console, 0)
    assert [event.text for event in events] == ["2026-01-01 00:00:00Z: Listening for Jobs"]
    assert read_events(slot.console, offset) == ([], offset)


def test_keeper_stays_until_daemons_are_gone(slot: SlotDirectory) -> None:
    started = start(slot, "setsid sh -c 'sleep 63' & exit 3")
    until(lambda: ended(slot), "the end of the runner")
    assert started.keeper.alive()
    assert end_tree(Tree(MARK, started.keeper, started.runner)) == 0
    assert not started.keeper.alive()


def test_keeper_hands_nothing_of_its_own_to_the_runner(slot: SlotDirectory) -> None:
    start(slot, "cat /proc/self/environ | tr '\\0' '\\n'; ls /proc/self/fd | wc -l")
    until(lambda: ended(slot), "the end")
    text = read_from(slot.console, "console-", 0).data.decode()
    names = {line.partition("=")[0] for line in text.splitlines() if "=" in line}
    assert names <= {"PATH", "FLEET_SLOT", "PWD", "OLDPWD", "SHLVL", "_"}


def test_order_is_in_no_argument_or_environment_of_the_keeper(slot: SlotDirectory) -> None:
    order = {
        "argv": ["/bin/sleep", "60"],
        "cwd": str(slot.runner_root),
        "env": {"ACTIONS_RUNNER_INPUT_JITCONFIG": "canary-config", "FLEET_SLOT": MARK},
    }
    started = start_keeper(slot, slot.path / "wake", order, MARK, [])
    for name in ("environ", "cmdline"):
        assert b"canary" not in Path(f"/proc/{started.keeper.pid}/{name}").read_bytes()
    held = [path.read_bytes() for path in slot.path.rglob("*.json")]
    assert not [content for content in held if b"canary" in content]
    end_tree(Tree(MARK, started.keeper, started.runner))


def test_half_an_order_starts_nothing(slot: SlotDirectory) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", keeper.__file__, str(slot.path), str(slot.path / "wake")],
        input=b'{"argv": ["/bin/sh", "-c", "touch ran"], "cwd": "',
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert not slot.keeper_file.exists()


def test_new_keeper_drains_a_runner_that_lost_its_own(slot: SlotDirectory) -> None:
    gate = slot.path / "gate"
    script = f"while [ ! -e {gate} ]; do echo tick; sleep 0.05; done; echo last; exit 5"
    started = start(slot, script)
    assert started.keeper.send(__import__("signal").SIGKILL)
    until(lambda: not started.keeper.alive(), "the end of the keeper")
    again = attach_keeper(slot, slot.path / "wake", started.runner, MARK)
    assert again.runner == started.runner
    before = end_offset(slot.console, "console-")
    until(lambda: end_offset(slot.console, "console-") > before, "more output")
    gate.touch()
    until(lambda: ended(slot), "the end")
    assert read_exit_file(slot) == (True, None)
    end = end_offset(slot.console, "console-")
    assert read_from(slot.console, "console-", end - 5).data == b"last\n"


def test_new_keeper_of_a_runner_that_is_gone_records_that(slot: SlotDirectory) -> None:
    attach_keeper(slot, slot.path / "wake", ProcessRef(os.getpid(), 1), MARK)
    until(lambda: ended(slot), "the record")
    assert read_exit_file(slot) == (True, None)


def test_keeper_pokes_the_agent(slot: SlotDirectory) -> None:
    wake = slot.path / "wake"
    os.mkfifo(wake)
    listener = os.open(wake, os.O_RDWR | os.O_NONBLOCK)
    start(slot, "exit 0")
    until(lambda: ended(slot), "the end")
    assert os.read(listener, 100)
    os.close(listener)


def test_files_are_rotated_and_read_by_one_offset(tmp_path: Path) -> None:
    file = keeper.RotatedFile(str(tmp_path), "console-", 100)
    for number in range(50):
        file.write(f"line {number:04d}\n".encode())
    os.close(file.fd)
    assert len(list(tmp_path.iterdir())) == keeper.FILES_KEPT
    assert end_offset(tmp_path, "console-") == 500
    piece = read_from(tmp_path, "console-", 0)
    assert piece.lost > 0
    assert piece.next_offset == 500
    assert piece.data.endswith(b"line 0049\n")
    assert read_from(tmp_path, "console-", 490).data == b"line 0049\n"
    assert read_from(tmp_path, "console-", 500).data == b""


def test_rotated_file_goes_on_after_a_restart(tmp_path: Path) -> None:
    for text in (b"a" * 60, b"b" * 60, b"c" * 60):
        file = keeper.RotatedFile(str(tmp_path), "console-", 100)
        file.write(text)
        os.close(file.fd)
    assert end_offset(tmp_path, "console-") == 180


def test_reading_where_nothing_was_written_is_nothing(tmp_path: Path) -> None:
    assert read_from(tmp_path / "none", "console-", 7).data == b""
    assert read_from(tmp_path, "console-", 7).next_offset == 7
    assert end_offset(tmp_path / "none", "console-") == 0


def test_long_line_without_an_end_is_bounded(slot: SlotDirectory) -> None:
    kept = keeper.Keeper(str(slot.path), str(slot.path / "wake"))
    for _ in range(100):
        kept._note(b"x" * 10_000)
    assert len(kept.partial) <= keeper.LINE_BYTES
    kept._note(b" Listening for Jobs\n")
    os.close(kept.fifo)
    os.close(kept.console.fd)
    os.close(kept.events.fd)


def test_records_carry_the_time(slot: SlotDirectory) -> None:
    start(slot, "exit 0")
    until(lambda: ended(slot), "the end")
    record = json.loads(slot.exit_file.read_text())
    assert record["ended_at"][:4] == time.strftime("%Y", time.gmtime())
