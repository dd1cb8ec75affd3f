"""Real ccxt clients against the venues' wire protocols on a local socket: paging, faults, open bars, gaps."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.sample_data import require_sample
from tests.trading.marketdata.helpers import MAY_4, assert_same_bars, make_bars
from tests.trading.marketdata.test_download import Clock
from tests.trading.marketdata.venue_server import (
    BINANCE_BUSY,
    BYBIT_BUSY,
    COINBASE_BUSY,
    KRAKEN_BUSY,
    UNAVAILABLE,
    Answer,
    VenueServer,
    open_at,
    serve,
)
from trading.marketdata.bars import SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.ccxt_source import CcxtSource
from trading.marketdata.download import DownloadReport, Pacer, backfill_gaps, download_series
from trading.marketdata.errors import DownloadError
from trading.marketdata.intervals import DAY_MS, MINUTE_MS

BARS = make_bars(2500, price=60_000)
CLOSED = BARS.take(slice(0, 2499))
VENUES = {
    "binance": ("BTC/USDT", "BTCUSDT", BINANCE_BUSY, 3),
    "binance_perp": ("BTCUSDT", "BTCUSDT", BINANCE_BUSY, 3),
    "bybit": ("BTC/USDT", "BTCUSDT", BYBIT_BUSY, 3),
    "bybit_perp": ("BTC/USDT:USDT", "BTCUSDT", BYBIT_BUSY, 3),
    "coinbase": ("BTC-USD", "BTCUSD", COINBASE_BUSY, 9),
    "kraken": ("BTC/USD", "BTCUSD", KRAKEN_BUSY, 0),
}


@pytest.fixture
def server() -> Iterator[VenueServer]:
    with serve(VenueServer(BARS, open_at(BARS))) as running:
        yield running


def download(
    server: VenueServer, catalog: Catalog, venue: str, symbol: str, *, since_ms: int = MAY_4
) -> tuple[DownloadReport, Clock]:
    clock = Clock(now=server.now_ms)
    source = CcxtSource(venue, base_url=server.url)
    key = SeriesKey(venue, source.resolve(symbol), MINUTE_MS)
    pacer = Pacer(source.min_pause_ms, clock.now_ms, clock.sleep)
    report = download_series(source, catalog, key, since_ms, server.now_ms + DAY_MS, pacer=pacer)
    assert report.reconciles
    return report, clock


@pytest.mark.parametrize("venue", ["binance", "binance_perp", "bybit", "bybit_perp", "coinbase"])
def test_history_comes_page_by_page_through_faults(server: VenueServer, catalog: Catalog, venue: str) -> None:
    symbol, stored, busy, pages = VENUES[venue]
    server.faults = [busy, UNAVAILABLE]
    server.now_ms = open_at(BARS)
    report, clock = download(server, catalog, venue, symbol)
    assert report.key.symbol == stored
    assert_same_bars(catalog.read_bars(report.key, 0, 10**14), CLOSED)
    assert (report.pages, report.retries, report.accepted) == (pages, 2, 2499)
    pauses = [s for s in clock.slept if s >= 1]
    assert pauses == ([7.0, 2.0] if busy is BINANCE_BUSY else [1.0, 2.0])


def test_kraken_gives_its_last_720_bars_only_and_the_open_one_is_dropped(server: VenueServer, catalog: Catalog) -> None:
    symbol, stored, busy, _ = VENUES["kraken"]
    server.faults = [busy, UNAVAILABLE]
    since_ms = int(BARS.ts_ms[-700])
    report, _ = download(server, catalog, "kraken", symbol, since_ms=since_ms)
    assert report.key.symbol == stored
    assert (report.accepted, report.quarantined, report.retries) == (699, [], 2)
    assert_same_bars(catalog.read_bars(report.key, 0, 10**14), CLOSED.take(slice(1800, None)))


def test_kraken_history_out_of_reach_is_said(server: VenueServer, catalog: Catalog) -> None:
    report, _ = download(server, catalog, "kraken", "BTC/USD")
    assert report.accepted == 719
    assert any("reaches back only to 2025-05-05 05:40" in note for note in report.notes)


@pytest.mark.parametrize("venue", ["binance", "bybit", "coinbase"])
def test_short_pages_and_quiet_minutes(catalog: Catalog, venue: str) -> None:
    quiet = BARS.take(np.r_[0:400, 1150:2500])
    with serve(VenueServer(quiet, open_at(BARS), short_page=130)) as server:
        report, _ = download(server, catalog, venue, VENUES[venue][0])
    assert report.accepted == 1749
    assert [gap.bars for gap in catalog.gaps(report.key)] == [750]


@pytest.mark.parametrize("venue", ["binance", "bybit", "coinbase", "kraken"])
def test_interrupted_download_goes_on_where_it_stopped(server: VenueServer, catalog: Catalog, venue: str) -> None:
    symbol = VENUES[venue][0]
    since_ms = int(BARS.ts_ms[-600])
    first_half = VenueServer(BARS.take(slice(0, 2200)), open_at(BARS.take(slice(0, 2200))))
    with serve(first_half) as earlier:
        download(earlier, catalog, venue, symbol, since_ms=since_ms)
    report, _ = download(server, catalog, venue, symbol, since_ms=since_ms)
    assert report.resumed_at_ms == int(BARS.ts_ms[2199])
    assert (report.accepted, report.unchanged) == (300, 0)
    assert_same_bars(catalog.read_bars(report.key, 0, 10**14), CLOSED.take(slice(1900, None)))


@pytest.mark.parametrize("venue", ["binance", "bybit", "coinbase", "kraken"])
def test_gaps_are_filled_from_the_venue(server: VenueServer, catalog: Catalog, venue: str) -> None:
    symbol, stored, _, _ = VENUES[venue]
    key = SeriesKey(venue, stored, MINUTE_MS)
    catalog.merge(key, CLOSED.take(np.r_[1900:2000, 2007:2400, 2401:2499]), source="file")
    clock = Clock(now=server.now_ms)
    source = CcxtSource(venue, base_url=server.url)
    source.resolve(symbol)
    report = backfill_gaps(source, catalog, key, catalog.gaps(key), pacer=Pacer(1, clock.now_ms, clock.sleep))
    assert report.accepted == 8
    assert catalog.gaps(key) == []
    assert_same_bars(catalog.read_bars(key, 0, 10**14), CLOSED.take(slice(1900, None)))


def test_unknown_symbol_names_its_neighbours_and_unknown_venue_the_known(server: VenueServer) -> None:
    with pytest.raises(DownloadError, match="BTC/USDT"):
        CcxtSource("binance", base_url=server.url).resolve("BTCEUR")
    with pytest.raises(DownloadError, match="kraken"):
        CcxtSource("nowhere")


def test_interval_the_venue_lacks_names_what_it_has(server: VenueServer) -> None:
    with pytest.raises(DownloadError, match="5m"):
        CcxtSource("kraken", base_url=server.url).fetch("BTCUSD", 3 * MINUTE_MS, MAY_4, MAY_4 + DAY_MS)


def test_refusal_is_not_retried(server: VenueServer, catalog: Catalog) -> None:
    refusal: Answer = (400, {}, {"code": -1121, "msg": "Invalid symbol."})
    server.faults = [refusal]
    with pytest.raises(DownloadError, match="Invalid symbol"):
        download(server, catalog, "binance", "BTC/USDT")
    assert len(server.candle_requests()) == 1


def test_dead_host_is_our_error_after_the_last_try(catalog: Catalog) -> None:
    with serve(VenueServer(BARS, open_at(BARS))) as server:
        url = server.url
    clock = Clock()
    source = CcxtSource("binance", base_url=url, timeout_s=2)
    with pytest.raises(DownloadError, match="tried 6 times"):
        source.load(Pacer(1, clock.now_ms, clock.sleep).call)
    assert [s for s in clock.slept if s >= 1] == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_no_request_carries_a_key(server: VenueServer, catalog: Catalog) -> None:
    for venue, (symbol, *_) in VENUES.items():
        download(server, catalog, venue, symbol, since_ms=int(BARS.ts_ms[-100]))
    names = {name.lower() for _, query in server.requests for name in query}
    assert not names & {"signature", "apikey", "api_key", "nonce", "recvwindow"}


def test_recorded_kraken_answer(catalog: Catalog) -> None:
    with zipfile.ZipFile(require_sample("payloads/nautilus_kraken.zip")) as archive:

        def load(name: str) -> Any:
            return json.loads(archive.read(next(n for n in archive.namelist() if n.endswith(name))))

        recorded = {
            "/0/public/AssetPairs": load("http_asset_pairs.json"),
            "/0/public/OHLC": load("http_ohlc.json"),
        }
    rows = recorded["/0/public/OHLC"]["result"]["XBTUSDT"]
    now_ms = rows[-1][0] * 1000 + 20_000
    with serve(VenueServer(BARS, now_ms, recorded=recorded)) as server:
        report, _ = download(server, catalog, "kraken", "BTC/USDT", since_ms=rows[0][0] * 1000)
    assert (report.accepted, report.quarantined) == (len(rows) - 1, [])
    bars = catalog.read_bars(report.key, 0, 10**14)
    assert bars.close.tolist() == [float(row[4]) for row in rows[:-1]]
    assert bars.volume.tolist() == [float(row[6]) for row in rows[:-1]]


# --- What the venues themselves once answered -----------------------------------------------------------------
def recorded_in(archive: str, **answers: str) -> dict[str, Any]:
    """Recorded answers by the names of their files; skips where this machine has none."""
    with zipfile.ZipFile(require_sample(f"payloads/{archive}.zip")) as opened:
        return {
            name: json.loads(opened.read(next(path for path in opened.namelist() if path.endswith(end))))
            for name, end in answers.items()
        }


def fetched(
    catalog: Catalog, recorded: dict[str, Any], venue: str, symbol: str, interval_ms: int, stamps: list[int]
) -> DownloadReport:
    """Downloads just the recorded bars, through ccxt and a socket; the clock stands after the last of them."""
    clock = Clock(now=max(stamps) + 2 * interval_ms)
    with serve(VenueServer(BARS, clock.now, recorded=recorded)) as server:
        source = CcxtSource(venue, base_url=server.url)
        key = SeriesKey(venue, source.resolve(symbol), interval_ms)
        pacer = Pacer(source.min_pause_ms, clock.now_ms, clock.sleep)
        end_ms = max(stamps) + interval_ms
        report = download_series(source, catalog, key, min(stamps), end_ms, pacer=pacer)
    assert report.reconciles
    return report


def test_recorded_binance_answer(catalog: Catalog) -> None:
    """One symbol and one bar, asked for as a day's."""
    found = recorded_in(
        "nautilus_binance", info="exchange_info_response.json", klines="spot/http_json/klines_response.json"
    )
    (row,) = found["klines"]
    recorded = {"/api/v3/exchangeInfo": found["info"], "/api/v3/klines": found["klines"]}
    report = fetched(catalog, recorded, "binance", "ETH/BTC", DAY_MS, [row[0]])
    assert report.key.symbol == "ETHBTC"
    assert (report.received, report.accepted, report.quarantined) == (1, 1, [])
    bars = catalog.read_bars(report.key, 0, 10**14)
    figures = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    assert [column.tolist() for column in figures] == [[float(text)] for text in row[1:6]]


def test_recorded_coinbase_answer(catalog: Catalog) -> None:
    """Newest first and every figure a text, the stamps in seconds."""
    found = recorded_in("nautilus_coinbase", products="http_products.json", candles="http_candles.json")
    base = "/api/v3/brokerage/market/products"
    recorded = {base: found["products"], f"{base}/BTC-USD/candles": found["candles"]}
    rows = sorted(found["candles"]["candles"], key=lambda row: int(row["start"]))
    stamps = [int(row["start"]) * 1000 for row in rows]
    report = fetched(catalog, recorded, "coinbase", "BTC-USD", 60 * MINUTE_MS, stamps)
    assert report.key.symbol == "BTCUSD"
    assert (report.accepted, report.quarantined) == (len(rows), [])
    bars = catalog.read_bars(report.key, 0, 10**14)
    assert bars.ts_ms.tolist() == stamps
    for name in ("open", "high", "low", "close", "volume"):
        assert getattr(bars, name).tolist() == [float(row[name]) for row in rows]
