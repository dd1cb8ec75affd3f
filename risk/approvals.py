"""What of risk passes the gate: setting a limit as an approval request (`risk.set_limit`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from django.db import transaction
from pydantic import AwareDatetime, Field

from compliance.approvals.registry import (
    ActionPayload,
    DisplayedField,
    Target,
    Warrant,
    register_action,
)
from fundops.core import clock
from fundops.core.models import User
from risk.actions.limits import set_limit
from risk.errors import LimitScopeError
from risk.models import HardAction, RiskLimit
from risk.quant.metrics import Metric, describe
from treasury.models import Book

Level = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=38)]


class SetLimit(ActionPayload):
    """One limit of one Book. A level left out limits nothing on that side; dates left out mean from now on."""

    book: str = Field(max_length=400, description="The Book's path.")
    metric: Metric
    soft: Level | None = None
    hard: Level | None = None
    symbol: str = Field(default="", max_length=40)
    venue: str = Field(default="", max_length=40)
    action: HardAction = HardAction.ALERT
    effective_from: AwareDatetime | None = None
    effective_to: AwareDatetime | None = None


class _DryRunError(Exception):
    """Undoes what was only tried."""


def _book(payload: SetLimit) -> Book:
    book = Book.objects.filter(path=payload.book).first()
    if book is None:
        raise LimitScopeError(f"There is no book {payload.book}. Give its path.", book=payload.book)
    return book


def _running(payload: SetLimit) -> RiskLimit | None:
    at: datetime = payload.effective_from or clock.now()
    return (
        RiskLimit.objects.in_force(at)
        .filter(book__path=payload.book, metric=payload.metric, symbol=payload.symbol, venue=payload.venue)
        .first()
    )


def _render(payload: SetLimit) -> Sequence[DisplayedField]:
    _book(payload)
    now = _running(payload)
    scope = ", ".join(part for part in (payload.symbol, payload.venue) if part) or "all of the book"
    return [
        DisplayedField("Book", payload.book, payload.book),
        DisplayedField("Metric", describe(payload.metric), describe(payload.metric)),
        DisplayedField("Scope", scope, scope),
        DisplayedField("Soft level", _said(now.soft) if now else "no limit", _said(payload.soft)),
        DisplayedField("Hard level", _said(now.hard) if now else "no limit", _said(payload.hard)),
        DisplayedField(
            "On a hard breach",
            str(HardAction(now.action).label) if now else "",
            str(payload.action.label),
        ),
        DisplayedField("From", _when(now.effective_from) if now else "", _when(payload.effective_from)),
        DisplayedField("Until", _when(now.effective_to) if now else "", _when(payload.effective_to)),
    ]


def _said(level: Decimal | None) -> str:
    return "none" if level is None else format(level.normalize(), "f")


def _when(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _recheck(payload: SetLimit) -> None:
    """Tries the very thing, and takes it back: what the action would refuse later it refuses now."""
    try:
        with transaction.atomic():
            _set(payload, actor=None, reason="")
            raise _DryRunError
    except _DryRunError:
        return


def _set(payload: SetLimit, *, actor: User | None, reason: str) -> RiskLimit:
    return set_limit(
        book=_book(payload),
        metric=payload.metric,
        soft=payload.soft,
        hard=payload.hard,
        symbol=payload.symbol,
        venue=payload.venue,
        action=payload.action,
        effective_from=payload.effective_from,
        effective_to=payload.effective_to,
        reason=reason,
        actor=actor,
    )


def _target(payload: SetLimit) -> Target:
    book = _book(payload)
    return Target("treasury.book", str(book.pk), f"{payload.metric.value} of {book.path}")


@register_action(
    kind="risk.set_limit",
    title="Set a risk limit",
    payload=SetLimit,
    maker_permission="risk.set_limit",
    render=_render,
    recheck=_recheck,
    target=_target,
)
def set_limit_as_approved(payload: SetLimit, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the limit in force, in the name of who released the request."""
    limit = _set(payload, actor=warrant.actor, reason=f"Approval request {warrant.request_id}")
    return {"limit": limit.pk, "effective_from": limit.effective_from}
