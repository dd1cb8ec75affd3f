"""How large may a position be: volatility target, Kelly ceiling, the global exposure cap, in this order.

Sources: Kelly (1956), "A new interpretation of information rate"; Thorp (2006), "The Kelly criterion in
blackjack, sports betting, and the stock market", section 7 (f* = (m - r) / s^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Binding(StrEnum):
    """What decided the size."""

    VOLATILITY_TARGET = "volatility_target"
    KELLY = "kelly"
    EXPOSURE_CAP = "exposure_cap"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Size:
    """A notional in money, NaN when it cannot be known (trade nothing then), and what bound it."""

    notional: float
    fraction: float
    binding: Binding


def kelly_fraction(mean: float, std: float, *, risk_free: float = 0.0) -> float:
    """Full Kelly share of capital, (mean - risk_free) / std^2, all of one period. NaN unless std > 0."""
    if not (math.isfinite(mean) and math.isfinite(std) and math.isfinite(risk_free)) or std <= 0:
        return math.nan
    return (mean - risk_free) / (std * std)


def kelly_bet(win_probability: float, payoff: float) -> float:
    """Kelly share for a bet paying `payoff` to one with `win_probability`: p - (1 - p) / payoff. NaN if
    undefined.
    """
    if not 0.0 <= win_probability <= 1.0 or not payoff > 0:
        return math.nan
    return win_probability - (1.0 - win_probability) / payoff


def size_position(
    *,
    equity: float,
    volatility: float,
    target_volatility: float,
    expected_return: float,
    kelly_share: float = 0.5,
    exposure_headroom: float,
) -> Size:
    """The size of one long or short position, as a positive notional.

    equity * min(target_volatility / volatility, kelly_share * expected_return / volatility^2), then at most
    `exposure_headroom` (money left below the global cap). `expected_return` is in the direction of the trade
    and in the period of `volatility`; without an edge the size is zero. Anything unknown gives NaN.
    """
    if not 0.0 < kelly_share <= 1.0:
        raise ValueError(f"The Kelly share lies in (0, 1]: {kelly_share!r} does not.")
    if target_volatility < 0:
        raise ValueError(f"A target volatility is not negative: {target_volatility!r} is.")
    inputs = (equity, volatility, target_volatility, expected_return, exposure_headroom)
    if any(math.isnan(v) for v in inputs) or volatility <= 0 or not math.isfinite(equity) or equity <= 0:
        return Size(math.nan, math.nan, Binding.UNKNOWN)
    by_target = target_volatility / volatility
    by_kelly = max(0.0, kelly_share * kelly_fraction(expected_return, volatility))
    fraction, binding = min((by_target, Binding.VOLATILITY_TARGET), (by_kelly, Binding.KELLY))
    notional = equity * fraction
    if notional > exposure_headroom:
        notional, binding = max(0.0, exposure_headroom), Binding.EXPOSURE_CAP
    return Size(notional, notional / equity, binding)
