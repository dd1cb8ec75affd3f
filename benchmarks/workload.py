"""The shared workload: 30 pairs, one month of one-minute candles, a dual SMA each; real candles where
present.

Eight real Binance perpetuals (2025-05 and 06, see the sample data's README) are stretched to thirty by
replaying each
with other windows; without them a seeded random walk stands in, and the benchmark says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tests.sample_data import sample_path

BARS = 43_190
PAIRS = 30
MINUTE = 60_000
DRAW = 1_000.0
USED = 0.9  # of the draw, so that fees never touch the balance
FEE = 0.0005
HALF_SPREAD_BPS = 1.0
STEP = 0.00000001  # tick and lot: fine enough that rounding stays below the tolerance of the comparison

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Workload:
    source: str
    ts_ms: npt.NDArray[np.int64]
    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64
    fast: npt.NDArray[np.int64]
    slow: npt.NDArray[np.int64]


def windows() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Fast 20 to 78, slow 100 to 390 bars."""
    k = np.arange(PAIRS)
    return 20 + 2 * k, 100 + 10 * k


def load(*, synthetic: bool = False) -> Workload:
    """Column-contiguous arrays of shape (BARS, PAIRS)."""
    fast, slow = windows()
    folder = None if synthetic else sample_path("candles/binance_perp_1m_2025-05")
    if folder is not None:
        names = ("open", "high", "low", "close", "volume")
        files = sorted(folder.glob("*_1m.csv.gz"))
        frames = [pd.read_csv(f, usecols=names)[:BARS] for f in files]
        tables = [
            np.asfortranarray(np.column_stack([frames[k % len(frames)][name] for k in range(PAIRS)])) for name in names
        ]
        source = f"real candles: {len(frames)} Binance perpetuals, 1m, from 2025-05-04"
    else:
        rng = np.random.default_rng(1)
        close = 100 * np.exp(np.cumsum(rng.normal(0, 0.0008, (BARS, PAIRS)), axis=0))
        first = np.vstack([np.full((1, PAIRS), 100.0), close[:-1]])
        wide = np.abs(rng.normal(0, 0.0003, (2, BARS, PAIRS)))
        high = np.maximum(first, close) * (1 + wide[0])
        low = np.minimum(first, close) * (1 - wide[1])
        tables = [np.asfortranarray(x) for x in (first, high, low, close, rng.lognormal(8, 1, (BARS, PAIRS)))]
        source = "synthetic candles (seeded random walk)"
    ts = 1_746_373_020_000 // MINUTE * MINUTE + MINUTE * np.arange(BARS)
    opened, high, low, close, volume = tables
    return Workload(source, ts, opened, high, low, close, volume, fast, slow)
