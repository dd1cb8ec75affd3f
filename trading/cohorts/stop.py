"""The stop of a cohort: the first bar whose close finds its parent as far below its peak as was agreed.

A replay trades a whole day at a stretch, so the bar is looked for within the stretch: drawdown never shrinks from bar
to bar, and the engine gives the first bars of a stretch the same whether the rest follows or not.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from fundops.core.clock import from_ms
from trading.models.cohort import Cohort
from trading.quant import engine

Trade = Callable[[engine.Market], engine.Run]


def up_to_the_stop(
    bars: engine.Market, trade: Trade, stop_frac: Decimal | None
) -> tuple[engine.Market, engine.Run, bool]:
    """The bars that are traded, what came of them, and whether the stop ended them: log2(bars) more runs then."""
    outcome = trade(bars)
    if stop_frac is None or deepest_fall(outcome) < float(stop_frac):
        return bars, outcome, False
    fewest, most = 1, len(bars.ts_ms)
    while fewest < most:
        middle = (fewest + most) // 2
        if deepest_fall(trade(bars.slice(0, middle))) < float(stop_frac):
            fewest = middle + 1
        else:
            most = middle
    kept = bars.slice(0, most)
    return kept, trade(kept), True


def deepest_fall(outcome: engine.Run) -> float:
    """The parent's drawdown since the cohort began, as a fraction of its peak."""
    return float(outcome.final.parent[0]["max_drawdown"])


def stop_in_words(cohort: Cohort, bars: engine.Market, outcome: engine.Run) -> str:
    return (
        f"Stopped by its own rule: at {from_ms(bars.end_ms):%Y-%m-%d %H:%M} UTC it stood {deepest_fall(outcome):.2%} "
        f"below its peak; {cohort.drawdown_stop_frac:.2%} ends it."
    )
