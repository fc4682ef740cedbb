"""A JIT runner and its one job, from the first line to the last file."""

import re
from pathlib import Path

import psutil

from tests.simulator.runner_package.conftest import Start, eventually
from tests.simulator.runner_package.protocol_server import SECRET, ProtocolServer

MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"


def logged(server: ProtocolServer, job: str) -> str:
    """The job's log without the moments."""
    return "\n".join(line.partition(" ")[2] for line in server.book.log[job])


def conclusions(server: ProtocolServer, job: str) -> list[str]:
    return [step["conclusion"] for step in server.book.completed[job]["steps"]]


def test_jit_runner_runs_one_job_and_exits_zero(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("echo hello")
    assert start().wait() == 0
    assert server.book.completed[job]["result"] == "Succeeded"
    assert "hello" in logged(server, job)


def test_console_tells_the_story_in_the_official_words(
    server: ProtocolServer, start: Start
) -> None:
    server.add_job("true", name="build: all (x64)")
    runner = start()
    runner.wait()
    expected = [
        "",
        "√ Connected to GitHub",
        "",
        r"Current runner version: '2\.336\.0'",
        f"{MOMENT}: Listening for Jobs",
        rf"{MOMENT}: Running job: build: all \(x64\)",
        rf"{MOMENT}: Job build: all \(x64\) completed with result: Succeeded",
        r"√ Removed \.credentials",
        r"√ Removed \.runner",
    ]
    lines = runner.output.splitlines()
    assert len(lines) == len(expected), runner.output
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line)


def test_one_job_runner_wipes_its_credentials_and_closes_its_session(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    server.add_job("true")
    start().wait()
    assert not list(root.glob(".runner")) + list(root.glob(".credentials*"))
    assert server.book.sessions_closed == 1


def test_no_secret_is_left_in_any_file(server: ProtocolServer, start: Start, root: Path) -> None:
    server.add_job("true")
    start().wait()
    holders = [
        path for path in root.rglob("*") if path.is_file() and SECRET in path.read_text("utf-8")
    ]
    assert holders == []


def test_jit_files_are_written_byte_for_byte(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    start().says("Listening for Jobs")
    assert (root / ".runner").read_bytes().startswith(b"{")
    assert (root / ".credentials_rsaparams").stat().st_mode & 0o777 == 0o600


def test_diag_has_one_file_for_the_runner_and_one_for_the_job(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    server.add_job("true")
    start().wait()
    names = sorted(path.name for path in (root / "_diag").iterdir())
    stamp = r"\d{8}-\d{6}-utc\.log"
    assert len(names) == 2
    assert re.fullmatch(f"Runner_{stamp}", names[0])
    assert re.fullmatch(f"Worker_{stamp}", names[1])


def test_diag_lines_have_the_official_shape(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    server.add_job("true")
    start().wait()
    log = next((root / "_diag").glob("Runner_*")).read_text("utf-8")
    for line in log.splitlines():
        assert re.match(rf"\[{MOMENT} (INFO|ERR ) \w+\] ", line)


def test_work_folder_has_the_official_folders(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    job = server.add_job("ls -1 ../..; pwd", repository="acme/widgets")
    start().wait()
    for name in ("_temp", "_actions", "_tool", "widgets"):
        assert name in logged(server, job).splitlines()
    assert str(root / "_work" / "widgets" / "widgets") in logged(server, job)


def test_temp_is_emptied_after_the_job(server: ProtocolServer, start: Start, root: Path) -> None:
    server.add_job("touch $RUNNER_TEMP/left")
    start().wait()
    assert not (root / "_work" / "_temp" / "left").exists()


def test_each_job_has_a_worker_process_of_its_own(server: ProtocolServer, start: Start) -> None:
    server.add_job("read -r _ < gate || sleep 60")
    runner = start()
    worker = runner.one("Runner.Worker")
    listener = runner.one("Runner.Listener")
    assert worker.ppid() == listener.pid
    assert "spawnclient" in worker.cmdline()


def test_no_secret_is_in_arguments_or_environment_of_worker_and_step(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("echo ready; sleep 60")
    runner = start()
    eventually(lambda: job in server.book.log and "ready" in logged(server, job))
    jit = server.jit_config()
    family = psutil.Process(runner.process.pid).children(recursive=True)
    assert len(family) >= 2
    for process in family:
        told = " ".join([*process.cmdline(), *process.environ().values(), *process.environ()])
        assert jit not in told
        assert SECRET not in told
        assert "ACTIONS_RUNNER_INPUT" not in told


def test_no_secret_is_in_any_argument_of_run_sh_and_what_it_starts(
    server: ProtocolServer, start: Start
) -> None:
    runner = start("./run.sh")
    runner.says("Listening for Jobs")
    top = psutil.Process(runner.process.pid)
    arguments = [" ".join(each.cmdline()) for each in [top, *top.children(recursive=True)]]
    assert not [each for each in arguments if SECRET in each or server.jit_config() in each]


def test_jit_configuration_is_accepted_as_an_argument_too(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("true")
    runner = start("./run.sh", "--jitconfig", server.jit_config(), jit=False)
    assert runner.wait() == 0
    assert server.book.completed[job]["result"] == "Succeeded"


def test_listener_removes_the_inputs_but_its_own_environment_block_keeps_them(
    server: ProtocolServer, start: Start
) -> None:
    """As with the official runner: the same user can read the block of the listener itself."""
    runner = start()
    runner.says("Listening for Jobs")
    block = runner.one("Runner.Listener").environ()
    assert block["ACTIONS_RUNNER_INPUT_JITCONFIG"] == server.jit_config()


def test_a_job_taken_by_somebody_else_is_skipped(server: ProtocolServer, start: Start) -> None:
    lost, won = server.add_job("echo lost"), server.add_job("echo won")
    server.book.taken.add(lost)
    assert start().wait() == 0
    assert list(server.book.completed) == [won]


def test_environment_file_reaches_the_steps(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    (root / ".env").write_text("FROM_FILE=yes\nPATH=/usr/bin:/bin\nNOT A LINE\n", "utf-8")
    job = server.add_job('echo "file says $FROM_FILE"')
    start().wait()
    assert "file says yes" in logged(server, job)


def test_listener_is_small(server: ProtocolServer, start: Start) -> None:
    runner = start()
    runner.says("Listening for Jobs")
    assert runner.one("Runner.Listener").memory_info().rss < 40 * 1024 * 1024
