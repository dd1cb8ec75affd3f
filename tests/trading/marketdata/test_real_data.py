"""The traps of real files: other zones, wrong tickers, close stamps, quiet minutes. Skipped without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.sample_data import require_sample
from tests.trading.marketdata.helpers import NOW_MS, import_one
from trading.marketdata.bars import Kind, Reason, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import TimezoneSuspectedError
from trading.marketdata.formats import ReadOptions
from trading.marketdata.importer import FileFailure, Importer, ImportOptions, expand_paths, import_files
from trading.marketdata.intervals import DAY_MS, MINUTE_MS
from trading.marketdata.loader import load_candles
from trading.marketdata.timeparse import parse_timezone

NO_OPTIONS = ImportOptions()


def test_perpetuals_of_two_venues_come_in_whole(importer: Importer, catalog: Catalog) -> None:
    binance = require_sample("candles/binance_perp_1m_2025-05")
    bybit = require_sample("candles/bybit_perp_1m_2025-06")
    expected = {("binance_perp", "ADAUSDT"): 43_199, ("bybit_perp", "BTCUSDT"): 44_499}
    for folder in (binance, bybit):
        for name in ("ADAUSDT", "BTCUSDT"):
            report = import_one(importer, folder / f"{name}_1m.csv.gz", NO_OPTIONS)
            assert (report.quarantined, report.gaps) == ([], [])
            wanted = expected.get((report.key.venue, name))
            assert wanted is None or report.accepted == wanted
    both = [
        load_candles(catalog, venue, ["BTCUSDT"], "1m", 1748545200000, 1748545200000 + DAY_MS)
        for venue in ("binance_perp", "bybit_perp")
    ]
    difference_bps = (both[1].close / both[0].close - 1) * 1e4
    assert float(np.abs(difference_bps).max()) < 16


def test_whole_lean_and_depeg_folders_reconcile(importer: Importer, catalog: Catalog) -> None:
    paths = expand_paths([require_sample("multivenue")])
    results = list(import_files(importer, paths, NO_OPTIONS))
    assert [f.path for f in results if isinstance(f, FileFailure) and "margin_interest" not in f.path] == []
    reports = [r for r in results if not isinstance(r, FileFailure)]
    assert all(r.reconciles for r in reports)
    kraken = catalog.require(SeriesKey("kraken", "BTCUSDC", MINUTE_MS))
    assert (kraken.rows, kraken.missing) == (7_658, 5_301)
    assert max(gap.bars for gap in catalog.gaps(kraken.key)) == 31
    coinbase = catalog.gaps(SeriesKey("coinbase", "BTCUSD", MINUTE_MS), 1678060800000, 1678060800000 + 9 * DAY_MS)
    assert [str(gap) for gap in coinbase] == ["2023-03-10 02:40 to 2023-03-10 02:43 (4 bars)"]
    assert catalog.require(SeriesKey("bybit_perp", "BTCUSDT", MINUTE_MS, Kind.BID)).rows == 460


def test_closing_stamps_of_daily_bars_become_opening_times(importer: Importer, catalog: Catalog) -> None:
    path = require_sample("daily/coinmarketcap_23coins_1d_2013_2021.parquet")
    reports = importer.import_file(path, ImportOptions(read=ReadOptions(venue="coinmarketcap")))
    assert sum(r.accepted for r in reports) == 37_082
    usdt = next(r for r in reports if r.key.symbol == "USDT")
    assert sum(gap.bars for gap in usdt.gaps) == 5
    bars = catalog.read_bars(SeriesKey("coinmarketcap", "BTC", DAY_MS), 0, NOW_MS)
    assert bool((bars.ts_ms % DAY_MS == 0).all())


def test_the_coin_that_is_not_solana_is_caught(importer: Importer) -> None:
    coinmarketcap = require_sample("daily/coinmarketcap_23coins_1d_2013_2021.parquet")
    yahoo = require_sample("daily/yahoo_14coins_close_2020-01_2022-08.csv")
    importer.import_file(coinmarketcap, ImportOptions(read=ReadOptions(venue="coinmarketcap")))
    reports = importer.import_file(yahoo, ImportOptions(read=ReadOptions(venue="yahoo")))
    suspected = {r.key.symbol for r in reports if "wrong_ticker" in r.reasons}
    assert suspected == {"SOL1USD"}
    sol = next(r for r in reports if r.key.symbol == "SOL1USD")
    assert (sol.accepted, len(sol.quarantined)) == (0, sol.rows_in)
    trusted = importer.import_file(yahoo, ImportOptions(read=ReadOptions(venue="yahoo"), trust_ticker=True))
    assert next(r for r in trusted if r.key.symbol == "SOL1USD").accepted == sol.rows_in


def test_fixed_offset_of_one_broker_is_known_and_found_where_it_is_not(
    importer: Importer, catalog: Catalog, tmp_path: Path
) -> None:
    for broker in ("oanda", "fxcm"):
        for day in ("20180403", "20180404"):
            importer.import_file(require_sample(f"fx/lean/{broker}/minute/eurusd/{day}_quote.zip"), NO_OPTIONS)
    window = (1522800000000, 1522800000000 + DAY_MS // 2)  # 2018-04-04, the first twelve hours
    ours, theirs = (
        load_candles(catalog, broker, ["EURUSD"], "1m", *window, kind=Kind.BID).close[:, 0]
        for broker in ("fxcm", "oanda")
    )
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    gap_bps = (ours[both] / theirs[both] - 1) * 1e4
    assert abs(float(gap_bps.mean())) < 0.5
    hidden = tmp_path / "forex" / "broker" / "minute" / "eurusd" / "20180404_quote.zip"
    hidden.parent.mkdir(parents=True)
    shutil.copy(require_sample("fx/lean/fxcm/minute/eurusd/20180404_quote.zip"), hidden)
    with pytest.raises(TimezoneSuspectedError, match="correlation") as caught:
        importer.import_file(hidden, NO_OPTIONS)
    assert caught.value.suggestion == "UTC-5"
    zone = parse_timezone(caught.value.suggestion)
    reports = importer.import_file(hidden, ImportOptions(read=ReadOptions(zone=zone)))
    assert all(r.accepted == r.rows_in for r in reports)


def test_stale_quotes_of_a_quiet_venue_are_real_and_accepted(importer: Importer) -> None:
    for name in ("bybit_btcusdc", "binanceus_btcusdc"):
        report = import_one(importer, require_sample(f"multivenue/usdc_depeg_2023-03/{name}_1m.parquet"), NO_OPTIONS)
        assert Reason.WRONG_TICKER not in {row.reason for row in report.quarantined}
        assert report.accepted == report.rows_in
