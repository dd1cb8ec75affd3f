"""`manage.py trial_balance FUND`: everything a fund's books say, and that it sums to zero."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import date, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_date, parse_datetime

from treasury.api.serializers import TrialBalanceSerializer, plain
from treasury.models import AccountKind, Fund
from treasury.selectors import TrialBalance, trial_balance


def day(text: str) -> date:
    """A calendar day of the command line."""
    found = parse_date(text)
    if found is None:
        raise ValueError(text)
    return found


def known(text: str) -> datetime | int:
    """A posting_seq, or an instant with its zone."""
    if text.isdecimal():
        return int(text)
    found = parse_datetime(text)
    if found is None or found.tzinfo is None:
        raise ValueError(text)
    return found


class Command(BaseCommand):
    help = (
        "Prints a fund's trial balance by account kind and asset. Exits with an error if it is not zero, "
        "which only tampering can make it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("fund", help="The fund's code.")
        parser.add_argument("--as-of", type=day, help="Count value dates up to this day (YYYY-MM-DD).")
        parser.add_argument(
            "--as-known",
            type=known,
            help="Count what was booked up to this posting_seq or instant with zone.",
        )
        parser.add_argument("--json", action="store_true", help="Print JSON instead of a table.")

    def handle(self, *args: Any, **options: Any) -> None:
        fund = Fund.objects.filter(code=options["fund"]).first()
        if fund is None:
            funds = ", ".join(Fund.objects.values_list("code", flat=True)) or "none yet"
            raise CommandError(f"There is no fund '{options['fund']}'. Funds: {funds}.")
        found = trial_balance(fund=fund, as_of=options["as_of"], as_known=options["as_known"])
        if options["json"]:
            self.stdout.write(json.dumps(TrialBalanceSerializer(found).data, indent=2))
        else:
            self.stdout.write(table(found))
        if not found.is_balanced:
            raise CommandError(
                "The books do not balance: somebody went round the database's rules. Run verify_audit, and "
                "compare each posting batch with its digest."
            )


def table(found: TrialBalance) -> str:
    """The trial balance for reading: one row an account kind and asset, then the totals."""
    rows = [(AccountKind(row.kind).label if row.kind else "", row.asset, plain(row.amount)) for row in found.rows]
    totals = [("Total", asset, plain(amount)) for asset, amount in sorted(found.totals.items())]
    widths = [max((len(row[i]) for row in [*rows, *totals]), default=0) for i in range(3)]
    kind, asset, amount = widths
    written = [f"{row[0]:<{kind}}  {row[1]:<{asset}}  {row[2]:>{amount}}" for row in [*rows, *totals]]
    rule = "-" * (sum(widths) + 4)
    head = f"{found.fund}, up to posting {found.last_seq}"
    return "\n".join([head, *written[: len(rows)], rule, *written[len(rows) :]])
