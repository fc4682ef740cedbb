"""Which host of a round moves on: the limit holds whatever the fleet looks like, and all come
through."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.rolling import Place, Rules, Step, Turn, forecast, limiting_key, next_steps
from tests.factories import NOW

CONFIRM = Rules("confirm", 30, 25)
REBOOT = Rules("reboot", 30, 25)
MINUTES = Rules("minutes", 30, 25)


def place(number, slots=1, keys=("x64",), **facts):
    return Place(number, f"forge-{number:02d}", slots, frozenset(keys), **facts)


def steps(rules, turns, places, now=NOW):
    return [(step.host_id, step.to) for step in next_steps(rules, turns, places, now)]


def test_as_many_go_as_the_share_allows():
    places = [place(n) for n in range(8)]

    assert steps(CONFIRM, [Turn(n) for n in range(8)], places) == [
        (0, "draining"),
        (1, "draining"),
        *((n, "waiting") for n in range(2, 8)),
    ]


def test_a_lone_host_goes_when_nothing_else_is_out():
    assert steps(CONFIRM, [Turn(1)], [place(1)]) == [(1, "draining")]


def test_a_lone_host_waits_while_another_of_its_label_is_out():
    places = [place(1), place(2, cordoned=True)]

    (step,) = next_steps(CONFIRM, [Turn(1)], places, NOW)

    assert (step.to, step.note) == ("waiting", "Waits: enough of x64 is out")


def test_a_silent_host_elsewhere_counts_as_out():
    places = [place(1), place(2), place(3), place(4, silent=True)]

    assert steps(CONFIRM, [Turn(1)], places) == [(1, "waiting")]


def test_the_scarcest_label_limits():
    places = [place(n) for n in range(8)]
    places[0] = place(0, keys=("x64", "gpu"))
    places[1] = place(1, keys=("x64", "gpu"), cordoned=True)

    assert limiting_key(50, places[0], places) == "gpu"


def test_a_host_that_is_cordoned_already_takes_nothing_away():
    places = [place(1, cordoned=True), place(2, cordoned=True)]

    assert steps(CONFIRM, [Turn(1), Turn(2)], places) == [(1, "draining"), (2, "draining")]


def test_a_drained_host_is_worked_on_once_no_slot_is_held():
    turn = Turn(1, "draining", NOW)

    assert steps(CONFIRM, [turn], [place(1, cordoned=True, held=1)]) == [(1, "draining")]
    assert steps(CONFIRM, [turn], [place(1, cordoned=True)]) == [(1, "acting")]


def test_a_host_that_fell_silent_while_draining_is_not_believed_to_be_empty():
    (step,) = next_steps(
        CONFIRM, [Turn(1, "draining", NOW)], [place(1, cordoned=True, silent=True)], NOW
    )

    assert step.to == "draining"
    assert "unknown" in step.note


def test_confirmed_work_ends_only_by_a_person():
    turn = Turn(1, "acting", NOW)

    assert steps(CONFIRM, [turn], [place(1, cordoned=True)], NOW + timedelta(days=9)) == []


def test_a_reboot_is_seen_by_the_boot_id():
    turn = Turn(1, "acting", NOW, boot_id="before")
    same = place(1, cordoned=True, boot_id="before")

    assert steps(REBOOT, [turn], [same]) == []
    assert steps(REBOOT, [turn], [replace(same, boot_id="after")]) == [(1, "done")]


def test_minutes_end_by_the_clock():
    turn = Turn(1, "acting", NOW)
    there = [place(1, cordoned=True)]

    assert steps(MINUTES, [turn], there, NOW + timedelta(minutes=29)) == []
    assert steps(MINUTES, [turn], there, NOW + timedelta(minutes=30)) == [(1, "done")]


@pytest.mark.parametrize("rules", [REBOOT, MINUTES])
def test_a_silent_host_is_never_done(rules):
    turn = Turn(1, "acting", NOW, boot_id="before")
    there = [place(1, cordoned=True, silent=True, boot_id="after")]

    assert steps(rules, [turn], there, NOW + timedelta(days=1)) == [(1, "acting")]


def test_a_host_somebody_uncordoned_is_theirs_again():
    assert steps(CONFIRM, [Turn(1, "acting", NOW)], [place(1)]) == [(1, "skipped")]


def test_a_retired_host_is_skipped():
    assert steps(CONFIRM, [Turn(1)], []) == [(1, "skipped")]


def test_a_host_out_in_another_round_waits():
    assert steps(CONFIRM, [Turn(1, elsewhere=True)], [place(1)]) == [(1, "waiting")]


def test_a_forecast_tells_the_waves_and_what_limits_them():
    places = [place(n) for n in range(4)] + [place(9, silent=True)]

    told = forecast(40, [0, 1, 2, 3, 9], places)

    assert told.waves == (("forge-00",), ("forge-01",), ("forge-02",), ("forge-03",))
    assert (told.limits, told.silent, told.at_once) == (("x64",), ("forge-09",), 1)


# Over every fleet

KEYS = ("x64", "arm64", "gpu", "big")
fleets = st.lists(
    st.builds(
        lambda slots, keys, cordoned, silent, held: place(
            0, slots, keys, cordoned=cordoned, silent=silent, held=held
        ),
        st.integers(1, 8),
        st.frozensets(st.sampled_from(KEYS), min_size=1),
        st.booleans(),
        st.booleans(),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
).map(lambda places: [replace(p, host_id=n, name=f"h{n}") for n, p in enumerate(places)])
percents = st.integers(1, 100)


def shares(places):
    """Slots of each key: all, and those out."""
    total: Counter[object] = Counter()
    out: Counter[object] = Counter()
    for each in places:
        for key in each.keys:
            total[key] += each.slots
            out[key] += each.slots if each.out else 0
    return total, out


def after(places, made):
    going = {step.host_id for step in made if step.to == "draining"}
    return [replace(p, cordoned=p.cordoned or p.host_id in going) for p in places]


@given(fleets, percents)
def test_no_step_takes_more_of_a_key_out_than_allowed_but_for_a_lone_host(places, percent):
    made = next_steps(Rules("confirm", 30, percent), [Turn(p.host_id) for p in places], places, NOW)

    standing = {p.host_id: p for p in places}
    for step in made:
        host = standing[step.host_id]
        if step.to != "draining" or host.out:
            continue
        _, before = shares(standing.values())
        standing[host.host_id] = replace(host, cordoned=True)
        total, out = shares(standing.values())
        lone = not any(before[key] for key in host.keys)
        assert lone or all(out[key] * 100 <= percent * total[key] for key in host.keys)


@given(fleets, percents)
def test_the_same_facts_give_the_same_steps(places, percent):
    rules = Rules("confirm", 30, percent)
    turns = [Turn(p.host_id) for p in places]

    assert next_steps(rules, turns, places, NOW) == next_steps(rules, turns, places[::-1], NOW)


@given(fleets, percents)
@settings(max_examples=60)
def test_every_host_is_done_in_the_end_when_none_stays_silent(places, percent):
    """Jobs end, machines restart, and hosts cordoned before stay so without holding others up
    that nobody put out."""
    places = {p.host_id: replace(p, silent=False, cordoned=False) for p in places}
    turns = {pk: Turn(pk) for pk in places}
    rules = Rules("minutes", 1, percent)
    now = NOW
    for _ in range(6 * len(places) + 6):
        now += timedelta(minutes=1)
        for step in next_steps(rules, list(turns.values()), places.values(), now):
            turns[step.host_id] = moved(turns[step.host_id], step, now)
            out = turns[step.host_id].step in ("draining", "acting")
            places[step.host_id] = replace(places[step.host_id], cordoned=out)
        places = {pk: replace(p, held=max(0, p.held - p.cordoned)) for pk, p in places.items()}

    assert {turn.step for turn in turns.values()} == {"done"}


def moved(turn, step: Step, now):
    at = turn.step_at if turn.step == step.to else now
    return replace(turn, step=step.to, step_at=at, note=step.note)
