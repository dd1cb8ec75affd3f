"""The market a run sees: columnar candles and funding stamps of some symbols on one time grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.engine.errors import MarketDataError
from trading.quant.engine.extremes import Extremes, find_extremes

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


_ARRAYS = ("ts_ms", "open", "high", "low", "close", "volume", "funding_ts_ms", "funding_symbol", "funding_rate")


def _no_floats() -> Float64:
    return np.empty(0, dtype=np.float64)


def _no_ints() -> Int64:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Market:
    """Candles of ``n_symbols`` symbols on ``n_bars`` common opening times.

    ``ts_ms`` are opening times in UTC milliseconds, strictly rising, multiples of ``interval_ms`` apart
    (whole steps may
    be missing). Prices are in the quote currency, volume in base units; all five have shape (n_bars,
    n_symbols) and
    are kept column-contiguous (Fortran order; an array that already is so is not copied), as read-only views.

    A symbol's missing bar is a row of NaN in all five: nothing fills, no signal step runs, a position stays
    marked at
    the last close. Funding stamps (``funding_ts_ms`` sorted, ``funding_symbol`` as column index,
    ``funding_rate`` as a
    fraction of notional; longs pay positive rates) apply at the opening of the first bar at or after the
    stamp, before any
    fill of that bar, on the position valued at the last close.

    Raises MarketDataError for wrong shapes, unsorted times, partly missing bars, prices that are not
    positive,
    negative volume, or a high or low that does not bracket open and close.
    """

    symbols: tuple[str, ...]
    ts_ms: Int64
    interval_ms: int
    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64
    funding_ts_ms: Int64 = field(default_factory=_no_ints)
    funding_symbol: Int64 = field(default_factory=_no_ints)
    funding_rate: Float64 = field(default_factory=_no_floats)
    validate: bool = True
    has_gaps: bool = field(init=False, default=False)
    _extremes: Extremes | None = field(init=False, default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "symbols", tuple(self.symbols))
        put(self, "ts_ms", np.ascontiguousarray(self.ts_ms, dtype=np.int64))
        for name in ("open", "high", "low", "close", "volume"):
            put(self, name, np.asfortranarray(getattr(self, name), dtype=np.float64))
        put(self, "funding_ts_ms", np.ascontiguousarray(self.funding_ts_ms, dtype=np.int64))
        put(self, "funding_symbol", np.ascontiguousarray(self.funding_symbol, dtype=np.int64))
        put(self, "funding_rate", np.ascontiguousarray(self.funding_rate, dtype=np.float64))
        self._check_shapes()
        if self.validate:
            self._check_values()
        put(self, "has_gaps", bool(np.isnan(self.close).any()))
        for name in _ARRAYS:
            put(self, name, _read_only(getattr(self, name)))

    @property
    def n_bars(self) -> int:
        return int(self.ts_ms.shape[0])

    @property
    def n_symbols(self) -> int:
        return len(self.symbols)

    @property
    def end_ms(self) -> int:
        """The close time of the last bar."""
        return int(self.ts_ms[-1]) + self.interval_ms if self.n_bars else 0

    def marks(self, before: Float64) -> Float64:
        """Closes as (n_symbols, n_bars), a missing one being the last one known; ``before`` holds those
        before bar 0.
        """
        closes: Float64 = self.close.T
        if not self.has_gaps:
            return closes
        present = ~np.isnan(closes)
        last = np.maximum.accumulate(np.where(present, np.arange(self.n_bars), -1), axis=1)
        known = np.take_along_axis(closes, np.maximum(last, 0), axis=1)
        return _read_only(np.ascontiguousarray(np.where(last >= 0, known, before[:, None])))

    def extremes(self, mark: Float64) -> Extremes:
        """The lows and highs of spans of bars, ``mark`` being this market's ``marks``.

        Without gaps they are the same whoever asks and are kept.
        """
        if self._extremes is not None:
            return self._extremes
        first_step = int(self.ts_ms[0]) // self.interval_ms
        found = find_extremes(self.high.T, self.low.T, mark, first_step, has_gaps=self.has_gaps)
        if not self.has_gaps:
            object.__setattr__(self, "_extremes", found)
        return found

    def slice(self, start: int, stop: int | None = None) -> Market:
        """Bars ``start:stop`` of this market as views; all funding stamps stay (the engine skips those it has
        paid).
        """
        part = slice(start, stop)
        return Market(
            symbols=self.symbols,
            ts_ms=self.ts_ms[part],
            interval_ms=self.interval_ms,
            open=_rows(self.open, part),
            high=_rows(self.high, part),
            low=_rows(self.low, part),
            close=_rows(self.close, part),
            volume=_rows(self.volume, part),
            funding_ts_ms=self.funding_ts_ms,
            funding_symbol=self.funding_symbol,
            funding_rate=self.funding_rate,
            validate=False,
        )

    @classmethod
    def from_columns(cls, ts_ms: Int64, interval_ms: int, columns: Mapping[str, Mapping[str, Float64]]) -> Market:
        """A market from ``{symbol: {"open": ..., "high": ..., "low": ..., "close": ..., "volume": ...}}``."""
        symbols = tuple(columns)
        arrays: dict[str, Any] = {
            name: np.asfortranarray(np.column_stack([columns[s][name] for s in symbols]))
            for name in ("open", "high", "low", "close", "volume")
        }
        return cls(symbols=symbols, ts_ms=ts_ms, interval_ms=interval_ms, **arrays)

    def _check_shapes(self) -> None:
        n, s = self.n_bars, self.n_symbols
        if s == 0:
            raise MarketDataError("A market needs at least one symbol.")
        if len(set(self.symbols)) != s:
            raise MarketDataError("Every symbol may appear only once in a market.")
        if self.ts_ms.ndim != 1:
            raise MarketDataError("ts_ms must be one-dimensional.")
        for name in ("open", "high", "low", "close", "volume"):
            shape = getattr(self, name).shape
            if shape != (n, s):
                raise MarketDataError(
                    f"{name} has shape {shape}; expected ({n}, {s}): one row a bar, one column a symbol."
                )
        if not self.funding_ts_ms.shape == self.funding_symbol.shape == self.funding_rate.shape:
            raise MarketDataError("funding_ts_ms, funding_symbol and funding_rate must have the same length.")
        if self.interval_ms <= 0 or (HOUR_MS % self.interval_ms and self.interval_ms % HOUR_MS):
            raise MarketDataError(
                f"interval_ms is {self.interval_ms}; it must divide one hour or be a whole number of hours."
            )

    def _check_values(self) -> None:
        steps = np.diff(self.ts_ms)
        if steps.size and (steps.min() <= 0 or np.any(steps % self.interval_ms)):
            at = int(np.argmax((steps <= 0) | (steps % self.interval_ms != 0)))
            raise MarketDataError(
                f"ts_ms must rise by whole intervals of {self.interval_ms} ms; rows {at} and {at + 1} are "
                f"{int(steps[at])} ms apart. Sort the candles and drop duplicates.",
                row=at,
            )
        for s, symbol in enumerate(self.symbols):
            o, h, lo, c, v = (x[:, s] for x in (self.open, self.high, self.low, self.close, self.volume))
            present = ~np.isnan(c)
            for name, x in (("open", o), ("high", h), ("low", lo), ("volume", v)):
                if not np.array_equal(~np.isnan(x), present):
                    at = int(np.argmax(np.isnan(x) == present))
                    raise MarketDataError(
                        f"{symbol} row {at}: {name} and close must be both present or both NaN.", row=at
                    )
            with np.errstate(invalid="ignore"):
                wrong = present & ~(
                    (lo > 0) & (lo <= o) & (lo <= c) & (h >= o) & (h >= c) & (h < np.inf) & (v >= 0) & (v < np.inf)
                )
            if wrong.any():
                at = int(np.argmax(wrong))
                raise MarketDataError(
                    f"{symbol} row {at}: open {o[at]}, high {h[at]}, low {lo[at]}, close {c[at]}, volume "
                    f"{v[at]} is "
                    "no possible bar. Quarantine it or make it a row of NaN.",
                    row=at,
                )
        if self.funding_ts_ms.size:
            if np.any(np.diff(self.funding_ts_ms) < 0):
                raise MarketDataError("Funding stamps must be sorted by time.")
            if self.funding_symbol.min() < 0 or self.funding_symbol.max() >= self.n_symbols:
                raise MarketDataError("A funding stamp names a symbol index that the market does not have.")
            if not np.isfinite(self.funding_rate).all():
                raise MarketDataError("Funding rates must be finite.")


def _read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written to. Of whatever a market is made, its arrays are then of one type to the kernels,
    which are compiled once for each type they meet.
    """
    view = values.view()
    view.flags.writeable = False
    return view


def _rows(values: Float64, part: slice) -> Float64:
    """Rows of a column-contiguous array, column-contiguous again (the transpose of a view costs one copy)."""
    return np.asfortranarray(values[part])
