"""Rotation across symbols: hold the strongest, change places at fixed steps."""

from __future__ import annotations

import numpy as np

from trading.quant.indicators import roc, roc_size, roc_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64, Scope


@strategy(
    title="Momentum rotation",
    scope=Scope.PANEL,
    parameters=(
        Parameter("lookback", 10, 960, 240, "integer", log=True, unit="bars", help="Horizon of the past return."),
        Parameter("rebalance", 5, 1440, 60, "integer", log=True, unit="bars", help="Bars between two choices."),
        Parameter("hold", 1, 5, 2, "integer", unit="symbols", help="How many symbols to hold, equally weighted."),
        Parameter("min_return_bps", 0, 300, 20, unit="bps", help="Weaker past returns are left in cash."),
    ),
    state_size=lambda p, n: 1 + n * (3 + roc_size(p[0])),
    warm_up=lambda p, _n: roc_warm_up(p[0]),
    source=(
        "N. Jegadeesh, S. Titman, Returns to Buying Winners and Selling Losers, Journal of Finance "
        "48(1), 1993; the cash filter after G. Antonacci, Dual Momentum Investing, McGraw-Hill 2014; in "
        "crypto: Y. Liu, A. Tsyvinski, X. Wu, Common Risk Factors in Cryptocurrency, Journal of Finance "
        "77(2), 2022."
    ),
    description=""" **Idea.** Every *rebalance* bars rank all symbols by their return over *lookback* bars
    and hold the best *hold* of them, each with an equal share of the draw, if they have risen by at least
    *min_return_bps*; the rest stays in cash. A symbol that stays among the best is not traded.

    **Works when** leadership persists for longer than the step between two choices.

    **Fails when** winners mean-revert, and when all symbols fall together: then it sits in cash, which is
    the point. With strongly correlated symbols the ranking is mostly noise. """,
)
def momentum_rotation(
    open_: Float64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    params: Float64,
    state: Float64,
    targets: Float64,
) -> None:
    n = close.shape[0]
    block = 5 + int(params[u(0)])  # last close, spoken target, score, then the slice of the rate of change
    known = False
    for k in range(n):
        base = 1 + k * block
        targets[u(k)] = np.nan
        x = close[u(k)]
        if x != x:  # a missing bar: the last close stands
            x = state[u(base)]
        score = np.nan
        if x > 0.0:
            state[u(base)] = x
            score = roc(x, params[u(0)], state, base + 3)
        state[u(base + 2)] = score
        known = known or score == score
    if state[u(0)] > 0.0:
        state[u(0)] -= 1.0
        return
    if not known:
        return
    state[u(0)] = params[u(1)] - 1.0
    floor = params[u(3)] * 1e-4
    weight = 1.0 / params[u(2)]
    for k in range(n):
        mine = state[u(3 + k * block)]
        better = 0.0
        for other in range(n):
            score = state[u(3 + other * block)]
            if score > mine or (score == mine and other < k):
                better += 1.0
        chosen = mine >= floor and better < params[u(2)]
        targets[u(k)] = on_change(weight if chosen else 0.0, state, 2 + k * block)
