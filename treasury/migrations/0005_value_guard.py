"""Replaces the guard of journal lines by one that says the same in time that grows with the number of lines."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


def _as_before() -> str:
    """The guard as migration 0003 made it."""
    rules = (SQL / "gate_guards.sql").read_text()
    begin = rules.index("CREATE FUNCTION public.treasury_guard_lines()")
    end = rules.index("CREATE TRIGGER treasury_value_guard")
    return rules[begin:end].replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)


class Migration(migrations.Migration):
    dependencies = [("treasury", "0004_bankroll_pool")]
    operations = [migrations.RunSQL([(SQL / "value_guard.sql").read_text()], [_as_before()])]
