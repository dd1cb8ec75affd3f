"""Coarser bars from finer ones. A bucket that lacks a bar is named, never filled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trading.marketdata.bars import Bars, Bools, Int64s
from trading.marketdata.errors import IntervalError
from trading.marketdata.intervals import check_interval, interval_label


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """``bars`` of every bucket with at least one source bar; ``present`` counts them, (n,) int64.

    A bucket is complete when ``present`` equals ``expected``.
    """

    bars: Bars
    present: Int64s
    expected: int

    @property
    def complete(self) -> Bools:
        return np.equal(self.present, self.expected)

    def only_complete(self) -> Bars:
        return self.bars.take(self.complete)

    def incomplete_ms(self) -> list[int]:
        """Opening times of the buckets that lack a bar."""
        return [int(ms) for ms in self.bars.ts_ms[~self.complete]]


def resample(bars: Bars, from_ms: int, to_ms: int) -> Resampled:
    """Bars of ``from_ms`` gathered into bars of ``to_ms`` on the UTC grid. O(n).

    Open of the first, close of the last, extremes and the sum of the volumes. Raises IntervalError when the
    target is no multiple of the source or does not divide a day.
    """
    check_interval(from_ms)
    check_interval(to_ms)
    if to_ms % from_ms or to_ms == from_ms:
        raise IntervalError(
            f"{interval_label(to_ms)} bars cannot be made of {interval_label(from_ms)} bars: "
            "the target must be a multiple of the source."
        )
    expected = to_ms // from_ms
    if not len(bars):
        return Resampled(bars, np.empty(0, np.int64), expected)
    bucket = bars.ts_ms // to_ms * to_ms
    starts = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1]))
    ends = np.append(starts[1:], len(bars))
    gathered = Bars(
        bucket[starts],
        bars.open[starts],
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        bars.close[ends - 1],
        np.add.reduceat(bars.volume, starts),
    )
    return Resampled(gathered, (ends - starts).astype(np.int64), expected)
