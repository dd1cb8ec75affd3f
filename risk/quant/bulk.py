"""Many limits over many Books at once: roll-up, inheritance and comparison as arrays.

A Book's exposure is its own and that of all Books below it, added without netting between Books; a Book's
limit is the tightest of its own and those of the Books above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from risk.quant.metrics import CODES, HIGHER_IS_TIGHTER, METRICS, Level
from risk.quant.tail import FloatArray

IntArray = npt.NDArray[np.int64]
_LONGER_IS_TIGHTER = np.array([m in HIGHER_IS_TIGHTER for m in METRICS])


def depths(parent: IntArray) -> IntArray:
    """Depth of each Book (n_books,), roots 0; `parent` holds row numbers, -1 for a root.

    Raises ValueError when the rows do not form a forest.
    """
    n = parent.shape[0]
    if n and (int(parent.max()) >= n or int(parent.min()) < -1):
        raise ValueError("A parent must be a row of the same table, or -1.")
    depth, up, steps = np.zeros(n, dtype=np.int64), parent.copy(), 0
    while (up >= 0).any():
        steps += 1
        if steps > n:
            raise ValueError("The Books form a circle: a Book cannot be its own ancestor.")
        depth += up >= 0
        up = np.where(up >= 0, parent[up], -1)
    return depth


def roll_up(values: FloatArray, parent: IntArray) -> FloatArray:
    """`values` (n_books, n_columns) with every Book's row added to all rows above it. NaN stays NaN on the
    way up.
    """
    out = np.array(values, dtype=np.float64)
    depth = depths(parent)
    for level in range(int(depth.max()) if depth.size else 0, 0, -1):
        rows = np.flatnonzero(depth == level)
        np.add.at(out, parent[rows], out[rows])
    return out


def roll_up_max(values: FloatArray, parent: IntArray) -> FloatArray:
    """`values` (n_books, n_columns) with every Book's row the largest of its own and all below. NaN stays
    NaN.
    """
    out = np.array(values, dtype=np.float64)
    depth = depths(parent)
    with np.errstate(invalid="ignore"):
        for level in range(int(depth.max()) if depth.size else 0, 0, -1):
            rows = np.flatnonzero(depth == level)
            np.maximum.at(out, parent[rows], out[rows])
    return out


@dataclass(frozen=True, slots=True)
class Bounds:
    """Effective levels (n_books, n_columns), NaN where none is set, and the row of the limit each comes from,
    or -1.
    """

    soft: FloatArray
    hard: FloatArray
    soft_from: IntArray
    hard_from: IntArray


def effective_bounds(
    parent: IntArray,
    book: IntArray,
    column: IntArray,
    soft: FloatArray,
    hard: FloatArray,
    longer: npt.NDArray[np.bool_],
) -> Bounds:
    """The tightest soft and hard level of each Book and column, inherited down the tree.

    `book`, `column`, `soft`, `hard` (n_limits,): the limits, NaN for a level not set. `longer` (n_columns,):
    columns in which the greater number is the tighter one. A tie keeps the limit nearest to the root.
    """
    n, m = parent.shape[0], longer.shape[0]
    sign = np.where(longer, -1.0, 1.0)
    tables = []
    for levels in (soft, hard):
        value, source = np.full((n, m), math.inf), np.full((n, m), -1, dtype=np.int64)
        keyed = np.where(np.isnan(levels), math.inf, levels * sign[column])
        # Loosest first, so that the tightest limit of a Book is written last.
        order = np.lexsort((-np.arange(len(keyed)), -keyed))
        order = order[np.isfinite(keyed[order])]
        value[book[order], column[order]] = keyed[order]
        source[book[order], column[order]] = order
        depth = depths(parent)
        for level in range(1, int(depth.max()) + 1 if depth.size else 0):
            rows = np.flatnonzero(depth == level)
            above = parent[rows]
            tighter = value[above] <= value[rows]
            value[rows] = np.where(tighter, value[above], value[rows])
            source[rows] = np.where(tighter, source[above], source[rows])
        source[~np.isfinite(value)] = -1
        tables.append((np.where(np.isfinite(value), value * sign, math.nan), source))
    (soft_table, soft_from), (hard_table, hard_from) = tables
    return Bounds(soft_table, hard_table, soft_from, hard_from)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`levels` (n_limits,) of `Level`; `headroom` (n_limits,) the share of the hard (else soft) level still
    free.

    Headroom is negative once the level is passed, and NaN where the value is unknown.
    """

    levels: npt.NDArray[np.int8]
    headroom: FloatArray


