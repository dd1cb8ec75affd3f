"""Who refused an order of a cohort: the venue that the engine simulates, we ourselves, or nobody and it waits.

REJECTED is the venue's word: tick, lot, minimum notional, balance. DENIED is what our limits, rules, modes and
restrictions say, before a venue would hear of it. An order that is larger than the market's volume lets is cut and
goes on with the next bars. The stored reason tells which; nothing else is kept.
"""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Count, F, IntegerField, Model, OuterRef, QuerySet, Subquery, TextChoices, Value
from django.db.models.functions import Coalesce

from trading.models.cohort import AgentDay, CohortDay, CohortRejection
from trading.quant.engine import RejectionReason


class Refusal(TextChoices):
    REJECTED = "rejected", "Rejected by the venue"
    DENIED = "denied", "Denied here"
    WAITING = "waiting", "Waits for volume"


def _names(*reasons: RejectionReason) -> frozenset[str]:
    return frozenset(reason.name.lower() for reason in reasons)


BY_VENUE = _names(
    RejectionReason.LOT_TOO_SMALL,
    RejectionReason.MIN_NOTIONAL,
    RejectionReason.INSUFFICIENT_BALANCE,
    RejectionReason.TICK_TOO_SMALL,
)
FOR_VOLUME = _names(RejectionReason.PARTICIPATION, RejectionReason.NO_VOLUME)


def refusal_of(reason: str) -> Refusal:
    """Who is behind a stored reason; what neither the venue nor the volume says is ours."""
    if reason in BY_VENUE:
        return Refusal.REJECTED
    return Refusal.WAITING if reason in FOR_VOLUME else Refusal.DENIED


Day = TypeVar("Day", AgentDay, CohortDay)


def with_refusals(days: QuerySet[Day]) -> QuerySet[Day]:
    """Days with `rejected`, `waiting` and `denied`, which together are their `rejections`.

    A day's refusals are those of bars that opened on it.
    """
    owner = "agent" if days.model is AgentDay else "cohort"
    told = {"rejected": _count(owner, BY_VENUE), "waiting": _count(owner, FOR_VOLUME)}
    rest = {"denied": F("rejections") - F("rejected") - F("waiting")}
    return days.annotate(**told).annotate(**rest)


def _count(owner: str, reasons: frozenset[str]) -> Coalesce:
    rows: QuerySet[Model] = CohortRejection.objects.filter(
        **{owner: OuterRef(owner)}, at__date=OuterRef("date"), reason__in=sorted(reasons)
    )
    counted = rows.order_by().values(owner).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), Value(0))
