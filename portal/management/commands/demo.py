"""`manage.py demo`: people, candles, books and cohorts, so that every page has something true to show."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from fundops.core.errors import FundopsError
from portal import demo, demo_gate, demo_leverage, demo_promotion, demo_risk


class Command(BaseCommand):
    help = "Fills an empty installation with a demo. Run again it adds only what is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--candles", type=Path, help="a folder or file of real candles to import")
        parser.add_argument("--source", help="a venue to download candles from (kraken, binance, bybit, coinbase)")
        parser.add_argument("--base-url", help="send the download's requests to this host instead, for a simulator")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("This is a production environment: the demo has no business here.")
        made = demo.make_people()
        apps: list[demo_gate.App] = []
        try:
            fund = demo.make_fund()
            apps = demo.make_gate(fund, say=self.say)
            venue = demo.make_candles(
                path=options["candles"], source=options["source"], base_url=options["base_url"], say=self.say
            )
            cohorts = demo.make_cohorts(fund, venue=venue, say=self.say)
            demo_risk.make_risk(fund, say=self.say)
            demo_leverage.make_leverage(fund, cohorts, say=self.say)
            demo_promotion.make_promotion(fund, cohorts, say=self.say)
        except FundopsError as refused:
            raise CommandError(refused.message) from refused
        finally:
            # Whatever else went wrong: these passwords are known to nobody else.
            self.show(made)
            self.show_apps(apps)

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def show(self, made: list[demo.Credential]) -> None:
        if not made:
            self.say("The demo's accounts exist already; their passwords were shown when they were made.")
            self.say("`.venv/bin/python manage.py changepassword NAME` gives one of them a new password.")
            return
        table = Table(title="Sign in on http://127.0.0.1:8000 as (shown once)")
        for heading in ("Role", "Person", "Username", "Password"):
            table.add_column(heading)
        for one in made:
            table.add_row(one.role.value, one.name, one.username, one.password)
        Console(file=self.stdout, width=100).print(table)  # type: ignore[arg-type]

    def show_apps(self, apps: list[demo_gate.App]) -> None:
        if not apps:
            return
        self.say("\nWho signs has an authenticator app. The demo's own pages show its codes where one is asked for;")
        self.say("to use a phone instead, add these keys to it (shown once). Passkeys work on http://localhost:8000.")
        for app in apps:
            self.say(f"  {app.username:<8} {app.otpauth}")
