"""One part of the catalog as Parquet bytes, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trading.marketdata.bars import FIELDS, BadRow, Bars, Reason, SeriesKey
from trading.marketdata.errors import CatalogError

_SCHEMA = pa.schema(
    [pa.field("ts", pa.timestamp("ms", tz="UTC"), nullable=False)]
    + [pa.field(name, pa.float64(), nullable=False) for name in FIELDS]
)
# Stamps a constant step apart shrink to nothing as deltas; a dictionary of prices costs more time than it
# saves.
_ENCODING = {"ts": "DELTA_BINARY_PACKED"} | dict.fromkeys(FIELDS, "PLAIN")

_QUARANTINE_SCHEMA = pa.schema(
    [  # type: ignore[arg-type]
        ("digest", pa.string()),
        ("ts_ms", pa.int64()),
        ("reason", pa.string()),
        ("source", pa.string()),
        ("line", pa.int64()),
        ("raw", pa.string()),
        ("detail", pa.string()),
    ]
)


def encode_bars(key: SeriesKey, bars: Bars) -> bytes:
    """The same bars give the same bytes. What the file is stands in its metadata, invented bars included."""
    labels = {
        "venue": key.venue,
        "symbol": key.symbol,
        "interval": key.interval,
        "kind": str(key.kind),
        "synthetic": "true" if key.synthetic else "false",
    }
    columns = [pa.array(bars.ts_ms).cast(pa.timestamp("ms", tz="UTC"))]
    columns += [pa.array(getattr(bars, name)) for name in FIELDS]
    table = pa.Table.from_arrays(columns, schema=_SCHEMA.with_metadata(labels))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
        column_encoding=_ENCODING,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode_bars(data: bytes, where: str) -> Bars:
    """Raises CatalogError when the file is no part of a catalog."""
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
        stamps = table.column(0).cast(pa.int64()).to_numpy()
        return Bars(stamps, *(table.column(1 + i).to_numpy() for i in range(len(FIELDS))))
    except (pa.ArrowException, OSError, IndexError, ValueError) as error:
        raise CatalogError(f"{where} is damaged: {error}. Import or download that period again.") from error


def encode_quarantine(rows: Sequence[tuple[str, BadRow]]) -> bytes:
    table = pa.Table.from_pylist(
        [
            {
                "digest": digest,
                "ts_ms": row.ts_ms,
                "reason": str(row.reason),
                "source": row.source,
                "line": row.line,
                "raw": json.dumps(dict(row.raw), ensure_ascii=False),
                "detail": row.detail,
            }
            for digest, row in rows
        ],
        schema=_QUARANTINE_SCHEMA,
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def decode_quarantine(data: bytes, where: str) -> list[tuple[str, BadRow]]:
    try:
        rows = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False).to_pylist()
        return [
            (
                row["digest"],
                BadRow(
                    Reason(row["reason"]),
                    row["source"],
                    row["line"],
                    json.loads(row["raw"]),
                    row["ts_ms"],
                    row["detail"],
                ),
            )
            for row in rows
        ]
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise CatalogError(f"{where} is damaged: {error}. Delete it; importing again writes it anew.") from error


def gaps_inside(bars: Bars, interval_ms: int) -> int:
    if not len(bars):
        return 0
    return int((bars.ts_ms[-1] - bars.ts_ms[0]) // interval_ms) + 1 - len(bars)


def sorted_merge(kept: Bars, added: Bars) -> Bars:
    """Both sets of bars, which share no stamp, in order."""
    merged = Bars.concat([kept, added])
    return merged.take(np.argsort(merged.ts_ms, kind="stable"))
