#!/usr/bin/env python
"""The one command line of the project."""

import os
import sys

#: Commands that change the schema connect as the role that owns it; everything else never does.
OWNER_COMMANDS = {"migrate", "flush", "createcachetable", "remove_stale_contenttypes"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
    if len(sys.argv) > 1 and sys.argv[1] in OWNER_COMMANDS:
        os.environ["FUNDOPS_DB_ROLE"] = "owner"
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - after the environment is set

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
