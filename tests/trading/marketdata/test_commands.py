"""The candle commands, as a person runs them."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from fundops.core import clock
from fundops.core.roles import Role
from tests.factories import user_with
from tests.trading.marketdata.helpers import MAY_4, as_csv, make_bars, write
from tests.trading.marketdata.venue_server import VenueServer, open_at, serve
from trading.marketdata.bars import SeriesKey
from trading.marketdata.intervals import DAY_MS, MINUTE_MS
from trading.selectors.marketdata import open_catalog

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def catalog_url(tmp_path: Path, settings: Any) -> None:
    settings.MARKET_DATA_URL = str(tmp_path / "catalog")


def run(name: str, *args: str) -> str:
    out = StringIO()
    call_command(name, *args, stdout=out)
    return out.getvalue()


def test_import_list_check_resample(tmp_path: Path) -> None:
    lines = as_csv(make_bars(120)).splitlines()
    lines[31] = "garbage"
    path = write(tmp_path / "binance" / "BTCUSDT_1m.csv.gz", "\n".join(lines))
    shown = run("import_candles", str(path))
    assert "binance BTCUSDT 1m" in shown
    assert "field_count 1" in shown
    (listed,) = json.loads(run("list_candles", "--json"))
    assert (listed["rows"], listed["missing"], listed["quarantined"]) == (119, 1, 1)
    assert "BTCUSDT" in run("list_candles", "--venue", "binance")
    assert "missing 2025-05-04 00:30 (1 bar)" in run("check_candles")
    shown = run("resample_candles", "binance", "BTC/USDT", "--to", "5m,1h")
    assert "BTCUSDT 1h on binance: 1 new" in shown
    assert "1 incomplete, left out: 2025-05-04 00:00" in shown


def test_import_json_reconciles_and_names_failures(tmp_path: Path) -> None:
    good = write(tmp_path / "binance" / "BTCUSDT_1m.csv", as_csv(make_bars(10)))
    write(tmp_path / "binance" / "ETHUSDT_1m.csv", "nothing\n")
    document = json.loads(run("import_candles", str(good.parent), "--json"))
    (series,) = document["series"]
    assert series["rows_in"] == series["accepted"] + series["unchanged"] + series["replaced"] + series["quarantined"]
    assert document["failures"][0]["path"].endswith("ETHUSDT_1m.csv")


def test_import_of_nothing_readable_fails_with_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT_1m.csv", "time,open\n1,2\n")
    with pytest.raises(CommandError, match=r"BTCUSDT_1m\.csv:1: has no column for high, low, close"):
        run("import_candles", str(path), "--venue", "x")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--timezone", "Mars"], "no time zone"),
        (["--interval", "7m"], "do not divide a day"),
        (["--user", "nobody"], "no user"),
    ],
)
def test_import_refuses_absurd_options(tmp_path: Path, args: list[str], message: str) -> None:
    path = write(tmp_path / "BTCUSDT_1m.csv", as_csv(make_bars(3)))
    with pytest.raises(CommandError, match=message):
        run("import_candles", str(path), "--venue", "x", *args)


def test_import_acts_in_the_name_of_a_user_who_may(tmp_path: Path) -> None:
    path = write(tmp_path / "binance" / "BTCUSDT_1m.csv", as_csv(make_bars(3)))
    auditor, operations = user_with(Role.AUDITOR), user_with(Role.OPERATIONS)
    with pytest.raises(CommandError, match=r"trading\.import_candles"):
        run("import_candles", str(path), "--user", auditor.get_username())
    assert "BTCUSDT" in run("import_candles", str(path), "--user", operations.get_username())
    assert get_user_model().objects.filter(pk=operations.pk).exists()


def test_synthesise_says_that_nothing_ever_traded() -> None:
    shown = run("synthesise_candles", "--days", "1", "--symbols", "BTCUSDT,ETHUSDT", "--start", "2025-05-04")
    assert "BTCUSDT 1m on synthetic: 1,440 synthetic bars" in shown
    assert "never traded" in shown
    assert {row["synthetic"] for row in json.loads(run("list_candles", "--json"))} == {True}


def test_download_and_backfill_from_a_venue() -> None:
    bars = make_bars(300, price=60_000)
    key = SeriesKey("binance", "BTCUSDT", MINUTE_MS)
    with serve(VenueServer(bars, open_at(bars))) as server, clock.frozen(clock.from_ms(server.now_ms)):
        shown = run("download_candles", "binance", "BTC/USDT", "--since", "2025-05-04", "--base-url", server.url)
        assert "299" in shown
        catalog = open_catalog()
        stored = catalog.read_bars(key, 0, 10**14)
        catalog.delete(key)
        catalog.merge(key, stored.take(np.r_[0:100, 110:299]), source="file")
        shown = run("check_candles", "--backfill", "--download", "--base-url", server.url)
        assert "0 missing" in shown
        assert "10 from the venue" in shown
        document = json.loads(
            run(
                "download_candles",
                "binance",
                "BTCUSDT",
                "--since",
                "2025-05-04",
                "--json",
                "--base-url",
                server.url,
            )
        )
    assert document["series"][0]["pages"] == 0
    assert len(open_catalog().read_bars(key, 0, 10**14)) == 299


def test_download_failure_of_one_symbol_leaves_the_others() -> None:
    bars = make_bars(50)
    with (
        serve(VenueServer(bars, open_at(bars))) as server,
        clock.frozen(clock.from_ms(server.now_ms)),
        pytest.raises(CommandError, match="NOPEUSDT: binance has no spot market"),
    ):
        run(
            "download_candles",
            "binance",
            "NOPEUSDT",
            "BTCUSDT",
            "--since",
            "2025-05-04",
            "--base-url",
            server.url,
        )
    assert len(open_catalog().read_bars(SeriesKey("binance", "BTCUSDT", MINUTE_MS), 0, 10**14)) == 49


def test_download_window_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(CommandError, match="after --since"):
        run("download_candles", "binance", "BTCUSDT", "--since", "2025-05-04", "--until", "2025-05-03")


def test_check_finds_a_damaged_file_and_list_syncs_a_moved_catalog(tmp_path: Path) -> None:
    catalog = open_catalog()
    manifest = catalog.merge(
        SeriesKey("binance", "BTCUSDT", MINUTE_MS), make_bars(10, start_ms=MAY_4 + DAY_MS), source="x"
    ).manifest
    assert json.loads(run("list_candles", "--json")) == []
    assert [row["rows"] for row in json.loads(run("list_candles", "--sync", "--json"))] == [10]
    (tmp_path / "catalog" / manifest.parts[0].path).write_bytes(b"x")
    with pytest.raises(CommandError, match="damaged"):
        run("check_candles")
