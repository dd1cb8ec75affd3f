"""Reads about councils: who could vote beside a reviewed candidate, and what its deployment would be given."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fundops.core.errors import FundopsError
from trading.actions.council import check_voice
from trading.actions.promotion import pool_of
from trading.deployment_terms import (
    BudgetHeadroom,
    LeverageTerms,
    SizingAdvice,
    budget_headroom,
    leverage_terms,
    sizing_of,
)
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import CohortAgent
from trading.models.promotion import PromotionReview
from trading.promotion.screening import PROMOTED_LIMITS
from trading.promotion.weights import weights_of
from treasury.actions.bankroll import pool_slice_amount
from treasury.models import BankrollPool

#: As many as a person can weigh against one another.
MOST_OFFERED = 12


@dataclass(frozen=True, slots=True)
class VoiceOnOffer:
    """An agent that may speak in a candidate's council. ``left`` is what live results leave of its genome's weight."""

    agent: CohortAgent
    elsewhere: bool
    roi_frac: float
    sharpe_annual: float | None
    rank: int | None
    left: float


def voices_on_offer(review: PromotionReview) -> list[VoiceOnOffer]:
    """Who passed the screens of the candidate's own cohort, best first, then candidates of other reviewed cohorts
    on the same market; one of each genome, without the candidate's own."""
    if review.agent is None:
        return []
    others = PromotionReview.objects.filter(
        cohort__fund=review.cohort.fund_id, cohort__venue=review.cohort.venue, cohort__interval=review.cohort.interval
    ).exclude(pk=review.pk)
    asked = [(_lines(review), review, False)]
    elsewhere_too = others.filter(agent__isnull=False).select_related("cohort").order_by("-pk")[:MOST_OFFERED]
    asked += [(_lines(other), other, True) for other in elsewhere_too]
    heard, found = {review.agent.genome_hash}, []
    for lines, source, elsewhere in asked:
        agents = {a.number: a for a in CohortAgent.objects.filter(cohort=source.cohort_id).select_related("cohort")}
        for line in lines:
            agent = agents[line["number"]]
            if elsewhere and agent.pk != source.agent_id:
                continue
            if agent.genome_hash in heard or not _may_speak(review.agent, agent):
                continue
            heard.add(agent.genome_hash)
            found.append((agent, elsewhere, line))
    left = weights_of((agent.genome_hash, agent.family) for agent, _, _ in found)
    return [
        VoiceOnOffer(
            agent, elsewhere, line["roi_frac"], line["sharpe_annual"], line["evidence_rank"], left[agent.genome_hash]
        )
        for agent, elsewhere, line in found[:MOST_OFFERED]
    ]


def _lines(review: PromotionReview) -> list[dict[str, Any]]:
    """The agents that passed every screen, best first."""
    screened = [line for line in review.evidence["agents"] if not line["exclusions"]]
    return sorted(screened, key=lambda line: (line["evidence_rank"] is None, line["evidence_rank"] or 0))


def _may_speak(candidate: CohortAgent, other: CohortAgent) -> bool:
    try:
        check_voice(candidate, other)
    except DeploymentSpecError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ProposedTerms:
    """What would be asked for today. ``why_not`` says what keeps it from being asked for, where something does."""

    pool: BankrollPool | None
    amount: Decimal | None
    leverage: LeverageTerms
    sizing: SizingAdvice | None
    budget: BudgetHeadroom | None
    why_not: str = ""

    @property
    def above_the_rule(self) -> bool | None:
        return None if self.sizing is None else self.sizing.exceeded_by(self.leverage.maximum)


def proposed_terms(review: PromotionReview) -> ProposedTerms | None:
    """The slice, its leverage, what the sizing rule says to it and what the strategy's budget leaves; None without a
    candidate."""
    if review.agent is None:
        return None
    leverage, budget = leverage_terms(asked=None, limits_template=PROMOTED_LIMITS), budget_headroom(review.agent)
    try:
        pool = pool_of(review.cohort)
    except FundopsError as refused:
        return ProposedTerms(None, None, leverage, None, budget, refused.message)
    amount = pool_slice_amount(pool)
    return ProposedTerms(pool, amount, leverage, sizing_of(review.agent, amount), budget)
