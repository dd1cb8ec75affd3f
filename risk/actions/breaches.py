"""Breaches of limits: found, opened, escalated, closed by the evaluation; acknowledged by people.

Those of limits on single orders are opened and escalated by the orders (`risk.actions.order_breaches`), closed here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from django.db import connection, transaction
from django.db.models import Q
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

from fundops.core import clock
from fundops.core.events import publish, publish_all
from fundops.core.models import User
from risk.actions.order_breaches import ORDER_ONLY, QUIET, breach_event
from risk.errors import BreachClosedError
from risk.limits_in_force import Column, LimitRow, LimitsInForce, limits_in_force
from risk.measuring import MeasuredBooks, measure_books
from risk.models import BreachStatus, LimitBreach, RiskLimit
from risk.models.limits import BreachLevel
from risk.quant.bulk import evaluate
from risk.quant.metrics import CODES, HIGHER_IS_TIGHTER, STATE_METRICS, Level, Metric
from risk.switches import changed as modes_changed

#: One evaluation at a time, so that two of them do not open the same breach.
_LOCK = 0x7269736B
_TAIL_METRICS = {Metric.VAR, Metric.VAR_FRAC, Metric.ES, Metric.ES_FRAC}
_UPDATED = ["limit", "level", "actions", "status", "escalated_at", "closed_at"]


@dataclass(slots=True)
class EvaluationSummary:
    """What one evaluation found. `checked` counts Books times the limits that bind them; `unknown` those
    unmeasured.
    """

    at: datetime
    books: int = 0
    checked: int = 0
    unknown: int = 0
    soft: int = 0
    hard: int = 0
    opened: list[int] = field(default_factory=list)
    escalated: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.opened or self.escalated or self.closed)


@dataclass(frozen=True, slots=True)
class _Finding:
    book_id: int
    column: Column
    level: Level
    value: float | None
    limit: LimitRow
    actions: tuple[str, ...]


Key = tuple[int, str, str, str]


def evaluate_limits(
    *, actor: User | None, at: datetime | None = None, book_ids: Collection[int] | None = None
) -> EvaluationSummary:
    """Compares every limit in force with what its Books show, and keeps the breaches.

    Whole funds are evaluated: those that hold `book_ids`, or all. A breach opens when a level is passed,
    escalates from soft to hard, and closes by itself when the metric is back within its limits or what trades in
    the Book has ended. A metric that is not known opens and closes nothing.
    """
    moment = at or clock.now()
    # Measured before the transaction: the source may have to fetch prices.
    measured, limits = _measure(moment, book_ids)
    summary = EvaluationSummary(moment, books=len(measured.ids))
    findings, unknown = find_breaches(measured, limits, summary)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        _keep(measured, limits, findings, unknown, summary, actor=actor)
        if summary.changed:
            modes_changed()  # hard breaches halt and reduce
        if summary.changed or actor is not None:
            publish(
                "risk.limits.evaluated",
                actor=actor,
                payload={
                    "books": summary.books,
                    "checked": summary.checked,
                    "unknown": summary.unknown,
                    "opened": summary.opened,
                    "escalated": summary.escalated,
                    "closed": summary.closed,
                },
                topics=["risk"],
            )
    return summary


def _measure(at: datetime, book_ids: Collection[int] | None) -> tuple[MeasuredBooks, LimitsInForce]:
    tail = RiskLimit.objects.in_force(at).filter(metric__in=_TAIL_METRICS).exists()
    measured = measure_books(at=at, book_ids=book_ids, tail=tail)
    return measured, limits_in_force(measured.ids, measured.parent, at)


def find_breaches(
    measured: MeasuredBooks, limits: LimitsInForce, summary: EvaluationSummary
) -> tuple[dict[Key, _Finding], set[Key]]:
    """Past limits by Book and column, and the columns that could not be judged; counts into `summary`.

    Books in which nothing trades any more are left out: there is nothing to reduce, and their figures stand still.
    """
    found: dict[Key, _Finding] = {}
    unknown: set[Key] = set()
    by_place: dict[tuple[int, Column], list[LimitRow]] = defaultdict(list)
    for limit in limits.rows:
        by_place[limit.book_id, limit.column].append(limit)
    trading = ~measured.at_rest
    for c, (metric, symbol, venue) in enumerate(limits.columns):
        if metric not in STATE_METRICS:
            continue
        soft, hard = limits.bounds.soft[:, c], limits.bounds.hard[:, c]
        rows = np.flatnonzero(~(np.isnan(soft) & np.isnan(hard)) & trading)
        values = measured.column(metric, symbol, venue)[rows]
        code = np.full(rows.shape[0], CODES[metric], dtype=np.int64)
        levels = evaluate(values, soft[rows], hard[rows], code).levels
        summary.checked += rows.shape[0]
        summary.unknown += int((levels == Level.UNKNOWN).sum())
        for i in np.flatnonzero(levels):
            row, level, value = int(rows[i]), Level(int(levels[i])), float(values[i])
            key = (measured.ids[row], metric.value, symbol, venue)
            if level is Level.UNKNOWN:
                unknown.add(key)
                continue
            column = (metric, symbol, venue)
            actions = _actions(measured, by_place, row, column, value) if level is Level.HARD else ()
            source = limits.bounds.hard_from if level is Level.HARD else limits.bounds.soft_from
            found[key] = _Finding(
                measured.ids[row],
                (metric, symbol, venue),
                level,
                value if math.isfinite(value) else None,
                limits.rows[int(source[row, c])],
                actions,
            )
            summary.hard += level is Level.HARD
            summary.soft += level is Level.SOFT
    return found, unknown


def _actions(
    measured: MeasuredBooks,
    by_place: Mapping[tuple[int, Column], Sequence[LimitRow]],
    row: int,
    column: Column,
    value: float,
) -> tuple[str, ...]:
    """What all hard limits that are passed ask for, own and inherited: a tighter one below softens none
    above.
    """
    asked = set()
    while row >= 0:
        for limit in by_place.get((measured.ids[row], column), ()):
            passed = value < limit.hard if column[0] in HIGHER_IS_TIGHTER else value > limit.hard
            if passed:
                asked.add(limit.action)
        row = int(measured.parent[row])
    return tuple(sorted(asked))


def _keep(
    measured: MeasuredBooks,
    limits: LimitsInForce,
    findings: dict[Key, _Finding],
    unknown: set[Key],
    summary: EvaluationSummary,
    *,
    actor: User | None,
) -> None:
    at = summary.at
    live = list(
        LimitBreach.objects.select_for_update(of=("self",))
        .select_related("book")
        .filter(Q(book__in=measured.ids) | Q(book__closed_at__isnull=False))
        .exclude(status=BreachStatus.CLOSED)
        .order_by("limit_id", "book_id")
    )
    running = {(b.book_id, b.metric, b.symbol, b.venue): b for b in live if b.metric not in ORDER_ONLY}
    seen: list[LimitBreach] = []
    turned: list[LimitBreach] = []
    told: list[tuple[str, LimitBreach, _Finding | None]] = []
    for key, breach in running.items():
        finding = findings.pop(key, None)
        if breach.last_seen_at > at:
            continue  # an evaluation that began later has been here already
        if finding is not None:
            before = (breach.limit_id, breach.level, breach.actions)
            if _go_on(breach, finding, at):
                told.append(("escalated", breach, finding))
            if before != (breach.limit_id, breach.level, breach.actions):
                turned.append(breach)
            seen.append(breach)
        elif key not in unknown:
            breach.status, breach.closed_at = BreachStatus.CLOSED, at
            turned.append(breach)
            told.append(("closed", breach, None))
    for breach in live:
        if breach.metric in ORDER_ONLY and _orders_keep_within(breach, limits, at):
            breach.status, breach.closed_at = BreachStatus.CLOSED, at
            turned.append(breach)
            told.append(("closed", breach, None))
    new = [_opened(finding, at) for finding in findings.values()]
    made = bulk_create_with_history(new, LimitBreach, default_user=actor, batch_size=1000) if new else []
    told += [("opened", breach, finding) for breach, finding in zip(made, findings.values(), strict=True)]
    LimitBreach.objects.mark_seen(seen, at)
    if turned:
        bulk_update_with_history(turned, LimitBreach, _UPDATED, default_user=actor, batch_size=1000)
    for verb, breach, _ in told:
        getattr(summary, verb).append(breach.pk)
    publish_all(
        [
            breach_event(verb, breach, threshold=None if finding is None else _threshold(finding), actor=actor)
            for verb, breach, finding in told
        ]
    )


def _orders_keep_within(breach: LimitBreach, limits: LimitsInForce, at: datetime) -> bool:
    """Whether a breach of a limit on orders is over: none has passed it for a while, or it binds nobody any more."""
    binds = breach.book.closed_at is None and any(r.pk == breach.limit_id for r in limits.rows)
    return not binds or at - breach.last_seen_at >= QUIET


def _threshold(finding: _Finding) -> float:
    return finding.limit.hard if finding.level is Level.HARD else finding.limit.soft


def _opened(finding: _Finding, at: datetime) -> LimitBreach:
    metric, symbol, venue = finding.column
    hard = finding.level is Level.HARD
    return LimitBreach(
        limit_id=finding.limit.pk,
        book_id=finding.book_id,
        metric=metric.value,
        symbol=symbol,
        venue=venue,
        level=BreachLevel.HARD if hard else BreachLevel.SOFT,
        actions=list(finding.actions),
        opened_at=at,
        escalated_at=at if hard else None,
        last_seen_at=at,
        first_value=finding.value,
        worst_value=finding.value,
        last_value=finding.value,
    )


def _go_on(breach: LimitBreach, finding: _Finding, at: datetime) -> bool:
    """Brings a running breach up to date; True when it has just become a hard one, which wants attention
    anew.
    """
    escalates = finding.level is Level.HARD and (
        breach.level == BreachLevel.SOFT or not set(finding.actions) <= set(breach.actions)
    )
    breach.actions = list(finding.actions)
    breach.limit_id = finding.limit.pk
    breach.level = BreachLevel.HARD if finding.level is Level.HARD else BreachLevel.SOFT
    breach.last_seen_at, breach.last_value = at, finding.value
    breach.worst_value = _worse(breach.worst_value, finding.value, Metric(breach.metric))
    if escalates:
        breach.escalated_at, breach.status = at, BreachStatus.OPEN
    return escalates


def _worse(a: float | None, b: float | None, metric: Metric) -> float | None:
    if a is None or b is None:
        return None
    return min(a, b) if metric in HIGHER_IS_TIGHTER else max(a, b)


def acknowledge_breach(*, breach: LimitBreach, actor: User, note: str) -> LimitBreach:
    """A person has seen it and says what is done about it; it stays until the metric is back.

    Raises BreachClosedError for one that is over.
    """
    with transaction.atomic():
        held = LimitBreach.objects.select_for_update().get(pk=breach.pk)
        if held.status == BreachStatus.CLOSED:
            raise BreachClosedError("This breach is over; nothing is left to acknowledge.", breach=held.pk)
        held.status = BreachStatus.ACKNOWLEDGED
        held.acknowledged_by, held.acknowledged_at, held.note = actor, clock.now(), note
        held.save(update_fields=["status", "acknowledged_by", "acknowledged_at", "note"])
        publish(
            "risk.breach.acknowledged",
            actor=actor,
            obj=held,
            payload={"book": held.book_id, "limit": held.limit_id, "metric": held.metric, "note": note},
            topics=["risk", f"book:{held.book_id}"],
        )
    return held
