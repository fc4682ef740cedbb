"""Where an order would land, or why nowhere: asked of the same placement that will place it.

Read only: it takes no slot, so the answer holds for the moment it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from runners import placement
from runners.errors import NoCapacity
from runners.lifecycle import Order
from runners.models import Host, Pool
from runners.pools import order_for
from runners.views.fleet_map import Rack, Slot, racks

_GHOST = Slot(state="ghost", title="New runner", glyph="dot")


@dataclass(frozen=True, slots=True)
class PoolTile:
    """A pool to choose, with the room there is for it; `value` "" is "Custom"."""

    value: str
    name: str
    words: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """What would happen: buildings with the new windows, or `problem`; `runs_on` for a workflow."""

    problem: str
    words: str
    racks: list[Rack]
    count: int
    scope: str
    credential: str
    labels: list[str]
    persistent: bool

    @property
    def possible(self) -> bool:
        return not self.problem


def placement_of(order: Order, *, now: datetime, among: placement.Room) -> Placement:
    """Place the order on paper."""
    try:
        taken = placement.free_slots(order.need, count=order.count, now=now, among=among)
        problem = ""
    except NoCapacity as error:
        taken, problem = [], error.user_message
    hosts = {host.pk: host for host, _ in taken}
    slots = {pk: {slot for host, slot in taken if host.pk == pk} for pk in hosts}
    return Placement(
        problem=problem,
        words=_words(list(hosts.values()), chosen=order.host),
        racks=[
            _with_new(rack, slots[rack.host.pk]) for rack in racks(list(hosts.values()), now=now)
        ],
        count=order.count,
        scope=f"{order.scope.slug} ({order.scope.get_kind_display().lower()})",
        credential=order.scope.credential.name,
        labels=list(order.labels),
        persistent=not order.ephemeral,
    )


def pool_tiles(
    pools: Sequence[Pool], *, chosen: str, now: datetime, among: placement.Room
) -> list[PoolTile]:
    """Return the pools with the free slots each could use; no query."""
    tiles = []
    for pool in pools:
        need = order_for(pool).need
        able = (host for host in among.hosts if not placement.refusal(need, host, now=now))
        room = sum(among.free(host) for host in able)
        words = f"{room} slot{'s' if room != 1 else ''} free" if room else "no slot free"
        tiles.append(PoolTile(pool.name, pool.name, words, pool.name == chosen))
    return [*tiles, PoolTile("", "Custom", "Choose scope and labels", not chosen)]


def _words(hosts: Sequence[Host], *, chosen: Host | None) -> str:
    if chosen is not None:
        return f"On {chosen.name}, as you chose."
    if not hosts:
        return "Automatic: a host that can serve every label, the emptiest first."
    return "Automatic: the emptiest hosts that can serve every label."


def _with_new(rack: Rack, new: set[int]) -> Rack:
    """Draw the new runners into the free windows; slots count from one."""
    return replace(
        rack,
        slots=[
            _GHOST if number in new else slot for number, slot in enumerate(rack.slots, start=1)
        ],
    )
