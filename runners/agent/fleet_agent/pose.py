"""Pose as another machine: facts from a file laid over the real ones, for demos and tests.

The facts then say ``"posing": true``, so that nobody takes the machine for what it plays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from .errors import AgentError
from .facts import Facts
from .gpu.cards import Gpu, new_gpu
from .wire import JsonObject


def load_pose(path: Path) -> JsonObject:
    """Read a pose: a JSON object of facts; raises AgentError."""
    try:
        pose = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as err:
        raise AgentError(f"the pose {path} cannot be read: {err}") from err
    if not isinstance(pose, dict):
        raise AgentError(f"the pose {path} is no JSON object of facts")
    return pose


def strike(facts: Facts, pose: JsonObject | None) -> Facts:
    """Return the facts as they are to be reported."""
    if pose is None:
        return facts
    struck = cast(Facts, {**facts, **pose, "posing": True})
    # A pose names what it is about; of a card, the rest is what a card that works has.
    struck["gpus"] = [cast(Gpu, {**new_gpu("", "", ""), **gpu}) for gpu in struck["gpus"]]
    return struck
