"""Stops trading from the machine's console, for when the pages are away."""

from __future__ import annotations

import getpass
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fundops.core.errors import FundopsError
from fundops.core.models import User
from risk.actions.switches import stop_trading, switch_label
from risk.quant.pretrade import TradingMode
from treasury.models import Book


class Command(BaseCommand):
    help = (
        "Stops trading at once: everything, or a book with all below it, or a venue. "
        "Bringing it back takes an approved request; this command cannot."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", required=True, help="why; everybody reads it")
        parser.add_argument("--book", default="", help="only this book and all below it, by its path")
        parser.add_argument("--venue", default="", help="only this venue")
        parser.add_argument("--reduce", action="store_true", help="let closing orders through")
        parser.add_argument("--as", dest="username", default="", help="in whose name (default: the console)")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        book = Book.objects.filter(path=options["book"]).first() if options["book"] else None
        if options["book"] and book is None:
            raise CommandError(f"There is no book {options['book']}.")
        actor = None
        if options["username"]:
            actor = User.objects.filter(username=options["username"], is_active=True).first()
            if actor is None:
                raise CommandError(f"There is no active account {options['username']}.")
        reason = options["reason"] if actor else f"{options['reason']} ({getpass.getuser()} at the console)"
        mode = TradingMode.REDUCING if options["reduce"] else TradingMode.HALTED
        try:
            switch = stop_trading(reason=reason, actor=actor, book=book, venue=options["venue"], mode=mode)
        except FundopsError as refused:
            raise CommandError(refused.message) from refused
        told = {"switch": switch.pk, "scope": switch_label(switch), "mode": switch.mode, "reason": switch.reason}
        self.stdout.write(json.dumps(told) if options["json"] else f"{told['scope']} is {switch.mode.lower()} now.")
