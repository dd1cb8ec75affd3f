"""Random garbage: readers raise our errors or account for every row, and nothing else happens."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trading.marketdata.helpers import NOW_MS, MemoryStorage, as_csv, make_bars
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import MarketDataError
from trading.marketdata.formats import FORMATS, ReadOptions
from trading.marketdata.importer import Importer, ImportOptions
from trading.marketdata.intervals import MINUTE_MS

CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            "nan",
            "inf",
            "-inf",
            "0",
            "-1",
            "1e400",
            "1_000",
            "N/A",
            "null",
            "1,5",
            '"',
            "2025-05-04T00:00:00Z",
            "9" * 30,
        ]
    ),
    st.floats(width=32).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.datetimes().map(str),
    st.text(max_size=8),
)
HEADERS = st.sampled_from(
    [
        "timestamp,open,high,low,close,volume",
        "symbol,date,open,high,low,close",
        "Date;A-USD;B",
        "symbol,timestamp,funding_rate",
        "close_time,o,h,l,c,v",
        "",
    ]
)
NAMES = st.sampled_from(
    [
        "BTCUSDT_1m.csv",
        "BTC_USDT-5m.json",
        "x.parquet",
        "binance/minute/btcusdt/20250504_trade.zip",
        "fxcm/hour/eurusd.zip",
        "BTCUSDT-1m-2025-05.zip",
        "BTC_USDT-8h-funding_rate.csv.gz",
    ]
)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(content: bytes, name: str, options: ImportOptions | None = None) -> None:
    """Imports bytes under a name; whatever comes out must reconcile and be readable again."""
    catalog = Catalog(MemoryStorage())
    importer = Importer(catalog, now_ms=NOW_MS)
    path = Path("/nowhere") / name
    chosen = options or ImportOptions(read=ReadOptions(venue="x", symbol="BTCUSDT", interval_ms=MINUTE_MS))
    try:
        reports = importer.import_file(path, chosen, content=content)
    except MarketDataError as error:
        assert error.message
        return
    for report in reports:
        assert report.reconciles
        assert len(catalog.read_bars(report.key, 0, 2**62)) == report.accepted
        filed = {digest for digest, _ in catalog.quarantine(report.key)}
        assert {row.digest(str(report.key)) for row in report.quarantined} == filed
    for report, again in zip(reports, importer.import_file(path, chosen, content=content), strict=True):
        assert (again.accepted, again.unchanged) == (0, report.accepted)


@SETTINGS
@given(st.binary(max_size=400), NAMES)
def test_any_bytes_under_any_name(content: bytes, name: str) -> None:
    run(content, name)


@SETTINGS
@given(st.binary(max_size=200), st.sampled_from([fmt.name for fmt in FORMATS]), NAMES)
def test_any_bytes_in_a_format_by_force(content: bytes, format_name: str, name: str) -> None:
    run(content, name, ImportOptions(read=ReadOptions(venue="x", symbol="BTCUSDT"), format=format_name))


@SETTINGS
@given(HEADERS, st.lists(st.lists(CELLS, min_size=1, max_size=8), max_size=12), st.sampled_from(",;\t"), NAMES)
def test_any_table(header: str, rows: list[list[str]], delimiter: str, name: str) -> None:
    lines = [header.replace(",", delimiter)] + [delimiter.join(row) for row in rows]
    content = "\n".join(lines).encode("utf-8", "replace")
    run(content, name)
    run(gzip.compress(content), name)


@SETTINGS
@given(st.integers(0, 59), st.integers(0, 5), CELLS)
def test_any_cell_of_a_good_file_replaced(row: int, column: int, cell: str) -> None:
    lines = [line.split(",") for line in as_csv(make_bars(60)).splitlines()]
    lines[row + 1][column] = cell
    run("\n".join(",".join(line) for line in lines).encode("utf-8", "replace"), "BTCUSDT_1m.csv")


@SETTINGS
@given(st.lists(st.lists(CELLS.filter(lambda c: not set('"\r\n') & set(c)), min_size=6, max_size=6), max_size=12))
def test_quick_and_patient_ways_of_splitting_agree(rows: list[list[str]]) -> None:
    header = "timestamp,open,high,low,close,volume"
    good = as_csv(make_bars(3), header="").strip().split("\n")
    body = "\n".join([*good, *(",".join(row) for row in rows)])
    found: list[tuple[object, object]] = []
    for first_line in (
        header,
        header.replace("open", '"open"'),
    ):  # one quote in the file takes the patient way
        importer = Importer(Catalog(MemoryStorage()), now_ms=NOW_MS)
        options = ImportOptions(read=ReadOptions(venue="x", symbol="BTCUSDT", interval_ms=MINUTE_MS))
        content = f"{first_line}\n{body}\n".encode("utf-8", "replace")
        try:
            (report,) = importer.import_file(Path("/nowhere/a.csv"), options, content=content)
        except MarketDataError as error:
            found.append(("error", error.message))
            continue
        filed = [(row.reason, row.line, dict(row.raw)) for row in report.quarantined]
        found.append((report.accepted, filed))
    assert found[0] == found[1]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=30,
)


@SETTINGS
@given(st.lists(JSON, max_size=8))
def test_any_json(document: list[object]) -> None:
    run(json.dumps(document).encode(), "BTC_USDT-1m.json")


@SETTINGS
@given(
    st.lists(st.lists(CELLS, min_size=1, max_size=12), max_size=6),
    NAMES,
    st.sampled_from(["BTCUSDT-1m-2025-05.csv", "20250504_btcusdt_minute_trade.csv", "btcusdt.csv"]),
)
def test_any_zip(rows: list[list[str]], name: str, member: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "\n".join(",".join(row) for row in rows).encode("utf-8", "replace"))
    run(buffer.getvalue(), name)
