"""Rows and tables of the risk pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.urls import reverse

from portal.book_tree import with_book
from risk.overview import BookRisk, known
from risk.quant.metrics import CODES, Metric
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

_SHOWN = (Metric.GROSS_EXPOSURE, Metric.NET_EXPOSURE, Metric.LEVERAGE, Metric.DRAWDOWN_FRAC)


@dataclass(frozen=True, slots=True)
class Below:
    """A Book directly below the chosen one, with where it stands. None is not known."""

    book: Book
    href: str
    ledger: str
    trading: str
    equity: float | None
    pnl: float | None
    gross: float | None
    net: float | None
    leverage: float | None
    drawdown: float | None
    var: float | None
    es: float | None
    breaches: int


def below_rows(
    risk: BookRisk,
    children: Sequence[Book],
    breached: Iterable[str],
    pages: Mapping[int, str],
    tails: Mapping[int, tuple[float | None, float | None]],
) -> list[Below]:
    """The Books below, the largest exposure first; `breached` are the paths of live breaches' Books: those under one
    count for it."""
    place = {pk: row for row, pk in enumerate(risk.measured.ids)}
    depth = len(risk.book.path.split(PATH_SEPARATOR)) + 1
    counted = Counter(PATH_SEPARATOR.join(path.split(PATH_SEPARATOR)[:depth]) for path in breached)
    rows = []
    for book in children:
        row = place.get(book.pk)
        if row is None:
            continue
        figures = risk.measured.figures[row]
        values = {m: known(float(risk.measured.measured.values[row, CODES[m]])) for m in _SHOWN}
        opened = figures.day_open_equity
        pnl = None if figures.equity is None or opened is None else figures.equity - opened
        var, es = tails.get(book.pk, (None, None))
        rows.append(
            Below(
                book=book,
                href=with_book("portal:risk", book),
                ledger=reverse("portal:book", args=[book.path]),
                trading=pages.get(book.pk, ""),
                equity=figures.equity,
                pnl=pnl,
                gross=values[Metric.GROSS_EXPOSURE],
                net=values[Metric.NET_EXPOSURE],
                leverage=values[Metric.LEVERAGE],
                drawdown=values[Metric.DRAWDOWN_FRAC],
                var=var,
                es=es,
                breaches=counted[book.path],
            )
        )
    return sorted(rows, key=lambda b: (-(b.gross or 0.0), b.book.path))
