"""The pictures of a review as chart payloads, from its evidence alone: what was signed is what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from trading.promotion.evidence import Bins, CurvePoint, Evidence

#: Curves of other agents drawn behind the candidate at most.
MOST_CURVES = 60


def pictures(evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Every picture by its name; one without figures says why it is empty."""
    return {
        "equity": equity(evidence),
        "replay": replay(evidence),
        "returns": returns(evidence),
        "deflated": deflated(evidence),
        "overfit": overfit(evidence),
        "costs": costs(evidence),
        "days": days(evidence),
        "power": power(evidence),
    }


def _payload(evidence: Evidence, *, empty: str, **kind: Any) -> dict[str, Any]:
    return {"synthetic": evidence.synthetic, "empty": empty, **kind}


def equity(evidence: Evidence) -> dict[str, Any]:
    """Equity over capital of all agents, hour by hour, the candidate in front."""
    picture = evidence.equity
    lines = [line for line in picture.lines if line.number != evidence.candidate]
    shown = lines if len(lines) <= MOST_CURVES else [*lines[: MOST_CURVES // 2], *lines[-MOST_CURVES // 2 :]]
    series = [
        {"name": f"Agent {line.number}", "style": "muted", "data": _points(picture.ts_ms, line.values, less=1.0)}
        for line in shown
    ]
    own = next((line for line in picture.lines if line.number == evidence.candidate), None)
    series.append(
        {"name": "All agents together", "style": "dashed", "data": _points(picture.ts_ms, picture.parent, 1.0)}
    )
    if own is not None:
        name = f"Agent {own.number}, the candidate"
        series.append({"name": name, "style": "primary", "data": _points(picture.ts_ms, own.values, 1.0)})
    return _payload(
        evidence,
        unit="frac",
        x="time",
        series=series,
        levels=[{"y": 0, "label": "Drawn", "tone": "muted"}],
        zoom=False,
        empty="No hour was traded.",
    )


def replay(evidence: Evidence) -> dict[str, Any]:
    """The candidate's cumulated daily returns over stored history, the cohort's own days left out."""
    picture = evidence.replay_equity
    points = [] if picture is None else [[t, v] for t, v in zip(picture.ts_ms, picture.cumulated, strict=True)]
    return _payload(
        evidence,
        unit="frac",
        x="time",
        series=[{"name": "Replay", "style": "primary", "data": points}] if points else [],
        levels=[{"y": 0, "label": "", "tone": "muted"}],
        empty=evidence.replay.why_none or "There is no replay of the candidate.",
    )


def returns(evidence: Evidence) -> dict[str, Any]:
    """How often the candidate's hours ended where, as shares of all its hours, cohort beside replay."""
    found = evidence.returns
    if found is None:
        return _payload(evidence, unit="share", series=[], empty="There is no candidate.")
    series = [{"name": "Cohort", "data": _shares(found.cohort)}]
    if found.replay is not None:
        series.append({"name": "Replay", "data": _shares(found.replay)})
    return _payload(
        evidence,
        unit="share",
        categories=[f"{100 * (low + high) / 2:+.2f}%" for low, high in pairwise(found.cohort.edges)],
        series=series,
        empty="No hour was traded.",
    )


def _shares(bins: Bins) -> list[float]:
    total = sum(bins.counts) or 1
    return [count / total for count in bins.counts]


def deflated(evidence: Evidence) -> dict[str, Any]:
    """The deflated Sharpe ratio if there had been so many trials; the number counted is marked."""
    found = evidence.deflated
    if found is None:
        return _payload(evidence, unit="share", series=[], empty="There is no candidate.")
    series = [
        {"name": name, "style": style, "data": _curve(curve)}
        for name, style, curve in (
            ("All evidence", "primary", found.curve),
            ("The cohort alone", "dashed", found.cohort_curve),
        )
        if curve
    ]
    return _payload(
        evidence,
        unit="share",
        x="value",
        x_name="trials",
        x_unit="count",
        series=series,
        marks=[{"x": evidence.trials.counted, "label": f"{evidence.trials.counted} counted", "tone": "accent"}],
        levels=[{"y": 0.95, "label": "95 %", "tone": "muted"}],
        reach=True,
        zoom=False,
        empty="Too few hours for a Sharpe ratio.",
    )


def overfit(evidence: Evidence) -> dict[str, Any]:
    """The logits of CSCV: left of zero the best in sample was below the median out of sample."""
    found = evidence.overfit
    if found is None or found.logits is None:
        return _payload(evidence, unit="share", series=[], empty="Too few agents or hours to split.")
    return _payload(
        evidence,
        unit="share",
        categories=[f"{(low + high) / 2:+.1f}" for low, high in pairwise(found.logits.edges)],
        series=[{"name": "Splits", "data": _shares(found.logits)}],
        empty="Too few agents or hours to split.",
    )


def costs(evidence: Evidence) -> dict[str, Any]:
    """From gross to net, in the quote currency."""
    bridge = evidence.costs
    if bridge is None:
        return _payload(evidence, unit=evidence.quote, series=[], empty="There is no candidate.")
    steps = [
        ("Gross", bridge.gross),
        ("Fees", -bridge.fees),
        ("Spread", -bridge.spread),
        ("Impact", -bridge.impact),
        ("Funding", bridge.funding),
        ("Net", bridge.net),
    ]
    return _payload(
        evidence,
        unit=evidence.quote,
        categories=[name for name, _ in steps],
        series=[{"name": "Amount", "data": [value for _, value in steps]}],
        bridge=True,
        empty="Nothing was traded.",
    )


def days(evidence: Evidence) -> dict[str, Any]:
    """The candidate's return on each of the cohort's days."""
    found = evidence.consistency
    if found is None:
        return _payload(evidence, unit="frac", series=[], empty="There is no candidate.")
    return _payload(
        evidence,
        unit="frac",
        categories=[f"Day {place} (#{rank})" for place, rank in enumerate(found.ranks, start=1)],
        series=[{"name": "Return", "data": list(found.returns)}],
        signed=True,
        empty="No day has closed.",
    )


def power(evidence: Evidence) -> dict[str, Any]:
    """What this evidence would see: the chance that an agent of that annual Sharpe ratio passes."""
    points = evidence.power.points
    return _payload(
        evidence,
        unit="share",
        x="value",
        x_name="annual Sharpe ratio",
        x_unit="",
        series=[
            {"name": "All evidence", "style": "primary", "data": [[p.annual_sharpe, p.all] for p in points]},
            {"name": "The cohort alone", "style": "dashed", "data": [[p.annual_sharpe, p.cohort] for p in points]},
        ]
        if points
        else [],
        levels=[{"y": 0.8, "label": "four of five", "tone": "muted"}],
        reach=True,
        zero=True,
        zoom=False,
        empty="Nothing can be said of power yet.",
    )


def _points(ts_ms: Sequence[int], values: Sequence[float | None], less: float = 0.0) -> list[list[float | None]]:
    return [[t, None if v is None else v - less] for t, v in zip(ts_ms, values, strict=True)]


def _curve(points: Sequence[CurvePoint]) -> list[list[float | None]]:
    return [[p.trials, p.value] for p in points]
