"""VaR and ES of one unit of money in a market, held by itself: what the pre-trade check adds for an order.

One reading for the cohorts' engine and for the desks, so that both judge an order by the same figures.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from fundops.core import clock
from risk.measuring import ALPHA, HISTORY_DAYS
from risk.quant.metrics import Metric
from risk.quant.tail import historical
from risk.sources import has_source, risk_source

#: The metrics that nothing but a history of returns tells.
TAILS = frozenset({Metric.VAR, Metric.VAR_FRAC, Metric.ES, Metric.ES_FRAC})
DAY_MS = 86_400_000


def unit_tails(symbols: Sequence[str], at_ms: int) -> dict[str, list[float | None]]:
    """VaR long, ES long, VaR short, ES short of one unit of money by symbol, one day at 99 %, from the daily returns
    before the UTC day of ``at_ms``. None is not known; without a source of prices nothing is."""
    if not has_source():
        return {}
    return dict(zip(symbols, _tails(id(risk_source()), tuple(symbols), at_ms // DAY_MS * DAY_MS), strict=True))


@functools.lru_cache(maxsize=32)
def _tails(_source: int, symbols: tuple[str, ...], day_ms: int) -> list[list[float | None]]:
    """Read once a day and process: forward cohorts and desks ask at every bar."""
    returns = risk_source().daily_returns(symbols, HISTORY_DAYS, clock.from_ms(day_ms))
    found: list[list[float | None]] = []
    for column in range(len(symbols)):
        tails = [historical(side * returns[:, column], ALPHA) for side in (1.0, -1.0)]
        numbers = [x for tail in tails for x in (tail.var, tail.es)]
        found.append([max(x, 0.0) if math.isfinite(x) else None for x in numbers])
    return found
