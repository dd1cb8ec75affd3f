"""The table of limits: levels, periods, where each comes from, and where its Book stands now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import django_filters
import django_tables2 as tables
from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, F, Func, Q, QuerySet, Value
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from fundops.core import clock
from portal.book_tree import with_book
from portal.tables import PortalTable, TimeColumn
from portal.templatetags.figures import breakable, missing, utc
from portal.templatetags.gauges import level_tone, level_words, metric_value, risk_share
from risk.models import RiskLimit
from risk.models.limits import METRIC_CHOICES
from risk.quant.metrics import STATE_METRICS, Level, Metric, describe
from risk.selectors import LimitStatus
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

IN_FORCE, PLANNED, PAST = "now", "future", "past"
STATES = [(IN_FORCE, "In force"), (PLANNED, "Planned"), (PAST, "Past")]
ORIGINS = [("own", "Set on the book"), ("inherited", "Inherited from above"), ("template", "From a template set")]
RIGHT = {"th": {"class": "num"}, "td": {"class": "num"}}
_ORIGIN_WORDS = {"own": "own", "inherited": "inherited", "below": "of a book below"}
_ON_ORDERS = "It limits orders and has no value between them."
_NOT_NOW = "It is not in force now."
_AT_REST = "What traded in this book has ended: it cannot pass a limit any more."


def state_of(limit: RiskLimit, at: datetime) -> str:
    """Whether a limit is in force, planned or past; one that ended before it began is past."""
    if limit.effective_to is not None and limit.effective_to <= max(at, limit.effective_from):
        return PAST
    return PLANNED if limit.effective_from > at else IN_FORCE


def origin_of(limit: RiskLimit, book: Book | None) -> str:
    """How the limit comes to bind `book`; without one, that it is set where it is."""
    if book is None or book.pk == limit.book_id:
        return "own"
    return "inherited" if book.path.startswith(f"{limit.book.path}{PATH_SEPARATOR}") else "below"


def change_address(limit: RiskLimit) -> str:
    """The form of a request that puts another level in place of this limit."""
    same = {"book": limit.book.path, "metric": limit.metric, "symbol": limit.symbol, "venue": limit.venue}
    return _asking("risk.set_limit", {name: value for name, value in same.items() if value})


def retire_address(limit: RiskLimit) -> str:
    return _asking("risk.retire_limit", {"limit": str(limit.pk)})


def _asking(kind: str, given: Mapping[str, str]) -> str:
    return f"{reverse('portal:approval-new', args=[kind])}?{urlencode(given)}"


def _state_tag(state: str) -> SafeString:
    tone = {IN_FORCE: "tag-good", PLANNED: "tag-accent"}.get(state, "")
    return format_html('<span class="tag {}">{}</span>', tone, dict(STATES)[state].lower())


class LevelColumn(tables.Column):  # type: ignore[misc]
    """A level in the unit of its row's metric; exports get the bare number."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, attrs=RIGHT, empty_values=(), **kwargs)

    def render(self, value: Any, record: RiskLimit) -> SafeString:
        if value is None:
            return missing("No level on this side.")
        return metric_value(float(value), record.metric, record.book.fund.base_asset.code)

    def value(self, value: Any) -> str:
        return "" if value is None else format(value.normalize(), "f")


