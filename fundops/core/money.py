"""Decimal money: one rounding, by a named policy, and splits that lose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Context, Decimal, localcontext
from enum import StrEnum
from functools import lru_cache

from fundops.core.errors import FundopsError

#: The ledger's column is numeric(38, 18).
LEDGER_PLACES = 18
WORKING_PRECISION = 60
_WORKING = Context(prec=WORKING_PRECISION)


class Rounding(StrEnum):
    """Named policies; a fund document names one of them for each figure."""

    HALF_EVEN = ROUND_HALF_EVEN
    HALF_UP = ROUND_HALF_UP
    DOWN = ROUND_DOWN
    UP = ROUND_UP


class NotMoneyError(FundopsError):
    title = "Not an amount of money"


def to_decimal(value: Decimal | int | float | str, *, places: int = LEDGER_PLACES) -> Decimal:
    """An exact decimal of ``value`` rounded half-even to ``places``; floats go through their shortest repr.

    Raises NotMoneyError for NaN and infinities.
    """
    decimal = Decimal(repr(float(value))) if isinstance(value, float) else Decimal(value)
    if not decimal.is_finite():
        raise NotMoneyError(f"{value!r} is not an amount.")
    return round_to(decimal, places=places)


def round_to(amount: Decimal, *, places: int, policy: Rounding = Rounding.HALF_EVEN) -> Decimal:
    """``amount`` rounded once to ``places`` decimals."""
    return amount.quantize(_step(places), policy, _WORKING)


@lru_cache(maxsize=64)
def _step(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)


def allocate(amount: Decimal, weights: Sequence[Decimal], *, places: int) -> list[Decimal]:
    """Splits ``amount`` pro rata to ``weights`` by largest remainder: the parts sum to it exactly.

    Raises NotMoneyError when the weights are empty, negative or sum to zero, or ``amount`` has more than ``places``.
    """
    if not weights or any(w < 0 for w in weights) or sum(weights) == 0:
        raise NotMoneyError("A split needs weights that are not negative and not all zero.")
    with localcontext(prec=WORKING_PRECISION):
        unit = Decimal(1).scaleb(-places)
        units = amount / unit
        if units != units.to_integral_value():
            raise NotMoneyError(f"{amount} has more than {places} decimals; round it before splitting.")
        sign = -1 if units < 0 else 1
        total = abs(int(units))
        whole = sum(weights)
        exact = [total * w / whole for w in weights]
        parts = [int(x) for x in exact]
        by_remainder = sorted(range(len(weights)), key=lambda i: (parts[i] - exact[i], i))
        for i in by_remainder[: total - sum(parts)]:
            parts[i] += 1
        return [sign * part * unit for part in parts]
