"""What owned machines cost, and what the same minutes would have cost elsewhere. Pure.

Money is Decimal in one currency and never rounded here. An owned machine costs its purchase spread
over months, its electricity, its place and somebody's hands, whether it works or not; elsewhere a
job costs its begun minutes. docs/guide/costs.md has every formula.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

HOURS_A_MONTH: Final = Decimal(730)
DAYS_A_MONTH: Final = HOURS_A_MONTH / 24
NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Price:
    """One hosted runner's list price a minute; `free_for_public` for a public repository."""

    sku: str
    os: str
    architecture: str
    cores: int
    per_minute: Decimal
    gpu: bool = False
    free_for_public: bool = False


@dataclass(frozen=True, slots=True)
class Rates:
    """What is paid by use: a kWh, GitHub's charge for a self-hosted minute (0: none), cores
    elsewhere."""

    per_kwh: Decimal
    charge_per_minute: Decimal
    cloud_per_core_hour: Mapping[str, Decimal]
    prices: Sequence[Price]


@dataclass(frozen=True, slots=True)
class Machine:
    """An owned machine and what it costs; months, watts and a month's money in its names."""

    name: str
    architecture: str
    slots: int
    cores: int
    purchase: Decimal
    months: int
    watts_idle: Decimal
    watts_busy: Decimal
    rack_a_month: Decimal
    hands_a_month: Decimal
    priced: bool = True
    gpu: bool = False
    os: str = "linux"
    bought_on: date | None = None


@dataclass(frozen=True, slots=True)
class MachineCost:
    """What one machine cost over some hours, and how much of it was for work."""

    machine: Machine
    hours: Decimal
    used_share: Decimal
    hardware: Decimal
    energy: Decimal
    rack: Decimal
    hands: Decimal

    @property
    def total(self) -> Decimal:
        return self.hardware + self.energy + self.rack + self.hands

    @property
    def used(self) -> Decimal:
        """The part jobs used: its slots' share of everything."""
        return self.total * self.used_share

    @property
    def idle(self) -> Decimal:
        """What was paid for waiting."""
        return self.total - self.used


def machine_cost(
    machine: Machine, *, hours: Decimal, job_seconds: Decimal, per_kwh: Decimal
) -> MachineCost:
    """Cost one machine that was there for so many hours and ran jobs for so many seconds in all.

    Watts go from idle to busy as its slots fill.
    """
    offered = hours * 3600 * machine.slots
    share = min(Decimal(1), job_seconds / offered) if offered else NOTHING
    months = hours / HOURS_A_MONTH
    watts = machine.watts_idle + (machine.watts_busy - machine.watts_idle) * share
    return MachineCost(
        machine=machine,
        hours=hours,
        used_share=share,
        hardware=machine.purchase / machine.months * months,
        energy=watts * hours / 1000 * per_kwh,
        rack=machine.rack_a_month * months,
        hands=machine.hands_a_month * months,
    )


@dataclass(frozen=True, slots=True)
class Usage:
    """The jobs of one architecture, pool and repository: their seconds and begun minutes."""

    architecture: str
    pool: str
    repository: str
    jobs: int
    seconds: Decimal
    minutes: int
    team: str = ""
    public: bool = False


