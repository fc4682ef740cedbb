"""config.sh and config.sh remove."""

import json
import socket
from pathlib import Path

import pytest

from tests.simulator.runner_package.conftest import Runner, Start
from tests.simulator.runner_package.protocol_server import (
    REGISTRATION_TOKEN,
    REMOVE_TOKEN,
    SECRET,
    ProtocolServer,
)

STATE = (".runner", ".credentials", ".credentials_rsaparams")


def configure(
    start: Start,
    server: ProtocolServer,
    *more: str,
    token: str = REGISTRATION_TOKEN,
    scope: str = "acme",
) -> Runner:
    words = ["./config.sh", "--unattended", "--url", f"{server.url}/{scope}", "--token", token]
    runner = start(*words, *more, jit=False)
    runner.wait()
    return runner


def read_state(root: Path, name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((root / name).read_text("utf-8-sig"))
    return content


def test_configured_runner_has_its_state_files_with_a_byte_order_mark(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    runner = configure(start, server, "--name", "one")
    assert runner.process.returncode == 0, runner.output
    for name in STATE:
        assert (root / name).read_bytes().startswith(b"\xef\xbb\xbf{")


def test_settings_file_has_the_names_that_the_official_one_has(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    configure(start, server, "--name", "one", "--work", "_jobs")
    settings = read_state(root, ".runner")
    assert settings["agentId"] == 23
    assert settings["agentName"] == "one"
    assert settings["workFolder"] == "_jobs"
    assert settings["gitHubUrl"] == f"{server.url}/acme"
    assert "ephemeral" not in settings


def test_ephemeral_and_disable_update_are_kept(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    configure(start, server, "--ephemeral", "--disableupdate")
    settings = read_state(root, ".runner")
    assert settings["ephemeral"] is True
    assert settings["disableUpdate"] is True


def test_registration_sends_what_the_flags_say(server: ProtocolServer, start: Start) -> None:
    flags = ["--name", "one", "--labels", "gpu, big,,", "--runnergroup", "Fast", "--work", "w"]
    configure(start, server, *flags, "--no-default-labels", "--replace", "--ephemeral")
    assert server.book.registrations == [
        {
            "url": f"{server.url}/acme",
            "name": "one",
            "labels": ["gpu", "big"],
            "no_default_labels": True,
            "runner_group": "Fast",
            "ephemeral": True,
            "replace": True,
            "version": "2.336.0",
            "os": "Linux",
            "architecture": "X64",
            "disable_update": False,
            "work_folder": "w",
        }
    ]


def test_name_is_the_hosts_by_default(server: ProtocolServer, start: Start) -> None:
    configure(start, server)
    assert server.book.registrations[0]["name"] == socket.gethostname()


def test_arguments_may_come_from_the_environment(server: ProtocolServer, start: Start) -> None:
    runner = start(
        "./config.sh",
        jit=False,
        ACTIONS_RUNNER_INPUT_UNATTENDED="true",
        ACTIONS_RUNNER_INPUT_URL=f"{server.url}/acme/widgets",
        ACTIONS_RUNNER_INPUT_TOKEN=REGISTRATION_TOKEN,
        ACTIONS_RUNNER_INPUT_NAME="from-environment",
    )
    assert runner.wait() == 0, runner.output
    assert server.book.registrations[0]["name"] == "from-environment"


def test_console_says_that_the_runner_was_added(server: ProtocolServer, start: Start) -> None:
    output = configure(start, server).output
    for line in ("√ Connected to GitHub", "√ Runner successfully added", "√ Settings Saved."):
        assert line in output.splitlines()


def test_no_token_is_printed_or_logged(server: ProtocolServer, start: Start, root: Path) -> None:
    output = configure(start, server).output
    diag = "".join(path.read_text("utf-8") for path in (root / "_diag").iterdir())
    for secret in (REGISTRATION_TOKEN, SECRET):
        assert secret not in output
        assert secret not in diag


def test_environment_and_path_are_kept_for_the_service(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    words = ["--unattended", "--url", f"{server.url}/acme", "--token", REGISTRATION_TOKEN]
    start("./config.sh", *words, jit=False, JAVA_HOME="/opt/java").wait()
    assert (root / ".path").read_text("utf-8").strip() == "/usr/bin:/bin"
    assert "JAVA_HOME=/opt/java" in (root / ".env").read_text("utf-8").splitlines()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--no-default-labels"], "without specifying --labels is not supported"),
        (["--labels", "x" * 257], "longer than 256 characters"),
        (["--url", "https://github.com"], "should point to an org or repository"),
        (["--token", "wrong"], "Http response code: 401"),
    ],
)
def test_a_bad_flag_is_refused_with_its_reason(
    server: ProtocolServer, start: Start, root: Path, flags: list[str], said: str
) -> None:
    runner = configure(start, server, *flags)
    assert runner.process.returncode == 1
    assert said in runner.output
    assert not (root / ".runner").exists()


def test_a_missing_url_ends_unattended_configuration(start: Start) -> None:
    runner = start("./config.sh", "--unattended", jit=False)
    assert runner.wait() == 1
    assert "Invalid configuration provided for url." in runner.output


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((409, {"message": "exists"}), "A runner exists with the same name one."),
        ((403, {"message": "Your runner version is out of date"}), "version is out of date"),
        ((404, {"message": "Not Found"}), "Http response code: 404"),
    ],
)
def test_a_refusal_of_the_server_is_said_and_nothing_is_saved(
    server: ProtocolServer,
    start: Start,
    root: Path,
    answer: tuple[int, dict[str, object]],
    said: str,
) -> None:
    server.book.register_answer = answer
    runner = configure(start, server, "--name", "one")
    assert runner.process.returncode == 1
    assert said in runner.output
    assert not [name for name in STATE if (root / name).exists()]


def test_an_unreachable_server_ends_configuration(server: ProtocolServer, start: Start) -> None:
    server.book.refuse_connections = True
    assert configure(start, server).process.returncode == 1


def test_configuring_twice_fails(server: ProtocolServer, start: Start) -> None:
    configure(start, server)
    runner = configure(start, server)
    assert runner.process.returncode == 1
    assert "Cannot configure the runner because it is already configured" in runner.output


def test_an_unknown_flag_is_complained_about_and_ignored(
    server: ProtocolServer, start: Start
) -> None:
    runner = configure(start, server, "--colour", "red")
    assert runner.process.returncode == 0
    assert "Unrecognized command-line input arguments for command configure" in runner.output


@pytest.mark.parametrize("flag", ["--pat", "--monitorsocketaddress", "--windowslogonaccount"])
def test_rare_flags_are_known(server: ProtocolServer, start: Start, flag: str) -> None:
    assert "Unrecognized" not in configure(start, server, flag, "x").output


def test_a_personal_access_token_gets_the_registration_token(
    server: ProtocolServer, start: Start
) -> None:
    words = ["--unattended", "--url", f"{server.url}/acme/widgets", "--pat", "p"]
    assert start("./config.sh", *words, jit=False).wait() == 0
    asked = [path for _, path in server.book.requests if path.endswith("registration-token")]
    assert asked == ["/api/v3/repos/acme/widgets/actions/runners/registration-token"]


def test_remove_takes_the_runner_from_server_and_disk(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    configure(start, server)
    runner = start("./config.sh", "remove", "--token", REMOVE_TOKEN, jit=False)
    assert runner.wait() == 0, runner.output
    url = f"{server.url}/acme"
    assert server.book.removals == [{"url": url, "runner_event": "remove", "runner_id": 23}]
    assert not [name for name in STATE if (root / name).exists()]
    assert "√ Runner removed successfully" in runner.output


def test_remove_with_a_bad_token_keeps_everything(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    configure(start, server)
    assert start("./config.sh", "remove", "--token", "wrong", jit=False).wait() == 1
    assert all((root / name).exists() for name in STATE)


def test_remove_local_asks_nobody(server: ProtocolServer, start: Start, root: Path) -> None:
    configure(start, server)
    runner = start("./config.sh", "remove", "--local", jit=False)
    assert runner.wait() == 0
    assert server.book.removals == []
    assert not [name for name in STATE if (root / name).exists()]
    assert "√ Removed .credentials" in runner.output


def test_remove_without_configuration_says_so(start: Start) -> None:
    runner = start("./config.sh", "remove", "--token", "any", jit=False)
    assert runner.wait() == 0
    assert "config files are missing" in runner.output
    assert "Does not exist. Skipping Removing .runner" in runner.output


def test_remove_fails_while_a_service_is_installed(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    configure(start, server)
    (root / ".service").write_text("actions.runner.acme.one.service\n", "utf-8")
    runner = start("./config.sh", "remove", "--token", REMOVE_TOKEN, jit=False)
    assert runner.wait() == 1
    assert "Uninstall service first" in runner.output


def test_service_script_names_the_unit_after_scope_and_runner(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    configure(start, server, "--name", "one", scope="acme/widgets")
    script = (root / "svc.sh").read_text("utf-8")
    assert 'unit="actions.runner.acme-widgets.one.service"' in script
    assert (root / "svc.sh").stat().st_mode & 0o111


def test_service_script_tells_that_nothing_is_installed(
    server: ProtocolServer, start: Start, root: Path, tmp_path: Path
) -> None:
    configure(start, server)
    runner = start("./svc.sh", "status", jit=False, STANDIN_UNIT_FOLDER=str(tmp_path))
    assert runner.wait() == 1
    assert "not installed" in runner.output or "Must run as sudo" in runner.output


def test_persistent_runner_goes_on_after_a_job(server: ProtocolServer, start: Start) -> None:
    configure(start, server)
    first, second = server.add_job("true"), server.add_job("false")
    runner = start(jit=False)
    runner.says("Job job-101 completed with result: Failed")
    assert list(server.book.completed) == [first, second]
    assert runner.process.poll() is None


def test_once_ends_a_persistent_runner_after_its_job_and_keeps_its_files(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    configure(start, server)
    server.add_job("true")
    runner = start("./run.sh", "--once", jit=False)
    assert runner.wait() == 0
    assert "'--once' is going to be deprecated" in runner.output
    assert all((root / name).exists() for name in STATE)


def test_ephemeral_runner_from_config_sh_wipes_its_files_after_one_job(
    server: ProtocolServer, start: Start, root: Path
) -> None:
    configure(start, server, "--ephemeral")
    server.add_job("true")
    assert start(jit=False).wait() == 0
    assert not [name for name in STATE if (root / name).exists()]


def test_check_says_pass_for_a_server_that_answers(server: ProtocolServer, start: Start) -> None:
    runner = start("./run.sh", "--check", "--url", f"{server.url}/acme", "--pat", "p", jit=False)
    assert runner.wait() == 0
    assert "P A S S" in runner.output
