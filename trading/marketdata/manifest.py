"""The manifest of one series: a small JSON file that names every part. It is the truth of the catalog.

A part file carries the beginning of its own hash in its name and is never changed; replacing the manifest is
the one step that makes a write visible. So a crash leaves either the old state or the new one, and a catalog
is moved between machines by copying its folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from trading.marketdata.bars import Kind, SeriesKey
from trading.marketdata.errors import CatalogError
from trading.marketdata.intervals import parse_interval

VERSION = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file. ``gaps`` counts the missing bars between its first and its last bar."""

    period: str
    path: str
    rows: int
    first_ms: int
    last_ms: int
    gaps: int
    sha256: str
    source: str
    synthetic: bool
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """All parts of one series by period, and what is known about the series as a whole.

    ``open_tails`` are stamps that were the last bar of a file or download: such a bar may have been taken
    before it closed, so a later source may correct it. ``quarantined`` counts the rows in the quarantine
    file.
    """

    key: SeriesKey
    parts: tuple[Part, ...] = ()
    quarantined: int = 0
    open_tails: tuple[int, ...] = ()
    synthetic: bool = field(default=False)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def first_ms(self) -> int | None:
        return self.parts[0].first_ms if self.parts else None

    @property
    def last_ms(self) -> int | None:
        return self.parts[-1].last_ms if self.parts else None

    @property
    def missing(self) -> int:
        """Bars missing between the first and the last of the whole series."""
        if not self.parts or self.key.kind is Kind.FUNDING:
            return 0  # funding is paid every one to eight hours, and the step changes
        return (self.parts[-1].last_ms - self.parts[0].first_ms) // self.key.interval_ms + 1 - self.rows

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def part(self, period: str) -> Part | None:
        return next((part for part in self.parts if part.period == period), None)

    def overlapping(self, start_ms: int, end_ms: int) -> list[Part]:
        """Parts with bars that may open in [start, end)."""
        return [part for part in self.parts if part.first_ms < end_ms and part.last_ms >= start_ms]

    def with_parts(self, changed: Iterable[Part], **fields: Any) -> Manifest:
        by_period = {part.period: part for part in self.parts} | {part.period: part for part in changed}
        ordered = tuple(by_period[period] for period in sorted(by_period))
        return replace(self, parts=ordered, **fields)

    def to_json(self) -> bytes:
        document = {
            "version": VERSION,
            "kind": str(self.key.kind),
            "venue": self.key.venue,
            "symbol": self.key.symbol,
            "interval": self.key.interval,
            "synthetic": self.synthetic,
            "rows": self.rows,
            "quarantined": self.quarantined,
            "open_tails": list(self.open_tails),
            "parts": [asdict(part) for part in self.parts],
        }
        return json.dumps(document, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """Raises CatalogError for a damaged document."""
        return _read(data, where)


@lru_cache(maxsize=512)
def _read(data: bytes, where: str) -> Manifest:
    """Cached: every bar close asks for the same few texts."""
    try:
        document = json.loads(data)
        if document["version"] != VERSION:
            raise CatalogError(f"{where} is of version {document['version']}, this program reads {VERSION}: update it.")
        key = SeriesKey(
            document["venue"],
            document["symbol"],
            parse_interval(document["interval"]),
            Kind(document["kind"]),
        )
        parts = tuple(Part(**part) for part in document["parts"])
        return Manifest(
            key,
            parts,
            int(document["quarantined"]),
            tuple(document["open_tails"]),
            bool(document["synthetic"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogError(
            f"{where} is damaged ({error!r}): restore it from a backup, or delete the series and import again."
        ) from error


def manifest_path(key: SeriesKey) -> str:
    return f"manifests/candles/{key.kind}/{key.venue}/{key.symbol}/{key.interval}.json"
