"""`manage.py run_cohort`: launch a cohort and see it through, in this process."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fundops.core.errors import FundopsError
from fundops.core.models import User
from trading.actions.cohort import launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_run import Progress as Stretch
from trading.cohorts.refusals import with_refusals
from trading.errors import CohortSpecError
from trading.management.commands._people import manager_named
from trading.models.cohort import INTERVAL_MINUTES, Allocation, Cohort, CohortMode, CohortStatus, GenomeSource
from trading.selectors.cohort import default_fund, latest_window, leaderboard
from treasury.models import Fund


# --- The types of its arguments: each says what it wants, in the words of a person ------------------------------
def amount(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ArgumentTypeError(f"'{text}' is no number: write it as 1000 or 0.5.")
    return number


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is no day: write it as 2026-01-31.") from None


def whole(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"'{text}' is no whole number from 0 on.")
    return int(text)


def speed(text: str) -> float:
    number = amount(text)
    if number < 1:
        raise ArgumentTypeError(f"A speed of {text} is below the market's own: give 1 or more.")
    return float(number)


def ids(text: str) -> list[int]:
    wrong = [name for name in _names(text) if not name.isdecimal()]
    if wrong:
        raise ArgumentTypeError(f"'{wrong[0]}' is no cohort's number: write them as 3,4.")
    return [int(name) for name in _names(text)]


class Command(BaseCommand):
    help = "Runs a cohort of paper agents on a shared bankroll and prints its days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--agents", type=whole, default=30, help="1 to 10,000 (default 30)")
        parser.add_argument("--bankroll", type=amount, default=Decimal(1000), help="shared, at least 50 (default 1000)")
        parser.add_argument("--venue", help="default: the venue with the most candles")
        parser.add_argument("--symbols", help="comma separated; default: every symbol that covers the window")
        parser.add_argument("--interval", choices=list(INTERVAL_MINUTES), default="1m")
        parser.add_argument("--start", type=day, help="first day, UTC; default: the last days at hand")
        parser.add_argument("--days", type=whole, default=3)
        parser.add_argument("--allocation", choices=Allocation.values, default=Allocation.EQUAL)
        parser.add_argument("--genomes", choices=GenomeSource.values, default=GenomeSource.PROFILES)
        parser.add_argument("--profiles", help="comma separated; default: all")
        parser.add_argument("--parents", type=ids, default=[], help="cohort ids, comma separated, for --genomes best")
        parser.add_argument("--costs", default="binance", help="cost profile")
        parser.add_argument("--gross", type=amount, default=Decimal(1), help="gross exposure ceiling")
        parser.add_argument("--net", type=amount, default=Decimal(1), help="net exposure ceiling")
        parser.add_argument("--leverage", type=amount, default=Decimal(2), help="leverage ceiling of an agent")
        parser.add_argument("--market-cap", type=amount, default=Decimal("0.5"), help="ceiling for one market")
        parser.add_argument("--stop", type=amount, help="parent drawdown that ends it (0.05); default: none")
        parser.add_argument("--seed", type=whole, default=0)
        parser.add_argument("--name", default="")
        parser.add_argument("--fund", help="fund code; default: the first fund")
        parser.add_argument("--user", help="who launches; default: the first portfolio manager")
        parser.add_argument(
            "--forward",
            type=speed,
            metavar="SPEED",
            help="forward at this speed (1: the market's own), left to workers",
        )
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except CohortSpecError as refused:
            raise CommandError(
                "\n".join(f"{field}: {text}" for field, texts in refused.fields.items() for text in texts)
            ) from refused
        except FundopsError as refused:
            raise CommandError(refused.message) from refused

    def _run(self, options: dict[str, Any]) -> None:
        forward = options["forward"]
        cohort = _cohort(options)
        actor = manager_named(options["user"])
        parents = _parents(actor, options["parents"])
        launch_cohort(cohort=cohort, actor=actor, parents=parents, queued=forward is not None)
        if forward is not None:
            self.stdout.write(f"Cohort {cohort.pk} launched; the workers drive it.")
            return
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=options["json"]) as bar:
            task = bar.add_task(str(cohort), total=cohort.end_ms - cohort.start_ms)

            def report(moved: Cohort, stretch: Stretch) -> None:
                bar.update(task, completed=stretch.next_bar_ms - moved.start_ms)

            cohort = drive_cohort(cohort_id=cohort.pk, report=report)
        if cohort.status != CohortStatus.COMPLETED:
            why = cohort.failure or cohort.waiting_for
            raise CommandError(f"Cohort {cohort.pk} is {cohort.get_status_display().lower()}: {why}".rstrip(": "))
        if options["json"]:
            self.stdout.write(json.dumps(_summary(cohort), indent=2))
        else:
            _print(cohort, Console(file=self.stdout))  # type: ignore[arg-type]


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _cohort(options: dict[str, Any]) -> Cohort:
    fund = Fund.objects.filter(code=options["fund"]).first() if options["fund"] else default_fund()
    if fund is None:
        codes = ", ".join(Fund.objects.order_by("code").values_list("code", flat=True))
        there = f"there are {codes}" if codes else "open one first (manage.py demo opens one)"
        raise CommandError(
            f"There is no fund {options['fund']!r}: {there}." if codes else f"There is no fund: {there}."
        )
    window = latest_window(interval=options["interval"], days=options["days"], venue=options["venue"])
    start = options["start"] or (window.start if window else None)
    if start is None:
        raise CommandError(f"No {options['interval']} candles cover {options['days']} whole days: import some first.")
    venue = options["venue"] or (window.venue if window else "")
    forward = options["forward"]
    return Cohort(
        fund=fund,
        name=options["name"],
        mode=CohortMode.REPLAY if forward is None else CohortMode.FORWARD,
        speed=1.0 if forward is None else forward,
        agent_count=options["agents"],
        bankroll=options["bankroll"],
        allocation=options["allocation"],
        venue=venue,
        symbols=_names(options["symbols"]) or (list(window.symbols) if window else []),
        interval=options["interval"],
        start=start,
        days=options["days"],
        genome_source=options["genomes"],
        profiles=_names(options["profiles"]),
        cost_profile=options["costs"],
        gross_ceiling=options["gross"],
        net_ceiling=options["net"],
        leverage_ceiling=options["leverage"],
        market_cap_frac=options["market_cap"],
        drawdown_stop_frac=options["stop"],
        seed=options["seed"],
    )


def _parents(actor: User, wanted: Sequence[int]) -> list[Cohort]:
    """The cohorts of these numbers, in that order; raises CommandError for those that are not there."""
    found = Cohort.objects.for_user(actor).in_bulk(wanted)
    if missing := [str(pk) for pk in wanted if pk not in found]:
        raise CommandError(f"There is no cohort {', '.join(missing)} to take genomes from.")
    return [found[pk] for pk in wanted]


def _summary(cohort: Cohort) -> dict[str, Any]:
    return {
        "id": cohort.pk,
        "name": cohort.name,
        "synthetic": cohort.synthetic,
        "days": [
            {
                "day": day.day,
                "date": day.date.isoformat(),
                "equity": str(day.equity),
                "roi_frac": day.roi_frac,
                "drawdown_frac": day.drawdown_frac,
                "trades": day.trades,
                "rejected": day.rejected,
                "denied": day.denied,
                "fees": str(day.fees),
                "largest_difference": str(day.largest_difference),
            }
            for day in with_refusals(cohort.cohort_days.order_by("day"))
        ],
        "leaders": [
            {"agent": row.agent.number, "profile": row.agent.profile, "roi_frac": row.roi_frac}
            for row in leaderboard(cohort, day=cohort.days)[:10]
        ],
    }


def _print(cohort: Cohort, console: Console) -> None:
    label = " (synthetic data)" if cohort.synthetic else ""
    days = Table(title=f"{cohort}{label}: {cohort.agent_count} agents on {cohort.bankroll} {cohort.quote}")
    for heading in (
        "Day",
        "Equity",
        "Return",
        "Drawdown",
        "Utilisation",
        "Trades",
        "Rejected",
        "Denied",
        "Fees",
        "Books differ by",
    ):
        days.add_column(heading, justify="right")
    for day in with_refusals(cohort.cohort_days.order_by("day")):
        days.add_row(
            f"{day.day} ({day.date:%d %b})",
            f"{day.equity:,.2f}",
            f"{day.roi_frac:+.2%}",
            f"{day.drawdown_frac:.2%}",
            f"{day.utilisation_frac:.0%}",
            f"{day.trades:,}",
            f"{day.rejected:,}",
            f"{day.denied:,}",
            f"{day.fees:,.2f}",
            f"{day.largest_difference:.8f}",
        )
    console.print(days)
    leaders = Table(title=f"Leaders of day {cohort.days}")
    for heading in ("Rank", "Agent", "Profile", "Market", "Return", "P(Sharpe > 0)", "n"):
        leaders.add_column(heading, justify="right")
    for row in leaderboard(cohort, day=cohort.days)[:10]:
        leaders.add_row(
            str(row.rank),
            str(row.agent.number),
            row.agent.profile or row.agent.family,
            row.agent.symbol or "all",
            f"{row.roi_frac:+.2%}",
            "-" if row.confidence is None else f"{row.confidence:.0%}",
            str(row.sample_size),
        )
    console.print(leaders)
