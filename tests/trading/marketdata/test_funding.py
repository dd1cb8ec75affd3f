"""Funding rates: snapping, local time, loading onto the engine's grid, and the real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.sample_data import require_sample
from tests.trading.marketdata.helpers import MAY_4, import_one, write
from trading.marketdata.bars import Kind, Reason, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import TimezoneSuspectedError
from trading.marketdata.formats import ReadOptions
from trading.marketdata.funding import load_funding
from trading.marketdata.importer import Importer, ImportOptions
from trading.marketdata.intervals import HOUR_MS, MINUTE_MS
from trading.marketdata.timeparse import parse_timezone

PERP = ImportOptions(read=ReadOptions(venue="binance_perp"))


def test_late_stamps_are_snapped_and_strays_quarantined(importer: Importer, catalog: Catalog, tmp_path: Path) -> None:
    text = "symbol,timestamp,funding_rate\n"
    for i, late_ms in enumerate([0, 16, 7, 999]):
        text += f"BTCUSDT,{MAY_4 + 8 * i * HOUR_MS + late_ms},{0.0001 * (i - 1)}\n"
    text += f"BTCUSDT,{MAY_4 + 90 * MINUTE_MS},0.01\nBTCUSDT,{MAY_4 + 40 * HOUR_MS},n/a\n"
    report = import_one(importer, write(tmp_path / "funding.csv", text), PERP)
    assert (report.rows_in, report.accepted) == (6, 4)
    assert report.reasons == {"off_grid": 1, "missing_value": 1}
    frame = load_funding(catalog, "binance_perp", ["BTCUSDT"], 0, 10**14)
    assert ((frame.ts_ms - MAY_4) // HOUR_MS).tolist() == [0, 8, 16, 24]
    np.testing.assert_allclose(frame.rate[:, 0], [-0.0001, 0, 0.0001, 0.0002])


def test_symbols_with_other_rhythms_share_the_frame(importer: Importer, catalog: Catalog, tmp_path: Path) -> None:
    text = "symbol,timestamp,funding_rate\n"
    text += "".join(f"BTCUSDT,{MAY_4 + 8 * i * HOUR_MS},0.001\n" for i in range(3))
    text += "".join(f"LAYERUSDT,{MAY_4 + i * HOUR_MS},-0.002\n" for i in range(17))
    importer.import_file(write(tmp_path / "funding.csv", text), PERP)
    frame = load_funding(catalog, "binance_perp", ["BTCUSDT", "LAYERUSDT", "XRPUSDT"], MAY_4, MAY_4 + 17 * HOUR_MS)
    assert frame.rate.shape == (17, 3)
    assert (~np.isnan(frame.rate)).sum(axis=0).tolist() == [3, 17, 0]
    minutes = MAY_4 + np.arange(0, 17 * 60, dtype=np.int64) * MINUTE_MS
    grid = frame.on_grid(minutes)
    assert np.flatnonzero(grid[:, 0]).tolist() == [0, 480, 960]
    assert grid.sum(axis=0).tolist() == pytest.approx([0.003, -0.034, 0.0])
    coarse = frame.on_grid(MAY_4 + np.arange(5, dtype=np.int64) * 4 * HOUR_MS)
    assert coarse[:, 1].tolist() == pytest.approx([-0.002, -0.008, -0.008, -0.008, -0.008])


def test_lean_and_freqtrade_files(importer: Importer, catalog: Catalog, tmp_path: Path) -> None:
    lean = write(tmp_path / "margin_interest" / "btcusd.csv", "20250504 00:00:00,0.0001\n20250504 08:00:00,-0.0002\n")
    assert import_one(importer, lean, PERP).key == SeriesKey("binance_perp", "BTCUSD", HOUR_MS, Kind.FUNDING)
    dates = pd.to_datetime([MAY_4, MAY_4 + 8 * HOUR_MS + 3], unit="ms", utc=True)
    frame = pd.DataFrame(
        {"date": dates, "open": [0.0001, 0.0003], "high": 0.0, "low": 0.0, "close": 0.0, "volume": 0.0}
    )
    path = tmp_path / "XRP_USDT_USDT-8h-funding_rate.feather"
    frame.to_feather(path)
    assert import_one(importer, path, PERP).accepted == 2
    assert load_funding(catalog, "binance_perp", ["XRPUSDT"], 0, 10**14).rate.ravel().tolist() == [
        0.0001,
        0.0003,
    ]


def test_percent_is_remarked_on(importer: Importer, tmp_path: Path) -> None:
    text = "timestamp,funding_rate\n" + "".join(f"{MAY_4 + 8 * i * HOUR_MS},0.01\n" for i in range(5))
    report = import_one(importer, write(tmp_path / "BTCUSDT_funding.csv", text), PERP)
    assert "percent" in report.notes[0]


def test_real_perpetual_funding_fits_the_hour(importer: Importer, catalog: Catalog) -> None:
    reports = importer.import_file(
        require_sample("funding/binance_perp_funding_2025-03_2025-06.csv.gz"), ImportOptions()
    )
    assert {r.key.symbol: r.accepted for r in reports}["LAYERUSDT"] == 984
    assert sum(r.accepted for r in reports) == sum(r.rows_in for r in reports) == 2853
    frame = load_funding(catalog, "binance_perp", ["LAYERUSDT"], 0, 10**14)
    assert sorted(set((np.diff(frame.ts_ms) // HOUR_MS).tolist())) == [1, 4]
    assert float(np.nanmin(frame.rate)) == -0.02


@pytest.mark.parametrize(
    ("venue", "local"),
    [
        ("binance", True),
        ("bybit", True),
        ("htx", True),
        ("kucoin", True),
        ("mexc", True),
        ("gate", False),
        ("dydx", False),
    ],
)
def test_real_local_time_files_are_recognised(importer: Importer, catalog: Catalog, venue: str, local: bool) -> None:
    (path,) = require_sample("funding/multi_venue").glob(f"*_{venue}_*")
    options = ImportOptions(read=ReadOptions(venue=venue))
    if local:
        with pytest.raises(TimezoneSuspectedError) as caught:
            importer.import_file(path, options)
        assert caught.value.suggestion == "UTC+3"
        options = ImportOptions(read=ReadOptions(venue=venue, zone=parse_timezone("UTC+3")))
    report = import_one(importer, path, options)
    assert report.accepted == report.rows_in
    frame = load_funding(catalog, venue, ["BTCUSDT"], 0, 10**14)
    hours = frame.ts_ms // HOUR_MS % 24
    due = {"kucoin": {4, 12, 20}, "dydx": set(range(24))}.get(venue, {0, 8, 16})
    assert float(np.mean(np.isin(hours, list(due)))) > 0.995
    assert Reason.OFF_GRID not in {row.reason for row in report.quarantined}
