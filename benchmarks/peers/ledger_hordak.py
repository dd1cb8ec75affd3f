"""django-hordak posting two-leg transactions, for benchmarks.bench_ledger. Runs in the peers' environment.

    DATABASE_URL=... python ledger_hordak.py COUNT

Transactions and legs go in by ``bulk_create`` in one database transaction, the fastest way hordak has; its
triggers check each leg's transaction when that commits. Prints JSON: entries and seconds.
"""

import json
import os
import sys
import time
from datetime import date

import dj_database_url
import django
from django.conf import settings


def main(count: int) -> None:
    settings.configure(
        DATABASES={"default": dj_database_url.parse(os.environ["DATABASE_URL"])},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mptt", "djmoney", "hordak"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=True,
        DEFAULT_CURRENCY="USD",
        CURRENCIES=("USD",),
    )
    django.setup()
    from django.core.management import call_command
    from django.db import transaction
    from hordak.models import Account, Leg, Transaction
    from moneyed import Money

    call_command("migrate", verbosity=0)
    asset, income = (
        Account.objects.create(name=name, code=code, type=kind, currencies=["USD"])
        for name, code, kind in (("Cash", "1", "AS"), ("Income", "2", "IN"))
    )
    amount = Money("1.25", "USD")
    start = time.perf_counter()
    with transaction.atomic():
        made = Transaction.objects.bulk_create(
            [Transaction(date=date(2024, 1, 1), description="") for _ in range(count)], batch_size=5000
        )
        Leg.objects.bulk_create(
            [
                leg
                for posted in made
                for leg in (
                    Leg(transaction=posted, account=asset, debit=amount),
                    Leg(transaction=posted, account=income, credit=amount),
                )
            ],
            batch_size=5000,
        )
    seconds = time.perf_counter() - start
    if not (Leg.objects.count() == 2 * count):
        raise SystemExit("not everything was posted")
    print(json.dumps({"entries": count, "seconds": seconds}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
