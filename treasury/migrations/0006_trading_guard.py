"""Lets the guard of journal lines pass what trading does by itself with one sum a Book."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("treasury", "0005_value_guard")]
    operations = [
        migrations.RunSQL([(SQL / "trading_guard.sql").read_text()], [(SQL / "value_guard.sql").read_text()])
    ]
