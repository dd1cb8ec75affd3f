"""Intervals, symbols, path hints, and every way of writing a time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath

import pytest

from trading.marketdata.bars import Kind, Reason
from trading.marketdata.errors import IntervalError, TimezoneError
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS, interval_label, parse_interval, period_of
from trading.marketdata.symbols import canonical_symbol, hints_from_path, same_instrument, split_symbol
from trading.marketdata.timeparse import parse_times, parse_timezone

AT_US = int(datetime(2025, 5, 4, 15, 33, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "ms", "label"),
    [
        ("1m", MINUTE_MS, "1m"),
        ("5min", 5 * MINUTE_MS, "5m"),
        ("90m", 90 * MINUTE_MS, "90m"),
        ("60m", HOUR_MS, "1h"),
        ("daily", DAY_MS, "1d"),
        ("Minute", MINUTE_MS, "1m"),
        ("30 s", 30_000, "30s"),
    ],
)
def test_interval_is_read_and_named(text: str, ms: int, label: str) -> None:
    assert parse_interval(text) == ms
    assert interval_label(ms) == label


@pytest.mark.parametrize("text", ["7m", "0m", "1w", "1M0", "", "-1m", "2d", "abc", "1", "5h"])
def test_interval_that_tiles_no_day_is_refused(text: str) -> None:
    with pytest.raises(IntervalError):
        parse_interval(text)


def test_periods_are_days_months_and_years() -> None:
    ms = AT_US // 1000
    assert [period_of(ms, unit) for unit in ("day", "month", "year")] == ["2025-05-04", "2025-05", "2025"]


@pytest.mark.parametrize("text", ["BTC/USDT:USDT", "btc-usdt", "BTC_USDT", " btcusdt "])
def test_symbol_spellings_become_one(text: str) -> None:
    assert canonical_symbol(text) == "BTCUSDT"


def test_symbols_split_and_compare_by_instrument() -> None:
    assert split_symbol("BTCUSDT") == ("BTC", "USDT")
    assert split_symbol("SPY") is None
    assert same_instrument("BTCUSD", "BTCUSDT")
    assert same_instrument("SOL", "SOLUSD")
    assert same_instrument("SOL", "SOL1USD", loosely=True)
    assert not same_instrument("SOL", "SOL1USD")
    assert not same_instrument("BTCEUR", "BTCUSDT")
    assert not same_instrument("ETHUSDT", "BTCUSDT")


@pytest.mark.parametrize(
    ("path", "venue", "symbol", "interval_ms", "kind"),
    [
        ("data/spot/BTCUSDT-1m-2025-01.zip", None, "BTCUSDT", MINUTE_MS, None),
        ("binance/futures/um/BTCUSDT-5m-2025-01-05.zip", "binance_perp", "BTCUSDT", 5 * MINUTE_MS, None),
        ("binance_perp_1m_2025-05/ADAUSDT_1m.csv.gz", "binance_perp", "ADAUSDT", MINUTE_MS, None),
        ("x/kraken_btcusd_1m.parquet", "kraken", "BTCUSD", MINUTE_MS, None),
        ("binance/BTC_USDT-5m.feather", "binance", "BTCUSDT", 5 * MINUTE_MS, None),
        ("binance/futures/XRP_USDT_USDT-8h-mark.feather", "binance_perp", "XRPUSDT", 8 * HOUR_MS, Kind.MARK),
        ("binance_spot_5m_2024-07-25.parquet", "binance", None, 5 * MINUTE_MS, None),
        ("fx/usdjpy-m1-bid-2013.csv.gz", None, "USDJPY", MINUTE_MS, Kind.BID),
        ("somewhere/notes.csv", None, None, None, None),
    ],
)
def test_path_tells_the_series(
    path: str, venue: str | None, symbol: str | None, interval_ms: int | None, kind: Kind | None
) -> None:
    hints = hints_from_path(PurePath(path))
    assert (hints.venue, hints.symbol, hints.interval_ms, hints.kind) == (venue, symbol, interval_ms, kind)


@pytest.mark.parametrize(
    "text",
    [
        "1746372780",
        "1746372780000",
        "1746372780000000",
        "1746372780000000000",
        "1746372780.0",
        "1.74637278e9",
        "2025-05-04T15:33:00Z",
        "2025-05-04 15:33:00",
        "2025-05-04 15:33",
        "2025-05-04T15:33:00+00:00",
        "2025-05-04T18:33:00+03:00",
        "2025-05-04 15:33:00 UTC",
        "20250504 15:33",
        "20250504 15:33:00",
        "2025-05-04T15:33:00.000Z",
    ],
)
def test_every_spelling_of_a_time_is_the_same_instant(text: str) -> None:
    alone, bad = parse_times([text], UTC)
    among_others, _ = parse_times([text, "2025-05-04T15:33:00.000001Z", "1746372780"], UTC)
    assert not bad
    assert alone.tolist() == [AT_US]
    assert among_others.tolist() == [AT_US, AT_US + 1, AT_US]


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC+3", "2025-05-04 18:33:00"),
        ("-05:00", "2025-05-04 10:33:00"),
        ("Europe/Athens", "2025-05-04 18:33:00"),
    ],
)
def test_naive_times_are_read_in_the_zone_given(zone: str, text: str) -> None:
    stamps, bad = parse_times([text, text], parse_timezone(zone))
    assert not bad
    assert stamps.tolist() == [AT_US, AT_US]


def test_zone_of_the_text_beats_the_zone_given() -> None:
    stamps, _ = parse_times(["2025-05-04T15:33:00Z", "1746372780"], parse_timezone("UTC+3"))
    assert stamps.tolist() == [AT_US, AT_US]


def test_local_times_that_exist_twice_or_never_are_bad() -> None:
    berlin = parse_timezone("Europe/Berlin")
    _, bad = parse_times(["2024-10-27 02:30:00", "2024-03-31 02:30:00", "2024-03-31 03:30:00"], berlin)
    assert bad == {0: Reason.AMBIGUOUS_LOCAL_TIME, 1: Reason.AMBIGUOUS_LOCAL_TIME}


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01", "12", "05/04/2025", "9e99", "2025-05-04T25:00:00Z"])
def test_unreadable_times_are_named_not_guessed(text: str) -> None:
    stamps, bad = parse_times([text, "2025-05-04T15:33:00Z"], UTC)
    assert list(bad) == [0]
    assert stamps[1] == AT_US


@pytest.mark.parametrize("text", ["Mars/Olympus", "UTC+99", "+", "../etc/passwd", ""])
def test_unknown_zone_is_refused(text: str) -> None:
    with pytest.raises(TimezoneError):
        parse_timezone(text)
