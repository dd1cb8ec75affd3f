"""Many rows in one statement, for the hot path of a bar close.

Django builds a query anew each time it is asked, an expression a value, which costs more than the database does. Here
statements are written once and prepared by the database, rows that are written travel as one JSON text that PostgreSQL
takes apart (`json_to_recordset`; bytes travel as base64), and rows that are read become models without a query built.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

import orjson
import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction

_Row = TypeVar("_Row", bound=models.Model)


def run(sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
    """Runs one statement, prepared by the database, with its parameters apart; returns its rows.

    Raises what Django raises of the database's errors. JSON comes back as text. Parameters need casts.
    """
    database = connections[DEFAULT_DB_ALIAS]  # `connection` would look it up at every name below
    database.validate_no_broken_transaction()
    database.ensure_connection()
    with database.wrap_database_errors:
        session: psycopg.Connection[Any] = database.connection
        session.prepare_threshold = 0  # Django switches it off; its own cursors never prepare
        cursor = psycopg.Cursor(session)
        cursor.execute(sql, _adapted(params))
        return cursor.fetchall() if cursor.rownumber is not None else []  # a statement without rows has no place


def _adapted(params: Sequence[Any] | Mapping[str, Any]) -> Sequence[Any] | Mapping[str, Any]:
    """Lists of whole numbers as one text; psycopg would adapt them number by number."""
    if isinstance(params, Mapping):
        return {name: _array(value) for name, value in params.items()}
    return [_array(value) for value in params]


def _array(value: Any) -> Any:
    if type(value) is list and all(type(item) is int for item in value):
        return f"{{{','.join(map(str, value))}}}"
    return value


@contextmanager
def flushed_later() -> Iterator[None]:
    """A transaction that does not wait for the disk at its end; within another one, simply a part of that.

    For what is lost without harm when the database fails the next instant: it is done again, or whoever builds upon it
    commits with a wait, which brings everything committed before to the disk as well.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            run("SELECT set_config('synchronous_commit', 'off', true)")
        yield


# --- Reading ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Selected:
    """How a model is read: its columns, the attributes they go to, and the places that are JSON."""

    columns: str
    attnames: tuple[str, ...]
    documents: tuple[int, ...]


@lru_cache(maxsize=64)
def _selected(model: type[models.Model], without: tuple[str, ...]) -> _Selected:
    fields: list[Any] = [field for field in model._meta.concrete_fields if field.name not in without]
    return _Selected(
        ", ".join(f"t.{connection.ops.quote_name(field.column)}" for field in fields),
        tuple(field.attname for field in fields),
        tuple(place for place, field in enumerate(fields) if isinstance(field, models.JSONField)),
    )


def read_many(
    model: type[_Row], where: str, params: Sequence[Any] = (), *, without: tuple[str, ...] = ()
) -> list[_Row]:
    """The rows of a model, called ``t``, for which ``where`` holds (it may order and lock them too).

    The fields ``without`` are left out, and read one by one when somebody asks for them.
    """
    how = _selected(model, without)
    table = connection.ops.quote_name(model._meta.db_table)
    found = run(f"SELECT {how.columns} FROM {table} t WHERE {where}", params)  # noqa: S608 - names of the model and its columns
    return [model.from_db(connection.alias, how.attnames, _parsed(row, how.documents)) for row in found]


def _parsed(row: Sequence[Any], documents: Sequence[int]) -> Sequence[Any]:
    if not documents:
        return row
    values = list(row)
    for place in documents:
        values[place] = None if values[place] is None else orjson.loads(values[place])
    return values


# --- Writing ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Columns:
    """How fields of a model are written: quoted column, type in the record and the expression that reads it."""

    quoted: tuple[str, ...]
    kinds: tuple[str, ...]
    values: tuple[str, ...]
    plain: tuple[str, ...]
    get: Callable[[models.Model], tuple[Any, ...]]

    @property
    def record(self) -> str:
        return ", ".join(f"{column} {kind}" for column, kind in zip(self.quoted, self.kinds, strict=True))


