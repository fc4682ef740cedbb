"""Keeps the records in a JSON file, so that a simulator started again goes on where it stopped.

Records are dataclasses of plain values; what is derived from them is built anew after loading.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from runners.simulator.store import Store
from runners.simulator.world import World

FORMAT = 1
SAVE_EVERY_SECONDS = 5.0
# Deliveries would be most of the file and nobody asks for last week's.
NOT_KEPT = ("deliveries",)


@dataclass(frozen=True)
class Loaded:
    """What a file held."""

    store: Store
    token: str


def dump(world: World, token: str) -> str:
    """The records as JSON text. Called under the world's lock."""
    kept = {
        field.name: getattr(world.store, field.name)
        for field in dataclasses.fields(world.store)
        if field.name not in NOT_KEPT
    }
    return json.dumps({"format": FORMAT, "token": token, "store": kept}, default=vars)


def write(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner only: it holds tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def load(path: Path) -> Loaded | None:
    """Read a file back; None when there is none. Raises ValueError for one it cannot read."""
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("format") != FORMAT:
        raise ValueError(f"{path} was written by another version of the simulator")
    return Loaded(_decode(Store, content["store"]), content["token"])


def _decode(kind: Any, value: Any) -> Any:
    """A value of the annotated type, from JSON; the only place where types are not known."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        known = {name: _decode(hints[name], each) for name, each in value.items() if name in hints}
        return kind(**known)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return {_key(arguments[0], k): _decode(arguments[1], v) for k, v in value.items()}
    if origin is list:
        return [_decode(arguments[0], each) for each in value]
    if origin in (UnionType, Union) and value is not None:
        return _decode(next(a for a in arguments if a is not type(None)), value)
    return value


def _key(kind: object, text: str) -> int | str:
    return int(text) if kind is int else text
