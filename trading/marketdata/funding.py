"""Funding rates out of the catalog, as arrays for the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from fundops.core.clock import to_ms
from trading.marketdata.bars import Float64s, Int64s, Kind, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.intervals import HOUR_MS


@dataclass(frozen=True, slots=True, eq=False)
class FundingFrame:
    """``ts_ms`` (n,) int64: every hour at which one of the symbols is funded, ascending.

    ``rate`` (n, n_symbols) float64: fraction of the position's notional that longs pay shorts; NaN where that
    symbol is not funded then. The step between fundings may change within a symbol.
    """

    venue: str
    symbols: tuple[str, ...]
    ts_ms: Int64s
    rate: Float64s
    synthetic: bool

    def __len__(self) -> int:
        return len(self.ts_ms)

    def on_grid(self, grid_ms: Int64s) -> Float64s:
        """Rates due at the opening of each bar of a grid: (n_bars, n_symbols), 0 where none is due.

        A funding that falls between two bars of a coarse grid is charged at the next bar's opening; several
        of them add up. One before the first bar or after the last opening is left out.
        """
        out = np.zeros((len(grid_ms), len(self.symbols)))
        rows = np.searchsorted(grid_ms, self.ts_ms)
        within = rows < len(grid_ms)
        within &= np.where(within, self.ts_ms >= (grid_ms[0] if len(grid_ms) else 0), False)  # noqa: FBT003
        np.add.at(out, rows[within], np.nan_to_num(self.rate[within], nan=0.0))
        return out


def load_funding(
    catalog: Catalog, venue: str, symbols: Sequence[str], start: datetime | int, end: datetime | int
) -> FundingFrame:
    """Fundings in [start, end) of each symbol; a symbol without any stored funding has only NaN."""
    start_ms, end_ms = (to_ms(at) if isinstance(at, datetime) else int(at) for at in (start, end))
    found = [catalog.read_bars(SeriesKey(venue, s, HOUR_MS, Kind.FUNDING), start_ms, end_ms) for s in symbols]
    stamps = [bars.ts_ms for bars in found]
    ts_ms = np.unique(np.concatenate(stamps)) if stamps else np.empty(0, np.int64)
    rate = np.full((len(ts_ms), len(symbols)), np.nan)
    for j, bars in enumerate(found):
        rate[np.searchsorted(ts_ms, bars.ts_ms), j] = bars.close
    return FundingFrame(venue, tuple(symbols), ts_ms, rate, SeriesKey(venue, "X", HOUR_MS).synthetic)
