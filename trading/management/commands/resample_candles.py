"""`manage.py resample_candles VENUE SYMBOL... --to 5m,1h`: coarser bars from stored ones."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from trading.actions.marketdata import resample_candles
from trading.management.commands._marketdata import MarketDataCommand, show_time
from trading.marketdata.bars import Kind, SeriesKey
from trading.marketdata.intervals import parse_interval
from trading.marketdata.symbols import canonical_symbol


class Command(MarketDataCommand):
    help = (
        "Makes coarser bars of stored ones. A bar that would lack one of its parts is left out and named, "
        "unless "
        "--keep-incomplete: on venues without a row for quiet minutes it is the honest choice."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("venue")
        parser.add_argument("symbols", nargs="+", metavar="SYMBOL")
        parser.add_argument("--from", dest="source", default="1m", metavar="INTERVAL")
        parser.add_argument("--to", required=True, metavar="INTERVALS", help="one or several: 5m,1h,1d")
        parser.add_argument("--kind", type=Kind, choices=list(Kind), default=Kind.TRADE)
        parser.add_argument("--keep-incomplete", action="store_true", help="store bars that lack a part, too")

    def run(self, options: dict[str, Any]) -> None:
        documents: list[dict[str, Any]] = []
        for symbol in options["symbols"]:
            key = SeriesKey(
                options["venue"], canonical_symbol(symbol), parse_interval(options["source"]), options["kind"]
            )
            for target in options["to"].split(","):
                outcome = resample_candles(
                    key=key,
                    to_ms=parse_interval(target),
                    actor=self.actor(options),
                    keep_incomplete=options["keep_incomplete"],
                )
                documents.append(
                    {
                        "series": str(outcome.candle_set),
                        "accepted": outcome.accepted,
                        "unchanged": outcome.unchanged,
                        "replaced": outcome.replaced,
                        "incomplete": [show_time(ms) for ms in outcome.incomplete_ms],
                        "kept_incomplete": outcome.kept_incomplete,
                    }
                )
        if options["json"]:
            self.print_json(documents)
            return
        for document in documents:
            lost = document["incomplete"]
            fate = "stored as they are" if document["kept_incomplete"] else "left out"
            shown = f"; {len(lost)} incomplete, {fate}: {', '.join(lost[:5])}" if lost else ""
            names = {"accepted": "new", "unchanged": "unchanged", "replaced": "replaced"}
            counts = ", ".join(f"{document[name]:,} {word}" for name, word in names.items())
            self.stdout.write(f"{document['series']}: {counts}{shown}{' ...' if len(lost) > 5 else ''}")
