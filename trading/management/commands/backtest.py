"""``manage.py backtest``: one strategy over stored candles, with every rule and cost of the engine, as a
report.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from fundops.core.clock import from_ms
from fundops.core.errors import FundopsError
from trading.actions.trials import run_backtest
from trading.backtests import find_target
from trading.cohorts.installed import installed_profiles, installed_strategies
from trading.management.commands._people import manager_named
from trading.quant.backtest_report import BacktestReport, backtest_report
from trading.quant.engine import list_cost_profiles
from trading.quant.genome import EXIT_PARAMETERS
from trading.quant.metrics import Ratio


def moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no time; write 2025-05-09 or 2025-05-09T12:00.") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def setting(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        return name, float(value) if equals else float("nan")
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: write a parameter as name=number, such as fast=20.") from error


class Command(BaseCommand):
    help = (
        "Backtest a profile or a strategy on the candle catalog: one agent per symbol (or one for "
        "all symbols where the strategy trades them together); fees, spread, impact, partial fills and exit "
        "rules included. What was tried is recorded, and counts as trials when a cohort of that window is reviewed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("target", help="a profile (see list_profiles) or a strategy, name or name@version")
        parser.add_argument("--venue", required=True, help="venue of the candles in the catalog")
        parser.add_argument("--symbols", required=True, help="comma-separated, as in the catalog")
        parser.add_argument("--start", required=True, type=moment, help="first bar, UTC unless it names a zone")
        parser.add_argument("--end", required=True, type=moment, help="end of the last bar, not included")
        parser.add_argument("--interval", help="bar length; default: the profile's, else 1m")
        parser.add_argument("--draw", type=float, default=1000.0, help="capital of each agent (default 1000)")
        parser.add_argument(
            "--param", type=setting, action="append", default=[], metavar="NAME=VALUE", help="set a parameter"
        )
        parser.add_argument("--seed", type=int, default=0, help="for the ranges of a profile (default 0)")
        parser.add_argument("--costs", default="binance", help=f"cost profile: {', '.join(list_cost_profiles())}")
        parser.add_argument("--leverage", type=float, default=1.0, help="notional per unit of target and draw")
        parser.add_argument("--user", help="who runs it; default: the first portfolio manager")
        parser.add_argument("--json", action="store_true", help="print JSON instead of tables")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            document, reports, notes = self.backtest(options)
        except FundopsError as error:
            raise CommandError(error.message) from error
        if options["json"]:
            document["reports"] = [r.as_dict() for r in reports]
            self.stdout.write(json.dumps(document, indent=2))
            return
        console = Console(file=cast(IO[str], self.stdout), width=None if self.stdout.isatty() else 120)
        console.print(f"[bold]{document['title']}[/] on {document['data']}", highlight=False)
        console.print(f"parameters {document['parameters']}", highlight=False)
        console.print(report_table(reports))
        for note in notes:
            console.print(f"[yellow]note[/] {note}", highlight=False)
        console.print(reports[-1].confidence.statement, highlight=False)
        console.print(f"recorded as trial set {document['trials']['record']}", highlight=False)

    def backtest(self, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[BacktestReport], list[str]]:
        """(what was tested, reports of the agents and, where there are several, of all together, notes)."""
        target = find_target(
            installed_strategies(), installed_profiles(), options["target"], options["param"], options["seed"]
        )
        draw = options["draw"]
        tested = run_backtest(
            actor=manager_named(options["user"]),
            target=target,
            venue=options["venue"],
            symbols=[s.strip() for s in options["symbols"].split(",") if s.strip()],
            interval=options["interval"] or target.interval,
            start=options["start"],
            end=options["end"],
            draw=draw,
            leverage=options["leverage"],
            costs=options["costs"],
            profile=options["target"] if options["target"] in installed_profiles() else "",
        )
        frame, labels, outcome = tested.frame, tested.labels, tested.run
        start = int(frame.ts_ms[0])
        reports = [
            backtest_report(outcome, start_ms=start, initial=draw, agent=k, label=label)
            for k, label in enumerate(labels)
        ]
        if len(reports) > 1:
            reports.append(backtest_report(outcome, start_ms=start, initial=draw * len(labels), label="together"))
        span = f"{from_ms(start):%Y-%m-%d %H:%M} to {from_ms(reports[-1].end_ms):%Y-%m-%d %H:%M} UTC"
        document = {
            "title": target.strategy.title,
            "strategy": target.strategy.key,
            "parameters": target.values,
            "exits": {p.name: getattr(target.exits, p.name) for p in EXIT_PARAMETERS},
            "venue": frame.venue,
            "symbols": list(frame.symbols),
            "interval": frame.interval,
            "data": f"{frame.venue} {', '.join(frame.symbols)}, {frame.interval} bars, {span}",
            "synthetic": frame.synthetic,
            "data_sha256": frame.data_sha256,
            "costs": options["costs"],
            "trials": {"record": tested.trials.pk, "sets": tested.trials.sets},
            "notes": frame.notes(),
        }
        return document, reports, frame.notes()


def report_table(reports: Sequence[BacktestReport]) -> Table:
    """One column a report, one row a figure."""
    table = Table(header_style="bold")
    table.add_column("")
    for report in reports:
        table.add_column(report.label, justify="right")
    for name, cells in _rows(reports):
        table.add_row(name, *cells)
    return table


def _rows(reports: Sequence[BacktestReport]) -> list[tuple[str, list[str]]]:
    def each(text: Any) -> list[str]:
        return [text(r) for r in reports]

    return [
        ("profit", each(lambda r: f"{r.profit:+,.2f}")),
        ("return", each(lambda r: percent(r.total_return))),
        ("Sharpe (n days)", each(lambda r: number(r.sharpe))),
        ("Sortino", each(lambda r: number(r.sortino))),
        ("Calmar", each(lambda r: number(r.calmar))),
        ("max drawdown", each(lambda r: f"{-r.worst_drawdown:.2%}")),
        ("its duration", each(lambda r: duration(r.drawdown.length_ms))),
        ("volatility a year", each(lambda r: percent(r.annual_volatility))),
        ("mean hourly ROI", each(lambda r: percent(r.hourly_roi, places=4))),
        ("closed trades", each(lambda r: f"{r.trades.n:,}")),
        ("hit ratio", each(lambda r: percent(r.trades.hit_ratio, sign=False))),
        ("profit factor", each(lambda r: number(r.trades.profit_factor, n=False))),
        ("expectancy", each(lambda r: number(r.trades.expectancy, n=False))),
        ("average hold", each(lambda r: duration(r.trades.average_hold_ms.value))),
        ("turnover a day", each(lambda r: number(r.turnover_per_day, n=False))),
        ("exposure", each(lambda r: percent(r.exposure, sign=False))),
        ("fees", each(lambda r: f"{r.costs.fees:,.2f}")),
        ("spread", each(lambda r: f"{r.costs.spread:,.2f}")),
        ("impact", each(lambda r: f"{r.costs.impact:,.2f}")),
        ("funding", each(lambda r: f"{r.costs.funding:,.2f}")),
        ("costs of traded", each(lambda r: basis_points(r.costs.of_traded_bps))),
        ("orders refused or cut", each(lambda r: f"{sum(r.rejections.values()):,}")),
        ("P(Sharpe > 0)", each(lambda r: "-" if r.confidence.psr is None else f"{r.confidence.psr:.1%}")),
    ]


def number(ratio: Ratio, *, n: bool = True) -> str:
    if ratio.value is None:
        return "-"
    return f"{ratio.value:,.2f} ({ratio.n})" if n else f"{ratio.value:,.2f}"


def percent(ratio: Ratio, *, places: int = 2, sign: bool = True) -> str:
    return "-" if ratio.value is None else f"{ratio.value:{'+' if sign else ''}.{places}%}"


def basis_points(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} bps"


def duration(ms: float | None) -> str:
    if ms is None:
        return "-"
    minutes = round(ms / 60_000)
    days, rest = divmod(minutes, 1440)
    return f"{days}d {rest // 60}h" if days else f"{rest // 60}h {rest % 60:02d}m"
