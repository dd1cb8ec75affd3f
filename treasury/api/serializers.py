"""The books in JSON: amounts are strings in plain decimal notation, never floats."""

from __future__ import annotations

from datetime import datetime
from decimal import Context, Decimal
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compliance.api.proposing import ReasonField
from fundops.core.money import WORKING_PRECISION
from treasury.models import AccountKind, Book, BookKind, EntryKind, JournalEntry, JournalLine
from treasury.selectors import By

_EXACT = Context(prec=WORKING_PRECISION)
BY_NAMES = {"book": By.BOOK, "account": By.ACCOUNT, "kind": By.KIND}


def plain(amount: Decimal) -> str:
    """The amount exactly, without exponent or trailing zeros."""
    return format(amount.normalize(_EXACT), "f") if amount else "0"


@extend_schema_field({"type": "string", "format": "decimal", "example": "-40.4345"})
class AmountField(serializers.Field[Decimal, str, str, Any]):
    """A ledger amount; read only."""

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


@extend_schema_field({"type": "string", "example": "2026-01-31T18:00:00Z"})
class KnownField(serializers.Field[datetime | int, str, str, Any]):
    """A posting_seq, or an ISO 8601 instant with its zone."""

    def to_internal_value(self, data: str) -> datetime | int:
        if data.isdecimal():
            return int(data)
        try:
            instant = parse_datetime(data.replace(" ", "+"))  # an unescaped "+01:00" arrives as a space
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None:
            raise serializers.ValidationError(
                "Give a posting_seq, or an instant with its zone such as 2026-01-31T18:00:00Z."
            )
        return instant

    def to_representation(self, value: datetime | int) -> str:
        return str(value) if isinstance(value, int) else value.isoformat()


class AsSeenSerializer(serializers.Serializer[Any]):
    """The two questions of time: what counted by a day, and what was known by an instant or a number."""

    as_of = serializers.DateField(required=False, help_text="Value dates up to this day.")
    as_known = KnownField(required=False, help_text="Booked up to this posting_seq or instant.")


class BalanceQuerySerializer(AsSeenSerializer):
    descendants = serializers.BooleanField(default=False, help_text="With all books below.")
    by = serializers.CharField(default="kind", help_text="Any of book, account, kind; joined by commas.")

    def validate_by(self, value: str) -> list[By]:
        names = [name for name in value.split(",") if name]
        unknown = [name for name in names if name not in BY_NAMES]
        if unknown:
            raise serializers.ValidationError(f"'{unknown[0]}' is none of {', '.join(BY_NAMES)}.")
        return [BY_NAMES[name] for name in names]


class TrialBalanceQuerySerializer(AsSeenSerializer):
    fund = serializers.CharField(help_text="The fund's code.")


class JournalQuerySerializer(AsSeenSerializer):
    descendants = serializers.BooleanField(default=False, help_text="With all books below.")


class BalanceSerializer(serializers.Serializer[Any]):
    """One balance; what it was not broken down by is null."""

    asset = serializers.CharField()
    amount = AmountField()
    kind = serializers.CharField(allow_null=True)
    book_id = serializers.IntegerField(allow_null=True)
    account_id = serializers.IntegerField(allow_null=True)


class TrialBalanceSerializer(serializers.Serializer[Any]):
    fund = serializers.CharField()
    as_of = serializers.DateField(allow_null=True)
    as_known = KnownField(allow_null=True)
    last_seq = serializers.IntegerField()
    is_balanced = serializers.BooleanField()
    totals = serializers.DictField(child=AmountField())
    rows = BalanceSerializer(many=True)


class BookSerializer(serializers.ModelSerializer[Book]):
    fund = serializers.CharField(source="fund.code")
    kind = serializers.ChoiceField(choices=BookKind.choices)

    class Meta:
        model = Book
        fields = ("id", "fund", "parent", "code", "name", "kind", "path", "opened_on", "closed_at")
        read_only_fields = fields


class LineSerializer(serializers.ModelSerializer[JournalLine]):
    book = serializers.CharField(source="account.book.path")
    account = serializers.CharField(source="account.kind")
    asset = serializers.CharField(source="asset.code")
    amount = AmountField()

    class Meta:
        model = JournalLine
        fields: tuple[str, ...] = ("book", "account", "asset", "amount")
        read_only_fields: tuple[str, ...] = fields


class LedgerLineSerializer(LineSerializer):
    """A line with what a ledger page shows of its entry; flat, and so the shape for CSV."""

    posting_seq = serializers.IntegerField(source="entry.posting_seq")
    value_date = serializers.DateField(source="entry.value_date")
    booked_at = serializers.DateTimeField(source="entry.booked_at")
    kind = serializers.CharField(source="entry.kind")
    memo = serializers.CharField(source="entry.memo")

    class Meta(LineSerializer.Meta):
        fields = ("posting_seq", "value_date", "booked_at", "kind", "memo", *LineSerializer.Meta.fields)
        read_only_fields = fields


class EntrySerializer(serializers.ModelSerializer[JournalEntry]):
    fund = serializers.CharField(source="fund.code")
    kind = serializers.ChoiceField(choices=EntryKind.choices)
    lines = LineSerializer(many=True)

    class Meta:
        model = JournalEntry
        fields = (
            "id",
            "fund",
            "posting_seq",
            "value_date",
            "booked_at",
            "kind",
            "memo",
            "source_type",
            "source_id",
            "reverses",
            "lines",
        )
        read_only_fields = fields


class OpenFundSerializer(serializers.Serializer[Any]):
    """A fund to ask for."""

    code = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=120)
    base_asset = serializers.CharField(max_length=40)
    opened_on = serializers.DateField()
    reason = ReasonField()


class OpenBookSerializer(serializers.Serializer[Any]):
    """A Book to ask for."""

    parent = serializers.CharField(max_length=400)  # type: ignore[assignment]
    code = serializers.CharField(max_length=40)
    name = serializers.CharField(max_length=160)
    book_kind = serializers.ChoiceField(choices=BookKind.choices, default=BookKind.STRATEGY.value)
    opened_on = serializers.DateField()
    reason = ReasonField()


class CloseBookSerializer(serializers.Serializer[Any]):
    reason = ReasonField()


class EntryLineInSerializer(serializers.Serializer[Any]):
    book = serializers.CharField(max_length=400)
    account = serializers.ChoiceField(choices=AccountKind.choices)
    asset = serializers.CharField(max_length=40)
    amount = serializers.DecimalField(max_digits=38, decimal_places=18)


class PostEntrySerializer(serializers.Serializer[Any]):
    """An entry to ask for; its lines sum to zero in every asset."""

    fund = serializers.CharField(max_length=40)
    value_date = serializers.DateField()
    entry_kind = serializers.ChoiceField(choices=EntryKind.choices)
    memo = serializers.CharField(max_length=240)
    lines = EntryLineInSerializer(many=True)
    reason = ReasonField()


class ReverseEntrySerializer(serializers.Serializer[Any]):
    value_date = serializers.DateField()
    memo = serializers.CharField(max_length=240)
    reason = ReasonField()
