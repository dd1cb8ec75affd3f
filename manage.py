#!/usr/bin/env python
"""The one command line of the project."""

import os
import sys

from fundops.core.boot import boot

#: Commands that change the schema connect as the role that owns it; everything else never does.
OWNER_COMMANDS = {"migrate", "flush", "createcachetable", "remove_stale_contenttypes"}
#: Commands that read no data: for them nothing is started.
COMMANDS_WITHOUT_SERVICES = {
    "check",
    "check_env",
    "collectstatic",
    "compilemessages",
    "diffsettings",
    "help",
    "makemessages",
    "makemigrations",
    "spectacular",
    "version",
}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command in OWNER_COMMANDS:
        os.environ["FUNDOPS_DB_ROLE"] = "owner"
    wants_help = command.startswith("-") or bool({"-h", "--help"} & set(sys.argv))
    if command != "check_env":  # which explains a broken environment itself
        boot(services=not wants_help and command not in COMMANDS_WITHOUT_SERVICES)
    # Only now that the environment is settled: settings are read on import, and tasks are queued through
    # Celery.
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    import celery_app  # noqa: F401, PLC0415

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
