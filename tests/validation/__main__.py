"""`python -m tests.validation`: auto-scaling tried against the simulator with real processes.

A pool of the default preset; ten dispatches in a minute; then nothing, until the idle runners have
left; then a job that comes upon no runner at all. Every interval is the product's own, and the five
minutes are waited for: about seven minutes. The verdict goes to `verdict.json` and `verdict.md`
under artifacts/validation; the exit code is 1 when it does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from runners.scaling import PRESETS, Presets
from tests.e2e.fleet import Fleet, running_fleet
from tests.e2e.watch import Watch, watching
from tests.installation import ROOT, wait_for
from tests.validation.verdict import (
    BURST_JOBS,
    BURST_SECONDS,
    LEAVE_SECONDS,
    START_SECONDS,
    Evidence,
    IdleSeen,
    JobSeen,
    as_json,
    as_text,
    judge,
)

HOSTS = ("forge-01", "forge-02")
SLOTS = 4
WARM_SPARES = 2
LABELS = ["self-hosted", "linux", "x64"]
LOOK_SECONDS = 0.5
JOB_SECONDS = 5
PEOPLE = ("user", "command")
# Times over, so that a loaded machine ends in a verdict and not in a timeout of this program
PATIENCE = 3
# A fresh runner is never idle for too long before its grace is over
QUICK_TIMEOUT_SECONDS = 90


def main() -> int:
    """Run it and write the verdict."""
    parser = argparse.ArgumentParser(prog="python -m tests.validation", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"an idle timeout of {QUICK_TIMEOUT_SECONDS} s, set by hand: one criterion is not met",
    )
    parser.add_argument("--json", action="store_true", help="last line: the verdict's file")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "artifacts" / "validation", metavar="FOLDER"
    )
    parsed = parser.parse_args()
    began = time.time()
    with tempfile.TemporaryDirectory(prefix="fleetui-validation-") as folder:
        # Jobs run as users of their own, who must pass through
        Path(folder).chmod(0o755)
        url = f"sqlite:///{Path(folder) / 'fleet.sqlite3'}"
        with running_fleet(Path(folder), url, quick=False) as fleet:
            seen = validate(fleet, timeout=QUICK_TIMEOUT_SECONDS if parsed.quick else None)
    verdict, ended = judge(seen), time.time()
    parsed.out.mkdir(parents=True, exist_ok=True)
    told = as_json(verdict, seen, began=began, ended=ended)
    text = as_text(verdict, seen, began=began, ended=ended)
    (parsed.out / "verdict.json").write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
    (parsed.out / "verdict.md").write_text(text)
    say(text)
    if parsed.json:
        say(json.dumps(told, sort_keys=True))
    return int(not verdict.holds)


def validate(fleet: Fleet, *, timeout: int | None) -> Evidence:
    """Try everything in turn and tell what was seen; what does not happen is told, too."""
    fleet.connect_webhook()
    for host in HOSTS:
        fleet.start_agent(host, code=fleet.enrolment_code(site="here"), slots=SLOTS)
    wait_for("both hosts online", lambda: fleet.host_states() == ["online"] * len(HOSTS))

    before = last_event(fleet)
    fleet.manage("apply", "-", stdin=pool_file(timeout))
    set_up, begin = people_since(fleet, before), last_event(fleet)
    policy = fleet.manage_json("pools", "show", "ci")["policy"]
    preset = Presets(policy["preset"])
    chosen = policy.get("idle_timeout_seconds")  # left out: the preset decides
    in_force = PRESETS[preset].idle_timeout_seconds if chosen is None else chosen

    with watching(fleet, seconds=LOOK_SECONDS) as watch:
        burst = dispatch(fleet)
        burst_runners = len(watch.seen())
        say(f"{len(burst)} jobs over; {burst_runners} runners so far")
        idle = leave(watch, in_force)
        hosts_left = clean(fleet)
        say(f"{len(idle)} idle runners were left to leave; on the hosts: {hosts_left or 'nothing'}")
        runners_before = len(fleet.github_runners())
        fresh = finish(fleet, "fresh", time.time(), queue(fleet, "fresh"))
        wait_for("a look at its runner", lambda: fresh.runner in names(watch) or not fresh.runner)
        online_at = watch.find(fresh.runner).online_at if fresh.runner else None
    return Evidence(
        preset=preset.value,
        idle_timeout_seconds=in_force,
        timeout_is_the_presets=chosen is None,
        set_up_actions=set_up,
        burst=burst,
        burst_runners=burst_runners,
        warm_spares=WARM_SPARES,
        idle=idle,
        hosts_left=hosts_left,
        runners_before=runners_before,
        fresh=fresh,
        fresh_online_at=online_at,
        operator_actions=people_since(fleet, begin),
    )


def pool_file(timeout: int | None) -> str:
    """The one thing a person does."""
    lines = [
        "[[pool]]",
        'name = "ci"',
        'scope = "acme"',
        f"labels = {json.dumps(LABELS)}",
        f"warm_spares = {WARM_SPARES}",
        f"max_runners = {SLOTS * len(HOSTS)}",
    ]
    if timeout is not None:
        lines.append(f"idle_timeout_seconds = {timeout}")
    return "\n".join(lines) + "\n"


def dispatch(fleet: Fleet) -> list[JobSeen]:
    """Queue the jobs evenly within the minute and see each to its end."""
    began = time.time()
    jobs = []
    for number in range(BURST_JOBS):
        due = began + number * (BURST_SECONDS - 5) / BURST_JOBS
        time.sleep(max(0.0, due - time.time()))
        jobs.append((f"job-{number}", time.time(), queue(fleet, f"job-{number}")))
    return [finish(fleet, *each) for each in jobs]


def queue(fleet: Fleet, name: str) -> int:
    return fleet.queue_job(name, f"echo {name}; sleep {JOB_SECONDS}", labels=LABELS)


def finish(fleet: Fleet, name: str, queued_at: float, job: int) -> JobSeen:
    """Wait for the job's end, however it ends, and not for ever."""
    with suppress(AssertionError):
        wait_for(
            f"the end of {name}",
            lambda: fleet.github_job(job)["status"] == "completed",
            seconds=PATIENCE * START_SECONDS,
        )
    told = fleet.github_job(job)
    done = told["completed_at"]
    return JobSeen(
        name=name,
        queued_at=queued_at,
        completed_at=datetime.fromisoformat(done).timestamp() if done else None,
        conclusion=told["conclusion"] or "",
        runner=told["runner_name"] or "",
    )


