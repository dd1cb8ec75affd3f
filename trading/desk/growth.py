"""What a deployment earned, rid of the money that went in and out meanwhile.

A slice follows its pool, so the equity jumps where nothing was earned or lost. It is reckoned as a fund's is, in units:
money that comes in buys units at what one is worth at that moment, money that goes out sells some. The worth of a unit
begins at 1 and moves by results alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trading.models.deployments import Deployment, TradingCycle


@dataclass(frozen=True, slots=True)
class UnitPoint:
    """Equity at the close of a bar (epoch ms) and the units it was shared by, in quote units of the beginning."""

    at_ms: int
    equity: float
    units: float

    @property
    def worth(self) -> float:
        """Of one unit; 1 at the beginning, and where none are left."""
        return self.equity / self.units if self.units > 0 else 1.0


def unit_points(deployment: Deployment, ends_ms: Collection[int]) -> list[UnitPoint]:
    """The beginning, then those of the closes ``ends_ms`` (epoch ms) that were worked, in order."""
    return _walk(deployment, ends_ms)[0]


def point_now(deployment: Deployment) -> UnitPoint:
    """Where it stands: its desk's equity, and the units that share it."""
    run = deployment.run
    return UnitPoint(run.next_bar_ms, float(run.equity), _walk(deployment, ())[1])


def return_frac(deployment: Deployment) -> float:
    """What a unit has gained or lost since the beginning."""
    return point_now(deployment).worth - 1.0


def _walk(deployment: Deployment, ends_ms: Collection[int]) -> tuple[list[UnitPoint], float]:
    """The points, and the units there are in the end. At one moment a close comes before the flow."""
    flows = list(deployment.capital_flows.order_by("pk").values_list("at_ms", "amount"))
    step, start = deployment.interval_ms, deployment.start_ms
    asked = {end - step for end in ends_ms} | {at - step for at, _ in flows}
    rows = TradingCycle.objects.filter(deployment=deployment, bar_ms__in=[ms for ms in asked if ms >= start])
    marks = [(ms + step, 0, float(equity)) for ms, equity in rows.values_list("bar_ms", "equity")]
    equity = units = float(deployment.bankroll - sum(amount for _, amount in flows))
    points, wanted = [UnitPoint(start, equity, units)], set(ends_ms)
    for at, is_flow, value in sorted(marks + [(at, 1, float(amount)) for at, amount in flows]):
        if is_flow:
            worth = equity / units if units > 0 and equity > 0 else 1.0
            equity, units = equity + value, units + value / worth
            continue
        equity = value
        if at in wanted:
            points.append(UnitPoint(at, equity, units))
    return points, units
