"""Bar intervals: parsing, labels, and the period of the calendar that one stored part covers."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from trading.marketdata.errors import IntervalError

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_UNITS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_WORDS = {
    "second": SECOND_MS,
    "sec": SECOND_MS,
    "minute": MINUTE_MS,
    "min": MINUTE_MS,
    "t": MINUTE_MS,
    "hour": HOUR_MS,
    "daily": DAY_MS,
    "day": DAY_MS,
}
_SHAPE = re.compile(r"(\d{1,6})\s*([a-z]+)")


def parse_interval(text: str) -> int:
    """Milliseconds of an interval such as "1m", "15m", "4h", "1d"; raises IntervalError on anything else.

    Only intervals that divide a UTC day have a grid that every day shares, so only those are accepted.
    """
    cleaned = text.strip().lower()
    match = _SHAPE.fullmatch(cleaned)
    if match:
        count, unit = int(match[1]), match[2]
    else:
        count, unit = 1, cleaned
    unit_ms = _UNITS.get(unit) if match else None
    if unit_ms is None:
        unit_ms = _WORDS.get(unit) or (_WORDS.get(unit[:-1]) if unit.endswith("s") else None)
    if unit_ms is None:
        raise IntervalError(f"'{text}' is no bar interval: write for example 1m, 5m, 1h or 1d.")
    return check_interval(count * unit_ms)


def check_interval(interval_ms: int) -> int:
    """The same value when bars of it tile a day; raises IntervalError otherwise."""
    if interval_ms < SECOND_MS or DAY_MS % interval_ms or interval_ms % SECOND_MS:
        raise IntervalError(
            f"Bars of {interval_ms / 1000:g} seconds do not divide a day into equal whole seconds: "
            "use for example 1m, 5m, 1h or 1d."
        )
    return interval_ms


def interval_label(interval_ms: int) -> str:
    """The shortest spelling: 60000 -> "1m", 5400000 -> "90m"."""
    for unit in ("d", "h", "m", "s"):
        if interval_ms % _UNITS[unit] == 0:
            return f"{interval_ms // _UNITS[unit]}{unit}"
    raise IntervalError(f"{interval_ms} ms is no whole number of seconds.")


def period_name(interval_ms: int) -> str:
    """The calendar unit of one part: a day below 1h, a month below 1d, a year for daily bars.

    A day of minutes is 1,440 rows; a file for every daily bar would be all overhead.
    """
    if interval_ms < HOUR_MS:
        return "day"
    return "month" if interval_ms < DAY_MS else "year"


def period_of(ts_ms: int, unit: str) -> str:
    """The period a stamp falls in: "2025-05-04", "2025-05" or "2025"."""
    at = datetime.fromtimestamp(ts_ms / 1000, tz=UTC)
    return at.strftime({"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}[unit])


def period_bounds(period: str) -> tuple[int, int]:
    """First millisecond of the period and of the next one."""
    numbers = [int(part) for part in period.split("-")]
    year, month, day = (*numbers, 1, 1)[:3]
    start = datetime(year, month, day, tzinfo=UTC)
    if len(numbers) == 3:
        return _ms(start), _ms(start) + DAY_MS
    if len(numbers) == 2:
        following = datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)
    else:
        following = datetime(start.year + 1, 1, 1, tzinfo=UTC)
    return _ms(start), _ms(following)


def _ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000
