"""`manage.py demo` as a newcomer meets it: real processes, twice on the same folder."""

import fcntl
import re
import signal
import socket
from contextlib import closing

import psutil
import pytest
import requests

from fleetui.env import CONFIGURATION_EXIT_CODE
from tests.installation import Installation, RunningCommand, free_port, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture
def demo(installation: Installation) -> Installation:
    installation.variables["SIM_PORT"] = str(free_port())
    return installation


def finished_jobs(installation: Installation) -> int:
    sql = "SELECT count(*) FROM runners_job WHERE status='completed' AND conclusion='success'"
    count: int = installation.rows(sql)[0][0]
    return count


def wrecks(installation: Installation) -> list[tuple[str, str]]:
    """Runners that did not end as they should; what a busy machine is late with is not one."""
    return installation.rows(
        "SELECT name, failure_cause FROM runners_runner "
        "WHERE failure_cause NOT IN ('', 'start-deadline', 'host-lost')"
    )


def host_ids(installation: Installation) -> list[tuple[int, str]]:
    return installation.rows("SELECT id, name FROM runners_host ORDER BY name")


def processes_of(installation: Installation) -> list[psutil.Process]:
    """Everything on the machine whose command line or folder is this demonstration's."""
    folder = str(installation.data_dir)
    found = []
    for process in psutil.process_iter():
        try:
            if any(folder in text for text in (*process.cmdline(), process.cwd())):
                found.append(process)
        except psutil.Error:
            continue
    return found


def interrupt(command: RunningCommand) -> int:
    command.process.send_signal(signal.SIGINT)
    return command.process.wait(timeout=90)


def sign_in(installation: Installation, output: str) -> requests.Response:
    """Follow what the terminal says, as a person would."""
    said = re.search(r"Sign in +(\S+) / (\S+)", output)
    assert said
    with closing(requests.Session()) as browser:
        login = browser.get(f"{installation.base_url}/", timeout=10)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', login.text)
        assert token
        fields = {"username": said[1], "password": said[2], "csrfmiddlewaretoken": token[1]}
        return browser.post(login.url, data=fields, headers={"Referer": login.url}, timeout=10)


def test_demo_shows_a_living_fleet_and_ends_whole_and_resumes(demo: Installation):
    with demo.running("demo") as command:
        wait_for("the invitation", lambda: "Sign in" in command.output(), seconds=90)
        page = sign_in(demo, command.output())
        assert page.status_code == 200
        assert page.url == f"{demo.base_url}/"
        wait_for("three hosts", lambda: "Three hosts report" in command.output(), seconds=90)
        wait_for("a finished job", lambda: finished_jobs(demo), seconds=180)

        assert interrupt(command) == 0
        assert processes_of(demo) == []

    hosts, jobs = host_ids(demo), finished_jobs(demo)
    with demo.running("demo") as command:
        wait_for("another finished job", lambda: finished_jobs(demo) > jobs, seconds=180)

        assert interrupt(command) == 0
        assert processes_of(demo) == []
    assert host_ids(demo) == hosts
    assert wrecks(demo) == []


def test_one_port_for_both_is_refused(demo: Installation):
    refused = demo.manage("demo", SIM_PORT=str(demo.port))

    assert refused.returncode == CONFIGURATION_EXIT_CODE
    assert refused.stderr == (
        f"CommandError: SIM_PORT: {demo.port} is PORT, too; set one of them to another port.\n"
    )


@pytest.mark.parametrize("name", ["PORT", "SIM_PORT"])
def test_demo_names_the_port_that_is_taken(demo: Installation, name: str):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]

        refused = demo.manage("demo", **{name: str(port)})

    assert refused.returncode == 1
    assert refused.stderr == f"CommandError: Port {port} is taken: set {name} to another one.\n"


def test_second_demo_in_the_same_folder_is_refused(demo: Installation):
    lock = demo.data_dir / "demo" / "lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        refused = demo.manage("demo")

    assert refused.returncode == 1
    assert "A demonstration runs in this DATA_DIR already" in refused.stderr
