"""Returns per step, hour and day: flows, UTC boundaries, ruin, gaps."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from trading.quant.metrics import (
    DAY_MS,
    HOUR_MS,
    daily_returns,
    hourly_returns,
    period_returns,
    step_returns,
    wealth_index,
)
from trading.quant.metrics.errors import MetricsError


def hours(n: int, start: str = "2025-05-09") -> np.ndarray:
    first = int(dt.datetime.fromisoformat(start).replace(tzinfo=dt.UTC).timestamp() * 1000)
    return first + HOUR_MS * np.arange(1, n + 1)


def test_daily_returns_close_at_midnight_utc_and_equal_pandas_resampling() -> None:
    rng = np.random.default_rng(1)
    ts = hours(24 * 7 + 5)
    equity = 1000 * np.cumprod(1 + rng.normal(0, 0.01, ts.size))
    got = daily_returns(ts, equity, initial=1000.0)
    index = pd.to_datetime(np.concatenate([[ts[0] - HOUR_MS], ts]), unit="ms", utc=True)
    series = pd.Series(np.concatenate([[1000.0], equity]), index=index)
    closes = series.resample("1D", closed="right", label="left").last()
    want = closes.pct_change().to_numpy()[1:]
    np.testing.assert_allclose(got.returns, want, rtol=1e-12)
    assert (got.start_ms % DAY_MS == 0).all()
    assert pd.Timestamp(got.start_ms[0], unit="ms", tz="UTC") == pd.Timestamp("2025-05-09", tz="UTC")
    assert got.returns.size == 8


def test_a_deposit_is_no_return_and_a_withdrawal_is_no_loss() -> None:
    ts = hours(48)
    plain = 1000 * 1.001 ** np.arange(1, 49)
    flows = np.zeros(48)
    flows[10], flows[30] = 500.0, -700.0
    equity = np.empty(48)
    level = 1000.0
    for t in range(48):
        level = level * 1.001 + flows[t]
        equity[t] = level
    with_flows = daily_returns(ts, equity, initial=1000.0, flows=flows)
    without = daily_returns(ts, plain, initial=1000.0)
    np.testing.assert_allclose(with_flows.returns, without.returns, rtol=1e-12)


def test_time_weighted_return_of_the_published_two_period_example() -> None:
    """GIPS-style example of the CFA curriculum (Reading on rates of return): 100 -> 120, +130 paid in ->
    250, -> 260.

    Holding periods (120 - 100) / 100 = 20 % and (260 - 250) / 250 = 4 % chain to 24.8 %.
    """
    index = wealth_index(np.array([250.0, 260.0]), initial=100.0, flows=np.array([130.0, 0.0]))
    assert index.tolist() == pytest.approx([1.0, 1.2, 1.248])


def test_returns_after_ruin_are_undefined_not_zero() -> None:
    steps = step_returns(np.array([50.0, 0.0, 0.0, 80.0]), initial=100.0, flows=np.array([0.0, 0, 0, 80]))
    assert steps[:2].tolist() == [-0.5, -1.0]
    assert np.isnan(steps[2:]).all()


def test_days_without_a_mark_count_as_zero_and_the_move_falls_on_the_next_mark() -> None:
    day = DAY_MS
    got = daily_returns(np.array([day, 4 * day]), np.array([110.0, 121.0]), initial=100.0)
    assert got.returns.tolist() == pytest.approx([0.1, 0.0, 0.0, 0.1])
    assert got.start_ms.tolist() == [0, day, 2 * day, 3 * day]


def test_hourly_returns_of_many_agents_equal_those_of_each_alone() -> None:
    rng = np.random.default_rng(2)
    ts = hours(30)[0] + 600_000 * np.arange(90)
    equity = 1000 * np.cumprod(1 + rng.normal(0, 0.01, (90, 4)), axis=0)
    flows = rng.normal(0, 5, (90, 4))
    start = np.full(4, 990.0)
    together = hourly_returns(ts, equity, initial=start, flows=flows)
    for k in range(4):
        alone = hourly_returns(ts, equity[:, k], initial=990.0, flows=flows[:, k])
        assert alone.returns.tolist() == together.returns[:, k].tolist()
        assert alone.start_ms.tolist() == together.start_ms.tolist()


def test_empty_and_contradictory_inputs() -> None:
    empty = daily_returns(np.empty(0, dtype=np.int64), np.empty(0), initial=1.0)
    assert empty.returns.size == 0
    with pytest.raises(MetricsError, match="rise strictly"):
        period_returns(np.array([2, 1]), np.ones(2), 10, initial=1.0)
    with pytest.raises(MetricsError, match="must be the same"):
        step_returns(np.ones(3), initial=1.0, flows=np.ones(2))
    with pytest.raises(MetricsError, match=r"\(2,\) times for 3"):
        daily_returns(np.array([1, 2]), np.ones(3), initial=1.0)
