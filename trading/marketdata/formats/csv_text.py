"""CSV and csv.gz candles: many spellings of the header, several separators, long, single-symbol and wide
files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trading.marketdata.bars import FIELDS, Float64s, Int64s, Kind, RawSeries, Reason
from trading.marketdata.formats.base import (
    Format,
    Probe,
    ReadOptions,
    decode_text,
    parse_floats,
    series_symbol,
    series_venue,
)
from trading.marketdata.formats.textrows import TextRows, split_rows
from trading.marketdata.symbols import canonical_symbol, split_symbol
from trading.marketdata.timeparse import parse_times

# Spellings after removing everything but letters and digits. In order of preference.
TIME_NAMES = (
    "timestamp", "opentime", "unix", "unixtime", "unixtimestamp", "ts", "timems", "timestampms", "datetime",
    "time", "candletime",
    "date", "start", "starttime", "begin", "opentimestamp", "gmttime", "utctime", "datetimeutc", "t",
)  # fmt: skip
CLOSE_TIME_NAMES = ("closetime", "timeclose", "endtime", "closetimestamp")
VALUE_NAMES = {
    "open": ("open", "o", "openprice", "1open"),
    "high": ("high", "h", "highprice", "2high", "max"),
    "low": ("low", "l", "lowprice", "3low", "min"),
    "close": ("close", "c", "closeprice", "4close", "last", "price"),
    "volume": ("volume", "vol", "v", "basevolume", "5volume", "amount", "qty", "quantity"),
}
SYMBOL_NAMES = ("symbol", "pair", "ticker", "instrument", "market", "product", "productid", "instid", "coin")
_BINANCE_WIDTHS = (11, 12)
_TICKER = re.compile(r"[A-Z0-9^=.]{1,12}(?:[-/_][A-Z0-9]{3,5})?")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column holds what; -1 where there is none. ``wide`` are columns that each hold one symbol's
    closes.
    """

    time: tuple[int, ...]
    values: dict[str, int]
    symbol: int = -1
    wide: tuple[int, ...] = ()
    close_stamped: bool = False


def recognises_csv(probe: Probe) -> bool:
    if probe.is_parquet or probe.is_feather:
        return False
    if probe.is_zip:
        return len(probe.members) == 1 and probe.members[0].lower().endswith((".csv", ".txt"))
    head = probe.head
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16, as spreadsheets write it
        return True
    return bool(head.strip()) and b"\x00" not in head[:1024] and head.lstrip()[:1] not in (b"[", b"{")


def read_csv(probe: Probe, options: ReadOptions) -> Iterator[RawSeries]:
    """Series of a CSV file; raises SourceFormatError where it has no time or price column."""
    text = decode_text(probe, probe.plain)
    rows = split_rows(probe, text, source=probe.source)
    layout = find_layout(probe, rows, options)
    if layout.wide:
        yield from _read_wide(probe, options, rows, layout)
        return
    venue = series_venue(probe, options)
    decimal_comma = _decimal_comma(rows, layout)
    ts_us, values, unreadable = read_columns(rows, layout, options, decimal_comma=decimal_comma)
    notes = [] if layout.values["volume"] >= 0 else ["The file has no volume: stored as 0."]
    kind = options.kind or probe.hints.kind or Kind.TRADE
    lines = rows.line_array()

    def series(symbol: str, where: Int64s) -> RawSeries:
        chosen = set(where.tolist()) if len(where) != len(lines) else None
        return RawSeries(
            venue=venue,
            symbol=symbol,
            kind=kind,
            source=probe.source,
            path=str(probe.path),
            ts_us=ts_us[where],
            values={name: column[where] for name, column in values.items()},
            lines=lines[where],
            interval_ms=options.interval_ms or probe.hints.interval_ms,
            unreadable=(
                unreadable
                if chosen is None
                else {k: unreadable[i] for k, i in enumerate(where.tolist()) if i in unreadable}
            ),
            raw_of=lambda i: rows.raw(int(where[i])),
            notes=list(notes),
            close_stamped=layout.close_stamped,
            written_ms=probe.written_ms,
        )

    if layout.symbol < 0:
        only = series(series_symbol(probe, options), np.arange(len(rows)))
        only.rejected = rows.rejected
        yield only
        return
    found = list(split_by_symbol(rows.columns[layout.symbol], options.symbol))
    if not found and rows.rejected:
        raise probe.error("has no readable row.", line=rows.rejected[0].line)
    for k, (symbol, where) in enumerate(found):
        one = series(symbol, where)
        if k == 0:
            one.rejected = rows.rejected
        if not symbol:
            raise probe.error("has a row without a symbol.", line=int(lines[where[0]]))
        yield one


