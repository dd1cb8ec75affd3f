"""What stops trading by itself: the rules in force, what each reads now, and whether it would fire.

One function a cause reads; none of them writes. A rule is the nearest approved policy of a Book, else the one without a
Book, else the shipped one (`standard_triggers.yaml`). What is not known fires nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import yaml
from django.db.models import Sum

from fundops.core import clock
from risk.measuring import MeasuredBooks, measure_books
from risk.models import (
    ErrorReport,
    GuardrailOverride,
    RiskSignal,
    SignalKind,
    StopCause,
    StressResult,
    TriggerPolicy,
    TriggerWatch,
)
from risk.models.switches import TRIGGERS
from risk.overrides import trigger_overridden
from risk.quant.metrics import CODES, Metric
from risk.quant.pretrade import TradingMode
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

_FILE = Path(__file__).parent / "standard_triggers.yaml"


@dataclass(frozen=True, slots=True)
class TriggerRule:
    """One rule in force; `version` 0 is the shipped one."""

    cause: StopCause
    threshold: float
    mode: TradingMode
    window_s: int | None = None
    enabled: bool = True
    version: int = 0
    book_path: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one trigger reads of one place now. `value` None is not known; the unit is the cause's."""

    rule: TriggerRule
    value: float | None
    book: Book | None = None
    venue: str = ""
    source: str = ""
    at: datetime | None = None
    silenced_by: GuardrailOverride | None = None

    @property
    def passed(self) -> bool:
        return self.value is not None and self.value > self.rule.threshold

    @property
    def fires(self) -> bool:
        return self.rule.enabled and self.silenced_by is None and self.passed

    @property
    def shown_value(self) -> str:
        return shown(self.rule.cause, self.value)

    @property
    def shown_threshold(self) -> str:
        return shown(self.rule.cause, self.rule.threshold)

    @property
    def headroom(self) -> float | None:
        """The share of the threshold that is free; negative past it, None where there is no such share."""
        if self.value is None or self.rule.threshold == 0:
            return None
        return 1.0 - self.value / self.rule.threshold

    @property
    def place(self) -> str:
        label = self.book.path if self.book else self.venue or "Everything"
        return f"{label} at {self.venue}" if self.book and self.venue else label

    @property
    def name(self) -> str:
        """Which trigger, of what, and who tells; the same while its value moves."""
        told = f", {self.source}" if self.source else ""
        return f"{self.rule.cause.label} ({self.place}{told})"

    @property
    def reason(self) -> str:
        return (
            f"{self.name}: {shown(self.rule.cause, self.value)} against {shown(self.rule.cause, self.rule.threshold)}"
        )


def shown(cause: StopCause, value: float | None) -> str:
    """A value in the unit of its cause, for people."""
    if value is None:
        return "not known"
    if cause in {StopCause.DRAWDOWN, StopCause.DAILY_LOSS}:
        return f"{value:.2%}".replace("%", " %")
    if cause in {StopCause.HEARTBEAT, StopCause.STALE_DATA}:
        return f"{value:,.0f} s"
    if cause is StopCause.STRESS:
        return f"{value:.2f} x tolerance"
    return f"{value:g}"


