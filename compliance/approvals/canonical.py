"""The one way to write down what is signed: JSON after RFC 8785, decimals as strings, no floats at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import rfc8785

from compliance.approvals.errors import CanonicalFormError

#: RFC 8785 writes numbers as ECMAScript does, which is exact up to here.
_LARGEST_INT = 2**53 - 1


def plain(value: Any) -> Any:
    """``value`` in strings, whole numbers, booleans, nulls, lists and objects alone.

    Raises CanonicalFormError for floats, NaN, naive times, whole numbers above 2**53 - 1 and unknown types.
    """
    match value:
        case Enum():
            return plain(value.value)
        case None | bool() | str():
            return value
        case int():
            if abs(value) > _LARGEST_INT:
                raise CanonicalFormError(f"{value} is too large for a JSON number: write it as a decimal.")
            return value
        case Decimal():
            if not value.is_finite():
                raise CanonicalFormError(f"{value} is no amount: give a finite decimal.")
            return format(value, "f")
        case datetime():
            if value.tzinfo is None:
                raise CanonicalFormError(f"{value} has no time zone: give an aware time.")
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case Mapping():
            return {_key(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    raise CanonicalFormError(f"A {type(value).__name__} cannot be signed: write it as text or as a decimal.")


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        key = key.value
    if not isinstance(key, str):
        raise CanonicalFormError(f"The name {key!r} of a field must be text.")
    return key


def canonical_text(value: Mapping[str, Any]) -> str:
    """``value`` as RFC 8785 JSON."""
    try:
        return rfc8785.dumps(plain(value)).decode()
    except rfc8785.CanonicalizationError as error:
        raise CanonicalFormError(f"This cannot be written canonically: {error}") from error


def sha256_of(text: str) -> str:
    """The SHA-256 of a text's UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest(value: Mapping[str, Any]) -> str:
    """The SHA-256 of the canonical JSON of ``value``, in hex."""
    return sha256_of(canonical_text(value))
