"""`manage.py check_candles`: gaps, damaged files and quarantine of the catalog, and filling the gaps."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from trading.actions.marketdata import backfill_candles, open_catalog_for_writing
from trading.management.commands._marketdata import MarketDataCommand, venue_source, wall_pacer
from trading.marketdata.bars import Kind
from trading.marketdata.catalog import Catalog
from trading.marketdata.gaps import missing_count
from trading.marketdata.intervals import parse_interval
from trading.marketdata.manifest import Manifest
from trading.marketdata.symbols import canonical_symbol


class Command(MarketDataCommand):
    help = (
        "Names the missing bars of every series and verifies the stored files. With --backfill gaps are "
        "filled "
        "from finer candles of the catalog, and with --download from the venue. Exit code 1 when a file is "
        "damaged."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--venue")
        parser.add_argument("--symbol")
        parser.add_argument("--interval")
        parser.add_argument("--backfill", action="store_true", help="fill gaps with what a source can give")
        parser.add_argument("--download", action="store_true", help="let --backfill ask the venue too")
        parser.add_argument("--base-url", help="send requests to this host instead, for a simulator")
        parser.add_argument("--gaps", type=int, default=10, help="how many gaps to name of each series (default 10)")

    def run(self, options: dict[str, Any]) -> None:
        catalog = open_catalog_for_writing()
        found = [m for m in catalog.manifests(venue=options["venue"]) if m.parts and _wanted(m, options)]
        documents = [self._check(catalog, manifest, options) for manifest in found]
        if options["json"]:
            self.print_json(documents)
        elif not found:
            self.stdout.write("No candles of that kind in the catalog.")
        if any(document["damaged"] for document in documents):
            raise CommandError("The catalog is damaged: import or download the periods named above with --replace.")

    def _check(self, catalog: Catalog, manifest: Manifest, options: dict[str, Any]) -> dict[str, Any]:
        key = manifest.key
        damaged = catalog.damaged_parts(key)
        filled: dict[str, Any] = {}
        gaps = [] if damaged else catalog.gaps(key)
        if options["backfill"] and gaps and not damaged:
            source = None
            if options["download"] and key.kind is Kind.TRADE and not key.synthetic:
                source = venue_source(key.venue, options["base_url"])
            outcome = backfill_candles(
                key=key,
                actor=self.actor(options),
                source=source,
                pacer=wall_pacer(source) if source else None,
            )
            gaps = outcome.left
            filled = {"from_finer": outcome.from_finer, "from_venue": outcome.from_venue}
        document = {
            "series": str(key),
            "synthetic": manifest.synthetic,
            "bars": manifest.rows,
            "missing": missing_count(gaps),
            "gaps": [{"first_ms": g.first_ms, "last_ms": g.last_ms, "bars": g.bars} for g in gaps],
            "quarantined": manifest.quarantined,
            "damaged": damaged,
            **filled,
        }
        if not options["json"]:
            self._print(document, [str(gap) for gap in gaps], options["gaps"])
        return document

    def _print(self, document: dict[str, Any], gaps: list[str], limit: int) -> None:
        label = " (synthetic)" if document["synthetic"] else ""
        line = f"{document['series']}{label}: {document['bars']:,} bars, {document['missing']:,} missing"
        line += f", {document['quarantined']:,} in quarantine"
        if "from_finer" in document:
            line += f"; filled {document['from_finer']} from finer bars"
            line += f" and {document['from_venue']} from the venue"
        self.stdout.write(line)
        for gap in gaps[:limit]:
            self.stdout.write(f"  missing {gap}")
        if len(gaps) > limit:
            self.stdout.write(f"  and {len(gaps) - limit} more gaps")
        for problem in document["damaged"]:
            self.stdout.write(f"  DAMAGED {problem}")


def _wanted(manifest: Manifest, options: dict[str, Any]) -> bool:
    symbol, interval = options["symbol"], options["interval"]
    return (not symbol or manifest.key.symbol == canonical_symbol(symbol)) and (
        not interval or manifest.key.interval_ms == parse_interval(interval)
    )
