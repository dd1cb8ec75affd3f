"""How to divide capital over strategy Books: risk budgets, risk parity, mean-risk, within a turnover limit.

The optimisation is skfolio's (convex programmes by cvxpy and Clarabel). Turnover is one-way and total: the
sum of |new - old| weights. Sources: Maillard, Roncalli and Teiletche (2010), "The properties of equally
weighted risk contribution portfolios", J. Portfolio Management 36(4); Rockafellar and Uryasev (2000),
"Optimization of conditional value-at-risk".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from risk.quant.contributions import contributions
from risk.quant.tail import FloatArray, minimum_observations


class Objective(StrEnum):
    RISK_BUDGET = "risk_budget"
    MINIMUM_RISK = "minimum_risk"
    MAXIMUM_RATIO = "maximum_ratio"


class Measure(StrEnum):
    ES = "es"
    VARIANCE = "variance"


class AllocationError(ValueError):
    """No allocation can be proposed from these inputs; the message says why."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """A proposal: weights (n_books,) that sum to one, before and after, and what each Book carries of the
    risk.

    `share_*` (n_books,) are fractions of the ES (or of the variance), NaN where the sample cannot carry it.
    `wanted` is the optimum before the turnover limit; `step` the fraction of the way to it that was taken.
    """

    before: FloatArray
    wanted: FloatArray
    after: FloatArray
    share_before: FloatArray
    share_after: FloatArray
    turnover: float
    step: float
    n: int


def limit_turnover(before: FloatArray, wanted: FloatArray, maximum: float | None) -> tuple[FloatArray, float]:
    """The point on the line from `before` to `wanted` whose turnover is at most `maximum`; and the fraction
    taken.
    """
    if maximum is not None and not maximum >= 0:
        raise AllocationError(f"A turnover limit is not negative: {maximum!r} is.")
    turnover = float(np.abs(wanted - before).sum())
    step = 1.0 if maximum is None or turnover <= maximum else maximum / turnover
    return before + step * (wanted - before), step


def risk_shares(weights: FloatArray, returns: FloatArray, measure: Measure, alpha: float) -> FloatArray:
    """What each Book carries of the ES or variance of the whole (n_books,), as fractions; NaN where there is none."""
    if measure is Measure.VARIANCE:
        C = np.atleast_2d(np.cov(returns, rowvar=False))
        parts = weights * (C @ weights)
    else:
        parts = contributions(weights, returns, alpha).es_by_asset
    total = float(parts.sum())
    return np.asarray(parts / total) if total > 0 else np.full(weights.shape, math.nan)


def allocate(
    returns: FloatArray,
    before: FloatArray,
    *,
    objective: Objective = Objective.RISK_BUDGET,
    measure: Measure = Measure.ES,
    budgets: FloatArray | None = None,
    alpha: float = 0.95,
    minimum: float = 0.0,
    maximum: float = 1.0,
    max_turnover: float | None = None,
) -> Allocation:
    """Proposes weights for n Books from their daily returns.

    `returns` (n_obs, n_books), `before` (n_books,) current weights summing to one, `budgets` (n_books,)
    positive shares of risk (equal by default: risk parity). Risk budgeting and minimum risk need no forecast
    of returns; the maximum ratio takes the sample mean for one. Raises AllocationError for missing returns,
    too short a sample, weights that do not sum to one, or bounds that no portfolio can keep.
    """
    R, w0 = np.asarray(returns, dtype=np.float64), np.asarray(before, dtype=np.float64)
    _check(R, w0, alpha, minimum, maximum)
    n = w0.shape[0]
    shares = np.full(n, 1.0 / n) if budgets is None else np.asarray(budgets, dtype=np.float64)
    if shares.shape != (n,) or not np.isfinite(shares).all() or (shares <= 0).any():
        raise AllocationError("Give every Book a positive risk budget, or none at all for risk parity.")
    wanted = (
        np.ones(1)
        if n == 1
        else _optimum(R, w0, objective, measure, shares / shares.sum(), alpha, minimum, maximum, max_turnover)
    )
    after, step = limit_turnover(w0, wanted, max_turnover)
    return Allocation(
        before=w0,
        wanted=wanted,
        after=after,
        share_before=risk_shares(w0, R, measure, alpha),
        share_after=risk_shares(after, R, measure, alpha),
        turnover=float(np.abs(after - w0).sum()),
        step=step,
        n=R.shape[0],
    )


def _check(R: FloatArray, w0: FloatArray, alpha: float, minimum: float, maximum: float) -> None:
    if R.ndim != 2 or w0.ndim != 1 or R.shape[1] != w0.shape[0] or w0.shape[0] == 0:
        raise AllocationError(f"Returns {R.shape} and weights {w0.shape} must be of the same Books.")
    if not np.isfinite(R).all():
        raise AllocationError("A Book has days without a return: take the days that all Books have.")
    if R.shape[0] < minimum_observations(alpha):
        raise AllocationError(
            f"{R.shape[0]} days of returns cannot carry a level of {alpha:.0%}: it takes {minimum_observations(alpha)}."
        )
    if not np.isfinite(w0).all() or (w0 < 0).any() or abs(float(w0.sum()) - 1.0) > 1e-6:
        raise AllocationError("The current weights must be zero or more and sum to one.")
    if not 0.0 <= minimum <= 1.0 / w0.shape[0] <= maximum <= 1.0:
        raise AllocationError(f"No {w0.shape[0]} weights between {minimum} and {maximum} sum to one.")
    if (R.std(axis=0) == 0).any():
        raise AllocationError("A Book whose return never moves carries no risk to budget: leave it out.")


def _best_mean(means: FloatArray, minimum: float, maximum: float) -> float:
    """The highest mean return of weights within the bounds: the best Books get all that is allowed."""
    weights, left = np.full(means.shape, minimum), 1.0 - minimum * means.shape[0]
    for i in np.argsort(-means):
        more = min(left, maximum - minimum)
        weights[i] += more
        left -= more
    return float(weights @ means)


def _optimum(
    R: FloatArray,
    w0: FloatArray,
    objective: Objective,
    measure: Measure,
    budgets: FloatArray,
    alpha: float,
    minimum: float,
    maximum: float,
    max_turnover: float | None,
) -> FloatArray:
    # skfolio brings scikit-learn and cvxpy: only the process that optimises pays for the import.
    import cvxpy  # noqa: PLC0415
    from skfolio import RiskMeasure  # type: ignore[import-untyped]
    from skfolio.optimization import (  # type: ignore[import-untyped]
        MeanRisk,
        ObjectiveFunction,
        RiskBudgeting,
    )

    common: dict[str, Any] = {
        "risk_measure": RiskMeasure.CVAR if measure is Measure.ES else RiskMeasure.VARIANCE,
        "cvar_beta": alpha,
        "min_weights": minimum,
        "max_weights": maximum,
    }
    if objective is Objective.RISK_BUDGET:
        model = RiskBudgeting(risk_budget=budgets, **common)
    elif objective is Objective.MAXIMUM_RATIO:
        if R.mean(axis=0).max() <= 0:
            raise AllocationError("No Book has a positive mean return: there is no ratio to maximise.")
        if _best_mean(R.mean(axis=0), minimum, maximum) <= 0:
            raise AllocationError("No weights within the bounds have a positive mean return: widen them.")
        model = MeanRisk(objective_function=ObjectiveFunction.MAXIMIZE_RATIO, **common)
    else:
        within = None if max_turnover is None else lambda w: [cvxpy.norm(w - w0, 1) <= max_turnover]  # type: ignore[attr-defined]
        model = MeanRisk(objective_function=ObjectiveFunction.MINIMIZE_RISK, add_constraints=within, **common)
    try:
        # No weight depends on the scale of all returns, but the solver does: daily ones are small.
        weights = np.asarray(model.fit(R / float(R.std())).weights_, dtype=np.float64)
    except (cvxpy.SolverError, ValueError) as error:
        raise AllocationError(f"The optimiser found no allocation: {error}") from error
    weights = np.clip(weights, 0.0, None)
    return np.asarray(weights / weights.sum())
