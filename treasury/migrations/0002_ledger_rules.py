"""Puts the rules of the books into the database: the SQL of treasury/sql."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("treasury", "0001_initial")]

    operations = [
        migrations.RunSQL(
            sql="\n".join((SQL / name).read_text() for name in ("entries.sql", "lines.sql", "books.sql")),
            reverse_sql=(SQL / "drop.sql").read_text(),
        ),
    ]
