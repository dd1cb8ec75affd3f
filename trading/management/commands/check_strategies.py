"""``manage.py check_strategies``: prove every strategy again, or the ones named."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from trading.quant.lookahead import CheckReport
from trading.strategies.errors import StrategyError
from trading.strategies.profiles import load_profiles, load_user_profiles
from trading.strategies.registry import Refusal, Strategy, load_registry, run_check


class Command(BaseCommand):
    help = (
        "Check strategies, built-in and from USER_STRATEGIES_DIR, for lookahead, warm-up, range, "
        "reproducibility and memory bounds, and the profiles kept with them. Exits with 1 when one fails or a "
        "file cannot be loaded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("strategies", nargs="*", help="names or keys (name@version); all when left out")
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        parser.add_argument("--folder", type=Path, help="user strategies folder (default: USER_STRATEGIES_DIR)")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            folder = Path(options["folder"] or settings.USER_STRATEGIES_DIR)
            registry = load_registry(folder, check=False)
            everything: dict[str, Strategy] = {**registry.families, **registry.frames}
            names = set(everything) | {s.name for s in everything.values()}
            for name in options["strategies"]:
                if name not in names:
                    registry.family(name)  # says what was meant
        except StrategyError as error:
            raise CommandError(error.message) from error
        wanted = set(options["strategies"]) or names
        chosen = [s for k, s in everything.items() if k in wanted or s.name in wanted]
        quiet = options["json"] or not self.stderr.isatty()
        bar = Console(file=cast(IO[str], self.stderr))
        reports = [run_check(s) for s in track(chosen, "checking", console=bar, disable=quiet, transient=True)]
        refused: list[Refusal] = []
        if not options["strategies"]:
            taken = load_profiles(registry.family)
            _, findings = load_user_profiles(registry.family, folder=folder, taken=taken)
            refused = [*registry.refused, *(Refusal(f.path, f.line, f.reason) for f in findings)]
        if options["json"]:
            document = {
                "reports": [{**asdict(r), "passed": r.passed} for r in reports],
                "refused": [{"path": str(r.path), "line": r.line, "reason": r.reason} for r in refused],
            }
            self.stdout.write(json.dumps(document, indent=2))
        else:
            console = Console(file=cast(IO[str], self.stdout), width=None if self.stdout.isatty() else 120)
            console.print(_table(reports))
            for refusal in refused:
                console.print(f"[red]refused[/] {refusal}", highlight=False)
        failed = sum(not r.passed for r in reports) + len(refused)
        if failed:
            raise CommandError(
                f"{failed} of {len(reports) + len(refused)} strategies and profiles may not be used.", returncode=1
            )


def _table(reports: list[CheckReport]) -> Table:
    table = Table(title="strategy checks", title_justify="left", header_style="bold")
    for name in ("strategy", "result", "parameter sets", "bars", "finding"):
        table.add_column(name, justify="right" if name in ("parameter sets", "bars") else "left", overflow="fold")
    for report in reports:
        table.add_row(
            report.key,
            "[green]passed[/]" if report.passed else "[red]failed[/]",
            str(report.points),
            f"{report.bars:,}",
            "\n".join(report.problems),
        )
    return table
