"""Missing bars: which minutes have no row, as ranges a person can read and a downloader can fill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from trading.marketdata.bars import Int64s


@dataclass(frozen=True, slots=True, order=True)
class GapRange:
    """A run of missing bars: opening times of the first and the last one, both missing."""

    first_ms: int
    last_ms: int
    bars: int

    def __str__(self) -> str:
        first, last = (
            datetime.fromtimestamp(ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M") for ms in (self.first_ms, self.last_ms)
        )
        return f"{first} ({self.bars} bar)" if self.bars == 1 else f"{first} to {last} ({self.bars} bars)"


def find_gaps(
    ts_ms: Int64s, interval_ms: int, *, start_ms: int | None = None, end_ms: int | None = None
) -> list[GapRange]:
    """Runs of the grid without a bar in [start, end), by default between the first and the last bar.

    ``ts_ms`` must ascend strictly and lie on the grid. O(n).
    """
    if start_ms is not None:
        start_ms = -(-start_ms // interval_ms) * interval_ms
    if end_ms is not None:
        end_ms = -(-end_ms // interval_ms) * interval_ms
    if start_ms is not None or end_ms is not None:
        lo = 0 if start_ms is None else int(np.searchsorted(ts_ms, start_ms))
        hi = len(ts_ms) if end_ms is None else int(np.searchsorted(ts_ms, end_ms))
        ts_ms = ts_ms[lo:hi]
    edges = [ts_ms]
    if start_ms is not None:
        edges.insert(0, np.array([start_ms - interval_ms], np.int64))
    if end_ms is not None:
        edges.append(np.array([end_ms], np.int64))
    framed = np.concatenate(edges) if len(edges) > 1 else ts_ms
    steps = np.diff(framed)
    where = np.flatnonzero(steps > interval_ms)
    return [
        GapRange(int(framed[i]) + interval_ms, int(framed[i + 1]) - interval_ms, int(steps[i]) // interval_ms - 1)
        for i in where
    ]


def missing_count(gaps: Sequence[GapRange]) -> int:
    return sum(gap.bars for gap in gaps)
