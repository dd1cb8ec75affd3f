"""`manage.py synthesise_candles`: an invented market for demos without data, labelled synthetic."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from fundops.core import clock
from trading.actions.marketdata import synthesise_candles
from trading.management.commands._marketdata import MarketDataCommand, show_time, time_argument
from trading.marketdata.intervals import DAY_MS
from trading.marketdata.symbols import canonical_symbol
from trading.marketdata.synthetic import DEFAULT_PRICES, SyntheticSpec


class Command(MarketDataCommand):
    help = "Invents 1m candles under the venue 'synthetic': regimes, fat tails, clustered volatility, correlation."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--symbols", default=",".join(DEFAULT_PRICES), help="comma separated")
        parser.add_argument("--start", help="first minute, UTC (default: so that it ends with yesterday)")
        parser.add_argument("--days", type=int, default=30)
        parser.add_argument("--seed", type=int, default=7)
        parser.add_argument("--correlation", type=float, default=0.6, help="of every pair")

    def run(self, options: dict[str, Any]) -> None:
        today_ms = clock.now_ms() // DAY_MS * DAY_MS
        start_ms = time_argument(options["start"]) if options["start"] else today_ms - options["days"] * DAY_MS
        spec = SyntheticSpec(
            symbols=tuple(canonical_symbol(s) for s in options["symbols"].split(",") if s.strip()),
            start_ms=start_ms,
            minutes=options["days"] * 1440,
            seed=options["seed"],
            correlation=options["correlation"],
        )
        sets = synthesise_candles(spec=spec, actor=self.actor(options))
        if options["json"]:
            self.print_json([{"series": str(s), "rows": s.rows, "synthetic": s.synthetic} for s in sets])
            return
        for s in sets:
            self.stdout.write(f"{s}: {s.rows:,} synthetic bars")
        end = show_time(start_ms + spec.minutes * 60_000)
        self.stdout.write(f"Seed {spec.seed}, {show_time(start_ms)} to {end}. These prices never traded.")
