"""Figures of leverage: a tier, a ladder of tiers, and a meter towards a threshold, drawn as plain SVG."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from portal.leverage_board import LeverageRow, Meter
from portal.templatetags import figures

register = template.Library()


@register.filter
def tier(value: Any) -> SafeString:
    """A leverage: 3x, 2.5x, 1.34x."""
    number = figures.as_decimal(value)
    if number is None:
        return figures.missing()
    plain = f"{round(number, 2).normalize():f}"
    return format_html('<span class="fig">{}x</span>', plain)


@register.simple_tag
def meter(m: Meter) -> SafeString:
    """The way to a threshold as a bar. Decorative: the figures stand beside it in words."""
    if m.share is None:
        return SafeString("")
    full = "good" if m.met else ("warn" if m.good else "bad")
    near = "warn" if not m.good and m.met and m.share >= 0.75 else full
    return format_html(
        '<svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="meter-ground" width="100" height="6" rx="1"/>'
        '<rect class="meter-{}" width="{}" height="6" rx="1"/></svg>',
        near,
        round(100 * m.share, 1),
    )


@register.simple_tag
def ladder(row: LeverageRow) -> SafeString:
    """The tiers up to the cap: filled up to the present one, outlined at the next."""
    tiers = row.tiers
    if not tiers:
        return SafeString("")
    width = 100 / len(tiers)
    rungs = format_html_join(
        "",
        '<rect class="rung-{}" x="{}" y="0" width="{}" height="14"/>',
        ((state, round(i * width + 0.4, 2), round(width - 0.8, 2)) for i, (_, state) in enumerate(tiers)),
    )
    said = f"{row.in_force.normalize():f}x of {row.plan.rules.cap.normalize():f}x"
    return format_html(
        '<svg class="ladder" viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        said,
        rungs,
    )
