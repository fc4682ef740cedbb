"""Golden numbers: three traces worked out by hand, and what must hold of every account."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners import costs, price_list
from runners.costs import Account, Baseline, Machine, Rates, Usage, machine_cost

LIST = price_list.shipped()
SKUS = {price.sku: price for price in LIST.prices}
RATES = Rates(D("0.30"), D(0), LIST.cloud_per_core_hour, LIST.prices)
MONTH = D(730)

MACHINE = Machine(
    name="forge-01",
    architecture="x64",
    slots=4,
    cores=32,
    purchase=D(3600),
    months=36,
    watts_idle=D(100),
    watts_busy=D(200),
    rack_a_month=D(20),
    hands_a_month=D("47.15"),
)
"""Half used over a month of 730 h: 100 hardware, 150 W x 730 h x 0.30 = 32.85, 20, 47.15: 200."""
HALF = D(730 * 3600 * 4) / 2


def cost(machine=MACHINE, seconds=HALF, hours=MONTH):
    return machine_cost(machine, hours=hours, job_seconds=D(seconds), per_kwh=RATES.per_kwh)


def usage(minutes=20_000, seconds=HALF, **facts):
    return Usage(
        **{
            "architecture": "x64",
            "pool": "linux-x64",
            "repository": "acme/web",
            "jobs": 1000,
            "seconds": D(seconds),
            "minutes": minutes,
            **facts,
        }
    )


def account(*usages, machines=None, sku="linux-x64-8", arm="linux-arm64-8", rates=RATES):
    pools = {each.pool for each in usages}
    return Account(
        machines if machines is not None else [cost()],
        list(usages),
        rates,
        dict.fromkeys(pools, SKUS[sku]),
        dict.fromkeys(pools, SKUS[arm]),
    )


def against(found: Account):
    return {each.baseline: each for each in found.comparisons()}


def test_a_machine_costs_what_was_worked_out():
    found = cost()

    assert (found.hardware, found.energy, found.rack, found.hands) == (
        100,
        D("32.85"),
        20,
        D("47.15"),
    )
    assert (found.total, found.used, found.idle) == (200, 100, 100)


@pytest.mark.parametrize(
    ("hours", "seconds", "total"),
    [
        # Idle all month: 100 + 100 W + 20 + 47.15
        (MONTH, 0, D("189.05")),
        # Full all month: 200 W
        (MONTH, HALF * 2, D("210.95")),
        # More seconds than it has cannot be more than full
        (MONTH, HALF * 9, D("210.95")),
        # Half a month, half used
        (MONTH / 2, HALF / 2, 100),
        (D(0), 0, 0),
    ],
)
def test_a_machine_costs_by_time_and_use(hours, seconds, total):
    assert cost(hours=hours, seconds=seconds).total == total


def test_first_trace_a_busy_private_fleet():
    """20,000 minutes at 0.022 are 440; ours 200. 32 cores x 730 h x 0.0504 are 1,177.344."""
    found = against(account(usage()))

    hosted = found[Baseline.HOSTED]
    assert (hosted.theirs, hosted.ours, hosted.saved) == (440, 200, 240)
    assert round(hosted.percent, 4) == D("54.5455")
    assert found[Baseline.CLOUD].theirs == D("1177.344")
    assert found[Baseline.CLOUD].saved == D("977.344")
    assert found[Baseline.HOSTED_ARM64].theirs == 280
    assert round(found[Baseline.HOSTED_ARM64].percent, 4) == D("28.5714")


def test_first_trace_with_githubs_charge_switched_on():
    """20,000 x 0.002 = 40 more on our side, and on machines rented elsewhere."""
    found = against(account(usage(), rates=replace(RATES, charge_per_minute=D("0.002"))))

    assert (found[Baseline.HOSTED].ours, found[Baseline.HOSTED].saved) == (240, 200)
    assert found[Baseline.CLOUD].theirs == D("1217.344")
    assert round(found[Baseline.HOSTED].percent, 4) == D("45.4545")


def test_second_trace_public_repositories_are_free_elsewhere():
    found = account(usage(public=True), sku="linux-x64-4", arm="linux-arm64-4")

    hosted = against(found)[Baseline.HOSTED]
    assert (hosted.theirs, hosted.percent, hosted.saves) == (0, None, False)
    (advice,) = costs.advise(found)
    assert advice.cheaper == "hosted"
    assert advice.words.endswith("linux-x64-4 is free for them. No saving.")


def test_public_repositories_pay_for_large_runners_and_no_charge():
    found = account(usage(public=True), rates=replace(RATES, charge_per_minute=D("0.002")))

    assert against(found)[Baseline.HOSTED].theirs == 440
    assert found.charge == 0


def test_third_trace_a_fleet_that_hardly_works():
    """1,000 minutes at 0.006 are 6; an idle machine is 189.05 and a little."""
    found = account(
        usage(minutes=1000, seconds=0),
        machines=[cost(seconds=0)],
        sku="linux-x64-2",
        arm="linux-arm64-2",
    )

    hosted = against(found)[Baseline.HOSTED]
    assert (hosted.theirs, hosted.saved, hosted.saves) == (6, D("-183.05"), False)
    assert found.idle_percent == 100


def test_the_advisor_names_the_cheaper_side():
    """The pool uses the whole machine's 200; 6,000 minutes are 132 on x64 and 84 on arm64."""
    (advice,) = costs.advise(account(usage(minutes=6000)))

    assert advice.cheaper == "hosted-arm64"
    assert advice.words == "linux-x64: linux-arm64-8 would be cheaper by 116.00. No saving."


def test_the_advisor_says_when_owned_is_cheaper():
    (advice,) = costs.advise(account(usage()))

    assert (advice.cheaper, advice.words) == (
        "",
        "linux-x64: owned machines are cheaper by 80.00.",
    )


