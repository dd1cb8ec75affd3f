"""Reading times: epoch seconds to nanoseconds, ISO and compact dates, and the zone of those that name
none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from trading.marketdata.bars import NAT_US, Bools, Int64s, Reason
from trading.marketdata.errors import TimezoneError
from trading.marketdata.texts import Texts

_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:[ T]?(\d\d):?(\d\d)(?::?(\d\d))?)?")
_ZONE_SUFFIX = re.compile(r"(?:Z|z|[+-]\d\d:?\d\d| ?UTC)$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def parse_timezone(text: str) -> tzinfo:
    """A zone from "UTC", "UTC+3", "-05:00" or a name such as "Europe/Athens"; raises TimezoneError."""
    cleaned = text.strip()
    if cleaned.upper() in {"UTC", "GMT", "Z"}:
        return UTC
    match = _OFFSET.fullmatch(cleaned)
    if match:
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        if minutes <= 14 * 60:
            return timezone(timedelta(minutes=minutes if match[1] == "+" else -minutes))
    else:
        try:
            return ZoneInfo(cleaned)
        except (KeyError, ValueError, OSError):
            pass
    raise TimezoneError(f"'{text}' is no time zone: write UTC, UTC+3, -05:00 or a name such as Europe/Athens.")


def epoch_to_us(numbers: Int64s) -> Int64s:
    """Microseconds from epoch seconds, milli-, micro- or nanoseconds, told apart by size, each value by
    itself.

    Binance's public files moved from milliseconds to microseconds in January 2025; a concatenation holds
    both.
    """
    size = np.abs(numbers)
    return np.select(
        [size < 10**11, size < 10**14, size < 10**17],
        [numbers * 1_000_000, numbers * 1_000, numbers],
        numbers // 1_000,
    )


def parse_times(texts: Sequence[str], zone: tzinfo) -> tuple[Int64s, dict[int, Reason]]:
    """Epoch microseconds of each text, NAT_US with a reason where there is none to read.

    ``zone`` applies to dates that name no zone of their own; epoch numbers are UTC by definition.
    """
    fast = _cast(texts, zone) if isinstance(texts, Texts) else None
    if fast is None:
        fast = _parse_uniform(texts, zone)
    if fast is not None:
        return fast, {}
    out = np.full(len(texts), NAT_US, np.int64)
    bad: dict[int, Reason] = {}
    for i, text in enumerate(texts):
        value = _parse_one(text.strip(), zone)
        if isinstance(value, Reason):
            bad[i] = value
        else:
            out[i] = value
    return out, bad


def localise(naive_us: Int64s, zone: tzinfo) -> tuple[Int64s, Bools]:
    """UTC microseconds of naive local ones, and where the local time does not exist or exists twice."""
    nothing = np.zeros(len(naive_us), np.bool_)
    offset = zone.utcoffset(None)
    if offset is not None:
        return naive_us - offset // _US, nothing
    out = np.empty_like(naive_us)
    ambiguous = nothing
    for i, value in enumerate(naive_us.tolist()):
        resolved = _to_us((_EPOCH + timedelta(microseconds=value)).replace(tzinfo=None), zone)
        ambiguous[i] = isinstance(resolved, Reason)
        out[i] = NAT_US if isinstance(resolved, Reason) else resolved
    return out, ambiguous


def _cast(texts: Texts, zone: tzinfo) -> Int64s | None:
    """A column that is all epoch numbers, all ISO with a zone, or all ISO without one in a fixed zone."""
    if not len(texts):
        return None
    first = texts[0]
    if first.isdigit():
        numbers = texts.cast(pa.int64()) if len(first) > 8 else None
        if numbers is None:
            return None
        values: Int64s = numbers.to_numpy()
        return epoch_to_us(values) if bool((values >= 10**8).all()) else None
    if len(first) < 10 or first[4] != "-":
        return None
    aware = texts.cast(pa.timestamp("us", tz="UTC"))
    if aware is not None:
        stamps: Int64s = aware.cast(pa.int64()).to_numpy()
        return stamps
    if zone.utcoffset(None) is None:
        return None
    naive = texts.cast(pa.timestamp("us"))
    return None if naive is None else localise(naive.cast(pa.int64()).to_numpy(), zone)[0]


def _parse_uniform(texts: Sequence[str], zone: tzinfo) -> Int64s | None:
    """All numbers, or all ISO of one shape in UTC or at a fixed offset; None sends the rows down the slow
    path.
    """
    if not texts:
        return np.empty(0, np.int64)
    first = texts[0]
    try:
        if first.isascii() and first.isdigit() and len(first) > 8:
            numbers = np.array(texts, dtype=np.str_).astype(np.int64)
            return epoch_to_us(numbers) if bool((np.abs(numbers) >= 10**8).all()) else None
        if len(first) < 10 or first[4] != "-" or first[7] != "-":
            return None
        array = np.array(texts, dtype=np.str_)
        suffix = next((s for s in ("Z", "+00:00", "+0000") if first.endswith(s)), "")
        if suffix:
            if not bool(np.char.endswith(array, suffix).all()):
                return None
            array = np.array([t[: -len(suffix)] for t in texts], dtype=np.str_)
        elif zone.utcoffset(None) is None:
            return None
        if not bool((np.char.str_len(array) == len(array[0])).all()):
            return None
        if any(map(_ZONE_SUFFIX.search, array[[0, -1]].tolist())) or any("+" in t for t in array.tolist()):
            return None
        stamps = array.astype("datetime64[us]").astype(np.int64)
    except (ValueError, OverflowError, DeprecationWarning):
        return None
    if bool((stamps == NAT_US).any()):
        return None
    return stamps if suffix else localise(stamps, zone)[0]


def _parse_one(text: str, zone: tzinfo) -> int | Reason:
    if not text:
        return Reason.MISSING_VALUE
    compact = _COMPACT.fullmatch(text)
    if compact and (len(text) == 8 or " " in text or "T" in text or ":" in text):
        return _from_fields([int(part) for part in compact.groups() if part is not None], zone)
    if _NUMBER.fullmatch(text):
        return _from_number(text)
    if text.upper().endswith("UTC"):
        text = text[:-3].rstrip() + "+00:00"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return Reason.BAD_TIMESTAMP
    return _to_us(at, zone)


def _from_fields(fields: list[int], zone: tzinfo) -> int | Reason:
    year, month, day, hour, minute, second = (*fields, 0, 0, 0)[:6]
    try:
        at = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - localised in the next step
    except ValueError:
        return Reason.BAD_TIMESTAMP
    return _to_us(at, zone)


def _from_number(text: str) -> int | Reason:
    try:
        value = float(text)
    except (ValueError, OverflowError):
        return Reason.BAD_TIMESTAMP
    if not np.isfinite(value) or abs(value) >= 9e18 or abs(value) < 10**8:
        return Reason.BAD_TIMESTAMP
    if "." in text or "e" in text.lower():
        scale = 1e6 if abs(value) < 1e11 else 1e3 if abs(value) < 1e14 else 1.0 if abs(value) < 1e17 else 1e-3
        return round(value * scale)
    return int(epoch_to_us(np.array([int(text)], np.int64))[0])


def _to_us(at: datetime, zone: tzinfo) -> int | Reason:
    try:
        if at.tzinfo is None:
            early, late = at.replace(tzinfo=zone, fold=0), at.replace(tzinfo=zone, fold=1)
            if early.utcoffset() != late.utcoffset():
                return Reason.AMBIGUOUS_LOCAL_TIME
            at = early
        return (at.astimezone(UTC) - _EPOCH) // _US
    except (OverflowError, ValueError):
        return Reason.BAD_TIMESTAMP