def split_by_symbol(names: Sequence[str], only: str | None) -> Iterator[tuple[str, Int64s]]:
    """Row numbers of each symbol, in order of first appearance."""
    wanted = canonical_symbol(only) if only else None
    spelled, inverse = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
    canonical = [canonical_symbol(name) for name in spelled.tolist()]
    order = sorted(set(canonical), key=canonical.index)
    codes = np.array([order.index(name) for name in canonical], np.int64)[inverse] if len(names) else inverse
    for code, symbol in enumerate(order):
        if wanted is None or symbol == wanted:
            yield symbol, np.flatnonzero(codes == code)


def read_columns(
    rows: TextRows, layout: Layout, options: ReadOptions, *, decimal_comma: bool
) -> tuple[Int64s, dict[str, Float64s], dict[int, Reason]]:
    times = rows.columns[layout.time[0]]
    if len(layout.time) == 2:
        times = [
            f"{day.strip()} {clock.strip()}" for day, clock in zip(times, rows.columns[layout.time[1]], strict=True)
        ]
    ts_us, unreadable = parse_times(times, options.zone_or_utc)
    values: dict[str, Float64s] = {}
    for name in FIELDS:
        index = layout.values[name]
        if index < 0:
            values[name] = np.zeros(len(rows)) if name == "volume" else np.full(len(rows), np.nan)
            continue
        values[name], bad = parse_floats(rows.columns[index], decimal_comma=decimal_comma)
        unreadable = bad | unreadable
    if options.price_scale:
        for name in FIELDS[:4]:
            values[name] = values[name] / options.price_scale
    return ts_us, values, unreadable


def find_layout(probe: Probe, rows: TextRows, options: ReadOptions) -> Layout:
    width = len(rows.columns)
    if rows.header is None:
        if width in _BINANCE_WIDTHS or width in (6, 7, 8):
            return Layout((0,), {name: 1 + i for i, name in enumerate(FIELDS)})
        if width == 5:
            return Layout((0,), {name: 1 + i if name != "volume" else -1 for i, name in enumerate(FIELDS)})
        raise probe.error(
            f"has no header and {width} column(s): candles have a time and four prices at least.",
            line=rows.lines[0] if rows.lines else None,
        )
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in rows.header]
    values = {name: first_of(names, spellings) for name, spellings in VALUE_NAMES.items()}
    time, close_stamped = _time_columns(names, rows)
    if not time:
        raise probe.error(f"has no time column; the header is: {', '.join(rows.header)[:200]}.", line=1)
    if values["volume"] < 0:
        values["volume"] = _volume_by_currency(names, probe, options)
    have = [name for name in FIELDS[:4] if values[name] >= 0]
    if len(have) == 4:
        return Layout(time, values, first_of(names, SYMBOL_NAMES), close_stamped=close_stamped)
    wide = tuple(
        i for i in range(width) if i not in time and _TICKER.fullmatch(rows.header[i]) and _numeric(rows.columns[i])
    )
    if not have and wide:
        return Layout(time, values, wide=wide)
    lacking = ", ".join(name for name in FIELDS[:4] if values[name] < 0)
    raise probe.error(f"has no column for {lacking}; the header is: {', '.join(rows.header)[:200]}.", line=1)


