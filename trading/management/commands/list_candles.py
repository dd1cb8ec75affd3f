"""`manage.py list_candles`: what the catalog holds."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from rich.table import Table

from trading.actions.marketdata import sync_catalog
from trading.management.commands._marketdata import MarketDataCommand
from trading.marketdata.intervals import parse_interval
from trading.marketdata.symbols import canonical_symbol
from trading.models.marketdata import CandleSet
from trading.selectors.marketdata import candle_set_list


class Command(MarketDataCommand):
    help = "Lists the candle sets of the catalog."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--venue")
        parser.add_argument("--symbol")
        parser.add_argument("--interval")
        parser.add_argument("--sync", action="store_true", help="first read the catalog anew, after it was moved")

    def run(self, options: dict[str, Any]) -> None:
        if options["sync"]:
            sync_catalog(actor=self.actor(options))
        sets = candle_set_list(
            venue=options["venue"],
            symbol=canonical_symbol(options["symbol"]) if options["symbol"] else None,
            interval_ms=parse_interval(options["interval"]) if options["interval"] else None,
        )
        if options["json"]:
            self.print_json([_as_json(s) for s in sets])
            return
        table = Table("venue", "symbol", "interval", "kind", "bars", "first", "last", "missing", "quarantined", "")
        for s in sets:
            first, last = (at.strftime("%Y-%m-%d %H:%M") if at else "" for at in (s.first_at, s.last_at))
            label = "synthetic" if s.synthetic else ""
            counts = (f"{s.missing:,}", f"{s.quarantined:,}")
            table.add_row(s.venue, s.symbol, s.interval, s.kind, f"{s.rows:,}", first, last, *counts, label)
        self.console().print(table)
        if not sets:
            self.stdout.write(
                "No candles yet: import_candles PATH, download_candles VENUE SYMBOL, or synthesise_candles. "
                "After moving a catalog here: list_candles --sync."
            )


def _as_json(s: CandleSet) -> dict[str, Any]:
    names = (
        "venue",
        "symbol",
        "interval",
        "kind",
        "synthetic",
        "rows",
        "missing",
        "quarantined",
        "source",
        "sha256",
    )
    times = {"first_at": s.first_at, "last_at": s.last_at, "updated_at": s.updated_at}
    return {name: getattr(s, name) for name in names} | {k: v.isoformat() if v else None for k, v in times.items()}
