"""The stationary bootstrap: an interval for the expected daily return that keeps the dependence of neighbouring bars.

Source: Politis and Romano, The Stationary Bootstrap, JASA 89 (1994); block length after Politis and White (2004) with
the correction of Patton, Politis and White (2009), as `arch` computes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_FEWEST = 8
_AT_ONCE = 2_000_000  # places of one batch of resampled indices


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """The mean a day with its interval; ``below_zero`` is the share of resampled means that are not positive.

    ``n`` bars lie behind it, in blocks of ``block`` bars on average. None where fewer than eight bars moved.
    """

    mean: float | None
    low: float | None
    high: float | None
    below_zero: float | None
    n: int
    block: float
    level: float
    resamples: int


def block_length(values: Float64) -> float:
    """Mean block length for the stationary bootstrap, at least 1 and at most a third of the bars."""
    n = len(values)
    if n < _FEWEST or np.ptp(values) == 0:
        return 1.0
    # arch costs seconds to import: only the process that resamples pays for it.
    from arch.bootstrap import optimal_block_length

    found = float(optimal_block_length(values)["stationary"].iloc[0])
    return float(min(max(1.0, found if np.isfinite(found) else 1.0), n / 3))


def stationary_indices(rng: np.random.Generator, n: int, *, block: float, resamples: int) -> Int64:
    """Row numbers of ``resamples`` bootstrap series, (resamples, n): blocks of geometric length, wrapped at the end."""
    places = np.arange(n)
    fresh = rng.random((resamples, n)) < 1.0 / block
    fresh[:, 0] = True
    began = np.maximum.accumulate(np.where(fresh, places, 0), axis=1)
    starts = rng.integers(0, n, (resamples, n))
    indices: Int64 = (np.take_along_axis(starts, began, axis=1) + places - began) % n
    return indices


def mean_interval(
    values: Float64, *, bars_a_day: float, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> MeanInterval:
    """The interval (percentiles) of the expected daily return from bar returns ``values`` (n,), no NaN."""
    n = int(values.size)
    if n < _FEWEST or np.ptp(values) == 0:
        mean = float(values.mean() * bars_a_day) if n else None
        return MeanInterval(mean, None, None, None, n, 1.0, level, 0)
    block = block_length(values)
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _AT_ONCE // n)
    for first in range(0, resamples, step):
        part = min(step, resamples - first)
        rows = stationary_indices(rng, n, block=block, resamples=part)
        means[first : first + part] = values[rows].mean(axis=1)
    means *= bars_a_day
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return MeanInterval(
        mean=float(values.mean() * bars_a_day),
        low=float(low),
        high=float(high),
        below_zero=float(np.mean(means <= 0)),
        n=n,
        block=block,
        level=level,
        resamples=resamples,
    )
