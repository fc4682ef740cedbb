"""How many runners each pool should start or let go, and why each job waits: pure arithmetic.

No ORM, no clock, no I/O: the live loop (`runners.pools`), the preview of a policy and every replay
call the same `plan` with what they know and the moment it is true for. The same facts give the same
plan. Unknown facts start and stop nothing.
"""

from runners.scaling.picture import (
    Blocked,
    Code,
    Demand,
    Facts,
    Held,
    HostRoom,
    Pacing,
    Plan,
    PoolDecision,
    PoolView,
    RunnerView,
    ScopeView,
    Start,
    Stop,
    StopCode,
    Verdict,
    Worth,
)
from runners.scaling.planner import plan
from runners.scaling.policy import PRESETS, Limits, Policy, Preset, Presets, Size, Window, limits_at

__all__ = [
    "PRESETS",
    "Blocked",
    "Code",
    "Demand",
    "Facts",
    "Held",
    "HostRoom",
    "Limits",
    "Pacing",
    "Plan",
    "Policy",
    "PoolDecision",
    "PoolView",
    "Preset",
    "Presets",
    "RunnerView",
    "ScopeView",
    "Size",
    "Start",
    "Stop",
    "StopCode",
    "Verdict",
    "Window",
    "Worth",
    "limits_at",
    "plan",
]
