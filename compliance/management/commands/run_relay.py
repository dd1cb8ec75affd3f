"""`manage.py run_relay`: seals the audit stream and brings it to live pages and consumers until it is
stopped."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from compliance.relay.anchors import anchor_file
from compliance.relay.service import Relay


class Command(BaseCommand):
    help = (
        "Seals committed audit events into the hash chain and relays them to live pages and registered "
        "consumers. "
        "Start as many as you like: one leads, the others wait for it to go."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--anchor-file",
            type=Path,
            default=None,
            help="Where the head of the chain is written down (JSON lines).",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        relay = Relay(anchor_file=options["anchor_file"] or anchor_file())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: relay.stop())
        relay.run()
