"""Stress scenarios by kind: what parameters each takes, and how it is priced."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from risk.errors import ScenarioError
from risk.measuring import ALPHA, HISTORY_DAYS
from risk.models import ScenarioKind
from risk.quant.contributions import contributions, standalone
from risk.quant.stress import (
    Holdings,
    StressOutcome,
    correlation_to_one,
    parametric_shock,
    replay,
    reverse_stress,
    stablecoin_depeg,
    venue_loss,
    volatility_spike,
)
from risk.quant.tail import TailRisk, minimum_observations
from risk.sources import AdvisesOnPrices, RiskSource
from risk.windows import read_window

STANDARD = Path(__file__).resolve().parent / "standard_scenarios.yaml"
Shock = Annotated[float, Field(ge=-1, allow_inf_nan=False)]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ParametricParameters(_Parameters):
    shocks: dict[str, Shock] = Field(default_factory=dict)
    default: Shock | None = None

    @model_validator(mode="after")
    def something(self) -> ParametricParameters:
        if not self.shocks and self.default is None:
            raise ValueError("give a shock for at least one asset, or a default for all")
        return self


class HistoricalParameters(_Parameters):
    start: AwareDatetime
    end: AwareDatetime
    by_beta: bool = Field(
        default=True, description="An asset without prices then moves as Bitcoin did, times its beta of now."
    )

    @model_validator(mode="after")
    def ordered(self) -> HistoricalParameters:
        if self.end <= self.start:
            raise ValueError("the window must end after it begins")
        return self


class VolatilityParameters(_Parameters):
    multiplier: float = Field(gt=0, le=100, allow_inf_nan=False)


class CorrelationParameters(_Parameters):
    pass


class VenueLossParameters(_Parameters):
    venue: str = Field(default="", description="Empty: the venue that holds the most.")
    recovery: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)


class DepegParameters(_Parameters):
    coin: str = Field(min_length=1)
    price: float = Field(ge=0, allow_inf_nan=False)


class ReverseParameters(_Parameters):
    loss_frac: float = Field(gt=0, le=1, allow_inf_nan=False)


_PARAMETERS: dict[ScenarioKind, type[_Parameters]] = {
    ScenarioKind.PARAMETRIC: ParametricParameters,
    ScenarioKind.HISTORICAL: HistoricalParameters,
    ScenarioKind.VOLATILITY: VolatilityParameters,
    ScenarioKind.CORRELATION: CorrelationParameters,
    ScenarioKind.VENUE_LOSS: VenueLossParameters,
    ScenarioKind.DEPEG: DepegParameters,
    ScenarioKind.REVERSE: ReverseParameters,
}


def parse_parameters(kind: ScenarioKind, parameters: Mapping[str, Any]) -> _Parameters:
    """The parameters of a scenario of this kind; raises ScenarioError naming the first that is wrong."""
    try:
        return _PARAMETERS[kind].model_validate(dict(parameters))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(x) for x in first["loc"]) or "parameters"
        raise ScenarioError(f"{where}: {first['msg']}", field=where) from error


@dataclass(frozen=True, slots=True)
class Priced:
    """A scenario's cost. `loss` NaN where unknown; `severity` for reverse stress only; `assumed` says in words what
    stood in for prices that are not known.
    """

    loss: float
    by_symbol: dict[str, float]
    missing: tuple[str, ...] = ()
    severity: float = math.nan
    assumed: tuple[str, ...] = ()


def price_scenario(
    kind: ScenarioKind,
    parameters: Mapping[str, Any],
    holdings: Holdings,
    *,
    equity: float | None,
    source: RiskSource,
    at: datetime,
) -> Priced:
    """What the scenario would cost these holdings now; an unknown cost names what is missing.

    Raises ScenarioError for parameters that make no sense.
    """
    priced = _price(kind, parameters, holdings, equity=equity, source=source, at=at)
    if not math.isnan(priced.loss) or priced.missing:
        return priced
    lines = zip(holdings.asset, holdings.exposure, holdings.value, strict=True)
    unknown = sorted({asset for asset, x, value in lines if math.isnan(x) or math.isnan(value)})
    return replace(priced, missing=(f"price or quantity of {', '.join(unknown) or 'a position'}",))


def _price(
    kind: ScenarioKind,
    parameters: Mapping[str, Any],
    holdings: Holdings,
    *,
    equity: float | None,
    source: RiskSource,
    at: datetime,
) -> Priced:
    match parse_parameters(kind, parameters):
        case ParametricParameters(shocks=shocks, default=default):
            return _from_outcome(holdings, parametric_shock(holdings, shocks, default=default))
        case HistoricalParameters(start=start, end=end, by_beta=by_beta):
            held = sorted({a for a, x in zip(holdings.asset, holdings.exposure, strict=True) if x != 0})
            window = read_window(held, start, end, source=source, at=at, by_beta=by_beta)
            outcome = replay(holdings, window.prices)
            priced = replace(_from_outcome(holdings, outcome), assumed=window.assumed)
            return replace(priced, missing=_absent(outcome.missing, start, end, source)) if outcome.missing else priced
        case VenueLossParameters(venue=venue, recovery=recovery):
            named = venue or _largest_venue(holdings)
            return _from_outcome(holdings, venue_loss(holdings, named, recovery=recovery))
        case DepegParameters(coin=coin, price=price):
            return _from_outcome(holdings, stablecoin_depeg(holdings, coin, price=price))
        case ReverseParameters(loss_frac=loss_frac):
            return _reverse(holdings, loss_frac, equity)
        case VolatilityParameters(multiplier=multiplier):
            x, returns, symbols = _exposure(holdings, source, at)
            mean = returns.mean(axis=0) if returns.shape[0] else 0.0
            parts = contributions(x, mean + multiplier * (returns - mean), ALPHA).es_by_asset if symbols else ()
            return _from_tail(volatility_spike(x, returns, ALPHA, multiplier=multiplier), symbols, parts)
        case _:
            x, returns, symbols = _exposure(holdings, source, at)
            alone = standalone(np.diag(x), returns, ALPHA)[1] if symbols else ()
            return _from_tail(correlation_to_one(x, returns, ALPHA), symbols, alone)


def _absent(symbols: tuple[str, ...], start: datetime, end: datetime, source: RiskSource) -> tuple[str, ...]:
    """Which prices of a window are not there, and the command that brings them."""
    window = f"between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC"
    text = f"prices for {', '.join(symbols)} {window} are not in the catalog: import them"
    if isinstance(source, AdvisesOnPrices):
        text += f" with '{source.price_advice(symbols, start, end)}'"
    return (text,)


def _from_outcome(holdings: Holdings, outcome: StressOutcome) -> Priced:
    by_symbol: dict[str, float] = {}
    for asset, pnl in zip(holdings.asset, outcome.by_line, strict=True):
        if pnl != 0 and not math.isnan(pnl):
            by_symbol[asset] = by_symbol.get(asset, 0.0) + float(pnl)
    return Priced(outcome.loss + 0.0, by_symbol, outcome.missing)


def _from_tail(risk: TailRisk, symbols: tuple[str, ...], parts: Iterable[float]) -> Priced:
    """`parts` are what each symbol carries of the ES; they sum to it."""
    if math.isfinite(risk.es) or not symbols:
        return Priced(risk.es, {s: -float(part) for s, part in zip(symbols, parts, strict=True) if part != 0})
    needed = minimum_observations(ALPHA)
    return Priced(risk.es, {}, (f"{needed} days of returns of {', '.join(symbols)}: there are {risk.n}",))


def _exposure(holdings: Holdings, source: RiskSource, at: datetime) -> tuple[Any, Any, tuple[str, ...]]:
    symbols = tuple(sorted({a for a, x in zip(holdings.asset, holdings.exposure, strict=True) if x != 0}))
    asset = np.array(holdings.asset, dtype=object)
    x = np.array([holdings.exposure[asset == name].sum() for name in symbols])
    if not symbols:
        return np.zeros(1), np.zeros((HISTORY_DAYS, 1)), ()
    return x, source.daily_returns(symbols, HISTORY_DAYS, at), symbols


def _largest_venue(holdings: Holdings) -> str:
    held: dict[str, float] = {}
    for venue, value in zip(holdings.venue, holdings.value, strict=True):
        held[venue] = held.get(venue, 0.0) + max(0.0, float(value))
    return max(held, key=lambda v: held[v], default="")


def _reverse(holdings: Holdings, loss_frac: float, equity: float | None) -> Priced:
    """The uniform move of every market that loses this share of equity: positive a fall, negative a rise."""
    target = math.nan if equity is None else loss_frac * equity
    net = float(np.sum(holdings.exposure))
    if not (math.isfinite(target) and math.isfinite(net)) or target <= 0:
        return Priced(math.nan, {}, ("the equity or an exposure",))
    sign = 1.0 if net >= 0 else -1.0

    def loss(move: float) -> float:
        return float(np.sum(holdings.exposure * sign * move))

    # A rise has no end; ten times the price is taken for never.
    severity = reverse_stress(loss, target, upper=1.0 if sign > 0 else 10.0)
    if math.isnan(severity):
        return Priced(math.nan, {}, ("no uniform move loses this much",))
    moved = dict.fromkeys(holdings.asset, 0.0)
    for asset, x in zip(holdings.asset, holdings.exposure, strict=True):
        moved[asset] -= float(x) * sign * severity
    return Priced(target, {a: p for a, p in moved.items() if p != 0}, (), sign * severity)


class StandardScenario(BaseModel):
    """One entry of the standard set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: str
    name: str
    kind: ScenarioKind
    parameters: dict[str, Any] = Field(default_factory=dict)
    max_loss_frac: float | None = None


def standard_scenarios() -> list[StandardScenario]:
    """The set that comes with the product, each checked."""
    found = [StandardScenario.model_validate(x) for x in yaml.safe_load(STANDARD.read_text())]
    for scenario in found:
        parse_parameters(scenario.kind, scenario.parameters)
    return found
