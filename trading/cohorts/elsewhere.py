"""What a limit of a Book above leaves to one cohort, beside what the other Books below it hold.

The engine judges the cohort's own figures. A share (of equity, of the peak, of the day's opening) that every part keeps
is kept by the whole; an amount is not: two cohorts may each stay below what together they pass. So the amount that is
held elsewhere is taken off the level for as long as the stretch lasts:

* gross exposure, open positions and the orders of the last minute add up over Books: what is left is exact at the
  instant it was taken;
* the net exposure elsewhere counts by its size, whatever its sign, which never lets the whole pass its level;
* VaR and ES elsewhere are those of all that others hold, taken together. With the sum of its own positions' added, as
  the engine adds them, that bounds the ES of the whole (it is subadditive); for VaR it is the rule that the pre-trade
  check has too: before plus own;
* the loss elsewhere is the whole's loss of its own day less what the cohort has lost of its. What the cohort loses
  from now on is the same money in both days, so the two may be of different clocks as long as neither turns within the
  stretch, and no stretch passes its cohort's midnight. Gains elsewhere lend nothing: an inherited limit binds the
  cohort by itself as well.

It is rounded against the cohort, to a hundredth of the level (counts to one), so that a record changes no more often
than that. What is not known leaves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from risk.measuring import ALPHA, HISTORY_DAYS, MeasuredBooks, measure_books
from risk.quant.contributions import standalone
from risk.quant.metrics import CODES, Metric, describe
from risk.selectors import EffectiveLimit, effective_limits_of_line
from risk.sources import has_source, risk_source
from trading.models.cohort import CohortDay
from treasury.models import Book

COUNTS = frozenset({Metric.OPEN_POSITIONS, Metric.ORDER_RATE})
TAILS = (Metric.VAR, Metric.ES)
AMOUNTS = frozenset({Metric.GROSS_EXPOSURE, Metric.NET_EXPOSURE, Metric.DAILY_LOSS, *COUNTS, *TAILS})
STEPS = 100
DAY_MS = 86_400_000

Line = dict[str, Any]
_UNKNOWN = np.full(1, math.nan)


def less_elsewhere(lines: Sequence[Line], *, book: Book, at: datetime, from_ms: int) -> list[Line]:
    """The hard levels of `book`, each amount of a Book above less what is held there outside `book`; for a stretch
    that begins with the bar of `from_ms`."""
    bound = [(above, x) for above, limits in effective_limits_of_line(book, at=at)[:-1] for x in _own(above, limits)]
    if not bound:
        return list(lines)
    measured = measure_books(at=at, book_ids=[book.pk], tail=False) if has_source() else None
    left: dict[str, Line] = {}
    shut: list[Line] = []
    for above, limit in bound:
        held = math.nan if measured is None else _held(measured, limit.metric, above, book, from_ms)
        said = "not known" if math.isnan(held) else f"{held:,.6g}"
        name = f"{limit.as_limit().name}, held elsewhere: {said}"
        mine = {"hard": _left(limit, held), "name": name, "book": above.pk}
        before = left.get(limit.metric)
        if before is None or mine["hard"] < before["hard"]:
            left[limit.metric] = mine
        if limit.metric is Metric.DAILY_LOSS and not held <= (limit.hard or 0.0):
            shut.append(_nothing_more(limit, above, said))
    # Amounts have no scope, and what binds a Book above is among the lines of this one.
    return [
        line | left[line["metric"]] if line["metric"] in left and left[line["metric"]]["hard"] < line["hard"] else line
        for line in lines
    ] + shut


def _own(above: Book, limits: Sequence[EffectiveLimit]) -> list[EffectiveLimit]:
    """Amounts that are limited on this very Book."""
    return [x for x in limits if x.metric in AMOUNTS and x.hard is not None and x.hard_book_id == above.pk]


def _held(measured: MeasuredBooks, metric: Metric, above: Book, book: Book, from_ms: int) -> float:
    """What is held below `above` and not by `book`; NaN where nobody knows."""
    whole, own = measured.row(above.pk), measured.row(book.pk)
    if not measured.complete[whole]:
        return math.nan
    elsewhere = measured.exposure[whole] - measured.exposure[own]
    if metric is Metric.NET_EXPOSURE:
        return abs(float(elsewhere.sum()))
    if metric in TAILS:
        if not elsewhere.any():
            return 0.0
        returns = risk_source().daily_returns(measured.symbols, HISTORY_DAYS, measured.at)
        var, es = standalone(elsewhere, returns, ALPHA) if np.isfinite(elsewhere).all() else (_UNKNOWN, _UNKNOWN)
        held = float((var if metric is Metric.VAR else es)[0])
    elif metric is Metric.DAILY_LOSS:
        held = _lost(measured, whole) - _lost_of_its_day(measured, own, book, from_ms)
    else:
        values = measured.measured.values[:, CODES[metric]]
        held = float(values[whole] - values[own])
    return held if math.isnan(held) else max(0.0, held)


def _lost(measured: MeasuredBooks, row: int) -> float:
    """What a Book has lost of its day; negative is a gain, NaN not known."""
    opened, equity = measured.figures[row].day_open_equity, measured.figures[row].equity
    return math.nan if opened is None or equity is None else opened - equity


def _lost_of_its_day(measured: MeasuredBooks, own: int, book: Book, from_ms: int) -> float:
    """The same of the cohort, in the day of the bar with which the stretch begins: its first bar opens one."""
    begins = from_ms % DAY_MS == 0 or not CohortDay.objects.filter(cohort__book=book).exists()
    return 0.0 if begins else _lost(measured, own)


def _nothing_more(limit: EffectiveLimit, above: Book, said: str) -> Line:
    """What is lost elsewhere is past the level already: the cohort may only close, whatever it has lost itself."""
    return {
        "metric": Metric.GROSS_EXPOSURE.value,
        "symbol": "",
        "venue": "",
        "soft": None,
        "hard": 0.0,
        "name": f"{limit.as_limit().name} on the {describe(limit.metric).lower()}, lost elsewhere: {said}",
        "book": above.pk,
        "soft_limit": None,
        "soft_book": None,
    }


def _left(limit: EffectiveLimit, held: float) -> float:
    """The level less what is held, rounded against the cohort."""
    hard = limit.hard or 0.0
    if math.isnan(held):
        return 0.0
    step = 1.0 if limit.metric in COUNTS else hard / STEPS
    taken = math.ceil(held / step - 1e-9) * step if step > 0 else hard
    return max(0.0, hard - taken)
