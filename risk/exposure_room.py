"""How much exposure the hard limits of a Book and of those above it leave."""

from __future__ import annotations

import math

from fundops.core import clock
from risk.leverage import line_of
from risk.limits_in_force import limits_in_force
from risk.measuring import measure_books
from risk.quant.metrics import Metric
from treasury.models import Book


def exposure_room(book: Book) -> float:
    """Money left below the tightest hard limit on gross exposure, in the fund's base asset: each limit is held against
    the Book that it is set on. Infinite without a limit, NaN where an exposure is not known, never negative."""
    now = clock.now()
    line = set(line_of(book))
    measured = measure_books(at=now, book_ids=[book.pk], tail=False)
    gross = measured.column(Metric.GROSS_EXPOSURE, "", "")
    place = {pk: row for row, pk in enumerate(measured.ids)}
    left = [
        limit.hard - float(gross[place[limit.book_id]])
        for limit in limits_in_force(measured.ids, measured.parent, now).rows
        if limit.book_id in line and limit.column == (Metric.GROSS_EXPOSURE, "", "") and math.isfinite(limit.hard)
    ]
    if any(math.isnan(room) for room in left):
        return math.nan
    return max(0.0, min(left, default=math.inf))
