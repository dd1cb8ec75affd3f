"""Figures of risk: a metric's value in its own unit, and a bar against its limits drawn as plain SVG."""

from __future__ import annotations

import json
import math
from typing import Any

from django import template
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.templatetags import figures
from risk.overview import Headroom
from risk.quant.metrics import Level, Metric, describe

register = template.Library()

_COUNTS = {Metric.OPEN_POSITIONS, Metric.ORDER_RATE}
_LEVELS = {
    Level.OK: ("good", "within"),
    Level.SOFT: ("warn", "soft passed"),
    Level.HARD: ("bad", "hard passed"),
    Level.UNKNOWN: ("none", "not known"),
}


@register.simple_tag
def metric_value(value: float | None, metric: str, base: str = "USDT", reason: str = "Not known.") -> SafeString:
    """A metric in its unit: shares in percent, leverage with x, money with its currency."""
    if value is None or math.isnan(value):
        return figures.missing(reason)
    if math.isinf(value):
        return format_html(
            '<span class="fig fig-neg" title="{}">no equity left</span>', "There is nothing to divide by."
        )
    kind = Metric(metric)
    if kind is Metric.LEVERAGE:
        return format_html('<span class="fig">{}x</span>', f"{value:,.2f}")
    if kind.value.endswith("_frac"):
        return figures.share(value, 2 if abs(value) < 0.1 else 1)
    if kind is Metric.COOLDOWN_S:
        return figures.duration(value)
    if kind in _COUNTS:
        return figures.number(value, 0)
    return figures.money(value, base)


@register.filter
def as_float(value: Any) -> float | None:
    """A level as the number that `metric_value` shows."""
    return None if value is None else float(value)


@register.filter
def metric_name(metric: str) -> str:
    return describe(Metric(metric))


@register.filter
def level_words(level: Level) -> str:
    return _LEVELS[Level(level)][1]


@register.filter
def level_tone(level: Level) -> str:
    return _LEVELS[Level(level)][0]


@register.filter
def risk_share(value: Any, places: int = 1) -> SafeString:
    """A share of risk: a hedge carries a negative one."""
    number = figures.as_decimal(value)
    return (
        figures.missing()
        if number is None
        else format_html('<span class="fig">{}%</span>', figures.grouped(number * 100, places))
    )


@register.filter
def magnitude(value: float | None) -> float | None:
    """Without its sign, where words tell the direction."""
    return None if value is None else abs(value)


@register.simple_tag
def chart_json(payload: Any, name: str) -> SafeString:
    """A chart's figures in the page: in a hidden element, for HTMX takes every script out of what it swaps in."""
    return format_html('<div hidden id="{}">{}</div>', name, json.dumps(payload, cls=DjangoJSONEncoder))


@register.simple_tag
def bullet(standing: Headroom) -> SafeString:
    """The value as a bar, with the stretch past the soft and the hard level tinted and each level marked.

    Decorative: the figures stand beside it in words.
    """
    soft, hard, value = standing.limit.soft, standing.limit.hard, standing.value
    shown = 0.0 if value is None else value
    bounds = [x for x in (soft, hard) if x is not None]
    finite = [x for x in (*bounds, shown) if math.isfinite(x)]
    top = max([*(1.2 * b for b in bounds), 1.02 * max(finite, default=0.0)], default=1.0) or 1.0

    def at(x: float) -> float:
        return round(100.0 * min(1.0, max(0.0, x / top)), 2)

    tone = _LEVELS[standing.level][0]
    zones, marks = [], []
    if standing.at_least:  # a longer wait is the safer one: the danger lies to the left
        for bound, name in ((soft, "warn"), (hard, "bad")):
            if bound is not None:
                zones.append(format_html('<rect class="zone-{}" x="0" y="0" width="{}" height="10"/>', name, at(bound)))
    else:
        for bound, end, name in ((soft, hard, "warn"), (hard, None, "bad")):
            if bound is not None:
                width = round((100.0 if end is None else at(end)) - at(bound), 2)
                zones.append(
                    format_html('<rect class="zone-{}" x="{}" y="0" width="{}" height="10"/>', name, at(bound), width)
                )
    for bound, name in ((soft, "warn"), (hard, "bad")):
        if bound is not None:
            marks.append(format_html('<rect class="mark-{}" x="{}" y="0" width="0.7" height="10"/>', name, at(bound)))
    bar = (
        SafeString("")
        if value is None
        else format_html('<rect class="bar-{}" x="0" y="3" width="{}" height="4"/>', tone, max(0.4, at(shown)))
    )
    return format_html(
        '<svg class="bullet" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="zone" x="0" y="0" width="100" height="10"/>{}{}{}</svg>',
        SafeString("".join(zones)),
        bar,
        SafeString("".join(marks)),
    )
