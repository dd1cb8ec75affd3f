"""Two traps that no single file shows: stamps in another zone, and another instrument under the name.

Both are found by comparing with what the catalog already holds of the same instrument, from whatever venue.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from trading.marketdata.bars import Bars, Float64s, Int64s, Kind, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from trading.marketdata.manifest import Manifest
from trading.marketdata.symbols import same_instrument

_MIN_RETURNS = 200
_MAX_WINDOW_BARS = 20_000


@dataclass(frozen=True, slots=True)
class ZoneSuspicion:
    """``hours`` by which the stamps run ahead of UTC, and how well returns then agree with the reference."""

    hours: float
    correlation: float
    correlation_as_is: float
    reference: SeriesKey


@dataclass(frozen=True, slots=True)
class TickerSuspicion:
    """The level of the prices against a reference of the same name."""

    median: float
    reference_median: float
    reference: SeriesKey
    overlapping: bool

    def __str__(self) -> str:
        when = "over the same time" if self.overlapping else "nearby in time"
        return f"prices around {self.median:g}, but {self.reference} stands at {self.reference_median:g} {when}"


def references(known: Iterable[Manifest], key: SeriesKey) -> list[Manifest]:
    """Series of the catalog that price the same instrument, real ones only, the same interval first."""
    found = [
        m
        for m in known
        if m.parts and not m.synthetic and m.key.kind is not Kind.FUNDING and not _same_source(m.key, key)
        and same_instrument(m.key.symbol, key.symbol, loosely=key.kind is Kind.CLOSE)
    ]  # fmt: skip
    return sorted(found, key=lambda m: (m.key.interval_ms != key.interval_ms, m.key))


def _same_source(a: SeriesKey, b: SeriesKey) -> bool:
    """Bid and ask of one file, and other intervals of one market, share any mistake: they prove nothing."""
    return a.venue == b.venue and a.symbol == b.symbol


def suspect_zone(catalog: Catalog, known: Sequence[Manifest], key: SeriesKey, bars: Bars) -> ZoneSuspicion | None:
    """Whether the returns agree with a reference only after a shift by whole or half hours.

    Needs bars of an hour or less and 200 common returns. Shifts of -12 to +14 hours are tried.
    """
    if key.interval_ms > HOUR_MS or len(bars) < _MIN_RETURNS:
        return None
    window = bars.take(slice(0, _MAX_WINDOW_BARS))
    first, last = int(window.ts_ms[0]), int(window.ts_ms[-1])
    step = 30 * MINUTE_MS if key.interval_ms <= 30 * MINUTE_MS else HOUR_MS
    for reference in references(known, key):
        if reference.key.interval_ms != key.interval_ms:
            continue
        other = catalog.read_from(reference, first - 15 * HOUR_MS, last + 15 * HOUR_MS)
        times, returns = _log_returns(other, key.interval_ms)
        mine_at, mine = _log_returns(window, key.interval_ms)
        as_is = _correlation(mine_at, mine, times, returns)
        if as_is is None:
            continue
        if as_is > 0.7:
            return None  # the stamps agree: no other reference needs to be asked
        if as_is > 0.3:
            continue
        scores = {
            ahead: score
            for ahead in range(-12 * HOUR_MS, 14 * HOUR_MS + 1, step)
            if (score := _correlation(mine_at - ahead, mine, times, returns)) is not None
        }
        best = max(scores, key=lambda ahead: scores[ahead])
        if scores[best] > 0.7:
            return ZoneSuspicion(best / HOUR_MS, scores[best], as_is, reference.key)
    return None


def suspect_ticker(catalog: Catalog, known: Sequence[Manifest], key: SeriesKey, bars: Bars) -> TickerSuspicion | None:
    """Whether the prices are of another size than those of a reference of the same name.

    Over a common time a factor of three is enough; up to 180 days apart it takes a factor of ten.
    """
    if not len(bars):
        return None
    first, last = int(bars.ts_ms[0]), int(bars.ts_ms[-1])
    for reference in references(known, key):
        ref_first, ref_last = reference.first_ms or 0, reference.last_ms or 0
        lo, hi = max(first, ref_first), min(last, ref_last)
        if lo <= hi:
            mine = bars.between(lo, hi + 1)
            theirs = catalog.read_from(reference, lo, hi + 1)
            limit, overlapping = 3.0, True
        elif max(ref_first - last, first - ref_last) <= 180 * DAY_MS:
            before = ref_last < first
            near = 30 * DAY_MS
            mine = bars.between(first, first + near) if before else bars.between(last - near, last + 1)
            start = ref_last - near if before else ref_first
            theirs = catalog.read_from(reference, start, start + near + 1)
            limit, overlapping = 10.0, False
        else:
            continue
        if not len(mine) or not len(theirs):
            continue
        a, b = float(np.median(mine.close)), float(np.median(theirs.close))
        if not 1 / limit <= a / b <= limit:
            return TickerSuspicion(a, b, reference.key, overlapping)
    return None


def _log_returns(bars: Bars, interval_ms: int) -> tuple[Int64s, Float64s]:
    """Close to close over exactly one interval; stamps of the later bar."""
    if len(bars) < 2:
        return np.empty(0, np.int64), np.empty(0, np.float64)
    consecutive = np.diff(bars.ts_ms) == interval_ms
    returns = np.diff(np.log(bars.close))
    return bars.ts_ms[1:][consecutive], returns[consecutive]


def _correlation(at: Int64s, mine: Float64s, times: Int64s, theirs: Float64s) -> float | None:
    _, i, j = np.intersect1d(at, times, assume_unique=True, return_indices=True)
    if len(i) < _MIN_RETURNS:
        return None
    x, y = mine[i] - mine[i].mean(), theirs[j] - theirs[j].mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else None
