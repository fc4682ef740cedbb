"""The whole product in one process on a clock that only tests move: see `world.py`."""
