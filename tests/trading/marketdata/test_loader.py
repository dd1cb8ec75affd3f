"""Loading several symbols on one grid."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.trading.marketdata.helpers import MAY_4, make_bars
from trading.marketdata.bars import FIELDS, Bars, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import CandlesMissingError, IntervalError
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from trading.marketdata.loader import load_candles


def store(catalog: Catalog, symbol: str, bars: Bars, venue: str = "binance") -> None:
    key = SeriesKey(venue, symbol, MINUTE_MS)
    catalog.merge(key, bars, source="made", synthetic=venue == "synthetic")


def test_symbols_stand_side_by_side_on_the_full_grid(catalog: Catalog) -> None:
    a, b = make_bars(3000), make_bars(3000, seed=2)
    store(catalog, "BTCUSDT", a)
    store(catalog, "ETHUSDT", b.take(np.r_[100:1000, 1200:3000]))
    frame = load_candles(catalog, "binance", ["ETHUSDT", "BTCUSDT"], "1m", MAY_4 - HOUR_MS, MAY_4 + DAY_MS)
    assert frame.close.shape == (1500, 2)
    assert frame.close.flags.c_contiguous
    assert frame.ts_ms.dtype == np.int64
    assert np.diff(frame.ts_ms).tolist() == [MINUTE_MS] * 1499
    for name in FIELDS:
        column = getattr(frame, name)
        assert column.dtype == np.float64
        assert np.isnan(column[:60]).all()
        np.testing.assert_array_equal(column[60:, 1], getattr(a, name)[:1440])
        np.testing.assert_array_equal(column[160:1060, 0], getattr(b, name)[100:1000])
        assert np.isnan(column[1060:1260, 0]).all()
    eth, btc = frame.coverage
    assert [gap.bars for gap in eth.missing] == [160, 200]
    assert (btc.present, btc.expected, btc.complete) == (1440, 1500, False)
    assert frame.missing == 420
    assert any("ETHUSDT: 360 of 1500 bars missing" in note for note in frame.notes())


def test_window_may_be_given_in_aware_times_and_is_rounded_up_to_the_grid(catalog: Catalog) -> None:
    store(catalog, "BTCUSDT", make_bars(100))
    start = datetime(2025, 5, 4, 0, 0, 30, tzinfo=UTC)
    frame = load_candles(catalog, "binance", ["BTCUSDT"], 60_000, start, datetime(2025, 5, 4, 0, 5, tzinfo=UTC))
    assert frame.ts_ms.tolist() == [MAY_4 + i * MINUTE_MS for i in range(1, 5)]
    with pytest.raises(ValueError, match="without a zone"):
        load_candles(catalog, "binance", ["BTCUSDT"], "1m", datetime(2025, 5, 4), start)  # noqa: DTZ001


def test_data_hash_names_the_data(catalog: Catalog) -> None:
    bars = make_bars(3000)
    store(catalog, "BTCUSDT", bars)

    def load() -> str:
        return load_candles(catalog, "binance", ["BTCUSDT"], "1m", MAY_4, MAY_4 + DAY_MS).data_sha256

    first = load()
    assert load() == first
    store(catalog, "BTCUSDT", make_bars(10, start_ms=MAY_4 + 5 * DAY_MS))
    assert load() == first
    store(catalog, "BTCUSDT", make_bars(3, start_ms=MAY_4 - 3 * MINUTE_MS))
    assert load() == first
    changed = Bars(bars.ts_ms, bars.open, bars.high, bars.low, bars.close, bars.volume + 1)
    catalog.merge(SeriesKey("binance", "BTCUSDT", MINUTE_MS), changed, source="x", replace=True)
    assert load() != first


def test_synthetic_is_said(catalog: Catalog) -> None:
    store(catalog, "BTCUSDT", make_bars(100), venue="synthetic")
    frame = load_candles(catalog, "synthetic", ["BTCUSDT"], "1m", MAY_4, MAY_4 + HOUR_MS)
    assert frame.synthetic
    assert "never traded" in frame.notes()[0]


def test_unknown_symbol_and_empty_window_are_refused(catalog: Catalog) -> None:
    store(catalog, "BTCUSDT", make_bars(10))
    with pytest.raises(CandlesMissingError, match="DOGEUSDT"):
        load_candles(catalog, "binance", ["BTCUSDT", "DOGEUSDT"], "1m", MAY_4, MAY_4 + HOUR_MS)
    with pytest.raises(IntervalError, match="after its start"):
        load_candles(catalog, "binance", ["BTCUSDT"], "1m", MAY_4, MAY_4)
