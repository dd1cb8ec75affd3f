"""The canonical form: RFC 8785, decimals as text, and nothing that two readers could read differently."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.approvals.canonical import canonical_text, digest, plain
from compliance.approvals.errors import CanonicalFormError
from fundops.core.roles import Role

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
)
_OBJECTS = st.dictionaries(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=4), max_leaves=8),
    max_size=6,
)


def test_the_sorting_example_of_rfc_8785() -> None:
    """Section 3.2.3: names are sorted by UTF-16 code units."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    said = json.loads(canonical_text(dict.fromkeys(names, "x")))
    assert list(said) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_decimals_are_text_as_written() -> None:
    content = {"a": Decimal("1E+3"), "b": Decimal("0.10"), "c": Role.OPERATIONS}
    assert canonical_text(content) == '{"a":"1000","b":"0.10","c":"Operations"}'


def test_one_instant_is_one_text() -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    east = noon.astimezone(timezone(timedelta(hours=9)))
    assert digest({"at": noon}) == digest({"at": east})
    assert plain(noon) == "2026-01-02T12:00:00Z"


@pytest.mark.parametrize(
    "bad",
    [1.5, float("nan"), Decimal("NaN"), Decimal("Infinity"), 2**53, datetime(2026, 1, 1), object(), {1: 2}],  # noqa: DTZ001
)
def test_what_could_be_read_in_two_ways_is_refused(bad: Any) -> None:
    with pytest.raises(CanonicalFormError):
        canonical_text({"x": bad})


@given(_OBJECTS)
def test_reading_and_writing_again_changes_nothing(content: dict[str, Any]) -> None:
    text = canonical_text(content)
    assert canonical_text(json.loads(text)) == text


@given(_OBJECTS)
def test_the_order_of_names_does_not_matter(content: dict[str, Any]) -> None:
    assert digest(dict(reversed(content.items()))) == digest(content)
