"""One Book's risk, read once and looked at from every side: headroom, tails, components, exposure, liquidity.

`book_risk` measures; everything else here is arithmetic on what it found. What is not known is None, with its
reason in words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from fundops.core import clock
from risk.measuring import ALPHA, HISTORY_DAYS, MeasuredBooks, measure_books, rows_below
from risk.quant.backtests import VarBacktest, backtest_var
from risk.quant.bulk import evaluate
from risk.quant.contributions import contributions, standalone
from risk.quant.es_backtests import EsBacktest, backtest_es, rolling_forecasts
from risk.quant.garch import MINIMUM_FIT
from risk.quant.measures import (
    Beta,
    Exposure,
    Liquidity,
    beta,
    correlation,
    ewma_volatility,
    exposures,
    liquidity_horizon,
    volatility,
)
from risk.quant.metrics import CODES, HIGHER_IS_TIGHTER, STATE_METRICS, Level, Metric
from risk.quant.rolling import VarMethod, tail_risk
from risk.quant.tail import FloatArray, minimum_observations
from risk.selectors import EffectiveLimit, effective_limits
from risk.sources import BookFigures, DatesReturns, HeldPosition, MeasuresVolume, has_source, risk_source
from risk.windows import bitcoin_markets
from treasury.models import Book

#: The levels that figures are offered at, the strictest first.
LEVELS = (0.99, 0.975, 0.95)
#: Each forecast of a backtest rests on so many days, where there are as many.
WINDOW = 250
PARTICIPATION = 0.1
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class BookRisk:
    """A Book with all below it at one instant. Money in the fund's base asset.

    `symbols` are those it is exposed to, with `exposure` (k,); `returns` (n, k) the daily returns of the latest
    days that all of them have, oldest first; `benchmarks` (n,) those of Bitcoin markets on the same days, NaN where
    missing. `problems` say what is not known, in words.
    """

    book: Book
    base: str
    at: datetime
    measured: MeasuredBooks
    row: int
    symbols: tuple[str, ...]
    exposure: FloatArray
    returns: FloatArray
    benchmarks: Mapping[str, FloatArray]
    problems: tuple[str, ...]

    @property
    def figures(self) -> BookFigures:
        return self.measured.figures[self.row]

    @property
    def equity(self) -> float | None:
        return self.figures.equity

    @property
    def days(self) -> int:
        return int(self.returns.shape[0])

    @property
    def pnl(self) -> FloatArray:
        """What today's positions would have made on each of the days (n,)."""
        return np.asarray(self.returns @ self.exposure, dtype=np.float64)

    def value(self, metric: Metric) -> float | None:
        return known(float(self.measured.measured.values[self.row, CODES[metric]]))

    def of_equity(self, amount: float | None) -> float | None:
        equity = self.equity
        return amount / equity if amount is not None and equity is not None and equity > 0 else None


def known(x: float) -> float | None:
    return x if math.isfinite(x) else None