@lru_cache(maxsize=64)
def _columns(model: type[models.Model], names: tuple[str, ...]) -> _Columns:
    """With the primary key before them, as ``id``."""
    fields: list[Any] = [model._meta.get_field(name) for name in names]
    quoted, kinds, values = ["id"], ["bigint"], ["v.id"]
    for field in fields:
        column = connection.ops.quote_name(field.column)
        bytes_ = isinstance(field, models.BinaryField)
        document = isinstance(field, models.JSONField)
        quoted.append(column)
        kinds.append("text" if bytes_ else "jsonb" if document else str(field.rel_db_type(connection)))
        values.append(f"decode(v.{column}, 'base64')" if bytes_ else f"v.{column}")
    plain = ("id", *(field.column for field in fields))
    return _Columns(
        tuple(quoted), tuple(kinds), tuple(values), plain, attrgetter("pk", *(field.attname for field in fields))
    )


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)


def _document(rows: Collection[models.Model], columns: _Columns) -> str:
    return orjson.dumps([dict(zip(columns.plain, columns.get(row), strict=True)) for row in rows], _plain).decode()


@lru_cache(maxsize=64)
def _update(model: type[models.Model], names: tuple[str, ...], back: str) -> str:
    columns = _columns(model, names)
    table = connection.ops.quote_name(model._meta.db_table)
    pairs = list(zip(columns.quoted, columns.values, strict=True))[1:]
    changes = ", ".join(f"{column} = {value}" for column, value in pairs)
    returning = f" RETURNING {back}" if back else ""
    return (
        f"UPDATE {table} t SET {changes} FROM json_to_recordset(%s::json) AS v ({columns.record})"  # noqa: S608 - names of the model and its columns
        f" WHERE t.id = v.id AND t.id = ANY (%s::bigint[]){returning}"  # by the index, however small the table
    )


def save_many(
    model: type[models.Model], rows: Collection[models.Model], names: Sequence[str], *, back: str = ""
) -> list[tuple[Any, ...]]:
    """Updates these fields of rows that exist, by primary key, in one statement; returns the expressions ``back``."""
    if not rows:
        return []
    wanted = tuple(names)
    return run(_update(model, wanted, back), [_document(rows, _columns(model, wanted)), [row.pk for row in rows]])


@lru_cache(maxsize=64)
def _insert(model: type[models.Model], key: str) -> tuple[str, _Columns]:
    fields: list[Any] = [field for field in model._meta.concrete_fields if not field.primary_key]
    columns = _columns(model, tuple(field.name for field in fields))
    table = connection.ops.quote_name(model._meta.db_table)
    into, values = ", ".join(columns.quoted[1:]), ", ".join(columns.values[1:])
    by: Any = model._meta.get_field(key) if key else None
    back = f" RETURNING id, {connection.ops.quote_name(by.column)}" if key else ""
    return (
        f"INSERT INTO {table} ({into}) SELECT {values} FROM json_to_recordset(%s::json)"  # noqa: S608 - names of the model and its columns
        f" AS v ({columns.record}){back}"
    ), columns


def insert_many(model: type[models.Model], rows: Sequence[models.Model], *, key: str = "") -> None:
    """Inserts rows in their order, in one statement. With ``key``, a field that is unique among them, they get their
    primary keys. Foreign keys must have been saved."""
    if not rows:
        return
    for field in _relations(model):
        for row in rows:
            target = field.get_cached_value(row, default=None)
            if target is not None:
                setattr(row, field.attname, target.pk)
    sql, columns = _insert(model, key)
    told = run(sql, [_document(rows, columns)])
    if not key:
        return
    by: Any = model._meta.get_field(key)
    ids = {value: pk for pk, value in told}
    for row in rows:
        row.pk = ids[getattr(row, by.attname)]
        row._state.adding = False


def insert_rows(model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows given by column, all of them but the primary key, in their order, in one statement."""
    if rows:
        sql, _ = _insert(model, "")
        run(sql, [orjson.dumps(rows, _plain).decode()])


@lru_cache(maxsize=64)
def _relations(model: type[models.Model]) -> list[Any]:
    return [field for field in model._meta.concrete_fields if field.is_relation]
