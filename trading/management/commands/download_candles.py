"""`manage.py download_candles VENUE SYMBOL...`: candles from a venue's public endpoint into the catalog."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from rich.table import Table

from fundops.core import clock
from fundops.core.errors import FundopsError
from trading.actions.marketdata import download_candles
from trading.management.commands._marketdata import (
    MarketDataCommand,
    progress_bar,
    show_time,
    time_argument,
    venue_source,
    wall_pacer,
)
from trading.marketdata.download import DownloadReport
from trading.marketdata.intervals import DAY_MS, parse_interval


class Command(MarketDataCommand):
    help = (
        "Downloads closed candles page by page. Run again after an interruption, it goes on where it "
        "stopped. "
        "Only public endpoints are used; no key is needed or read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("venue", help="binance, binance_perp, bybit, bybit_perp, coinbase, kraken, ...")
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL", help="BTC/USDT or BTCUSDT")
        parser.add_argument("--interval", default="1m")
        parser.add_argument("--since", help="first bar, UTC (default: seven days ago)")
        parser.add_argument("--until", help="end, not included (default: now)")
        parser.add_argument("--refetch", action="store_true", help="fetch bars again that are stored already")
        parser.add_argument("--base-url", help="send requests to this host instead, for a simulator")

    def run(self, options: dict[str, Any]) -> None:
        now_ms = clock.now_ms()
        since_ms = time_argument(options["since"]) if options["since"] else now_ms // DAY_MS * DAY_MS - 7 * DAY_MS
        until_ms = time_argument(options["until"]) if options["until"] else now_ms
        if until_ms <= since_ms:
            raise CommandError("--until must lie after --since.")
        interval_ms = parse_interval(options["interval"])
        source = venue_source(options["venue"], options["base_url"])
        pacer = wall_pacer(source)
        actor = self.actor(options)
        reports: list[DownloadReport] = []
        failures: dict[str, str] = {}
        with progress_bar(options) as progress:
            for symbol in options["symbols"]:
                task = progress.add_task(symbol, total=None)

                def advance(done: int, total: int, task: Any = task) -> None:
                    progress.update(task, completed=done // interval_ms, total=total // interval_ms)

                try:
                    report = download_candles(
                        source=source,
                        symbol=symbol,
                        interval_ms=interval_ms,
                        since_ms=since_ms,
                        until_ms=until_ms,
                        actor=actor,
                        pacer=pacer,
                        progress=advance,
                        refetch=options["refetch"],
                    )
                except FundopsError as error:
                    failures[symbol] = error.message
                    continue
                reports.append(report)
        if options["json"]:
            self.print_json({"series": [r.as_json() for r in reports], "failures": failures})
        else:
            self._print(reports)
        if failures:
            raise CommandError("\n".join(f"{symbol}: {message}" for symbol, message in failures.items()))

    def _print(self, reports: list[DownloadReport]) -> None:
        table = Table("series", "from", "until", "pages", "retries", "new", "unchanged", "quarantined", "stored until")
        for r in reports:
            last = show_time(r.manifest.last_ms) if r.manifest else ""
            numbers = (r.pages, r.retries, r.accepted, r.unchanged, len(r.quarantined))
            window = (show_time(r.resumed_at_ms or r.since_ms), show_time(r.until_ms))
            table.add_row(str(r.key), *window, *(f"{n:,}" for n in numbers), last)
        console = self.console()
        console.print(table)
        for r in reports:
            for note in r.notes:
                console.print(f"{r.key}: {note}", markup=False)
