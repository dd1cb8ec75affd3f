"""`manage.py import_candles PATH...`: candles and funding from files into the catalog."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.table import Table

from trading.actions.marketdata import ImportOutcome, import_candles
from trading.management.commands._marketdata import MarketDataCommand, progress_bar
from trading.marketdata.bars import Kind
from trading.marketdata.formats import FORMATS, ReadOptions, format_names
from trading.marketdata.importer import ImportOptions, expand_paths
from trading.marketdata.intervals import parse_interval
from trading.marketdata.symbols import canonical_symbol
from trading.marketdata.timeparse import parse_timezone


class Command(MarketDataCommand):
    help = (
        "Imports candles or funding rates from files or folders: "
        + "; ".join(fmt.description for fmt in FORMATS)
        + ". Bad rows go to quarantine with a reason. Importing the same file again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or folders")
        parser.add_argument("--venue", help="where the bars traded; otherwise from the path")
        parser.add_argument("--symbol", help="otherwise from a column or the file name")
        parser.add_argument("--interval", help="1m, 5m, 1h, 1d, ...; otherwise from name or rows")
        parser.add_argument("--kind", type=Kind, choices=list(Kind), help="what the prices are (default trade)")
        parser.add_argument("--timezone", help="of stamps that name none: UTC+3, -05:00, Europe/Athens (default UTC)")
        parser.add_argument("--format", choices=format_names(), help="otherwise recognised from the content")
        parser.add_argument(
            "--stamp",
            choices=("auto", "open", "close"),
            default="auto",
            help="which end of the bar the time is",
        )
        parser.add_argument(
            "--last-bar-open",
            action="store_true",
            help="the last bar of each series had not closed: leave it out",
        )
        parser.add_argument("--price-scale", type=float, help="divide prices by this")
        parser.add_argument("--replace", action="store_true", help="let these bars win over different stored ones")
        parser.add_argument("--trust-ticker", action="store_true", help="accept prices far from known ones of the name")

    def run(self, options: dict[str, Any]) -> None:
        symbol, zone = options["symbol"], options["timezone"]
        import_options = ImportOptions(
            read=ReadOptions(
                venue=options["venue"],
                symbol=canonical_symbol(symbol) if symbol else None,
                interval_ms=parse_interval(options["interval"]) if options["interval"] else None,
                zone=parse_timezone(zone) if zone else None,
                kind=options["kind"],
                price_scale=options["price_scale"],
            ),
            format=options["format"],
            stamp=options["stamp"],
            last_bar_open=options["last_bar_open"],
            replace=options["replace"],
            trust_ticker=options["trust_ticker"],
        )
        paths = expand_paths(options["paths"])
        with progress_bar(options) as progress:
            task = progress.add_task("Importing", total=len(paths))

            def advance(name: str, done: int, _total: int) -> None:
                progress.update(task, completed=done, description=name or "Imported")

            outcome = import_candles(paths=paths, options=import_options, actor=self.actor(options), progress=advance)
        if options["json"]:
            self.print_json(outcome.as_json())
        elif outcome.reports:
            self._print(outcome)
        if outcome.failures and not outcome.reports:
            raise CommandError("Nothing was imported.\n" + "\n".join(f.error.message for f in outcome.failures))

    def _print(self, outcome: ImportOutcome) -> None:
        table = Table("series", "rows", "new", "unchanged", "replaced", "quarantined", "missing", "file")
        for report in outcome.reports:
            bad = ", ".join(f"{reason} {count}" for reason, count in report.reasons.items()) or "0"
            missing = str(sum(gap.bars for gap in report.gaps))
            counts = (report.rows_in, report.accepted, report.unchanged, report.replaced)
            table.add_row(str(report.key), *(f"{n:,}" for n in counts), bad, missing, report.source)
        console = self.console()
        console.print(table)
        for report in outcome.reports:
            for note in report.notes:
                console.print(f"{report.key} ({report.source}): {note}", markup=False)
        for failure in outcome.failures:
            console.print(f"Not imported: {failure.error.message}", markup=False)
