"""Binance's public kline archives: ``SYMBOL-INTERVAL-YYYY-MM[-DD].zip`` with one CSV of twelve columns.

Spot files carry milliseconds until the end of 2024 and microseconds since; files of futures have a header
since 2022. Source: https://github.com/binance/binance-public-data (README, "Klines").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from trading.marketdata.bars import FIELDS, Kind, RawSeries
from trading.marketdata.errors import IntervalError
from trading.marketdata.formats.base import Format, Probe, ReadOptions, decode_text
from trading.marketdata.formats.csv_text import Layout, read_columns
from trading.marketdata.formats.textrows import split_rows
from trading.marketdata.intervals import parse_interval
from trading.marketdata.symbols import canonical_symbol

_MEMBER = re.compile(r"(?:.*/)?([A-Z0-9_]+)-(\d{1,2}(?:s|m|h|d|w|mo))-\d{4}-\d{2}(?:-\d{2})?\.csv")
_LAYOUT = Layout((0,), {name: 1 + i for i, name in enumerate(FIELDS)})


def recognises_binance_zip(probe: Probe) -> bool:
    return probe.is_zip and any(_MEMBER.fullmatch(name) for name in probe.members)


def read_binance_zip(probe: Probe, options: ReadOptions) -> Iterator[RawSeries]:
    for name in probe.members:
        match = _MEMBER.fullmatch(name)
        if match is None:
            continue
        try:
            interval_ms = options.interval_ms or parse_interval(match[2])
        except IntervalError as error:
            raise probe.error(f"{name} holds {match[2]} bars: {error.message}") from error
        rows = split_rows(probe, decode_text(probe, probe.member(name)), source=probe.source, widths=(11, 12))
        ts_us, values, unreadable = read_columns(rows, _LAYOUT, replace(options, zone=None), decimal_comma=False)
        symbol = canonical_symbol(options.symbol or match[1].removesuffix("_PERP"))
        yield RawSeries(
            venue=options.venue or probe.hints.venue or ("binance_inverse" if "_PERP" in match[1] else "binance"),
            symbol=symbol,
            kind=options.kind or _kind(probe),
            source=probe.source,
            path=str(probe.path),
            ts_us=ts_us,
            values=values,
            lines=rows.line_array() if len(rows) else np.empty(0, np.int64),
            interval_ms=interval_ms,
            unreadable=unreadable,
            raw_of=rows.raw,
            rejected=rows.rejected,
        )


def _kind(probe: Probe) -> Kind:
    folders = {part.lower() for part in probe.path.parts[:-1]}
    if "markpriceklines" in folders:
        return Kind.MARK
    return Kind.INDEX if "indexpriceklines" in folders else Kind.TRADE


BINANCE_ZIP = Format("binance-zip", "Binance public kline archive (.zip)", recognises_binance_zip, read_binance_zip)
