"""What a drain would mean, said before anybody confirms it: jobs that go on, labels left bare.

Read only; two queries however many runners.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runners.models import Runner
from runners.states import HostState, is_busy


def counted(number: int, noun: str) -> str:
    """1 runner, 2 runners."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def busy_among(runners: Sequence[Runner], now: datetime) -> int:
    """How many of them (with their hosts loaded) work, as the host or GitHub says."""
    return sum(is_busy(runner.facts_at(now)) for runner in runners)


def what_goes_on(runners: Sequence[Runner], now: datetime) -> str:
    """The jobs on these runners, in words."""
    busy = busy_among(runners, now)
    if not busy:
        return "None of them runs a job."
    if busy == 1:
        return "1 of them runs a job, which goes on."
    return f"{busy} of them run jobs, which go on."


def labels_left_bare(runners: Sequence[Runner]) -> str:
    """The labels that no runner serves without these, in words; "" for none."""
    bare = Runner.objects.labels_only_on([runner.pk for runner in runners])
    return f"No runner is left for {', '.join(bare)}." if bare else ""


def host_words(names: Sequence[str], runners: Sequence[Runner], now: datetime) -> str:
    """What draining these hosts, with these runners on them, comes to."""
    ends = (
        "Their runners leave GitHub, none start there until you uncordon them."
        if len(names) > 1
        else "Its runners leave GitHub, none start here until you uncordon it."
    )
    has = "It has" if len(names) == 1 else "They have"
    cordoned = "It is cordoned." if len(names) == 1 else "They are cordoned."
    if not runners:
        return f"{cordoned} {has} no runner now. None start there until somebody uncordons."
    silent = sorted(
        {runner.host.name for runner in runners if runner.host.state_at(now) == HostState.OFFLINE}
    )
    unknown = f"Silent, so what runs there is unknown: {', '.join(silent)}." if silent else ""
    parts = [
        cordoned,
        f"{has} {counted(len(runners), 'runner')}.",
        what_goes_on(runners, now),
        labels_left_bare(runners),
        unknown,
        ends,
    ]
    return " ".join(part for part in parts if part)
