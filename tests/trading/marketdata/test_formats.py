"""Every file format, in the variants that are found in the wild."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trading.marketdata.helpers import (
    MAY_4,
    NOW_MS,
    as_csv,
    assert_same_bars,
    import_one,
    make_bars,
    read_file,
    write,
    write_zip,
)
from trading.marketdata.bars import FIELDS, Bars, Kind, Reason, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import SourceFormatError, SyntheticMixError, UnknownFormatError
from trading.marketdata.formats import Probe, ReadOptions, sniff
from trading.marketdata.importer import Importer, ImportOptions, expand_paths
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from trading.marketdata.timeparse import parse_timezone
from trading.marketdata.validation import ValidationRules

BARS = make_bars(50)


def frame_of(bars: Bars) -> pd.DataFrame:
    columns: dict[str, Any] = {name: getattr(bars, name) for name in FIELDS}
    return pd.DataFrame({"date": pd.to_datetime(bars.ts_ms, unit="ms", utc=True), **columns})


@pytest.mark.parametrize("name", ["BTCUSDT_1m.csv", "BTCUSDT_1m.csv.gz"])
def test_csv_with_iso_times(tmp_path: Path, name: str) -> None:
    (valid,) = read_file(write(tmp_path / name, as_csv(BARS)), venue="binance")
    assert_same_bars(valid.bars, BARS)
    assert valid.bad == []
    assert valid.lines.tolist() == list(range(2, 52))


@pytest.mark.parametrize(
    "header",
    [
        "Open time,Open,High,Low,Close,Volume",
        "date,o,h,l,c,v",
        "UNIX,OPEN,HIGH,LOW,CLOSE,VOL",
        '"Timestamp","Open","High","Low","Close","Volume"',
        "\ufefftime,open,high,low,close,Base Volume",
    ],
)
def test_csv_header_spellings(tmp_path: Path, header: str) -> None:
    (valid,) = read_file(write(tmp_path / "BTCUSDT_1m.csv", as_csv(BARS, header=header, iso=False)), venue="x")
    assert_same_bars(valid.bars, BARS)


@pytest.mark.parametrize("unit", [1000, 1, 1 / 1000, 1 / 1_000_000])
def test_csv_without_header_in_every_epoch_unit(tmp_path: Path, unit: float) -> None:
    lines = [
        f"{int(BARS.ts_ms[i] / unit)},{as_csv(BARS, header='').splitlines()[i].split(',', 1)[1]}" for i in range(50)
    ]
    (valid,) = read_file(write(tmp_path / "BTCUSDT_1m.csv", "\n".join(lines)), venue="x")
    assert_same_bars(valid.bars, BARS)
    assert valid.lines[0] == 1


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_csv_separators_blank_lines_and_trailing_ones(tmp_path: Path, delimiter: str) -> None:
    text = as_csv(BARS).replace(",", delimiter).replace("\n", f"{delimiter}\r\n\r\n")
    (valid,) = read_file(write(tmp_path / "BTCUSDT_1m.csv", text), venue="x")
    assert_same_bars(valid.bars, BARS)
    assert valid.bad == []
    assert valid.lines[0] == 3


def test_csv_decimal_commas(tmp_path: Path) -> None:
    text = as_csv(BARS).replace(",", ";").replace(".", ",")
    (valid,) = read_file(write(tmp_path / "BTCUSDT_1m.csv", text), venue="x")
    assert_same_bars(valid.bars, BARS)


def test_csv_utf16_from_a_spreadsheet(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_1m.csv"
    path.write_bytes(as_csv(BARS).encode("utf-16"))
    (valid,) = read_file(path, venue="x")
    assert_same_bars(valid.bars, BARS)


def test_csv_with_date_and_time_columns_and_volume_by_currency(tmp_path: Path) -> None:
    rows = as_csv(BARS, header="").splitlines()
    text = "Date,Time,Open,High,Low,Close,Volume USDT,Volume BTC\n"
    for row in rows:
        when, *rest = row.split(",")
        text += ",".join([when[:10], when[11:19], *rest[:4], "999", rest[4]]) + "\n"
    (valid,) = read_file(write(tmp_path / "BTCUSDT_1m.csv", text), venue="x")
    assert_same_bars(valid.bars, BARS)


def test_csv_long_with_symbols_keeps_lines_and_bad_rows_apart(tmp_path: Path) -> None:
    other = make_bars(50, seed=9, price=5)
    first, second = as_csv(BARS, header="").splitlines(), as_csv(other, header="").splitlines()
    text = "symbol,timestamp,open,high,low,close,volume\n"
    for a, b in zip(first, second, strict=True):
        text += f"BTC/USDT,{a}\nETH-USDT,{b}\n"
    text += "ETH-USDT,2025-05-04T00:50:00Z,1,2,oops,1,1\nshort,row\n"
    btc, eth = read_file(write(tmp_path / "all_1m.csv", text), venue="x")
    assert_same_bars(btc.bars, BARS)
    assert_same_bars(eth.bars, other)
    assert [(row.reason, row.line) for row in btc.bad] == [(Reason.FIELD_COUNT, 103)]
    assert [(row.reason, row.line, row.raw["low"]) for row in eth.bad] == [(Reason.UNPARSABLE, 102, "oops")]
    assert btc.rows_in + eth.rows_in == 102


def test_csv_wide_closes_skip_days_before_listing(tmp_path: Path) -> None:
    text = "Date;BTC-USD;NEW-USD\n2024-01-01;40000.5;\n2024-01-02;41000;1.5\n2024-01-03;42000;1.6\n"
    btc, new = read_file(write(tmp_path / "closes.csv", text), venue="yahoo")
    assert btc.bars.close.tolist() == [40000.5, 41000.0, 42000.0]
    assert new.bars.close.tolist() == new.bars.open.tolist() == [1.5, 1.6]
    assert new.interval_ms == DAY_MS


def test_csv_closing_times_are_moved_to_the_opening(tmp_path: Path) -> None:
    bars = make_bars(20, interval_ms=DAY_MS)
    text = as_csv(Bars(bars.ts_ms + DAY_MS - 1000, *(getattr(bars, n) for n in FIELDS)))
    (valid,) = read_file(write(tmp_path / "BTCUSDT_1d.csv", text), venue="x")
    assert_same_bars(valid.bars, bars)
    assert "closing times" in valid.notes[0]
    text = as_csv(Bars(BARS.ts_ms + MINUTE_MS, *(getattr(BARS, n) for n in FIELDS)))
    rules = ValidationRules(now_ms=NOW_MS, stamp="close")
    (valid,) = read_file(write(tmp_path / "BTCUSDT_1m.csv", text), venue="x", rules=rules)
    assert_same_bars(valid.bars, BARS)
    (valid,) = read_file(write(tmp_path / "BTCUSDT_1m.csv", text.replace("timestamp", "close_time", 1)), venue="x")
    assert_same_bars(valid.bars, BARS)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a,b,c\n1,2,3\n", "no time column", 1),
        ("timestamp,open,high\n2025-05-04,1,2\n", "no column for low, close", 1),
        ("1,2\n", "2 column", 1),
        ("\n\n", "is empty", None),
        ("timestamp,open,high,low,close,volume\n", "holds no candles", None),
        ('timestamp,open\n"' + "x" * 200_000 + "\n", "cannot be read as CSV", 2),
    ],
)
def test_csv_errors_name_file_and_line(importer: Importer, tmp_path: Path, text: str, message: str, line: int) -> None:
    path = write(tmp_path / "BTCUSDT_1m.csv", text)
    with pytest.raises(SourceFormatError, match=message) as caught:
        importer.import_file(path, ImportOptions(read=ReadOptions(venue="x")))
    assert str(path) in caught.value.message
    assert caught.value.line == line


def test_csv_that_is_not_text_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT_1m.csv"
    path.write_bytes(b"timestamp,open,high,low,close\n2025-05-04,1,2,\xff\xfe,3\n")
    with pytest.raises(SourceFormatError, match=r"csv:2: is not UTF-8"):
        read_file(path, venue="x")


def test_file_without_venue_or_symbol_asks_for_them(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="--venue"):
        read_file(write(tmp_path / "BTCUSDT_1m.csv", as_csv(BARS)))
    with pytest.raises(SourceFormatError, match="--symbol"):
        read_file(write(tmp_path / "x.csv", as_csv(BARS)), venue="binance")


@pytest.mark.parametrize("microseconds", [False, True])
@pytest.mark.parametrize("header", [False, True])
def test_binance_archives_of_all_years(tmp_path: Path, microseconds: bool, header: bool) -> None:
    scale = 1000 if microseconds else 1
    lines = []
    for i, row in enumerate(as_csv(BARS, header="").splitlines()):
        ts = int(BARS.ts_ms[i]) * scale
        values = row.split(",")[1:]
        close = ts + 60_000 * scale - 1
        lines.append(",".join([str(ts), *values, str(close), "1000.5", "12", "3.5", "350.1", "0"]))
    names = "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    names += "taker_buy_volume,taker_buy_quote_volume,ignore"
    path = write_zip(
        tmp_path / "BTCUSDT-1m-2025-05.zip",
        "BTCUSDT-1m-2025-05.csv",
        "\n".join([names, *lines] if header else lines),
    )
    probe = Probe(path)
    assert sniff(probe).name == "binance-zip"
    (raw,) = sniff(probe).read(probe, ReadOptions())
    assert (raw.venue, raw.symbol, raw.interval_ms) == ("binance", "BTCUSDT", MINUTE_MS)
    (valid,) = read_file(path)
    assert_same_bars(valid.bars, BARS)


def test_binance_archive_with_units_changing_inside(tmp_path: Path) -> None:
    lines = []
    for i, row in enumerate(as_csv(BARS, header="").splitlines()):
        ts = int(BARS.ts_ms[i]) * (1000 if i >= 25 else 1)
        lines.append(",".join([str(ts), *row.split(",")[1:], "0", "0", "0", "0", "0", "0"]))
    path = write_zip(tmp_path / "BTCUSDT-1m-2025-05.zip", "BTCUSDT-1m-2025-05.csv", "\n".join(lines))
    (valid,) = read_file(path)
    assert_same_bars(valid.bars, BARS)


def test_binance_weekly_archive_is_refused_with_a_reason(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "BTCUSDT-1w-2025-05.zip", "BTCUSDT-1w-2025-05.csv", "1,2,3\n")
    with pytest.raises(SourceFormatError, match="1w"):
        read_file(path)


@pytest.mark.parametrize("unit", ["ms", "ns", "us", "s"])
def test_freqtrade_feather(tmp_path: Path, unit: str) -> None:
    frame = frame_of(BARS)
    frame["date"] = frame["date"].astype(f"datetime64[{unit}, UTC]")  # type: ignore[call-overload]
    path = tmp_path / "binance" / "futures" / "BTC_USDT_USDT-1m-futures.feather"
    path.parent.mkdir(parents=True)
    frame.to_feather(path)
    probe = Probe(path)
    (raw,) = sniff(probe).read(probe, ReadOptions())
    assert (raw.venue, raw.symbol, raw.interval_ms) == ("binance_perp", "BTCUSDT", MINUTE_MS)
    (valid,) = read_file(path)
    assert_same_bars(valid.bars, BARS)


@pytest.mark.parametrize("name", ["BTC_USDT-1m.json", "BTC_USDT-1m.json.gz"])
def test_freqtrade_json(tmp_path: Path, name: str) -> None:
    rows: list[Any] = [[int(BARS.ts_ms[i]), *(float(getattr(BARS, n)[i]) for n in FIELDS)] for i in range(50)]
    rows += [[1, 2], "x", None]
    (valid,) = read_file(write(tmp_path / name, json.dumps(rows)), venue="binance")
    assert_same_bars(valid.bars, BARS)
    assert [(row.reason, row.line) for row in valid.bad] == [(Reason.FIELD_COUNT, n) for n in (51, 52, 53)]


@pytest.mark.parametrize("content", ["[1, 2", "[" * 100_000, '{"a": 1}'])
def test_broken_json_is_our_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceFormatError):
        read_file(write(tmp_path / "BTC_USDT-1m.json", content), venue="binance")


@pytest.mark.parametrize("kind", ["timestamp", "integer", "text", "naive"])
def test_parquet_with_every_kind_of_time(tmp_path: Path, kind: str) -> None:
    frame = frame_of(BARS).rename(columns={"date": "timestamp"})
    if kind == "integer":
        frame["timestamp"] = BARS.ts_ms
    elif kind == "text":
        frame["timestamp"] = frame["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    elif kind == "naive":
        frame["timestamp"] = frame["timestamp"].dt.tz_localize(None)
    path = tmp_path / "kraken_btcusd_1m.parquet"
    frame.to_parquet(path)
    (valid,) = read_file(path)
    assert_same_bars(valid.bars, BARS)


def test_parquet_long_with_dictionary_symbols_nulls_and_decimals(tmp_path: Path) -> None:
    a, b = frame_of(BARS), frame_of(make_bars(50, seed=4))
    a["symbol"], b["symbol"] = "BTCUSDT", "ETHUSDT"
    table = pa.Table.from_pandas(pd.concat([a, b], ignore_index=True))
    table = table.set_column(table.schema.get_field_index("symbol"), "symbol", table["symbol"].dictionary_encode())
    closes = table["close"].to_pylist()
    closes[3] = None
    table = table.set_column(table.schema.get_field_index("close"), "close", pa.array(closes, pa.float64()))
    pq.write_table(table, tmp_path / "all_1m.parquet")
    btc, eth = read_file(tmp_path / "all_1m.parquet", venue="binance")
    assert [(row.reason, row.line, row.raw["close"]) for row in btc.bad] == [(Reason.MISSING_VALUE, 4, "None")]
    assert (len(btc.bars), len(eth.bars)) == (49, 50)


def test_part_of_a_catalog_can_be_imported_and_keeps_its_label(
    tmp_path: Path, catalog: Catalog, importer: Importer
) -> None:
    from_catalog = Catalog.open(str(tmp_path / "other"))
    key_parts = [("binance", False), ("synthetic", True)]
    for venue, synthetic in key_parts:
        source = make_bars(30)
        manifest = from_catalog.merge(
            SeriesKey(venue, "BTCUSDT", MINUTE_MS), source, source="x", synthetic=synthetic
        ).manifest
        path = tmp_path / "other" / manifest.parts[0].path
        report = import_one(importer, path, ImportOptions())
        assert (report.key.venue, report.key.synthetic, report.accepted) == (venue, synthetic, 30)
    with pytest.raises(SyntheticMixError):
        importer.import_file(path, ImportOptions(read=ReadOptions(venue="binance")))


def lean_minutes(bars: Bars) -> str:
    rows = as_csv(bars, header="").splitlines()
    return "\n".join(f"{int(bars.ts_ms[i]) % DAY_MS},{row.split(',', 1)[1]}" for i, row in enumerate(rows))


def test_lean_minute_trades(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "crypto/binance/minute/btcusdt/20250504_trade.zip",
        "20250504_btcusdt_minute_trade.csv",
        lean_minutes(BARS),
    )
    (valid,) = read_file(path)
    assert_same_bars(valid.bars, BARS)


def test_lean_quotes_become_bid_and_ask(tmp_path: Path) -> None:
    text = "0,10,12,9,11,5,10.1,12.1,9.1,11.1,6\n60000,11,12,9,11,5,,,,,\n"
    path = write_zip(
        tmp_path / "cryptofuture/bybit/minute/btcusdt/20250504_quote.zip",
        "20250504_btcusdt_minute_quote_perp.csv",
        text,
    )
    probe = Probe(path)
    series = list(sniff(probe).read(probe, ReadOptions()))
    assert [(s.kind, s.venue) for s in series] == [(Kind.BID, "bybit_perp"), (Kind.ASK, "bybit_perp")]
    bid, ask = read_file(path)
    assert bid.bars.close.tolist() == [11.0, 11.0]
    assert ask.bars.close.tolist() == [11.1]
    assert [(row.reason, row.line) for row in ask.bad] == [(Reason.MISSING_VALUE, 2)]


def test_lean_inverse_perpetuals_are_a_market_of_their_own(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "cryptofuture/binance/minute/btcusd/20250504_trade.zip",
        "20250504_btcusd_minute_trade_perp.csv",
        lean_minutes(BARS),
    )
    probe = Probe(path)
    assert [s.venue for s in sniff(probe).read(probe, ReadOptions())] == ["binance_inverse"]


def test_lean_hours_and_days(tmp_path: Path) -> None:
    text = "20250504 00:00,1,2,0.5,1.5,7\n20250504 01:00,1.5,2,0.5,1,8\n"
    hour = write_zip(tmp_path / "crypto/kraken/hour/btcusd_trade.zip", "btcusd.csv", text)
    (valid,) = read_file(hour)
    assert (valid.interval_ms, valid.bars.ts_ms.tolist()) == (HOUR_MS, [MAY_4, MAY_4 + HOUR_MS])
    day = write_zip(
        tmp_path / "equity/usa/daily/spy.zip", "spy.csv", "20250502 00:00,5600000,5700000,5500000,5650000,7\n"
    )
    (valid,) = read_file(day)
    assert valid.bars.close.tolist() == [565.0]
    assert valid.bars.ts_ms.tolist() == [MAY_4 - 2 * DAY_MS]
    assert any("10,000" in note for note in valid.notes)


def test_folder_above_daily_is_a_market_only_when_it_is_one(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "data/daily/spy_1d.zip", "spy.csv", "20250502 00:00,5600000,5700000,5500000,5650000,7\n"
    )
    with pytest.raises(SourceFormatError, match="--venue"):
        read_file(path)
    (valid,) = read_file(path, venue="usa")
    assert valid.bars.close.tolist() == [565.0]
    gdax = write_zip(tmp_path / "gdax/daily/btcusd_trade.zip", "btcusd.csv", "20180502 00:00,9,9,9,9,7\n")
    probe = Probe(gdax)
    assert [s.venue for s in sniff(probe).read(probe, ReadOptions())] == ["coinbase"]


def test_lean_fxcm_times_are_fixed_utc_minus_5(tmp_path: Path) -> None:
    quote = "0,1.1,1.1,1.1,1.1,0,1.2,1.2,1.2,1.2,0\n"
    member = "20250504_eurusd_minute_quote.csv"
    fxcm = write_zip(tmp_path / "forex/fxcm/minute/eurusd/20250504_quote.zip", member, quote)
    oanda = write_zip(tmp_path / "forex/oanda/minute/eurusd/20250504_quote.zip", member, quote)
    assert [v.bars.ts_ms.tolist() for v in read_file(fxcm)] == [[MAY_4 + 5 * HOUR_MS]] * 2
    assert [v.bars.ts_ms.tolist() for v in read_file(oanda)] == [[MAY_4]] * 2
    forced = read_file(fxcm, zone=parse_timezone("UTC"))
    assert forced[0].bars.ts_ms.tolist() == [MAY_4]


def test_lean_milliseconds_outside_the_day_are_bad(tmp_path: Path) -> None:
    text = "0,1,2,0.5,1.5,7\n86400000,1,2,0.5,1.5,7\n-60000,1,2,0.5,1.5,7\nx,1,2,0.5,1.5,7\n"
    path = write_zip(
        tmp_path / "crypto/binance/minute/btcusdt/20250504_trade.zip",
        "20250504_btcusdt_minute_trade.csv",
        text,
    )
    (valid,) = read_file(path)
    assert len(valid.bars) == 1
    assert [row.line for row in valid.bad] == [2, 3, 4]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", b"PK\x03\x04 broken"),
        ("a.csv.gz", gzip.compress(b"x" * 10_000, mtime=0)[:-20]),
        ("a.parquet", b"PAR1" + b"x" * 100),
        ("a.feather", b"ARROW1" + b"x" * 100),
        ("a.csv", b""),
        ("a.bin", b"\x00\x01\x02" * 100),
    ],
    ids=["zip", "gzip", "parquet", "feather", "empty", "binary"],
)
def test_damaged_files_are_our_errors(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceFormatError, match=str(path)):
        read_file(path, venue="x", symbol="BTCUSDT")


def test_unknown_format_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormatError, match="binance-zip"):
        sniff(Probe(write(tmp_path / "a.csv", "x")), "xls")


def test_folders_expand_to_their_data_files(tmp_path: Path) -> None:
    wanted = [write(tmp_path / "d" / name, "x") for name in ("a.csv", "b.zip", "sub/c.json.gz")]
    write(tmp_path / "d" / "README.md", "x")
    assert expand_paths([tmp_path / "d"]) == wanted
    with pytest.raises(SourceFormatError, match="does not exist"):
        expand_paths([tmp_path / "nowhere"])
    np.testing.assert_equal(len(expand_paths([wanted[0]])), 1)