def _time_columns(names: list[str], rows: TextRows) -> tuple[tuple[int, ...], bool]:
    day, clock = first_of(names, ("date", "day")), first_of(names, ("time", "hour"))
    chosen = first_of(names, TIME_NAMES)
    if day >= 0 and clock >= 0 and chosen in (day, clock):
        sample = rows.columns[day][0].strip() if len(rows) else ""
        return ((day,) if " " in sample or "T" in sample else (day, clock)), False
    if chosen >= 0:
        return (chosen,), False
    closing = first_of(names, CLOSE_TIME_NAMES)
    return ((closing,), True) if closing >= 0 else ((), False)


def _volume_by_currency(names: list[str], probe: Probe, options: ReadOptions) -> int:
    """ "Volume BTC" and "Volume USDT" side by side: the base asset's is meant."""
    candidates = [i for i, name in enumerate(names) if name.startswith("volume")]
    pair = split_symbol(canonical_symbol(options.symbol or probe.hints.symbol or ""))
    for i in candidates:
        if pair and names[i] == f"volume{pair[0].lower()}":
            return i
    return candidates[0] if candidates else -1


def _read_wide(probe: Probe, options: ReadOptions, rows: TextRows, layout: Layout) -> Iterator[RawSeries]:
    venue = series_venue(probe, options)
    ts_us, bad_times = parse_times(rows.columns[layout.time[0]], options.zone_or_utc)
    lines = rows.line_array()
    names = rows.names()
    for k, index in enumerate(layout.wide):
        symbol = canonical_symbol(names[index])
        if options.symbol and symbol != canonical_symbol(options.symbol):
            continue
        texts = rows.columns[index]
        where = np.flatnonzero(np.array([bool(text.strip()) for text in texts], np.bool_))
        close, bad = parse_floats([texts[i] for i in where.tolist()])
        unreadable = bad | {j: bad_times[i] for j, i in enumerate(where.tolist()) if i in bad_times}
        yield RawSeries(
            venue=venue,
            symbol=symbol,
            kind=Kind.CLOSE,
            source=probe.source,
            path=str(probe.path),
            ts_us=ts_us[where],
            values=dict.fromkeys(FIELDS[:4], close) | {"volume": np.zeros(len(where))},
            lines=lines[where],
            interval_ms=options.interval_ms or 86_400_000,
            unreadable=unreadable,
            raw_of=_wide_raw(names, rows, layout.time[0], index, where),
            rejected=rows.rejected if k == 0 else [],
            notes=["Closes only: open, high and low repeat them."],
            written_ms=probe.written_ms,
        )


def _wide_raw(
    names: list[str], rows: TextRows, time: int, index: int, where: Int64s
) -> Callable[[int], Mapping[str, str]]:
    def raw(i: int) -> dict[str, str]:
        row = int(where[i])
        return {names[time]: rows.columns[time][row], names[index]: rows.columns[index][row]}

    return raw


def _numeric(column: Sequence[str]) -> bool:
    filled = [text for text in column if text.strip()][:200]
    return bool(filled) and all(_is_float(text) or text.strip().lower() in {"n/a", "nan"} for text in filled)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _decimal_comma(rows: TextRows, layout: Layout) -> bool:
    if not len(rows):
        return False
    cells = [rows.columns[layout.values[name]][0] for name in FIELDS[:4]]
    return any("," in cell for cell in cells) and not any("." in cell for cell in cells)


def first_of(names: Sequence[str], wanted: Sequence[str]) -> int:
    return next((names.index(name) for name in wanted if name in names), -1)


CSV = Format(
    "csv",
    "CSV or csv.gz with a header, or headerless time, open, high, low, close, volume",
    recognises_csv,
    read_csv,
)
