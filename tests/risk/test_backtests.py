"""Coverage tests against published output, by-hand likelihoods and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from risk.quant.backtests import (
    Zone,
    backtest_var,
    christoffersen_coverage,
    christoffersen_independence,
    find_exceptions,
    kupiec_pof,
    traffic_light,
    transitions,
)


def published_hits() -> np.ndarray:
    """The counts of MathWorks' varbacktest example: N00 932, N01 53, N10 53, N11 4, 1,043 days."""
    hits = [0]
    for _ in range(4):
        hits += [1, 1, 0]
    for _ in range(49):
        hits += [1, 0]
    hits += [0] * (1043 - len(hits))
    return np.array(hits, dtype=bool)


def test_the_published_example() -> None:
    """MathWorks, Risk Management Toolbox, varbacktest (EquityIndex, Normal95): pof, cci, cc and tl."""
    hits = published_hits()
    assert transitions(hits).tolist() == [[932, 53], [53, 4]]
    pof = kupiec_pof(1043, int(hits.sum()), 0.95)
    assert (pof.statistic, pof.p_value) == pytest.approx((0.46147, 0.49694), abs=5e-6)
    independence = christoffersen_independence(hits)
    assert (independence.statistic, independence.p_value) == pytest.approx((0.25866, 0.61104), abs=5e-6)
    coverage = christoffersen_coverage(hits, 0.95)
    assert (coverage.statistic, coverage.p_value) == pytest.approx((0.72013, 0.69763), abs=5e-6)
    light = traffic_light(1043, 57, 0.95)
    assert light is not None
    assert (light.cumulative, light.type_one) == pytest.approx((0.77913, 0.26396), abs=5e-6)
    assert light.zone is Zone.GREEN


@pytest.mark.parametrize(
    ("exceptions", "zone", "plus"),
    [
        (0, Zone.GREEN, 0.0),
        (4, Zone.GREEN, 0.0),
        (5, Zone.YELLOW, 0.40),
        (6, Zone.YELLOW, 0.50),
        (7, Zone.YELLOW, 0.65),
        (8, Zone.YELLOW, 0.75),
        (9, Zone.YELLOW, 0.85),
        (10, Zone.RED, 1.0),
        (30, Zone.RED, 1.0),
    ],
)
def test_the_basel_table(exceptions: int, zone: Zone, plus: float) -> None:
    """Basel Committee (1996), table 2: 250 days at 99 %."""
    light = traffic_light(250, exceptions, 0.99)
    assert light is not None
    assert (light.zone, light.plus_factor) == (zone, plus)


def test_the_plus_factor_is_for_250_days_at_99_percent_only() -> None:
    light = traffic_light(500, 12, 0.99)
    assert light is not None
    assert light.plus_factor is None


def test_no_exception_and_every_exception() -> None:
    assert kupiec_pof(250, 0, 0.99).statistic == pytest.approx(-2 * 250 * math.log(0.99))
    assert kupiec_pof(3, 3, 0.99).statistic == pytest.approx(-2 * 3 * math.log(0.01))
    assert math.isnan(christoffersen_independence(np.zeros(250, dtype=bool)).statistic)
    assert math.isnan(christoffersen_coverage(np.zeros(250, dtype=bool)).p_value)


def test_clustering_is_found() -> None:
    clustered = np.zeros(500, dtype=bool)
    clustered[100:110] = clustered[300:310] = True
    assert christoffersen_independence(clustered).p_value < 1e-6
    spread = np.zeros(500, dtype=bool)
    spread[::25] = True
    assert christoffersen_independence(spread).p_value > 0.1


def test_the_p_value_has_its_size_under_the_truth() -> None:
    """Of 2,000 right models the test refuses near its level (discreteness lets it drift)."""
    rng = np.random.default_rng(2)
    counts = rng.binomial(1000, 0.05, 2000)
    refused = np.mean([kupiec_pof(1000, int(x), 0.95).p_value < 0.05 for x in counts])
    assert 0.03 < refused < 0.07


def test_days_without_both_numbers_are_left_out() -> None:
    pnl = np.array([-5.0, math.nan, -1.0, -9.0])
    var = np.array([4.0, 4.0, 4.0, math.nan])
    assert find_exceptions(pnl, var).tolist() == [True, False]
    with pytest.raises(ValueError, match="aligned"):
        find_exceptions(pnl, var[:2])


def test_an_empty_backtest_says_so() -> None:
    result = backtest_var(np.empty(0), np.empty(0), 0.99)
    assert (result.n, result.light) == (0, None)
    assert math.isnan(result.pof.p_value)
    one = backtest_var(np.array([-1.0]), np.array([2.0]), 0.99)
    assert math.isnan(one.independence.statistic)


def test_a_loss_equal_to_the_var_is_no_exception() -> None:
    assert not find_exceptions(np.array([-4.0]), np.array([4.0])).any()


def test_impossible_counts_are_refused() -> None:
    for n, x in ((10, 11), (10, -1)):
        with pytest.raises(ValueError, match="no count"):
            kupiec_pof(n, x)
        with pytest.raises(ValueError, match="no count"):
            traffic_light(n, x)


def test_a_true_normal_model_passes_and_half_its_var_does_not() -> None:
    pnl = np.random.default_rng(8).normal(0, 1, 1000)
    right = backtest_var(pnl, np.full(1000, stats.norm.ppf(0.99)), 0.99)
    wrong = backtest_var(pnl, np.full(1000, stats.norm.ppf(0.99) / 2), 0.99)
    assert right.pof.p_value > 0.05
    assert right.light is not None and right.light.zone is Zone.GREEN
    assert wrong.pof.p_value < 1e-9
    assert wrong.light is not None and wrong.light.zone is Zone.RED
