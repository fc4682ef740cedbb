"""Which host of a maintenance round moves on now: pure arithmetic over turns and the whole fleet.

No ORM, no clock, no I/O: the worker's beat and the preview of a round call the same functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

WAITING: Final = "waiting"
DRAINING: Final = "draining"
ACTING: Final = "acting"
DONE: Final = "done"
SKIPPED: Final = "skipped"
OUT: Final = (DRAINING, ACTING)


@dataclass(frozen=True, slots=True)
class Place:
    """A host in service: its slots, and the keys (labels, architecture) it serves.

    `cordoned` and `silent` are why it takes no job now; `held` counts the slots runners hold.
    """

    host_id: int
    name: str
    slots: int
    keys: frozenset[str]
    cordoned: bool = False
    silent: bool = False
    held: int = 0
    boot_id: str = ""

    @property
    def out(self) -> bool:
        return self.cordoned or self.silent


@dataclass(frozen=True, slots=True)
class Turn:
    """A host's turn: its step, since when, the boot it was taken out in, and what is noted."""

    host_id: int
    step: str = WAITING
    step_at: datetime | None = None
    boot_id: str = ""
    note: str = ""
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the round: act is confirm, reboot or minutes; `percent_out` is 1 to 100."""

    act: str
    minutes: int
    percent_out: int


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one turn; the same step as before means only the note changed."""

    host_id: int
    to: str
    note: str = ""


def next_steps(
    rules: Rules, turns: Sequence[Turn], places: Iterable[Place], now: datetime
) -> tuple[Step, ...]:
    """Return what moves now, in the order of the turns; a turn that stays as it is, is left out.

    A host goes out only while every key it serves keeps at least 100 - `percent_out` percent of
    its slots, hosts cordoned or silent counted as out; a host alone may always go when nothing
    else of its keys is out. A silent host is never counted as done.
    """
    by_id = {place.host_id: place for place in places}
    steps: list[Step] = []
    for turn in turns:
        place = by_id.get(turn.host_id)
        if turn.step in (DONE, SKIPPED):
            continue
        if place is None:
            step = Step(turn.host_id, SKIPPED, "It was retired")
        elif turn.step in OUT:
            step = _out(rules, turn, place, now)
        else:
            step = _waiting(rules, turn, place, by_id)
            if step.to == DRAINING:
                by_id[place.host_id] = replace(place, cordoned=True)
        if (step.to, step.note) != (turn.step, turn.note):
            steps.append(step)
    return tuple(steps)


def _out(rules: Rules, turn: Turn, place: Place, now: datetime) -> Step:
    """Where a host that is out goes on to; it is back in the count from the next beat on."""
    if not place.cordoned:
        return Step(turn.host_id, SKIPPED, "Somebody uncordoned it meanwhile")
    if turn.step == DRAINING:
        if place.silent:
            return Step(turn.host_id, DRAINING, "Silent: whether jobs still run is unknown")
        if place.held:
            return Step(turn.host_id, DRAINING, f"{_runners(place.held)} left")
        return Step(turn.host_id, ACTING)
    if place.silent:
        return Step(turn.host_id, ACTING, "Silent: waits until it is back")
    if rules.act == "reboot" and place.boot_id and place.boot_id != turn.boot_id:
        return Step(turn.host_id, DONE)
    over = turn.step_at is not None and now >= turn.step_at + timedelta(minutes=rules.minutes)
    if rules.act == "minutes" and over:
        return Step(turn.host_id, DONE)
    return Step(turn.host_id, ACTING)


def _waiting(rules: Rules, turn: Turn, place: Place, by_id: Mapping[int, Place]) -> Step:
    if turn.elsewhere:
        return Step(turn.host_id, WAITING, "Out in another round")
    if place.silent:
        return Step(turn.host_id, WAITING, "Silent: waits until it is back")
    key = limiting_key(rules.percent_out, place, by_id.values())
    if key:
        return Step(turn.host_id, WAITING, f"Waits: enough of {key} is out"[:200])
    return Step(turn.host_id, DRAINING)


def limiting_key(percent_out: int, place: Place, places: Iterable[Place]) -> str:
    """The first key, by name, of which too much would be out with this host; "" when it may go."""
    if place.out:
        return ""  # what is out already takes nothing away
    total: Counter[str] = Counter()
    out: Counter[str] = Counter()
    for other in places:
        for key in place.keys & other.keys:
            total[key] += other.slots
            if other.out:
                out[key] += other.slots
    if not out:
        return ""
    for key in sorted(place.keys):
        if (out[key] + place.slots) * 100 > percent_out * total[key]:
            return key
    return ""


def _runners(count: int) -> str:
    return f"{count} runner{'s' if count != 1 else ''}"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a round would do: the hosts of each wave if each took as long, and what holds it up."""

    waves: tuple[tuple[str, ...], ...]
    limits: tuple[str, ...]
    silent: tuple[str, ...]

    @property
    def at_once(self) -> int:
        """The most hosts out at a time."""
        return max((len(wave) for wave in self.waves), default=0)


def forecast(percent_out: int, host_ids: Sequence[int], places: Iterable[Place]) -> Forecast:
    """Play the round through, every host taking equally long."""
    by_id = {place.host_id: place for place in places}
    left = [by_id[pk] for pk in host_ids if pk in by_id]
    silent = tuple(place.name for place in left if place.silent)
    left = [place for place in left if not place.silent]
    waves: list[tuple[str, ...]] = []
    limits: set[str] = set()
    while left:
        standing = dict(by_id)
        wave: list[Place] = []
        for place in left:
            key = limiting_key(percent_out, place, standing.values())
            if key:
                limits.add(key)
                continue
            wave.append(place)
            standing[place.host_id] = replace(place, cordoned=True)
        if not wave:
            break
        waves.append(tuple(place.name for place in wave))
        left = [place for place in left if place not in wave]
    return Forecast(tuple(waves), tuple(sorted(limits)), silent)
