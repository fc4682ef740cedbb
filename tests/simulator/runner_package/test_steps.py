"""What steps find and what they can do: environment, files, shells, conclusions."""

import pytest

from tests.simulator.runner_package.conftest import Start
from tests.simulator.runner_package.protocol_server import ProtocolServer
from tests.simulator.runner_package.test_one_job import conclusions, logged


def test_a_failing_step_fails_the_job_and_skips_the_rest(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("true", "exit 3", "true")
    runner = start()
    assert runner.wait() == 0
    assert server.book.completed[job]["result"] == "Failed"
    assert conclusions(server, job) == ["success", "failure", "skipped"]
    assert "##[error]Process completed with exit code 3." in logged(server, job)
    assert "completed with result: Failed" in runner.output


def test_steps_are_reported_with_number_name_and_times(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("true", "true")
    start().wait()
    steps = server.book.completed[job]["steps"]
    assert [(step["number"], step["name"]) for step in steps] == [(1, "step 1"), (2, "step 2")]
    assert all(step["started_at"] <= step["completed_at"] for step in steps)


def test_continue_on_error_lets_the_job_succeed(server: ProtocolServer, start: Start) -> None:
    steps = [{"name": "shaky", "run": "false", "continue_on_error": True}, {"run": "true"}]
    job = server.add_job(steps=steps)
    start().wait()
    assert server.book.completed[job]["result"] == "Succeeded"


def test_always_step_runs_after_a_failure_and_success_step_does_not(
    server: ProtocolServer, start: Start
) -> None:
    steps = [{"run": "false"}, {"run": "true"}, {"run": "echo tidy", "if": "${{ always() }}"}]
    job = server.add_job(steps=steps)
    start().wait()
    assert conclusions(server, job) == ["failure", "skipped", "success"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CI", "true"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "acme/widgets"),
        ("GITHUB_RUN_ID", "7"),
        ("GITHUB_REF_NAME", "main"),
        ("RUNNER_NAME", "tester"),
        ("RUNNER_OS", "Linux"),
        ("RUNNER_ARCH", "X64"),
        ("RUNNER_ENVIRONMENT", "self-hosted"),
        ("OF_THE_JOB", "one"),
        ("OF_THE_STEP", "two"),
    ],
)
def test_step_finds_the_variables_of_runner_job_and_step(
    server: ProtocolServer, start: Start, name: str, value: str
) -> None:
    steps = [{"run": f'echo "<${name}>"', "env": {"OF_THE_STEP": "two"}}]
    job = server.add_job(steps=steps, env={"OF_THE_JOB": "one"})
    start().wait()
    assert f"<{value}>" in logged(server, job)


def test_variables_written_to_github_env_reach_later_steps(
    server: ProtocolServer, start: Start
) -> None:
    writer = 'echo "A=1=2" >> $GITHUB_ENV; printf "B<<END\\nx\\ny\\nEND\\n" >> $GITHUB_ENV'
    job = server.add_job(writer, 'echo "<$A> <$B>"')
    start().wait()
    assert "<1=2> <x\ny>" in logged(server, job)


def test_github_env_cannot_change_what_belongs_to_the_runner(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job('echo "RUNNER_NAME=other" >> $GITHUB_ENV', 'echo "<$RUNNER_NAME>"')
    start().wait()
    assert "<tester>" in logged(server, job)


def test_a_malformed_command_file_fails_the_step(server: ProtocolServer, start: Start) -> None:
    job = server.add_job('printf "A<<END\\nx\\n" >> $GITHUB_ENV')
    start().wait()
    assert conclusions(server, job) == ["failure"]
    assert "Matching delimiter not found 'END'" in logged(server, job)


def test_github_path_puts_a_folder_first(server: ProtocolServer, start: Start) -> None:
    job = server.add_job('echo "$PWD/tools" >> $GITHUB_PATH', 'echo "<${PATH%%:*}>"')
    start().wait()
    assert "/tools>" in logged(server, job)


@pytest.mark.parametrize("name", ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_STATE"])
def test_step_can_write_its_other_files(server: ProtocolServer, start: Start, name: str) -> None:
    job = server.add_job(f'echo "word=1" >> "${name}" && wc -l < "${name}"')
    start().wait()
    assert server.book.completed[job]["result"] == "Succeeded"


@pytest.mark.parametrize(
    ("shell", "script", "said"),
    [
        ("", 'echo "<$0>" | sed s,.*/,,', ".sh>"),
        ("bash", 'false | true; echo "not here"', "exit code 1"),
        ("sh", "echo plain", "plain"),
        ("python", "print(6 * 7)", "42"),
        ("sh -x {0}", "echo traced", "+ echo traced"),
        ("sh", "", ""),
        ("nonsense", "true", "Invalid shell option 'nonsense'"),
        ("/no/such/shell {0}", "true", "No such file or directory"),
    ],
)
def test_step_runs_in_the_shell_it_asks_for(
    server: ProtocolServer, start: Start, shell: str, script: str, said: str
) -> None:
    job = server.add_job(steps=[{"run": script, "shell": shell}])
    start().wait()
    assert said in logged(server, job)


def test_step_runs_in_its_working_directory(server: ProtocolServer, start: Start) -> None:
    steps = [{"run": "mkdir sub"}, {"run": "pwd", "working_directory": "sub"}]
    job = server.add_job(steps=steps)
    start().wait()
    assert "_work/widgets/widgets/sub" in logged(server, job)


def test_a_masked_word_and_the_runners_secret_are_never_logged(
    server: ProtocolServer, start: Start
) -> None:
    reader = 'sed -n \'s/.*clientSecret": "\\([^"]*\\)".*/got \\1/p\' ../../../.credentials'
    job = server.add_job("echo ::add-mask::pa55; echo it is pa55", reader)
    start().wait()
    assert "it is ***" in logged(server, job)
    assert "got ***" in logged(server, job)


def test_workflow_commands_become_log_markers(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("echo '::error file=a.c,line=1::broken'; echo ::group::one")
    start().wait()
    assert "##[error]broken" in logged(server, job)
    assert "##[group]one" in logged(server, job)


def test_a_long_log_arrives_whole_and_in_order(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("seq 1 20000")
    start().wait()
    numbers = [int(line) for line in logged(server, job).splitlines() if line.isdecimal()]
    assert numbers == list(range(1, 20001))


def test_output_that_is_no_text_does_not_end_the_job(server: ProtocolServer, start: Start) -> None:
    job = server.add_job("printf 'a\\377b'; head -c 200000 /dev/zero; echo; echo end")
    start().wait()
    assert "end" in logged(server, job).splitlines()


def test_a_step_that_leaves_a_child_holding_its_output_ends(
    server: ProtocolServer, start: Start
) -> None:
    job = server.add_job("sleep 600 & echo done")
    start().wait()
    assert server.book.completed[job]["result"] == "Succeeded"
    assert "Terminate orphan process" in logged(server, job)


def test_hooks_run_around_the_job_and_can_fail_it(
    server: ProtocolServer, start: Start, root: str
) -> None:
    hook = f"{root}/hook.sh"
    with open(hook, "w", encoding="utf-8") as file:
        file.write('echo "hook in $GITHUB_JOB"; exit 1\n')
    job = server.add_job("true", name="hooked")
    start(ACTIONS_RUNNER_HOOK_JOB_STARTED=hook).wait()
    assert "hook in hooked" in logged(server, job)
    assert server.book.completed[job]["result"] == "Failed"
