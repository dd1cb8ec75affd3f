"""Treasury in the administration: assets and funds can be named, the books can only be looked at."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin

from fundops.core.admin import ReadOnlyAdmin
from treasury.models import Asset, Book, Fund, JournalEntry, LedgerAccount, PostingBatch


class NeverDeletedAdmin(SimpleHistoryAdmin, ModelAdmin):  # type: ignore[misc]
    """Rows the journal stands on: editable but for what gives amounts their meaning, and never deleted."""

    fixed: tuple[str, ...] = ()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.fixed if obj else ()


@admin.register(Asset)
class AssetAdmin(NeverDeletedAdmin):
    list_display = ("code", "name", "kind", "places")
    list_filter = ("kind",)
    search_fields = ("code", "name")
    fixed = ("code", "kind")


@admin.register(Fund)
class FundAdmin(NeverDeletedAdmin):
    list_display = ("code", "name", "base_asset", "opened_on")
    search_fields = ("code", "name")
    fixed = ("code", "base_asset")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A fund comes with its root book: it is opened by its action."""
        return False


@admin.register(Book)
class BookAdmin(ReadOnlyAdmin):
    list_display = ("path", "name", "kind", "opened_on", "closed_at")
    list_filter = ("kind", "fund")
    search_fields = ("path", "name")
    list_select_related = ("fund",)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(ReadOnlyAdmin):
    list_display = ("id", "book", "kind")
    list_filter = ("kind",)
    search_fields = ("book__path",)
    list_select_related = ("book",)


@admin.register(JournalEntry)
class JournalEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "posting_seq",
        "fund",
        "value_date",
        "kind",
        "memo",
        "source_type",
        "source_id",
        "booked_at",
    )
    list_filter = ("fund", "kind")
    search_fields = ("memo", "source_id", "idempotency_key")
    date_hierarchy = "value_date"
    list_select_related = ("fund",)
    readonly_fields = ("show_lines",)
    show_full_result_count = False

    @admin.display(description="Lines")
    def show_lines(self, entry: JournalEntry) -> SafeString:
        lines = entry.lines.select_related("account__book", "asset").order_by("id")
        rows = ((line.account.book.path, line.account.kind, f"{line.amount:,f}", line.asset.code) for line in lines)
        return format_html_join("", "<div>{} · {} · {} {}</div>", rows)


@admin.register(PostingBatch)
class PostingBatchAdmin(ReadOnlyAdmin):
    list_display = (
        "fund",
        "first_seq",
        "last_seq",
        "entry_count",
        "line_count",
        "idempotency_key",
        "booked_at",
    )
    list_filter = ("fund",)
    search_fields = ("idempotency_key", "digest")
    list_select_related = ("fund",)
