"""Trend following by two simple moving averages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trading.quant.indicators import sma_pair, sma_pair_block, sma_pair_size, sma_pair_warm_up
from trading.quant.jit import plain, u
from trading.strategies.authoring import Parameter, last_spoken, on_change, strategy
from trading.strategies.spec import Float64


def _rule(values: Mapping[str, float]) -> str | None:
    if values["fast"] < values["slow"]:
        return None
    return f"fast ({values['fast']:g}) must be smaller than slow ({values['slow']:g})."


@plain
def _block(
    opens: Float64, highs: Float64, lows: Float64, closes: Float64, volumes: Float64, params: Float64, state: Float64,
    targets: Float64, room: Float64,
) -> None:  # fmt: skip
    fasts, slows = room[0], room[1]
    sma_pair_block(closes, params[u(0)], params[u(1)], state, 1, fasts[: closes.shape[0]], slows[: closes.shape[0]])
    below = 0.0 - params[u(2)]
    for k in range(u(closes.shape[0])):
        fast, slow = fasts[k], slows[k]
        targets[k] = 1.0 if fast > slow else (below if fast < slow else np.nan)
    last_spoken(targets, state, 0)


@strategy(
    block=_block,
    title="SMA crossover",
    parameters=(
        Parameter("fast", 3, 120, 20, "integer", log=True, unit="bars", help="Window of the fast average."),
        Parameter("slow", 10, 480, 80, "integer", log=True, unit="bars", help="Window of the slow average."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells short in a downtrend, 0 stays flat."),
    ),
    validate=_rule,
    state_size=lambda p, _n: 1 + sma_pair_size(p[0], p[1]),
    warm_up=lambda p, _n: sma_pair_warm_up(p[0], p[1]),
    source=(
        "W. Brock, J. Lakonishok, B. LeBaron, Simple Technical Trading Rules and the Stochastic "
        "Properties of Stock Returns, Journal of Finance 47(5), 1992."
    ),
    description=""" **Idea.** While the average of the last *fast* closes lies above the average of the last
    *slow* closes, prices have been rising on the slower horizon: be long. While it lies below, be short or
    flat.

    **Works when** moves last much longer than the slow window, as in the long one-way stretches of a bull
    or bear phase.

    **Fails when** the market goes sideways: the averages braid, and every crossing pays spread and fees for
    nothing. It always enters late and gives back part of every move. """,
)
def sma_crossover(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    fast, slow = sma_pair(close, params[u(0)], params[u(1)], state, 1)
    wanted = np.nan
    if fast > slow:
        wanted = 1.0
    elif fast < slow:
        wanted = 0.0 - params[u(2)]
    return on_change(wanted, state, 0)