class LimitTable(PortalTable):
    """One row a limit; `standing` is where the Books of those in force stand, by limit."""

    caption = "Risk limits"
    empty_hint = "No limit is like this. Clear the filter, or ask for one."

    book = tables.Column(accessor="book__path", verbose_name="Book", attrs={"td": {"class": "mono"}})
    metric = tables.Column(verbose_name="Limit", attrs={"td": {"class": "words-short"}})
    soft = LevelColumn()
    hard = LevelColumn()
    now = tables.Column(accessor="pk", verbose_name="Now", orderable=False, attrs=RIGHT)
    headroom = tables.Column(accessor="pk", verbose_name="Headroom", attrs=RIGHT)
    action = tables.Column(verbose_name="Then", attrs={"th": {"title": "What a breach of the hard level does"}})
    origin = tables.Column(accessor="template", verbose_name="Origin", empty_values=())
    state = tables.Column(accessor="pk", verbose_name="State", orderable=False)
    effective_from = TimeColumn(verbose_name="From", form="day")
    effective_to = TimeColumn(verbose_name="Until", form="day")

    class Meta(PortalTable.Meta):
        attrs = {"id": "limits"}
        order_by = ("book", "metric")

    def __init__(
        self,
        *args: Any,
        standing: Mapping[int, LimitStatus],
        about: Book | None = None,
        may_change: bool = False,
        **kwargs: Any,
    ) -> None:
        self.standing, self.about, self.may_change, self.at = standing, about, may_change, clock.now()
        super().__init__(*args, **kwargs)

    def order_headroom(self, rows: QuerySet[RiskLimit], is_descending: bool) -> tuple[QuerySet[RiskLimit], bool]:  # noqa: FBT001 - the signature of django-tables2
        """The tightest first; what is not measured now comes last either way."""
        known = sorted((s.headroom, pk) for pk, s in self.standing.items() if s.headroom is not None)
        place = Func(
            Value([pk for _, pk in known], output_field=ArrayField(BigIntegerField())),
            F("pk"),
            function="array_position",
            output_field=BigIntegerField(),
        )
        by = place.desc(nulls_last=True) if is_descending else place.asc(nulls_last=True)
        return rows.order_by(by, "book__path", "metric"), True

    def render_book(self, record: RiskLimit) -> SafeString:
        return format_html('<a href="{}">{}</a>', with_book("portal:risk", record.book), breakable(record.book.path))

    def value_book(self, record: RiskLimit) -> str:
        return record.book.path

    def render_metric(self, record: RiskLimit) -> SafeString:
        scopes = format_html_join(
            "", ' <span class="tag">{}</span>', ((s,) for s in (record.symbol, record.venue) if s)
        )
        href = reverse("portal:risk-limit", args=[record.pk])
        ask = self._changes(record) if self.may_change else ""
        return format_html('<a href="{}">{}</a>{}{}', href, describe(Metric(record.metric)), scopes, ask)

    def value_metric(self, record: RiskLimit) -> str:
        return " ".join(part for part in (record.metric, record.symbol, record.venue) if part)

    def render_now(self, record: RiskLimit) -> SafeString:
        status = self.standing.get(record.pk)
        if status is None or Metric(record.metric) not in STATE_METRICS:
            return missing(_NOT_NOW if status is None else _ON_ORDERS)
        return metric_value(status.value, record.metric, record.book.fund.base_asset.code, "Not measured now.")

    def value_now(self, record: RiskLimit) -> float | str:
        status = self.standing.get(record.pk)
        return "" if status is None or status.value is None else status.value

    def render_headroom(self, record: RiskLimit) -> SafeString:
        status = self.standing.get(record.pk)
        if status is None:
            return missing(_NOT_NOW)
        if status.at_rest:
            return missing(_AT_REST)
        if status.headroom is None:
            on_orders = Metric(record.metric) not in STATE_METRICS
            return missing(_ON_ORDERS if on_orders else "The value is not known, or the level is zero.")
        passed = status.headroom < 0
        share = risk_share(abs(status.headroom))
        said = format_html('<span class="fig-neg">passed by {}</span>' if passed else "{} free", share)
        if status.level is Level.OK:
            return said
        tone, words = level_tone(status.level), level_words(status.level)
        return format_html('{}<small><span class="tag tag-{}">{}</span></small>', said, tone, words)

    def value_headroom(self, record: RiskLimit) -> float | str:
        status = self.standing.get(record.pk)
        return "" if status is None or status.headroom is None else status.headroom

    def render_action(self, record: RiskLimit) -> str:
        return "" if record.hard is None else record.action.capitalize()

    def value_action(self, record: RiskLimit) -> str:
        return "" if record.hard is None else record.action

    def render_origin(self, record: RiskLimit) -> SafeString:
        how = _ORIGIN_WORDS[origin_of(record, self.about)]
        tag = format_html('<span class="tag" title="From this template set">{}</span>', record.template)
        return format_html("{} {}", how, tag if record.template else "")

    def value_origin(self, record: RiskLimit) -> str:
        return " ".join(part for part in (origin_of(record, self.about), record.template) if part)

    def render_state(self, record: RiskLimit) -> SafeString:
        status = self.standing.get(record.pk)
        said = _state_tag(state_of(record, self.at))
        if status is not None and status.at_rest:
            said = format_html('{} <small class="text-secondary" title="{}">at rest</small>', said, _AT_REST)
        if status is None or status.limit.override_id is None:
            return said
        return format_html('{} <a class="tag tag-warn" href="{}">overridden</a>', said, reverse("portal:overrides"))

    def value_state(self, record: RiskLimit) -> str:
        return state_of(record, self.at)

    def render_effective_to(self, record: RiskLimit) -> Any:
        if record.effective_to is None:
            return format_html('<span class="text-secondary">{}</span>', "open")
        return utc(record.effective_to, "day")

    def value_effective_to(self, record: RiskLimit) -> str:
        return "" if record.effective_to is None else record.effective_to.isoformat()

    def _changes(self, record: RiskLimit) -> SafeString | str:
        """Links to the requests that change it."""
        state = state_of(record, self.at)
        if state == PAST or not record.book.is_open:
            return ""
        retire = format_html('<a href="{}">Retire</a>', retire_address(record))
        if state == PLANNED:  # what is planned is retired first: nothing is set over it
            return format_html("<small>{}</small>", retire)
        return format_html('<small><a href="{}">Change</a> · {}</small>', change_address(record), retire)


