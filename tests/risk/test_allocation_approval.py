"""A division of capital through the gate: what is signed, what is written, what is refused."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from compliance.actions.approval_execution import execute_request
from compliance.actions.proposing import propose
from compliance.approvals.errors import NotApprovedError, PayloadError
from compliance.approvals.registry import action_for
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.roles import Role
from risk.actions.budgets import ALLOCATE_CAPITAL
from risk.allocation import allocation_proposal
from risk.approvals_allocation import AllocateCapital, payload_of
from risk.errors import AllocationRefusedError, BudgetError
from risk.models import CapitalBudget
from risk.quant.allocator import Measure, Objective
from tests.compliance.approvals.support import staff
from tests.gate import by_gate, ensure_policy, released
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position

pytestmark = pytest.mark.usefixtures("ruled_world")

RNG = np.random.default_rng(23)


@pytest.fixture
def trading(tree: Tree, source: WrittenSource) -> WrittenSource:
    """Trend runs twice its equity in BTC, carry a tenth of it in ETH."""
    source.books = {
        tree.root.pk: figures(2000.0),
        tree.trend.pk: figures(1000.0),
        tree.agent.pk: figures(1000.0, position("BTC", 20.0)),
        tree.carry.pk: figures(1000.0, position("ETH", 1.0)),
    }
    source.returns = {"BTC": RNG.normal(0, 0.03, 365), "ETH": RNG.normal(0, 0.03, 365)}
    return source


@pytest.fixture
def proposed(tree: Tree, trading: WrittenSource) -> AllocateCapital:
    return payload_of(allocation_proposal(tree.root, measure=Measure.VARIANCE, max_turnover=0.5))


def test_the_payload_says_before_after_and_why(proposed: AllocateCapital) -> None:
    carry, trend = proposed.lines
    assert (carry.book, carry.before, trend.before) == ("MAIN/carry", Decimal(1000), Decimal(1000))
    assert carry.after == Decimal("1500.00000000"), "a turnover of a half moves a quarter of the capital each way"
    assert carry.after + trend.after == Decimal(2000)
    assert trend.budget == Decimal("0.5")
    assert trend.risk_before is not None and trend.risk_before > Decimal("0.99")
    assert trend.risk_after is not None and trend.risk_after < trend.risk_before
    assert "of the variance on 50.0% of the capital" in trend.reason
    assert "its capital falls to 25.0%" in trend.reason
    assert "its capital grows to 75.0%" in carry.reason
    assert "365 days" in proposed.summary and "turnover limit of 50.0%" in proposed.summary
    assert proposed.risk_after is not None and proposed.risk_before is not None
    assert proposed.risk_after < proposed.risk_before


def test_an_approved_division_is_in_force_for_every_book(tree: Tree, proposed: AllocateCapital) -> None:
    result = by_gate(ALLOCATE_CAPITAL, action_for(ALLOCATE_CAPITAL).write(proposed))
    budgets = {b.book.path: b for b in CapitalBudget.objects.select_related("book")}
    assert sorted(result["budgets"]) == sorted(b.pk for b in budgets.values())
    assert {path: b.capital for path, b in budgets.items()} == {line.book: line.after for line in proposed.lines}
    assert {b.risk_share_frac for b in budgets.values()} == {0.5}
    assert all("Approval request" in b.reason for b in budgets.values())
    again = by_gate(ALLOCATE_CAPITAL, action_for(ALLOCATE_CAPITAL).write(proposed))
    assert set(again["budgets"]).isdisjoint(result["budgets"])
    assert CapitalBudget.objects.filter(effective_to=None).count() == 2, "a new division ends the one before"


def test_the_approver_sees_each_book_and_its_reason(proposed: AllocateCapital) -> None:
    request = released(ALLOCATE_CAPITAL, action_for(ALLOCATE_CAPITAL).write(proposed))
    text = request.statements.get().canonical
    for part in (
        "Capital of MAIN/trend",
        "with no budget in force",
        "Risk carried by MAIN/carry",
        "Why, for MAIN/trend",
    ):
        assert part in text
    assert request.amount == Decimal(500)


def test_nothing_writes_budgets_without_the_request(proposed: AllocateCapital) -> None:
    with pytest.raises(NotApprovedError):
        action_for(ALLOCATE_CAPITAL)(proposed)
    assert not CapitalBudget.objects.exists()


def test_figures_that_are_old_are_not_approved(proposed: AllocateCapital) -> None:
    request = released(ALLOCATE_CAPITAL, action_for(ALLOCATE_CAPITAL).write(proposed))
    stale = AllocateCapital.model_validate(proposed.model_dump() | {"as_of": NOW - timedelta(days=8)})
    with pytest.raises(AllocationRefusedError, match="good for 7 days"):
        action_for(ALLOCATE_CAPITAL).recheck(stale)
    with clock.frozen(NOW + timedelta(days=8)):
        record = execute_request(request_id=request.pk)
    assert record is None or record.outcome != "executed"
    assert not CapitalBudget.objects.exists()


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"parent": "MAIN/nowhere"}, AllocationRefusedError, "no book MAIN/nowhere"),
        ({"parent": "MAIN/trend"}, AllocationRefusedError, "no book directly below"),
        ({"lines": 0}, PayloadError, "lines"),
        ({"lines": 1}, AllocationRefusedError, "divide"),
        ({"lines": 4}, AllocationRefusedError, "named twice"),
    ],
)
def test_what_makes_no_sense_is_refused_at_submission(
    tree: Tree, proposed: AllocateCapital, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    ensure_policy(ALLOCATE_CAPITAL)
    payload = action_for(ALLOCATE_CAPITAL).write(proposed)
    if "lines" in change:
        count = change["lines"]
        lines = payload["lines"] * 2
        change = {"lines": lines[:count]}
        if count == 1:
            change["lines"][0] = lines[0] | {"after": "1"}
    with pytest.raises(error, match=says):
        propose(kind=ALLOCATE_CAPITAL, payload=payload | change, reason="Try", actor=staff("rosa", Role.RISK_OFFICER))


def test_amounts_that_are_none_are_refused(tree: Tree, proposed: AllocateCapital) -> None:
    payload = action_for(ALLOCATE_CAPITAL).write(proposed)
    for bad in ("NaN", "-1", "Infinity", "words"):
        line = payload["lines"][0] | {"after": bad}
        with pytest.raises(PayloadError):
            action_for(ALLOCATE_CAPITAL).read(payload | {"lines": [line, payload["lines"][1]]})


def test_a_closed_book_gets_no_capital(tree: Tree, proposed: AllocateCapital) -> None:
    type(tree.carry).objects.filter(pk=tree.carry.pk).update(closed_at=NOW)
    with pytest.raises(BudgetError, match="closed"):
        action_for(ALLOCATE_CAPITAL).recheck(proposed)


def test_who_may_not_set_budgets_may_not_ask(tree: Tree, proposed: AllocateCapital) -> None:
    with pytest.raises(PermissionMissingError):
        propose(kind=ALLOCATE_CAPITAL, payload=proposed, reason="Please", actor=staff("otto", Role.COMPLIANCE_OFFICER))


def test_every_method_gives_a_payload_that_passes(tree: Tree, trading: WrittenSource) -> None:
    trading.returns = {name: series + 0.005 for name, series in trading.returns.items()}
    for objective in Objective:
        for measure in Measure:
            found = payload_of(allocation_proposal(tree.root, objective=objective, measure=measure, maximum=0.9))
            action_for(ALLOCATE_CAPITAL).recheck(found)
            assert sum(line.after for line in found.lines) == Decimal(2000)
            assert all(line.reason.endswith(".") for line in found.lines)


def test_books_that_hold_nothing_can_be_left_out(tree: Tree, trading: WrittenSource) -> None:
    trading.books[tree.carry.pk] = figures(1000.0)
    with pytest.raises(AllocationRefusedError, match="Leave it out"):
        allocation_proposal(tree.root)
    found = allocation_proposal(tree.root, among=[tree.trend.pk])
    assert [b.code for b in found.books] == ["trend"]
    assert found.capital.tolist() == [1000.0]
