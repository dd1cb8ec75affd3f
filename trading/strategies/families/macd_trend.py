"""Trend acceleration by the MACD line and its signal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trading.quant.indicators import macd, macd_size, macd_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


def _rule(values: Mapping[str, float]) -> str | None:
    if values["fast"] < values["slow"]:
        return None
    return f"fast ({values['fast']:g}) must be smaller than slow ({values['slow']:g})."


@strategy(
    title="MACD trend",
    parameters=(
        Parameter("fast", 3, 120, 24, "integer", log=True, unit="bars", help="Span of the fast average."),
        Parameter("slow", 6, 480, 52, "integer", log=True, unit="bars", help="Span of the slow average."),
        Parameter("signal", 2, 120, 18, "integer", log=True, unit="bars", help="Span of the signal line."),
        Parameter("band_bps", 0, 20, 1, unit="bps", help="The histogram must exceed this much of the price."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells short below the signal, 0 stays flat."),
    ),
    validate=_rule,
    state_size=lambda p, _n: 1 + macd_size(p[0], p[1], p[2]),
    warm_up=lambda p, _n: macd_warm_up(p[0], p[1], p[2]),
    source=("G. Appel, Technical Analysis: Power Tools for Active Investors, FT Press 2005, chapters on the MACD."),
    description=""" **Idea.** The MACD line is the distance between two exponential averages; while it lies
    above its own average (the signal) the trend is accelerating upward: be long. Below it: short or flat.

    **Works when** swings are clear and longer than the slow span; it turns earlier than a plain crossover.

    **Fails when** swings are short: it reacts to acceleration, so it trades often and pays for it. A band
    of zero on one-minute bars rarely survives taker fees. """,
)
def macd_trend(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    _, _, histogram = macd(close, params[u(0)], params[u(1)], params[u(2)], state, 1)
    band = close * params[u(3)] * 1e-4
    wanted = np.nan
    if histogram > band:
        wanted = 1.0
    elif histogram < -band:
        wanted = 0.0 - params[u(4)]
    return on_change(wanted, state, 0)
