"""Lists of the API: by pages, or whole as CSV, written row by row as the database hands them over."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async
from django.db.models import Model, QuerySet
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request

from fundops.core.api_classes import CSVRenderer, asks_for_whole_csv, csv_cell, csv_line, flat

if TYPE_CHECKING:
    from rest_framework.generics import GenericAPIView

    _View = GenericAPIView[Any]
else:
    _View = object

M = TypeVar("M", bound=Model)

#: Rows that are held at once, and pieces of text that are sent together.
ROWS_AT_ONCE = 1_000
#: Bytes of a file of unknown columns that are kept in memory before it goes to disk.
_IN_MEMORY = 1 << 20

#: Fields whose values may be mappings, so that only the rows themselves say which columns there are.
_OPEN = (serializers.JSONField, serializers.DictField, serializers.SerializerMethodField, serializers.ReadOnlyField)


class ListMixin(mixins.ListModelMixin, _View):
    """`GET` on a collection."""

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        return self.listed(self.filter_queryset(self.get_queryset()), self.get_serializer_class())

    def listed(self, rows: QuerySet[Any], serializer: type[serializers.BaseSerializer[Any]]) -> HttpResponseBase:
        """``rows`` in the shape of ``serializer``: a page of them, or all as CSV unless a page is asked for."""
        context = self.get_serializer_context()
        if asks_for_whole_csv(self.request):
            return stream_csv(rows, serializer(context=context))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(serializer(page or [], many=True, context=context).data)


class ReadViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[M]):
    """A collection that is read: the list and each of its objects."""


def stream_csv(rows: QuerySet[Any], serializer: serializers.BaseSerializer[Any]) -> StreamingHttpResponse:
    """Every row as a line of CSV; neither the rows nor the text are ever held whole."""
    held = (flat(serializer.to_representation(row)) for row in rows.iterator(chunk_size=ROWS_AT_ONCE))
    text = _lines(held) if _columns_are_known(serializer) else _lines_of_any_columns(held)
    response = StreamingHttpResponse(_sent(_pieces(text)), content_type=f"{CSVRenderer.media_type}; charset=utf-8")
    response["X-Total-Count"] = str(rows.count())
    return response


def _columns_are_known(serializer: serializers.BaseSerializer[Any]) -> bool:
    """Whether every row has the columns of the first: no field is a mapping in one row and none in another."""
    return isinstance(serializer, serializers.Serializer) and all(
        not isinstance(field, _OPEN)
        and not (isinstance(field, serializers.Serializer) and (field.allow_null or not _columns_are_known(field)))
        for field in serializer.fields.values()
    )


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    names: list[str] = []
    for row in rows:
        if not names:
            names = list(row)
            yield csv_line(names)
        yield csv_line(row[name] for name in names)


def _lines_of_any_columns(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The columns are the union of the rows', in order of appearance: known when all were read, so the lines wait in a
    file. A later column comes last, so what a row lacks is empty cells at its end.
    """
    names: dict[str, None] = {}
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, mode="w+", encoding="utf-8") as kept:
        for row in rows:
            names.update(dict.fromkeys(row))
            kept.write(json.dumps([str(csv_cell(row.get(name))) for name in names]) + "\n")
        if names:
            yield csv_line(names)
        kept.seek(0)
        for line in kept:
            cells = json.loads(line)
            yield csv_line(cells + [""] * (len(names) - len(cells)))


def _pieces(lines: Iterator[str]) -> Generator[str, None, None]:
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) == ROWS_AT_ONCE:
            yield "".join(held)
            held = []
    if held:
        yield "".join(held)


@sync_to_async
def _next(pieces: Iterator[str]) -> str | None:
    return next(pieces, None)


async def _sent(pieces: Generator[str, None, None]) -> AsyncIterator[str]:
    """The pieces, each made in the thread that has the request's connection; whatever ends it closes the cursor."""
    try:
        while (piece := await _next(pieces)) is not None:
            yield piece
    finally:
        await sync_to_async(pieces.close)()
