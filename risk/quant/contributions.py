"""Who carries the risk: component and marginal VaR and ES by asset and by Book (Euler allocation).

VaR and ES are homogeneous of degree one in the positions, so the exposure times the derivative sums to the
whole: Tasche (1999), "Risk contributions and performance measurement", and McNeil, Frey and Embrechts (2015),
"Quantitative Risk Management", section 8.5. For scenarios the derivative of the ES is the mean loss per unit
in the tail; that of the VaR is the loss per unit in the VaR scenario, or in a window of order statistics
around it, which is steadier (Epperlein and Smillie 2006, "Cracking VaR with kernels", Risk 19(8)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from risk.quant.tail import FloatArray, find_tail


@dataclass(frozen=True, slots=True)
class Contributions:
    """The risk of a matrix of positions, and how it divides.

    Money is the unit of the positions. `marginal_*` (n_assets,) is the change of the whole per unit of
    exposure added; `*_by_asset` (n_assets,) and `*_by_book` (n_books,) each sum to the whole; `component_*`
    (n_books, n_assets) sums to both.
    """

    var: float
    es: float
    alpha: float
    n: int
    marginal_var: FloatArray
    marginal_es: FloatArray
    component_var: FloatArray
    component_es: FloatArray

    @property
    def var_by_asset(self) -> FloatArray:
        return np.asarray(self.component_var.sum(axis=0))

    @property
    def es_by_asset(self) -> FloatArray:
        return np.asarray(self.component_es.sum(axis=0))

    @property
    def var_by_book(self) -> FloatArray:
        return np.asarray(self.component_var.sum(axis=1))

    @property
    def es_by_book(self) -> FloatArray:
        return np.asarray(self.component_es.sum(axis=1))


def contributions(
    positions: FloatArray,
    returns: FloatArray,
    alpha: float = 0.99,
    *,
    weights: FloatArray | None = None,
    scenario_scale: FloatArray | None = None,
    var_window: int = 0,
) -> Contributions:
    """Total, component and marginal VaR and ES. O(n_obs * n_assets).

    `positions` (n_books, n_assets) or (n_assets,): signed exposure in money. `returns` (n_obs, n_assets):
    simple returns. `weights` (n_obs,): age weights. `scenario_scale` (n_obs,): factor on each scenario
    (filtered historical simulation). `var_window`: order statistics on each side of the VaR whose mean gives
    its derivative; the components are scaled so that they still sum to the VaR. An asset without exposure may
    have NaN returns; one with exposure makes every figure NaN. No asset at all, or too few observations: NaN.
    """
    P = np.atleast_2d(np.asarray(positions, dtype=np.float64))
    R = np.asarray(returns, dtype=np.float64)
    if R.ndim != 2 or P.shape[1] != R.shape[1]:
        raise ValueError(f"Positions {P.shape} and returns {R.shape} must have the same assets in their last axis.")
    total = P.sum(axis=0)
    held = np.nonzero((P != 0).any(axis=0))[0]
    if P.shape[1] == 0 or not np.isfinite(P).all():
        return _nothing(P, R.shape[0], alpha)
    X = R if held.size == R.shape[1] else R[:, held]
    if scenario_scale is not None:
        X = X * np.asarray(scenario_scale, dtype=np.float64)[:, None]
    pnl = X @ total[held]
    tail = find_tail(pnl, alpha, weights) if np.isfinite(X.sum()) else None
    if tail is None:
        return _nothing(P, R.shape[0], alpha)
    in_tail = tail.order[: tail.rank + 1]
    var = -float(pnl[tail.var_index]) + 0.0
    es = -float(tail.es_weights[in_tail] @ pnl[in_tail]) + 0.0
    marginal_es = np.zeros(P.shape[1])
    marginal_es[held] = -(tail.es_weights[in_tail] @ X[in_tail])
    marginal_var = np.zeros(P.shape[1])
    near = tail.order[max(0, tail.rank - var_window) : tail.rank + var_window + 1]
    marginal_var[held] = -X[near].mean(axis=0)
    if var_window and held.size:
        explained = float(marginal_var @ total)
        marginal_var = marginal_var * (var / explained) if explained > 1e-12 * abs(var) else marginal_var * math.nan
    return Contributions(var, es, alpha, R.shape[0], marginal_var, marginal_es, P * marginal_var, P * marginal_es)


def _nothing(P: FloatArray, n: int, alpha: float) -> Contributions:
    row, table = np.full(P.shape[1], math.nan), np.full(P.shape, math.nan)
    return Contributions(math.nan, math.nan, alpha, n, row, row, table, table)


def standalone(
    positions: FloatArray, returns: FloatArray, alpha: float = 0.99, *, weights: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """VaR and ES of each row of `positions` (n_books, n_assets) on its own; two arrays (n_books,), NaN where
    undefined.
    """
    P = np.atleast_2d(np.asarray(positions, dtype=np.float64))
    R = np.asarray(returns, dtype=np.float64)
    missing = ~np.isfinite(R).all(axis=0)
    pnl = np.where(missing, 0.0, R) @ P.T
    var, es = np.full(P.shape[0], math.nan), np.full(P.shape[0], math.nan)
    for book in range(P.shape[0]):
        if (P[book, missing] != 0).any():
            continue
        tail = find_tail(pnl[:, book], alpha, weights)
        if tail is not None:
            var[book] = -pnl[tail.var_index, book] + 0.0
            es[book] = -float(tail.es_weights @ pnl[:, book]) + 0.0
    return var, es
