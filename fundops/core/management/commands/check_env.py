"""Prints every setting in force, where it came from, and what is wrong with any of them."""

from __future__ import annotations

import io
import json
import shutil
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fundops.core.env import (
    Env,
    EnvironmentInvalidError,
    Source,
    env_file,
    load_env,
    render_example,
    sources,
    unknown_variables,
)
from fundops.core.redaction import MASK, redact_text


class Command(BaseCommand):
    help = "Prints every setting in force, its value (secrets masked) and where it came from. Starts nothing."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--example", action="store_true", help="print the text of .env.example")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["example"]:
            self.stdout.write(render_example(), ending="")
            return
        try:
            env = load_env()
        except EnvironmentInvalidError as error:
            self._print_problems(error, as_json=options["json"])
            raise SystemExit(2) from None
        rows = _rows(env)
        if options["json"]:
            self.stdout.write(json.dumps({"valid": True, "settings": rows, "unknown": unknown_variables()}, indent=2))
        else:
            self._print_table(env, rows)

    def _print_problems(self, error: EnvironmentInvalidError, *, as_json: bool) -> None:
        if as_json:
            problems = [vars(problem) for problem in error.problems]
            self.stdout.write(json.dumps({"valid": False, "problems": problems}, indent=2))
        else:
            self.stderr.write(str(error))

    def _print_table(self, env: Env, rows: list[dict[str, Any]]) -> None:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size((160, 50)).columns
        text = io.StringIO()
        console = Console(file=text, width=width, highlight=False, markup=False, force_terminal=terminal)
        table = Table(title=f"Environment in force: {env.fundops_env}", title_justify="left")
        for heading in ("Setting", "Value", "From", "What it is"):
            table.add_column(heading, overflow="fold")
        for row in rows:
            cells = (
                row["name"],
                "" if row["value"] is None else str(row["value"]),
                row["source"],
                row["what"],
            )
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
        file = env_file()
        console.print(f"File of settings: {file if file and file.is_file() else 'none'}")
        if env.database_url is None and not env.production:
            console.print("DATABASE_URL and REDIS_URL are not set: commands that need them start an embedded pair.")
        for name in unknown_variables():
            console.print(f"Unknown variable {name}: it has no effect.")
        self.stdout.write(text.getvalue(), ending="")


def _rows(env: Env) -> list[dict[str, Any]]:
    found = sources(env)
    return [
        {
            "name": name.upper(),
            "value": _shown(env, name, found[name]),
            "source": found[name],
            "what": field.description,
        }
        for name, field in type(env).model_fields.items()
    ]


def _shown(env: Env, name: str, source: Source) -> Any:
    """The value for eyes: a URL keeps all but its password, another secret only says that it is set."""
    value = getattr(env, name)
    if not isinstance(value, SecretStr):
        return value
    text = value.get_secret_value()
    if "://" in text:
        return redact_text(text)
    return f"{MASK} (made at first start)" if source is Source.DEFAULT else MASK
