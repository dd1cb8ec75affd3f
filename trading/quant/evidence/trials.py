"""How many things were tried, raw and effective, and what their number does to the deflated Sharpe ratio.

Sources: Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014); Lopez de Prado and Lewis, Detection of false
investment strategies using unsupervised learning methods (2019), for clustering trials by the distance sqrt((1 - rho) /
2); Galwey, A new measure of the effective number of tests, Genetic Epidemiology 33 (2009), for the eigenvalues; Lo, The
Statistics of Sharpe Ratios (2002), for how far one scatters by its length alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from trading.quant.evidence.errors import EvidenceError
from trading.quant.metrics import deflated_sharpe, expected_max_sharpe

Float64 = npt.NDArray[np.float64]

#: Above this many trials the clusters are those of an evenly spaced part of them, scaled up.
_MOST_CLUSTERED = 600


@dataclass(frozen=True, slots=True)
class EffectiveTrials:
    """``raw`` columns tried; ``eigen`` after Galwey, ``clusters`` by average linkage; None below two that moved."""

    raw: int
    eigen: float | None
    clusters: int | None
    mean_correlation: float | None
    n_observations: int


def correlation_of(returns: Float64) -> Float64:
    """Correlations of the columns of (n, n_trials) that move at all, (m, m); an empty matrix for none."""
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2:
        raise EvidenceError(f"Returns of trials form a table, not shape {table.shape}.")
    moving = table[:, np.ptp(table, axis=0) > 0] if table.shape[0] > 2 else table[:, :0]
    if moving.shape[1] < 2:
        return np.eye(moving.shape[1])
    matrix: Float64 = np.clip(np.asarray(np.corrcoef(moving, rowvar=False)), -1.0, 1.0)
    return matrix


def effective_trials(returns: Float64) -> EffectiveTrials:
    """The effective number of trials in ``returns`` (n_observations, n_trials), no NaN.

    Eigenvalues: (sum of their roots)^2 / their sum; n for independent trials, 1 for copies of one. With fewer
    observations than trials the matrix is singular and this figure small: it is shown beside the raw count, never
    instead of it.
    """
    table = np.asarray(returns, dtype=np.float64)
    matrix = correlation_of(table)
    n = matrix.shape[0]
    if n < 2:
        return EffectiveTrials(int(table.shape[1]), None, None, None, int(table.shape[0]))
    roots = np.sqrt(np.clip(np.linalg.eigvalsh(matrix), 0.0, None))
    galwey = float(roots.sum() ** 2 / (roots**2).sum())
    mean = float((matrix.sum() - n) / (n * (n - 1)))
    return EffectiveTrials(int(table.shape[1]), min(float(n), galwey), _clusters(matrix), mean, int(table.shape[0]))


def sharpe_ratios(returns: Float64, *, fewest: int) -> Float64:
    """Sharpe ratio a period of each column of ``returns`` (n_periods, n_trials) with ``fewest`` returns that vary.

    NaN is a period in which a trial did not trade; deviations use ddof 1. Columns that do not qualify are left out.
    """
    known = np.isfinite(returns)
    n = known.sum(axis=0)
    filled = np.where(known, returns, 0.0)
    mean = filled.sum(axis=0) / np.maximum(n, 1)
    squares = np.where(known, (returns - mean) ** 2, 0.0).sum(axis=0)
    usable = (n >= fewest) & (squares > 0)
    ratio: Float64 = mean[usable] / np.sqrt(squares[usable] / (n[usable] - 1))
    return ratio


@dataclass(frozen=True, slots=True)
class Spread:
    """Sharpe ratios (per hour) of ``n`` trials over about ``hours`` each; ``variance`` with ddof 1, 0 of one alone."""

    n: int
    mean: float
    variance: float
    hours: float


def pooled_deviation(spreads: Sequence[Spread], *, hours: float) -> float | None:
    """Deviation of all trials' Sharpe ratios together, as if each had been measured over ``hours``; None below two.

    A ratio measured over T hours scatters by about 1/T without any skill (Lo 2002). Trials of other lengths would pull
    the spread up or down by their length alone, so their mean 1/T is exchanged for that of ``hours``.
    """
    n = sum(spread.n for spread in spreads)
    if n < 2:
        return None
    mean = sum(spread.n * spread.mean for spread in spreads) / n
    squares = sum((spread.n - 1) * spread.variance + spread.n * (spread.mean - mean) ** 2 for spread in spreads)
    own_length = sum(spread.n / spread.hours for spread in spreads) / n
    return math.sqrt(max(squares / (n - 1) - own_length + 1.0 / hours, 0.0))


def _clusters(matrix: Float64) -> int:
    """The number of clusters with the best mean silhouette; every trial its own where no grouping separates."""
    whole = int(matrix.shape[0])
    step = max(1, math.ceil(whole / _MOST_CLUSTERED))
    part = matrix[::step, ::step]
    n = part.shape[0]
    if n < 3:
        return whole
    distance = np.sqrt(np.clip((1.0 - part) / 2.0, 0.0, 1.0))
    np.fill_diagonal(distance, 0.0)
    tree = scipy.cluster.hierarchy.linkage(scipy.spatial.distance.squareform(distance, checks=False), method="average")
    best, score = n, 0.05  # a silhouette below this separates nothing
    for k in range(2, min(n - 1, 40) + 1):
        labels = scipy.cluster.hierarchy.fcluster(tree, k, criterion="maxclust")
        found = _silhouette(distance, labels)
        if found > score:
            best, score = int(labels.max()), found
    return int(min(whole, best * step))


def _silhouette(distance: Float64, labels: npt.NDArray[np.int32]) -> float:
    member = labels[:, None] == np.unique(labels)[None, :]
    size = member.sum(axis=0)
    if len(size) < 2:
        return -1.0
    to_cluster = distance @ member
    own = np.argmax(member, axis=1)
    rows = np.arange(len(labels))
    inside = to_cluster[rows, own] / np.maximum(size[own] - 1, 1)
    means = to_cluster / size
    means[rows, own] = np.inf
    outside = means.min(axis=1)
    width = np.where(size[own] > 1, (outside - inside) / np.maximum(np.maximum(outside, inside), 1e-12), 0.0)
    return float(width.mean())


@dataclass(frozen=True, slots=True)
class Deflation:
    """The deflated Sharpe ratio at one number of trials: the benchmark it must beat, and the probability that it
    does.
    """

    trials: int
    benchmark: float
    value: float | None


def deflation(
    sharpe: float, n: int, *, trials: int, variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> Deflation:
    """One point of the curve, with the benchmark SR0 it was held against."""
    return Deflation(
        trials,
        expected_max_sharpe(trials, variance),
        deflated_sharpe(sharpe, n, trials=trials, variance=variance, skew=skew, kurtosis=kurtosis),
    )


def deflation_curve(
    sharpe: float, n: int, *, trials: int, variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> tuple[Deflation, ...]:
    """The deflated Sharpe ratio against the number of trials, from one to ten times as many as there were."""
    top = max(10, 10 * trials)
    counts = sorted({*np.unique(np.geomspace(1, top, 40).round().astype(int)).tolist(), trials})
    return tuple(deflation(sharpe, n, trials=int(k), variance=variance, skew=skew, kurtosis=kurtosis) for k in counts)
