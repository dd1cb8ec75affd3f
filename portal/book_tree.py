"""Choosing a Book: the tree as a reader sees it, the Book a page is about, and where a Book's detail lives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.db.models import Q
from django.http import Http404, HttpRequest
from django.urls import reverse

from fundops.core.models import User
from trading.models.cohort import Cohort, CohortAgent
from treasury.models import Book, BookKind
from treasury.models.books import PATH_SEPARATOR

#: Beyond this many the tree shows the way to the chosen Book and what lies directly below it.
MOST_BOOKS = 400


@dataclass(slots=True)
class Node:
    """A Book of the tree; `current` is the chosen one and `open` the way to it."""

    book: Book
    href: str
    current: bool = False
    open: bool = False
    below: list[Node] = field(default_factory=list)


def chosen_book(request: HttpRequest, *, among: str = "book") -> Book | None:
    """The Book named by `?book=` (its path), else the root of the first fund; None where there is no fund.

    Raises Http404 for a Book that is not there or not the reader's.
    """
    books = Book.objects.for_user(request.user).select_related("fund__base_asset")
    path = request.GET.get(among) or request.POST.get(among) or ""
    path = path.replace("\x00", "")  # PostgreSQL has no such text
    if path:
        found = books.filter(path=path[:400]).first()
        if found is None:
            raise Http404("There is no such book.")
        return found
    return books.filter(parent=None, closed_at=None).order_by("path").first()


def with_book(url_name: str, book: Book, **query: str) -> str:
    """The address of a page about a Book."""
    return f"{reverse(url_name)}?{urlencode({'book': book.path, **query})}"


def book_tree(user: User, chosen: Book | None, *, url_name: str) -> list[Node]:
    """The open Books a reader may see, as a tree; agents only along the way to the chosen Book and below it."""
    books = Book.objects.for_user(user).filter(closed_at=None)
    line = _line(chosen) if chosen is not None else []
    near = Q(pk__in=[]) if chosen is None else Q(path__in=line) | Q(parent=chosen)
    rows = list(books.filter(~Q(kind=BookKind.AGENT) | near).order_by("path")[: MOST_BOOKS + 1])
    if len(rows) > MOST_BOOKS:
        rows = list(books.filter(near | Q(parent=None)).order_by("path")[:MOST_BOOKS])
    nodes = {b.pk: Node(b, with_book(url_name, b)) for b in rows}
    roots: list[Node] = []
    for node in nodes.values():
        node.current = chosen is not None and node.book.pk == chosen.pk
        node.open = node.book.path in line
        up = nodes.get(node.book.parent_id or 0)
        (roots if up is None else up.below).append(node)
    return roots


def _line(book: Book) -> list[str]:
    parts = book.path.split(PATH_SEPARATOR)
    return [PATH_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))]


def line_of(book: Book) -> list[Book]:
    """The Books from the root down to this one."""
    return sorted(Book.objects.filter(path__in=_line(book)), key=lambda b: len(b.path))


def trading_pages(user: User, books: Iterable[Book]) -> dict[int, str]:
    """Where the cohorts and agents behind Books live, by Book id; two queries."""
    cohorts = Cohort.objects.for_user(user)
    by_kind: dict[str, list[int]] = defaultdict(list)
    for book in books:
        by_kind[book.kind].append(book.pk)
    found: dict[int, str] = {}
    if by_kind[BookKind.COHORT]:
        for pk, book_id in cohorts.filter(book__in=by_kind[BookKind.COHORT]).values_list("pk", "book_id"):
            if book_id is not None:
                found[book_id] = reverse("portal:cohort", args=[pk])
    if by_kind[BookKind.AGENT]:
        agents = CohortAgent.objects.filter(book__in=by_kind[BookKind.AGENT], cohort__in=cohorts)
        for cohort_id, number, book_id in agents.values_list("cohort_id", "number", "book_id"):
            found[book_id] = reverse("portal:cohort-agent", args=[cohort_id, number])
    return found
