"""What the candle commands share: who acts, times on the command line, progress and errors."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import import_string
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.models import User
from trading.marketdata.bars import NAT_US, Reason
from trading.marketdata.download import CandleSource, Pacer
from trading.marketdata.errors import MarketDataError
from trading.marketdata.timeparse import parse_times


class MarketDataCommand(BaseCommand):
    """A command that turns our refusals into one clear line and exit code 1."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the result as JSON and nothing else")
        parser.add_argument("--user", help="username of who acts; without it the system itself")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.run(options)
        except FundopsError as error:
            raise CommandError(error.message) from error

    def run(self, options: dict[str, Any]) -> None:
        raise NotImplementedError

    def actor(self, options: dict[str, Any]) -> User | None:
        name = options["user"]
        if not name:
            return None
        try:
            return User.objects.get(username=name)
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user '{name}'.") from error

    def print_json(self, document: Any) -> None:
        self.stdout.write(json.dumps(document, indent=2, default=str))

    def console(self) -> Console:
        """Tables as wide as the terminal; in a pipe as wide as they need."""
        wide = None if self.stdout.isatty() else 200
        return Console(file=self.stdout, width=wide, soft_wrap=True)  # type: ignore[arg-type]


@contextmanager
def progress_bar(options: dict[str, Any]) -> Iterator[Progress]:
    """A bar on the error stream, so that the result can be piped."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=options["json"] or not console.is_terminal) as progress:
        yield progress


def time_argument(text: str) -> int:
    """Epoch milliseconds of "2025-05-04", "2025-05-04T12:00Z" or an epoch number; UTC where it names no
    zone.
    """
    stamps, bad = parse_times([text], UTC)
    if bad or int(stamps[0]) == NAT_US:
        why = "is no time" if bad.get(0) is not Reason.MISSING_VALUE else "is empty"
        raise CommandError(f"'{text}' {why}: write for example 2025-05-04 or 2025-05-04T12:00Z.")
    return int(stamps[0]) // 1000


def show_time(ms: int | None) -> str:
    return "" if ms is None else datetime.fromtimestamp(ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")


def venue_source(venue: str, base_url: str | None) -> CandleSource:
    """The venue through ccxt, which only a process that downloads loads: it costs seconds and 90 MB."""
    try:
        source: CandleSource = import_string("trading.marketdata.ccxt_source.CcxtSource")(venue, base_url=base_url)
    except ImportError as error:
        raise MarketDataError(f"ccxt cannot be loaded ({error}): install requirements/base.txt.") from error
    return source


def wall_pacer(source: CandleSource) -> Pacer:
    return Pacer(source.min_pause_ms, now_ms=clock.now_ms, sleep=time.sleep)
