"""Which host takes a pool's next runner: what it asks, where it prefers, how full each host is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace

from runners.scaling.picture import HostRoom
from runners.scaling.policy import NO_SIZE, Policy, Size

REFUSED_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Kind:
    """What decides whether a host can serve a pool at all; like hosts are looked at once."""

    site: str
    labels: frozenset[str]
    architecture: str
    emulated: bool
    has_gpu: bool
    proves: frozenset[str]


@dataclass(slots=True)
class _Place:
    """A host with what it has left, as a plan gives it away."""

    host: HostRoom
    free: int
    left: Size

    @property
    def load(self) -> float:
        """The share of its slots that is held."""
        return 1 - self.free / self.host.slots

    def fits(self, size: Size) -> bool:
        """Whether one more runner of this size has room."""
        return self.free > 0 and (size is NO_SIZE or size.fits(self.left))

    def take(self, size: Size) -> None:
        """Give one runner of this size its room."""
        self.free -= 1
        if size is not NO_SIZE:
            self.left -= size


@dataclass(slots=True)
class _Class:
    """The hosts of one kind: those that take runners and those that don't, by name."""

    kind: _Kind
    places: list[_Place] = field(default_factory=list)
    refused: list[HostRoom] = field(default_factory=list)


_Queue = list[tuple[float, str, int]]


class Hosts:
    """All hosts, given away slot by slot: preferred sites first, the emptiest host of those next.

    Native hosts come before emulated ones, which only serve pools that opted in.
    """

    def __init__(self, hosts: Sequence[HostRoom]) -> None:
        classes: dict[_Kind, _Class] = {}
        self._kind_of: dict[int, _Kind] = {}
        for host in hosts:
            kind = _Kind(
                host.site,
                host.labels,
                host.architecture,
                host.emulated,
                host.has_gpu,
                host.proves,
            )
            self._kind_of[host.id] = kind
            there = classes.setdefault(kind, _Class(kind))
            if host.refusal:
                there.refused.append(host)
            else:
                there.places.append(_Place(host, host.free, host.left))
        self._classes = list(classes.values())
        self._queues: dict[tuple[_Kind, Size], _Queue] = {}
        self._ranked: dict[int, list[list[_Class]]] = {}

    def take(self, pool_id: int, policy: Policy) -> HostRoom | None:
        """Give the pool's next runner its host; None when none that can serve has room."""
        for rank in self._ranks(pool_id, policy):
            best: tuple[tuple[float, str], _Place] | None = None
            for each in rank:
                place = self._emptiest(each, policy.size)
                if place is None:
                    continue
                order = (place.load, place.host.name)
                if best is None or order < best[0]:
                    best = order, place
            if best is not None:
                best[1].take(policy.size)
                return best[1].host
        return None

    def able(self, policy: Policy) -> int:
        """How many hosts that take runners could serve the pool, room aside."""
        return sum(len(each.places) for each in self._classes if not mismatch(policy, each.kind))

    def refusals(self, policy: Policy) -> tuple[tuple[str, str], ...]:
        """Hosts that can't serve the pool now and why, those that could if they were open first."""
        closed: list[tuple[str, str]] = []
        other: list[tuple[str, str]] = []
        for each in self._classes:
            why = mismatch(policy, each.kind)
            if why:
                there = (*(place.host for place in each.places), *each.refused)
                other += [(host.name, why) for host in there[:REFUSED_SHOWN]]
            else:
                closed += [(host.name, host.refusal) for host in each.refused]
        return (*sorted(closed), *sorted(other))[:REFUSED_SHOWN]

    def distance(self, policy: Policy, host_id: int) -> tuple[bool, int]:
        """How far from the pool's wish a host is: emulated, place of its site in the preference."""
        kind = self._kind_of.get(host_id)
        return _distance(policy, kind) if kind else (False, 0)

    def serves(self, policy: Policy, host_id: int) -> bool:
        """Whether the host could serve the pool, room and refusal aside."""
        kind = self._kind_of.get(host_id)
        return kind is not None and not mismatch(policy, kind)

    def _ranks(self, pool_id: int, policy: Policy) -> list[list[_Class]]:
        known = self._ranked.get(pool_id)
        if known is None:
            ranks: dict[tuple[bool, int], list[_Class]] = {}
            for each in self._classes:
                if each.places and not mismatch(policy, each.kind):
                    ranks.setdefault(_distance(policy, each.kind), []).append(each)
            known = self._ranked[pool_id] = [ranks[rank] for rank in sorted(ranks)]
        return known

    def _emptiest(self, each: _Class, size: Size) -> _Place | None:
        """The emptiest host of a class with room for this size.

        Queues are put right as they are read: a host only ever fills up within one plan.
        """
        queue = self._queues.get((each.kind, size))
        if queue is None:
            queue = [(place.load, place.host.name, at) for at, place in enumerate(each.places)]
            heapify(queue)
            self._queues[(each.kind, size)] = queue
        while queue:
            load, name, at = queue[0]
            place = each.places[at]
            if not place.fits(size):
                heappop(queue)
            elif place.load != load:
                heapreplace(queue, (place.load, name, at))
            else:
                return place
        return None


def mismatch(policy: Policy, kind: _Kind) -> str:
    """Why hosts of this kind can't serve the pool at all; "" when they can."""
    if kind.emulated and not policy.emulation:
        return "emulated, and the pool does not allow that"
    if policy.architecture and kind.architecture != policy.architecture:
        return f"{kind.architecture or 'unknown architecture'}, not {policy.architecture}"
    if policy.needs_gpu and not kind.has_gpu:
        return "no GPU"
    if unproved := policy.promises - kind.proves:
        return f"its hardware does not bear out {_first(unproved)}"
    if lacking := policy.host_labels - kind.labels:
        return f"without the host label {_first(lacking)}"
    if policy.sites_only and kind.site not in policy.sites:
        return f"at {kind.site or 'no site'}, where the pool has no hosts"
    return ""


def _first(names: Iterable[str]) -> str:
    return min(names)


def _distance(policy: Policy, kind: _Kind) -> tuple[bool, int]:
    sites = policy.sites
    return kind.emulated, sites.index(kind.site) if kind.site in sites else len(sites)
