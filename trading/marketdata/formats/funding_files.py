"""Funding rates: CSV with a rate column, LEAN's margin interest files, freqtrade's Feather, Parquet.

Rates are fractions per funding, as the venues publish them. The venue's stamps carry a few milliseconds,
which validation takes off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from trading.marketdata.bars import FIELDS, Float64s, Int64s, Kind, RawSeries, Reason
from trading.marketdata.formats.arrow_files import column_floats, column_times, read_table
from trading.marketdata.formats.base import (
    Format,
    Probe,
    ReadOptions,
    parse_floats,
    series_symbol,
    series_venue,
)
from trading.marketdata.formats.csv_text import (
    SYMBOL_NAMES,
    TIME_NAMES,
    first_of,
    recognises_csv,
    split_by_symbol,
)
from trading.marketdata.formats.textrows import TextRows, split_rows
from trading.marketdata.intervals import HOUR_MS
from trading.marketdata.symbols import canonical_symbol
from trading.marketdata.timeparse import parse_times

_RATE_NAMES = ("fundingrate", "lastfundingrate", "realizedrate")
_TIME_NAMES = ("fundingtime", "calctime", "fundingratetimestamp", *TIME_NAMES)
_LEAN_ROW = re.compile(rb"\d{8} \d{2}:\d{2}:\d{2},[-+0-9.eE]+\s*(?:\n|$)")


def recognises_funding_csv(probe: Probe) -> bool:
    if not recognises_csv(probe):
        return False
    first_line = probe.head.lstrip(b"\xef\xbb\xbf\r\n ").split(b"\n")[0]
    if _LEAN_ROW.match(first_line):
        return True
    names = [re.sub(rb"[^a-z0-9]", b"", cell) for cell in re.split(rb"[,;\t|]", first_line.lower())]
    return any(name.decode() in _RATE_NAMES for name in names) and b"close" not in names


def recognises_funding_table(probe: Probe) -> bool:
    if not (probe.is_parquet or probe.is_feather):
        return False
    if "funding_rate" in probe.path.name.lower():
        return True
    names = [_plain(name) for name in read_table(probe).column_names]
    return first_of(names, _RATE_NAMES) >= 0 and "close" not in names


def read_funding_csv(probe: Probe, options: ReadOptions) -> Iterator[RawSeries]:
    rows = split_rows(probe, probe.text, source=probe.source)
    names = [_plain(name) for name in rows.header] if rows.header else ["timestamp", "fundingrate"]
    time, rate, symbol = (first_of(names, wanted) for wanted in (_TIME_NAMES, (*_RATE_NAMES, "rate"), SYMBOL_NAMES))
    if time < 0 or rate < 0 or len(rows.columns) != len(names):
        raise probe.error(f"is no funding file: it needs a time and a rate, and has {', '.join(rows.names())}.", line=1)
    ts_us, bad_times = parse_times(rows.columns[time], options.zone_or_utc)
    rates, bad_rates = parse_floats(rows.columns[rate])
    symbols = rows.columns[symbol] if symbol >= 0 else None
    series = _series(probe, options, ts_us, rates, bad_rates | bad_times, symbols, rows.line_array(), _row_reader(rows))
    for k, one in enumerate(series):
        if k == 0:
            one.rejected = rows.rejected
        yield one


def read_funding_table(probe: Probe, options: ReadOptions) -> Iterator[RawSeries]:
    """freqtrade keeps the rate in the column ``open``."""
    table = read_table(probe)
    names = [_plain(name) for name in table.column_names]
    time, rate, symbol = (first_of(names, w) for w in (_TIME_NAMES, (*_RATE_NAMES, "open"), SYMBOL_NAMES))
    if time < 0 or rate < 0:
        raise probe.error(f"is no funding file: it needs a time and a rate, and has {', '.join(table.column_names)}.")
    ts_us, bad_times = column_times(probe, table.column(time), options)
    rates, bad_rates = column_floats(probe, table.column(rate))
    symbols = None if symbol < 0 else [str(name or "") for name in table.column(symbol).to_pylist()]

    def raw(i: int) -> Mapping[str, str]:
        return {name: str(table.column(name)[i].as_py()) for name in table.column_names}

    lines = np.arange(1, table.num_rows + 1, dtype=np.int64)
    yield from _series(probe, options, ts_us, rates, bad_rates | bad_times, symbols, lines, raw)


def _series(
    probe: Probe,
    options: ReadOptions,
    ts_us: Int64s,
    rates: Float64s,
    unreadable: dict[int, Reason],
    symbols: Sequence[str] | None,
    lines: Int64s,
    raw: Callable[[int], Mapping[str, str]],
) -> Iterator[RawSeries]:
    venue = series_venue(probe, options)
    if symbols is None:
        fallback = canonical_symbol(probe.path.name.split(".")[0]) if not probe.hints.symbol else None
        symbol = fallback if fallback and not options.symbol else series_symbol(probe, options)
        groups = [(symbol, np.arange(len(ts_us)))]
    else:
        groups = list(split_by_symbol(symbols, options.symbol))
    for symbol, where in groups:
        if not symbol:
            raise probe.error("has a row without a symbol.", line=int(lines[where[0]]))
        values = dict.fromkeys(FIELDS[:4], rates[where]) | {"volume": np.zeros(len(where))}
        yield RawSeries(
            venue=venue,
            symbol=symbol,
            kind=Kind.FUNDING,
            source=probe.source,
            path=str(probe.path),
            ts_us=ts_us[where],
            values=values,
            lines=lines[where],
            interval_ms=HOUR_MS,
            unreadable={k: unreadable[i] for k, i in enumerate(where.tolist()) if i in unreadable},
            raw_of=_at(raw, where),
        )


def _row_reader(rows: TextRows) -> Callable[[int], Mapping[str, str]]:
    return rows.raw


def _at(raw: Callable[[int], Mapping[str, str]], where: Int64s) -> Callable[[int], Mapping[str, str]]:
    return lambda i: raw(int(where[i]))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


FUNDING_CSV = Format(
    "funding-csv", "funding rates as CSV (symbol, time, rate)", recognises_funding_csv, read_funding_csv
)
FUNDING_TABLE = Format(
    "funding-table", "funding rates as Parquet or Feather", recognises_funding_table, read_funding_table
)