def book_risk(book: Book, *, at: datetime | None = None, days: int = HISTORY_DAYS + WINDOW) -> BookRisk:
    """Measures the fund of a Book, and reads up to `days` daily returns of what the Book holds.

    Raises BookNotMeasuredError for a closed Book. Without a source nothing is known, and it says so.
    """
    moment = at or clock.now()
    measured = measure_books(at=moment, book_ids=[book.pk])
    row = measured.row(book.pk)
    base = book.fund.base_asset.code
    problems = _unmeasured(measured, row)
    x = measured.exposure[row]
    if not measured.complete[row]:
        return BookRisk(book, base, moment, measured, row, (), np.zeros(0), np.zeros((0, 0)), {}, problems)
    held = x != 0
    symbols = tuple(s for s, here in zip(measured.symbols, held, strict=True) if here)
    unpriced = tuple(s for s, v in zip(symbols, x[held], strict=True) if not math.isfinite(v))
    if unpriced:
        problems += (f"price of {_some(unpriced)}",)
    if measured.figures[row].equity is None:
        problems += ("equity",)
    returns, benchmarks = np.zeros((0, len(symbols))), dict[str, FloatArray]()
    if symbols and not unpriced:
        bitcoin = bitcoin_markets()
        names = [*symbols, *(b for b in bitcoin if b not in symbols)]
        table = np.asarray(risk_source().daily_returns(names, days, moment), dtype=np.float64).reshape(-1, len(names))
        # A benchmark that is known for longer than anything held must not make the last days of it look missing.
        some = np.flatnonzero(np.isfinite(table[:, : len(symbols)]).any(axis=1))
        table = table[: some[-1] + 1 if some.size else 0]
        returns, lacking = complete_days(table[:, : len(symbols)], symbols)
        alongside = table[table.shape[0] - returns.shape[0] :]
        benchmarks = {b: alongside[:, names.index(b)] for b in bitcoin}
        if lacking:
            problems += (f"daily returns of {_some(lacking)}",)
    return BookRisk(book, base, moment, measured, row, symbols, x[held], returns, benchmarks, problems)


def last_day_of(risk: BookRisk) -> date:
    """The UTC day of the last of the returns: the one before, unless the source says otherwise."""
    source = risk_source() if has_source() else None
    told = source.last_return_day(risk.symbols, risk.at) if isinstance(source, DatesReturns) else None
    return told or risk.at.astimezone(UTC).date() - timedelta(days=1)


def _unmeasured(measured: MeasuredBooks, row: int) -> tuple[str, ...]:
    if not has_source():
        return ("anything: no source of positions and prices is installed",)
    if measured.complete[row]:
        return ()
    gone = [r for r in rows_below(measured, row) if measured.figures[r].equity is None]
    return (f"{len(gone)} of {len(rows_below(measured, row))} books, which nobody measured",)


def complete_days(returns: FloatArray, symbols: Sequence[str]) -> tuple[FloatArray, tuple[str, ...]]:
    """The latest days (n, k) on which every one of `symbols` has a return, and the symbols that leave none."""
    table = np.asarray(returns, dtype=np.float64).reshape(-1, len(symbols))
    bad = ~np.isfinite(table)
    rows = np.flatnonzero(bad.any(axis=1))
    if not rows.size:
        return table, tuple(symbols) if table.shape[0] == 0 else ()
    whole = table[rows[-1] + 1 :]
    if whole.shape[0]:
        return whole, ()
    return whole, tuple(s for s, gap in zip(symbols, bad[-1], strict=True) if gap)


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def highest_level(days: int) -> float | None:
    """The strictest of LEVELS that so many days carry."""
    return next((level for level in LEVELS if days >= minimum_observations(level)), None)


# --- Limits -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Headroom:
    """An effective limit with where the Book stands; `headroom` is the share of the level that is free.

    `soft_origin` and `hard_origin` are the Books that set the two levels. `on_orders`: it limits orders, and has no
    value between them.
    """

    limit: EffectiveLimit
    value: float | None
    headroom: float | None
    level: Level
    soft_origin: Book | None
    hard_origin: Book | None

    @property
    def origin(self) -> Book | None:
        """The Book whose limit binds: that of the hard level, else of the soft one."""
        return self.hard_origin or self.soft_origin

    @property
    def limit_id(self) -> int | None:
        """The row whose level binds; None where a decision on leverage or the restricted list does."""
        if self.limit.origin and self.limit.override_id is None:
            return None
        return self.limit.hard_limit_id or self.limit.soft_limit_id

    @property
    def on_orders(self) -> bool:
        return self.limit.metric not in STATE_METRICS

    @property
    def at_least(self) -> bool:
        return self.limit.metric in HIGHER_IS_TIGHTER


