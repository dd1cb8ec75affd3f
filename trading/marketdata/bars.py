"""The values that travel between readers, validation and the catalog: series keys, bars, rejected rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trading.marketdata.errors import SeriesNameError
from trading.marketdata.intervals import interval_label

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]
Bools = NDArray[np.bool_]

FIELDS = ("open", "high", "low", "close", "volume")
SYNTHETIC_VENUE = "synthetic"

_VENUE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9_.-]{0,39}")


class Kind(StrEnum):
    """What the four prices of a bar are prices of."""

    TRADE = "trade"
    BID = "bid"
    ASK = "ask"
    MARK = "mark"
    INDEX = "index"
    CLOSE = "close"  # only closes are known: open, high and low repeat them
    FUNDING = "funding"  # no price: the funding rate, on the hourly grid, in all four columns; volume 0


class Reason(StrEnum):
    """Why a row is in quarantine."""

    FIELD_COUNT = "field_count"
    UNPARSABLE = "unparsable"
    MISSING_VALUE = "missing_value"
    NOT_FINITE = "not_finite"
    NON_POSITIVE_PRICE = "non_positive_price"
    NEGATIVE_VOLUME = "negative_volume"
    OHLC_INCONSISTENT = "ohlc_inconsistent"
    BAD_TIMESTAMP = "bad_timestamp"
    AMBIGUOUS_LOCAL_TIME = "ambiguous_local_time"
    OUT_OF_RANGE = "out_of_range"
    OFF_GRID = "off_grid"
    DUPLICATE = "duplicate"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"
    CONFLICTS_WITH_STORED = "conflicts_with_stored"
    DISPLACED = "displaced"
    UNFINISHED = "unfinished"
    WRONG_TICKER = "wrong_ticker"


REASON_TEXT: Mapping[Reason, str] = {
    Reason.FIELD_COUNT: "the row has another number of fields than the file",
    Reason.UNPARSABLE: "a field is not a number",
    Reason.MISSING_VALUE: "a field is empty",
    Reason.NOT_FINITE: "a value is infinite or not a number",
    Reason.NON_POSITIVE_PRICE: "a price is zero or negative",
    Reason.NEGATIVE_VOLUME: "the volume is negative",
    Reason.OHLC_INCONSISTENT: "high or low does not enclose open and close",
    Reason.BAD_TIMESTAMP: "the time cannot be read",
    Reason.AMBIGUOUS_LOCAL_TIME: "the local time does not exist or exists twice on that day",
    Reason.OUT_OF_RANGE: "the time is before 1990 or in the future",
    Reason.OFF_GRID: "the time is not on the grid of the interval",
    Reason.DUPLICATE: "the same bar stands earlier in the file",
    Reason.CONFLICTING_DUPLICATE: "another bar of the same time stands earlier in the file",
    Reason.CONFLICTS_WITH_STORED: "the catalog holds another bar of the same time, which was kept",
    Reason.DISPLACED: "this stored bar gave way to a newer one",
    Reason.UNFINISHED: "the bar had not closed when it was taken",
    Reason.WRONG_TICKER: "the prices are those of another instrument",
}


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """Names one series of the catalog."""

    venue: str
    symbol: str
    interval_ms: int
    kind: Kind = Kind.TRADE

    def __post_init__(self) -> None:
        if not _VENUE.fullmatch(self.venue):
            raise SeriesNameError(f"'{self.venue}' is no venue name: use small letters, digits, '_', '.', '-'.")
        if not _SYMBOL.fullmatch(self.symbol):
            raise SeriesNameError(f"'{self.symbol}' is no symbol: use capital letters, digits, '_', '.', '-'.")

    @property
    def interval(self) -> str:
        return interval_label(self.interval_ms)

    @property
    def synthetic(self) -> bool:
        return self.venue == SYNTHETIC_VENUE

    def __str__(self) -> str:
        kind = "" if self.kind is Kind.TRADE else f" {self.kind}"
        return f"{self.venue} {self.symbol} {self.interval}{kind}"


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars in ascending order of their opening time; every array has shape (n,)."""

    ts_ms: Int64s
    open: Float64s
    high: Float64s
    low: Float64s
    close: Float64s
    volume: Float64s

    def __len__(self) -> int:
        return len(self.ts_ms)

    @classmethod
    def empty(cls) -> Bars:
        none = np.empty(0, np.float64)
        return cls(np.empty(0, np.int64), none, none, none, none, none)

    @classmethod
    def concat(cls, parts: list[Bars]) -> Bars:
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([p.ts_ms for p in parts]),
            *(np.concatenate([getattr(p, name) for p in parts]) for name in FIELDS),
        )

    def take(self, where: Bools | Int64s | slice) -> Bars:
        return Bars(self.ts_ms[where], *(getattr(self, name)[where] for name in FIELDS))

    def between(self, start_ms: int, end_ms: int) -> Bars:
        """Bars opening in [start, end)."""
        lo, hi = np.searchsorted(self.ts_ms, (start_ms, end_ms))
        return self.take(slice(int(lo), int(hi)))

    def same_values(self, other: Bars) -> Bools:
        """Row by row, whether all five values are equal."""
        equal = np.ones(len(self), np.bool_)
        for name in FIELDS:
            equal &= getattr(self, name) == getattr(other, name)
        return equal

    def row(self, i: int) -> dict[str, float | int]:
        return {"ts_ms": int(self.ts_ms[i]), **{name: float(getattr(self, name)[i]) for name in FIELDS}}


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that was not accepted, with what it said and why."""

    reason: Reason
    source: str
    line: int | None
    raw: Mapping[str, str]
    ts_ms: int | None = None
    detail: str = ""

    def digest(self, series: str) -> str:
        """The same row of the same file found again has the same digest."""
        parts = (series, self.reason, self.source, self.line, self.ts_ms, sorted(self.raw.items()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()


@dataclass(slots=True, eq=False)
class RawSeries:
    """What a reader found for one series, before validation.

    ``ts_us`` are epoch microseconds in UTC with NAT_US where the time could not be read; prices are NaN where
    a field is empty. ``raw_of`` gives a row as it stood in the source, for quarantine; ``path`` is for error
    messages. ``rejected`` are rows that have no place in the arrays at all (wrong number of fields); they
    count as rows in.
    """

    venue: str
    symbol: str
    kind: Kind
    source: str
    ts_us: Int64s
    values: dict[str, Float64s]
    lines: Int64s
    path: str = ""
    raw_of: Callable[[int], Mapping[str, str]] | None = None
    interval_ms: int | None = None
    close_stamped: bool = False  # the times are known to be closing times
    rejected: list[BadRow] = field(default_factory=list)
    unreadable: dict[int, Reason] = field(default_factory=dict)  # row index -> why, found while parsing
    notes: list[str] = field(default_factory=list)
    written_ms: int | None = None  # when the file was written, where that is known: no bar closing later is finished

    def __len__(self) -> int:
        return len(self.ts_us)

    @property
    def rows_in(self) -> int:
        return len(self.ts_us) + len(self.rejected)

    def raw_row(self, i: int) -> Mapping[str, str]:
        if self.raw_of is not None:
            return {printable(name): printable(value) for name, value in self.raw_of(i).items()}
        row = {"time_us": str(int(self.ts_us[i]))}
        row.update({name: repr(float(column[i])) for name, column in self.values.items()})
        return row


def printable(text: str) -> str:
    """Text that every store takes: no NUL, no half of a surrogate pair."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


NAT_US = int(np.iinfo(np.int64).min)
