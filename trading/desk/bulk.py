"""Many rows in one statement, for the hot path of a bar close.

Django's bulk_create and bulk_update build an expression a value, which costs more than the database does. Here the rows
travel as one JSON text and PostgreSQL takes them apart (`jsonb_to_recordset`); bytes travel as base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models


@lru_cache(maxsize=64)
def _columns(model: type[models.Model], names: tuple[str, ...]) -> list[tuple[Any, str, str, str]]:
    """Field, quoted column, type in the record, expression that reads it, of each name."""
    found: list[tuple[Any, str, str, str]] = []
    for name in names:
        field: Any = model._meta.get_field(name)
        column = connection.ops.quote_name(field.column)
        if isinstance(field, models.BinaryField):
            found.append((field, column, "text", f"decode(v.{column}, 'base64')"))
        elif isinstance(field, models.JSONField):
            found.append((field, column, "jsonb", f"v.{column}"))
        else:
            found.append((field, column, str(field.rel_db_type(connection)), f"v.{column}"))
    return found


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        if isinstance(o, (bytes, memoryview)):
            return base64.b64encode(o).decode()
        return o.isoformat() if hasattr(o, "isoformat") else super().default(o)


def _document(rows: Collection[models.Model], columns: Sequence[tuple[Any, str, str, str]], *, keyed: bool) -> str:
    fields = [(field.attname, field.column) for field, *_ in columns]
    lines = [{column: getattr(row, attname) for attname, column in fields} for row in rows]
    if keyed:
        for line, row in zip(lines, rows, strict=True):
            line["id"] = row.pk
    return json.dumps(lines, cls=_Encoder)


def save_many(model: type[models.Model], rows: Collection[models.Model], names: Sequence[str]) -> None:
    """Updates these fields of rows that exist, by primary key, in one statement."""
    if not rows:
        return
    columns = _columns(model, tuple(names))
    table = connection.ops.quote_name(model._meta.db_table)
    changes = ", ".join(f"{column} = {value}" for _, column, _, value in columns)
    record = ", ".join(f"{column} {kind}" for _, column, kind, _ in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} t SET {changes} FROM jsonb_to_recordset(%s::jsonb) AS v (id bigint, {record})"  # noqa: S608
            " WHERE t.id = v.id",
            [_document(rows, columns, keyed=True)],
        )


def insert_many(model: type[models.Model], rows: Sequence[models.Model], *, key: str = "") -> None:
    """Inserts rows in their order, in one statement. With ``key``, a field that is unique among them, they get their
    primary keys. Foreign keys must have been saved."""
    if not rows:
        return
    fields: list[Any] = [f for f in model._meta.concrete_fields if not f.primary_key]
    for field in fields:
        if field.is_relation:
            for row in rows:
                target = field.get_cached_value(row, default=None)
                if target is not None:
                    setattr(row, field.attname, target.pk)
    columns = _columns(model, tuple(field.name for field in fields))
    table = connection.ops.quote_name(model._meta.db_table)
    into = ", ".join(column for _, column, _, _ in columns)
    values = ", ".join(value for *_, value in columns)
    record = ", ".join(f"{column} {kind}" for _, column, kind, _ in columns)
    by: Any = model._meta.get_field(key) if key else None
    back = f" RETURNING id, {connection.ops.quote_name(by.column)}" if key else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({into}) SELECT {values} FROM jsonb_to_recordset(%s::jsonb) AS v ({record}){back}",  # noqa: S608
            [_document(rows, columns, keyed=False)],
        )
        if key:
            ids = {value: pk for pk, value in cursor.fetchall()}
            for row in rows:
                row.pk = ids[getattr(row, by.attname)]
                row._state.adding = False
