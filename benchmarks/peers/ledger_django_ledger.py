"""django-ledger posting two-leg journal entries, for benchmarks.bench_ledger. Runs in the peers' environment.

    DATABASE_URL=... python ledger_django_ledger.py COUNT

Entries go in by ``LedgerModel.commit_txs``, its way to commit and post one, all in one database transaction.
Their balance is checked in Python only. Prints JSON: entries and seconds.
"""

import json
import os
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal

import dj_database_url
import django
from django.conf import settings


def main(count: int) -> None:
    settings.configure(
        DATABASES={"default": dj_database_url.parse(os.environ["DATABASE_URL"])},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "django.contrib.messages",
            "treebeard",
            "django_ledger",
        ],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=True,
        SECRET_KEY="benchmark",  # noqa: S106
        ROOT_URLCONF="django_ledger.urls",
        SILENCED_SYSTEM_CHECKS=["django_ledger"],
    )
    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import transaction
    from django_ledger.io import roles
    from django_ledger.models import EntityModel, JournalEntryModel, TransactionModel

    call_command("migrate", verbosity=0, skip_checks=True)
    admin = get_user_model().objects.create_user("admin")
    entity = EntityModel.create_entity(name="Fund", use_accrual_method=True, admin=admin, fy_start_month=1)
    entity.create_chart_of_accounts(assign_as_default=True, commit=True)
    cash = entity.create_account(code="1010", role=roles.ASSET_CA_CASH, name="Cash", balance_type="debit", active=True)
    income = entity.create_account(
        code="4010", role=roles.INCOME_OPERATIONAL, name="Income", balance_type="credit", active=True
    )
    ledger = entity.create_ledger(name="Ledger", posted=True)
    at = datetime(2024, 1, 1, tzinfo=UTC)
    amount = Decimal("1.25")
    start = time.perf_counter()
    with transaction.atomic():
        for _ in range(count):
            ledger.commit_txs(
                je_timestamp=at,
                je_posted=True,
                je_txs=[
                    {"account": cash, "amount": amount, "tx_type": "debit", "description": ""},
                    {"account": income, "amount": amount, "tx_type": "credit", "description": ""},
                ],
            )
    seconds = time.perf_counter() - start
    if not (TransactionModel.objects.count() == 2 * count):
        raise SystemExit("not everything was posted")
    if not (JournalEntryModel.objects.filter(posted=True).count() == count):
        raise SystemExit("not everything was posted")
    print(json.dumps({"entries": count, "seconds": seconds}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
