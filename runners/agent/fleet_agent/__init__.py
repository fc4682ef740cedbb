"""The host agent of Fleetui: one process a host that runs runners as the dashboard wants them.

It dials out only, opens no port, and imports nothing of the dashboard; the two share the JSON
contract in ``docs/guide/agent-protocol.md``.
"""

__version__ = "0.1.0"

PROTOCOL = 1
