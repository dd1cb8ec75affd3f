"""How figures are written: currency, thousands, signs, undefined values, times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.template import Context, Template

from portal.templatetags import figures

NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def shown(source: str, **values: Any) -> str:
    return Template("{% load figures %}" + source).render(Context(values))


def text(markup: str) -> str:
    return markup.split(">", 1)[1].rsplit("<", 1)[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1000"), f"1,000.00{NBSP}USD"),
        ("1234567.891", f"1,234,567.89{NBSP}USD"),
        (Decimal("-12.5"), f"{MINUS}12.50{NBSP}USD"),
        (Decimal("0"), f"0.00{NBSP}USD"),
        (Decimal("0.0000123"), f"0.00001230{NBSP}USD"),
        (Decimal("0.000000000001"), f"0.00{NBSP}USD"),
        (0.1 + 0.2, f"0.30{NBSP}USD"),
    ],
)
def test_money(value: Any, expected: str) -> None:
    assert text(figures.money(value, "USD")) == expected


def test_money_keeps_the_exact_amount_on_hover() -> None:
    assert 'title="1000.123456789012345678 USDT"' in figures.money(Decimal("1000.123456789012345678"), "USDT")


@pytest.mark.parametrize(
    ("value", "expected", "tone"),
    [
        (0.0123, "+1.23%", "fig-pos"),
        (-0.5, f"{MINUS}50.00%", "fig-neg"),
        (0, "0.00%", None),
        (0.000001, "0.00%", "fig-pos"),
    ],
)
def test_percent_is_signed(value: float, expected: str, tone: str | None) -> None:
    markup = figures.percent(value)
    assert text(markup) == expected
    assert (tone in markup) if tone else ("fig-" not in markup)


def test_share_number_ratio_bps() -> None:
    assert text(figures.share(0.412)) == "41.2%"
    assert text(figures.number(Decimal("1234.5000"))) == "1,234.5"
    assert text(figures.number(Decimal("1E+3"))) == "1,000"
    assert text(figures.number(7, 2)) == "7.00"
    assert text(figures.ratio(1.5)) == "+1.50"
    assert text(figures.bps(12.34)) == f"12.3{NBSP}bps"


@pytest.mark.parametrize("value", [None, "", float("nan"), float("inf"), Decimal("NaN"), "no number"])
@pytest.mark.parametrize("name", ["money", "signed", "percent", "share", "number", "ratio", "bps"])
def test_undefined_is_a_dash_with_a_reason_never_a_zero(name: str, value: Any) -> None:
    markup = getattr(figures, name)(value)
    assert "\N{EM DASH}" in markup
    assert figures.NO_VALUE in markup
    assert "0" not in markup


def test_figure_gives_its_own_reason_and_escapes_it() -> None:
    markup = shown('{% figure sharpe "ratio" reason=why %}', sharpe=None, why='Needs <2> "days"')
    assert "Needs &lt;2&gt; &quot;days&quot;" in markup
    assert "+1.50" in shown('{% figure sharpe "ratio" %}', sharpe=1.5)


def test_figure_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="no kind of figure"):
        figures.figure(1, "moony")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.35, "350 ms"), (5, "5 s"), (59.96, "60 s"), (125, "2 min 5 s"), (3600, "1 h"), (273_600, "3 d 4 h")],
)
def test_duration_in_its_two_largest_units(seconds: float, expected: str) -> None:
    assert text(figures.duration(timedelta(seconds=seconds))) == expected


def test_utc_converts_and_says_so() -> None:
    at = datetime(2026, 1, 3, 13, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    assert figures.utc(at) == (
        '<time class="fig" datetime="2026-01-03T12:00:05+00:00" data-utc>2026-01-03 12:00 UTC</time>'
    )
    assert "12:00:05 UTC<" in figures.utc(at, "second")
    assert ">2026-01-03<" in figures.utc(datetime(2026, 1, 3, tzinfo=UTC).date())


def test_utc_of_a_naive_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        figures.utc(datetime(2026, 1, 3))  # noqa: DTZ001


def test_icon_is_decorative_unless_labelled() -> None:
    assert 'aria-hidden="true"' in figures.icon("home")
    assert 'aria-label="Menu"' in figures.icon("menu-2", "Menu")
