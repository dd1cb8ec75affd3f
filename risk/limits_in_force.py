"""Which limits bind which Book: the rows in force, and the tightest of own and inherited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from risk.models import RiskLimit
from risk.quant.bulk import Bounds, IntArray, effective_bounds
from risk.quant.metrics import HIGHER_IS_TIGHTER, Metric

Column = tuple[Metric, str, str]


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit in force, as numbers."""

    pk: int
    book_id: int
    column: Column
    soft: float
    hard: float
    action: str


@dataclass(frozen=True, slots=True)
class LimitsInForce:
    """`bounds` has a row for each Book (in the order asked for) and a column for each of `columns`."""

    rows: tuple[LimitRow, ...]
    columns: tuple[Column, ...]
    bounds: Bounds


def limits_in_force(ids: Sequence[int], parent: IntArray, at: datetime) -> LimitsInForce:
    """The effective limits of the Books `ids`; `parent` as in `risk.quant.bulk`. One query."""
    place = {pk: i for i, pk in enumerate(ids)}
    found = RiskLimit.objects.in_force(at).filter(book__in=ids).order_by("pk")
    rows = tuple(
        LimitRow(
            pk,
            book_id,
            (Metric(metric), symbol, venue),
            float("nan") if soft is None else float(soft),
            float("nan") if hard is None else float(hard),
            action,
        )
        for pk, book_id, metric, symbol, venue, soft, hard, action in found.values_list(
            "pk", "book_id", "metric", "symbol", "venue", "soft", "hard", "action"
        )
    )
    columns = tuple(sorted({r.column for r in rows}))
    column_place = {column: i for i, column in enumerate(columns)}
    bounds = effective_bounds(
        parent,
        np.array([place[r.book_id] for r in rows], dtype=np.int64),
        np.array([column_place[r.column] for r in rows], dtype=np.int64),
        np.array([r.soft for r in rows], dtype=np.float64),
        np.array([r.hard for r in rows], dtype=np.float64),
        np.array([c[0] in HIGHER_IS_TIGHTER for c in columns], dtype=np.bool_),
    )
    return LimitsInForce(rows, columns, bounds)
