"""Reverse stress of a Book: what would have to happen for it to lose a share of its equity?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from risk.actions.stress import holdings_of
from risk.errors import ScenarioError
from risk.measuring import HISTORY_DAYS
from risk.models import ScenarioKind
from risk.overview import BookRisk, known
from risk.quant.stress import PlausibleLoss, most_plausible_loss, worst_windows
from risk.scenarios import price_scenario
from risk.sources import risk_source

#: A covariance from fewer days than this is noise.
LEAST_DAYS = 20


@dataclass(frozen=True, slots=True)
class Move:
    """One asset in the most plausible move: its shock as a fraction, and what it makes of today's exposure."""

    symbol: str
    shock: float
    pnl: float


@dataclass(frozen=True, slots=True)
class WorstDay:
    """A stretch of the history: how many days ago it ended, and what today's positions would have lost in it."""

    days_ago: int
    loss: float
    loss_frac: float | None


@dataclass(frozen=True, slots=True)
class ReverseStress:
    """`uniform` is the fall of every market that loses `target` (negative: a rise), None where none does.

    `moves` are the most plausible joint move of one day, `distance` its length in standard deviations and
    `probability` that of a day at least as bad if returns were normal; empty with a `reason`.
    """

    loss_frac: float
    target: float | None
    uniform: float | None
    uniform_reason: str
    moves: list[Move]
    distance: float | None
    probability: float | None
    days: int
    reason: str
    worst: list[WorstDay]


def reverse_stress_of(risk: BookRisk, loss_frac: float) -> ReverseStress:
    """What loses `loss_frac` of equity. Raises ScenarioError unless it is a share above 0, up to 1."""
    if not math.isfinite(loss_frac) or not 0.0 < loss_frac <= 1.0:
        raise ScenarioError("Give a share of equity above 0 %, up to 100 %.", field="loss_frac")
    equity = risk.equity
    if risk.problems or equity is None or equity <= 0 or not risk.symbols:
        reason = (
            f"Not known: {'; '.join(risk.problems)}."
            if risk.problems
            else "The book holds nothing that moves with a market."
            if not risk.symbols
            else "There is no equity to lose."
        )
        return ReverseStress(loss_frac, None, None, reason, [], None, None, risk.days, reason, [])
    priced = price_scenario(
        ScenarioKind.REVERSE,
        {"loss_frac": loss_frac},
        holdings_of(risk.measured, risk.book.pk),
        equity=equity,
        source=risk_source(),
        at=risk.at,
    )
    target = loss_frac * equity
    returns = risk.returns[-HISTORY_DAYS:]
    days = int(returns.shape[0])
    found, reason = None, f"Needs {LEAST_DAYS} days of returns; has {days}."
    if days >= LEAST_DAYS:
        found = most_plausible_loss(risk.exposure, np.atleast_2d(np.cov(returns, rowvar=False)), target)
        reason = _why_none(found)
        found = None if reason else found
    moves = (
        []
        if found is None
        else [
            Move(s, float(shock), float(shock * x))
            for s, shock, x in zip(risk.symbols, found.shocks, risk.exposure, strict=True)
        ]
    )
    worst = [
        WorstDay(days - start - 1, -total, risk.of_equity(-total))
        for start, total in worst_windows(risk.pnl[-HISTORY_DAYS:], length=1, count=5)
        if total < 0
    ]
    return ReverseStress(
        loss_frac,
        target,
        known(priced.severity),
        "; ".join(priced.missing),
        sorted(moves, key=lambda m: m.pnl),
        None if found is None else found.distance,
        None if found is None else found.probability,
        days,
        reason,
        worst,
    )


def _why_none(found: PlausibleLoss | None) -> str:
    if found is None:
        return "The positions carry no risk in these days: they are hedged or stand still."
    if float(found.shocks.min()) < -1.0:
        return "The nearest move that loses it has prices fall by more than 100 %: none can be named."
    return ""
