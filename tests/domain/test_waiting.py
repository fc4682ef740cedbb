"""Why a job waits: every verdict of the plan in one sentence with one fix."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners.scaling import Blocked, Code, Demand, Facts, Held, ScopeView, Verdict
from runners.waiting import UNROUTABLE, Seen, cancelled_at, code_of, picture_is_old, reason
from tests.factories import NOW

SCOPE = ScopeView(1, "organization", "acme")
SOON = NOW + timedelta(seconds=30)
TOMORROW = NOW + timedelta(days=1)


def demand(labels=("linux", "x64"), jobs=1, waited=5):
    at = NOW - timedelta(seconds=waited)
    return Demand(SCOPE, "acme/web", frozenset(labels), tuple(range(jobs)), (at,) * jobs)


def say(code, *, pool_id=7, free_at=None, labels=("linux", "x64"), waited=5, **facts):
    counts = {name: facts.pop(name) for name in ("ready", "starting", "planned") if name in facts}
    made = Verdict(
        demand(labels, waited=waited), code, pool_id, facts=Facts(**facts), left=1, **counts
    )
    seen = Seen(NOW, {7: "linux-x64"}, {7: free_at} if free_at else {})
    return reason(made, code, seen=seen)


def held(code, words, until=None):
    return {"held": Held(code, words, until)}


@pytest.mark.parametrize(
    ("made", "state", "cause", "fix"),
    [
        (
            say(Code.NOT_OURS, pool_id=None, labels=("ubuntu-latest",)),
            "info",
            "It asks for GitHub's own runners (ubuntu-latest), not ours.",
            "Nothing to do here. To run it on your machines, change runs-on to the labels of a "
            "pool.",
        ),
        (
            say(Code.RUNNING),
            "running",
            "A runner works on it; GitHub has not said so yet.",
            "",
        ),
        (
            say(Code.READY, ready=1),
            "starting",
            "1 idle runner matches. GitHub usually assigns within 10 s.",
            "",
        ),
        (
            say(Code.READY, ready=3),
            "starting",
            "3 idle runners match. GitHub usually assigns within 10 s.",
            "",
        ),
        (
            say(Code.READY, ready=1, waited=61),
            "queued",
            "1 idle runner matches, yet GitHub has not assigned the job.",
            "Check that the runner group of linux-x64 lets acme/web in.",
        ),
        (
            say(Code.STARTING, starting=1, since=NOW - timedelta(seconds=20)),
            "starting",
            "A runner of linux-x64 is starting since 11:59:40 UTC.",
            "",
        ),
        (
            say(Code.STARTING, starting=2, pool_id=None),
            "starting",
            "2 runners are starting.",
            "",
        ),
        (say(Code.PLANNED, planned=1), "starting", "linux-x64 starts a runner for it now.", ""),
        (
            say(Code.PLANNED, planned=2),
            "starting",
            "linux-x64 starts 2 runners for these jobs now.",
            "",
        ),
        (
            say(Code.NO_POOL, missing=("gpu",), labels=("linux", "gpu")),
            "failed",
            "No pool carries the label gpu beside linux; the nearest, linux-x64, lacks it.",
            "Add gpu to linux-x64, make a pool with it, or change runs-on.",
        ),
        (
            say(Code.NO_POOL, missing=("a", "b"), labels=("linux", "a", "b")),
            "failed",
            "No pool carries the labels a and b beside linux; the nearest, linux-x64, lacks them.",
            "Add a and b to linux-x64, make a pool with it, or change runs-on.",
        ),
        (
            say(Code.NO_POOL, pool_id=None, missing=("gpu", "linux"), labels=("linux", "gpu")),
            "failed",
            "No pool carries gpu and linux.",
            "Make a pool with these labels, or change runs-on.",
        ),
        (
            say(Code.WRONG_SCOPE),
            "failed",
            "linux-x64 carries its labels but registers where acme/web can't reach it.",
            "Make a pool in the scope acme, or connect one above it.",
        ),
        (
            say(Code.REPOSITORY_REFUSED),
            "failed",
            "linux-x64 carries its labels but does not admit acme/web.",
            "Add acme/web to the repositories of linux-x64, or change runs-on.",
        ),
        (
            say(Code.HELD, **held(Blocked.PAUSED, "paused, driver update", TOMORROW)),
            "cordoned",
            "linux-x64: paused, driver update until 2026-11-24 12:00 UTC.",
            "Resume linux-x64 when it is ready.",
        ),
        (
            say(Code.HELD, **held(Blocked.QUARANTINED, "quarantined after 5 failures")),
            "failed",
            "linux-x64: quarantined after 5 failures.",
            "Look why its runners fail, mend that, and release linux-x64.",
        ),
        (
            say(Code.HELD, **held(Blocked.BACKING_OFF, "waiting until 12:00:30 after 4", SOON)),
            "late",
            "linux-x64: waiting until 12:00:30 after 4.",
            "It tries again by itself; its failed runners say why.",
        ),
        (
            say(Code.HELD, **held(Blocked.QUIESCED, "The fleet is quiesced: kernel.")),
            "cordoned",
            "The fleet is quiesced: kernel.",
            "Resume the fleet.",
        ),
        (
            say(Code.HELD, **held(Blocked.GITHUB_UNKNOWN, "GitHub can't be reached")),
            "late",
            "linux-x64: GitHub can't be reached.",
            "Check GitHub's status page and the credential.",
        ),
        (
            say(Code.HELD, **held(Blocked.BUDGET_SPENT, "GitHub's budget is spent", SOON)),
            "late",
            "linux-x64: GitHub's budget is spent until 12:00:30 UTC.",
            "Wait, or give the scope a credential with a larger budget.",
        ),
        (
            say(Code.HELD, **held(Blocked.VERSION_REFUSED, "GitHub refuses 2.300.0")),
            "failed",
            "linux-x64: GitHub refuses 2.300.0.",
            "Wait for GitHub's next runner release, or update the package.",
        ),
        (
            say(Code.BELOW_TRIGGER, jobs=1, limit=5, until=SOON),
            "queued",
            "linux-x64 starts runners once 5 jobs wait, at the latest at 12:00:30 UTC; "
            "1 job waits now.",
            "Choose a quicker preset or a smaller number for linux-x64.",
        ),
        (
            say(Code.COOLDOWN, until=SOON),
            "queued",
            "linux-x64 started runners a moment ago and starts more from 12:00:30 UTC on.",
            "Shorten the cooldown of linux-x64 to start sooner.",
        ),
        (
            say(Code.STEP, limit=4),
            "queued",
            "linux-x64 starts no more than 4 runners at a time; the next follow.",
            "Raise the step of linux-x64 to start more at once.",
        ),
        (
            say(Code.AT_MAX, jobs=4, limit=4, busy=4, free_at=NOW + timedelta(minutes=4)),
            "queued",
            "All 4 runners that linux-x64 may have are busy; the next is free in about 4 min.",
            "Wait, or raise the maximum of linux-x64.",
        ),
        (
            say(Code.AT_MAX, jobs=1, limit=1, busy=1, free_at=NOW - timedelta(minutes=4)),
            "queued",
            "The one runner that linux-x64 may have is busy; the next should be free any moment.",
            "Wait, or raise the maximum of linux-x64.",
        ),
        (
            say(Code.AT_MAX, jobs=4, limit=4, busy=2),
            "queued",
            "linux-x64 has 4 runners, 2 of them busy, and may have no more.",
            "Wait, or raise the maximum of linux-x64.",
        ),
        (
            say(Code.CLOSED, until=TOMORROW),
            "cordoned",
            "linux-x64 may have no runners in these hours until 2026-11-24 12:00 UTC.",
            "Wait, or change the schedule of linux-x64.",
        ),
        (
            say(
                Code.HOSTS_FULL,
                limit=2,
                hosts=(("forge-02", "cordoned: disk"), ("reed-01", "arm64, not x64")),
            ),
            "queued",
            "All 2 hosts that take runners of linux-x64 have no room left. Closed are forge-02 "
            "(cordoned: disk).",
            "Wait, give a host more slots, or add one.",
        ),
        (
            say(Code.HOSTS_FULL, limit=1, free_at=NOW + timedelta(seconds=20)),
            "queued",
            "The one host that takes runners of linux-x64 has no room left; the next is free in "
            "about 1 min.",
            "Wait, give a host more slots, or add one.",
        ),
        (
            say(Code.NO_HOST),
            "failed",
            "No host can serve linux-x64: none matches its policy.",
            "Add a host for it, or ask less of hosts in the policy of linux-x64.",
        ),
        (
            say(Code.NO_HOST, hosts=(("reed-01", "arm64, not x64"),)),
            "failed",
            "No host takes its runner now: reed-01 (arm64, not x64).",
            "Add a host that fits, or ask less of hosts in the policy of linux-x64.",
        ),
        (
            say(Code.PACED),
            "late",
            "The fleet has registered as many runners as it may within five minutes.",
            "Wait: it goes on by itself. Keep more runners idle to need fewer at once.",
        ),
        (
            say(Code.ALL_BUSY, pool_id=None, busy=1),
            "queued",
            "The one matching runner is busy, and no pool starts more.",
            "Wait, or make a pool with these labels.",
        ),
        (
            say(Code.ALL_BUSY, pool_id=None, busy=3),
            "queued",
            "All 3 matching runners are busy, and no pool starts more.",
            "Wait, or make a pool with these labels.",
        ),
        (
            say(Code.ALL_BUSY, pool_id=None),
            "failed",
            "Only runners without a pool match, and none of them is online.",
            "Bring them back, or make a pool with these labels.",
        ),
    ],
)
def test_every_verdict_has_its_sentence_and_its_fix(made, state, cause, fix):
    assert (made.state, made.cause, made.fix) == (state, cause, fix)


@pytest.mark.parametrize(
    ("why", "fix"),
    [
        ("cordoned: disk", "Uncordon forge-02 once its work is done."),
        ("its heartbeat is late", "Bring forge-02 back: power, network, agent."),
        ("quarantined after 5 failures in a row", "Look why runners fail on forge-02, then"),
        ("its last 3 runners failed, trying again", "Wait, or look why runners fail on forge-02."),
        ("not connected yet", "Start the agent on forge-02."),
    ],
)
def test_a_closed_host_is_named_with_what_opens_it(why, fix):
    made = say(Code.NO_HOST, hosts=(("reed-01", "arm64, not x64"), ("forge-02", why)))

    assert made.cause.endswith(f"reed-01 (arm64, not x64), forge-02 ({why}).")
    assert made.fix.startswith(fix)


@pytest.mark.parametrize("code", list(Code))
def test_no_verdict_is_without_words(code):
    made = say(code, **held(Blocked.PAUSED, "paused"))

    assert made.code == code
    assert made.cause.endswith(".")
    assert (made.pool, bool(made.fix) or made.state in ("starting", "running")) == (
        "linux-x64",
        True,
    )


def test_the_jobs_of_a_group_fare_by_their_age():
    made = Verdict(
        demand(jobs=6), Code.AT_MAX, 7, running=1, ready=2, starting=0, planned=1, left=2
    )

    assert [code_of(made, place) for place in range(6)] == [
        Code.RUNNING,
        Code.READY,
        Code.READY,
        Code.PLANNED,
        Code.AT_MAX,
        Code.AT_MAX,
    ]


def test_what_no_waiting_changes_is_unroutable():
    assert {Code.NO_POOL, Code.WRONG_SCOPE, Code.REPOSITORY_REFUSED} == UNROUTABLE


def test_a_picture_says_since_when_it_is_old():
    assert "since 2026-11-23 12:00:00 UTC" in picture_is_old(NOW).cause
    assert "not been looked at yet" in picture_is_old(None).cause


def test_github_cancels_after_a_day():
    assert cancelled_at(NOW) == TOMORROW
