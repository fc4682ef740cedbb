"""Each exit code of the listener, and what run.sh and the service make of it."""

from pathlib import Path

import pytest

from tests.simulator.runner_package.conftest import Start, eventually
from tests.simulator.runner_package.protocol_server import ProtocolServer

DEPRECATED_BODY = {"message": "Runner version v2.336.0 is deprecated and cannot receive messages."}
ASK_FOR_7 = "ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE"


def test_running_without_configuration_is_terminated(start: Start) -> None:
    runner = start(jit=False)
    assert runner.wait() == 1
    assert "Runner is not configured." in runner.output


@pytest.mark.parametrize("encoded", ["%%%", "bm90IGpzb24=", "W10=", "eyIuLi94IjoiIn0="])
def test_a_malformed_jit_configuration_is_terminated(
    start: Start, root: Path, encoded: str
) -> None:
    runner = start(jit=False, ACTIONS_RUNNER_INPUT_JITCONFIG=encoded)
    assert runner.wait() == 1
    assert not (root / ".runner").exists()
    assert not (root.parent / "x").exists()


def test_a_root_that_cannot_be_written_is_terminated(start: Start, root: Path) -> None:
    (root / "_diag").write_text("in the way", "utf-8")
    runner = start()
    assert runner.wait() == 1
    assert "An error occurred:" in runner.output


def test_an_unreadable_settings_file_is_retryable(start: Start, root: Path) -> None:
    (root / ".runner").write_text("{", "utf-8")
    runner = start(jit=False)
    assert runner.wait() == 2
    assert "An error occurred:" in runner.output


def test_an_unknown_misbehaviour_is_an_error_not_a_silence(start: Start) -> None:
    runner = start(STANDIN_MISBEHAVE="dance")
    assert runner.wait() == 2
    assert "unknown misbehaviour: dance" in runner.output


def test_a_bad_duration_names_its_variable(start: Start) -> None:
    runner = start(STANDIN_RENEW_SECONDS="soon")
    assert runner.wait() == 2
    assert "STANDIN_RENEW_SECONDS" in runner.output


@pytest.mark.parametrize("at", ["session_answer", "message_answer"])
@pytest.mark.parametrize(("asked", "code"), [("", 1), ("1", 7)])
def test_a_deprecated_version_is_1_or_where_asked_7(
    server: ProtocolServer, start: Start, at: str, asked: str, code: int
) -> None:
    setattr(server.book, at, (403, DEPRECATED_BODY))
    runner = start(**{ASK_FOR_7: asked})
    assert runner.wait() == code
    assert f"An error occurred: {DEPRECATED_BODY['message']}" in runner.output


def test_another_refusal_of_the_session_is_terminated(server: ProtocolServer, start: Start) -> None:
    server.book.session_answer = (403, {"message": "No."})
    runner = start()
    assert runner.wait() == 1
    assert "Failed to create session. No." in runner.output


def test_a_session_that_stays_taken_is_a_conflict(server: ProtocolServer, start: Start) -> None:
    server.book.session_answer = (409, {"message": "taken"})
    short = {"STANDIN_CONFLICT_RETRY_SECONDS": "0.02", "STANDIN_CONFLICT_LIMIT_SECONDS": "0.1"}
    runner = start(**short)
    assert runner.wait() == 5
    assert "A session for this runner already exists." in runner.output
    assert "Stop retry on SessionConflictException after retried for 0.1 seconds." in runner.output


def test_a_session_that_becomes_free_is_taken(server: ProtocolServer, start: Start) -> None:
    server.book.session_answer = (409, {"message": "taken"})
    runner = start(STANDIN_CONFLICT_RETRY_SECONDS="0.05")
    runner.says("A session for this runner already exists.")
    server.book.session_answer = None
    runner.says("Listening for Jobs")


def test_a_lost_session_is_opened_again(server: ProtocolServer, start: Start) -> None:
    server.book.message_answer = (401, {"message": "The session is not known."})
    runner = start()
    eventually(lambda: server.book.sessions_opened >= 2)
    server.book.message_answer = None
    job = server.add_job("true")
    assert runner.wait() == 0
    assert job in server.book.completed


@pytest.mark.parametrize("at", ["session_answer", "message_answer"])
def test_one_job_runner_whose_registration_is_gone_cleans_up_and_ends_well(
    server: ProtocolServer, start: Start, root: Path, at: str
) -> None:
    setattr(server.book, at, (404, {"message": "gone"}))
    runner = start()
    assert runner.wait() == 0
    assert "The runner no longer exists on the server" in runner.output
    assert not (root / ".runner").exists()


