"""Limits, budgets and scenarios for tests, each put in force by a signed request of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from compliance.approvals.registry import Warrant
from risk.models import CapitalBudget, HardAction, RiskLimit, ScenarioKind, StressScenario
from risk.quant.metrics import Metric
from tests.gate import by_gate, executing
from treasury.models import Book


def put_limit(
    *,
    book: Book,
    metric: Metric,
    soft: Decimal | None = None,
    hard: Decimal | None = None,
    symbol: str = "",
    venue: str = "",
    action: HardAction = HardAction.ALERT,
    effective_from: datetime | None = None,
    effective_to: datetime | None = None,
) -> RiskLimit:
    """The limit that an executed request set."""
    payload = {
        "book": book.path,
        "metric": metric,
        "soft": soft,
        "hard": hard,
        "symbol": symbol,
        "venue": venue,
        "action": action,
        "effective_from": effective_from,
        "effective_to": effective_to,
    }
    return RiskLimit.objects.get(pk=by_gate("risk.set_limit", payload)["limit"])


def end_limit(limit: RiskLimit) -> RiskLimit:
    by_gate("risk.retire_limit", {"limit": limit.pk})
    limit.refresh_from_db()
    return limit


def put_template(*, book: Book, template: str) -> list[RiskLimit]:
    made = by_gate("risk.apply_template", {"book": book.path, "template": template})["limits"]
    return list(RiskLimit.objects.filter(pk__in=made).order_by("pk"))


def put_budget(*, book: Book, capital: Decimal, risk_share_frac: Decimal | None = None) -> CapitalBudget:
    payload = {"book": book.path, "capital": capital, "risk_share_frac": risk_share_frac}
    return CapitalBudget.objects.get(pk=by_gate("risk.set_budget", payload)["budget"])


def put_scenario(
    *, code: str, name: str, kind: ScenarioKind, parameters: dict[str, Any], max_loss_frac: float | None = None
) -> StressScenario:
    payload = {
        "code": code,
        "name": name,
        "scenario": kind,
        "parameters": parameters,
        "max_loss_frac": None if max_loss_frac is None else Decimal(repr(max_loss_frac)),
    }
    return StressScenario.objects.get(code=by_gate("risk.save_scenario", payload)["scenario"])


@contextmanager
def setting_limits(fund_book: Book, kind: str = "risk.set_limit") -> Iterator[Warrant]:
    """A signed request being executed, in whose transaction the test writes limits."""
    payload: dict[str, Any] = {"book": fund_book.path}
    payload |= {"template": "standard"} if kind == "risk.apply_template" else {"metric": "order_rate", "hard": "1"}
    with executing(kind, payload) as warrant:
        yield warrant
