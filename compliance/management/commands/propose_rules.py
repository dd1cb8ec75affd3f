"""`manage.py propose_rules`: asks for the shipped rules, by one request that people then sign as any other."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from compliance.founding import missing_policies, propose_missing_policies
from fundops.core.errors import FundopsError
from fundops.core.models import User


class Command(BaseCommand):
    help = (
        "Proposes the rules the product comes with, for kinds of action without any, in the name of an account. "
        "Nothing is in force before risk and operations have signed the request and a third person has released it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--maker", help="the account that asks; its person neither signs nor releases")
        parser.add_argument("--list", action="store_true", help="show what is missing, and propose nothing")
        parser.add_argument("--json", action="store_true", help="one JSON document")

    def handle(self, *args: Any, **options: Any) -> None:
        missing = [document["kind"] for document in missing_policies()]
        request_id = None
        if missing and not options["list"]:
            request_id = self._propose(options["maker"])
        if options["json"]:
            self.stdout.write(json.dumps({"missing": missing, "request": request_id}))
        elif not missing:
            self.stdout.write("Every kind of action has rules in force.")
        else:
            self.stdout.write(f"Without rules: {', '.join(missing)}.")
            if request_id:
                self.stdout.write(f"Proposed. Sign and release it at /approvals/{request_id}/")

    def _propose(self, username: str | None) -> str:
        maker = User.objects.filter(username=username or "").first()
        if maker is None:
            raise CommandError("Name the account that asks: --maker NAME.")
        try:
            request = propose_missing_policies(maker=maker)
        except FundopsError as refused:
            raise CommandError(refused.message) from refused
        assert request is not None  # noqa: S101 - something is missing
        return str(request.pk)
