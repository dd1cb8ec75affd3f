"""`manage.py verify_ledger [FUND]`: proves that the books are what was posted, or names what is not."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from treasury.models import Fund
from treasury.verification import verify_ledger


class Command(BaseCommand):
    help = (
        "Checks every entry of a fund (or of all funds): sums, numbers, and the digest in its audit event. "
        "Ends with status 1 and names the entries when something was changed. "
        "Run verify_audit for the events themselves."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("fund", nargs="?", help="The fund's code; all funds without it.")
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print the verdicts as JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        funds = Fund.objects.filter(code=options["fund"]) if options["fund"] else Fund.objects.all()
        if options["fund"] and not funds:
            raise CommandError(f"There is no fund '{options['fund']}'.")
        verdicts = [verify_ledger(fund=fund) for fund in funds]
        if options["as_json"]:
            self.stdout.write(json.dumps([asdict(v) | {"intact": v.intact} for v in verdicts], indent=2))
        else:
            for verdict in verdicts:
                for finding in verdict.findings:
                    self.stdout.write(self.style.ERROR(f"{verdict.fund}: {finding.code}: {finding.message}"))
                state = "intact" if verdict.intact else f"{len(verdict.findings)} findings"
                self.stdout.write(f"{verdict.fund}: {verdict.entries:,} entries, {verdict.lines:,} lines: {state}")
        if not all(verdict.intact for verdict in verdicts):
            sys.exit(1)
