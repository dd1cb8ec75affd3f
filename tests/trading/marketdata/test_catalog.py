"""The Parquet catalog: round trips, idempotence, contradictions, crashes, damage."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.trading.marketdata.helpers import MAY_4, assert_same_bars, make_bars
from trading.marketdata.bars import BadRow, Bars, Kind, Reason, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import CandlesMissingError, CatalogError, SeriesNameError, SyntheticMixError
from trading.marketdata.gaps import find_gaps
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from trading.marketdata.storage import LocalStorage, open_storage

KEY = SeriesKey("binance", "BTCUSDT", MINUTE_MS)
ALL = (0, 10**14)


def changed(bars: Bars, i: int, **values: float) -> Bars:
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume")}
    for name, value in values.items():
        columns[name][i] = value
    return Bars(bars.ts_ms, **columns)


def file_times(root: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in root.rglob("*.*") if p.is_file() and ".locks" not in p.parts}


def test_bars_come_back_bit_for_bit_across_days(catalog: Catalog) -> None:
    bars = make_bars(4000, start_ms=MAY_4 + 900 * MINUTE_MS)
    result = catalog.merge(KEY, bars, source="a.csv")
    assert (result.accepted, result.unchanged, result.replaced) == (4000, 0, 0)
    assert_same_bars(catalog.read_bars(KEY, *ALL), bars)
    assert_same_bars(catalog.read_bars(KEY, MAY_4 + DAY_MS, MAY_4 + DAY_MS + HOUR_MS), bars.take(slice(540, 600)))


def test_parts_are_partitioned_and_described(catalog: Catalog, tmp_path: Path) -> None:
    bars = make_bars(3000).take(np.r_[0:10, 15:3000])
    manifest = catalog.merge(KEY, bars, source="a.csv").manifest
    assert [part.period for part in manifest.parts] == ["2025-05-04", "2025-05-05", "2025-05-06"]
    first = manifest.parts[0]
    assert first.path.startswith("candles/kind=trade/venue=binance/symbol=BTCUSDT/interval=1m/day=2025-05-04/")
    assert (first.rows, first.gaps, first.first_ms, first.source) == (1435, 5, MAY_4, "a.csv")
    assert manifest.missing == 5
    table = pq.ParquetFile(tmp_path / "catalog" / first.path)
    assert table.metadata.row_group(0).column(1).compression == "ZSTD"
    assert table.schema_arrow.metadata[b"synthetic"] == b"false"


@pytest.mark.parametrize(
    ("interval_ms", "n", "periods"),
    [(HOUR_MS, 24 * 40, ["2025-05", "2025-06"]), (DAY_MS, 400, ["2025", "2026"])],
)
def test_coarse_bars_share_longer_parts(catalog: Catalog, interval_ms: int, n: int, periods: list[str]) -> None:
    key = SeriesKey("binance", "BTCUSDT", interval_ms)
    bars = make_bars(n, interval_ms=interval_ms)
    manifest = catalog.merge(key, bars, source="x").manifest
    assert [part.period for part in manifest.parts] == periods
    assert_same_bars(catalog.read_bars(key, *ALL), bars)


def test_same_bars_again_change_nothing(catalog: Catalog, tmp_path: Path) -> None:
    bars = make_bars(2000)
    catalog.merge(KEY, bars, source="a.csv")
    before = file_times(tmp_path / "catalog")
    result = catalog.merge(KEY, bars, source="b.csv")
    assert (result.accepted, result.unchanged) == (0, 2000)
    assert file_times(tmp_path / "catalog") == before


def test_same_bars_in_any_order_of_arrival_give_the_same_hashes(tmp_path: Path) -> None:
    bars = make_bars(3000)
    whole, pieces = Catalog.open(str(tmp_path / "a")), Catalog.open(str(tmp_path / "b"))
    expected = whole.merge(KEY, bars, source="x").manifest
    for part in (slice(1000, 2000), slice(0, 1200), slice(1500, 3000)):
        found = pieces.merge(KEY, bars.take(part), source=str(part)).manifest
    assert [p.sha256 for p in found.parts] == [p.sha256 for p in expected.parts]


def test_contradicting_bar_is_refused_and_the_stored_one_kept(catalog: Catalog) -> None:
    bars = make_bars(100)
    catalog.merge(KEY, bars, source="a.csv")
    other = changed(bars, 40, close=float(bars.low[40]), volume=0.001)
    result = catalog.merge(KEY, other, source="b.csv")
    assert (result.unchanged, [row.reason for row in result.refused]) == (99, [Reason.CONFLICTS_WITH_STORED])
    assert result.refused[0].ts_ms == int(bars.ts_ms[40])
    assert_same_bars(catalog.read_bars(KEY, *ALL), bars)
    assert [row.reason for _, row in catalog.quarantine(KEY)] == [Reason.CONFLICTS_WITH_STORED]


def test_replace_lets_the_new_bar_win_and_files_the_old_one(catalog: Catalog) -> None:
    bars = make_bars(100)
    catalog.merge(KEY, bars, source="a.csv")
    other = changed(bars, 40, volume=0.001)
    result = catalog.merge(KEY, other, source="b.csv", replace=True)
    assert (result.replaced, result.unchanged, result.refused) == (1, 99, [])
    assert_same_bars(catalog.read_bars(KEY, *ALL), other)
    ((_, filed),) = catalog.quarantine(KEY)
    assert (filed.reason, filed.raw["volume"]) == (Reason.DISPLACED, repr(float(bars.volume[40])))


def test_last_bar_of_an_older_file_gives_way_to_its_later_state(catalog: Catalog) -> None:
    bars = make_bars(100)
    half_done = changed(bars.take(slice(0, 60)), 59, high=bars.high[59], close=bars.open[59], volume=0.5)
    catalog.merge(KEY, half_done, source="old.csv", tail_may_be_open=True)
    result = catalog.merge(KEY, bars, source="new.csv", tail_may_be_open=True)
    assert (result.accepted, result.unchanged, result.replaced, result.refused) == (40, 59, 1, [])
    assert_same_bars(catalog.read_bars(KEY, *ALL), bars)


def test_bar_that_a_longer_file_confirmed_gives_way_no_more(catalog: Catalog) -> None:
    bars = make_bars(100)
    catalog.merge(KEY, bars.take(slice(0, 60)), source="short.csv", tail_may_be_open=True)
    manifest = catalog.merge(KEY, bars, source="long.csv", tail_may_be_open=True).manifest
    assert manifest.open_tails == (int(bars.ts_ms[99]),)
    grown = changed(bars, 59, volume=float(bars.volume[59]) + 1)
    result = catalog.merge(KEY, grown.take(slice(50, 70)), source="other.csv", tail_may_be_open=True)
    assert [row.reason for row in result.refused] == [Reason.CONFLICTS_WITH_STORED]


def test_older_file_after_the_newer_one_does_not_win(catalog: Catalog) -> None:
    bars = make_bars(100)
    catalog.merge(KEY, bars, source="new.csv", tail_may_be_open=True)
    half_done = changed(bars.take(slice(0, 60)), 59, close=bars.open[59], volume=0.5)
    result = catalog.merge(KEY, half_done, source="old.csv", tail_may_be_open=True)
    assert [row.reason for row in result.refused] == [Reason.UNFINISHED]
    assert_same_bars(catalog.read_bars(KEY, *ALL), bars)


def test_bad_rows_are_filed_once(catalog: Catalog) -> None:
    bad = [BadRow(Reason.NOT_FINITE, "a.csv", 7, {"open": "nan"}, MAY_4)]
    for _ in range(2):
        manifest = catalog.merge(KEY, make_bars(10), source="a.csv", bad=bad).manifest
    assert manifest.quarantined == 1
    assert [row for _, row in catalog.quarantine(KEY)] == bad


@pytest.mark.parametrize(("venue", "synthetic"), [("binance", True), ("synthetic", False)])
def test_synthetic_and_real_never_mix(catalog: Catalog, venue: str, synthetic: bool) -> None:
    with pytest.raises(SyntheticMixError):
        catalog.merge(SeriesKey(venue, "BTCUSDT", MINUTE_MS), make_bars(3), source="x", synthetic=synthetic)


def test_kinds_of_one_market_are_apart(catalog: Catalog) -> None:
    bid = SeriesKey("binance", "BTCUSDT", MINUTE_MS, Kind.BID)
    catalog.merge(KEY, make_bars(5), source="x")
    catalog.merge(bid, make_bars(7, seed=2), source="x")
    assert [(m.key.kind, m.rows) for m in catalog.manifests()] == [(Kind.BID, 7), (Kind.TRADE, 5)]


class CrashError(Exception):
    pass


class CrashingStorage(LocalStorage):
    """Stops at the nth write, before or after it reached the disk."""

    def __init__(self, root: Path, fail_at: int, *, after: bool) -> None:
        super().__init__(root)
        self.left = fail_at
        self.after = after

    def write(self, path: str, data: bytes) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise CrashError
        super().write(path, data)
        if self.left == 0:
            raise CrashError


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_crash_at_any_write_leaves_the_old_or_the_new_state(tmp_path: Path, fail_at: int, after: bool) -> None:
    root = tmp_path / "catalog"
    new = make_bars(4000)
    old = new.take(slice(0, 2000))
    Catalog.open(str(root)).merge(KEY, old, source="a")
    with pytest.raises(CrashError):
        Catalog(CrashingStorage(root, fail_at, after=after)).merge(KEY, new, source="b")
    healed = Catalog.open(str(root))
    assert len(healed.read_bars(KEY, *ALL)) in {2000, 4000}
    assert healed.damaged_parts(KEY) == []
    healed.merge(KEY, new, source="b")
    assert_same_bars(healed.read_bars(KEY, *ALL), new)
    healed.sweep(KEY)
    assert len(list(root.rglob("day=*/*.parquet"))) == 3


def test_concurrent_writers_of_one_series_lose_nothing(tmp_path: Path) -> None:
    bars = make_bars(3000)
    failures: list[BaseException] = []

    def work(part: slice) -> Callable[[], None]:
        def run() -> None:
            try:
                Catalog.open(str(tmp_path / "c")).merge(KEY, bars.take(part), source="x")
            except BaseException as error:
                failures.append(error)

        return run

    threads = [threading.Thread(target=work(slice(i * 500, i * 500 + 700))) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert_same_bars(Catalog.open(str(tmp_path / "c")).read_bars(KEY, *ALL), bars.take(slice(0, 2700)))


def test_changed_and_missing_files_are_found(catalog: Catalog, tmp_path: Path) -> None:
    manifest = catalog.merge(KEY, make_bars(4000), source="a").manifest
    (tmp_path / "catalog" / manifest.parts[0].path).write_bytes(b"PAR1 not any more")
    (tmp_path / "catalog" / manifest.parts[1].path).unlink()
    problems = catalog.damaged_parts(KEY)
    assert [p.split(" ", 1)[1] for p in problems] == ["was changed after it was written", "is missing"]
    with pytest.raises(CatalogError, match="lacks"):
        catalog.read_bars(KEY, MAY_4 + DAY_MS, MAY_4 + 2 * DAY_MS)
    with pytest.raises(CatalogError, match="is damaged"):
        catalog.read_bars(KEY, MAY_4, MAY_4 + MINUTE_MS)
    with pytest.raises(CatalogError, match="--replace"):
        catalog.merge(KEY, make_bars(4000), source="a")
    catalog.merge(KEY, make_bars(4000), source="a", replace=True)
    assert catalog.damaged_parts(KEY) == []
    assert_same_bars(catalog.read_bars(KEY, *ALL), make_bars(4000))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 99}', b'{"version": 1}'])
def test_damaged_manifest_says_so(catalog: Catalog, tmp_path: Path, content: bytes) -> None:
    catalog.merge(KEY, make_bars(10), source="a")
    (tmp_path / "catalog/manifests/candles/trade/binance/BTCUSDT/1m.json").write_bytes(content)
    with pytest.raises(CatalogError, match=r"1m\.json"):
        catalog.manifest(KEY)


def test_catalog_moves_with_its_folder(catalog: Catalog, tmp_path: Path) -> None:
    bars = make_bars(2000)
    catalog.merge(KEY, bars, source="a", bad=[BadRow(Reason.OFF_GRID, "a", 3, {"x": "1"}, MAY_4 + 1)])
    (tmp_path / "catalog").rename(tmp_path / "elsewhere")
    moved = Catalog.open(str(tmp_path / "elsewhere"))
    assert_same_bars(moved.read_bars(KEY, *ALL), bars)
    assert len(moved.quarantine(KEY)) == 1


def test_delete_takes_the_whole_series_out(catalog: Catalog, tmp_path: Path) -> None:
    catalog.merge(KEY, make_bars(2000), source="a")
    catalog.delete(KEY)
    assert catalog.manifest(KEY) is None
    assert list((tmp_path / "catalog").rglob("*.parquet")) == []


def test_unknown_series_names_the_commands(catalog: Catalog) -> None:
    with pytest.raises(CandlesMissingError, match="import_candles"):
        catalog.require(KEY)


@pytest.mark.parametrize(("venue", "symbol"), [("../x", "BTC"), ("binance", "../../BTC"), ("", "BTC"), ("a/b", "X")])
def test_names_cannot_leave_the_catalog(venue: str, symbol: str) -> None:
    with pytest.raises(SeriesNameError):
        SeriesKey(venue, symbol, MINUTE_MS)


def test_unknown_url_scheme_is_refused() -> None:
    for url in ("ftp://host/x", "s3://"):
        with pytest.raises(CatalogError):
            open_storage(url)


def test_gaps_are_named_as_ranges(catalog: Catalog) -> None:
    bars = make_bars(100).take(np.r_[0:10, 11:50, 80:100])
    catalog.merge(KEY, bars, source="a")
    gaps = catalog.gaps(KEY)
    assert [str(gap) for gap in gaps] == [
        "2025-05-04 00:10 (1 bar)",
        "2025-05-04 00:50 to 2025-05-04 01:19 (30 bars)",
    ]
    wider = find_gaps(bars.ts_ms, MINUTE_MS, start_ms=MAY_4 - 2 * MINUTE_MS, end_ms=MAY_4 + 103 * MINUTE_MS)
    assert [gap.bars for gap in wider] == [2, 1, 30, 3]
    assert json.loads(catalog.require(KEY).to_json())["parts"][0]["gaps"] == 31
