"""The benchmark every other family has to beat: buy once and hold."""

from __future__ import annotations

from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


@strategy(
    title="Buy and hold",
    parameters=(Parameter("weight", 0.05, 1, 1, unit="fraction of the draw", help="Position, constant."),),
    state_size=lambda _p, _n: 1,
    warm_up=lambda _p, _n: 0,
    source="W. F. Sharpe, The Arithmetic of Active Management, Financial Analysts Journal 47(1), 1991.",
    description=""" **Idea.** Buy at the first bar and hold to the end. It has no skill and almost no costs,
    which makes it the yardstick: a strategy that earns less than this, or the same with a deeper drawdown,
    has added nothing.

    **Works when** the asset rises.

    **Fails when** it falls.
    """,
)
def buy_and_hold(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    return on_change(params[u(0)], state, 0)