def test_persistent_runner_whose_registration_is_gone_is_terminated(
    server: ProtocolServer, start: Start
) -> None:
    server.book.session_answer = (404, {"message": "gone"})
    jit = server.jit_config(Ephemeral="False")
    runner = start(ACTIONS_RUNNER_INPUT_JITCONFIG=jit)
    assert runner.wait() == 1
    assert "Please reconfigure the runner." in runner.output


@pytest.mark.parametrize(("ephemeral", "code"), [("False", 3), ("True", 4)])
def test_an_update_has_its_code_and_leaves_its_mark_later(
    server: ProtocolServer, start: Start, root: Path, ephemeral: str, code: int
) -> None:
    jit = server.jit_config(Ephemeral=ephemeral)
    runner = start(STANDIN_MISBEHAVE="self-update", ACTIONS_RUNNER_INPUT_JITCONFIG=jit)
    assert runner.wait() == code
    eventually((root / "update.finished").exists)


def test_an_outage_is_announced_once_and_its_end_once(server: ProtocolServer, start: Start) -> None:
    runner = start()
    runner.says("Listening for Jobs")
    server.book.refuse_connections = True
    runner.says("Retrying until reconnected.")
    before = len(server.book.requests)
    eventually(lambda: len(server.book.requests) > before + 3)
    server.book.refuse_connections = False
    runner.says("Runner reconnected.")
    lines = runner.output.splitlines()
    assert len([line for line in lines if "Runner connect error:" in line]) == 1
    assert len([line for line in lines if line.endswith("Z: Runner reconnected.")]) == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_error_is_an_outage_too(server: ProtocolServer, start: Start, status: int) -> None:
    server.book.message_answer = (status, {"message": "Try later."})
    runner = start()
    runner.says("Runner connect error: Try later. Retrying until reconnected.")
    server.book.message_answer = None
    job = server.add_job("true")
    assert runner.wait() == 0
    assert job in server.book.completed


def test_run_sh_hides_every_code(server: ProtocolServer, start: Start) -> None:
    runner = start("./run.sh", jit=False)
    assert runner.wait() == 0
    assert "terminated error, stop the service, no retry needed." in runner.output
    assert "Exiting runner..." in runner.output


def test_run_sh_hides_a_session_conflict(server: ProtocolServer, start: Start) -> None:
    server.book.session_answer = (409, {"message": "taken"})
    runner = start("./run.sh", STANDIN_CONFLICT_LIMIT_SECONDS="0")
    assert runner.wait() == 0
    assert "Session Conflict error" in runner.output


@pytest.mark.parametrize(("asked", "code"), [("", 0), ("1", 7)])
def test_run_sh_passes_only_a_deprecated_version_on(
    server: ProtocolServer, start: Start, asked: str, code: int
) -> None:
    server.book.session_answer = (403, DEPRECATED_BODY)
    assert start("./run.sh", **{ASK_FOR_7: asked}).wait() == code


def test_run_sh_starts_again_after_a_retryable_error(start: Start, root: Path) -> None:
    runner = start("./run.sh", STANDIN_MISBEHAVE="retryable-error")
    eventually(lambda: runner.output.count("Restarting runner...") >= 2)
    assert "retryable error, re-launch runner in 5 seconds." in runner.output


def test_run_sh_starts_again_after_an_update(server: ProtocolServer, start: Start) -> None:
    runner = start("./run.sh", STANDIN_MISBEHAVE="self-update")
    runner.says("Update finished successfully.")
    job = server.add_job("true")
    assert runner.wait() == 0
    assert job in server.book.completed


def test_run_sh_calls_a_killed_listener_unknown_and_exits_0(
    server: ProtocolServer, start: Start
) -> None:
    runner = start("./run.sh")
    runner.says("Listening for Jobs")
    runner.one("Runner.Listener").kill()
    assert runner.wait() == 0
    assert "Exiting with unknown error code: 137" in runner.output


@pytest.mark.parametrize("script", ["./config.sh", "./run.sh"])
def test_root_is_refused_unless_allowed(start: Start, script: str) -> None:
    runner = start(script, jit=False, RUNNER_ALLOW_RUNASROOT="", PATH=_path_where_id_says_root())
    runner.wait()
    assert "Must not run" in runner.output


def _path_where_id_says_root() -> str:
    folder = Path(__file__).with_name("root_path")
    return f"{folder}:/usr/bin:/bin"
