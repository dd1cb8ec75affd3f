"""What a backtest and a sweep run on: a strategy with checked values, its agents, and the rules of its markets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from trading.actions.instruments import PERPETUAL_VENUE_SUFFIX
from trading.cohorts.setup import volatility_of
from trading.marketdata.loader import CandleFrame
from trading.quant.engine import AgentSpec, ExitRules, InstrumentKind, InstrumentRules
from trading.quant.genome import Genome
from trading.quant.steps import decimal_step
from trading.strategies.errors import GenomeError, UnknownStrategyError
from trading.strategies.frames import FrameStrategy
from trading.strategies.profiles import Profile, find_profile
from trading.strategies.registry import Registry
from trading.strategies.spec import Parameter, Scope, StrategyFamily

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Target:
    """What is tested: a strategy, its values, its exit rules, and the interval it suggests."""

    strategy: StrategyFamily | FrameStrategy
    values: dict[str, float]
    exits: ExitRules
    interval: str


def find_target(
    registry: Registry,
    profiles: Mapping[str, Profile],
    name: str,
    settings: Sequence[tuple[str, float]],
    seed: int,
) -> Target:
    """A profile's genome (its ranges drawn with ``seed``) or a strategy's defaults, with ``settings`` on
    top.
    """
    wanted = dict(settings)
    if name in profiles:
        profile = profiles[name]
        family = registry.family(profile.family)
        genome = profile.genome(family, np.random.default_rng(seed), symbols=("any",))
        return Target(family, checked_values(family, {**genome.params, **wanted}), genome.exits, profile.interval)
    strategy = find_strategy(registry, profiles, name)
    defaults = {p.name: p.default for p in strategy.parameters}
    return Target(strategy, checked_values(strategy, {**defaults, **wanted}), ExitRules(), "1m")


def find_strategy(registry: Registry, profiles: Mapping[str, Profile], name: str) -> StrategyFamily | FrameStrategy:
    for find in (registry.family, registry.frame):
        try:
            return find(name)
        except UnknownStrategyError:
            continue
    everything = {**dict.fromkeys(s.name for s in registry.families.values()), **dict.fromkeys(profiles)}
    find_profile(cast(Mapping[str, Profile], everything), name)  # raises, with what was meant
    raise UnknownStrategyError(f"There is no profile or strategy '{name}'.", key=name)


def checked_values(strategy: StrategyFamily | FrameStrategy, values: Mapping[str, float]) -> dict[str, float]:
    """Every parameter of the strategy within its bounds; raises GenomeError that names the first that is
    not.
    """
    known: dict[str, Parameter] = {p.name: p for p in strategy.parameters}
    for name, value in values.items():
        if name not in known:
            raise GenomeError(f"{strategy.key} has no parameter '{name}'; it has {', '.join(known) or 'none'}.")
        p = known[name]
        if not p.low <= value <= p.high or (p.kind == "integer" and value != int(value)):
            kind = "a whole number" if p.kind == "integer" else "a number"
            raise GenomeError(f"{name} is {value:g}; it must be {kind} between {p.low:g} and {p.high:g}.")
    complaint = strategy.validate(values)
    if complaint:
        raise GenomeError(complaint)
    return dict(values)


def make_agents(
    target: Target, frame: CandleFrame, *, draw: float, leverage: float
) -> tuple[list[AgentSpec], list[str]]:
    strategy = target.strategy
    if isinstance(strategy, FrameStrategy):
        bound = [strategy.bind(candles_of(frame, k), target.values) for k in range(len(frame.symbols))]
        specs = [
            AgentSpec(family=family, params={}, draw=draw, symbol=symbol, exits=target.exits, leverage=leverage)
            for family, symbol in zip(bound, frame.symbols, strict=True)
        ]
        return specs, list(frame.symbols)
    if strategy.scope is Scope.PANEL:
        genome = Genome(strategy.key, target.values, target.exits, None)
        return [genome.agent(strategy, draw=draw, leverage=leverage)], ["all symbols"]
    genomes = [Genome(strategy.key, target.values, target.exits, symbol) for symbol in frame.symbols]
    return [g.agent(strategy, draw=draw, leverage=leverage) for g in genomes], list(frame.symbols)


def candles_of(frame: CandleFrame, column: int) -> pd.DataFrame:
    """One symbol as a DataFrame strategy sees it."""
    import pandas as pd

    names = ("open", "high", "low", "close", "volume")
    index = pd.to_datetime(frame.ts_ms, unit="ms", utc=True)
    return pd.DataFrame({name: getattr(frame, name)[:, column] for name in names}, index=index)


def instruments_of(frame: CandleFrame) -> list[InstrumentRules]:
    """Tick and lot as the candles show them, volatility as measured on them; a perpetual where the venue
    says so.
    """
    perpetual = frame.venue.endswith(PERPETUAL_VENUE_SUFFIX)
    volatility = volatility_of(frame)
    rules = []
    for k, symbol in enumerate(frame.symbols):
        prices = np.concatenate([getattr(frame, name)[:, k] for name in ("open", "high", "low", "close")])
        rules.append(
            InstrumentRules(
                symbol=symbol,
                kind=InstrumentKind.PERPETUAL if perpetual else InstrumentKind.SPOT,
                tick=decimal_step(prices),
                lot=decimal_step(frame.volume[:, k]),
                min_notional=5.0,
                max_leverage=10.0 if perpetual else 1.0,
                daily_volatility=volatility[symbol],
            )
        )
    return rules