class Baseline(StrEnum):
    """What the fleet is compared with."""

    HOSTED = "hosted"
    CLOUD = "cloud"
    HOSTED_ARM64 = "hosted-arm64"

    @property
    def label(self) -> str:
        return {
            "hosted": "GitHub-hosted, same kind",
            "cloud": "Always-on cloud machines",
            "hosted-arm64": "GitHub-hosted ARM64",
        }[self.value]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against one baseline. No percentage where the other side is free."""

    baseline: Baseline
    theirs: Decimal
    ours: Decimal

    @property
    def saved(self) -> Decimal:
        return self.theirs - self.ours

    @property
    def percent(self) -> Decimal | None:
        return self.saved * 100 / self.theirs if self.theirs else None

    @property
    def saves(self) -> bool:
        return self.saved > 0


@dataclass(frozen=True, slots=True)
class Line:
    """What one subject's jobs cost: its share of the machines, of their idle time, and of charges.

    `hosted` is the list price of the same minutes, `free_minutes` those that cost nothing there.
    """

    key: str
    jobs: int
    minutes: int
    free_minutes: int
    used: Decimal
    idle: Decimal
    charge: Decimal
    hosted: Decimal

    @property
    def ours(self) -> Decimal:
        return self.used + self.idle + self.charge

    @property
    def saved(self) -> Decimal:
        return self.hosted - self.ours

    @property
    def a_minute(self) -> Decimal | None:
        return self.ours / self.minutes if self.minutes else None

    @property
    def a_job(self) -> Decimal | None:
        return self.ours / self.jobs if self.jobs else None


def sku_for(prices: Iterable[Price], *, os: str, architecture: str, cores: int, gpu: bool) -> Price:
    """The hosted runner that is most like a slot: the smallest with as many cores, else the
    biggest.

    Raises LookupError when the list has nothing of that kind.
    """
    alike = [
        price
        for price in prices
        if price.os == os and price.architecture == architecture and price.gpu == gpu
    ]
    if not alike:
        raise LookupError(f"no hosted runner for {os} {architecture}{' with GPU' if gpu else ''}")
    enough = [price for price in alike if price.cores >= cores]
    if not enough:
        return max(alike, key=lambda price: price.cores)
    return min(enough, key=lambda price: (price.cores, price.per_minute))


@dataclass(frozen=True, slots=True)
class Account:
    """A whole period's costs: its machines, its lines, and how it compares."""

    machines: Sequence[MachineCost]
    usages: Sequence[Usage]
    rates: Rates
    skus: Mapping[str, Price]
    """By pool; "" for jobs of none."""
    arm64: Mapping[str, Price]
    """The hosted ARM64 runner of each pool's size."""

    @property
    def machine_total(self) -> Decimal:
        return sum((each.total for each in self.machines), NOTHING)

    @property
    def minutes(self) -> int:
        return sum(usage.minutes for usage in self.usages)

    @property
    def charge(self) -> Decimal:
        """GitHub's charge for self-hosted minutes; public repositories are not charged."""
        return sum((self._charge(usage) for usage in self.usages), NOTHING)

    @property
    def ours(self) -> Decimal:
        return self.machine_total + self.charge

    @property
    def idle(self) -> Decimal:
        return sum((each.idle for each in self.machines), NOTHING)

    @property
    def idle_percent(self) -> Decimal | None:
        total = self.machine_total
        return self.idle * 100 / total if total else None

    def _charge(self, usage: Usage) -> Decimal:
        return NOTHING if usage.public else usage.minutes * self.rates.charge_per_minute

    def hosted_price(self, usage: Usage) -> Decimal:
        """What these minutes cost at the list price of the pool's kind."""
        return _listed(usage, self.skus.get(usage.pool))

    def comparisons(self) -> list[Comparison]:
        """Ours against each of the three baselines."""
        hosted = sum((self.hosted_price(usage) for usage in self.usages), NOTHING)
        arm64 = sum((_listed(usage, self.arm64.get(usage.pool)) for usage in self.usages), NOTHING)
        cloud = sum(
            (
                each.hours
                * each.machine.cores
                * self.rates.cloud_per_core_hour.get(each.machine.architecture, NOTHING)
                for each in self.machines
            ),
            NOTHING,
        )
        return [
            Comparison(Baseline.HOSTED, hosted, self.ours),
            # Machines there are self-hosted too: GitHub charges their minutes the same
            Comparison(Baseline.CLOUD, cloud + self.charge, self.ours),
            Comparison(Baseline.HOSTED_ARM64, arm64, self.ours),
        ]

    def lines(self, by: str) -> list[Line]:
        """Costs by "pool", "repository", "team" or "architecture", the dearest first.

        A second costs the same on every machine of one architecture: which of them took a job is
        chance. Idle time is shared out in proportion to use, so lines add up to everything; that of
        an architecture without any job is its own line, with an empty key.
        """
        rates = self._second_rates()
        sums: dict[str, Line] = {}
        for usage in self.usages:
            key = str(getattr(usage, by))
            used, idle = rates.get(usage.architecture, (NOTHING, NOTHING))
            line = sums.get(key) or Line(key, 0, 0, 0, NOTHING, NOTHING, NOTHING, NOTHING)
            hosted = self.hosted_price(usage)
            sums[key] = Line(
                key,
                line.jobs + usage.jobs,
                line.minutes + usage.minutes,
                line.free_minutes + (usage.minutes if self._is_free(usage) else 0),
                line.used + used * usage.seconds,
                line.idle + idle * usage.seconds,
                line.charge + self._charge(usage),
                line.hosted + hosted,
            )
        left = self.machine_total - sum((line.used + line.idle for line in sums.values()), NOTHING)
        # What division leaves is no line
        if left > Decimal("0.000001"):
            sums["\0"] = Line("", 0, 0, 0, NOTHING, left, NOTHING, NOTHING)
        return sorted(sums.values(), key=lambda line: (-line.ours, line.key))

    def _is_free(self, usage: Usage) -> bool:
        price = self.skus.get(usage.pool)
        return usage.public and price is not None and price.free_for_public

    def _second_rates(self) -> dict[str, tuple[Decimal, Decimal]]:
        """(used, idle) money a job's second, by architecture."""
        seconds: dict[str, Decimal] = {}
        for usage in self.usages:
            seconds[usage.architecture] = seconds.get(usage.architecture, NOTHING) + usage.seconds
        found: dict[str, tuple[Decimal, Decimal]] = {}
        for architecture, worked in seconds.items():
            alike = [each for each in self.machines if each.machine.architecture == architecture]
            if worked and alike:
                used = sum((each.used for each in alike), NOTHING)
                idle = sum((each.idle for each in alike), NOTHING)
                found[architecture] = (used / worked, idle / worked)
        return found


