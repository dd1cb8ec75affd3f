"""`manage.py verify_audit`: proves that nobody rewrote the audit stream, or names what was rewritten."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from compliance.relay.anchors import anchor_file
from compliance.verify import Verdict, verify_chain


class Command(BaseCommand):
    help = "Checks the hash chain of the audit stream; ends with status 1 and names the rows when it is broken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print the verdict as JSON.")
        parser.add_argument("--from", type=int, default=1, dest="from_seq", metavar="SEQ", help="Begin at this place.")
        parser.add_argument("--anchor-file", type=Path, default=None, help="The file of anchors to check against.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["from_seq"] < 1:
            raise CommandError("--from takes a place in the chain; the first is 1.")
        columns = (TextColumn("Verifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("verify", total=None)
            verdict = verify_chain(
                from_seq=options["from_seq"],
                file=options["anchor_file"] or anchor_file(),
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        if options["as_json"]:
            self.stdout.write(json.dumps(verdict.to_json(), default=str))
        else:
            self._tell(verdict)
        if not verdict.intact:
            sys.exit(1)

    def _tell(self, verdict: Verdict) -> None:
        for finding in verdict.findings:
            self.stdout.write(self.style.ERROR(f"{finding.code}: {finding.message}"))
        if verdict.count > len(verdict.findings):
            self.stdout.write(self.style.ERROR(f"... and {verdict.count - len(verdict.findings):,} more."))
        for note in verdict.notes:
            self.stdout.write(self.style.WARNING(note))
        summary = (
            f"{verdict.checked:,} events checked up to place {verdict.head_seq:,}, "
            f"{verdict.anchors_checked:,} anchors met, {verdict.unsealed:,} events not sealed yet."
        )
        if verdict.intact:
            self.stdout.write(self.style.SUCCESS(f"The chain is intact. {summary}"))
            self.stdout.write(f"Head: {verdict.head_hash}")
        else:
            self.stdout.write(self.style.ERROR(f"THE CHAIN IS BROKEN: {verdict.count:,} findings. {summary}"))