class LimitFilter(django_filters.FilterSet):
    """A Book by its path brings what is set on it, above it and below it; any other text is searched for."""

    book = django_filters.CharFilter(label="Book", method="of_book")
    metric = django_filters.ChoiceFilter(label="Metric", choices=METRIC_CHOICES, empty_label="All metrics")
    state = django_filters.ChoiceFilter(label="State", choices=STATES, empty_label="All states", method="by_state")
    origin = django_filters.ChoiceFilter(label="Origin", choices=ORIGINS, empty_label="All origins", method="by_origin")

    class Meta:
        model = RiskLimit
        fields: tuple[str, ...] = ()

    def of_book(self, rows: QuerySet[RiskLimit], _name: str, value: str) -> QuerySet[RiskLimit]:
        book = self.about()
        if book is None:
            return rows.filter(book__path__icontains=value)
        return rows.filter(
            Q(book__path__in=_line(book.path)) | Q(book__path__startswith=f"{book.path}{PATH_SEPARATOR}")
        )

    def about(self) -> Book | None:
        """The Book that the filter names by its whole path, of those that the reader may see."""
        asked = (self.data.get("book") or "").replace("\x00", "").strip()
        if not asked or self.request is None:
            return None
        found: Book | None = Book.objects.for_user(self.request.user).filter(path=asked[:400]).first()
        return found

    def by_state(self, rows: QuerySet[RiskLimit], _name: str, value: str) -> QuerySet[RiskLimit]:
        now = clock.now()
        lasting = Q(effective_to=None) | Q(effective_to__gt=F("effective_from"))
        if value == IN_FORCE:
            return rows.filter(pk__in=RiskLimit.objects.in_force(now))
        if value == PLANNED:
            return rows.filter(lasting, effective_from__gt=now)
        return rows.filter(Q(effective_to__lte=now) | ~lasting)

    def by_origin(self, rows: QuerySet[RiskLimit], _name: str, value: str) -> QuerySet[RiskLimit]:
        if value == "template":
            return rows.exclude(template="")
        book = self.about()
        if book is None:
            return rows if value == "own" else rows.none()
        return rows.filter(book=book) if value == "own" else rows.filter(book__path__in=_line(book.path)[:-1])


def _line(path: str) -> list[str]:
    parts = path.split(PATH_SEPARATOR)
    return [PATH_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))]