def leave(watch: Watch, timeout: int) -> list[IdleSeen]:
    """Leave the fleet alone until GitHub has no runner any more, or far too long."""
    with suppress(AssertionError):
        wait_for("idle runners", lambda: len(watch.idle()) >= WARM_SPARES, seconds=START_SECONDS)
    idle = watch.idle()
    with suppress(AssertionError):
        wait_for(
            "no runner at GitHub",
            lambda: not watch.present(),
            seconds=timeout + PATIENCE * LEAVE_SECONDS,
        )
    return [IdleSeen(each.name, each.online_at or 0.0, each.gone_at) for each in idle]


def clean(fleet: Fleet) -> list[str]:
    """What is left on the hosts a minute later, or nothing as soon as that is so."""
    with suppress(AssertionError):
        wait_for("clean hosts", lambda: not left(fleet), seconds=LEAVE_SECONDS)
    return left(fleet)


def left(fleet: Fleet) -> list[str]:
    found = [
        f"process {process.pid} of {host}"
        for host in HOSTS
        for process in fleet.runner_processes(host)
    ]
    found += [path for host in HOSTS for path in fleet.leftovers(host)]
    slots = fleet.installation.rows("SELECT name FROM runners_runner WHERE slot IS NOT NULL")
    return found + [f"slot of {row[0]}" for row in slots]


def names(watch: Watch) -> set[str]:
    return {each.name for each in watch.seen()}


def last_event(fleet: Fleet) -> int:
    return int(fleet.installation.rows("SELECT COALESCE(MAX(id), 0) FROM runners_event")[0][0])


def people_since(fleet: Fleet, event: int) -> list[str]:
    """What people did after that event: what the overview counts as manual actions."""
    rows = fleet.installation.rows("SELECT id, actor_kind, action FROM runners_event ORDER BY id")
    return [action for number, kind, action in rows if number > event and kind in PEOPLE]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
