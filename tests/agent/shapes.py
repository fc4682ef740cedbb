"""Compare messages with the examples of the contract by shape: keys and types, not values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).resolve().parents[1] / "payloads" / "agent"


def example(name: str) -> dict[str, Any]:
    """Return one example message."""
    return dict(json.loads((PAYLOADS / name).read_text("utf-8")))


def differences(given: Any, model: Any, path: str = "message") -> list[str]:
    """Return where ``given`` is not shaped as ``model``.

    Null on either side fits anything; every entry of a list must fit the model's first; the
    ``detail`` of a journal entry is free.
    """
    if given is None or model is None:
        return []
    if isinstance(model, float) and isinstance(given, int) and not isinstance(given, bool):
        return []
    if isinstance(given, float) and isinstance(model, int) and not isinstance(model, bool):
        return []
    if type(given) is not type(model):
        return [f"{path} is {type(given).__name__}, not {type(model).__name__}"]
    if isinstance(model, dict) and path.endswith("detail"):
        return []
    if isinstance(model, dict):
        found = [f"{path}.{key} is missing" for key in model.keys() - given.keys()]
        found += [f"{path}.{key} is unknown" for key in given.keys() - model.keys()]
        for key in model.keys() & given.keys():
            found += differences(given[key], model[key], f"{path}.{key}")
        return found
    if isinstance(model, list) and model:
        return [
            line
            for index, entry in enumerate(given)
            for line in differences(entry, model[0], f"{path}[{index}]")
        ]
    return []
