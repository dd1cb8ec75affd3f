"""Bars and files made for the tests of market data."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from trading.marketdata.bars import FIELDS, Bars
from trading.marketdata.formats import Probe, ReadOptions, sniff
from trading.marketdata.importer import Importer, ImportOptions, SeriesReport
from trading.marketdata.intervals import MINUTE_MS
from trading.marketdata.validation import Validated, ValidationRules, validate_series

MAY_4 = int(datetime(2025, 5, 4, tzinfo=UTC).timestamp()) * 1000
NOW_MS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1000


class MemoryStorage:
    """A catalog's storage in a dictionary, for tests that make thousands of catalogs."""

    url = "memory"

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def read(self, path: str) -> bytes | None:
        return self.content.get(path)

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        return [self.read(path) for path in paths]

    def write(self, path: str, data: bytes) -> None:
        self.content[path] = data

    def delete(self, path: str) -> None:
        self.content.pop(path, None)

    def files(self, folder: str) -> list[str]:
        return sorted(path for path in self.content if path.startswith(f"{folder}/"))

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        yield


def make_bars(
    n: int, *, start_ms: int = MAY_4, interval_ms: int = MINUTE_MS, seed: int = 1, price: float = 100.0
) -> Bars:
    """A random walk of consistent bars with prices of two decimals."""
    random = np.random.Generator(np.random.PCG64(seed))
    close = np.round(price * np.exp(np.cumsum(random.normal(0, 0.001, n))), 2)
    open_ = np.append(price, close[:-1])
    high = np.round(np.maximum(open_, close) + random.integers(0, 5, n) / 100, 2)
    low = np.round(np.minimum(open_, close) - random.integers(0, 5, n) / 100, 2)
    volume = np.round(random.gamma(2, 10, n), 3)
    return Bars(start_ms + np.arange(n, dtype=np.int64) * interval_ms, open_, high, low, close, volume)


def as_csv(bars: Bars, *, header: str = "timestamp,open,high,low,close,volume", iso: bool = True) -> str:
    lines = [header] if header else []
    for i in range(len(bars)):
        ts = int(bars.ts_ms[i])
        when = datetime.fromtimestamp(ts / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if iso else str(ts)
        lines.append(",".join([when, *(repr(float(getattr(bars, name)[i])) for name in FIELDS)]))
    return "\n".join(lines) + "\n"


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def write_zip(path: Path, member: str, content: str) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return write(path, buffer.getvalue())


def read_file(path: Path, *, rules: ValidationRules | None = None, **options: object) -> list[Validated]:
    """All series of a file, validated."""
    probe = Probe(path)
    read = sniff(probe).read(probe, ReadOptions(**options))  # type: ignore[arg-type]
    return [validate_series(raw, rules or ValidationRules(now_ms=NOW_MS)) for raw in read]


def import_one(importer: Importer, path: Path, options: ImportOptions | None = None) -> SeriesReport:
    (report,) = importer.import_file(path, options or ImportOptions(read=ReadOptions(venue="binance")))
    assert report.reconciles
    return report


def assert_same_bars(actual: Bars, expected: Bars) -> None:
    np.testing.assert_array_equal(actual.ts_ms, expected.ts_ms)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name))
