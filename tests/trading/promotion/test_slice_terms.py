"""What a candidate's slice is cut from, and that what is deployed is what the evidence spoke of."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command

from fundops.core.models import User
from tests.gate import by_gate, ensure_policy
from tests.trading.promotion.support import deployed, deployment_of
from trading.actions.promotion import carry_review, promotion_terms, review_cohort
from trading.models.cohort import Cohort
from trading.models.promotion import PromotionReview
from trading.promotion import compiling, screening
from trading.promotion.bankroll import slice_to_deploy
from trading.promotion.errors import GatePolicyError, PromotionError
from trading.promotion.evidence import SliceFacts
from trading.promotion.policy import default_policy
from trading.promotion.rules import PromotionRules, parse_rules
from treasury.models import BankrollPool, BankrollSlice, Fund

pytestmark = pytest.mark.django_db


def set_pool(fund: Fund, **terms: Any) -> BankrollPool:
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", **terms})
    ensure_policy("trading.promote")
    return BankrollPool.objects.get()


def test_evidence_screens_and_deploys_the_size_of_the_pools_slice(
    fund: Fund, finished: Callable[..., Cohort], pm: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cohort with 2,400 of paper, a pool of 40,000: everything speaks of 2,000, and 2,000 is what it gets."""
    measured: list[list[float]] = []
    real = screening.measure_agents

    def noted(*args: Any, deployed: list[float]) -> Any:
        measured.append(list(deployed))
        return real(*args, deployed=deployed)

    monkeypatch.setattr(compiling, "measure_agents", noted)
    pool = set_pool(fund, capacity="40000")
    review = review_cohort(cohort=finished(), actor=None)
    facts = SliceFacts.model_validate(review.evidence["slice"])
    assert (facts.bankroll, facts.bankroll_of, facts.assumed) == (40_000, f"the {pool}", False)
    assert facts.amount == 2_000
    assert facts.cost_frac == pytest.approx(2_000 * facts.worst_loss_frac / 40_000)
    assert review.evidence["figures"]["slice_cost"]["value"] == pytest.approx(facts.cost_frac)
    assert measured == [[2_000] * 12]
    assert any("a slice of 2,000.00 USDT out of the TEST pool of USDT of 40,000.00" in w for w in _words(review))
    assert not any("no bankroll pool" in w for w in review.evidence["not_known"])
    review = deployed(review, pm)
    assert deployment_of(review).bankroll == BankrollSlice.objects.get().amount == Decimal(2_000)


def test_without_a_pool_the_cohorts_bankroll_is_assumed_and_never_exceeded(
    fund: Fund, finished: Callable[..., Cohort], pm: User
) -> None:
    """Compiled on 2,400 of paper: 120. The pool that comes later would hand out 5,000."""
    review = review_cohort(cohort=finished(), actor=None)
    facts = SliceFacts.model_validate(review.evidence["slice"])
    assert (facts.bankroll, facts.assumed, facts.amount) == (2_400, True, 120)
    assert any("no bankroll pool" in w for w in review.evidence["not_known"])
    set_pool(fund, capacity="100000")
    review = deployed(review, pm)
    assert deployment_of(review).bankroll == BankrollSlice.objects.get().amount == Decimal(120)


def test_slice_below_the_pools_smallest_is_refused_with_words(
    fund: Fund, finished: Callable[..., Cohort], pm: User
) -> None:
    review = review_cohort(cohort=finished(), actor=None)
    carry_review(review=review)
    set_pool(fund, capacity="100000", slice_minimum="500")
    with pytest.raises(PromotionError, match=r"The evidence bears a slice of 120.00; .* hands out no less than 500"):
        promotion_terms(review)


def _words(review: PromotionReview) -> list[str]:
    words: list[str] = review.evidence["words"]
    return words


def _facts(**changes: Any) -> SliceFacts:
    fields: dict[str, Any] = {
        "bankroll": 2000, "bankroll_of": "the pool", "share_of_bankroll": 0.05, "assumed": False, "amount": 100,
        "size_over_draw": 1, "worst_loss_frac": 0.06, "overshoot_frac": 0.01, "worst_loss": 6, "cost_frac": 0.003,
        "allowed_frac": 0.01, "bound": "share", "fits": True,
    }  # fmt: skip
    return SliceFacts(**(fields | changes))


@pytest.mark.parametrize(
    ("facts", "pool", "amount"),
    [
        ({}, {}, "100"),
        ({}, {"capacity": "1400"}, "70"),  # the pool shrank: its slice of now
        ({}, {"capacity": "9000"}, "100"),  # it grew: what the evidence was screened at
        ({"amount": 61.729}, {}, "61.72"),
        ({"worst_loss_frac": 0.4}, {"slice_minimum": "40"}, "50"),  # 1 % of 2,000 is 20, of which 40 % are lost of 50
    ],
)
def test_slice_is_the_least_of_evidence_pool_and_cost(
    fund: Fund, facts: dict[str, Any], pool: dict[str, str], amount: str
) -> None:
    made = set_pool(fund, **({"capacity": "2000"} | pool))
    assert slice_to_deploy(_facts(**facts), made, passed=True) == Decimal(amount)


def test_what_a_mistake_may_cost_holds_of_the_pool_of_now_unless_overridden(fund: Fund) -> None:
    """A pool that shrank to 200: its smallest slice of 50 would lose 3, and 1 % of it is 2."""
    pool = set_pool(fund, capacity="200")
    with pytest.raises(PromotionError, match=r"bears a slice of 33\.33"):
        slice_to_deploy(_facts(), pool, passed=True)
    assert slice_to_deploy(_facts(), pool, passed=False) == Decimal(50)


def test_watch_may_not_let_a_slice_fall_further_than_it_was_sized_for() -> None:
    rules = PromotionRules(gate=default_policy())
    text = rules.as_text().replace("drawdown_frac: 0.05", "drawdown_frac: 0.06")
    assert text != rules.as_text()
    with pytest.raises(GatePolicyError, match=r"watch.drawdown_frac.*gate.slice.stop_frac"):
        parse_rules(text)


def test_command_line_says_what_the_review_says(
    fund: Fund, finished: Callable[..., Cohort], pm: User, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under changed rules, with a candidate at work: the same evidence and the same verdict."""
    import json  # noqa: PLC0415

    set_pool(fund, capacity="40000")
    deployed(review_cohort(cohort=finished(agent_count=6), actor=None), pm)
    changed = PromotionRules(gate=default_policy()).as_text().replace("min_trades: 5", "min_trades: 2")
    by_gate("trading.set_gate_policy", {"rules": changed})
    cohort = finished(seed=6)
    review = review_cohort(cohort=cohort, actor=None)
    assert review.policy_version == 1
    assert review.evidence["live"]
    call_command("promote_intraday_candidate", str(cohort.pk), "--json")
    printed = json.loads(capsys.readouterr().out)
    varying = {"compiled_at_ms", "spent"}
    assert _without(printed["evidence"], varying) == _without(review.evidence, varying)
    assert printed["verdict"] == review.verdict


def _without(document: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
