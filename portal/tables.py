"""List pages: a table that sorts, filters, pages and exports, with figures written the one way.

class CohortTable(PortalTable):
    name = tables.Column(linkify=True)
    equity = MoneyColumn()
    roi = PercentColumn(verbose_name="Return")

class CohortList(TablePage):
    permission = "trading.view_cohort"
    table_class, filterset_class = CohortTable, CohortFilter
    template_name = "trading/cohort_list.html"     # includes components/table_page.html
"""

from __future__ import annotations

from typing import Any, ClassVar

import django_tables2 as tables
from django.http import HttpRequest, HttpResponse
from django_filters.views import FilterView
from django_tables2.export import ExportMixin
from django_tables2.views import SingleTableMixin

from fundops.core.permissions import PermissionRequiredMixin
from portal.templatetags import figures

_RIGHT = {"th": {"class": "num"}, "td": {"class": "num"}}


class PortalTable(tables.Table):  # type: ignore[misc]
    """``caption`` is read to screen readers; ``empty_hint`` says what to do when there are no rows."""

    caption: ClassVar[str] = ""
    empty_hint: ClassVar[str] = ""

    class Meta:
        template_name = "components/table.html"
        attrs = {"id": "table"}


class _FigureColumn(tables.Column):  # type: ignore[misc]
    """Right-aligned; exports get the bare value, pages the written one; ``reason`` explains a missing one."""

    def __init__(self, *args: Any, reason: str = figures.NO_VALUE, **kwargs: Any) -> None:
        self.reason = reason
        kwargs.setdefault("attrs", _RIGHT)
        kwargs.setdefault("empty_values", ())
        super().__init__(*args, **kwargs)

    def show(self, value: Any) -> Any:
        raise NotImplementedError

    def render(self, value: Any) -> Any:
        return figures.missing(self.reason) if value is None or value == "" else self.show(value)

    def value(self, value: Any) -> Any:
        return value


class MoneyColumn(_FigureColumn):
    """Money in one currency; ``sign=True`` for profit and loss."""

    def __init__(self, *args: Any, currency: str = "USD", sign: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency, self.sign = currency, sign

    def show(self, value: Any) -> Any:
        return (figures.signed if self.sign else figures.money)(value, self.currency)


class PercentColumn(_FigureColumn):
    """A fraction as a signed return."""

    def show(self, value: Any) -> Any:
        return figures.percent(value)


class ShareColumn(_FigureColumn):
    """A fraction without a sign: utilisation, hit ratio."""

    def __init__(self, *args: Any, places: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = places

    def show(self, value: Any) -> Any:
        return figures.share(value, self.places)


class RatioColumn(_FigureColumn):
    """Sharpe, Sortino and the like."""

    def show(self, value: Any) -> Any:
        return figures.ratio(value)


class NumberColumn(_FigureColumn):
    def __init__(self, *args: Any, places: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places = places

    def show(self, value: Any) -> Any:
        return figures.number(value, self.places)


class DurationColumn(_FigureColumn):
    def show(self, value: Any) -> Any:
        return figures.duration(value)


class TimeColumn(tables.Column):  # type: ignore[misc]
    """A time in UTC; ``form`` as in the `utc` filter."""

    def __init__(self, *args: Any, form: str = "minute", **kwargs: Any) -> None:
        kwargs.setdefault("empty_values", ())
        super().__init__(*args, **kwargs)
        self.form = form

    def render(self, value: Any) -> Any:
        return figures.utc(value, self.form)

    def value(self, value: Any) -> Any:
        return value.isoformat() if value else ""


class TablePage(PermissionRequiredMixin, ExportMixin, SingleTableMixin, FilterView):  # type: ignore[misc]
    """A page with one table: filter by form, sort by header, export what is filtered (?_export=csv|json)."""

    export_formats = ("csv", "json")
    paginate_by = 50
    strict = False

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().get(request, *args, **kwargs)
        return response
