"""Real processes, a real database and a GitHub behind a socket: SIGKILL in the middle of a step.

The sample is every call to GitHub, before it is sent and after it was answered, and every commit;
`test_matrix` has all boundaries, with an exception for the signal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fleet import Fleet
from tests.installation import ROOT, Installation, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
PASSES = 3


class Victim:
    """Steps of web and worker, each in a process of its own."""

    def __init__(self, fleet: Fleet, process: subprocess.Popen[str]) -> None:
        self.fleet = fleet
        self.process = process

    def do(self, act: str, *arguments: object, end_at: int | None = None) -> dict[str, Any]:
        """One step; fails the test when it ends otherwise than it should."""
        assert self.process.stdin
        assert self.process.stdout
        asked = {"act": act, "arguments": arguments, "end_at": end_at}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert told["killed"] or told["status"] == 0, f"{act} failed: see victim.log"
        return told

    def row(self, pk: int) -> tuple[Any, ...]:
        """A runner's state, GitHub's id and name."""
        sql = f"SELECT state, github_id, name FROM runners_runner WHERE id={int(pk)}"  # noqa: S608
        return self.fleet.installation.rows(sql)[0]

    def ids_at_github(self, name: str) -> list[int]:
        return [there["id"] for there in self.fleet.github_runners() if there["name"] == name]


@pytest.fixture
def victim(installation: Installation, tmp_path: Path) -> Iterator[Victim]:
    token = f"ghp_{os.urandom(18).hex()}"
    fleet = Fleet(tmp_path, installation, sim_port=free_port(), token=token)
    log = tmp_path / "victim.log"
    try:
        fleet.start_simulator()
        installation.migrate()
        fleet.connect_github()
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [sys.executable, "-m", "tests.crash.victim"],
                cwd=ROOT,
                env=installation.environment({"DJANGO_SETTINGS_MODULE": "fleetui.settings"}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            victim = Victim(fleet, process)
            victim.do("add_host")
            victim.do("reconcile")
            yield victim
            assert process.stdin
            process.stdin.close()
    except BaseException:
        print(log.read_text() if log.exists() else "", fleet.logs())  # noqa: T201 - pytest shows it
        raise
    finally:
        fleet.stop()


@contextmanager
def naming(boundary: str) -> Iterator[None]:
    """Let a failure say where the process had ended."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"ended {boundary}")
        raise


def at_every_boundary(
    victim: Victim,
    prepare: Callable[[], tuple[object, ...]],
    act: str,
    check: Callable[..., None],
) -> list[str]:
    """End `act` at each of its boundaries in turn, each time after a fresh `prepare`."""
    boundaries: list[str] = victim.do(act, *prepare())["passed"]
    assert any("GitHub" in boundary for boundary in boundaries)
    for number, boundary in enumerate(boundaries):
        arguments = prepare()
        with naming(boundary):
            assert victim.do(act, *arguments, end_at=number)["killed"]
            victim.do("leases_pass")
            check(*arguments)
    return boundaries


def test_jit_config_cut_off_anywhere_leaves_one_registration(victim: Victim, record_property):
    def prepare() -> tuple[int]:
        return (victim.do("provision", True)["answer"],)

    def check(pk: int) -> None:
        victim.do("secret", pk)  # the agent, which got no answer, asks again
        _, github_id, name = victim.row(pk)
        assert victim.ids_at_github(name) == [github_id]

    ended = at_every_boundary(victim, prepare, "secret", check)
    record_property("ends tried", len(ended))
    record_property("ends recovered from", len(ended))


def test_registration_token_cut_off_anywhere_is_asked_for_again(victim: Victim, record_property):
    def prepare() -> tuple[int]:
        return (victim.do("provision", False)["answer"],)

    def check(pk: int) -> None:
        victim.do("secret", pk)
        state, github_id, name = victim.row(pk)
        assert (state, github_id, victim.ids_at_github(name)) == ("provisioning", None, [])

    ended = at_every_boundary(victim, prepare, "secret", check)
    record_property("ends tried", len(ended))
    record_property("ends recovered from", len(ended))


def test_pass_cut_off_anywhere_ends_a_drain_all_the_same(victim: Victim, record_property):
    pks: list[int] = []

    def prepare() -> tuple[()]:
        pks.append(victim.do("provision", True)["answer"])
        victim.do("secret", pks[-1])
        victim.do("tell", pks[-1], "listening")
        victim.do("drain", pks[-1])
        return ()

    def check() -> None:
        pk = pks[-1]
        for _ in range(PASSES):
            victim.do("reconcile")
            victim.do("tell", pk, "gone")
        state, _, name = victim.row(pk)
        assert (state, victim.ids_at_github(name)) == ("removed", [])
        sql = f"SELECT count(*) FROM runners_event WHERE object_id={int(pk)} GROUP BY action"  # noqa: S608
        told = {row[0] for row in victim.fleet.installation.rows(sql)}
        assert told == {1}, "something was told twice"

    ended = at_every_boundary(victim, prepare, "reconcile", check)
    record_property("ends tried", len(ended))
    record_property("ends recovered from", len(ended))
    assert any("DELETE" in boundary for boundary in ended)


def test_look_at_the_jobs_cut_off_anywhere_finds_them_all_the_same(victim: Victim, record_property):
    jobs: list[int] = []

    def prepare() -> tuple[()]:
        name = f"job-{len(jobs)}"
        jobs.append(victim.fleet.queue_job(name, "true", labels=["self-hosted"]))
        return ()

    def check() -> None:
        victim.do("poll_jobs")
        found = victim.fleet.installation.rows("SELECT github_id FROM runners_job")
        assert sorted(row[0] for row in found) == sorted(jobs)

    ended = at_every_boundary(victim, prepare, "poll_jobs", check)
    record_property("ends tried", len(ended))
    record_property("ends recovered from", len(ended))
