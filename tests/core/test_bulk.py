"""Statements written by hand: what they are given reaches the database as it was."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fundops.core.bulk import run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("numbers", [[], [7], [3, -1, 2**62]])
def test_lists_of_numbers_arrive_in_their_order(numbers: list[int]) -> None:
    assert run("SELECT %s::bigint[]", [numbers]) == [(numbers,)]
    assert run("SELECT %(numbers)s::bigint[]", {"numbers": numbers}) == [(numbers,)]


@pytest.mark.parametrize("value", ["{1,2}", "a'b\\c", True, 1.5, Decimal("0.10"), None])
def test_single_values_arrive_as_they_are(value: Any) -> None:
    kinds = {str: "text", bool: "bool", float: "float8", Decimal: "numeric", type(None): "text"}
    assert run(f"SELECT %s::{kinds[type(value)]}", [value]) == [(value,)]


def test_lists_of_texts_arrive_in_their_order() -> None:
    texts = ["a", "", "{b,c}", '"d"', "1"]
    assert run("SELECT %s::text[]", [texts]) == [(texts,)]


def test_a_statement_without_rows_returns_none() -> None:
    assert run("SET LOCAL lock_timeout = 0") == []
    assert run("SELECT 1 WHERE false") == []
