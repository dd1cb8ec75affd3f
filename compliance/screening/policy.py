"""The thresholds of the rules against prohibited tactics: data with versions, changed by the gate."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[Decimal, Field(gt=0, le=1, allow_inf_nan=False)]
Window = Annotated[int, Field(ge=1, le=86_400, description="Seconds.")]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InCohorts(StrEnum):
    """What a rule does in paper cohorts, whose agents do not know of each other. A desk's order it always denies."""

    NOTE = "note"
    DENY = "deny"


class SelfCrossing(_Rule):
    """An order that could trade against a working order of the same fund is denied. In paper cohorts one that opens
    against what another agent trades in the same bar is denied, or opposite fills in one bar are noted from this share
    of the day's notional on."""

    enabled: bool = True
    in_cohorts: InCohorts = InCohorts.NOTE
    noted_from_frac: Share = Decimal("0.10")


class Layering(_Rule):
    """Many orders on one side, most of them cancelled unfilled, while the other side was filled."""

    enabled: bool = True
    window_s: Window = 60
    min_orders: int = Field(default=5, ge=2, le=10_000)
    min_prices: int = Field(default=3, ge=1, le=10_000)
    cancelled_frac: Share = Decimal("0.80")
    size_ratio: Decimal = Field(default=Decimal(5), ge=1, allow_inf_nan=False)


class MomentumIgnition(_Rule):
    """A burst of orders that take liquidity on one side, large beside the market, while the price moves their way. In
    paper cohorts the agents' orders together are the burst: noted, or the ones that complete it denied."""

    enabled: bool = True
    in_cohorts: InCohorts = InCohorts.NOTE
    window_s: Window = 30
    min_orders: int = Field(default=5, ge=2, le=10_000)
    market_share_frac: Share = Decimal("0.20")
    move_bps: Decimal = Field(default=Decimal(30), gt=0, allow_inf_nan=False)


class ScreeningRules(_Rule):
    """All rules; the defaults hold until a version is approved."""

    self_crossing: SelfCrossing = SelfCrossing()
    layering: Layering = Layering()
    momentum_ignition: MomentumIgnition = MomentumIgnition()

    @property
    def longest_window_s(self) -> int:
        """How far back orders must be known."""
        return max(self.layering.window_s, self.momentum_ignition.window_s)
