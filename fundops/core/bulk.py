"""Many rows in one statement, for the hot path of a bar close.

Django builds a query anew each time it is asked, an expression a value, which costs more than the database does. Here
statements are written once and prepared by the database, rows that are written travel as one JSON text that PostgreSQL
takes apart (`json_to_recordset`; bytes travel as base64), and rows that are read become models without a query built.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import orjson
import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction
from django.db.models.base import ModelState
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

_Row = TypeVar("_Row", bound=models.Model)


def run(sql: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
    """Runs one statement, prepared by the database, with its parameters apart; returns its rows.

    Raises what Django raises of the database's errors. JSON comes back as text. Parameters need casts. There is no
    cursor in between: it costs more than most answers do.
    """
    text, names = _numbered(sql)
    given = [params[name] for name in names or ()] if isinstance(params, Mapping) else params
    with _session() as session:
        adapt = Transformer(session)
        values: Any = adapt.dump_sequence([_array(value) for value in given], _TEXTS[: len(given)])
        if _is_to_begin(session):
            _done(session, session.pgconn.exec_(b"BEGIN"))
        result = _done(session, session.pgconn.exec_prepared(_prepared(session, text), values))
        if result.status != ExecStatus.TUPLES_OK:
            return []
        adapt.set_pgresult(result)
        return adapt.load_rows(0, result.ntuples, tuple)


def order(sql: str) -> None:
    """Runs statements that take no parameters and have no rows, one message for all of them."""
    with _session() as session:
        begin = "BEGIN; " if _is_to_begin(session) else ""
        _done(session, session.pgconn.exec_(f"{begin}{sql}".encode()))


_TEXTS = [PyFormat.TEXT] * 32
#: What each session has prepared, by its text.
_names: WeakKeyDictionary[psycopg.Connection[Any], dict[str, bytes]] = WeakKeyDictionary()


@contextmanager
def _session() -> Iterator[psycopg.Connection[Any]]:
    """The session of Django's own connection, its errors as Django's."""
    database = connections[DEFAULT_DB_ALIAS]  # `connection` would look it up at every name below
    database.validate_no_broken_transaction()
    database.close_if_health_check_failed()
    database.ensure_connection()
    with database.wrap_database_errors:
        yield database.connection


def _is_to_begin(session: psycopg.Connection[Any]) -> bool:
    """Whether Django has asked for a transaction and nothing was done in it yet."""
    return not session.autocommit and session.pgconn.transaction_status == TransactionStatus.IDLE


def _prepared(session: psycopg.Connection[Any], text: str) -> bytes:
    """The name under which the session has this statement."""
    names = _names.setdefault(session, {})
    name = names.get(text)
    if name is None:
        name = f"bulk_{len(names)}".encode()
        _done(session, session.pgconn.prepare(name, text.encode()))
        names[text] = name
    return name


def _done(session: psycopg.Connection[Any], result: PGresult) -> PGresult:
    if result.status == ExecStatus.FATAL_ERROR:
        if session.closed:
            raise psycopg.OperationalError(result.get_error_message())
        raise error_from_result(result)
    return result


@lru_cache(maxsize=512)
def _numbered(sql: str) -> tuple[str, tuple[str, ...] | None]:
    """A statement with its places numbered as the database wants them, and the names they had, where they had any."""
    names: list[str] = []

    def number(place: re.Match[str]) -> str:
        if place[0] == "%%":
            return "%"
        if place[1] is None or place[1] not in names:
            names.append(place[1] or "")
        return f"${len(names) if place[1] is None else names.index(place[1]) + 1}"

    text = re.sub(r"%%|%s|%\((\w+)\)s", number, sql)
    return text, tuple(names) if any(names) else None


def _array(value: Any) -> Any:
    """A list of whole numbers as one text; psycopg would adapt it number by number."""
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
            order("SET LOCAL synchronous_commit TO off")
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
    return [_read(model, zip(how.attnames, _parsed(row, how.documents), strict=True)) for row in found]


def _read(model: type[_Row], values: Iterable[tuple[str, Any]]) -> _Row:
    """As `Model.from_db` makes it. A field that is not given is read when somebody asks for it."""
    row = _bare(model)
    row.__dict__.update(values)
    row._state.adding = False
    row._state.db = DEFAULT_DB_ALIAS
    return row


def _bare(model: type[_Row]) -> _Row:
    row = model.__new__(model)
    row._state = ModelState()
    return row


def _parsed(row: Sequence[Any], documents: Sequence[int]) -> Sequence[Any]:
    if not documents:
        return row
    values = list(row)
    for place in documents:
        values[place] = None if values[place] is None else orjson.loads(values[place])
    return values


@lru_cache(maxsize=64)
def _defaults(model: type[models.Model]) -> tuple[dict[str, Any], tuple[Any, ...], dict[str, str]]:
    """Of a new row: its plain defaults, the fields whose defaults are made anew, and its relations by name."""
    fields: list[Any] = list(model._meta.concrete_fields)
    made_anew = tuple(field for field in fields if field.has_default() and callable(field.default))
    plain = {field.attname: field.get_default() for field in fields if field not in made_anew}
    return plain, made_anew, {field.name: field.attname for field in fields if field.is_relation}


def new_row(model: type[_Row], **values: Any) -> _Row:
    """A row that is not yet written, as the model's constructor makes it of these values, in a fifth of its time."""
    plain, made_anew, relations = _defaults(model)
    row = _bare(model)
    content = row.__dict__
    content.update(plain)
    for field in made_anew:
        content[field.attname] = field.get_default()
    for name, value in values.items():
        attname = relations.get(name)
        if attname is None:
            content[name] = value
        else:
            row._state.fields_cache[name] = value
            content[attname] = None if value is None else value.pk
    return row


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
