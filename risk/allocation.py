"""What the capital of a Book's strategies could be: a proposal to read, never a change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from fundops.core import clock
from risk.errors import AllocationRefusedError
from risk.measuring import HISTORY_DAYS, measure_books
from risk.quant.allocator import Allocation, AllocationError, Measure, Objective, allocate
from risk.quant.tail import FloatArray
from risk.sources import risk_source
from treasury.models import Book


@dataclass(frozen=True, slots=True)
class AllocationProposal:
    """Rows run along `books`, the strategy Books below one; `capital` is what each would get of the total."""

    books: tuple[Book, ...]
    total: float
    allocation: Allocation

    @property
    def capital(self) -> FloatArray:
        return np.asarray(self.total * self.allocation.after)


def allocation_proposal(
    book: Book,
    *,
    objective: Objective = Objective.RISK_BUDGET,
    measure: Measure = Measure.ES,
    budgets: dict[int, float] | None = None,
    max_turnover: float | None = None,
    minimum: float = 0.0,
    maximum: float = 1.0,
    at: datetime | None = None,
) -> AllocationProposal:
    """Divides the equity of the open Books directly below `book` anew.

    A Book's returns are those that its positions of today would have had over the last year, over its equity;
    `budgets` are shares of risk by Book id. Raises AllocationRefusedError, saying which Book or input stands
    in the way.
    """
    moment = at or clock.now()
    books = tuple(Book.objects.filter(parent=book, closed_at=None).order_by("path"))
    if not books:
        raise AllocationRefusedError(f"Book {book.path} has no open book below it to give capital to.")
    measured = measure_books(at=moment, book_ids=[book.pk], tail=False)
    rows = [measured.row(b.pk) for b in books]
    equity = []
    for b, row in zip(books, rows, strict=True):
        worth, x = measured.figures[row].equity, measured.exposure[row]
        if worth is None or worth <= 0 or not measured.complete[row] or not np.isfinite(x).all():
            raise AllocationRefusedError(f"The equity or the positions of {b.path} are not known.", book=b.path)
        if not x.any():
            raise AllocationRefusedError(f"{b.path} holds nothing: its risk is not known.", book=b.path)
        equity.append(worth)
    if budgets is not None and set(budgets) != {b.pk for b in books}:
        raise AllocationRefusedError("Give a risk budget for each of the books, or for none.")
    capital, total = np.array(equity), float(sum(equity))
    exposure = measured.exposure[rows]
    held = (exposure != 0).any(axis=0)
    symbols = [s for s, here in zip(measured.symbols, held, strict=True) if here]
    returns = risk_source().daily_returns(symbols, HISTORY_DAYS, moment)
    try:
        found = allocate(
            returns @ exposure[:, held].T / capital,
            capital / total,
            objective=objective,
            measure=measure,
            budgets=None if budgets is None else np.array([budgets[b.pk] for b in books]),
            minimum=minimum,
            maximum=maximum,
            max_turnover=max_turnover,
        )
    except AllocationError as error:
        raise AllocationRefusedError(str(error)) from error
    return AllocationProposal(books, total, found)
