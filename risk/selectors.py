"""Reads of the risk layer, for the pre-trade check, the pages and the API alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db.models import QuerySet

from compliance.models.screening import RestrictionLevel
from compliance.selectors_screening import restrictions_in_force
from fundops.core import clock
from fundops.core.permissions import AnyUser
from risk.limits_in_force import LimitRow, limits_in_force
from risk.measuring import ALPHA, HISTORY_DAYS, MeasuredBooks, measure_books, rows_below
from risk.models import HardAction, LimitBreach, RiskLimit, RiskSnapshot, StressResult
from risk.overrides import overrides_in_force as overrides_in_force
from risk.quant.backtests import VarBacktest, backtest_var
from risk.quant.bulk import IntArray, evaluate
from risk.quant.measures import Exposure, exposures
from risk.quant.metrics import CODES, STATE_METRICS, Level, Metric
from risk.quant.pretrade import BookState, Limit, LimitSet, PositionState, TradingMode
from risk.quant.rolling import VarMethod, rolling_var
from risk.quant.tail import FloatArray
from risk.sources import BookFigures, HeldPosition, risk_source
from risk.switches import mode_in_database, modes_in_database
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR


@dataclass(frozen=True, slots=True)
class EffectiveLimit:
    """What binds a Book in one metric: the tightest soft and hard level, and where each is set."""

    metric: Metric
    symbol: str
    venue: str
    soft: float | None
    hard: float | None
    soft_limit_id: int | None
    hard_limit_id: int | None
    action: HardAction
    soft_book_id: int | None
    hard_book_id: int | None
    #: What it comes from when that is no limit of a Book: the restricted list, for example.
    origin: str = ""
    override_id: int | None = None
    decision_id: int | None = None

    def as_limit(self) -> Limit:
        name = self.origin or f"limit {self.hard_limit_id or self.soft_limit_id}"
        return Limit(self.metric, self.hard, self.soft, self.symbol, self.venue, name)


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """An effective limit with where the Book stands. `value` None is not known; `headroom` is a share of the
    level. `at_rest`: what traded in the Book has ended, so that it is within every limit.
    """

    book_id: int
    limit: EffectiveLimit
    value: float | None
    headroom: float | None
    level: Level
    at_rest: bool = False


def effective_limits(book: Book, *, at: datetime | None = None) -> list[EffectiveLimit]:
    """The limits that bind a Book: its own and those of all Books above it, the tightest of each."""
    line = _line(book)
    return _effective([b.pk for b in line], at or clock.now())[-1]


def effective_limits_of_line(book: Book, *, at: datetime | None = None) -> list[tuple[Book, list[EffectiveLimit]]]:
    """What binds each Book from the root down to this one, in as few queries as for one."""
    line = _line(book)
    return list(zip(line, _effective([b.pk for b in line], at or clock.now()), strict=True))


def _line(book: Book) -> list[Book]:
    """The Books from the root down to this one, in one query."""
    parts = book.path.split(PATH_SEPARATOR)
    paths = [PATH_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))]
    return sorted(Book.objects.filter(path__in=paths), key=lambda b: len(b.path))


def _effective(line: Sequence[int], at: datetime, tree: IntArray | None = None) -> list[list[EffectiveLimit]]:
    """Effective limits of every Book of a line, root first; or of a tree, whose parents are given by place."""
    parent = np.arange(-1, len(line) - 1, dtype=np.int64) if tree is None else tree
    found = limits_in_force(line, parent, at, decided=True)
    everywhere = _restrictions(at)
    out: list[list[EffectiveLimit]] = []
    for row in range(len(line)):
        mine = []
        for c, (metric, symbol, venue) in enumerate(found.columns):
            soft_row, hard_row = (int(t[row, c]) for t in (found.bounds.soft_from, found.bounds.hard_from))
            if soft_row < 0 and hard_row < 0:
                continue
            soft, hard = (found.rows[r] if r >= 0 else None for r in (soft_row, hard_row))
            mine.append(
                EffectiveLimit(
                    metric,
                    symbol,
                    venue,
                    soft.soft if soft else None,
                    hard.hard if hard else None,
                    soft.pk if soft else None,
                    (hard.pk or None) if hard else None,
                    HardAction(hard.action if hard else HardAction.ALERT),
                    soft.book_id if soft else None,
                    hard.book_id if hard else None,
                    hard.origin if hard else "",
                    hard.override_id if hard else None,
                    hard.decision_id if hard else None,
                )
            )
        out.append(mine + everywhere)
    return out


def _restrictions(at: datetime) -> list[EffectiveLimit]:
    """The restricted list as limits of zero, which bind every Book: nothing of it is ordered, or nothing is added."""
    limits = []
    for entry in restrictions_in_force(at=at):
        metric, hard = _RESTRICTED[entry.level]
        limits.append(
            EffectiveLimit(
                metric=metric,
                symbol=entry.symbol,
                venue=entry.venue,
                soft=0.0,
                hard=hard,
                soft_limit_id=None,
                hard_limit_id=None,
                action=HardAction.ALERT,
                soft_book_id=None,
                hard_book_id=None,
                origin=f"restricted list, entry {entry.pk}",
            )
        )
    return limits


_RESTRICTED: dict[str, tuple[Metric, float | None]] = {
    RestrictionLevel.NO_TRADING: (Metric.ORDER_NOTIONAL, 0.0),
    RestrictionLevel.CLOSE_ONLY: (Metric.POSITION_NOTIONAL, 0.0),
    RestrictionLevel.WATCH: (Metric.ORDER_NOTIONAL, None),
}


def _limit_set(limits: Sequence[EffectiveLimit]) -> LimitSet:
    """For the check: each level as a limit of its own where the two come from different rows that cross."""
    out = []
    for x in limits:
        limit = x.as_limit()
        if limit.soft is not None and limit.hard is not None and x.soft_limit_id != x.hard_limit_id:
            out.append(Limit(x.metric, x.hard, None, x.symbol, x.venue, x.origin or f"limit {x.hard_limit_id}"))
            out.append(Limit(x.metric, None, x.soft, x.symbol, x.venue, f"limit {x.soft_limit_id}"))
        else:
            out.append(limit)
    return LimitSet(out)


def limit_set(book: Book, *, at: datetime | None = None) -> LimitSet:
    """What binds a Book, ready for `risk.quant.pretrade.check_order`."""
    return _limit_set(effective_limits(book, at=at))


def trading_mode(book: Book) -> TradingMode:
    """What the kill switches and the open hard breaches of the Book, or of one above it, leave it to do.

    From the database; orders ask `risk.switches.trading_mode_for`.
    """
    return mode_in_database(b.pk for b in _line(book))


def order_path(book: Book, *, at: datetime | None = None) -> list[tuple[BookState, LimitSet]]:
    """Everything `check_order_path` needs for orders of a Book: it and each Book above, with state and
    limits.
    """
    moment = at or clock.now()
    line = [b.pk for b in _line(book)]
    measured = measure_books(at=moment, book_ids=[book.pk])
    limits = _effective(line, moment)
    own = measured.figures[measured.row(book.pk)].positions
    modes = modes_in_database()
    return [
        (_state(measured, pk, book.pk, own, modes.of(line[: i + 1], "")), _limit_set(limits[i]))
        for i, pk in reversed(list(enumerate(line)))
    ]


def _state(
    measured: MeasuredBooks, pk: int, own_id: int, own: Sequence[HeldPosition], mode: TradingMode | None
) -> BookState:
    row = measured.row(pk)
    figures: BookFigures = measured.figures[row]
    elsewhere = [
        p
        for other in rows_below(measured, row)
        if measured.ids[other] != own_id
        for p in measured.figures[other].positions
    ]
    if math.isnan(float(measured.measured.values[row, CODES[Metric.GROSS_EXPOSURE]])):
        elsewhere.append(HeldPosition("not measured", "", "", None, None, None))

    def figure(metric: Metric) -> float:
        return float(measured.measured.values[row, CODES[metric]])

    return BookState(
        equity=figures.equity,
        day_open_equity=figures.day_open_equity,
        peak_equity=figures.peak_equity,
        positions=_one_a_market(_positions(own)),
        elsewhere=_positions(elsewhere),
        orders_in_window=figure(Metric.ORDER_RATE),
        seconds_since_loss=figures.seconds_since_loss,
        var=figure(Metric.VAR) if measured.symbols else 0.0,
        es=figure(Metric.ES) if measured.symbols else 0.0,
        mode=mode,
    )


def _positions(held: Sequence[HeldPosition]) -> tuple[PositionState, ...]:
    return tuple(
        PositionState(p.symbol, p.venue, p.quantity, p.unit_notional, p.loss_frac, p.working_buy, p.working_sell)
        for p in held
        if p.unit_notional != 0
    )


def _one_a_market(positions: Sequence[PositionState]) -> tuple[PositionState, ...]:
    """Lines of one symbol and venue as one position; lines that disagree on the mark have none."""
    merged: dict[tuple[str, str], PositionState] = {}
    for p in positions:
        before = merged.get((p.symbol, p.venue))
        if before is None:
            merged[p.symbol, p.venue] = p
            continue
        merged[p.symbol, p.venue] = PositionState(
            p.symbol,
            p.venue,
            _sum(before.quantity, p.quantity),
            before.unit_notional if before.unit_notional == p.unit_notional else None,
            None if before.loss_frac is None or p.loss_frac is None else max(before.loss_frac, p.loss_frac),
            _sum(before.working_buy, p.working_buy),
            _sum(before.working_sell, p.working_sell),
        )
    return tuple(merged.values())


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


def limit_status(user: AnyUser, *, book: Book | None = None, at: datetime | None = None) -> list[LimitStatus]:
    """Every limit in force on the Books a person may see (or on one), with value and headroom, tightest
    first.
    """
    moment = at or clock.now()
    visible = set(RiskLimit.objects.for_user(user).in_force(moment).values_list("pk", flat=True))
    if not visible:
        return []
    measured = measure_books(at=moment, book_ids=None if book is None else [book.pk])
    found = limits_in_force(measured.ids, measured.parent, moment)
    place, at_rest = {pk: row for row, pk in enumerate(measured.ids)}, measured.at_rest
    out = []
    for column in found.columns:
        values = measured.column(*column)
        mine = [
            r for r in found.rows if r.column == column and r.pk in visible and (book is None or r.book_id == book.pk)
        ]
        here = values[[place[r.book_id] for r in mine]]
        judged = evaluate(
            here,
            np.array([r.soft for r in mine], dtype=np.float64),
            np.array([r.hard for r in mine], dtype=np.float64),
            np.full(len(mine), CODES[column[0]], dtype=np.int64),
        )
        for i, r in enumerate(mine):
            rests = bool(at_rest[place[r.book_id]])
            # Limits on orders have no state between orders.
            level = Level(int(judged.levels[i])) if column[0] in STATE_METRICS and not rests else Level.OK
            value, headroom = _known(float(here[i])), _known(float(judged.headroom[i]))
            out.append(LimitStatus(r.book_id, _alone(r), value, headroom, level, rests))
    return sorted(out, key=lambda s: (-s.level, math.inf if s.headroom is None else s.headroom))


def _alone(r: LimitRow) -> EffectiveLimit:
    """A limit by itself, without what is inherited."""
    soft, hard = _known(r.soft), _known(r.hard)
    book, action = r.book_id, HardAction(r.action)
    return EffectiveLimit(*r.column, soft, hard, r.pk, r.pk, action, book, book, r.origin, r.override_id)


def _known(x: float) -> float | None:
    return x if math.isfinite(x) else None


def limit_list(user: AnyUser) -> QuerySet[RiskLimit]:
    return RiskLimit.objects.for_user(user).select_related("book")


def breach_list(user: AnyUser) -> QuerySet[LimitBreach]:
    """Breaches a person may see, the open ones first."""
    rows: QuerySet[LimitBreach] = LimitBreach.objects.for_user(user)
    return rows.select_related("book", "limit", "acknowledged_by").order_by("closed_at", "-opened_at")


def latest_snapshot(book: Book) -> RiskSnapshot | None:
    return RiskSnapshot.objects.filter(book=book).order_by("-at", "-pk").first()


def latest_stress(book: Book) -> list[StressResult]:
    """The last result of each scenario on a Book, the dearest first; unknown losses before all."""
    rows = (
        StressResult.objects.filter(book=book)
        .select_related("scenario")
        .order_by("scenario_id", "-at", "-pk")
        .distinct("scenario_id")
    )
    return sorted(rows, key=lambda r: -math.inf if r.loss is None else -r.loss)


@dataclass(frozen=True, slots=True)
class ExposureBreakdown:
    """Exposure of a Book and all below it, by each label; `by_book` is by the Books directly below it."""

    by_asset: list[Exposure]
    by_venue: list[Exposure]
    by_currency: list[Exposure]
    by_book: list[Exposure]


def exposure_breakdown(book: Book, *, at: datetime | None = None) -> ExposureBreakdown:
    """Exposure by asset, venue, currency and strategy (the Books directly below), without netting between
    Books.
    """
    measured = measure_books(at=at or clock.now(), book_ids=[book.pk], tail=False)
    top = measured.row(book.pk)
    names = dict(Book.objects.filter(parent=book).values_list("pk", "code"))
    lines: list[tuple[float, HeldPosition, str]] = []
    for row in rows_below(measured, top):
        child = _child_of(measured, row, top)
        label = names.get(measured.ids[child], book.code) if child is not None else book.code
        for p in measured.figures[row].positions:
            if p.unit_notional != 0:
                quantity = math.nan if p.quantity is None else p.quantity
                unit = math.nan if p.unit_notional is None else p.unit_notional
                lines.append((quantity * unit, p, label))
    x = np.array([line[0] for line in lines], dtype=np.float64)
    return ExposureBreakdown(
        exposures(x, [p.symbol for _, p, _ in lines]),
        exposures(x, [p.venue for _, p, _ in lines]),
        exposures(x, [p.currency for _, p, _ in lines]),
        exposures(x, [label for _, _, label in lines]),
    )


def _child_of(measured: MeasuredBooks, row: int, top: int) -> int | None:
    while row != top:
        up = int(measured.parent[row])
        if up == top:
            return row
        row = up
    return None


@dataclass(frozen=True, slots=True)
class BacktestSeries:
    """Daily P&L of today's positions, the VaR forecast before each day (NaN for the first window), and the
    tests.
    """

    pnl: FloatArray
    var: FloatArray
    tests: VarBacktest


def var_backtest(
    book: Book,
    *,
    method: VarMethod = VarMethod.HISTORICAL,
    alpha: float = ALPHA,
    window: int = 250,
    days: int = HISTORY_DAYS,
    at: datetime | None = None,
) -> BacktestSeries | None:
    """How the VaR of today's positions would have held over the last `days` days, each forecast from `window`
    days.

    None where positions or returns are not known, nothing is held, or the history is no longer than the
    window.
    """
    moment = at or clock.now()
    measured = measure_books(at=moment, book_ids=[book.pk], tail=False)
    x = measured.exposure[measured.row(book.pk)]
    if not x.any() or not np.isfinite(x).all():
        return None
    held = x != 0
    symbols = [s for s, here in zip(measured.symbols, held, strict=True) if here]
    pnl = risk_source().daily_returns(symbols, window + days, moment) @ x[held]
    if pnl.shape[0] <= window or not np.isfinite(pnl).all():
        return None
    var = rolling_var(pnl, alpha, window=window, method=method)
    return BacktestSeries(pnl, var, backtest_var(pnl, var, alpha))
