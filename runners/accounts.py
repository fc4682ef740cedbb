"""The accounts of a stretch of days: machines and jobs from the tables, made ready for `costs`.

Reads, and writes what an admin enters; the arithmetic is `runners.costs` alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction

from runners import audit, costs, figures, price_list, promises
from runners.audit import Actor
from runners.costs import Account, Machine, MachineCost, Price, Rates, Usage
from runners.figures import Period
from runners.models import CostModel, Host, HostCost, JobDay, Pool, RepositoryPayer

ONLY: Final = 1
HOURS: Final = timedelta(hours=1)


# A thousand whole rows cost more to build than to reckon with
_OF_HOSTS: Final = (
    "name",
    "architecture",
    "slots",
    "cpu_count",
    "gpus",
    "os",
    "enrolled_at",
    "retired_at",
    *(f"cost__{field.name}" for field in HostCost._meta.concrete_fields),
)


def cost_model() -> CostModel:
    """The one row of rates; the defaults where none was entered."""
    return CostModel.objects.filter(pk=ONLY).first() or CostModel(pk=ONLY, per_kwh=Decimal("0.30"))


def rates_of(model: CostModel) -> Rates:
    """Rates with the shipped list below an admin's changes."""
    shipped = price_list.shipped()
    own = {name: Decimal(price) for name, price in model.cloud_per_core_hour.items()}
    return Rates(
        per_kwh=Decimal(model.per_kwh),
        charge_per_minute=Decimal(model.charge_per_minute),
        cloud_per_core_hour={**shipped.cloud_per_core_hour, **own},
        prices=price_list.with_changes(shipped.prices, model.prices),
    )


@dataclass(frozen=True, slots=True)
class Books:
    """One period's account, what of it has passed, and what is missing in it."""

    account: Account
    model: CostModel
    elapsed_days: Decimal
    days: int
    unpriced: list[str]

    def projected(self, so_far: Decimal) -> Decimal | None:
        """What the period ends at if it goes on like this."""
        return costs.projected(so_far, elapsed_days=self.elapsed_days, days=self.days)


