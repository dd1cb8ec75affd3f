"""Channel breakout with a shorter exit channel, the Turtles' rule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trading.quant.indicators import donchian_prior, donchian_prior_warm_up, donchian_size
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


def _rule(values: Mapping[str, float]) -> str | None:
    if values["exit"] <= values["entry"]:
        return None
    return f"exit ({values['exit']:g}) must not be longer than entry ({values['entry']:g})."


@strategy(
    title="Donchian breakout",
    parameters=(
        Parameter("entry", 5, 480, 60, "integer", log=True, unit="bars", help="Channel that a close must leave."),
        Parameter("exit", 3, 240, 20, "integer", log=True, unit="bars", help="Opposite channel that ends it."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells new lows short, 0 stays flat."),
    ),
    validate=_rule,
    state_size=lambda p, _n: 1 + donchian_size(p[0]) + donchian_size(p[1]),
    warm_up=lambda p, _n: donchian_prior_warm_up(p[0]),
    source=(
        "R. Donchian's four-week rule; C. Faith, Way of the Turtle, McGraw-Hill 2007, chapters on systems 1 and 2."
    ),
    description=""" **Idea.** A close above the highest high of the last *entry* bars is a new balance of
    buyers: go long, and stay until a close falls below the lowest low of the last *exit* bars. Mirror-wise
    for new lows.

    **Works when** volatility expands into trends: it is never absent from a large move, and losses are cut
    by the shorter channel.

    **Fails when** ranges hold: most breakouts are false, the hit ratio is usually below one half and a few
    winners carry the result. """,
)
def donchian_breakout(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    upper, lower = donchian_prior(high, low, params[u(0)], state, 1)
    ceiling, floor = donchian_prior(high, low, params[u(1)], state, 6 + 2 * int(params[u(0)]))
    spoken = state[u(0)]
    wanted = np.nan
    if close > upper:
        wanted = 1.0
    elif close < lower:
        wanted = 0.0 - params[u(2)]
    elif (spoken > 0.0 and close < floor) or (spoken < 0.0 and close > ceiling):
        wanted = 0.0
    return on_change(wanted, state, 0)