def headroom(risk: BookRisk) -> list[Headroom]:
    """The limits that bind the Book, own and inherited: passed ones first, then the tightest. Those on orders last."""
    limits = effective_limits(risk.book, at=risk.at)
    origins = {pk for x in limits for pk in (x.soft_book_id, x.hard_book_id) if pk is not None}
    books = Book.objects.in_bulk(origins) if origins - {risk.book.pk} else {risk.book.pk: risk.book}
    found = []
    for limit in limits:
        value = float(risk.measured.column(limit.metric, limit.symbol, limit.venue)[risk.row])
        levels = [math.nan if x is None else x for x in (limit.soft, limit.hard)]
        judged = evaluate(
            np.array([value]),
            np.array(levels[:1]),
            np.array(levels[1:]),
            np.array([CODES[limit.metric]], dtype=np.int64),
        )
        on_orders = limit.metric not in STATE_METRICS
        found.append(
            Headroom(
                limit,
                None if math.isnan(value) else value,
                known(float(judged.headroom[0])),
                Level.OK if on_orders else Level(int(judged.levels[0])),
                books.get(limit.soft_book_id or 0),
                books.get(limit.hard_book_id or 0),
            )
        )
    rank = {Level.HARD: 0, Level.SOFT: 1, Level.UNKNOWN: 2, Level.OK: 3}
    return sorted(found, key=lambda h: (h.on_orders, rank[h.level], math.inf if h.headroom is None else h.headroom))


# --- Tails --------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class MethodRisk:
    """VaR and ES of one day by one method, from `days` of P&L of today's positions; None with its reason."""

    method: VarMethod
    alpha: float
    var: float | None
    es: float | None
    var_frac: float | None
    es_frac: float | None
    days: int
    reason: str


def tails(risk: BookRisk, alpha: float = ALPHA, *, days: int = HISTORY_DAYS) -> list[MethodRisk]:
    """Every method on the same days."""
    pnl = risk.pnl[-days:]
    out = []
    for method in VarMethod:
        if not risk.symbols:
            nothing = 0.0 if not risk.problems else None
            reason = "" if not risk.problems else _not_known(risk)
            out.append(MethodRisk(method, alpha, nothing, nothing, nothing, nothing, 0, reason))
            continue
        found = tail_risk(pnl, alpha, method) if pnl.shape[0] else None
        var, es = (None, None) if found is None else (known(found.var), known(found.es))
        reason = "" if es is not None else _why_no_tail(risk, method, alpha, pnl.shape[0])
        out.append(MethodRisk(method, alpha, var, es, risk.of_equity(var), risk.of_equity(es), pnl.shape[0], reason))
    return out


def _not_known(risk: BookRisk) -> str:
    return f"Not known: {'; '.join(risk.problems)}."


def _why_no_tail(risk: BookRisk, method: VarMethod, alpha: float, days: int) -> str:
    if risk.problems:
        return _not_known(risk)
    needed = MINIMUM_FIT if method is VarMethod.FILTERED else 20
    needed = max(needed, minimum_observations(alpha) if method is not VarMethod.CORNISH_FISHER else 20)
    if days < needed:
        return f"Needs {needed} days of returns; there are {days}."
    if method is VarMethod.CORNISH_FISHER:
        return "The sample's skew and kurtosis lie outside the domain of the expansion."
    return "No GARCH model could be fitted to these days."


@dataclass(frozen=True, slots=True)
class Backtest:
    """Daily P&L of today's positions and the forecasts before each day, over the days that have one.

    All arrays (n,), newest last; `hits` marks the days beyond the VaR.
    """

    method: VarMethod
    alpha: float
    window: int
    pnl: FloatArray
    var: FloatArray
    es: FloatArray
    hits: FloatArray
    var_tests: VarBacktest
    es_test: EsBacktest


