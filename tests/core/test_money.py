"""Splits lose nothing and rounding happens once."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundops.core.money import NotMoneyError, allocate, to_decimal


@given(
    cents=st.integers(-(10**12), 10**12),
    weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=50).filter(lambda w: sum(w) > 0),
)
def test_allocate_parts_sum_to_the_amount_and_stay_within_a_unit(cents: int, weights: list[int]) -> None:
    amount = Decimal(cents) / 100
    parts = allocate(amount, [Decimal(w) for w in weights], places=2)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - amount * weight / sum(weights)) < Decimal("0.01") + Decimal("1e-20")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), Decimal("NaN")])
def test_to_decimal_not_finite_is_refused(bad: float | Decimal) -> None:
    with pytest.raises(NotMoneyError):
        to_decimal(bad)


def test_allocate_more_decimals_than_places_is_refused() -> None:
    with pytest.raises(NotMoneyError):
        allocate(Decimal("0.001"), [Decimal(1)], places=2)
