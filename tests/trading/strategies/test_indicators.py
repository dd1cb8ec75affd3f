"""Indicators against naive references, against themselves split in two, and with the JIT switched off."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numba import njit

from tests.trading.strategies.indicator_cases import Array, Case, cases, digest, random_bars
from trading.quant import indicators as ind

CASES = {case.name: case for case in cases()}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_indicator_equals_the_naive_reference(case: Case) -> None:
    bars = random_bars(600, 3)
    got = case.run(bars, np.zeros(case.size))
    want = case.reference(bars).reshape(len(bars), -1)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


def test_indicator_is_nan_exactly_for_its_declared_warm_up(case: Case) -> None:
    bars = random_bars(300, 4)
    bars["volume"] += 1.0
    slowest = case.run(bars, np.zeros(case.size))[:, 0]
    if case.name.startswith(("sma-pair", "macd")):
        slowest = case.run(bars, np.zeros(case.size))[:, 1]
    assert np.isnan(slowest[: case.warm_up]).all()
    assert not np.isnan(slowest[case.warm_up])


def test_indicator_split_anywhere_equals_the_whole_run_bit_for_bit(case: Case) -> None:
    bars = random_bars(300, 5)
    whole = case.run(bars, np.zeros(case.size))
    for cut in (1, 49, 50, 51, 137, 299):
        state = np.zeros(case.size)
        first = case.run(bars[:cut], state)
        carried = np.frombuffer(state.tobytes(), dtype=np.float64).copy()
        second = case.run(bars[cut:], carried, first=cut)
        assert np.concatenate([first, second]).tobytes() == whole.tobytes()


def test_indicator_stays_within_its_slice_and_depends_on_nothing_outside(case: Case) -> None:
    bars = random_bars(300, 6)
    clean = case.run(bars, np.zeros(case.size))
    for filler in (-7.0, np.nan):
        around = np.full(case.size + 40, filler)
        around[20 : 20 + case.size] = 0.0
        assert case.run(bars, around, 20).tobytes() == clean.tobytes()
        outside = np.concatenate([around[:20], around[20 + case.size :]])
        np.testing.assert_array_equal(outside, np.full(40, filler))


def test_indicators_without_the_jit_are_the_same_to_the_last_bit() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.trading.strategies.indicator_cases"],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == digest()


def test_averages_do_not_drift_over_two_million_bars() -> None:
    rng = np.random.default_rng(8)
    close = np.exp(np.cumsum(rng.normal(0, 1e-3, 2_000_000)) + 10.0)
    close[500_000:500_100] *= 1e6  # an absurd stretch long ago must leave no trace
    last_moments: Any = njit(_last_moments)
    mean, spread = last_moments(close, 200.0, ind.moments_size(200))
    window = close[-200:]
    assert mean == pytest.approx(window.mean(), rel=1e-13)
    assert spread == pytest.approx(((window - window.mean()) ** 2).sum(), rel=1e-9)


def _last_moments(close: Array, window: float, size: int) -> tuple[float, float]:
    state = np.zeros(size)
    result = (np.nan, np.nan)
    for x in close:
        result = ind.moments(x, window, state, 0)
    return result


def test_moments_of_a_flat_window_far_from_where_it_came_are_exactly_flat() -> None:
    close = np.concatenate([np.linspace(50, 60, 30), np.full(70, 43_210.123456)])
    state = np.zeros(ind.moments_size(20))
    spreads = [ind.moments(x, 20.0, state, 0)[1] for x in close]
    assert spreads[49:] == [0.0] * 51
    state = np.zeros(ind.zscore_size(20))
    assert np.isnan([ind.zscore(x, 20.0, state, 0) for x in close][49:]).all()


def test_moments_survive_a_large_offset() -> None:
    """Small moves on a large level: the textbook sum of squares would lose every digit here."""
    rng = np.random.default_rng(9)
    close = 1e9 + rng.normal(0, 1e-3, 400)
    state = np.zeros(ind.moments_size(50))
    for x in close:
        mean, spread = ind.moments(x, 50.0, state, 0)
    assert spread == pytest.approx(((close[-50:] - close[-50:].mean()) ** 2).sum(), rel=1e-5)
    assert mean == pytest.approx(close[-50:].mean(), rel=1e-15)


def test_rsi_of_wilders_own_scheme_on_published_closes() -> None:
    """Closes and 14-period RSI as published by StockCharts ChartSchool, Relative Strength Index, worked
    table.
    """
    closes = [
        44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826,
        45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439,
    ]  # fmt: skip
    state = np.zeros(ind.rsi_size(14))
    values = [ind.rsi(x, 14.0, state, 0) for x in closes]
    assert np.round(values[14:], 2).tolist() == [70.53, 66.32, 66.55, 69.41, 66.36, 57.97]
