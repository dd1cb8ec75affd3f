"""The books to read: a fund's tree, and each Book with its balances and its latest entries."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Count, F, Q, Value
from django.db.models.functions import Concat
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from compliance.selectors import live_seq
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.book_tree import line_of, trading_pages, with_book
from trading.cohorts.postings import MOVEMENT_SOURCE
from treasury.models import Book, JournalEntry
from treasury.models.books import PATH_SEPARATOR
from treasury.selectors import By, balances, books_to_read, has_granted_books, ledger_lines

READ = "treasury.view_journalline"
LINES_SHOWN = 50
#: Sums over everything below a Book of more books than this wait until they are asked for.
CHILDREN_SHOWN = 200


@require_GET
@permission_required(READ, by_object=has_granted_books)
def book_list(request: HttpRequest) -> HttpResponse:
    """The roots a reader may see, or the topmost Books granted to them; with one fund only, still the list."""
    books = books_to_read(request.user, READ)
    tops, counted = Q(parent=None), Q(fund__books__closed_at=None)
    if not may(request.user, READ):
        tops |= ~Q(parent__in=books.values("pk"))
        counted &= Q(fund__books=F("pk")) | Q(fund__books__path__startswith=Concat(F("path"), Value(PATH_SEPARATOR)))
    below = Count("fund__books", filter=counted)
    roots = books.filter(tops).select_related("fund__base_asset").annotate(below=below).order_by("path")
    return render(request, "books/list.html", {"roots": roots, "crumbs": [("Books", "")]})


@require_GET
@permission_required(READ, by_object=has_granted_books)
def book_page(request: HttpRequest, path: str) -> HttpResponse:
    """A Book: balances (its own, or with all below: `?below=1`), the Books under it, its lines newest first.

    `?as_of=` keeps entries with a value date up to that day.
    """
    user = _user(request)
    books = books_to_read(user, READ).select_related("fund__base_asset", "parent")
    book: Book = get_object_or_404(books, path=path.strip("/"))
    as_of = _day(request)
    below = request.GET.get("below") == "1"
    children = list(Book.objects.filter(parent=book).order_by("closed_at", "path")[: CHILDREN_SHOWN + 1])
    pages = trading_pages(user, [book, *children])
    lines = Paginator(ledger_lines(book=book, descendants=below, as_of=as_of), LINES_SHOWN).get_page(
        request.GET.get("page")
    )
    entries = [line.entry for line in lines]
    line = line_of(book)
    readable = set(books_to_read(user, READ).filter(pk__in=[b.pk for b in line]).values_list("pk", flat=True))
    context: dict[str, Any] = {
        "book": book,
        "base": book.fund.base_asset.code,
        "below": below,
        "as_of": as_of,
        "balances": balances(books=book, descendants=below, as_of=as_of, by=(By.KIND,)),
        "children": [(child, pages.get(child.pk, "")) for child in children[:CHILDREN_SHOWN]],
        "children_more": len(children) > CHILDREN_SHOWN,
        "lines": [(row, fill_page(row.entry)) for row in lines],
        "page": lines,
        "entry_count": len({e.pk for e in entries}),
        "query": "&".join(
            part for part in ("below=1" if below else "", f"as_of={as_of.isoformat()}" if as_of else "") if part
        ),
        "trading_page": pages.get(book.pk, ""),
        "risk_page": with_book("portal:risk", book) if may(user, "risk.view_risklimit") and book.is_open else "",
        "crumbs": [
            ("Books", reverse("portal:books")),
            *((b.code, reverse("portal:book", args=[b.path])) for b in line[:-1] if b.pk in readable),
            (book.code, ""),
        ],
        "live_after": live_seq(),
    }
    return render(request, "books/detail.html", context)


def fill_page(entry: JournalEntry) -> str:
    """Where the fill that an entry stands for is shown; empty for any other entry."""
    if entry.source_type != MOVEMENT_SOURCE:
        return ""
    cohort, _, rest = entry.source_id.partition(":")
    kind, _, number = rest.partition(":")
    if kind != "fill" or not (cohort.isdecimal() and number.isdecimal()):
        return ""
    return reverse("portal:cohort-fill", args=[int(cohort), int(number)])


def _day(request: HttpRequest) -> date | None:
    text = request.GET.get("as_of", "")
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Http404(f"'{text[:20]}' is no day: write it as 2026-01-31.") from None


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the decorator lets nobody else in
    return request.user
