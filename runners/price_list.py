"""The price list that is shipped, read once, with what an admin changed laid over it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final

from runners.costs import Price

SHIPPED: Final = Path(__file__).with_name("prices") / "github-2026-01-01.json"


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices a minute and a core's hour elsewhere; where they come from, and when that was."""

    provider: str
    dated: date
    source: str
    note: str
    currency: str
    announced_charge: Decimal
    prices: tuple[Price, ...]
    cloud_per_core_hour: Mapping[str, Decimal]
    cloud_source: Mapping[str, str]


@lru_cache(maxsize=1)
def shipped() -> PriceList:
    """The list as it came with this version."""
    data = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return PriceList(
        provider=data["provider"],
        dated=date.fromisoformat(data["dated"]),
        source=data["source"],
        note=data["note"],
        currency=data["currency"],
        announced_charge=Decimal(data["self_hosted_charge_announced"]),
        prices=tuple(
            Price(
                sku=row["sku"],
                os=row["os"],
                architecture=row["architecture"],
                cores=row["cores"],
                per_minute=Decimal(row["price"]),
                gpu=row.get("gpu", False),
                free_for_public=row.get("free_for_public", False),
            )
            for row in data["per_minute"]
        ),
        cloud_per_core_hour={
            row["architecture"]: Decimal(row["price"]) for row in data["cloud_per_core_hour"]
        },
        cloud_source={
            row["architecture"]: f"{row['source']}, {row['dated']}"
            for row in data["cloud_per_core_hour"]
        },
    )


def with_changes(prices: tuple[Price, ...], changed: Mapping[str, str]) -> tuple[Price, ...]:
    """The list with an admin's own prices, by SKU, in place of the shipped ones."""
    return tuple(
        replace(price, per_minute=Decimal(changed[price.sku])) if price.sku in changed else price
        for price in prices
    )
