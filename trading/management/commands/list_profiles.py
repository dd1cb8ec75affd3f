"""``manage.py list_profiles``: the strategy profiles that agents can be drawn from."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from trading.cohorts.installed import installed_profiles, installed_strategies
from trading.strategies.errors import StrategyError
from trading.strategies.profiles import Profile, load_profiles


class Command(BaseCommand):
    help = (
        "List the strategy profiles, built-in and from USER_STRATEGIES_DIR: family, interval, parameters, exit rules."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        parser.add_argument("--family", help="only profiles of this family (name or name@version)")
        parser.add_argument("--folder", type=Path, help="only the profiles of this folder")

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            registry = installed_strategies()
            folder = options["folder"]
            profiles = load_profiles(registry.family, folder=folder) if folder else dict(installed_profiles())
            wanted = registry.family(options["family"]).key if options["family"] else None
        except StrategyError as error:
            raise CommandError(error.message) from error
        chosen = [p for p in profiles.values() if wanted in (None, p.family)]
        if options["json"]:
            self.stdout.write(json.dumps([p.as_dict() for p in chosen], indent=2))
            return
        console = Console(file=cast(IO[str], self.stdout), width=None if self.stdout.isatty() else 140)
        console.print(_table(chosen))
        for refusal in registry.refused:
            console.print(f"[yellow]refused[/] {refusal}", highlight=False)


def _table(profiles: list[Profile]) -> Table:
    table = Table(title=f"{len(profiles)} strategy profiles", title_justify="left", header_style="bold")
    for name in ("profile", "title", "family", "interval", "parameters", "exit rules"):
        table.add_column(name, overflow="fold", no_wrap=name in ("profile", "interval"))
    for profile in profiles:
        data = profile.as_dict()
        table.add_row(
            profile.name,
            profile.title,
            profile.family,
            profile.interval,
            _spans(data["parameters"]) or "the family's bounds",
            _spans(data["exits"]) or "none",
        )
    return table


def _spans(values: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        return f"{value['low']:g} to {value['high']:g}" if isinstance(value, dict) else f"{value:g}"

    return ", ".join(f"{name} {text(value)}" for name, value in values.items())
