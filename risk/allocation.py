"""What the capital of a Book's strategies could be: a proposal with its reasons, never a change by itself."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from fundops.core import clock
from risk.errors import AllocationRefusedError
from risk.measuring import HISTORY_DAYS, MeasuredBooks, measure_books
from risk.overview import complete_days
from risk.quant.allocator import Allocation, AllocationError, Measure, Objective, allocate
from risk.quant.tail import FloatArray, historical
from risk.sources import risk_source
from treasury.models import Book

#: ES and its contributions are taken at this level: 99 % of a year rests on less than four days.
LEVEL = 0.95
_UNMOVED = 0.0005


@dataclass(frozen=True, slots=True)
class AllocationProposal:
    """Rows run along `books`, the strategy Books below one; `capital` is what each would get of the total.

    `budgets` are the shares of risk asked for (n,), None where the method has none. `risk_before` and `risk_after` are
    the measure's one-day figure over the total, None where it cannot be told.
    """

    parent: Book
    books: tuple[Book, ...]
    total: float
    allocation: Allocation
    objective: Objective
    measure: Measure
    level: float
    minimum: float
    maximum: float
    max_turnover: float | None
    budgets: FloatArray | None
    at: datetime
    risk_before: float | None
    risk_after: float | None

    @property
    def capital(self) -> FloatArray:
        return np.asarray(self.total * self.allocation.after)

    @property
    def capital_before(self) -> FloatArray:
        return np.asarray(self.total * self.allocation.before)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Book that capital could be divided over. ``equity`` in the fund's base asset, None where it is not known;
    ``obstacle`` says after its name why it cannot take part; ``at_rest`` that what traded in it has ended."""

    book: Book
    equity: float | None
    obstacle: str
    at_rest: bool

    @property
    def suits(self) -> bool:
        """It trades, and its risk is known."""
        return not self.obstacle and not self.at_rest


def allocation_candidates(book: Book, *, at: datetime | None = None) -> list[Candidate]:
    """The open Books directly below one, by path."""
    return _candidates(book, at or clock.now())[1]


def _candidates(book: Book, at: datetime) -> tuple[MeasuredBooks, list[Candidate]]:
    measured = measure_books(at=at, book_ids=[book.pk], tail=False)
    found = []
    for below in Book.objects.filter(parent=book, closed_at=None).order_by("path"):
        row = measured.row(below.pk)
        figures, exposure = measured.figures[row], measured.exposure[row]
        known = measured.complete[row] and np.isfinite(exposure).all()
        obstacle = ""
        if figures.equity is None or not known:
            obstacle = "has an equity or positions that are not known"
        elif figures.equity <= 0:
            obstacle = "has no equity"
        elif not exposure.any():
            obstacle = "holds nothing: its risk is not known"
        found.append(Candidate(below, figures.equity, obstacle, figures.at_rest))
    return measured, found


def allocation_proposal(
    book: Book,
    *,
    objective: Objective = Objective.RISK_BUDGET,
    measure: Measure = Measure.ES,
    budgets: dict[int, float] | None = None,
    max_turnover: float | None = None,
    minimum: float = 0.0,
    maximum: float = 1.0,
    among: Collection[int] | None = None,
    at: datetime | None = None,
) -> AllocationProposal:
    """Divides the equity of the open Books directly below `book` (those of `among`, or all) anew.

    A Book's returns are those that its positions of today would have had over the last year, over its equity;
    `budgets` are shares of risk by Book id. Raises AllocationRefusedError, saying which Book or input stands
    in the way.
    """
    moment = at or clock.now()
    measured, found = _candidates(book, moment)
    chosen = [c for c in found if among is None or c.book.pk in set(among)]
    if not chosen:
        raise AllocationRefusedError(f"Book {book.path} has no open book below it to give capital to.")
    for candidate in chosen:
        if candidate.obstacle:
            path = candidate.book.path
            raise AllocationRefusedError(f"{path} {candidate.obstacle}. Leave it out, or wait.", book=path)
    books = tuple(c.book for c in chosen)
    rows = [measured.row(b.pk) for b in books]
    equity = [c.equity for c in chosen if c.equity is not None]
    if budgets is not None and set(budgets) != {b.pk for b in books}:
        raise AllocationRefusedError("Give a risk budget for each of the books, or for none.")
    capital, total = np.array(equity), float(sum(equity))
    exposure = measured.exposure[rows]
    held = (exposure != 0).any(axis=0)
    symbols = [s for s, here in zip(measured.symbols, held, strict=True) if here]
    returns, lacking = complete_days(risk_source().daily_returns(symbols, HISTORY_DAYS, moment), symbols)
    if lacking:
        raise AllocationRefusedError(f"The daily returns of {', '.join(lacking)} are not known.")
    own = returns @ exposure[:, held].T / capital
    shares = None if budgets is None else np.array([budgets[b.pk] for b in books])
    try:
        division = allocate(
            own,
            capital / total,
            objective=objective,
            measure=measure,
            budgets=shares,
            alpha=LEVEL,
            minimum=minimum,
            maximum=maximum,
            max_turnover=max_turnover,
        )
    except AllocationError as error:
        raise AllocationRefusedError(str(error)) from error
    if objective is not Objective.RISK_BUDGET:
        shares = None
    elif shares is None:
        shares = np.full(len(books), 1.0 / len(books))
    return AllocationProposal(
        book,
        books,
        total,
        division,
        objective,
        measure,
        LEVEL,
        minimum,
        maximum,
        max_turnover,
        None if shares is None else shares / shares.sum(),
        moment,
        _whole(own @ division.before, measure),
        _whole(own @ division.after, measure),
    )


