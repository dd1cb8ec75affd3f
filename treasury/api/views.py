"""`/api/books/`, `/api/entries/` and `/api/trial-balance/`: the books, to read.

Nothing here writes to them: what would move value, or open and close Books, answers `202 Accepted` with the approval
request that it opened.
"""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from compliance.api.proposing import ProposedSerializer, propose_answer
from fundops.core.api_lists import ReadViewSet
from fundops.core.permissions import declared_permission
from treasury.api.serializers import (
    BalanceQuerySerializer,
    BalanceSerializer,
    BookSerializer,
    CloseBookSerializer,
    EntrySerializer,
    JournalQuerySerializer,
    LedgerLineSerializer,
    OpenBookSerializer,
    OpenFundSerializer,
    PostEntrySerializer,
    ReverseEntrySerializer,
    TrialBalanceQuerySerializer,
    TrialBalanceSerializer,
)
from treasury.approvals import (
    CLOSE_BOOK,
    MAY_CLOSE,
    MAY_OPEN,
    MAY_POST,
    OPEN_BOOK,
    OPEN_FUND,
    POST_ENTRY,
    REVERSE_ENTRY,
)
from treasury.models import Book, BookKind, Fund, JournalEntry, JournalLine
from treasury.selectors import balances, books_to_read, has_granted_books, ledger_lines, trial_balance

READ_BOOKS = "treasury.view_book"
READ_JOURNAL = "treasury.view_journalline"
READ_ENTRIES = "treasury.view_journalentry"

_LINES = Prefetch("lines", JournalLine.objects.select_related("account__book", "asset").order_by("id"))


