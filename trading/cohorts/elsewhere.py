"""What a limit of a Book above leaves to one cohort, beside what the other Books below it hold.

The engine judges the cohort's own figures. A share (of equity, of the peak, of the day's opening) that every part keeps
is kept by the whole; an amount is not: two cohorts may each stay below what together they pass. So the amount that is
held elsewhere is taken off the level for as long as the stretch lasts:

* gross exposure and open positions add up over Books, and what is left is exact at the instant it was taken;
* the net exposure elsewhere counts by its size, whatever its sign, which never lets the whole pass its level.

It is rounded against the cohort, to a hundredth of the level, so that a record changes no more often than that. What
is not known leaves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from risk.measuring import MeasuredBooks, measure_books
from risk.quant.metrics import CODES, Metric
from risk.selectors import EffectiveLimit, effective_limits_of_line
from risk.sources import has_source
from treasury.models import Book

AMOUNTS = (Metric.GROSS_EXPOSURE, Metric.NET_EXPOSURE, Metric.OPEN_POSITIONS)
STEPS = 100

Line = dict[str, Any]


def less_elsewhere(lines: Sequence[Line], *, book: Book, at: datetime) -> list[Line]:
    """The hard levels of `book`, each amount of a Book above less what is held there outside `book`."""
    bound = [(above, x) for above, limits in effective_limits_of_line(book, at=at)[:-1] for x in _own(above, limits)]
    if not bound:
        return list(lines)
    measured = measure_books(at=at, book_ids=[book.pk], tail=False) if has_source() else None
    left: dict[str, Line] = {}
    for above, limit in bound:
        held = _held(measured, limit.metric, above, book)
        said = "not known" if math.isnan(held) else f"{held:,.6g}"
        name = f"{limit.as_limit().name}, held elsewhere: {said}"
        mine = {"hard": _left(limit, held), "name": name, "book": above.pk}
        before = left.get(limit.metric)
        if before is None or mine["hard"] < before["hard"]:
            left[limit.metric] = mine
    # Amounts have no scope, and what binds a Book above is among the lines of this one.
    return [
        line | left[line["metric"]] if line["metric"] in left and left[line["metric"]]["hard"] < line["hard"] else line
        for line in lines
    ]


def _own(above: Book, limits: Sequence[EffectiveLimit]) -> list[EffectiveLimit]:
    """Amounts that are limited on this very Book."""
    return [x for x in limits if x.metric in AMOUNTS and x.hard is not None and x.hard_book_id == above.pk]


def _held(measured: MeasuredBooks | None, metric: Metric, above: Book, book: Book) -> float:
    """What is held below `above` and not by `book`; NaN where nobody knows."""
    if measured is None:
        return math.nan
    whole, own = measured.row(above.pk), measured.row(book.pk)
    if metric is Metric.NET_EXPOSURE:
        return abs(float((measured.exposure[whole] - measured.exposure[own]).sum()))
    values = measured.measured.values[:, CODES[metric]]
    held = float(values[whole] - values[own])
    return held if math.isnan(held) else max(0.0, held)


def _left(limit: EffectiveLimit, held: float) -> float:
    """The level less what is held, rounded against the cohort."""
    hard = limit.hard or 0.0
    if math.isnan(held):
        return 0.0
    step = 1.0 if limit.metric is Metric.OPEN_POSITIONS else hard / STEPS
    taken = math.ceil(held / step - 1e-9) * step if step > 0 else hard
    return max(0.0, hard - taken)