@cache
def standard_rules() -> Mapping[StopCause, TriggerRule]:
    """The shipped rules, by cause."""
    found = {}
    for entry in yaml.safe_load(_FILE.read_text()):
        cause = StopCause(entry["cause"])
        found[cause] = TriggerRule(
            cause, float(entry["threshold"]), TradingMode(entry["mode"]), entry.get("window_s"), version=0
        )
    if set(found) != set(TRIGGERS):
        raise RuntimeError(f"{_FILE.name} must have one rule for each of {', '.join(TRIGGERS)}.")
    return found


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything in force: by cause and Book path, the empty path for all Books."""

    by_place: Mapping[tuple[str, str], TriggerRule] = field(default_factory=dict)

    def of(self, cause: StopCause, path: str = "") -> TriggerRule:
        """The nearest rule of a Book: its own, of one above it, of all, or the shipped one."""
        parts = path.split(PATH_SEPARATOR) if path else []
        for n in range(len(parts), -1, -1):
            rule = self.by_place.get((cause, PATH_SEPARATOR.join(parts[:n])))
            if rule is not None:
                return rule
        return standard_rules()[cause]

    def own(self, cause: StopCause) -> list[str]:
        """The Books with a rule of their own."""
        return [path for held, path in self.by_place if held == cause and path]


def rules_in_force() -> Rules:
    """One query: the highest version of each cause and Book."""
    rows = (
        TriggerPolicy.objects.select_related("book")
        .order_by("cause", "book_id", "-version")
        .distinct("cause", "book_id")
    )
    found: dict[tuple[str, str], TriggerRule] = {}
    for row in rows:
        path = row.book.path if row.book else ""
        found[row.cause, path] = TriggerRule(
            StopCause(row.cause),
            float(row.threshold),
            TradingMode(row.mode),
            row.window_s,
            row.enabled,
            row.version,
            path,
        )
    return Rules(found)


# --- One function a cause ------------------------------------------------------------------------------------
@dataclass(slots=True)
class _World:
    """What the readings of one moment share; measured when the first asks."""

    at: datetime
    rules: Rules
    watched_since: datetime | None
    measured: MeasuredBooks | None = None

    def figures(self) -> MeasuredBooks:
        if self.measured is None:
            self.measured = measure_books(at=self.at, tail=False)
        return self.measured


def _of_metric(cause: StopCause, metric: Metric) -> Callable[[_World], list[Reading]]:
    def read(world: _World) -> list[Reading]:
        measured = world.figures()
        values = measured.measured.values[:, CODES[metric]]
        own = set(world.rules.own(cause))
        books = Book.objects.filter(closed_at=None)
        wanted = books.filter(path__in=own) | books.filter(parent=None)
        out = []
        for book in wanted.order_by("path"):
            value = float(values[measured.row(book.pk)]) if book.pk in measured.ids else float("nan")
            out.append(Reading(world.rules.of(cause, book.path), None if value != value else value, book, at=world.at))
        return out

    return read


def _of_age(cause: StopCause, kind: SignalKind) -> Callable[[_World], list[Reading]]:
    """Silence that the watch has sat through, in seconds."""

    def read(world: _World) -> list[Reading]:
        return [
            Reading(
                world.rules.of(cause, signal.book.path if signal.book else ""),
                max(0.0, (world.at - max(signal.at, world.watched_since or signal.at)).total_seconds()),
                signal.book,
                signal.venue,
                signal.source,
                signal.at,
            )
            for signal in _signals(kind)
        ]

    return read


def _breaks(world: _World) -> list[Reading]:
    return [
        Reading(
            world.rules.of(StopCause.RECONCILIATION, signal.book.path if signal.book else ""),
            signal.value,
            signal.book,
            signal.venue,
            signal.source,
            signal.at,
        )
        for signal in _signals(SignalKind.RECONCILIATION)
    ]


def _signals(kind: SignalKind) -> Iterable[RiskSignal]:
    found = RiskSignal.objects.filter(kind=kind).select_related("book").order_by("source", "pk")
    return [s for s in found if s.book is None or s.book.is_open]


def _errors(world: _World) -> list[Reading]:
    """Counted by source, Book and venue; each within the window of its own rule."""
    longest = max(
        (r.window_s or 0 for r in [*world.rules.by_place.values(), *standard_rules().values()] if _counts(r)), default=0
    )
    since = world.at - timedelta(seconds=longest)
    places = (
        ErrorReport.objects.filter(at__gt=since, at__lte=world.at)
        .order_by("source", "book_id", "venue")
        .values_list("source", "book_id", "venue")
        .distinct()
    )
    books = Book.objects.in_bulk([book_id for _, book_id, _ in places if book_id is not None])
    out = []
    for source, book_id, venue in places:
        book = None if book_id is None else books[book_id]
        rule = world.rules.of(StopCause.ERROR_BURST, book.path if book else "")
        counted = ErrorReport.objects.filter(
            source=source,
            book=book_id,
            venue=venue,
            at__gt=world.at - timedelta(seconds=rule.window_s or 0),
            at__lte=world.at,
        ).aggregate(n=Sum("count"))["n"]
        out.append(Reading(rule, float(counted or 0), book, venue, source, world.at))
    return out


def _counts(rule: TriggerRule) -> bool:
    return rule.cause is StopCause.ERROR_BURST


def _stress(world: _World) -> list[Reading]:
    """The dearest scenario of each Book that was run lately, against what it may lose."""
    longest = max((r.window_s or 0 for r in [*world.rules.by_place.values(), *standard_rules().values()]), default=0)
    latest = (
        StressResult.objects.filter(at__gt=world.at - timedelta(seconds=longest), at__lte=world.at)
        .exclude(scenario__max_loss_frac=None)
        .filter(scenario__is_active=True, book__closed_at=None)
        .select_related("book", "scenario")
        .order_by("book_id", "scenario_id", "-at", "-pk")
        .distinct("book_id", "scenario_id")
    )
    worst: dict[int, Reading] = {}
    for result in latest:
        rule = world.rules.of(StopCause.STRESS, result.book.path)
        if result.at <= world.at - timedelta(seconds=rule.window_s or 0):
            continue
        tolerated = result.scenario.max_loss_frac
        ratio = None if result.loss_frac is None or not tolerated else max(0.0, result.loss_frac / tolerated)
        before = worst.get(result.book_id)
        if before is None or (ratio is not None and (before.value is None or ratio > before.value)):
            worst[result.book_id] = Reading(rule, ratio, result.book, source=result.scenario.code, at=result.at)
    return sorted(worst.values(), key=lambda r: r.place)


_READERS: Mapping[StopCause, Callable[[_World], list[Reading]]] = {
    StopCause.DRAWDOWN: _of_metric(StopCause.DRAWDOWN, Metric.DRAWDOWN_FRAC),
    StopCause.DAILY_LOSS: _of_metric(StopCause.DAILY_LOSS, Metric.DAILY_LOSS_FRAC),
    StopCause.HEARTBEAT: _of_age(StopCause.HEARTBEAT, SignalKind.HEARTBEAT),
    StopCause.STALE_DATA: _of_age(StopCause.STALE_DATA, SignalKind.MARKET_DATA),
    StopCause.RECONCILIATION: _breaks,
    StopCause.ERROR_BURST: _errors,
    StopCause.STRESS: _stress,
}
#: Those that read the books, which costs more than the signals do.
OF_FIGURES = (StopCause.DRAWDOWN, StopCause.DAILY_LOSS)


def readings(
    *,
    at: datetime | None = None,
    causes: Sequence[StopCause] = TRIGGERS,
    measured: MeasuredBooks | None = None,
) -> list[Reading]:
    """Everything the triggers read now, those that fire first. `measured` spares measuring the books again."""
    since = TriggerWatch.objects.values_list("since", flat=True).first()
    world = _World(at or clock.now(), rules_in_force(), since, measured)
    found = [_unless_silenced(reading, world.at) for cause in causes for reading in _READERS[cause](world)]
    return sorted(found, key=lambda r: not r.fires)


def _unless_silenced(reading: Reading, at: datetime) -> Reading:
    """An override in force silences the trigger of its Book and of all below it."""
    if reading.book is None or not reading.fires:
        return reading
    override = trigger_overridden(book=reading.book, cause=reading.rule.cause, at=at)
    return reading if override is None else replace(reading, silenced_by=override)


def would_stop_again(book: Book | None, venue: str, *, found: Iterable[Reading] | None = None) -> list[Reading]:
    """The readings that fire now and would turn this very switch, or one beneath it, again."""
    return [r for r in (readings() if found is None else found) if r.fires and _within(r, book, venue)]


def _within(reading: Reading, book: Book | None, venue: str) -> bool:
    if venue and reading.venue != venue:
        return False
    if book is None:
        return True
    path = "" if reading.book is None else reading.book.path
    return path == book.path or path.startswith(f"{book.path}{PATH_SEPARATOR}")
