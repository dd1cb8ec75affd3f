"""The kernels behind a day's measures against their one-by-one definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.quant import metrics
from trading.quant.scoring import HourlyDay, confidence, rank
from trading.quant.steps import daily_volatility, decimal_step


def test_confidence_equals_the_definition_subject_by_subject() -> None:
    rng = np.random.default_rng(0)
    returns = rng.standard_t(4, size=(72, 12)) * 0.002
    returns[rng.random(returns.shape) < 0.2] = np.nan
    odds, sizes = confidence(returns)
    for j in range(returns.shape[1]):
        known = returns[np.isfinite(returns[:, j]), j]
        assert odds[j] == pytest.approx(metrics.confidence(known).psr, rel=1e-9)
        assert sizes[j] == known.size


def test_confidence_of_a_subject_that_never_moved_is_undefined() -> None:
    odds, sizes = confidence(np.zeros((30, 1)))
    assert np.isnan(odds[0])
    assert sizes[0] == 30


def test_hourly_day_measures_by_hand() -> None:
    equity = np.full((24, 1), np.nan)
    utilisation = np.full((24, 1), np.nan)
    equity[:3, 0] = 110.0, 99.0, 99.0
    utilisation[:3, 0] = 0.5, 1.0, 0.0
    day = HourlyDay(opening=np.array([100.0]), equity=equity, utilisation=utilisation)
    assert day.roi[:3, 0] == pytest.approx([0.1, -0.1, 0.0])
    assert np.isnan(day.roi[3:]).all()
    assert day.variance[0] == pytest.approx(np.var([0.1, -0.1, 0.0], ddof=1))
    assert day.mean_utilisation[0] == pytest.approx(0.5)


def test_hourly_day_before_its_first_hour_has_nothing_to_say() -> None:
    nothing = np.full((24, 2), np.nan)
    day = HourlyDay(opening=np.array([100.0, 50.0]), equity=nothing, utilisation=nothing)
    assert np.isnan(day.variance).all()
    assert (day.mean_utilisation == 0).all()


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_rank_is_a_permutation_in_falling_order(roi: list[float]) -> None:
    values = np.array(roi)
    ranks = rank(values)
    assert sorted(ranks) == list(range(1, len(roi) + 1))
    assert all(np.diff(values[np.argsort(ranks)]) <= 0)


@given(st.integers(0, 8), st.lists(st.integers(1, 10**6), min_size=1, max_size=30))
def test_decimal_step_divides_every_value(decimals: int, units: list[int]) -> None:
    values = np.array(units) / 10.0**decimals
    step = decimal_step(values)
    assert step >= 10.0**-decimals * (1 - 1e-12)
    scaled = values / step
    assert np.allclose(scaled, np.rint(scaled), rtol=1e-9, atol=0)


def test_daily_volatility_scales_by_the_square_root_of_time() -> None:
    rng = np.random.default_rng(1)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.001, 20_000)))
    assert daily_volatility(close, 60_000) == pytest.approx(0.001 * np.sqrt(1440), rel=0.02)
    assert np.isnan(daily_volatility(close[:3], 60_000))
