"""Coarser bars: worked by hand, against pandas, and on real candles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sample_data import require_sample
from tests.trading.marketdata.helpers import MAY_4, make_bars
from trading.marketdata.bars import FIELDS, Bars
from trading.marketdata.errors import IntervalError
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from trading.marketdata.resample import resample


def test_worked_by_hand() -> None:
    o, h = np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 9, 4, 5, 6])
    lo, c, v = np.array([0.5, 1, 2, 3, 4]), np.array([2.0, 3, 4, 5, 5.5]), np.array([1.0, 2, 3, 4, 5])
    bars = Bars(MAY_4 + np.array([0, 1, 2, 3, 5]) * MINUTE_MS, o, h, lo, c, v)
    result = resample(bars, MINUTE_MS, 3 * MINUTE_MS)
    assert result.expected == 3
    assert result.present.tolist() == [3, 2]
    assert result.bars.open.tolist() == [1.0, 4.0]
    assert result.bars.high.tolist() == [9.0, 6.0]
    assert result.bars.low.tolist() == [0.5, 3.0]
    assert result.bars.close.tolist() == [4.0, 5.5]
    assert result.bars.volume.tolist() == [6.0, 9.0]
    assert result.only_complete().ts_ms.tolist() == [MAY_4]
    assert result.incomplete_ms() == [MAY_4 + 3 * MINUTE_MS]


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.integers(0, 600), min_size=1),
    st.sampled_from([2, 3, 5, 15, 60, 240, 1440]),
    st.integers(0, 10_000),
)
def test_agrees_with_pandas_and_invents_nothing(minutes: set[int], factor: int, seed: int) -> None:
    bars = make_bars(601, seed=seed).take(np.array(sorted(minutes)))
    result = resample(bars, MINUTE_MS, factor * MINUTE_MS)
    frame = pd.DataFrame({name: getattr(bars, name) for name in FIELDS}, index=pd.to_datetime(bars.ts_ms, unit="ms"))
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    expected = frame.resample(f"{factor}min", origin="epoch").agg(how)
    counts = frame["open"].resample(f"{factor}min", origin="epoch").count()
    expected, counts = expected[counts > 0], counts[counts > 0]
    assert result.present.tolist() == counts.tolist()
    for name in FIELDS:
        np.testing.assert_allclose(getattr(result.bars, name), expected[name].to_numpy(), rtol=1e-12)


@pytest.mark.parametrize(("source", "target"), [(5, 7), (5, 5), (60, 30), (5, 12)])
def test_impossible_targets_are_refused(source: int, target: int) -> None:
    with pytest.raises(IntervalError):
        resample(make_bars(10, interval_ms=source * MINUTE_MS), source * MINUTE_MS, target * MINUTE_MS)


def real(path: str, symbol: str) -> Bars:
    table = pq.read_table(require_sample(path)).to_pandas()
    rows = table[table["symbol"] == symbol].sort_values("timestamp")
    stamps = rows["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy(np.int64)
    return Bars(stamps.astype(np.int64), *(rows[name].to_numpy(np.float64) for name in FIELDS))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "AVAXUSDT"])
def test_a_real_day_equals_the_sum_of_its_five_minute_bars(symbol: str) -> None:
    fine = real("candles/binance_spot_5m_2024-07-25_2024-08-24.parquet", symbol)
    hours = real("candles/binance_spot_1h_2024-01-01_2024-09-05.parquet", symbol)
    days = real("daily/binance_spot_1d_2024-01-01_2024-09-06.parquet", symbol)
    for coarse, interval_ms in ((hours, HOUR_MS), (days, DAY_MS)):
        made = resample(fine, 5 * MINUTE_MS, interval_ms)
        assert bool(made.complete.all())
        theirs = coarse.between(int(fine.ts_ms[0]), int(fine.ts_ms[-1]) + 1)
        assert made.bars.ts_ms.tolist() == theirs.ts_ms.tolist()
        for name in FIELDS[:4]:
            np.testing.assert_array_equal(getattr(made.bars, name), getattr(theirs, name))
        np.testing.assert_allclose(made.bars.volume, theirs.volume, rtol=1e-9)