def backtest_window(days: int, alpha: float, method: VarMethod) -> int | None:
    """250 days before each forecast, or half of a shorter history where that still carries the level.

    None below as many forecasts as let one loss beyond the VaR be expected: from fewer nothing can be said.
    """
    least = _least_window(alpha, method)
    window = max(least, min(WINDOW, days // 2))
    return window if days - window >= minimum_observations(alpha) else None


def _least_window(alpha: float, method: VarMethod) -> int:
    return max(minimum_observations(alpha), MINIMUM_FIT if method is VarMethod.FILTERED else 20)


def backtest(risk: BookRisk, alpha: float = ALPHA, method: VarMethod = VarMethod.HISTORICAL) -> Backtest | str:
    """How VaR and ES of today's positions would have held; a reason in words where that cannot be said."""
    if risk.problems:
        return _not_known(risk)
    if not risk.symbols:
        return "Nothing is held: there is no risk to test."
    window = backtest_window(risk.days, alpha, method)
    if window is None:
        before, tested = _least_window(alpha, method), minimum_observations(alpha)
        return (
            f"A backtest at {alpha:.1%} needs {before + tested} days of returns: {before} before the first forecast,"
            f" and {tested} forecasts, of which one may be expected to fail. There are {risk.days}."
        )
    pnl = risk.pnl
    forecasts = rolling_forecasts(pnl, alpha, window=window, method=method)
    if not any(f is not None for f in forecasts):
        return f"{_why_no_tail(risk, method, alpha, window)} No day has a forecast."
    var = np.array([math.nan if f is None else f.var for f in forecasts])
    es = np.array([math.nan if f is None else f.es for f in forecasts])
    return Backtest(
        method=method,
        alpha=alpha,
        window=window,
        pnl=pnl[window:],
        var=var[window:],
        es=es[window:],
        hits=(pnl < -var)[window:].astype(np.float64),
        var_tests=backtest_var(pnl, var, alpha),
        es_test=backtest_es(pnl, forecasts, alpha),
    )


@dataclass(frozen=True, slots=True)
class Component:
    """What one asset or one Book directly below carries of the whole; shares of the ES sum to one.

    `exposure` is net for an asset and gross for a Book. The marginals are the change of the whole for one more unit of
    it: of the asset, or of the Book in the proportions that it holds.
    """

    label: str
    book: Book | None
    exposure: float
    var: float
    es: float
    share: float | None
    marginal_var: float | None
    marginal_es: float | None


@dataclass(frozen=True, slots=True)
class Components:
    """`by_asset` and `by_book` each sum to `var` and `es`; empty with a `reason` where they are not known."""

    alpha: float
    days: int
    var: float | None
    es: float | None
    by_asset: list[Component]
    by_book: list[Component]
    reason: str = ""


def components(
    risk: BookRisk, children: Sequence[Book], alpha: float = ALPHA, *, days: int = HISTORY_DAYS
) -> Components:
    """Component VaR and ES by asset, and by the Books directly below (and what the Book itself holds)."""
    if risk.problems or not risk.symbols:
        return Components(
            alpha, risk.days, None, None, [], [], _not_known(risk) if risk.problems else "Nothing is held."
        )
    names, books, P = _by_child(risk, children)
    returns = risk.returns[-days:]
    parts = contributions(P, returns, alpha, var_window=min(5, max(0, returns.shape[0] // 100)))
    if not math.isfinite(parts.es):
        least = minimum_observations(alpha)
        return Components(alpha, returns.shape[0], None, None, [], [], f"Needs {least} days; has {returns.shape[0]}.")

    def share(es: float) -> float | None:
        return es / parts.es if parts.es > 0 else None

    def each(whole: float, gross: float) -> float | None:
        return known(whole / gross) if gross > 0 else None

    by_asset = [
        Component(s, None, float(x), float(v), float(e), share(float(e)), known(float(dv)), known(float(de)))
        for s, x, v, e, dv, de in zip(
            risk.symbols,
            risk.exposure,
            parts.var_by_asset,
            parts.es_by_asset,
            parts.marginal_var,
            parts.marginal_es,
            strict=True,
        )
    ]
    by_book = [
        Component(name, book, gross, float(v), float(e), share(float(e)), each(float(v), gross), each(float(e), gross))
        for name, book, row, v, e in zip(names, books, P, parts.var_by_book, parts.es_by_book, strict=True)
        if (gross := float(np.abs(row).sum())) > 0
    ]
    return Components(
        alpha,
        returns.shape[0],
        known(parts.var),
        known(parts.es),
        sorted(by_asset, key=lambda c: -abs(c.es)),
        sorted(by_book, key=lambda c: -abs(c.es)),
    )


def child_tails(
    risk: BookRisk, children: Sequence[Book], alpha: float = ALPHA, *, days: int = HISTORY_DAYS
) -> dict[int, tuple[float | None, float | None]]:
    """VaR and ES of each of the Books directly below by itself, by Book id; None where not known."""
    _, books, P = _by_child(risk, children) if risk.symbols and not risk.problems else ([], [], np.zeros((0, 0)))
    if not P.size:
        return {}
    var, es = standalone(P, risk.returns[-days:], alpha)
    return {
        book.pk: (known(float(v)), known(float(e)))
        for book, v, e in zip(books, var, es, strict=True)
        if book is not None
    }


def _by_child(risk: BookRisk, children: Sequence[Book]) -> tuple[list[str], list[Book | None], FloatArray]:
    """Exposure (n, k) of the Books directly below over `risk.symbols`, and first of what is held here itself."""
    held = [risk.measured.symbols.index(s) for s in risk.symbols]
    place = {pk: i for i, pk in enumerate(risk.measured.ids)}
    below = [c for c in children if c.pk in place]
    rows = risk.measured.exposure[[place[c.pk] for c in below]][:, held] if below else np.zeros((0, len(held)))
    own = risk.exposure - rows.sum(axis=0)
    own[np.abs(own) < 1e-9 * (1.0 + np.abs(risk.exposure))] = 0.0
    labels, books, P = [c.code for c in below], list[Book | None](below), rows
    if own.any():
        labels, books, P = [f"{risk.book.code} itself", *labels], [None, *books], np.vstack((own, rows))
    return labels, books, np.asarray(P, dtype=np.float64)


# --- Exposure -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ExposureTable:
    """Signed exposure (rows: the Books directly below, columns: symbols, the largest first)."""

    rows: list[str]
    books: list[Book | None]
    symbols: list[str]
    exposure: FloatArray


def strategy_by_asset(risk: BookRisk, children: Sequence[Book], *, most: int = 20) -> ExposureTable:
    """Who is exposed to what; rows without any exposure are left out."""
    if not risk.symbols or not np.isfinite(risk.exposure).all():
        return ExposureTable([], [], [], np.zeros((0, 0)))
    names, books, P = _by_child(risk, children)
    columns = np.argsort(-np.abs(P).sum(axis=0), kind="stable")[:most]
    rows = [i for i in np.argsort(-np.abs(P).sum(axis=1), kind="stable") if P[i].any()]
    return ExposureTable(
        [names[i] for i in rows],
        [books[i] for i in rows],
        [risk.symbols[c] for c in columns],
        P[np.ix_(rows, columns)],
    )


@dataclass(frozen=True, slots=True)
class Breakdown:
    by_asset: list[Exposure]
    by_venue: list[Exposure]
    by_currency: list[Exposure]
    by_book: list[Exposure]


def breakdown(risk: BookRisk, children: Sequence[Book]) -> Breakdown:
    """Exposure by asset, venue, currency and strategy (the Books directly below), without netting between lines."""
    names = {c.pk: c.code for c in children}
    lines: list[tuple[float, HeldPosition, str]] = []
    child = np.full(len(risk.measured.ids), -1, dtype=np.int64)
    for row in rows_below(risk.measured, risk.row):
        up = int(risk.measured.parent[row])
        if row != risk.row:
            child[row] = row if up == risk.row else child[up]
        label = names.get(risk.measured.ids[child[row]], "closed") if child[row] >= 0 else f"{risk.book.code} itself"
        for p in risk.measured.figures[row].positions:
            if p.unit_notional != 0:
                quantity = math.nan if p.quantity is None else p.quantity
                unit = math.nan if p.unit_notional is None else p.unit_notional
                lines.append((quantity * unit if quantity else 0.0, p, label))
    x = np.array([line[0] for line in lines], dtype=np.float64)
    return Breakdown(
        exposures(x, [p.symbol for _, p, _ in lines]),
        exposures(x, [p.venue or "not told" for _, p, _ in lines]),
        exposures(x, [p.currency for _, p, _ in lines]),
        exposures(x, [label for _, _, label in lines]),
    )


# --- Movement -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Movement:
    """Volatility (annualised, over equity), beta to a benchmark, days to close. None where not known."""

    volatility: float | None
    ewma: float | None
    beta: Beta | None
    benchmark: str
    liquidity: Liquidity | None
    slowest: str
    without_volume: tuple[str, ...]
    days: int


def movement(risk: BookRisk, *, participation: float = PARTICIPATION) -> Movement:
    """How much the Book moves, with what, and how long it takes to leave."""
    equity = risk.equity
    pnl = risk.pnl[-HISTORY_DAYS:]
    spread = ewma = None
    slope: Beta | None = None
    named, market = _benchmark(risk)
    if equity is not None and equity > 0 and pnl.shape[0]:
        spread, ewma = known(volatility(pnl / equity)), known(ewma_volatility(pnl / equity))
        found = beta(pnl / equity, market[market.shape[0] - pnl.shape[0] :])
        slope = found if math.isfinite(found.beta) else None
    size, slowest, lacking = _liquidity(risk, participation)
    return Movement(spread, ewma, slope, named, size, slowest, lacking, int(pnl.shape[0]))


def _benchmark(risk: BookRisk) -> tuple[str, FloatArray]:
    """Of the Bitcoin markets the one with the most days, and its returns on the days of the Book's."""
    if not risk.benchmarks:
        return "BTC", np.zeros(0)
    name = max(risk.benchmarks, key=lambda b: int(np.isfinite(risk.benchmarks[b]).sum()))
    return name, risk.benchmarks[name]


def _liquidity(risk: BookRisk, participation: float) -> tuple[Liquidity | None, str, tuple[str, ...]]:
    if not risk.symbols:
        return (None if risk.problems else liquidity_horizon(np.zeros(0), np.zeros(0))), "", ()
    if not np.isfinite(risk.exposure).all():
        return None, "", risk.symbols
    volumes: Mapping[str, float] = {}
    source = risk_source()
    if isinstance(source, MeasuresVolume):
        volumes = source.daily_volumes(risk.symbols, risk.at)
    volume = np.array([volumes.get(s, math.nan) for s in risk.symbols], dtype=np.float64)
    found = liquidity_horizon(risk.exposure, volume, participation=participation)
    lacking = tuple(s for s, v in zip(risk.symbols, volume, strict=True) if not v > 0)
    slowest = "" if np.isnan(found.days).all() else risk.symbols[int(np.nanargmax(found.days))]
    return found, slowest, lacking


@dataclass(frozen=True, slots=True)
class Correlations:
    symbols: list[str]
    matrix: FloatArray
    days: int


def correlations(risk: BookRisk, *, most: int = 20, days: int = HISTORY_DAYS) -> Correlations:
    """Pairwise correlation of the largest positions' returns; NaN below 20 common days."""
    if not risk.symbols or not np.isfinite(risk.exposure).all():
        return Correlations([], np.zeros((0, 0)), 0)
    largest = np.argsort(-np.abs(risk.exposure), kind="stable")[:most]
    returns = risk.returns[-days:][:, largest]
    matrix = correlation(returns) if returns.shape[0] else np.full((len(largest), len(largest)), math.nan)
    return Correlations([risk.symbols[i] for i in largest], matrix, int(returns.shape[0]))
