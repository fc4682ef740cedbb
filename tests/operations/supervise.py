"""Runs a supervisor as a process of its own, for tests: it ends all children of who makes it."""

import json
import sys
from pathlib import Path

from runners.supervisor import Program, Supervisor


def main() -> None:
    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    with Supervisor(write) as supervisor:
        for fields in json.loads(sys.argv[1]):
            if "log_file" in fields:
                fields["log_file"] = Path(fields["log_file"])
            if "fatal_exit_codes" in fields:
                fields["fatal_exit_codes"] = frozenset(fields["fatal_exit_codes"])
            supervisor.start(Program(**fields))
        while not supervisor.stopping:
            supervisor.step(0.5)
    sys.exit(supervisor.exit_code)


main()
