"""A stand-in GitHub for tests and the demo: plain Python that knows nothing of the dashboard.

``with Simulator() as simulator:`` serves GitHub's REST API for runners at ``simulator.api_url``
and talks to the stand-in runner package; ``python -m runners.simulator`` is the same as a program.
"""

from runners.simulator.clock import Clock
from runners.simulator.demand import JobOrder
from runners.simulator.faults import Fault
from runners.simulator.seed import Seed
from runners.simulator.server import Certificate
from runners.simulator.settings import Limits, Settings, Timings
from runners.simulator.simulator import Simulator

__all__ = [
    "Certificate",
    "Clock",
    "Fault",
    "JobOrder",
    "Limits",
    "Seed",
    "Settings",
    "Simulator",
    "Timings",
]
