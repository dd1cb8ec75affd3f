"""freqtrade's JSON candles: ``[[milliseconds, open, high, low, close, volume], ...]``, plain or gzipped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from trading.marketdata.bars import FIELDS, BadRow, Kind, RawSeries, Reason
from trading.marketdata.formats.base import (
    Format,
    Probe,
    ReadOptions,
    parse_floats,
    series_symbol,
    series_venue,
)
from trading.marketdata.timeparse import parse_times


def recognises_json(probe: Probe) -> bool:
    return not (probe.is_parquet or probe.is_feather or probe.is_zip) and probe.head.lstrip()[:1] == b"["


def load_json(probe: Probe) -> Any:
    try:
        return json.loads(probe.text)
    except json.JSONDecodeError as error:
        raise probe.error(f"is no valid JSON ({error.msg}).", line=error.lineno) from error
    except (RecursionError, ValueError) as error:
        raise probe.error(f"is no valid JSON ({error}).") from error


def read_freqtrade_json(probe: Probe, options: ReadOptions) -> Iterator[RawSeries]:
    """Line numbers are the positions in the list, counted from 1."""
    document = load_json(probe)
    if not isinstance(document, list):
        raise probe.error("is JSON, but no list of candles.")
    rows: list[list[str]] = []
    lines: list[int] = []
    rejected: list[BadRow] = []
    for number, row in enumerate(document, start=1):
        if isinstance(row, list) and len(row) == 6:
            rows.append(["" if cell is None else str(cell) for cell in row])
            lines.append(number)
        else:
            raw = {"row": json.dumps(row, ensure_ascii=True)[:500]}
            rejected.append(BadRow(Reason.FIELD_COUNT, probe.source, number, raw, None, "not a list of six values"))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    ts_us, unreadable = parse_times(columns[0], options.zone_or_utc)
    values = {}
    for i, name in enumerate(FIELDS, start=1):
        values[name], bad = parse_floats(columns[i])
        unreadable = bad | unreadable
    yield RawSeries(
        venue=series_venue(probe, options),
        symbol=series_symbol(probe, options),
        kind=options.kind or probe.hints.kind or Kind.TRADE,
        source=probe.source,
        path=str(probe.path),
        ts_us=ts_us,
        values=values,
        lines=np.array(lines, np.int64),
        interval_ms=options.interval_ms or probe.hints.interval_ms,
        unreadable=unreadable,
        raw_of=lambda i: dict(zip(("time", *FIELDS), rows[i], strict=True)),
        rejected=rejected,
        written_ms=probe.written_ms,
    )


FREQTRADE_JSON = Format("json", "freqtrade JSON candles (.json, .json.gz)", recognises_json, read_freqtrade_json)
