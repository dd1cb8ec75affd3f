"""Allocation: budgets are met, optima are optimal, turnover is kept, impossible requests are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from risk.quant.allocator import (
    AllocationError,
    Measure,
    Objective,
    allocate,
    limit_turnover,
    risk_shares,
)
from risk.quant.tail import historical

RNG = np.random.default_rng(12)
R = RNG.standard_t(5, (600, 4)) * np.array([0.005, 0.01, 0.02, 0.03]) + 0.0005
R[:, 1] += 0.5 * R[:, 0]
EQUAL = np.full(4, 0.25)


@pytest.mark.parametrize("measure", list(Measure))
def test_risk_parity_gives_every_book_the_same_share(measure: Measure) -> None:
    found = allocate(R, EQUAL, measure=measure, alpha=0.95)
    assert found.after.sum() == pytest.approx(1.0)
    assert found.share_after == pytest.approx(EQUAL, abs=0.02)
    assert found.share_before[3] > 0.5, "before, the loudest Book carried most of it"


def test_budgets_divide_the_risk_as_asked() -> None:
    budgets = np.array([4.0, 3.0, 2.0, 1.0])
    found = allocate(R, EQUAL, measure=Measure.VARIANCE, budgets=budgets)
    assert found.share_after == pytest.approx(budgets / 10, abs=1e-3)


def test_minimum_risk_beats_random_portfolios() -> None:
    found = allocate(R, EQUAL, objective=Objective.MINIMUM_RISK, alpha=0.95)
    least = historical(R @ found.after, 0.95).es
    for w in RNG.dirichlet(np.ones(4), 500):
        assert historical(R @ w, 0.95).es >= least - 1e-6


def test_bounds_are_kept() -> None:
    found = allocate(R, EQUAL, objective=Objective.MINIMUM_RISK, minimum=0.1, maximum=0.4)
    assert found.after.min() >= 0.1 - 1e-6
    assert found.after.max() <= 0.4 + 1e-6


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("cap", [0.0, 0.1, 0.3, 2.0])
def test_turnover_is_kept(objective: Objective, cap: float) -> None:
    found = allocate(R, EQUAL, objective=objective, max_turnover=cap)
    assert found.turnover <= cap + 1e-6
    assert found.after.sum() == pytest.approx(1.0)
    assert found.after.min() >= -1e-9


def test_one_book_gets_everything() -> None:
    found = allocate(R[:, :1], np.ones(1))
    assert found.after.tolist() == [1.0]
    assert found.share_after.tolist() == [1.0]


def test_the_way_to_the_optimum_is_a_straight_line() -> None:
    after, step = limit_turnover(np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.5)
    assert (after.tolist(), step) == ([0.75, 0.25], 0.25)
    with pytest.raises(AllocationError, match="not negative"):
        limit_turnover(EQUAL, EQUAL, -1.0)


@pytest.mark.parametrize("seed", [0, 2, 3, 5])
def test_quiet_books_beside_loud_ones_are_solved(seed: int) -> None:
    """Daily returns of a twentieth of the other's: the solver wants them at its own scale."""
    rng = np.random.default_rng(seed)
    found = allocate(rng.normal(0, 0.03, (365, 2)) * np.array([0.1, 2.0]), np.array([0.5, 0.5]), alpha=0.95)
    assert found.share_after == pytest.approx([0.5, 0.5], abs=0.03)


def test_no_risk_has_no_shares() -> None:
    assert np.isnan(risk_shares(np.zeros(4), R, Measure.ES, 0.95)).all()


@pytest.mark.parametrize(
    ("returns", "before", "options", "says"),
    [
        (R[:1], EQUAL, {}, "cannot carry"),
        (np.empty((0, 4)), EQUAL, {}, "cannot carry"),
        (R, np.full(3, 1 / 3), {}, "same Books"),
        (np.where(R.max() == R, math.nan, R), EQUAL, {}, "days without a return"),
        (R, np.array([0.5, 0.5, 0.5, 0.5]), {}, "sum to one"),
        (R, np.array([1.5, -0.5, 0.0, 0.0]), {}, "sum to one"),
        (R * np.array([1, 1, 1, 0]), EQUAL, {}, "never moves"),
        (R, EQUAL, {"maximum": 0.2}, "sum to one"),
        (R, EQUAL, {"minimum": 0.3}, "sum to one"),
        (R, EQUAL, {"budgets": np.array([1.0, 1.0, 1.0, 0.0])}, "positive risk budget"),
        (R - 1.0, EQUAL, {"objective": Objective.MAXIMUM_RATIO}, "no ratio"),
        (
            R - np.array([0.0, 1.0, 1.0, 1.0]) + np.array([0.1, 0.0, 0.0, 0.0]),
            EQUAL,
            {"objective": Objective.MAXIMUM_RATIO, "maximum": 0.3},
            "widen them",
        ),
    ],
)
def test_requests_that_cannot_be_met_are_refused(
    returns: np.ndarray, before: np.ndarray, options: dict[str, object], says: str
) -> None:
    with pytest.raises(AllocationError, match=says):
        allocate(returns, before, **options)  # type: ignore[arg-type]
