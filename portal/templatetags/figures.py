"""How figures are written on every page: money with its currency, returns with their sign, times in UTC.

An undefined value (None, NaN) shows a dash with a reason on hover, never a zero. Signs are written, so that
colour only repeats what the text says.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from fundops.core.money import WORKING_PRECISION

register = template.Library()

NO_VALUE = "Not defined: there is too little data for it."
MINUS = "\N{MINUS SIGN}"
_SMALLEST_PLACES = 8


def as_decimal(value: Any) -> Decimal | None:
    """The value as a finite Decimal, or None when there is nothing to show."""
    if value is None or value == "":
        return None
    try:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def grouped(value: Decimal, places: int, *, sign: bool = False) -> str:
    """Thousands with commas, ``places`` decimals, a real minus sign, and a plus when ``sign`` asks for it."""
    rounded = round(value, places) if places < WORKING_PRECISION else value
    text = f"{abs(rounded):,.{places}f}"
    if rounded < 0:
        return MINUS + text
    return f"+{text}" if sign and rounded > 0 else text


def missing(reason: str = NO_VALUE) -> SafeString:
    return format_html(
        '<span class="fig fig-none" title="{}"><span aria-hidden="true">\N{EM DASH}</span>'
        '<span class="visually-hidden">{}</span></span>',
        reason,
        reason,
    )


@register.filter
def breakable(path: str) -> SafeString:
    """A path of a Book that may go on in the next line after each of its slashes and underscores."""
    return mark_safe(re.sub(r"([/_])", r"\1<wbr>", escape(path)))  # noqa: S308 - escaped before


def _span(text: str, value: Decimal | None = None, *, title: str = "") -> SafeString:
    tone = "" if not value else (" fig-pos" if value > 0 else " fig-neg")
    if title:
        return format_html('<span class="fig{}" title="{}">{}</span>', tone, title, text)
    return format_html('<span class="fig{}">{}</span>', tone, text)


def money_text(value: Decimal, currency: str = "USD", *, sign: bool = False) -> str:
    """Two decimals; more only where two would show a non-zero amount as nothing."""
    places = 2
    if value and abs(value) < Decimal("0.01"):
        with_digits = abs(value).quantize(Decimal(1).scaleb(-_SMALLEST_PLACES), rounding=ROUND_HALF_EVEN)
        places = _SMALLEST_PLACES if with_digits else 2
    return f"{grouped(value, places, sign=sign)}\N{NO-BREAK SPACE}{currency}"


@register.filter
def money(value: Any, currency: str = "USD") -> SafeString:
    """``{{ equity|money:"USD" }}`` -> 1,000.00 USD."""
    number = as_decimal(value)
    return missing() if number is None else _span(money_text(number, currency), title=f"{number:f} {currency}")


@register.filter
def signed(value: Any, currency: str = "USD") -> SafeString:
    """``{{ pnl|signed:"USD" }}`` -> +12.30 USD, coloured by its sign too."""
    number = as_decimal(value)
    if number is None:
        return missing()
    return _span(money_text(number, currency, sign=True), number, title=f"{number:f} {currency}")


@register.filter
def percent(value: Any, places: int = 2) -> SafeString:
    """A fraction as a signed return: ``{{ 0.0123|percent }}`` -> +1.23%."""
    number = as_decimal(value)
    return missing() if number is None else _span(grouped(number * 100, places, sign=True) + "%", number)


@register.filter
def share(value: Any, places: int = 1) -> SafeString:
    """A fraction that has no sign to tell (utilisation, hit ratio): ``{{ 0.41|share }}`` -> 41.0%."""
    number = as_decimal(value)
    return missing() if number is None else _span(grouped(number * 100, places) + "%")


@register.filter
def number(value: Any, places: int | None = None) -> SafeString:
    """A plain number with thousands; without ``places`` as many decimals as it has, at most eight."""
    amount = as_decimal(value)
    if amount is None:
        return missing()
    if places is None:
        exponent = amount.normalize().as_tuple().exponent
        places = min(_SMALLEST_PLACES, max(0, -int(exponent)))
    return _span(grouped(amount, places))


@register.filter
def ratio(value: Any, places: int = 2) -> SafeString:
    """A signed ratio (Sharpe, Sortino): ``{{ 1.5|ratio }}`` -> +1.50."""
    amount = as_decimal(value)
    return missing() if amount is None else _span(grouped(amount, places, sign=True), amount)


@register.filter
def bps(value: Any, places: int = 1) -> SafeString:
    """Basis points, already in that unit; costs are no gains, so they have no colour."""
    amount = as_decimal(value)
    return missing() if amount is None else _span(f"{grouped(amount, places)}\N{NO-BREAK SPACE}bps")


def duration_text(seconds: float) -> str:
    """The two largest units: 3 d 4 h, 12 min 5 s, 0.35 s."""
    if seconds < 0:
        return MINUS + duration_text(-seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


@register.filter
def duration(value: Any) -> SafeString:
    """A timedelta or a number of seconds, in its two largest units."""
    if value is None:
        return missing()
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    return _span(duration_text(seconds))


@register.filter
def utc(value: Any, form: str = "minute") -> SafeString:
    """A ``<time>`` in UTC; the reader's own zone shows on hover. ``form``: minute, second, day, clock."""
    if value is None or value == "":
        return missing("Not yet.")
    if isinstance(value, date) and not isinstance(value, datetime):
        return format_html('<time class="fig" datetime="{}">{}</time>', value.isoformat(), value.isoformat())
    if value.tzinfo is None:
        raise ValueError("A time without a zone is not a time: give an aware datetime.")
    at = value.astimezone(UTC)
    layout = {
        "second": "%Y-%m-%d %H:%M:%S UTC",
        "day": "%Y-%m-%d",
        "clock": "%H:%M:%S UTC",
    }.get(form, "%Y-%m-%d %H:%M UTC")
    return format_html('<time class="fig" datetime="{}" data-utc>{}</time>', at.isoformat(), at.strftime(layout))


@register.simple_tag
def none(reason: str = NO_VALUE) -> SafeString:
    """``{% none "Needs 30 days; has 3." %}``: the dash with this reason."""
    return missing(reason)


@register.simple_tag
def figure(
    value: Any,
    kind: str = "number",
    *,
    currency: str = "USD",
    reason: str = NO_VALUE,
    places: int | None = None,
) -> SafeString:
    """The long form: ``{% figure s.sharpe "ratio" reason="Needs two days." %}``."""
    if as_decimal(value) is None and kind not in {"utc", "duration"}:
        return missing(reason)
    if value is None:
        return missing(reason)
    match kind:
        case "money":
            return money(value, currency)
        case "signed":
            return signed(value, currency)
        case "utc":
            return utc(value)
        case "duration":
            return duration(value)
        case "percent":
            return percent(value, 2 if places is None else places)
        case "share":
            return share(value, 1 if places is None else places)
        case "ratio":
            return ratio(value, 2 if places is None else places)
        case "bps":
            return bps(value, 1 if places is None else places)
        case "number":
            return number(value, places)
    raise ValueError(f"There is no kind of figure called {kind!r}.")


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the vendored sprite; decorative unless it gets a ``label``."""
    href = f"{static('vendor/icons/tabler.svg')}#{name}"
    if label:
        return format_html('<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>', label, href)
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"></use></svg>', href)
