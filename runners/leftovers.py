"""What a host has although nobody wants it: directories and processes it found, runners never made.

The list lives in `Host.leftovers`; what a person wants cleaned of it, by name, in
`Host.leftovers_to_clean`, until the host names it no more. Both are told with heartbeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from runners.agent_messages import Leftover, SlotReport
from runners.models import Host
from runners.states import Phase

RUNNER: Final = "runner"  # the kind that the server itself notes, from slots
_PREFIX: Final = "runner-id:"


def columns(host: Host, there: tuple[Leftover, ...]) -> dict[str, object]:
    """The host's columns after it said what it found; runners never made stay noted."""
    found = [
        asdict(leftover) | {"since": leftover.since.isoformat() if leftover.since else None}
        for leftover in there
    ]
    return _columns(host, [*found, *_of_kind(host, runners=True)])


def note_unmade(host: Host, slots: Iterable[SlotReport], *, now: datetime) -> None:
    """Keep which runners the host runs that this fleet never made, as after a restore.

    Writes only when they are others than before; their slots stay the host's until they end.
    """
    since = {each["name"]: each["since"] for each in _of_kind(host, runners=True)}
    unmade = [
        {
            "kind": RUNNER,
            "name": (name := _name(slot)),
            "path": "",
            "pid": slot.pid,
            "since": since.get(name, now.isoformat()),
            "bytes": None,
        }
        for slot in slots
        if slot.phase != Phase.GONE
    ]
    there = [*_of_kind(host, runners=False), *unmade]
    if there == host.leftovers:
        return
    changed = _columns(host, there)
    Host.objects.filter(pk=host.pk).update(**changed)
    for column, value in changed.items():
        setattr(host, column, value)


def told_to_stop(host: Host, slot: SlotReport) -> bool:
    """Whether somebody wants this runner, which was never made here, to end."""
    return _name(slot) in host.leftovers_to_clean


def told_to_clean(host: Host) -> tuple[str, ...]:
    """The names that the host itself gave to what it is to clean."""
    return tuple(name for name in host.leftovers_to_clean if not name.startswith(_PREFIX))


def shown(name: str) -> str:
    """The name in a person's words."""
    return f"runner {name.removeprefix(_PREFIX)}" if name.startswith(_PREFIX) else name


def _columns(host: Host, there: Sequence[dict[str, Any]]) -> dict[str, object]:
    names = {each["name"] for each in there}
    left = [name for name in host.leftovers_to_clean if name in names]
    lie: dict[str, object] = {"leftovers": list(there)}
    # Only written when it changed: somebody may ask for another in this moment
    return lie if left == host.leftovers_to_clean else lie | {"leftovers_to_clean": left}


def _of_kind(host: Host, *, runners: bool) -> list[dict[str, Any]]:
    return [each for each in host.leftovers if (each.get("kind") == RUNNER) == runners]


def _name(slot: SlotReport) -> str:
    return f"{_PREFIX}{slot.runner_id}"
