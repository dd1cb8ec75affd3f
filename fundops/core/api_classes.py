"""The classes that REST framework's settings name: sign-in, pages, renderers.

They live apart from `fundops.core.api` because that one imports the framework's views, which import these.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rest_framework.authentication import SessionAuthentication
from rest_framework.pagination import PageNumberPagination
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from fundops.core.problems import PROBLEM_JSON

PAGE_SIZE = 50
MAX_PAGE_SIZE = 1_000


class SessionLogin(SessionAuthentication):
    """The browser's session, with CSRF protection; says 401 (not 403) to who is not signed in."""

    def authenticate_header(self, request: Request) -> str:
        return "Session"


class Page(PageNumberPagination):
    """`?page=2&page_size=100`, at most 1,000 a page; CSV comes whole unless a page or a size is asked for."""

    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def get_paginated_response(self, data: Any) -> Response:
        response = super().get_paginated_response(data)
        if self.page is not None:
            response["X-Total-Count"] = str(self.page.paginator.count)
        return response


def asks_for_whole_csv(request: Request) -> bool:
    """Whether a list is to be answered as one CSV file of all its rows."""
    as_csv = getattr(getattr(request, "accepted_renderer", None), "format", "") == CSVRenderer.format
    return as_csv and not {Page.page_query_param, Page.page_size_query_param} & request.query_params.keys()


# --- Renderers ---
class ProblemRenderer(BaseRenderer):
    media_type = PROBLEM_JSON
    format = "problem"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        rendered: bytes = JSONRenderer().render(data, *args, **kwargs)
        return rendered


class CSVRenderer(BaseRenderer):
    """`?format=csv` or `Accept: text/csv`: the rows of a list, a column a field, nested ones with dots."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return to_csv([flat(row) for row in rows_of(data)]).encode()


def rows_of(data: Any) -> list[Any]:
    """The list in an answer: a page's results, a bare list, or the one object itself."""
    if isinstance(data, Mapping):
        results = data.get("results")
        return list(results) if isinstance(results, Sequence) and "count" in data else [data]
    return list(data or [])


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``; lists stay, as text."""
    if not isinstance(value, Mapping):
        return {prefix or "value": value}
    columns: dict[str, Any] = {}
    for key, inner in value.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(inner, Mapping):
            columns |= flat(inner, name)
        else:
            columns[name] = inner
    return columns


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; the columns are the union of theirs, in order of appearance."""
    held = list(rows)
    names = list(dict.fromkeys(name for row in held for name in row))
    lines = (csv_line(row.get(name) for name in names) for row in held)
    return "".join([csv_line(names), *lines]) if names else ""


def csv_line(cells: Iterable[Any]) -> str:
    """One line of CSV, its end included."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([csv_cell(cell) for cell in cells])
    return out.getvalue()


def csv_cell(value: Any) -> Any:
    """None as an empty cell; text that a spreadsheet would run as a formula is marked as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value[:1] in "=+-@\t\r" and value[:1] and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
