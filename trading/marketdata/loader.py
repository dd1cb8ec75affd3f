"""Loading candles for the engine: several symbols on one full UTC grid, NaN where a bar is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from fundops.core.clock import to_ms
from trading.marketdata.bars import FIELDS, BadRow, Float64s, Int64s, Kind, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import IntervalError
from trading.marketdata.gaps import GapRange, find_gaps
from trading.marketdata.intervals import check_interval, interval_label, parse_interval


@dataclass(frozen=True, slots=True)
class SymbolCoverage:
    """How complete one symbol is over the window asked for."""

    symbol: str
    expected: int
    present: int
    missing: tuple[GapRange, ...]
    quarantined: tuple[BadRow, ...]

    @property
    def complete(self) -> bool:
        return self.present == self.expected


@dataclass(frozen=True, slots=True, eq=False)
class CandleFrame:
    """Candles of several symbols on one grid.

    ``ts_ms`` (n_bars,) int64 opening times, epoch milliseconds UTC, every step of the interval present.
    ``open`` to ``volume`` (n_bars, n_symbols) float64, C-contiguous, NaN in all five where the bar is
    missing. ``data_sha256`` identifies the stored parts the window was cut from.
    """

    venue: str
    symbols: tuple[str, ...]
    interval_ms: int
    ts_ms: Int64s
    open: Float64s
    high: Float64s
    low: Float64s
    close: Float64s
    volume: Float64s
    synthetic: bool
    data_sha256: str
    coverage: tuple[SymbolCoverage, ...] = field(repr=False)
    kind: Kind = Kind.TRADE

    def __len__(self) -> int:
        return len(self.ts_ms)

    @property
    def interval(self) -> str:
        return interval_label(self.interval_ms)

    @property
    def missing(self) -> int:
        return sum(c.expected - c.present for c in self.coverage)

    def notes(self) -> list[str]:
        """Sentences about everything that is not as it should be; empty for complete real data."""
        lines = ["Synthetic data: these prices never traded."] if self.synthetic else []
        for c in self.coverage:
            if not c.complete:
                shown = "; ".join(str(gap) for gap in c.missing[:3])
                more = f" and {len(c.missing) - 3} more" if len(c.missing) > 3 else ""
                lines.append(f"{c.symbol}: {c.expected - c.present} of {c.expected} bars missing: {shown}{more}.")
            if c.quarantined:
                lines.append(f"{c.symbol}: {len(c.quarantined)} row(s) of this window are in quarantine.")
        return lines


def load_candles(
    catalog: Catalog,
    venue: str,
    symbols: Sequence[str],
    interval: str | int,
    start: datetime | int,
    end: datetime | int,
    *,
    kind: Kind = Kind.TRADE,
) -> CandleFrame:
    """Bars opening in [start, end) of each symbol, aligned; ``interval`` "1m" or ms, times aware or epoch ms.

    Raises CandlesMissingError when a symbol is not in the catalog at all. Missing bars are NaN and named in
    ``coverage``; what quarantine holds for the window is listed there too.
    """
    interval_ms = parse_interval(interval) if isinstance(interval, str) else check_interval(interval)
    start_ms, end_ms = (to_ms(at) if isinstance(at, datetime) else int(at) for at in (start, end))
    start_ms, end_ms = (-(-ms // interval_ms) * interval_ms for ms in (start_ms, end_ms))
    if end_ms <= start_ms:
        raise IntervalError(f"The window holds no {interval_label(interval_ms)} bar: its end must lie after its start.")
    n_bars, n_symbols = (end_ms - start_ms) // interval_ms, len(symbols)
    ts_ms = np.arange(start_ms, end_ms, interval_ms, dtype=np.int64)
    columns = {name: np.full((n_bars, n_symbols), np.nan) for name in FIELDS}
    digest = hashlib.sha256(f"{venue}|{interval_ms}|{kind}|{start_ms}|{end_ms}".encode())
    coverage = []
    for j, symbol in enumerate(symbols):
        key = SeriesKey(venue, symbol, interval_ms, kind)
        manifest = catalog.require(key)
        bars = catalog.read_from(manifest, start_ms, end_ms)
        for part in manifest.overlapping(start_ms, end_ms):
            digest.update(f"{symbol}:{part.sha256}".encode())
        if len(bars) == n_bars:
            for name in FIELDS:
                columns[name][:, j] = getattr(bars, name)
        else:
            rows = (bars.ts_ms - start_ms) // interval_ms
            for name in FIELDS:
                columns[name][rows, j] = getattr(bars, name)
        coverage.append(_coverage(catalog, key, bars.ts_ms, n_bars, start_ms, end_ms, manifest.quarantined))
    return CandleFrame(
        venue=venue,
        symbols=tuple(symbols),
        interval_ms=interval_ms,
        ts_ms=ts_ms,
        **columns,
        synthetic=SeriesKey(venue, "X", interval_ms).synthetic,
        data_sha256=digest.hexdigest(),
        coverage=tuple(coverage),
        kind=kind,
    )


def _coverage(
    catalog: Catalog,
    key: SeriesKey,
    ts_ms: Int64s,
    expected: int,
    start_ms: int,
    end_ms: int,
    quarantined: int,
) -> SymbolCoverage:
    missing: tuple[GapRange, ...] = ()
    if len(ts_ms) != expected:
        missing = tuple(find_gaps(ts_ms, key.interval_ms, start_ms=start_ms, end_ms=end_ms))
    rows: tuple[BadRow, ...] = ()
    if quarantined:
        rows = tuple(
            row for _, row in catalog.quarantine(key) if row.ts_ms is not None and start_ms <= row.ts_ms < end_ms
        )
    return SymbolCoverage(key.symbol, expected, len(ts_ms), missing, rows)
