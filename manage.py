#!/usr/bin/env python3
"""Command line of the dashboard: `manage.py help` lists what it can do."""

import os
import sys

from django.core.management import execute_from_command_line

from fleetui.env import CONFIGURATION_EXIT_CODE, ConfigurationError


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetui.settings")
    try:
        # Read here, before Django wraps a bad value in a traceback of its own.
        __import__(os.environ["DJANGO_SETTINGS_MODULE"])
    except ConfigurationError as err:
        print(err, file=sys.stderr)  # noqa: T201
        sys.exit(CONFIGURATION_EXIT_CODE)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
