"""`/api/books/`, `/api/entries/` and `/api/trial-balance/`: the books, to read. Nothing here writes."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from treasury.api.serializers import (
    BalanceQuerySerializer,
    BalanceSerializer,
    BookSerializer,
    EntrySerializer,
    JournalQuerySerializer,
    LedgerLineSerializer,
    TrialBalanceQuerySerializer,
    TrialBalanceSerializer,
)
from treasury.models import Book, BookKind, Fund, JournalEntry, JournalLine
from treasury.selectors import balances, ledger_lines, trial_balance

READ_BOOKS = "treasury.view_book"
READ_JOURNAL = "treasury.view_journalline"

_LINES = Prefetch("lines", JournalLine.objects.select_related("account__book", "asset").order_by("id"))


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


class BookViewSet(viewsets.ReadOnlyModelViewSet[Book]):
    """Books, their balances and their journal.

    The tree is narrowed to what the user may see; balances and the journal need the right to read the
    journal.
    """

    serializer_class = BookSerializer
    filterset_class = BookFilter
    ordering_fields = ("path", "opened_on", "closed_at")
    permission = {
        "list": READ_BOOKS,
        "retrieve": READ_BOOKS,
        "balances": READ_JOURNAL,
        "entries": READ_JOURNAL,
        "lines": READ_JOURNAL,
        "OPTIONS": READ_BOOKS,
    }

    def get_queryset(self) -> QuerySet[Book]:
        return Book.objects.for_user(self.request.user).select_related("fund").order_by("path")

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
    def entries(self, request: Request, pk: str | None = None) -> Response:
        """The entries that touch the book, newest first, with all their lines."""
        lines = ledger_lines(book=self.get_object(), **self.asked(JournalQuerySerializer))
        entries = JournalEntry.objects.filter(pk__in=lines.order_by().values("entry_id"))
        return self.paged(
            entries.select_related("fund").prefetch_related(_LINES).order_by("-posting_seq"), EntrySerializer
        )

    @extend_schema(parameters=[JournalQuerySerializer], responses=LedgerLineSerializer(many=True), filters=False)
    @action(detail=True)
    def lines(self, request: Request, pk: str | None = None) -> Response:
        """The lines on the book, newest first; flat, so that they export as CSV."""
        lines = ledger_lines(book=self.get_object(), **self.asked(JournalQuerySerializer))
        return self.paged(lines, LedgerLineSerializer)

    def paged(self, rows: QuerySet[Any], serializer: type[BaseSerializer[Any]]) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(serializer(page, many=True).data)


class EntryViewSet(viewsets.ReadOnlyModelViewSet[JournalEntry]):
    """Journal entries: `?source_type=&source_id=` finds what stands for a fill or a cohort's day."""

    serializer_class = EntrySerializer
    filterset_fields = ("source_type", "source_id", "kind", "value_date")
    ordering_fields = ("posting_seq", "value_date")
    permission = "treasury.view_journalentry"

    def get_queryset(self) -> QuerySet[JournalEntry]:
        entries = JournalEntry.objects.for_user(self.request.user)
        return entries.select_related("fund").prefetch_related(_LINES).order_by("-pk")


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
