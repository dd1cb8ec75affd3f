"""What binds the trading: the venue's rules per instrument, the agents' own rules, the parent wallet's
ceilings.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from trading.quant.engine.codes import InstrumentKind, Sizing
from trading.quant.engine.errors import AgentSpecError, InstrumentRulesError, WalletRulesError
from trading.strategies.spec import Scope, StrategyFamily

Float64 = npt.NDArray[np.float64]

#: Cash is kept as a whole number of these per unit of quote currency: every amount has at most eight decimal
#: places.
ATOMS_PER_UNIT = 100_000_000
#: Beyond this the atoms no longer fit 64 bits with room to spare.
LARGEST_BANKROLL = 10_000_000_000.0


@dataclass(frozen=True, slots=True)
class InstrumentRules:
    """One symbol's venue rules.

    ``tick`` and ``lot`` are the price and quantity steps (any finite decimals such as 0.1, 0.00001 or 25), in
    quote and
    base units. ``min_notional`` is in quote units. ``maintenance_margin_rate`` and ``max_leverage`` matter
    for perpetuals
    (spot has neither and cannot go short: negative targets count as zero). ``half_spread_bps`` NaN takes the
    cost profile's. ``daily_volatility`` is the standard deviation of daily log returns, which scales the
    impact.
    ``impact_coefficient`` NaN takes the cost profile's. ``multiplier`` is base units per contract.
    ``position_limit`` is the largest absolute position of one agent, in the units of ``lot``.
    """

    symbol: str
    kind: InstrumentKind = InstrumentKind.SPOT
    tick: float = 0.01
    lot: float = 0.00001
    min_notional: float = 0.0
    maintenance_margin_rate: float = 0.005
    max_leverage: float = 1.0
    half_spread_bps: float = math.nan
    daily_volatility: float = 0.03
    impact_coefficient: float = math.nan
    multiplier: float = 1.0
    position_limit: float = math.inf

    def __post_init__(self) -> None:
        def require(name: str, ok: bool, rule: str) -> None:  # noqa: FBT001
            if not ok:
                raise InstrumentRulesError(f"{self.symbol}: {name} is {getattr(self, name)}; it must be {rule}.")

        for name in ("tick", "lot", "multiplier"):
            require(name, 0 < getattr(self, name) < math.inf, "a positive finite number")
        require("min_notional", 0 <= self.min_notional < math.inf, "zero or a positive finite number")
        require("max_leverage", 1 <= self.max_leverage <= 1000, "between 1 and 1000")
        require("maintenance_margin_rate", 0 <= self.maintenance_margin_rate < 1, "at least 0 and below 1")
        require("daily_volatility", 0 <= self.daily_volatility < math.inf, "zero or a positive finite number")
        require("position_limit", self.position_limit > 0, "positive, or infinite for none")
        for name in ("half_spread_bps", "impact_coefficient"):
            value = getattr(self, name)
            require(name, math.isnan(value) or 0 <= value < math.inf, "zero or positive, or NaN for the profile's")


@dataclass(frozen=True, slots=True)
class ExitRules:
    """Rules that close an agent's position without its strategy; 0 or NaN turns a rule off.

    Fractions are of the average entry price (stop, target) or of the best price since entry (trailing). A
    time limit
    counts bars from the entry's bar on. After a rule exit no new position may open for ``cooldown_bars``
    bars.
    """

    stop_loss_frac: float = 0.0
    take_profit_frac: float = 0.0
    trailing_stop_frac: float = 0.0
    time_limit_bars: int = 0
    cooldown_bars: int = 0


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent: a genome on a symbol (SINGLE scope) or on all symbols (PANEL scope; ``symbol`` is then
    None).

    ``draw`` is the capital the agent holds from the parent, in quote units (at most eight decimal places). A
    target of 1
    means ``leverage`` x draw (or x equity, see WalletRules.sizing) of notional. ``max_leverage`` (0 or NaN:
    off) cuts orders
    that would take gross exposure / equity above it, and records a breach when the market does.
    """

    family: StrategyFamily
    params: Sequence[float] | Float64 | Mapping[str, float]
    draw: float
    symbol: str | int | None = None
    exits: ExitRules = field(default_factory=ExitRules)
    leverage: float = 1.0
    max_leverage: float = 0.0


@dataclass(frozen=True, slots=True)
class WalletRules:
    """The parent: its bankroll and the ceilings that couple its agents.

    Ceilings are multiples of the parent's equity at the last closes and count what the agents hold: gross is
    the sum of all
    absolute positions, net the absolute sum of signed ones. They bind orders that open or add; closing is
    always
    allowed. NaN or infinity turns one off. ``market_caps_frac`` names symbols; ``market_cap_frac`` is for the
    others.
    ``prior_volume_usd`` is the account's traded volume over the 30 days before the run, per instrument kind
    (spot, perpetual).
    """

    bankroll: float
    gross_ceiling_frac: float = math.inf
    net_ceiling_frac: float = math.inf
    leverage_ceiling: float = math.inf
    market_cap_frac: float = math.inf
    market_caps_frac: Mapping[str, float] = field(default_factory=dict)
    max_open_positions: int = 0
    sizing: Sizing = Sizing.DRAW
    drawdown_alert_frac: float = math.inf
    utilisation_alert_frac: float = math.inf
    prior_volume_usd: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if not 0 < self.bankroll <= LARGEST_BANKROLL:
            raise WalletRulesError(
                f"The bankroll is {self.bankroll}; it must be above 0 and at most {LARGEST_BANKROLL:,.0f}."
            )
        for name in (
            "gross_ceiling_frac",
            "net_ceiling_frac",
            "leverage_ceiling",
            "market_cap_frac",
            "drawdown_alert_frac",
            "utilisation_alert_frac",
        ):
            value = getattr(self, name)
            if value < 0:
                raise WalletRulesError(f"{name} is {value}; a ceiling cannot be negative (infinity turns it off).")
        for symbol, value in self.market_caps_frac.items():
            if not value >= 0:
                raise WalletRulesError(f"The market cap of {symbol} is {value}; it must be zero or positive.")
        if self.max_open_positions < 0:
            raise WalletRulesError("max_open_positions must be zero (off) or positive.")
        if any(not 0 <= v < math.inf for v in self.prior_volume_usd):
            raise WalletRulesError("prior_volume_usd must be two finite amounts, zero or positive.")


