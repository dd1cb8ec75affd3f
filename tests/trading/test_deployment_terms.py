"""What a deployment may be given: the sizing rule beside what is asked, the exposure cap, the strategy's budget."""

from __future__ import annotations

import math
import statistics
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from compliance.actions.approval_execution import execute_request
from compliance.models import ApprovalExecution, RequestState
from risk.quant.sizing import Binding
from tests.gate import by_gate, ensure_policy, released
from tests.trading.desk.conftest import cohort as cohort
from tests.trading.desk.support import by_family, deploy
from tests.trading.desk.test_seating import shown
from trading.actions.deployments import stop_deployment
from trading.deployment_terms import budget_headroom, exposure_headroom, sizing_of
from trading.desk.drive import run_desks
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import Cohort, CohortAgent
from trading.models.deployments import Deployment

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]


@pytest.fixture
def agent(cohort: Cohort) -> CohortAgent:
    return by_family(cohort, "buy_and_hold")


def test_the_rule_is_worked_from_the_agents_own_hours(agent: CohortAgent) -> None:
    """Volatility target 30 %, half of Kelly: counted here once more from the cohort's hours."""
    hours = [x for day in agent.agent_days.all() for x in day.hourly_roi if x is not None]
    assert len(hours) == 24
    volatility = statistics.stdev(hours) * math.sqrt(8760)
    expected = statistics.fmean(hours) * 8760
    by_target, by_kelly = 0.3 / volatility, max(0.0, 0.5 * expected / volatility**2)
    advice = sizing_of(agent, Decimal(200))
    assert advice.leverage == pytest.approx(min(by_target, by_kelly))
    assert advice.notional == pytest.approx(200 * min(by_target, by_kelly))
    assert advice.binding is (Binding.VOLATILITY_TARGET if by_target <= by_kelly else Binding.KELLY)
    assert "24 hours of the cohort alone, which it was picked by" in advice.words


def test_signers_read_what_is_asked_beside_the_rule(agent: CohortAgent) -> None:
    advice = sizing_of(agent, Decimal(100))
    assert advice.leverage is not None
    much = shown(agent, leverage="10", limits_template="")
    assert much["Sizing rule"] == advice.words
    assert (
        f"at most 10 x (as asked); 1 x at first; above the sizing rule: it recommends {advice.leverage:.2f} x"
        == (much["Leverage"])
    )
    held = shown(agent, leverage="2")["Leverage"]
    assert held.startswith("at most 0.5 x (the micro-live limits)")
    little = shown(agent, leverage="0.001", limits_template="")["Leverage"]
    assert ("above the sizing rule" in little) is (advice.leverage < 0.001)


def test_the_exposure_cap_above_leaves_what_deployments_have_not_taken(agent: CohortAgent) -> None:
    assert exposure_headroom(agent) is None
    by_gate("risk.set_limit", {"book": "TEST", "metric": "gross_exposure", "hard": "250"})
    deploy(agent, bankroll="100", leverage="1.5", limits_template="")
    assert exposure_headroom(agent) == Decimal("100.00")
    deploy(agent, bankroll="100", leverage="1.5", limits_template="")
    assert exposure_headroom(agent) == 0
    advice = sizing_of(agent, Decimal(100))
    assert advice.notional == 0


def budgeted(agent: CohortAgent, capital: str) -> Deployment:
    """A first deployment of 60, which opens the strategy's Book, and a budget for it."""
    first = deploy(agent, bankroll="60")
    assert first.book.parent is not None
    by_gate("risk.set_budget", {"book": first.book.parent.path, "capital": capital})
    return first


def test_nothing_is_drawn_beyond_the_budget_of_the_strategy(agent: CohortAgent, cohort: Cohort) -> None:
    first = budgeted(agent, "150")
    headroom = budget_headroom(agent)
    assert headroom is not None
    assert [headroom.capital, headroom.drawn, headroom.left] == [150, 60, 90]
    assert first.book.parent is not None
    assert headroom.words.endswith("60.00 drawn, 90.00 left")
    assert shown(agent, bankroll="90")["Capital budget"] == f"150.00 USDT for {first.book.parent.path}"
    with pytest.raises(DeploymentSpecError, match=r"60\.00 drawn, 90\.00 left; 90\.01 USDT more would pass it"):
        deploy(agent, bankroll="90.01")
    deploy(agent, bankroll="90")
    with pytest.raises(DeploymentSpecError, match=r"0\.00 left"):
        deploy(agent, bankroll="50")
    deploy(by_family(cohort, "tsmom_volatility"), bankroll="500")  # another strategy has no budget
    stop_deployment(deployment=first, reason="Room for another.", flatten=True, actor=None)
    run_desks()
    deploy(agent, bankroll="60")


def test_a_budget_that_has_shrunk_is_asked_again_at_execution(agent: CohortAgent) -> None:
    first = budgeted(agent, "500")
    assert first.book.parent is not None
    request = released("trading.deploy", {"agent": agent.pk, "bankroll": "200", "reason": "A test asks."})
    by_gate("risk.set_budget", {"book": first.book.parent.path, "capital": "100"})
    record = execute_request(request_id=request.pk)
    assert record is not None
    assert record.outcome == RequestState.FAILED
    assert Deployment.objects.count() == 1


def test_another_opening_leaves_a_signed_request_good_while_both_fit(agent: CohortAgent) -> None:
    budgeted(agent, "200")
    asked = [
        released("trading.deploy", {"agent": agent.pk, "bankroll": bankroll, "reason": "Signed before the other."})
        for bankroll in ("70", "71")
    ]
    deploy(agent, bankroll="70")
    outcomes = [execute_request(request_id=request.pk) for request in asked]
    assert [record and record.outcome for record in outcomes] == [RequestState.EXECUTED, RequestState.FAILED]
    assert outcomes[1] is not None and "0.00 left" in outcomes[1].error
    headroom = budget_headroom(agent)
    assert headroom is not None and headroom.left == 0


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_instant_never_pass_the_budget(agent: CohortAgent) -> None:
    """Each fits the budget by itself, both together do not."""
    budgeted(agent, "200")
    ensure_policy("trading.deploy")
    payload: dict[str, Any] = {"agent": agent.pk, "bankroll": "100", "reason": "A race."}
    asked = [released("trading.deploy", payload).pk for _ in range(2)]
    start = Barrier(2)

    def execute(request_id: UUID) -> None:
        try:
            start.wait(timeout=30)
            execute_request(request_id=request_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(execute, asked))
    outcomes = ApprovalExecution.objects.filter(request__in=asked).values_list("outcome", flat=True)
    assert sorted(outcomes) == sorted([RequestState.EXECUTED, RequestState.FAILED])
    headroom = budget_headroom(agent)
    assert headroom is not None
    assert [headroom.drawn, headroom.left] == [160, 40]
    (failed,) = ApprovalExecution.objects.filter(request__in=asked, outcome=RequestState.FAILED)
    assert failed.error
