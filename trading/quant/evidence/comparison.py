"""Is the best better than doing nothing, and which are as good as the best: Hansen's SPA and the model confidence set.

Sources: Hansen, A Test for Superior Predictive Ability (JBES 2005); Hansen, Lunde and Nason, The Model Confidence Set
(Econometrica 2011). Both computed by `arch`, losses being negative returns, the benchmark a return of zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trading.quant.evidence.errors import EvidenceError

Float64 = npt.NDArray[np.float64]

_FEWEST = 16


@dataclass(frozen=True, slots=True)
class SuperiorAbility:
    """Probability of a best agent this good without any that earns; three ways to treat the poor ones."""

    lower: float | None
    consistent: float | None
    upper: float | None
    n_agents: int
    n: int


@dataclass(frozen=True, slots=True)
class ConfidenceSet:
    """Columns that cannot be told from the best at ``size``, and each column's p value (NaN: it never moved)."""

    size: float
    included: tuple[int, ...]
    p_values: Float64
    n: int


def _table(returns: Float64) -> tuple[Float64, npt.NDArray[np.int64]]:
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise EvidenceError("The comparison needs a full table of returns, one column an agent.")
    moving = np.flatnonzero(np.ptp(table, axis=0) > 0) if table.shape[0] else np.empty(0, dtype=np.int64)
    return table[:, moving], moving


def superior_ability(returns: Float64, *, block: float, resamples: int = 1000, seed: int = 0) -> SuperiorAbility:
    """Hansen's SPA over ``returns`` (n, n_agents) against zero. None below 16 rows or without an agent that moves."""
    table, _ = _table(returns)
    n, k = table.shape
    if n < _FEWEST or k == 0:
        return SuperiorAbility(None, None, None, k, n)
    # arch costs seconds to import: only the process that compares pays for it.
    from arch.bootstrap import SPA

    test = SPA(np.zeros(n), -table, block_size=max(1, round(block)), reps=resamples, bootstrap="stationary", seed=seed)
    test.compute()
    p = test.pvalues
    return SuperiorAbility(float(p["lower"]), float(p["consistent"]), float(p["upper"]), k, n)


def confidence_set(
    returns: Float64, *, block: float, size: float = 0.1, resamples: int = 500, seed: int = 0
) -> ConfidenceSet:
    """The model confidence set of ``returns`` (n, n_agents), range statistic. Empty below 16 rows or two agents.

    Agents with the very same returns are one model: told apart they would differ by nothing, with no variance.
    """
    table, moving = _table(returns)
    n = table.shape[0]
    p_values = np.full(np.shape(returns)[1], np.nan)
    first, twin_of = _twins(table)
    if n < _FEWEST or first.size < 2:
        return ConfidenceSet(size, (), p_values, n)
    from arch.bootstrap import MCS

    test = MCS(
        -table[:, first],
        size=size,
        block_size=max(1, round(block)),
        reps=resamples,
        method="R",
        bootstrap="stationary",
        seed=seed,
    )
    test.compute()
    found = test.pvalues["Pvalue"]
    own = np.full(first.size, np.nan)
    own[found.index.to_numpy(dtype=np.int64)] = found.to_numpy(dtype=np.float64)
    p_values[moving] = own[twin_of]
    kept = np.isin(twin_of, [int(str(i)) for i in test.included])
    return ConfidenceSet(size, tuple(int(column) for column in moving[kept]), p_values, n)


def _twins(table: Float64) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first column of each set of equal ones, in order, (k,), and the place among them of every column, (n,)."""
    places: dict[bytes, int] = {}
    first: list[int] = []
    twin_of: list[int] = []
    for column in range(table.shape[1]):
        key = table[:, column].tobytes()
        if key not in places:
            places[key] = len(first)
            first.append(column)
        twin_of.append(places[key])
    return np.array(first, dtype=np.int64), np.array(twin_of, dtype=np.int64)