def books(period: Period, *, now: datetime) -> Books:
    """Make up the account of a period, up to now; six queries."""
    begin, end = promises.bounds(period)
    end = max(begin, min(end, now))
    model = cost_model()
    rates = rates_of(model)
    worked = figures.machine_seconds(JobDay.Kind.HOST, period)
    rows = Host.objects.select_related("cost").filter(enrolled_at__lt=end).order_by("name")
    hosts = [
        host for host in rows.only(*_OF_HOSTS) if host.retired_at is None or host.retired_at > begin
    ]
    machines = [_machine_cost(host, worked, rates, begin, end) for host in hosts]
    usages = _usages(period)
    skus, arm64 = _skus(machines, usages, model, rates)
    return Books(
        account=Account(machines, usages, rates, skus, arm64),
        model=model,
        elapsed_days=Decimal((end - begin) // timedelta(seconds=1)) / 86400,
        days=period.days,
        unpriced=[each.machine.name for each in machines if not each.machine.priced],
    )


def _machine_cost(
    host: Host, worked: Mapping[str, float], rates: Rates, begin: datetime, end: datetime
) -> MachineCost:
    there = min(end, host.retired_at or end) - max(begin, host.enrolled_at)
    return costs.machine_cost(
        machine_of(host),
        hours=Decimal(there // timedelta(seconds=1)) / 3600,
        job_seconds=Decimal(round(worked.get(host.name, 0.0))),
        per_kwh=rates.per_kwh,
    )


def machine_of(host: Host) -> Machine:
    """A host with what it costs; one nobody entered a price of costs nothing, and says so."""
    cost: HostCost | None = getattr(host, "cost", None)
    zero = Decimal(0)
    return Machine(
        name=host.name,
        architecture=host.architecture,
        slots=host.slots,
        cores=host.cpu_count or 1,
        purchase=cost.purchase if cost else zero,
        months=cost.months if cost else 1,
        watts_idle=cost.watts_idle if cost else zero,
        watts_busy=cost.watts_busy if cost else zero,
        rack_a_month=cost.rack_a_month if cost else zero,
        hands_a_month=cost.hands_a_month if cost else zero,
        priced=cost is not None,
        gpu=bool(host.gpus),
        os=host.os or "linux",
        bought_on=cost.bought_on if cost else None,
    )


def _usages(period: Period) -> list[Usage]:
    known = {row.name: row for row in RepositoryPayer.objects.all()}
    found = []
    for row in figures.totals(JobDay.Kind.SHARE, period):
        architecture, pool, repository = row.key.split("|", 2)
        about = known.get(repository)
        found.append(
            Usage(
                architecture=architecture,
                pool=pool,
                repository=repository,
                jobs=row.started,
                seconds=Decimal(round(row.run_seconds)),
                minutes=row.billed_minutes,
                team=about.team if about else "",
                public=about.public if about else False,
            )
        )
    return found


def _skus(
    machines: list[MachineCost], usages: list[Usage], model: CostModel, rates: Rates
) -> tuple[dict[str, Price], dict[str, Price]]:
    """What each pool is compared with: an admin's choice, else the hosted runner like its slots."""
    by_name = {price.sku: price for price in rates.prices}
    gpu = set(Pool.objects.filter(needs_gpu=True).values_list("name", flat=True))
    minutes: dict[str, Counter[str]] = defaultdict(Counter)
    for usage in usages:
        minutes[usage.pool][usage.architecture] += usage.minutes
    skus: dict[str, Price] = {}
    arm64: dict[str, Price] = {}
    for pool, architectures in minutes.items():
        architecture = architectures.most_common(1)[0][0]
        os, cores = _slot_like(machines, architecture)
        chosen = by_name.get(str(model.pool_skus.get(pool, "")))
        found = chosen or _sku(rates, os, architecture, cores, gpu=pool in gpu)
        if found is not None:
            skus[pool] = found
        other = _sku(rates, "linux", "arm64", found.cores if found else cores, gpu=False)
        if other is not None and pool not in gpu and os == "linux":
            arm64[pool] = other
    return skus, arm64


def _slot_like(machines: list[MachineCost], architecture: str) -> tuple[str, int]:
    """The operating system and cores of a usual slot of an architecture's machines."""
    alike = [each.machine for each in machines if each.machine.architecture == architecture]
    if not alike:
        return "linux", 2
    os = Counter(machine.os for machine in alike).most_common(1)[0][0]
    cores = sum(machine.cores for machine in alike) / sum(machine.slots for machine in alike)
    return os, max(1, round(cores))


def _sku(rates: Rates, os: str, architecture: str, cores: int, *, gpu: bool) -> Price | None:
    """The price list's runner of that kind, slim ones aside: they are no machine to build on."""
    full = [price for price in rates.prices if price.cores > 1]
    try:
        return costs.sku_for(full, os=os, architecture=architecture, cores=cores, gpu=gpu)
    except LookupError:
        return None


def set_rates(
    *,
    per_kwh: Decimal,
    charge_per_minute: Decimal,
    prices: Mapping[str, Decimal],
    cloud_per_core_hour: Mapping[str, Decimal],
    by: Actor,
    now: datetime,
) -> CostModel:
    """Write the rates; prices equal to the shipped ones are not kept, so that a new list counts."""
    shipped = price_list.shipped()
    listed = {price.sku: price.per_minute for price in shipped.prices}
    row = cost_model()
    was = _words(row)
    row.per_kwh, row.charge_per_minute = per_kwh, charge_per_minute
    row.prices = {
        sku: str(price) for sku, price in prices.items() if sku in listed and price != listed[sku]
    }
    row.cloud_per_core_hour = {
        name: str(price)
        for name, price in cloud_per_core_hour.items()
        if price != shipped.cloud_per_core_hour.get(name)
    }
    row.prices_dated = now.date() if row.prices or row.cloud_per_core_hour else None
    with transaction.atomic():
        row.save()
        audit.record(row, "cost.rates", by=by, at=now, was=was, became=_words(row))
    return row


def _words(row: CostModel) -> str:
    own = len(row.prices) + len(row.cloud_per_core_hour)
    return (
        f"{Decimal(row.per_kwh):.4f} a kWh, {Decimal(row.charge_per_minute):.4f} a self-hosted "
        f"minute, {own} own prices"
    )


@dataclass(frozen=True, slots=True)
class HostPrice:
    """What an admin enters for one machine."""

    purchase: Decimal
    months: int
    watts_idle: Decimal
    watts_busy: Decimal
    rack_a_month: Decimal
    hands_a_month: Decimal
    bought_on: object = None


def set_host_cost(
    hosts: list[Host], price: HostPrice, *, by: Actor, now: datetime
) -> list[HostCost]:
    """Write what these machines cost, one event each."""
    rows = []
    with transaction.atomic():
        for host in hosts:
            row, _ = HostCost.objects.update_or_create(
                host=host,
                defaults={name: getattr(price, name) for name in HostPrice.__slots__},
            )
            audit.record(
                host,
                "cost.host",
                by=by,
                at=now,
                became=f"{price.purchase} over {price.months} months",
            )
            rows.append(row)
    return rows


def set_repository(
    name: str, *, team: str, public: bool, by: Actor, now: datetime
) -> RepositoryPayer:
    """Write whose a repository is and whether it is public."""
    with transaction.atomic():
        row, _ = RepositoryPayer.objects.update_or_create(
            name=name, defaults={"team": team, "public": public}
        )
        words = f"{team or 'no team'}, {'public' if public else 'private'}"
        audit.record(row, "repository.payer", by=by, at=now, became=words)
    return row
