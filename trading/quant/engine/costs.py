"""Cost profiles of venues: fee tiers by 30-day volume, spread, square-root impact, participation cap; read
from YAML.

Impact: a fill of quantity q in a bar of volume V moves the price by
``coefficient x sigma_bar x sqrt(q / V)`` with ``sigma_bar = daily_volatility x sqrt(interval / day)``. That
is the square-root law
``Y x sigma_day x sqrt(Q / V_day)`` with the day's volume estimated from the bar (Almgren et al., Direct
Estimation of
Equity Market Impact, 2005; Toth et al., Anomalous price impact, 2011: Y is of order one).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from trading.quant.engine.errors import CostProfileError

PROFILE_FOLDER = Path(__file__).resolve().parents[2] / "costs"

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeeTier(_Model):
    """Rates in basis points of notional, in force from this 30-day volume on; a negative maker rate is a
    rebate.
    """

    volume_usd: NonNegative
    maker_bps: Annotated[float, Field(ge=-10, le=1000)]
    taker_bps: Annotated[float, Field(ge=0, le=1000)]


def _ladder(tiers: tuple[FeeTier, ...]) -> tuple[FeeTier, ...]:
    volumes = [t.volume_usd for t in tiers]
    if not volumes or volumes[0] != 0:
        raise ValueError("the first tier must start at volume_usd 0")
    if volumes != sorted(set(volumes)):
        raise ValueError("tiers must rise in volume_usd")
    return tiers


class FeeSchedule(_Model):
    spot: tuple[FeeTier, ...]
    perpetual: tuple[FeeTier, ...]

    _spot = field_validator("spot")(_ladder)
    _perpetual = field_validator("perpetual")(_ladder)


class HalfSpread(_Model):
    """Half the quoted spread in basis points where an instrument does not state its own."""

    spot: NonNegative
    perpetual: NonNegative


class CostModel(_Model):
    """What trading costs on one venue. ``sources`` and ``as_of`` say where the fee schedule was published."""

    name: str
    title: str
    sources: tuple[str, ...]
    as_of: dt.date
    fees: FeeSchedule
    half_spread_bps: HalfSpread
    impact_coefficient: NonNegative
    participation_cap_frac: Annotated[float, Field(gt=0, le=1)]

    def fee_table(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(volumes, rates): shapes (2, n_tiers) and (2, n_tiers, 2); rows spot, perpetual; rates maker, taker
        as fractions.

        The shorter ladder is filled with unreachable tiers.
        """
        ladders = (self.fees.spot, self.fees.perpetual)
        n_tiers = max(map(len, ladders))
        volumes = np.full((2, n_tiers), np.inf)
        rates = np.zeros((2, n_tiers, 2))
        for kind, ladder in enumerate(ladders):
            for i, tier in enumerate(ladder):
                volumes[kind, i] = tier.volume_usd
                rates[kind, i] = tier.maker_bps / 10_000, tier.taker_bps / 10_000
        return volumes, rates


def frictionless(*, fee_bps: float = 0.0, half_spread_bps: float = 0.0) -> CostModel:
    """A model with one flat fee and no impact, for tests and comparisons."""
    tier = (FeeTier(volume_usd=0, maker_bps=fee_bps, taker_bps=fee_bps),)
    return CostModel(
        name="frictionless",
        title="One flat fee, no impact, no participation cap below the whole bar",
        sources=("none: a comparison model",),
        as_of=dt.date(2025, 1, 1),
        fees=FeeSchedule(spot=tier, perpetual=tier),
        half_spread_bps=HalfSpread(spot=half_spread_bps, perpetual=half_spread_bps),
        impact_coefficient=0.0,
        participation_cap_frac=1.0,
    )


def list_cost_profiles(folder: Path = PROFILE_FOLDER) -> tuple[str, ...]:
    """The names of the profiles in the folder, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def load_cost_profile(name: str, folder: Path = PROFILE_FOLDER) -> CostModel:
    """The validated profile of that name.

    Raises CostProfileError when there is none of that name, or naming the file and every field that is wrong.
    """
    path = folder / f"{name}.yaml"
    if Path(name).name != name or not path.is_file():
        known = ", ".join(list_cost_profiles(folder)) or "none"
        raise CostProfileError(f"There is no cost profile '{name}'; there are: {known}.")
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise CostProfileError(f"{path.name} is no valid YAML: {error}") from error
    try:
        profile = CostModel.model_validate(raw)
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the whole file'}: {e['msg']}" for e in error.errors())
        raise CostProfileError(f"{path.name} does not validate: {lines}") from error
    if profile.name != name:
        raise CostProfileError(f"{path.name} says its name is '{profile.name}'; file and name must agree.")
    return profile
