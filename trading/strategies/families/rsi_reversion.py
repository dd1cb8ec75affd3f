"""Mean reversion on Wilder's relative strength index."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trading.quant.indicators import rsi, rsi_size, rsi_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


def _rule(values: Mapping[str, float]) -> str | None:
    if values["oversold"] < values["exit_level"] < values["overbought"]:
        return None
    return (
        f"exit_level ({values['exit_level']:g}) must lie between oversold ({values['oversold']:g}) "
        f"and overbought ({values['overbought']:g})."
    )


@strategy(
    title="RSI reversion",
    parameters=(
        Parameter("window", 2, 60, 14, "integer", log=True, unit="bars", help="Wilder's smoothing window."),
        Parameter("oversold", 5, 45, 28, unit="RSI", help="Buy at or below this level."),
        Parameter("overbought", 55, 95, 72, unit="RSI", help="Sell at or above this level."),
        Parameter("exit_level", 40, 60, 50, unit="RSI", help="Close when the index is back here."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells short when overbought, 0 only closes."),
    ),
    validate=_rule,
    state_size=lambda p, _n: 1 + rsi_size(p[0]),
    warm_up=lambda p, _n: rsi_warm_up(p[0]),
    source="J. W. Wilder, New Concepts in Technical Trading Systems, Trend Research 1978, section VI.",
    description=""" **Idea.** After a run of losses that makes up nearly all recent movement the sellers of
    the moment are done: buy, and leave when gains and losses balance again. Mirror-wise after a run of
    gains.

    **Works when** prices oscillate around a slow level and liquidity shocks are absorbed.

    **Fails when** a trend begins: the index stays extreme for hours and the position is on the wrong side
    all the way. Use it with a stop. """,
)
def rsi_reversion(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    index = rsi(close, params[u(0)], state, 1)
    spoken = state[u(0)]
    wanted = np.nan
    if index <= params[u(1)]:
        wanted = 1.0
    elif index >= params[u(2)]:
        wanted = 0.0 - params[u(4)]
    elif (spoken > 0.0 and index >= params[u(3)]) or (spoken < 0.0 and index <= params[u(3)]):
        wanted = 0.0
    return on_change(wanted, state, 0)
