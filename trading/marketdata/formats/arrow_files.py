"""Parquet and Feather: long with a symbol column, or one symbol a file as freqtrade writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import feather

from trading.marketdata.bars import FIELDS, NAT_US, Float64s, Int64s, Kind, RawSeries, Reason
from trading.marketdata.errors import SyntheticMixError
from trading.marketdata.formats.base import (
    Format,
    Probe,
    ReadOptions,
    empty_values,
    parse_floats,
    series_symbol,
    series_venue,
)
from trading.marketdata.formats.csv_text import (
    SYMBOL_NAMES,
    TIME_NAMES,
    VALUE_NAMES,
    first_of,
    split_by_symbol,
)
from trading.marketdata.timeparse import epoch_to_us, localise, parse_times

_DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError)


def read_table(probe: Probe) -> Any:
    """The file as an Arrow table; raises SourceFormatError when it is damaged."""
    try:
        if probe.is_parquet:
            return pq.ParquetFile(pa.BufferReader(probe.content)).read()
        return feather.read_table(BytesIO(probe.content))
    except _DAMAGE as error:
        kind = "Parquet" if probe.is_parquet else "Feather"
        raise probe.error(f"is a damaged {kind} file ({error}).") from error


def read_arrow(probe: Probe, options: ReadOptions) -> Iterator[RawSeries]:
    table = read_table(probe)
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in table.column_names]
    time = first_of(names, TIME_NAMES)
    index = {name: first_of(names, spellings) for name, spellings in VALUE_NAMES.items()}
    lacking = [name for name in FIELDS[:4] if index[name] < 0]
    if time < 0 or lacking:
        raise probe.error(
            f"has no column for {', '.join(lacking) or 'the time'}; it has {', '.join(table.column_names)}."
        )
    labels = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items() if key != b"pandas"}
    if labels.get("synthetic") == "true" and options.venue not in (None, "synthetic"):
        raise SyntheticMixError(f"{probe.path} is labelled synthetic: it cannot be imported as {options.venue}.")
    try:
        ts_us, unreadable = _times(table.column(time), options)
        values = empty_values(table.num_rows)
        values["volume"] = np.zeros(table.num_rows)
        for name in FIELDS:
            if index[name] >= 0:
                values[name], bad = _floats(table.column(index[name]))
                unreadable = bad | unreadable
        symbol_column = first_of(names, SYMBOL_NAMES)
        symbols = None if symbol_column < 0 else [str(s or "") for s in table.column(symbol_column).to_pylist()]
    except _DAMAGE as error:
        raise probe.error(f"cannot be read as candles ({error}).") from error
    if options.price_scale:
        for name in FIELDS[:4]:
            values[name] = values[name] / options.price_scale
    venue = options.venue or labels.get("venue") or series_venue(probe, options)
    if symbols is None:
        symbol = labels["symbol"] if "symbol" in labels and not options.symbol else series_symbol(probe, options)
        groups = [(symbol, np.arange(table.num_rows))]
    else:
        groups = list(split_by_symbol(symbols, options.symbol))
    for symbol, where in groups:
        if not symbol:
            raise probe.error("has a row without a symbol.", line=int(where[0]) + 1)
        yield RawSeries(
            venue=venue,
            symbol=symbol,
            kind=options.kind or probe.hints.kind or Kind(labels.get("kind", "trade")),
            source=probe.source,
            path=str(probe.path),
            ts_us=ts_us[where],
            values={name: column[where] for name, column in values.items()},
            lines=where.astype(np.int64) + 1,
            interval_ms=options.interval_ms or probe.hints.interval_ms,
            unreadable={k: unreadable[i] for k, i in enumerate(where.tolist()) if i in unreadable}
            if unreadable
            else {},
            raw_of=_raw_of(table, where),
            notes=[] if index["volume"] >= 0 else ["The file has no volume: stored as 0."],
            written_ms=probe.written_ms,
        )


def column_times(probe: Probe, column: Any, options: ReadOptions) -> tuple[Int64s, dict[int, Reason]]:
    try:
        return _times(column, options)
    except _DAMAGE as error:
        raise probe.error(f"has a time column that cannot be read ({error}).") from error


def column_floats(probe: Probe, column: Any) -> tuple[Float64s, dict[int, Reason]]:
    try:
        return _floats(column)
    except _DAMAGE as error:
        raise probe.error(f"has a number column that cannot be read ({error}).") from error


def _times(column: Any, options: ReadOptions) -> tuple[Int64s, dict[int, Reason]]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    missing = {int(i): Reason.MISSING_VALUE for i in np.flatnonzero(column.is_null().to_numpy())}
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        stamps = pc.cast(column, pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        ts_us = pc.fill_null(stamps.cast(pa.int64()), NAT_US).to_numpy().copy()
        if getattr(kind, "tz", None) is None and options.zone is not None:
            known = ts_us != NAT_US
            ts_us[known], ambiguous = localise(ts_us[known], options.zone)
            missing |= {int(i): Reason.AMBIGUOUS_LOCAL_TIME for i in np.flatnonzero(known)[ambiguous]}
        return ts_us, missing
    if pa.types.is_integer(kind):
        numbers = pc.fill_null(column.cast(pa.int64()), 0).to_numpy()
        ts_us = np.where((np.abs(numbers) < 10**8) | (numbers == NAT_US), NAT_US, epoch_to_us(numbers))
        return ts_us, missing
    texts = ["" if value is None else str(value) for value in column.to_pylist()]
    ts_us, bad = parse_times(texts, options.zone_or_utc)
    return ts_us, bad | missing


def _floats(column: Any) -> tuple[Float64s, dict[int, Reason]]:
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        missing = {int(i): Reason.MISSING_VALUE for i in np.flatnonzero(column.is_null().to_numpy())}
        numbers: Float64s = pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan")).to_numpy()
        return numbers, missing
    return parse_floats(["" if value is None else str(value) for value in column.to_pylist()])


def _raw_of(table: Any, where: Int64s) -> Callable[[int], Mapping[str, str]]:
    def raw(i: int) -> dict[str, str]:
        row = int(where[i])
        return {name: str(table.column(name)[row].as_py()) for name in table.column_names}

    return raw


PARQUET = Format(
    "parquet", "Parquet, one symbol or long with a symbol column", lambda probe: probe.is_parquet, read_arrow
)
FEATHER = Format("feather", "Feather, as freqtrade writes it", lambda probe: probe.is_feather, read_arrow)
