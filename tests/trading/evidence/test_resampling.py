"""The stationary bootstrap against its definition, closed forms and arch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from arch.bootstrap import StationaryBootstrap

from trading.quant.evidence.resampling import block_length, mean_interval, stationary_indices


def test_blocks_go_on_wrap_around_and_have_the_asked_length() -> None:
    rows = stationary_indices(np.random.default_rng(1), 50, block=5.0, resamples=4_000)
    assert rows.shape == (4_000, 50)
    assert (rows.min(), rows.max()) == (0, 49)
    goes_on = np.mean((rows[:, 1:] - rows[:, :-1]) % 50 == 1)
    assert goes_on == pytest.approx(1 - 1 / 5 + 1 / 5 / 50, abs=0.005)
    assert np.bincount(rows.ravel(), minlength=50) / rows.size == pytest.approx(np.full(50, 0.02), abs=0.001)


def test_interval_agrees_with_arch() -> None:
    rng = np.random.default_rng(2)
    values = 0.001 + 0.01 * rng.standard_normal(300)
    values[1:] += 0.5 * values[:-1]
    found = mean_interval(values, bars_a_day=24, resamples=8_000, seed=3)
    library = StationaryBootstrap(found.block, values, seed=4)  # type: ignore[arg-type]
    [[low], [high]] = library.conf_int(lambda x: np.array([x.mean() * 24]), reps=8_000, method="percentile")
    width = high - low
    assert found.low == pytest.approx(low, abs=0.05 * width)
    assert found.high == pytest.approx(high, abs=0.05 * width)
    assert found.mean == pytest.approx(values.mean() * 24)


def test_interval_of_independent_values_is_the_normal_one_and_covers_as_often_as_stated() -> None:
    rng = np.random.default_rng(5)
    hits, widths = 0, []
    for seed in range(200):
        values = rng.standard_normal(200)
        found = mean_interval(values, bars_a_day=1, resamples=400, seed=seed)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0 <= found.high
        widths.append(found.high - found.low)
    assert 0.88 <= hits / 200 <= 0.99
    assert np.mean(widths) == pytest.approx(2 * 1.96 / math.sqrt(200), rel=0.1)


def test_dependent_values_get_longer_blocks() -> None:
    rng = np.random.default_rng(6)
    shocks = rng.standard_normal(2_000)
    smooth = np.convolve(shocks, np.ones(20) / 20, mode="valid")
    assert block_length(shocks) < 5 < block_length(smooth)


def test_nothing_to_resample_is_undefined() -> None:
    assert mean_interval(np.empty(0), bars_a_day=24).mean is None
    flat = mean_interval(np.full(100, 0.01), bars_a_day=24)
    assert flat.mean == pytest.approx(0.24)
    assert (flat.low, flat.high, flat.below_zero, flat.resamples) == (None, None, None, 0)
    assert mean_interval(np.arange(7.0), bars_a_day=1).low is None
