"""Bulk inserts through COPY, for rows that come by the thousand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection
from django.db.models import Model
from psycopg import sql


def copy_rows(model: type[Model], fields: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Inserts ``rows`` (values in the order of ``fields``, names or attnames) in the current transaction; their number.

    Columns left out take their database default or NULL; the usual constraints and triggers apply.
    """
    columns: list[str] = [model._meta.get_field(name).column for name in fields]  # type: ignore[union-attr,misc]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(model._meta.db_table), sql.SQL(", ").join([sql.Identifier(column) for column in columns])
    )
    count = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count
