"""Every bar is judged; each row ends accepted or in quarantine, and the counts add up."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
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
)
from trading.marketdata.bars import FIELDS, Bars, Kind, RawSeries, Reason, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import SourceFormatError, TimezoneSuspectedError
from trading.marketdata.formats import ReadOptions
from trading.marketdata.importer import Importer, ImportOptions
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS
from trading.marketdata.loader import load_candles
from trading.marketdata.timeparse import parse_timezone
from trading.marketdata.validation import Validated, ValidationRules, infer_interval, validate_series

BARS = make_bars(60)


def raw_of(bars: Bars, *, interval_ms: int | None = MINUTE_MS, shift_us: int = 0) -> RawSeries:
    return RawSeries(
        venue="binance",
        symbol="BTCUSDT",
        kind=Kind.TRADE,
        source="made",
        ts_us=bars.ts_ms * 1000 + shift_us,
        values={name: getattr(bars, name).copy() for name in FIELDS},
        lines=np.arange(1, len(bars) + 1),
        interval_ms=interval_ms,
    )


def judge(raw: RawSeries, **rules: object) -> Validated:
    valid = validate_series(raw, ValidationRules(now_ms=NOW_MS, **rules))  # type: ignore[arg-type]
    assert valid.rows_in == len(valid.bars) + len(valid.bad)
    assert bool((np.diff(valid.bars.ts_ms) > 0).all())
    return valid


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("open", 0.0, Reason.NON_POSITIVE_PRICE),
        ("close", -1.0, Reason.NON_POSITIVE_PRICE),
        ("high", np.nan, Reason.NOT_FINITE),
        ("low", -np.inf, Reason.NOT_FINITE),
        ("volume", np.nan, Reason.NOT_FINITE),
        ("volume", -0.001, Reason.NEGATIVE_VOLUME),
        ("high", 1.0, Reason.OHLC_INCONSISTENT),
        ("low", 1e9, Reason.OHLC_INCONSISTENT),
        ("open", 1e9, Reason.OHLC_INCONSISTENT),
    ],
)
def test_bad_value_is_quarantined_with_its_reason_and_row(field: str, value: float, reason: Reason) -> None:
    raw = raw_of(BARS)
    raw.values[field][20] = value
    valid = judge(raw)
    ((bad),) = valid.bad
    assert (bad.reason, bad.line, bad.ts_ms) == (reason, 21, int(BARS.ts_ms[20]))
    assert bad.raw[field] == repr(value)
    assert len(valid.bars) == 59


def test_stamps_off_the_grid_out_of_range_and_in_the_future() -> None:
    raw = raw_of(BARS)
    raw.ts_us[3] += 1_000_000
    raw.ts_us[4] += 7
    raw.ts_us[5] = 0
    raw.ts_us[6] = (NOW_MS + 10 * DAY_MS) * 1000
    assert {row.line: row.reason for row in judge(raw).bad} == {
        4: Reason.OFF_GRID,
        5: Reason.OFF_GRID,
        6: Reason.OUT_OF_RANGE,
        7: Reason.OUT_OF_RANGE,
    }


def test_duplicates_keep_the_first_and_say_whether_they_agree() -> None:
    doubled = Bars.concat([BARS, BARS.take(slice(10, 12))])
    raw = raw_of(doubled)
    raw.values["volume"][61] += 1
    valid = judge(raw)
    assert {row.line: row.reason for row in valid.bad} == {
        61: Reason.DUPLICATE,
        62: Reason.CONFLICTING_DUPLICATE,
    }
    assert_same_bars(valid.bars, BARS)
    last_wins = judge(raw, prefer_last=True)
    assert last_wins.bars.volume[11] == BARS.volume[11] + 1


def test_disorder_is_sorted_and_counted_and_a_reversed_file_turned() -> None:
    order = np.arange(60)
    order[[20, 21]] = [21, 20]
    valid = judge(raw_of(BARS.take(order)))
    assert_same_bars(valid.bars, BARS)
    assert valid.out_of_order == 1
    reverse = judge(raw_of(BARS.take(slice(None, None, -1))))
    assert_same_bars(reverse.bars, BARS)
    assert reverse.out_of_order == 0
    assert "newest" in reverse.notes[0]


def test_unfinished_last_bar_is_left_out_by_the_clock() -> None:
    now_ms = int(BARS.ts_ms[-1]) + 30_000
    valid = validate_series(raw_of(BARS), ValidationRules(now_ms=now_ms))
    assert [(row.reason, row.line) for row in valid.bad] == [(Reason.UNFINISHED, 60)]


def test_unfinished_last_bar_is_left_out_on_request() -> None:
    valid = judge(raw_of(BARS), last_bar_open=True)
    assert [(row.reason, row.line) for row in valid.bad] == [(Reason.UNFINISHED, 60)]


def test_file_written_before_its_last_bar_closed_gives_it_away(tmp_path: Path) -> None:
    path = write(tmp_path / "BTCUSDT_1m.csv", as_csv(BARS))
    written = int(BARS.ts_ms[-1]) / 1000 + 20
    os.utime(path, (written, written))
    (valid,) = read_file(path, venue="x")
    assert [(row.reason, row.line) for row in valid.bad] == [(Reason.UNFINISHED, 61)]
    os.utime(path, (0, 0))
    (valid,) = read_file(path, venue="x")
    assert valid.bad == []


@pytest.mark.parametrize(
    ("interval_ms", "hours", "suggestion"),
    [(DAY_MS, 3, "UTC+3"), (DAY_MS, -5, "UTC-5"), (4 * HOUR_MS, 1, "UTC+1"), (DAY_MS, 5.5, "+05:30")],
)
def test_local_time_stamps_are_refused_with_a_suggestion_that_works(
    tmp_path: Path, interval_ms: int, hours: float, suggestion: str
) -> None:
    bars = make_bars(40, interval_ms=interval_ms)
    local = Bars(bars.ts_ms + int(hours * HOUR_MS), *(getattr(bars, name) for name in FIELDS))
    path = write(tmp_path / "BTCUSDT.csv", as_csv(local).replace("Z,", ","))
    with pytest.raises(TimezoneSuspectedError, match="--timezone") as caught:
        read_file(path, venue="x", interval_ms=interval_ms)
    assert caught.value.suggestion == suggestion
    zone = parse_timezone(caught.value.suggestion)
    rules = ValidationRules(now_ms=NOW_MS, zone_given=True)
    (valid,) = read_file(path, venue="x", interval_ms=interval_ms, zone=zone, rules=rules)
    assert_same_bars(valid.bars, bars)


def test_local_stamps_taken_as_utc_on_purpose_are_quarantined() -> None:
    bars = make_bars(40, interval_ms=DAY_MS)
    valid = judge(raw_of(bars, interval_ms=DAY_MS, shift_us=3 * HOUR_MS * 1000), zone_given=True)
    assert {row.reason for row in valid.bad} == {Reason.OFF_GRID}
    assert len(valid.bad) == 40


def test_interval_is_worked_out_from_the_usual_step() -> None:
    gappy = BARS.take(np.r_[0:10, 15:40, 41:60])
    assert infer_interval(gappy.ts_ms * 1000) == MINUTE_MS
    assert judge(raw_of(gappy, interval_ms=None)).interval_ms == MINUTE_MS


def test_interval_that_cannot_be_told_is_asked_for() -> None:
    with pytest.raises(SourceFormatError, match="--interval"):
        judge(raw_of(BARS.take(slice(0, 1)), interval_ms=None))
    odd = Bars(MAY_4 + np.arange(5) * 7000, *(getattr(BARS, n)[:5] for n in FIELDS))
    with pytest.raises(SourceFormatError, match="no bar interval"):
        judge(raw_of(odd, interval_ms=None))


def test_name_that_promises_coarser_bars_is_not_believed(importer: Importer, tmp_path: Path) -> None:
    report = import_one(importer, write(tmp_path / "BTCUSDT_1h.csv", as_csv(BARS)))
    assert (report.key.interval, report.accepted) == ("1m", 60)
    assert "The name says 1h" in report.notes[0]


def test_tenfold_jump_is_remarked_on() -> None:
    raw = raw_of(BARS)
    for name in FIELDS[:4]:
        raw.values[name][30:] *= 100
    assert "price scale" in judge(raw).notes[0]


def test_import_reconciles_and_the_loader_reports_what_is_in_quarantine(
    importer: Importer, catalog: Catalog, tmp_path: Path
) -> None:
    lines = as_csv(BARS).splitlines()
    lines[11] = lines[11].replace(",", ",-", 1)
    lines[21] = lines[21] + ",extra"
    lines.insert(30, lines[29])
    report = import_one(importer, write(tmp_path / "BTCUSDT_1m.csv", "\n".join(lines)))
    assert (report.rows_in, report.accepted) == (61, 58)
    assert report.reasons == {"non_positive_price": 1, "field_count": 1, "duplicate": 1}
    assert [str(gap) for gap in report.gaps] == ["2025-05-04 00:10 (1 bar)", "2025-05-04 00:20 (1 bar)"]
    frame = load_candles(catalog, "binance", ["BTCUSDT"], "1m", MAY_4, MAY_4 + HOUR_MS)
    (coverage,) = frame.coverage
    assert [row.reason for row in coverage.quarantined] == [Reason.NON_POSITIVE_PRICE, Reason.DUPLICATE]
    assert [gap.bars for gap in coverage.missing] == [1, 1]
    assert np.isnan(frame.close[10, 0])
    again = import_one(importer, tmp_path / "BTCUSDT_1m.csv")
    assert (again.accepted, again.unchanged, len(again.quarantined)) == (0, 58, 3)
    assert catalog.require(SeriesKey("binance", "BTCUSDT", MINUTE_MS)).quarantined == 3


def test_broken_end_of_a_file_leaves_nothing_behind(importer: Importer, catalog: Catalog, tmp_path: Path) -> None:
    text = "symbol,timestamp,open,high,low,close,volume\n"
    text += "".join(f"BTCUSDT,{row}\n" for row in as_csv(BARS, header="").splitlines())
    text += "".join(f"ETHUSDT,2025-05-{4 + i:02d}T03:00:00,1,1,1,1,1\n" for i in range(5))
    path = write(tmp_path / "all.csv", text)
    with pytest.raises(TimezoneSuspectedError):
        importer.import_file(path, ImportOptions(read=ReadOptions(venue="x")))
    assert list(catalog.manifests()) == []
