"""Mean reversion on the z-score of the close, that is on Bollinger bands."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trading.quant.indicators import zscore, zscore_size, zscore_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


def _rule(values: Mapping[str, float]) -> str | None:
    if values["exit_z"] < values["entry_z"]:
        return None
    return f"exit_z ({values['exit_z']:g}) must be smaller than entry_z ({values['entry_z']:g})."


@strategy(
    title="Bollinger z-score reversion",
    parameters=(
        Parameter("window", 5, 480, 60, "integer", log=True, unit="bars", help="Window of mean and deviation."),
        Parameter("entry_z", 1, 4, 2, unit="standard deviations", help="Distance from the mean that opens."),
        Parameter("exit_z", 0, 1.5, 0.25, unit="standard deviations", help="Distance from the mean that closes."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells short above the upper band, 0 only closes."),
    ),
    validate=_rule,
    state_size=lambda p, _n: 1 + zscore_size(p[0]),
    warm_up=lambda p, _n: zscore_warm_up(p[0]),
    source=(
        "J. Bollinger, Bollinger on Bollinger Bands, McGraw-Hill 2001; z-score with the sample deviation (ddof 1)."
    ),
    description=""" **Idea.** A close *entry_z* standard deviations below its own rolling mean is cheap
    relative to the recent range: buy, and leave near the mean. Mirror-wise above it.

    **Works when** the level is stable over the window and jumps are noise: quiet sessions, pegged or
    range-bound pairs.

    **Fails when** the mean itself moves: in a trend the bands widen behind the price and every entry is
    early. """,
)
def zscore_reversion(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    z = zscore(close, params[u(0)], state, 1)
    spoken = state[u(0)]
    wanted = np.nan
    if z <= -params[u(1)]:
        wanted = 1.0
    elif z >= params[u(1)]:
        wanted = 0.0 - params[u(3)]
    elif (spoken > 0.0 and z >= -params[u(2)]) or (spoken < 0.0 and z <= params[u(2)]):
        wanted = 0.0
    return on_change(wanted, state, 0)
