"""`python -m tests.world`: the soak, with its report; the last line is JSON where asked for."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import replace

import django


def main() -> int:
    """Play the soak on a database of its own in memory; 1 when anything is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.world", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small one that CI runs")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another week")
    parser.add_argument("--hours", type=float, help="virtual hours instead of the plan's")
    parser.add_argument("--jobs", type=int, help="jobs instead of the plan's")
    parser.add_argument("--faults", type=int, help="faults instead of the plan's")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    parsed = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    logging.disable(logging.CRITICAL)  # refusals and outages are the point of it

    from django.db import connection

    from tests.world import soak

    connection.creation.create_test_db(verbosity=0)
    try:
        plan = soak.SMALL if parsed.quick else soak.FULL
        asked = {"hours": parsed.hours, "jobs": parsed.jobs, "faults": parsed.faults}
        chosen = {name: value for name, value in asked.items() if value is not None}
        report = soak.run(replace(plan, seed=parsed.seed, **chosen))
    finally:
        connection.creation.destroy_test_db(":memory:", verbosity=0)
    sys.stdout.write(f"{report}\n")
    if parsed.json:
        sys.stdout.write(json.dumps(report.as_json(), sort_keys=True) + "\n")
    return int(bool(report.broken))


if __name__ == "__main__":
    sys.exit(main())
