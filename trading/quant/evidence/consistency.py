"""Did it win every day, or once? The candidate's days against each other and against its peers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Consistency:
    """Returns and ranks by day (1 is best of ``n_agents``); ``positive`` days; ``best_share`` of the profit made on
    its best day (None unless the whole is positive); ``rank_correlation`` of the whole field between consecutive days
    (mean Spearman): near zero says that the ranking of a day tells nothing about the next.
    """

    returns: tuple[float, ...]
    ranks: tuple[int, ...]
    positive: int
    best_share: float | None
    rank_correlation: float | None
    n_days: int
    n_agents: int


def consistency(daily: Float64, agent: int) -> Consistency:
    """``daily`` (n_days, n_agents): returns of each day of every agent."""
    n_days, n_agents = daily.shape
    ranks = (
        np.vstack([scipy.stats.rankdata(-row, method="min") for row in daily]) if n_days else np.empty((0, n_agents))
    )
    own = daily[:, agent]
    total = float(own.sum())
    pairs = [
        float(scipy.stats.spearmanr(before, after).statistic)
        for before, after in pairwise(daily)
        if np.ptp(before) > 0 and np.ptp(after) > 0 and n_agents > 2
    ]
    return Consistency(
        returns=tuple(map(float, own)),
        ranks=tuple(int(r) for r in ranks[:, agent]),
        positive=int((own > 0).sum()),
        best_share=float(own.max()) / total if total > 0 else None,
        rank_correlation=float(np.mean(pairs)) if pairs else None,
        n_days=n_days,
        n_agents=n_agents,
    )