def _listed(usage: Usage, price: Price | None) -> Decimal:
    if price is None or (usage.public and price.free_for_public):
        return NOTHING
    return usage.minutes * price.per_minute


def break_even_minutes(
    fixed_a_month: Decimal, hosted_per_minute: Decimal, ours_per_minute: Decimal
) -> Decimal | None:
    """From how many minutes a month on owned machines are cheaper; None when never.

    `ours_per_minute` is what a minute adds: electricity over idle, and the charge.
    """
    gain = hosted_per_minute - ours_per_minute
    return fixed_a_month / gain if gain > 0 else None


def break_even_date(
    bought_on: date, purchase: Decimal, hosted_a_month: Decimal, running_a_month: Decimal
) -> date | None:
    """When the purchase is earned back at this month's pace; None when never, or past all plans.

    `running_a_month` is everything but the purchase.
    """
    gain = hosted_a_month - running_a_month
    if gain <= 0:
        return None
    days = purchase / gain * DAYS_A_MONTH
    return bought_on + timedelta(days=int(days.to_integral_value())) if days < 36_525 else None


def projected(so_far: Decimal, *, elapsed_days: Decimal, days: int) -> Decimal | None:
    """What a month ends at if it goes on like this; None before anything of it has passed."""
    return so_far / elapsed_days * days if elapsed_days else None


@dataclass(frozen=True, slots=True)
class Advice:
    """What the advisor says of one pool; `cheaper` is "hosted", "hosted-arm64" or ""."""

    pool: str
    cheaper: str
    words: str


def advise(account: Account) -> list[Advice]:
    """Say for each pool where its jobs would be cheaper, and where they would be free."""
    found = []
    for line in account.lines("pool"):
        if not line.minutes:
            continue
        usages = [usage for usage in account.usages if usage.pool == line.key]
        found.append(_advice(account, line, usages))
    return found


def _advice(account: Account, line: Line, usages: Sequence[Usage]) -> Advice:
    name = line.key or "Jobs of no pool"
    sku, arm = account.skus.get(line.key), account.arm64.get(line.key)
    if line.free_minutes == line.minutes and sku is not None:
        return Advice(
            line.key,
            Baseline.HOSTED,
            f"{name} only serves public repositories: {sku.sku} is free for them. No saving.",
        )
    if sku is None:
        return Advice(line.key, "", f"{name}: the price list has no runner of this kind.")
    others = {Baseline.HOSTED: line.hosted}
    if arm is not None:
        others[Baseline.HOSTED_ARM64] = sum((_listed(usage, arm) for usage in usages), NOTHING)
    best = min(others, key=lambda each: (others[each], each != Baseline.HOSTED))
    gain = line.ours - others[best]
    if gain > 0:
        where = sku.sku if best == Baseline.HOSTED else arm.sku if arm else ""
        return Advice(line.key, best, f"{name}: {where} would be cheaper by {gain:.2f}. No saving.")
    return Advice(line.key, "", f"{name}: owned machines are cheaper by {-gain:.2f}.")