def test_break_even_of_the_first_trace():
    """189.05 a month stand still; a minute adds 25 W of a slot: 0.000125; 0.022 is saved."""
    minutes = costs.break_even_minutes(D("189.05"), D("0.022"), D("0.000125"))

    assert minutes is not None
    assert round(minutes, 2) == D("8642.29")
    assert costs.break_even_minutes(D(1), D("0.002"), D("0.002")) is None


def test_break_even_date_of_the_first_trace():
    """440 - 100 a month earn 3,600 back in 10.588 months, 322 days."""
    assert costs.break_even_date(date(2026, 1, 1), D(3600), D(440), D(100)) == date(2026, 11, 19)
    assert costs.break_even_date(date(2026, 1, 1), D(3600), D(100), D(100)) is None
    assert costs.break_even_date(date(2026, 1, 1), D(3600), D("100.01"), D(100)) is None


def test_a_month_is_projected_from_what_has_passed():
    assert costs.projected(D(170), elapsed_days=D(17), days=30) == 300
    assert costs.projected(D(0), elapsed_days=D(0), days=30) is None


def test_charge_back_by_team_adds_up_to_everything():
    """Team a has three quarters of the seconds, so three quarters of use and of idle time."""
    found = account(
        usage(seconds=HALF * 3 / 4, minutes=15_000, team="a"),
        usage(seconds=HALF / 4, minutes=5_000, team="b", repository="acme/api"),
    )

    lines = found.lines("team")

    assert [
        (line.key, round(line.used, 9), round(line.idle, 9), line.hosted) for line in lines
    ] == [
        ("a", 75, 75, 330),
        ("b", 25, 25, 110),
    ]
    assert lines[0].a_minute is not None
    assert round(lines[0].a_minute, 9) == D("0.01")


def test_machines_nobody_used_are_a_line_of_their_own():
    arm = cost(replace(MACHINE, name="kiln", architecture="arm64"), seconds=0)

    lines = account(usage(), machines=[cost(), arm]).lines("pool")

    assert [(line.key, line.ours) for line in lines] == [("linux-x64", 200), ("", D("189.05"))]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["x64", "arm64"]),
            st.sampled_from(["a", "b", ""]),
            st.integers(0, 10**6),
            st.booleans(),
        ),
        max_size=8,
    ),
    st.sampled_from([D(0), D("0.002")]),
)
def test_lines_always_add_up_to_the_account(rows, charge):
    usages = [
        usage(architecture=architecture, pool=pool, seconds=seconds, public=public)
        for architecture, pool, seconds, public in rows
    ]
    machines = [cost(seconds=10**5), cost(replace(MACHINE, architecture="arm64"), seconds=10)]
    found = account(*usages, machines=machines, rates=replace(RATES, charge_per_minute=charge))

    for by in ("pool", "repository", "architecture"):
        assert sum(line.ours for line in found.lines(by)) == pytest.approx(found.ours)


@pytest.mark.parametrize(
    ("wanted", "sku"),
    [
        ({"cores": 2}, "linux-x64-2"),
        ({"cores": 3}, "linux-x64-4"),
        ({"cores": 200}, "linux-x64-96"),
        ({"architecture": "arm64", "cores": 8}, "linux-arm64-8"),
        ({"cores": 4, "gpu": True}, "linux-gpu-4"),
        ({"os": "windows", "cores": 16}, "windows-x64-16"),
        ({"os": "macos", "architecture": "arm64", "cores": 2}, "macos-arm64-3"),
    ],
)
def test_a_slot_is_compared_with_the_hosted_runner_most_like_it(wanted, sku):
    what = {"os": "linux", "architecture": "x64", "cores": 2, "gpu": False, **wanted}

    assert costs.sku_for([p for p in LIST.prices if p.cores > 1], **what).sku == sku


def test_what_is_not_hosted_has_no_price():
    with pytest.raises(LookupError, match="riscv64"):
        costs.sku_for(LIST.prices, os="linux", architecture="riscv64", cores=2, gpu=False)


@pytest.mark.parametrize(
    ("sku", "price"),
    [
        *zip(
            [f"linux-x64-{cores}" for cores in (2, 4, 8, 16, 32, 64, 96)],
            ["0.006", "0.012", "0.022", "0.042", "0.082", "0.162", "0.252"],
            strict=True,
        ),
        *zip(
            [f"linux-arm64-{cores}" for cores in (2, 4, 8, 16, 32, 64)],
            ["0.005", "0.008", "0.014", "0.026", "0.050", "0.098"],
            strict=True,
        ),
        *zip(
            [f"windows-x64-{cores}" for cores in (2, 4, 8, 16, 32, 64, 96)],
            ["0.010", "0.022", "0.042", "0.082", "0.162", "0.322", "0.552"],
            strict=True,
        ),
        ("linux-gpu-4", "0.052"),
        ("windows-gpu-4", "0.102"),
        ("macos-arm64-3", "0.062"),
        ("macos-x64-12", "0.077"),
        ("macos-m2-pro-5", "0.102"),
        ("linux-slim", "0.002"),
    ],
)
def test_the_shipped_prices_are_those_of_january_2026(sku, price):
    assert SKUS[sku].per_minute == D(price)


def test_the_list_says_where_it_is_from():
    assert LIST.dated == date(2026, 1, 1)
    assert LIST.source.startswith("https://docs.github.com/")
    assert LIST.announced_charge == D("0.002")


def test_an_admins_price_takes_the_place_of_the_shipped_one():
    changed = price_list.with_changes(LIST.prices, {"linux-x64-2": "0.004"})

    assert {price.sku: price.per_minute for price in changed}["linux-x64-2"] == D("0.004")
