"""Which limits bind which Book: the rows in force, and the tightest of own and inherited.

An override in force loosens the one row it was granted for; the leverage that was decided on a Book binds it like a
hard limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from risk.leverage import decided_leverage
from risk.models import HardAction, RiskLimit
from risk.overrides import loosened_limits
from risk.quant.bulk import Bounds, IntArray, effective_bounds
from risk.quant.metrics import HIGHER_IS_TIGHTER, Metric

Column = tuple[Metric, str, str]


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit in force, as numbers. `pk` is 0 where no row but a decision on leverage is behind it;
    `override_id` names the override that loosens it now.
    """

    pk: int
    book_id: int
    column: Column
    soft: float
    hard: float
    action: str
    override_id: int | None = None
    decision_id: int | None = None

    @property
    def origin(self) -> str:
        """What the hard level comes from, where that is not simply the limit; reasons of the check call it so."""
        if self.decision_id is not None:
            return f"leverage decision {self.decision_id}"
        return "" if self.override_id is None else f"limit {self.pk} as overridden by {self.override_id}"


@dataclass(frozen=True, slots=True)
class LimitsInForce:
    """`bounds` has a row for each Book (in the order asked for) and a column for each of `columns`."""

    rows: tuple[LimitRow, ...]
    columns: tuple[Column, ...]
    bounds: Bounds


def limits_in_force(ids: Sequence[int], parent: IntArray, at: datetime, *, decided: bool = False) -> LimitsInForce:
    """The effective limits of the Books `ids`; `parent` as in `risk.quant.bulk`. Two queries.

    `decided` adds the leverage decided on Books: it binds orders, and is no row that could be in breach.
    """
    place = {pk: i for i, pk in enumerate(ids)}
    found = RiskLimit.objects.in_force(at).filter(book__in=ids).order_by("pk")
    loosened = loosened_limits(ids, at)
    rows = tuple(
        LimitRow(
            pk,
            book_id,
            (Metric(metric), symbol, venue),
            float("nan") if soft is None else float(soft),
            float("nan") if hard is None else float(loosened[pk].level if pk in loosened else hard),
            action,
            override_id=loosened[pk].override_id if pk in loosened else None,
        )
        for pk, book_id, metric, symbol, venue, soft, hard, action in found.values_list(
            "pk", "book_id", "metric", "symbol", "venue", "soft", "hard", "action"
        )
    )
    if decided:
        rows += tuple(
            LimitRow(
                0,
                d.book_id,
                (Metric.LEVERAGE, "", ""),
                float("nan"),
                float(d.leverage),
                HardAction.ALERT.value,
                decision_id=d.decision_id,
            )
            for d in decided_leverage(ids, at=at).values()
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
