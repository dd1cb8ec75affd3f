"""Orders that a price collar would deny one and all are refused before anybody signs for the deployment."""

from __future__ import annotations

from decimal import Decimal

import pytest

from compliance.actions.proposing import propose
from risk.quant.metrics import Metric
from tests.gate import maker_of
from tests.risk.gated import put_limit
from tests.trading.desk.support import by_family, deploy
from trading.desk.collar import check_collar
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import Cohort, CohortAgent
from trading.models.deployments import Deployment
from treasury.models import Book

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def ask(agent: CohortAgent, **terms: object) -> None:
    payload = {"agent": agent.pk, "bankroll": "100", "reason": "A test asks."} | terms
    propose(kind="trading.deploy", payload=payload, reason="A test asks.", actor=maker_of("trading.deploy"))


@pytest.mark.parametrize("template", ["micro-live", "standard", "conservative"])
def test_market_orders_under_a_template_with_a_collar_are_refused(cohort: Cohort, template: str) -> None:
    agent = by_family(cohort, "buy_and_hold")
    with pytest.raises(DeploymentSpecError, match=f"the {template} limits denies orders without one, closing"):
        ask(agent, market_orders=True, limits_template=template)
    assert not Deployment.objects.exists()


def test_market_orders_without_a_collar_and_priced_ones_with_it_are_welcome(cohort: Cohort) -> None:
    agent = by_family(cohort, "buy_and_hold")
    assert deploy(agent, market_orders=True, limits_template="watch").slippage_cap_frac is None
    assert deploy(agent, limits_template="micro-live").slippage_cap_frac == Decimal("0.003")


def test_a_collar_of_the_fund_counts_as_the_templates_does(cohort: Cohort) -> None:
    """Inherited collars bind too; one that is narrower than the orders are priced denies all of them."""
    agent = by_family(cohort, "buy_and_hold")
    root = Book.objects.get(fund=cohort.fund, parent=None)
    limit = put_limit(book=root, metric=Metric.PRICE_COLLAR_FRAC, hard=Decimal("0.001"))
    with pytest.raises(DeploymentSpecError, match=f"collar of limit {limit.pk} denies orders without one"):
        ask(agent, market_orders=True, limits_template="")
    with pytest.raises(DeploymentSpecError, match=r"priced 0.30% from the market.*more than 0.10% from it"):
        ask(agent, limits_template="micro-live")
    with pytest.raises(DeploymentSpecError, match="Have the collar widened"):
        check_collar(agent=agent, slippage_cap_frac=Decimal("0.003"), limits_template="micro-live")


def test_a_collar_of_another_market_or_venue_is_no_concern(cohort: Cohort) -> None:
    agent = by_family(cohort, "buy_and_hold")
    root = Book.objects.get(fund=cohort.fund, parent=None)
    put_limit(book=root, metric=Metric.PRICE_COLLAR_FRAC, hard=Decimal("0.001"), symbol="DOGEUSDT")
    put_limit(book=root, metric=Metric.PRICE_COLLAR_FRAC, hard=Decimal("0.001"), venue="elsewhere")
    check_collar(agent=agent, slippage_cap_frac=None, limits_template="")