def evaluate(values: FloatArray, soft: FloatArray, hard: FloatArray, metric: IntArray) -> Evaluation:
    """Compares each limit's value with its levels; all arrays (n_limits,), `metric` by code. O(n_limits).

    A NaN value is UNKNOWN, never OK.
    """
    longer = _LONGER_IS_TIGHTER[metric]
    passed_hard = np.where(longer, values < hard, values > hard)
    passed_soft = np.where(longer, values < soft, values > soft)
    levels = np.where(passed_hard, Level.HARD, np.where(passed_soft, Level.SOFT, Level.OK)).astype(np.int8)
    levels[np.isnan(values)] = Level.UNKNOWN
    bound = np.where(np.isnan(hard), soft, hard)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = np.where(longer, values - bound, bound - values)
        room = np.where(bound > 0, free / bound, np.where(free >= 0, 0.0, -math.inf))
    room = np.where(longer & np.isinf(values), 1.0, room)
    return Evaluation(levels, np.where(np.isnan(values), math.nan, room))


@dataclass(frozen=True, slots=True)
class PositionTable:
    """Positions of many Books, one row each; money signed. Working orders are already in `worst` (not
    negative).
    """

    book: IntArray
    symbol: IntArray
    venue: IntArray
    net: FloatArray
    worst: FloatArray
    loss_frac: FloatArray


@dataclass(frozen=True, slots=True)
class BookTable:
    """Figures of many Books, one row each, own and everything below included; NaN where unknown."""

    parent: IntArray
    equity: FloatArray
    day_open_equity: FloatArray
    peak_equity: FloatArray
    var: FloatArray
    es: FloatArray
    orders_in_window: FloatArray
    seconds_since_loss: FloatArray


@dataclass(frozen=True, slots=True)
class Measured:
    """Metric values (n_books, n_metrics), NaN where unknown, and exposure over equity by (Book, symbol) and
    (Book, venue).
    """

    values: FloatArray
    by_symbol: FloatArray
    by_venue: FloatArray


def measure(books: BookTable, positions: PositionTable, *, n_symbols: int, n_venues: int) -> Measured:
    """Every state metric of every Book. O(n_books * (n_symbols + n_venues) + n_positions)."""
    n = books.parent.shape[0]
    own = np.zeros((n, 3))
    np.add.at(own[:, 0], positions.book, positions.worst)
    np.add.at(own[:, 1], positions.book, positions.net)
    np.add.at(own[:, 2], positions.book, (positions.worst != 0).astype(np.float64))
    symbol, venue = np.zeros((n, n_symbols)), np.zeros((n, n_venues))
    np.add.at(symbol, (positions.book, positions.symbol), positions.worst)
    np.add.at(venue, (positions.book, positions.venue), positions.worst)
    own, symbol, venue = (roll_up(t, books.parent) for t in (own, symbol, venue))
    gross, net = own[:, 0], np.abs(own[:, 1])
    largest, worst_loss = np.zeros(n), np.zeros(n)
    with np.errstate(invalid="ignore"):
        np.maximum.at(largest, positions.book, positions.worst)
        np.maximum.at(worst_loss, positions.book, positions.loss_frac)
    peaks = roll_up_max(np.column_stack((largest, worst_loss)), books.parent)
    largest, worst_loss = peaks[:, 0], peaks[:, 1]
    loss = _floor(books.day_open_equity - books.equity)
    columns = {
        "gross_exposure": gross,
        "net_exposure": net,
        "net_exposure_frac": over(net, books.equity),
        "leverage": over(gross, books.equity),
        "position_notional": largest,
        "open_positions": own[:, 2],
        "symbol_concentration_frac": over(symbol.max(axis=1, initial=0.0), books.equity),
        "venue_concentration_frac": over(venue.max(axis=1, initial=0.0), books.equity),
        "var": books.var,
        "var_frac": over(books.var, books.equity),
        "es": books.es,
        "es_frac": over(books.es, books.equity),
        "daily_loss": loss,
        "daily_loss_frac": over(loss, books.day_open_equity),
        "drawdown_frac": over(_floor(books.peak_equity - books.equity), books.peak_equity),
        "stop_loss_frac": worst_loss,
        "cooldown_s": books.seconds_since_loss,
        "order_rate": books.orders_in_window,
    }
    values = np.full((n, len(METRICS)), math.nan)
    for metric, code in CODES.items():
        if metric.value in columns:
            values[:, code] = columns[metric.value]
    equity = books.equity[:, None]
    return Measured(values, over(symbol, equity), over(venue, equity))


def over(value: FloatArray, equity: FloatArray) -> FloatArray:
    """A share of equity: infinite for a Book with an exposure and none left, NaN where either is unknown."""
    value, equity = np.broadcast_arrays(value, equity)
    out: FloatArray = np.full(value.shape, math.nan)
    np.divide(value, equity, out=out, where=equity > 0)
    none_left = equity <= 0
    out[none_left] = np.where(np.isnan(value), math.nan, np.where(value > 0, math.inf, 0.0))[none_left]
    return out


def _floor(x: FloatArray) -> FloatArray:
    return np.asarray(np.where(np.isnan(x), math.nan, np.maximum(x, 0.0)))
