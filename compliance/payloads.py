"""What may stand in an event: JSON without floats that are no numbers, money as strings, times in UTC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.utils.functional import Promise

from compliance.errors import EventPayloadError

MAX_PAYLOAD_BYTES = 256 * 1024


def encode_payload(payload: Mapping[str, Any]) -> str:
    """``payload`` as JSON text: Decimals as plain strings, times as ISO 8601 in UTC.

    Raises EventPayloadError for what JSON or PostgreSQL cannot hold (NaN, naive times, NUL characters,
    unknown types) and for more than 256 KiB.
    """
    try:
        text = json.dumps(dict(payload), default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError) as error:
        raise EventPayloadError(f"This payload is no JSON: {error}") from error
    if "\\u0000" in text:
        raise EventPayloadError("This payload holds a NUL character, which PostgreSQL cannot store.")
    if size > MAX_PAYLOAD_BYTES:
        raise EventPayloadError(
            f"This payload has {size:,} bytes; the limit is {MAX_PAYLOAD_BYTES:,}. Record ids and totals instead.",
            size=size,
        )
    return text


def _plain(value: object) -> Any:
    match value:
        case Decimal():
            if not value.is_finite():
                raise ValueError(f"{value} is no amount")
            return format(value, "f")
        case datetime():
            if value.tzinfo is None:
                raise ValueError(f"{value} has no time zone")
            return value.astimezone(UTC).isoformat()
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID() | Promise():
            return str(value)
        case Enum():
            return value.value
        case set() | frozenset():
            return sorted(value, key=str)
        case Mapping():
            return dict(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no place in an event")
