"""What of the Day-3 pipeline passes the gate for change: a promotion, and the rules promotions are judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from fundops.core import clock
from fundops.core.events import publish
from trading.actions.council import QUORUM
from trading.actions.deployments import check_terms, open_deployment
from trading.actions.promotion import PROMOTE, begin_deployed, slice_facts
from trading.approvals_council import QUORUM_IS, VOICES_ARE, Quorum, Voices, council_shown, seatings
from trading.deployment_terms import terms_shown
from trading.desk.collar import SLIPPAGE_CAP_FRAC, check_collar
from trading.models.promotion import BEFORE_CAPITAL, GatePolicyVersion, PromotionReview
from trading.promotion.bankroll import most_of_pool, slice_to_deploy
from trading.promotion.errors import GatePolicyError, PromotionError
from trading.promotion.gate import CheckResult
from trading.promotion.rules import PromotionRules, parse_rules, rules_in_force, rules_of
from trading.promotion.screening import PROMOTED_LIMITS
from treasury.actions.bankroll import take_slice
from treasury.models import BankrollPool

Money = Annotated[Decimal, Field(gt=0, allow_inf_nan=False, max_digits=20, decimal_places=2)]

#: The limits that a promoted candidate begins under.


class Promote(ActionPayload):
    """A reviewed candidate to micro-live capital."""

    review: int = Field(ge=1, description="The review's number.")
    agent: int = Field(ge=1, description="The candidate, by its key.")
    evidence_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the evidence as it was compiled.")
    pool: int = Field(ge=1, description="The bankroll pool it draws on.")
    amount: Money = Field(description="Its slice, in the pool's asset.")
    leverage: Annotated[Decimal, Field(gt=0, le=10, allow_inf_nan=False)] | None = Field(
        default=None, description="The most it may carry; left out, what its limits allow."
    )
    voices: Voices = Field(default=(), description=VOICES_ARE)
    quorum_frac: Quorum = Field(default=QUORUM, description=QUORUM_IS)
    speed: Annotated[Decimal, Field(ge=0, le=100_000, allow_inf_nan=False)] | None = Field(
        default=None, description="Simulated seconds a real one over stored candles; left out: the cohort's clock."
    )


_STANDINGS = {"passed": "passed", "failed": "FAILED", "unknown": "not known"}


def _review(payload: Promote) -> PromotionReview:
    review = (
        PromotionReview.objects.select_related(
            "cohort__fund", "cohort__run", "agent__cohort__fund__base_asset", "agent__cohort__run"
        )
        .filter(pk=payload.review)
        .first()
    )
    if review is None or review.agent_id != payload.agent:
        raise PromotionError(f"Review {payload.review} has no candidate {payload.agent}.")
    if review.evidence_sha256 != payload.evidence_sha256:
        raise PromotionError("This is not the evidence that was compiled for this review.")
    return review


def _pool(payload: Promote) -> BankrollPool:
    pool = BankrollPool.objects.select_related("book", "asset", "fund").filter(pk=payload.pool).first()
    if pool is None:
        raise PromotionError(f"There is no bankroll pool {payload.pool}.")
    return pool


def _render(payload: Promote) -> Sequence[DisplayedField]:
    review, pool = _review(payload), _pool(payload)
    agent = review.agent
    assert agent is not None  # noqa: S101 - _review has seen to it
    watch = rules_of(review.policy_version).watch
    then: dict[str, str] = {
        "Verdict of the gate": "passed" if review.passed else f"REFUSED; overridden: {review.override_reason}",
        "Candidate": f"{agent} of {review.cohort}",
        "Strategy": f"{agent.family} on {agent.symbol or 'all markets'}",
        "Genome": agent.genome_hash,
        **council_shown(agent, payload.voices, payload.quorum_frac),
        "Rules": f"version {review.policy_version}" if review.policy_version else "as shipped",
        "Slice": f"{payload.amount:f} {pool.asset.code} of {pool}",
        "A false promotion costs at most": _cost(review, payload.amount, pool),
        **terms_shown(agent, bankroll=payload.amount, leverage=payload.leverage, limits_template=PROMOTED_LIMITS),
        "Clock": "the cohort's" if payload.speed is None else f"{payload.speed.normalize():f} x over stored candles",
        "Ends by itself at": f"drawdown {watch.drawdown_frac:.1%}, or after {watch.days:g} days of market time",
    }
    for weight, checks in (("Must", review.verdict["musts"]), ("Advice", review.verdict["advices"])):
        for check in map(CheckResult.model_validate, checks):
            then[f"{weight}: {check.label}"] = f"{_STANDINGS[check.standing]}: {check.said}"
    for place, words in enumerate(review.evidence["not_known"], start=1):
        then[f"Not known ({place})"] = str(words)
    return [DisplayedField(label, "", said) for label, said in then.items()]


def _cost(review: PromotionReview, amount: Decimal, pool: BankrollPool) -> str:
    loss = float(amount) * slice_facts(review).worst_loss_frac
    share = f", {loss / float(pool.capacity):.2%} of the pool" if pool.capacity else ""
    return f"{loss:,.2f} {pool.asset.code}{share}"


def _recheck(payload: Promote) -> None:
    review, pool = _review(payload), _pool(payload)
    if review.state not in BEFORE_CAPITAL and review.deployment_id is None and review.state != "rejected":
        raise PromotionError(f"This review is {review.get_state_display().lower()}; it goes nowhere from there.")
    if review.deployment_id is not None:
        raise PromotionError("This candidate has its capital already.")
    if pool.fund_id != review.cohort.fund_id or pool.asset.code != review.cohort.quote:
        raise PromotionError("The pool is another fund's, or of another asset than the cohort trades in.")
    amount = slice_to_deploy(slice_facts(review), pool, passed=review.passed)
    if payload.amount != amount:
        raise PromotionError(f"Its slice of {pool} is {amount:f} today; ask again with that.")
    assert review.agent is not None  # noqa: S101 - _review has seen to it
    check_terms(
        agent=review.agent,
        bankroll=payload.amount,
        leverage=payload.leverage,
        gateway="paper",
        others=seatings(payload.voices),
        quorum_frac=payload.quorum_frac,
    )
    check_collar(agent=review.agent, slippage_cap_frac=SLIPPAGE_CAP_FRAC, limits_template=PROMOTED_LIMITS)


@register_action(
    kind=PROMOTE,
    title="Promote a candidate to micro-live capital",
    payload=Promote,
    maker_permission="trading.promote",
    render=_render,
    recheck=_recheck,
    amount=lambda payload: payload.amount,
    target=lambda payload: Target(
        "trading.promotionreview", str(payload.review), f"Promotion of agent {payload.agent}"
    ),
)
def promote(payload: Promote, warrant: Warrant) -> Mapping[str, Any]:
    """Opens the deployment on its slice of the pool, and starts the watch."""
    review, pool = _review(payload), _pool(payload)
    agent = review.agent
    assert agent is not None  # noqa: S101 - _review has seen to it
    deployment = open_deployment(
        agent=agent,
        bankroll=payload.amount,
        warrant=warrant,
        book=pool.book,
        leverage=payload.leverage,
        others=seatings(payload.voices),
        quorum_frac=payload.quorum_frac,
        limits_template=PROMOTED_LIMITS,
        reason=f"Promotion review {review.pk}",
        speed=None if payload.speed is None else float(payload.speed),
    )
    take_slice(
        pool=pool,
        book=deployment.book,
        source=f"cohort:{review.cohort_id}",
        leverage=deployment.leverage,
        markets=[agent.symbol] if agent.symbol else list(deployment.symbols),
        warrant=warrant,
        amount=payload.amount,
        most_frac=most_of_pool(slice_facts(review)),
    )
    begin_deployed(review=review, deployment=deployment, actor=warrant.actor)
    return {"deployment": deployment.pk, "book": deployment.book.path, "review": review.pk}


class SetGatePolicy(ActionPayload):
    """The next version of the rules of the Day-3 gate and of the watch."""

    rules: str = Field(min_length=1, max_length=20_000, description="YAML; begin with the rules in force.")


def _parsed(payload: SetGatePolicy) -> PromotionRules:
    return parse_rules(payload.rules)


def _render_policy(payload: SetGatePolicy) -> Sequence[DisplayedField]:
    version, now = rules_in_force()
    before, after = _flat(now.as_json()), _flat(_parsed(payload).as_json())
    names = [name for name in (*after, *(n for n in before if n not in after)) if before.get(name) != after.get(name)]
    fields = [DisplayedField("Version", str(version) if version else "as shipped", str(version + 1))]
    return fields + [DisplayedField(name, before.get(name, ""), after.get(name, "")) for name in names]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        if "figure" in value:
            must = "must" if value.get("must") else "advice"
            return {f"{prefix}.{value['figure']}": f"{value['threshold']} ({must})"}
        return {k: v for name, inner in value.items() for k, v in _flat(inner, f"{prefix}.{name}".strip(".")).items()}
    if isinstance(value, list):
        return {k: v for inner in value for k, v in _flat(inner, prefix).items()}
    return {prefix: str(value)}


def _recheck_policy(payload: SetGatePolicy) -> None:
    if _parsed(payload) == rules_in_force()[1]:
        raise GatePolicyError("These rules are in force already. Change something.")


@register_action(
    kind="trading.set_gate_policy",
    title="Change the rules of the Day-3 gate",
    payload=SetGatePolicy,
    maker_permission="trading.propose_gate_policy",
    render=_render_policy,
    recheck=_recheck_policy,
)
def set_gate_policy(payload: SetGatePolicy, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the next version in force; what runs under an earlier one ends under it."""
    version = rules_in_force()[0] + 1
    policy = GatePolicyVersion.objects.create(
        version=version,
        document=_parsed(payload).as_json(),
        request_id=warrant.request_id,
        created_at=clock.now(),
    )
    publish(
        "trading.gate_policy.set",
        actor=warrant.actor,
        obj=policy,
        payload={"version": version},
        topics=["reviews"],
    )
    return {"policy": policy.pk, "version": version}
