"""What one day of a cohort measures, from the engine's hourly marks. Pure: arrays in, arrays out.

A subject is an agent or the parent wallet; all tables have shape (n_hours, n_subjects) and hold values at the ends of
UTC hours. Counters and money are cumulative since the cohort started, as the engine keeps them; a day is the
difference of two such states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Float64 = npt.NDArray[np.float64]

HOURS = 24


@dataclass(frozen=True, slots=True)
class HourlyDay:
    """One day of hour-end values for all subjects, NaN where the hour has not ended.

    ``opening`` (n_subjects,) is the equity the day started with, ``equity`` and ``utilisation`` (24, n_subjects).
    """

    opening: Float64
    equity: Float64
    utilisation: Float64

    @property
    def roi(self) -> Float64:
        """Simple returns hour over hour, (24, n_subjects); NaN where either end is missing or was not positive."""
        before = np.vstack([self.opening[None, :], self.equity[:-1]])
        with np.errstate(divide="ignore", invalid="ignore"):
            change: Float64 = np.where(before > 0, self.equity / before - 1.0, np.nan)
        return change

    @property
    def variance(self) -> Float64:
        """Variance of the day's hourly returns, ddof 1, (n_subjects,); NaN below two returns."""
        return _nan_variance(self.roi)

    @property
    def mean_utilisation(self) -> Float64:
        """Mean over the hours that ended, (n_subjects,); 0 before the first one ends."""
        ended = np.isfinite(self.utilisation)
        count = ended.sum(axis=0)
        total = np.where(ended, self.utilisation, 0.0).sum(axis=0)
        mean: Float64 = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        return mean


def _nan_variance(values: Float64) -> Float64:
    known = np.isfinite(values)
    n = known.sum(axis=0)
    filled = np.where(known, values, 0.0)
    mean = np.divide(filled.sum(axis=0), n, out=np.zeros(n.shape), where=n > 0)
    squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
    variance: Float64 = np.divide(squares, n - 1, out=np.full(n.shape, np.nan), where=n > 1)
    return variance


def confidence(hourly_returns: Float64) -> tuple[Float64, npt.NDArray[np.int64]]:
    """Probability that each subject's true Sharpe ratio is above zero, and the number of returns behind it.

    hourly_returns : ndarray of shape (n, n_subjects), all hours since the start, NaN where missing. With N returns of
    mean m, standard deviation s (ddof 1), skewness g and kurtosis k, and SR = m / s:
    Phi(SR sqrt(N - 1) / sqrt(1 - g SR + (k - 1) / 4 SR^2)).
    NaN below four returns and for a subject that never moved. The same figure, one subject at a time, is
    ``trading.quant.metrics.confidence``. Source: Bailey and Lopez de Prado, The Sharpe Ratio Efficient Frontier (2012).
    """
    known = np.isfinite(hourly_returns)
    n = known.sum(axis=0).astype(np.int64)
    filled = np.where(known, hourly_returns, 0.0)
    count = np.maximum(n, 1)
    mean = filled.sum(axis=0) / count
    centred = np.where(known, hourly_returns - mean, 0.0)
    second = (centred**2).sum(axis=0) / count
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = mean / np.sqrt(second * count / (n - 1))
        skew = (centred**3).sum(axis=0) / count / second**1.5
        kurtosis = (centred**4).sum(axis=0) / count / second**2
        error = 1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
        odds = ndtr(ratio * np.sqrt(n - 1) / np.sqrt(error))
    return np.where((n >= 4) & (second > 0), odds, np.nan), n


def rank(roi: Float64) -> npt.NDArray[np.int64]:
    """1 for the best return, ties by position; NaN last. (n,) -> (n,)."""
    order = np.argsort(np.where(np.isnan(roi), np.inf, -roi), kind="stable")
    ranks = np.empty(len(roi), dtype=np.int64)
    ranks[order] = np.arange(1, len(roi) + 1)
    return ranks
