"""Completion as bash does it: what it offers after what was typed."""

import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")

ASK = """
source /dev/stdin
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_fleetui
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def offered(manage):
    script = manage("completion").out

    def offered(*typed: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-c", ASK, "bash", *typed],
            input=script,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.split()

    return offered


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (("manage.py", "dr"), ["drain", "drain_host", "drift"]),
        ((".venv/bin/python", "./manage.py", "uncor"), ["uncordon"]),
        (("manage.py", "drain", "--"), ["--deadline-minutes", "--help"]),
        (("manage.py", "drift", "fix", "--k"), ["--kind"]),
        (("manage.py", "add_credential", "acme", "--kind", ""), ["token", "app"]),
        (("manage.py", "release", "r"), ["runner"]),
        (("manage.py", "drain", "drift", "--d"), ["--deadline-minutes"]),
    ],
    ids=" ".join,
)
def test_what_may_follow_is_offered(offered, typed, found):
    assert offered(*typed)[: len(found)] == found


@pytest.mark.parametrize("typed", [("python", "else.py", ""), ("manage.py", "drain", "--scope")])
def test_what_may_not_follow_is_not_offered(offered, typed):
    assert offered(*typed) == []
