"""Trend following by directional movement, only while the ADX says that there is a trend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trading.quant.indicators import adx, adx_size, adx_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


def _rule(values: Mapping[str, float]) -> str | None:
    if values["exit_adx"] <= values["entry_adx"]:
        return None
    return f"exit_adx ({values['exit_adx']:g}) must not exceed entry_adx ({values['entry_adx']:g})."


@strategy(
    title="ADX directional trend",
    parameters=(
        Parameter("window", 5, 240, 28, "integer", log=True, unit="bars", help="Wilder's smoothing window."),
        Parameter("entry_adx", 15, 50, 25, unit="ADX", help="Strength from which a trend is followed."),
        Parameter("exit_adx", 5, 40, 18, unit="ADX", help="Strength below which it is left."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells downtrends short, 0 stays flat."),
    ),
    validate=_rule,
    state_size=lambda p, _n: 1 + adx_size(p[0]),
    warm_up=lambda p, _n: adx_warm_up(p[0]),
    source="J. W. Wilder, New Concepts in Technical Trading Systems, Trend Research 1978, section IV.",
    description=""" **Idea.** The directional indicators say which side has been extending the range, the
    ADX how one-sided that has been. Follow the stronger side while the ADX is above *entry_adx*, leave when
    it fades below *exit_adx*.

    **Works when** trends build up gradually and last several windows.

    **Fails when** trends are over by the time they are measured: the ADX is smoothed twice and lags by
    about two windows. """,
)
def adx_trend(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    strength, plus, minus = adx(high, low, close, params[u(0)], state, 1)
    wanted = np.nan
    if strength >= params[u(1)]:
        wanted = 1.0 if plus > minus else 0.0 - params[u(3)]
    elif strength < params[u(2)]:
        wanted = 0.0
    return on_change(wanted, state, 0)
