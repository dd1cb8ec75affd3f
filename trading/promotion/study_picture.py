"""The study as a picture and as tables: power over the Sharpe ratio, one line for each length of replay."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from trading.promotion.study import GATE_RULE, PowerRow, Study
from trading.promotion.study_engine import EngineCheck
from trading.quant.evidence.power import limit_of_power

#: Lines that stay apart for colour-blind readers, on white and on black alike.
COLOURS = ("#6b7280", "#d97706", "#2563eb", "#059669")
_W, _H = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 190, 56, 60
_MODELS = {"plain": "normal bars", "market": "bars shaped after real cohorts"}


def picture(study: Study) -> str:
    """An SVG of the power curves: points with error bars are the gate, dashes the limit of any test."""
    plan = study.plan
    rows = [row for row in study.power if row.model == "plain"]
    top = max(plan.sharpes)
    target = f"{plan.false_positive_rate:.0%}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_W} {_H}" width="{_W}" height="{_H}" role="img" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<title>Power of the gate against the limit of any test</title>",
        f'<rect width="{_W}" height="{_H}" fill="#ffffff"/>',
        _text(_LEFT, 24, "Probability that the skilled one of thirty agents passes", size=15, weight="600"),
        _text(_LEFT, 42, f"Points: the gate. Dashes: the most any test can reach at {target} false positives."),
    ]
    for k in range(6):
        y = _y(k / 5)
        parts.append(f'<line x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{k * 20} %", anchor="end"))
    for sharpe in (0, *plan.sharpes):
        x = _x(sharpe, top)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_H - _BOTTOM}" y2="{_H - _BOTTOM + 5}" stroke="#6b7280"/>')
        parts.append(_text(x, _H - _BOTTOM + 20, f"{sharpe:g}", anchor="middle"))
    parts.append(
        _text((_LEFT + _W - _RIGHT) / 2, _H - 18, "true annual Sharpe ratio of the skilled agent", anchor="middle")
    )
    for place, days in enumerate(plan.replay_days):
        parts += _curve(study, [row for row in rows if row.replay_days == days], days, COLOURS[place % 4], top)
        parts += _key(place, days, COLOURS[place % 4], plan.cohort_days)
    return "\n".join([*parts, "</svg>", ""])


def _curve(study: Study, rows: Sequence[PowerRow], days: int, colour: str, top: float) -> list[str]:
    plan = study.plan
    steps = [top * k / 48 for k in range(49)]
    limit = [
        limit_of_power(s, plan.cohort_days + days, plan.agents, plan.shape.correlation, plan.false_positive_rate)
        for s in steps
    ]
    path = " ".join(f"{_x(s, top):.1f},{_y(v):.1f}" for s, v in zip(steps, limit, strict=True))
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5" stroke-dasharray="5 4"/>']
    for row in rows:
        x, half = _x(row.annual_sharpe, top), 1.96 * row.adjusted.error
        low, high = _y(max(0.0, row.adjusted.value - half)), _y(min(1.0, row.adjusted.value + half))
        y = _y(row.adjusted.value)
        out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}"/>')
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
    return out


def _key(place: int, days: int, colour: str, cohort_days: int) -> list[str]:
    y = _TOP + 20 + place * 24
    words = f"{cohort_days} days alone" if days == 0 else f"with {days} days of replay"
    return [
        f'<circle cx="{_W - _RIGHT + 20}" cy="{y}" r="4" fill="{colour}"/>',
        _text(_W - _RIGHT + 32, y + 4, words),
    ]


def _text(x: float, y: float, words: str, *, size: int = 12, weight: str = "400", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="#374151">{escape(words)}</text>'
    )


def _x(sharpe: float, top: float) -> float:
    return _LEFT + sharpe / top * (_W - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _H - _BOTTOM - share * (_H - _TOP - _BOTTOM)


# --- tables ---------------------------------------------------------------------------------------------------------


def tables(study: Study, engine: EngineCheck | None) -> str:
    """The study in Markdown."""
    plan = study.plan
    out = [
        f"Policy '{study.policy}', level {study.level:g}; {plan.agents} agents, {plan.cohort_days} days, correlation "
        f"{plan.shape.correlation:g}, seed {plan.seed}; {plan.cohorts:,} cohorts of noise, {plan.power_cohorts:,} for "
        f"the power. Over both models of bars and all lengths of replay the gate lets {study.overall.value:.2%} ± "
        f"{1.96 * study.overall.error:.2%} through where nobody has skill.",
        "",
        "| rule, nobody has skill | bars | replay days | lets through | 95 % interval |",
        "|---|---|---|---|---|",
    ]
    for row in study.false_positives:
        days = str(row.replay_days) if row.rule == GATE_RULE else "-"
        out.append(
            f"| {row.rule} | {_MODELS[row.model]} | {days} | {row.rate.value:.1%} "
            f"| {row.rate.low:.1%} to {row.rate.high:.1%} |"
        )
    if engine is not None:
        for words, rate in (
            ("best return after one day", engine.best_return),
            ("the gate, costs added back", engine.before_costs),
            ("the gate", engine.after_costs),
        ):
            days = "-" if words.startswith("best") else str(engine.replay_days)
            out.append(
                f"| {words} | real engine, {engine.cohorts} cohorts | {days} | {rate.value:.1%} "
                f"| {rate.low:.1%} to {rate.high:.1%} |"
            )
    out += [
        "",
        "| replay days | annual Sharpe | the gate | limit of any test | share of the limit | by return first | "
        "gate, bars like real ones |",
        "|---|---|---|---|---|---|---|",
    ]
    market = {(row.replay_days, row.annual_sharpe): row for row in study.power if row.model == "market"}
    for one in study.power:
        if one.model != "plain":
            continue
        other = market[one.replay_days, one.annual_sharpe]
        error = 1.96 * one.adjusted.error / one.limit
        out.append(
            f"| {one.replay_days} | {one.annual_sharpe:g} | {one.adjusted.value:.2%} | {one.limit:.2%} "
            f"| {one.share:.0%} ± {error:.0%} | {one.by_return.value:.2%} | {other.gate.value:.2%} |"
        )
    return "\n".join([*out, ""])
