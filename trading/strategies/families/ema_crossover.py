"""Trend following by two exponential moving averages with a dead band."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trading.quant.indicators import ema, ema_size, ema_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


def _rule(values: Mapping[str, float]) -> str | None:
    if values["fast"] < values["slow"]:
        return None
    return f"fast ({values['fast']:g}) must be smaller than slow ({values['slow']:g})."


@strategy(
    title="EMA crossover with a dead band",
    parameters=(
        Parameter("fast", 3, 120, 12, "integer", log=True, unit="bars", help="Span of the fast average."),
        Parameter("slow", 10, 480, 72, "integer", log=True, unit="bars", help="Span of the slow average."),
        Parameter("band_bps", 0, 50, 5, unit="bps", help="The averages must differ by this much of the price."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells short in a downtrend, 0 stays flat."),
    ),
    validate=_rule,
    state_size=lambda p, _n: 1 + ema_size(p[0]) + ema_size(p[1]),
    warm_up=lambda p, _n: ema_warm_up(p[1]),
    source=(
        "P. J. Kaufman, Trading Systems and Methods, 5th edition, Wiley 2013, chapters on trend systems and bands."
    ),
    description=""" **Idea.** As the SMA crossover, with averages that weigh recent closes more and forget
    without a jump. A position is taken only when the averages are further apart than the dead band, and
    kept until they are that far apart the other way.

    **Works when** trends are persistent and the band is wider than the noise between the averages.

    **Fails when** the market reverses sharply: a band that filters whipsaws also delays the exit.
    """,
)
def ema_crossover(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    fast = ema(close, params[u(0)], state, 1)
    slow = ema(close, params[u(1)], state, 3)
    band = close * params[u(2)] * 1e-4
    wanted = np.nan
    if fast > slow + band:
        wanted = 1.0
    elif fast < slow - band:
        wanted = 0.0 - params[u(3)]
    return on_change(wanted, state, 0)
