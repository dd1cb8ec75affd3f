"""Breaches of limits on single orders, which no state of a Book shows: kept by what orders were told.

Opened by the first order that passes a soft level, kept up by those that follow, made hard by one that the hard level
denies or cuts, closed by the evaluation when none has passed for `QUIET`. A hard one asks for nothing but attention:
the order never got past the level, so there is nothing to halt, to reduce or to flatten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from fundops.core import clock
from fundops.core.events import Event, publish_all
from fundops.core.models import User
from risk.models import HardAction, LimitBreach, RiskLimit
from risk.quant.metrics import METRICS, STATE_METRICS

#: Metrics that exist only while an order is checked. The order rate is a state: the evaluation sees it.
ORDER_ONLY = frozenset(METRICS) - STATE_METRICS
#: No order past its level for so long, and a breach is over.
QUIET = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PassedLevel:
    """An order of a Book past the soft level of a limit on orders, in time order among others; `hard` where a hard
    level denied or cut it. `value` is in the unit of the metric, None where it is infinite."""

    book_id: int
    limit_id: int
    value: float | None
    hard: bool = False


@dataclass(slots=True)
class _Seen:
    """All orders of one Book past one limit."""

    first: float | None
    worst: float | None
    last: float | None
    hard: bool


_Key = tuple[int, int]

_SEEN_AGAIN = """
UPDATE risk_limitbreach AS b
   SET last_seen_at = greatest(b.last_seen_at, %s), last_value = v.last, worst_value = greatest(b.worst_value, v.worst)
  FROM unnest(%s::bigint[], %s::bigint[], %s::float8[], %s::float8[]) AS v (limit_id, book_id, worst, last)
 WHERE b.limit_id = v.limit_id AND b.book_id = v.book_id AND b.status <> 'closed'
RETURNING b.limit_id, b.book_id, b.id, b.level
"""
# Two at once open one breach: the second waits for the first, and leaves it as it is.
_OPEN = """
INSERT INTO risk_limitbreach (limit_id, book_id, metric, symbol, venue, level, actions, status, opened_at,
                              escalated_at, last_seen_at, first_value, worst_value, last_value, note)
SELECT l.id, v.book_id, l.metric, l.symbol, l.venue, CASE WHEN v.hard THEN 'hard' ELSE 'soft' END,
       CASE WHEN v.hard THEN ARRAY[%s]::varchar[] ELSE ARRAY[]::varchar[] END, 'open', %s,
       CASE WHEN v.hard THEN %s END, %s, v.first, v.worst, v.last, ''
  FROM unnest(%s::bigint[], %s::bigint[], %s::boolean[], %s::float8[], %s::float8[], %s::float8[])
           AS v (limit_id, book_id, hard, first, worst, last)
  JOIN risk_risklimit l ON l.id = v.limit_id
 ORDER BY v.limit_id, v.book_id
    ON CONFLICT (limit_id, book_id) WHERE NOT (status = 'closed') DO NOTHING
RETURNING id
"""


def note_order_levels(passed: Sequence[PassedLevel]) -> None:
    """Brings the breaches up to date with what orders have passed, in time order. Nothing passed asks nothing of the
    database, what is running already takes one statement. In the caller's transaction, with the audit events."""
    if not passed:
        return
    at = clock.now()
    seen = _summed(passed)
    running = _seen_again(seen, at)
    _open({key: one for key, one in seen.items() if key not in running}, at)
    _make_hard([pk for key, (pk, level) in running.items() if seen[key].hard and level == "soft"], at)


def _summed(passed: Sequence[PassedLevel]) -> dict[_Key, _Seen]:
    """By limit and Book, in the order in which everybody locks the rows."""
    seen: dict[_Key, _Seen] = {}
    for one in passed:
        before = seen.get((one.limit_id, one.book_id))
        if before is None:
            seen[one.limit_id, one.book_id] = _Seen(one.value, one.value, one.value, one.hard)
            continue
        before.last, before.hard = one.value, before.hard or one.hard
        known = before.worst is not None and one.value is not None
        before.worst = max(before.worst or 0.0, one.value or 0.0) if known else None
    return dict(sorted(seen.items()))


def _seen_again(seen: dict[_Key, _Seen], at: datetime) -> dict[_Key, tuple[int, str]]:
    """Their ids and levels by limit and Book."""
    with connection.cursor() as cursor:
        cursor.execute(
            _SEEN_AGAIN,
            [at, [k[0] for k in seen], [k[1] for k in seen], [s.worst for s in seen.values()],
             [s.last for s in seen.values()]],
        )  # fmt: skip
        return {(limit, book): (pk, level) for limit, book, pk, level in cursor.fetchall()}


def _open(new: dict[_Key, _Seen], at: datetime) -> None:
    if not new:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _OPEN,
            [HardAction.ALERT.value, at, at, at, [k[0] for k in new], [k[1] for k in new],
             [s.hard for s in new.values()], [s.first for s in new.values()], [s.worst for s in new.values()],
             [s.last for s in new.values()]],
        )  # fmt: skip
        made = [pk for (pk,) in cursor.fetchall()]
    _tell("opened", made, changed=False)


def _make_hard(ids: Sequence[int], at: datetime) -> None:
    """They want attention anew: an acknowledged one is open again."""
    if not ids:
        return
    LimitBreach.objects.filter(pk__in=ids).update(
        level="hard", actions=[HardAction.ALERT], status="open", escalated_at=at
    )
    _tell("escalated", ids, changed=True)


def _tell(verb: str, ids: Sequence[int], *, changed: bool) -> None:
    breaches = list(LimitBreach.objects.filter(pk__in=ids).select_related("limit").order_by("pk"))
    LimitBreach.history.bulk_history_create(breaches, update=changed)
    publish_all([breach_event(verb, b, threshold=_threshold(b.limit, b.level), actor=None) for b in breaches])


def breach_event(verb: str, breach: LimitBreach, *, threshold: float | None, actor: User | None) -> Event:
    """What became of a breach, and the level that was passed."""
    return Event(
        f"risk.breach.{verb}",
        actor=actor,
        obj=breach,
        payload={
            "book": breach.book_id,
            "limit": breach.limit_id,
            "metric": breach.metric,
            "symbol": breach.symbol,
            "venue": breach.venue,
            "level": breach.level,
            "value": breach.last_value,
            "threshold": threshold,
            "actions": breach.actions,
        },
        topics=["risk", f"book:{breach.book_id}"],
    )


def _threshold(limit: RiskLimit, level: str) -> float | None:
    """Of the row whose soft level was passed; its hard level may stand in another row."""
    found = limit.hard if level == "hard" else limit.soft
    return None if found is None else float(found)