@functools.lru_cache(maxsize=4096)
def decimal_step(value: float) -> tuple[int, int]:
    """A step as (whole number, power of ten): 0.25 -> (25, 100). ``k * whole / power`` is then the nearest
    float.
    """
    exact = Decimal(repr(value)).normalize()
    sign, digits, exponent = exact.as_tuple()
    whole = int("".join(map(str, digits)))
    if not isinstance(exponent, int) or sign or abs(exponent) > 12 or whole > 10**9:
        raise InstrumentRulesError(f"The step {value} has too many digits; use a finite decimal such as 0.001.")
    return (whole * 10**exponent, 1) if exponent >= 0 else (whole, 10**-exponent)


@functools.lru_cache(maxsize=4096)
def _exact_atoms(value: float) -> int:
    return int((Decimal(repr(value)) * ATOMS_PER_UNIT).to_integral_value())


def to_atoms(value: float, what: str) -> int:
    """An amount as whole 1e-8 units; refuses amounts with more than eight decimal places worth of meaning."""
    if not math.isfinite(value):
        raise AgentSpecError(f"{what} is {value}; it must be a finite amount.")
    return _exact_atoms(float(value))


def agent_parameters(agent: AgentSpec, where: str) -> Float64:
    """The genome in the family's order, checked against its bounds and its cross-parameter rule."""
    family = agent.family
    names = [p.name for p in family.parameters]
    if isinstance(agent.params, Mapping):
        unknown = sorted(set(agent.params) - set(names))
        if unknown:
            raise AgentSpecError(f"{where}: {family.key} has no parameter {', '.join(unknown)}; it has {names}.")
        values = np.array([agent.params.get(p.name, p.default) for p in family.parameters], dtype=np.float64)
    else:
        values = np.ascontiguousarray(agent.params, dtype=np.float64)
    if values.shape != (len(names),):
        raise AgentSpecError(f"{where}: {family.key} takes {len(names)} parameters ({names}), not {values.size}.")
    numbers: list[float] = values.tolist()
    for parameter, value in zip(family.parameters, numbers, strict=True):
        if not parameter.low <= value <= parameter.high:
            raise AgentSpecError(
                f"{where}: {parameter.name} is {value}; {family.key} allows {parameter.low} to {parameter.high}."
            )
        if parameter.kind == "integer" and value != math.floor(value):
            raise AgentSpecError(f"{where}: {parameter.name} is {value}; it must be a whole number.")
    complaint = family.validate(dict(zip(names, numbers, strict=True)))
    if complaint:
        raise AgentSpecError(f"{where}: {complaint}")
    return values


def check_agent(agent: AgentSpec, where: str, symbols: Mapping[str, int]) -> int:
    """The agent's symbol index (-1 for PANEL scope) after every other field has been checked."""
    if not 0 < agent.draw <= LARGEST_BANKROLL:
        raise AgentSpecError(f"{where}: the draw is {agent.draw}; it must be a positive amount.")
    if not 0 < agent.leverage <= 1000:
        raise AgentSpecError(f"{where}: leverage is {agent.leverage}; it must be above 0 and at most 1000.")
    if agent.max_leverage < 0 or math.isinf(agent.max_leverage):
        raise AgentSpecError(f"{where}: max_leverage is {agent.max_leverage}; 0 turns it off, else it is positive.")
    check_exits(agent.exits, where)
    if agent.family.scope is Scope.PANEL:
        if agent.symbol is not None:
            raise AgentSpecError(f"{where}: {agent.family.key} trades all symbols at once; leave symbol out.")
        return -1
    if isinstance(agent.symbol, str) and agent.symbol in symbols:
        return symbols[agent.symbol]
    if isinstance(agent.symbol, (int, np.integer)) and 0 <= agent.symbol < len(symbols):
        return int(agent.symbol)
    raise AgentSpecError(f"{where}: the symbol {agent.symbol!r} is not in this market: {', '.join(symbols)}.")


def check_exits(exits: ExitRules, where: str) -> None:
    complaint = _complaint_about(exits)
    if complaint:
        raise AgentSpecError(f"{where}: {complaint}")


@functools.lru_cache(maxsize=4096)
def _complaint_about(exits: ExitRules) -> str:
    """What is wrong with them, if anything; the agents of a cohort share them more often than not."""
    for name in ("stop_loss_frac", "take_profit_frac", "trailing_stop_frac"):
        value = getattr(exits, name)
        top = math.inf if name == "take_profit_frac" else 1.0
        if not math.isnan(value) and not (0 <= value < top):
            return f"{name} is {value}; 0 turns it off, else it lies between 0 and {top}."
    for name in ("time_limit_bars", "cooldown_bars"):
        value = getattr(exits, name)
        if not 0 <= value < 2**40 or value != int(value):
            return f"{name} is {value}; it must be a whole number, 0 turns it off."
    return ""
