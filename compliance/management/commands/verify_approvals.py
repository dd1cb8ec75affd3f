"""`manage.py verify_approvals`: every policy, statement, signature and execution of the gate, proven again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from compliance.approvals.verifying import verify_approvals


class Command(BaseCommand):
    help = "Verifies every approval: hashes, signatures, people, quorum, executions. Fails on any finding."

    def handle(self, *args: Any, **options: Any) -> None:
        counted, findings = verify_approvals()
        for finding in findings:
            self.stderr.write(f"{finding.subject}: {finding.what}")
        told = (
            f"{counted.policies} policies, {counted.statements} statements, {counted.decisions} decisions, "
            f"{counted.executions} executions"
        )
        if findings:
            raise CommandError(f"{len(findings)} findings in {told}. Tell compliance, and change nothing.")
        self.stdout.write(f"All signatures hold: {told}.")
