"""Policies for leverage and overrides put in force through the gate, and the evidence decisions are made from."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from compliance.actions.approvals import draft_request, submit_request
from compliance.models import ApprovalRequest
from fundops.core.models import User
from risk.quant.leverage import Performance
from tests.compliance.approvals.support import People, carry_through

LEVERAGE = "risk.set_leverage_policy"
OVERRIDES = "risk.set_override_policy"
OVERRIDE = "risk.override_guardrail"
LIMIT = "risk.set_limit"

#: As in test_leverage_rules: a Sharpe of 3.68 over 14 days.
GOOD = (0.006, -0.004) * 7


def ask(people: People, kind: str, payload: dict[str, Any], *, maker: User | None = None) -> ApprovalRequest:
    asker = maker or people.maker
    request = draft_request(kind=kind, payload=payload, reason="It is needed.", actor=asker)
    return submit_request(request_id=request.pk, actor=asker)


def through_the_gate(people: People, kind: str, payload: dict[str, Any]) -> ApprovalRequest:
    request = carry_through(ask(people, kind, payload), people)
    assert request.state == "executed", request.closing_note
    return request


def did(returns: tuple[float | None, ...], at: datetime, drawdown: float | None = 0.004, **more: Any) -> Performance:
    """How a Book did up to the last midnight before `at`."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return Performance(returns, midnight, drawdown, **more)


def days(n: float) -> timedelta:
    return timedelta(days=n)
