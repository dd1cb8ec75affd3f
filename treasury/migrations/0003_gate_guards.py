"""Value is moved by hand, and funds and Books are opened and closed, by approved requests alone."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations

GUARDS = (Path(__file__).resolve().parent.parent / "sql" / "gate_guards.sql").read_text()
UNDO = """
DROP FUNCTION treasury_guard_funds() CASCADE;
DROP FUNCTION treasury_guard_books() CASCADE;
DROP FUNCTION treasury_guard_lines() CASCADE;
DROP FUNCTION treasury_is_home(bigint, text, bigint, text);
DROP FUNCTION treasury_is_paper(bigint);
DROP FUNCTION treasury_book_kinds();
DROP FUNCTION treasury_value_kinds();
"""


class Migration(migrations.Migration):
    dependencies = [("treasury", "0002_ledger_rules"), ("compliance", "0005_evidence_files")]
    operations = [
        migrations.AlterModelOptions(
            name="book",
            options={
                "ordering": ("path",),
                "permissions": [
                    ("open_book", "Can ask for funds and books to be opened"),
                    ("close_book", "Can ask for books to be closed"),
                ],
            },
        ),
        migrations.AlterModelOptions(
            name="journalentry",
            options={
                "ordering": ("fund", "posting_seq"),
                "verbose_name_plural": "journal entries",
                "permissions": [("propose_entry", "Can ask for entries to be posted and reversed by hand")],
            },
        ),
        migrations.RunSQL([GUARDS], [UNDO]),
    ]
