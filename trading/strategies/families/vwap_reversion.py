"""Mean reversion to the rolling volume-weighted average price."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trading.quant.indicators import vwap, vwap_size, vwap_warm_up, zscore, zscore_size, zscore_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


def _rule(values: Mapping[str, float]) -> str | None:
    if values["exit_z"] < values["entry_z"]:
        return None
    return f"exit_z ({values['exit_z']:g}) must be smaller than entry_z ({values['entry_z']:g})."


@strategy(
    title="VWAP reversion",
    parameters=(
        Parameter("window", 10, 480, 120, "integer", log=True, unit="bars", help="Window of the VWAP."),
        Parameter("band_window", 10, 480, 120, "integer", log=True, unit="bars", help="Window of its deviation."),
        Parameter("entry_z", 1, 4, 2.2, unit="standard deviations", help="Unusual distance that opens."),
        Parameter("exit_z", 0, 1.5, 0.3, unit="standard deviations", help="Distance that closes."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells short above the VWAP, 0 only closes."),
    ),
    validate=_rule,
    state_size=lambda p, _n: 1 + vwap_size(p[0]) + zscore_size(p[1]),
    warm_up=lambda p, _n: vwap_warm_up(p[0]) + zscore_warm_up(p[1]),
    source=(
        "S. Berkowitz, D. Logue, E. Noser, The Total Cost of Transactions on the NYSE, Journal of "
        "Finance 43(1), 1988 (VWAP as the fair price of a period); bands as in Bollinger 2001."
    ),
    description=""" **Idea.** The VWAP is what the market actually paid over the window, and large orders
    are executed around it. When the close is unusually far from it, measured in standard deviations of that
    distance, expect it to come back.

    **Works when** volume is real and two-sided, and no news moves the fair price.

    **Fails when** the move is informed: the VWAP follows slowly, and a position opened against a trend
    waits for an average that never comes. It is silent while a window has no volume at all. """,
)
def vwap_reversion(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    fair = vwap((high + low + close) * (1.0 / 3.0), volume, params[u(0)], state, 1)
    if fair != fair:
        return np.nan
    z = zscore(close / fair - 1.0, params[u(1)], state, 6 + 2 * int(params[u(0)]))
    spoken = state[u(0)]
    wanted = np.nan
    if z <= -params[u(2)]:
        wanted = 1.0
    elif z >= params[u(2)]:
        wanted = 0.0 - params[u(4)]
    elif (spoken > 0.0 and z >= -params[u(3)]) or (spoken < 0.0 and z <= params[u(3)]):
        wanted = 0.0
    return on_change(wanted, state, 0)