def _checked(serializer: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _proposed(request: Request, kind: str, asked: dict[str, Any]) -> Response:
    return propose_answer(request, kind=kind, reason=asked.pop("reason"), payload=asked)


class BookFilter(django_filters.FilterSet):
    """`?fund=` code, `?kind=`, `?under=` a path, `?open=`."""

    fund = django_filters.CharFilter(field_name="fund__code")
    kind = django_filters.ChoiceFilter(choices=BookKind.choices)
    under = django_filters.CharFilter(method="filter_under", label="Path of a book: it and all below it")
    open = django_filters.BooleanFilter(field_name="closed_at", lookup_expr="isnull")

    class Meta:
        model = Book
        fields: tuple[str, ...] = ()

    def filter_under(self, books: QuerySet[Book], name: str, path: str) -> QuerySet[Book]:
        return books.filter(path=path) | books.filter(path__startswith=f"{path}/")


class BookViewSet(ReadViewSet[Book]):
    """Books, their balances and their journal.

    The tree is narrowed to what the user may see; balances and the journal need the right to read the
    journal, or a grant of that very Book, of one above it, or of its fund.
    """

    by_object = staticmethod(has_granted_books)

    serializer_class = BookSerializer
    filterset_class = BookFilter
    ordering_fields = ("path", "opened_on", "closed_at")
    permission = {
        "list": READ_BOOKS,
        "retrieve": READ_BOOKS,
        "balances": READ_JOURNAL,
        "entries": READ_JOURNAL,
        "lines": READ_JOURNAL,
        "create": MAY_OPEN,
        "close": MAY_CLOSE,
        "OPTIONS": READ_BOOKS,
    }

    def get_queryset(self) -> QuerySet[Book]:
        permission = declared_permission(self, self.request.method or "GET")
        return books_to_read(self.request.user, permission).select_related("fund").order_by("path")

    def asked(self, serializer: type[BaseSerializer[Any]]) -> dict[str, Any]:
        """The query's parameters, checked."""
        query = serializer(data=self.request.query_params)
        query.is_valid(raise_exception=True)
        found: dict[str, Any] = query.validated_data
        return found

    @extend_schema(parameters=[BalanceQuerySerializer], responses=BalanceSerializer(many=True), filters=False)
    @action(detail=True, pagination_class=None)
    def balances(self, request: Request, pk: str | None = None) -> Response:
        """Sums of lines that are not zero."""
        found = balances(books=self.get_object(), **self.asked(BalanceQuerySerializer))
        return Response(BalanceSerializer(found, many=True).data)

    @extend_schema(parameters=[JournalQuerySerializer], responses=EntrySerializer(many=True), filters=False)
    @action(detail=True)
    def entries(self, request: Request, pk: str | None = None) -> HttpResponseBase:
        """The entries that touch the book, newest first, with all their lines."""
        lines = ledger_lines(book=self.get_object(), **self.asked(JournalQuerySerializer))
        entries = JournalEntry.objects.filter(pk__in=lines.order_by().values("entry_id"))
        return self.listed(
            entries.select_related("fund").prefetch_related(_LINES).order_by("-posting_seq"), EntrySerializer
        )

    @extend_schema(parameters=[JournalQuerySerializer], responses=LedgerLineSerializer(many=True), filters=False)
    @action(detail=True)
    def lines(self, request: Request, pk: str | None = None) -> HttpResponseBase:
        """The lines on the book, newest first; flat, so that they export as CSV."""
        lines = ledger_lines(book=self.get_object(), **self.asked(JournalQuerySerializer))
        return self.listed(lines, LedgerLineSerializer)

    @extend_schema(request=OpenBookSerializer, responses={202: ProposedSerializer})
    def create(self, request: Request) -> Response:
        """Asks for a Book to be opened."""
        return _proposed(request, OPEN_BOOK, _checked(OpenBookSerializer, request))

    @extend_schema(request=CloseBookSerializer, responses={202: ProposedSerializer})
    @action(detail=True, methods=["post"])
    def close(self, request: Request, pk: str | None = None) -> Response:
        """Asks for a Book, with all below it, to be closed."""
        return _proposed(request, CLOSE_BOOK, {"book": self.get_object().path} | _checked(CloseBookSerializer, request))


class EntryViewSet(ReadViewSet[JournalEntry]):
    """Journal entries: `?source_type=&source_id=` finds what stands for a fill or a cohort's day."""

    serializer_class = EntrySerializer
    filterset_fields = ("source_type", "source_id", "kind", "value_date")
    ordering_fields = ("posting_seq", "value_date")
    permission = {
        "list": READ_ENTRIES,
        "retrieve": READ_ENTRIES,
        "create": MAY_POST,
        "reverse": MAY_POST,
        "OPTIONS": READ_ENTRIES,
    }

    def get_queryset(self) -> QuerySet[JournalEntry]:
        entries = JournalEntry.objects.for_user(self.request.user)
        return entries.select_related("fund").prefetch_related(_LINES).order_by("-pk")

    @extend_schema(request=PostEntrySerializer, responses={202: ProposedSerializer})
    def create(self, request: Request) -> Response:
        """Asks for an entry to be posted by hand."""
        return _proposed(request, POST_ENTRY, _checked(PostEntrySerializer, request))

    @extend_schema(request=ReverseEntrySerializer, responses={202: ProposedSerializer})
    @action(detail=True, methods=["post"])
    def reverse(self, request: Request, pk: str | None = None) -> Response:
        """Asks for the exact mirror of an entry."""
        entry = self.get_object()
        named = {"fund": entry.fund.code, "posting_seq": entry.posting_seq}
        return _proposed(request, REVERSE_ENTRY, named | _checked(ReverseEntrySerializer, request))


class OpenFundView(APIView):
    """Asks for a fund to be opened."""

    permission = MAY_OPEN

    @extend_schema(request=OpenFundSerializer, responses={202: ProposedSerializer})
    def post(self, request: Request) -> Response:
        return _proposed(request, OPEN_FUND, _checked(OpenFundSerializer, request))


class TrialBalanceView(APIView):
    """Everything a fund's books say, and that it sums to zero in every asset."""

    permission = READ_JOURNAL

    @extend_schema(parameters=[TrialBalanceQuerySerializer], responses=TrialBalanceSerializer)
    def get(self, request: Request) -> Response:
        query = TrialBalanceQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = dict(query.validated_data)
        fund = get_object_or_404(Fund.objects.for_user(request.user), code=asked.pop("fund"))
        return Response(TrialBalanceSerializer(trial_balance(fund=fund, **asked)).data)