def _whole(returns: FloatArray, measure: Measure) -> float | None:
    """The measure of the sum of Books, over the total, one day: ES, or the standard deviation for the variance."""
    x = historical(returns, LEVEL).es if measure is Measure.ES else float(np.std(returns, ddof=1))
    return x if math.isfinite(x) else None


# --- Why, in words ------------------------------------------------------------------------------------------
def reason_of(proposal: AllocationProposal, row: int) -> str:
    """Why one Book gets what it would get."""
    a = proposal.allocation
    before, after = float(a.before[row]), float(a.after[row])
    share, then = float(a.share_before[row]), float(a.share_after[row])
    what = "ES" if proposal.measure is Measure.ES else "variance"
    parts = []
    if math.isfinite(share):
        if share < 0:
            parts.append(f"It lowers the {what} of the others by {-share:.1%} of the whole")
        else:
            parts.append(f"It carries {share:.1%} of the {what} on {before:.1%} of the capital")
    if proposal.budgets is not None:
        parts.append(f"its risk budget is {float(proposal.budgets[row]):.1%}")
    elif proposal.objective is Objective.MINIMUM_RISK:
        parts.append(f"the whole is to have the least {what}")
    else:
        parts.append("the whole is to have the best ratio of mean return to risk")
    if abs(after - before) < _UNMOVED:
        parts.append("its capital stays")
    else:
        moved = "grows" if after > before else "falls"
        parts.append(f"its capital {moved} to {after:.1%}")
        if math.isfinite(then):
            parts.append(f"which leaves it {then:.1%} of the {what}")
    for bound, name in ((proposal.minimum, "smallest"), (proposal.maximum, "largest")):
        if 0.0 < bound < 1.0 and abs(float(a.wanted[row]) - bound) < 1e-4:
            parts.append(f"held at the {name} weight allowed, {bound:.1%}")
    return ", ".join(parts) + "."


def summary_of(proposal: AllocationProposal) -> str:
    """The method, what it rests on and what held it back, in a few sentences."""
    a = proposal.allocation
    what = f"ES at {proposal.level:.0%}" if proposal.measure is Measure.ES else "variance"
    even = proposal.budgets is not None and float(np.ptp(proposal.budgets)) < 1e-9
    method = {
        Objective.RISK_BUDGET: "every book carries the same share" if even else "every book carries its budgeted share",
        Objective.MINIMUM_RISK: "the whole has the least",
        Objective.MAXIMUM_RATIO: "mean return over risk is the highest, with the sample's mean for a forecast, by the",
    }[proposal.objective]
    sentences = [f"The capital is divided so that {method} {'of the ' if 'share' in method else ''}{what}"]
    sentences[0] += f", from {a.n} days of returns that the positions of now would have had."
    if a.step < 1.0 and proposal.max_turnover is not None:
        sentences.append(
            f"The turnover limit of {proposal.max_turnover:.1%} stops it after {a.step:.0%} of the way to the optimum."
        )
    if proposal.risk_before is not None and proposal.risk_after is not None:
        name = "one-day ES" if proposal.measure is Measure.ES else "daily deviation"
        sentences.append(
            f"The {name} goes from {proposal.risk_before:.2%} to {proposal.risk_after:.2%} of the capital."
        )
    return " ".join(sentences)
