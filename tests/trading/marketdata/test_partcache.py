"""The cache of decoded parts: bounded, never stale, never a way to change stored bars."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trading.marketdata.helpers import MAY_4, MemoryStorage, assert_same_bars, make_bars
from trading.marketdata.bars import SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.intervals import DAY_MS, MINUTE_MS
from trading.marketdata.partcache import ROW_BYTES, PartCache

KEY = SeriesKey("binance", "BTCUSDT", MINUTE_MS)


class CountingStorage(MemoryStorage):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def read(self, path: str) -> bytes | None:
        self.reads.append(path)
        return super().read(path)


def parts_read(storage: CountingStorage) -> int:
    return sum(path.endswith(".parquet") and path.startswith("candles/") for path in storage.reads)


def test_second_load_reads_the_manifest_only_and_a_change_is_seen_at_once() -> None:
    storage = CountingStorage()
    catalog = Catalog(storage, cache=PartCache())
    bars, other = make_bars(3000), make_bars(3000, seed=2)
    catalog.merge(KEY, bars, source="x")
    storage.reads.clear()
    first = catalog.read_bars(KEY, 0, 10**14)
    assert parts_read(storage) == 3
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), first)
    assert parts_read(storage) == 3
    catalog.merge(KEY, other, source="y", replace=True)
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), other)


def test_bound_holds_and_the_least_recently_used_goes_first() -> None:
    cache = PartCache(max_bytes=3 * 100 * ROW_BYTES)
    for name in "abc":
        cache.put("url", name, make_bars(100))
    assert cache.get("url", "a") is not None
    cache.put("url", "d", make_bars(100))
    assert cache.get("url", "b") is None
    assert [cache.get("url", name) is not None for name in "acd"] == [True, True, True]
    cache.put("url", "huge", make_bars(1000))
    assert len(cache) == 0
    cache.clear()
    assert len(cache) == 0


def test_what_a_reader_changes_does_not_reach_the_next_one() -> None:
    catalog = Catalog(MemoryStorage(), cache=PartCache())
    bars = make_bars(2000)
    catalog.merge(KEY, bars, source="x")
    loaded = catalog.read_bars(KEY, MAY_4, MAY_4 + DAY_MS)
    loaded.close[:] = 0.0
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), bars)
    stored = catalog._cache.get("memory", catalog.require(KEY).parts[0].path)
    assert stored is not None
    with pytest.raises(ValueError, match="read-only"):
        stored.close[0] = 1.0
    np.testing.assert_array_equal(stored.close, bars.close[:1440])
