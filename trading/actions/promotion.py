"""The Day-3 pipeline: compile, judge, ask, deploy, watch, roll back or graduate. Each step can be called again.

Steps that nobody decides are the machine's (``actor`` None); the deployment itself is the executor of an approved
request and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from compliance.actions.approvals import Evidence
from compliance.actions.evidence import keep_evidence
from compliance.actions.proposing import propose
from compliance.approvals.canonical import canonical_text, sha256_of
from compliance.models import ApprovalRequest, Decision, RequestState
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from trading.actions.deployments import stop_deployment
from trading.actions.slices import close_slice
from trading.cohorts.catalog import open_catalog, series_or_none
from trading.desk.growth import return_frac
from trading.models.cohort import Cohort, CohortAgent, CohortMode, CohortStatus
from trading.models.deployments import ENDED_STATUSES, Deployment, DeploymentStatus
from trading.models.promotion import PromotionReview, ReviewState, ReviewStep
from trading.promotion.bankroll import find_pool, slice_to_deploy
from trading.promotion.compiling import compile_evidence
from trading.promotion.errors import EvidenceUnavailableError, PromotionError
from trading.promotion.evidence import SliceFacts
from trading.promotion.gate import evaluate_gate
from trading.promotion.live import live_agents
from trading.promotion.machine import advance
from trading.promotion.meters import Meter, absent, read_meters
from trading.promotion.post_mortem import draft_post_mortem
from trading.promotion.records import keep_record
from trading.promotion.rules import rules_in_force, rules_of
from trading.selectors.deployments import waits_to_close
from treasury.models import BankrollPool

PROMOTE, ROLL_BACK, WRITE_POST_MORTEM = "trading.promote", "trading.roll_back", "trading.write_post_mortem"
#: Whose business a step is, by the permission that lets them act on it; what is not here is its proposer's.
_LOOKS: dict[str, str] = {
    ReviewState.AWAITING_APPROVAL: "compliance.view_approvalrequest",
    ReviewState.DEPLOYED: ROLL_BACK,
    ReviewState.MONITORING: ROLL_BACK,
    ReviewState.GRADUATED: ROLL_BACK,
    ReviewState.ROLLED_BACK: ROLL_BACK,
}
#: From these a deployment that ended flat is settled.
SETTLED_FROM = (ReviewState.ROLLED_BACK, ReviewState.GRADUATED)
#: The day of a cohort's life at whose end it is reviewed.
REVIEW_DAY = 3
DAY_MS = 86_400_000
#: Simulated seconds a real one where stored candles are all there is.
REPLAY_PACE = Decimal(600)
#: A cohort launched longer ago is history: nobody waits for its review.
REVIEWED_WITHIN = timedelta(days=14)


# --- The evidence and the verdict -----------------------------------------------------------------------------
def review_cohort(*, cohort: Cohort, actor: User | None) -> PromotionReview:
    """Compiles the evidence of a cohort that has closed its third day and judges it by the rules in force.

    One review a cohort: called again it returns the one there is. Raises EvidenceUnavailableError before the third day
    has closed.
    """
    found = PromotionReview.objects.filter(cohort=cohort).first()
    if found is not None:
        return found
    if not cohort.cohort_days.filter(day=REVIEW_DAY, complete=True).exists():
        raise EvidenceUnavailableError(f"{cohort} is reviewed when its third day has closed.")
    version, rules = rules_in_force()
    evidence = compile_evidence(cohort, policy=rules.gate, live=live_agents())
    verdict = evaluate_gate(rules.gate, evidence)
    document = evidence.model_dump(mode="json")
    with transaction.atomic():
        Cohort.objects.select_for_update(of=("self",)).get(pk=cohort.pk)
        found = PromotionReview.objects.filter(cohort=cohort).first()
        if found is not None:
            return found
        agent = (
            CohortAgent.objects.get(cohort=cohort, number=verdict.candidate) if verdict.candidate is not None else None
        )
        review = PromotionReview.objects.create(
            cohort=cohort,
            agent=agent,
            policy_version=version,
            evidence=document,
            evidence_sha256=sha256_of(evidence_text(document)),
            verdict=verdict.model_dump(mode="json"),
            passed=verdict.passed,
        )
        ReviewStep.objects.create(
            review=review, after=review.state, actor=actor, words="The evidence is compiled and judged."
        )
        _tell(review, "", actor=actor, words=verdict.words[0] if verdict.words else "")
    return review


def evidence_text(document: dict[str, Any]) -> str:
    """A review's evidence as signers get it, and as its hash is of: canonical JSON, its numbers as text."""
    return canonical_text(_as_text(document))


def _as_text(value: Any) -> Any:
    """Floats as text, which canonical JSON asks for."""
    match value:
        case dict():
            return {str(k): _as_text(v) for k, v in value.items()}
        case list() | tuple():
            return [_as_text(v) for v in value]
        case float():
            return repr(value + 0.0)  # the database knows no negative zero
        case _:
            return value


def carry_review(*, review: PromotionReview, actor: User | None = None) -> PromotionReview:
    """Takes a review as far as it goes without people: from compiled to its request, and on with what that has become.

    Safe at any time and any number of times; what keeps it from going on is written on it (`waits_for`).
    """
    step: Callable[[PromotionReview], bool]
    for step in (_screen, _ask, _follow_request, _expire):
        if step(review):
            review.refresh_from_db()
    return review


def _screen(review: PromotionReview) -> bool:
    if review.state != ReviewState.COMPILED:
        return False
    _step(review, "screen", words="Candidates are screened.")
    if not review.passed:
        words = review.verdict["words"]
        _step(review, "reject", words=" ".join(words[:2])[:1000], cause="gate")
    return True


def _ask(review: PromotionReview) -> bool:
    if review.state != ReviewState.SCREENED:
        return False
    maker = review.overridden_by or review.cohort.launched_by
    if maker is None:
        return _wait(review, "Nobody launched this cohort by name: somebody who may promote must ask.")
    try:
        ask_for_promotion(review=review, actor=maker)
    except FundopsError as refused:
        return _wait(review, refused.message)
    return True


def ask_for_promotion(
    *,
    review: PromotionReview,
    actor: User,
    override_reason: str = "",
    speed: Decimal | None = None,
    terms: Mapping[str, Any] | None = None,
) -> PromotionReview:
    """Opens the request for the two signatures, with the evidence attached, in the actor's name.

    The machine calls it for whoever launched the cohort; a person calls it to ask again, or, with a reason, to send on
    a candidate that the gate refused. ``speed`` is the pace of a paper desk (simulated seconds a real one; 0 is as
    fast as can be), left out it is the cohort's. ``terms`` are others of the request that a person chooses: voices,
    quorum_frac, leverage. Raises PermissionMissingError, PromotionError, ReviewStepError and
    what the gate for change refuses.
    """
    require(actor, "trading.promote")
    with transaction.atomic():
        held = _held(review)
        refused_by_gate = not held.passed
        if refused_by_gate:
            require(actor, "trading.override_review")
            reason = override_reason.strip() or held.override_reason
            if not reason:
                raise PromotionError("The gate refused this candidate: say why it is sent on all the same.")
            if held.agent_id is None:
                raise PromotionError("There is no candidate: every agent was excluded.")
            held.override_reason, held.overridden_by = reason[:1000], actor
        asked = promotion_terms(held) | dict(terms or {}) | ({} if speed is None else {"speed": speed})
        before = advance(held, "ask")
        held.waits_for = held.end_cause = held.end_words = ""
        held.ended_at = None
        held.save(
            update_fields=[
                "state", "override_reason", "overridden_by", "waits_for", "end_cause", "end_words", "ended_at",
            ]
        )  # fmt: skip
        file = keep_evidence(content=evidence_text(held.evidence).encode(), actor=actor)
        held.request = propose(
            kind=PROMOTE,
            payload=asked,
            reason=_reason(held),
            actor=actor,
            evidence=[Evidence(f"Evidence of {held.cohort}.json", file.sha256)],
        )
        held.save(update_fields=["request"])
        said = "Two signatures are asked for." if not refused_by_gate else f"Overridden: {held.override_reason}"
        _record(held, before, actor=actor, words=said)
    return held


def _reason(review: PromotionReview) -> str:
    if review.override_reason:
        return f"Against the gate's verdict: {review.override_reason}"[:400]
    return (review.verdict["words"][0] if review.verdict["words"] else "The gate lets it through.")[:400]


def promotion_terms(review: PromotionReview) -> dict[str, Any]:
    """What would be deployed: the candidate, the slice of the pool, the leverage it may carry at most."""
    if review.agent is None:
        raise PromotionError("There is no candidate: every agent was excluded.")
    pool = pool_of(review.cohort)
    return {
        "review": review.pk,
        "agent": review.agent.pk,
        "evidence_sha256": review.evidence_sha256,
        "pool": pool.pk,
        "amount": slice_to_deploy(slice_facts(review), pool, passed=review.passed),
        "speed": _pace(review.cohort),
    }


def slice_facts(review: PromotionReview) -> SliceFacts:
    """What the evidence says of the candidate's slice."""
    return SliceFacts.model_validate(review.evidence["slice"])


def _pace(cohort: Cohort) -> Decimal | None:
    """Simulated seconds a real one; None follows the cohort's own clock. A cohort over history whose candles ended
    goes on over what is stored behind its window, at a pace that people can follow."""
    if cohort.mode == CohortMode.FORWARD:
        return None
    series = [series_or_none(open_catalog(), cohort.venue, symbol, cohort.interval_ms) for symbol in cohort.symbols]
    ends = min((s.last_ms or 0 if s is not None else 0) for s in series)
    return Decimal(1) if ends >= clock.now_ms() - 2 * DAY_MS else REPLAY_PACE


def pool_of(cohort: Cohort) -> BankrollPool:
    """The pool that a cohort's candidate draws on."""
    pool = find_pool(cohort)
    if pool is None:
        raise PromotionError(f"{cohort.fund} has no bankroll pool in {cohort.quote}: ask for one (treasury.set_pool).")
    return pool


def _follow_request(review: PromotionReview) -> bool:
    """What the request has become: approved, turned down, expired, failed."""
    if review.state not in (ReviewState.AWAITING_APPROVAL, ReviewState.APPROVED) or review.request_id is None:
        return False
    request = ApprovalRequest.objects.get(pk=review.request_id)
    match request.state:
        case RequestState.APPROVED | RequestState.EXECUTING if review.state == ReviewState.AWAITING_APPROVAL:
            _step(review, "approve", words=_signed_by(request))
        case RequestState.REJECTED | RequestState.WITHDRAWN:
            said = f"The request was {RequestState(request.state).label.lower()}: {request.closing_note or 'no note'}."
            _step(review, "reject", words=said, cause="people")
        case RequestState.EXPIRED:
            _step(review, "expire", words="The request expired before both had signed.", cause="expired")
        case RequestState.FAILED | RequestState.SUPERSEDED:
            why = request.execution.error if hasattr(request, "execution") else "it was superseded"
            _step(review, "ask_again", words=f"The request did not take effect: {why}"[:1000])
            _wait(review, f"The request did not take effect: {why}"[:400])
        case _:
            return False
    return True


def _signed_by(request: ApprovalRequest | None) -> str:
    if request is None:
        return "Both have signed."
    statement = request.statements.order_by("-version").first()
    votes = request.decisions.filter(statement=statement).exclude(decision=Decision.REJECT).select_related("person")
    signed = [
        f"{vote.person} ({vote.role}{', who broke the glass' if vote.decision == Decision.BREAK_GLASS else ''})"
        for vote in votes
    ]
    return f"Signed by {' and '.join(signed)}."


def _expire(review: PromotionReview) -> bool:
    rules = rules_of(review.policy_version)
    late = clock.now() - review.compiled_at > timedelta(hours=rules.watch.request_hours)
    if review.state != ReviewState.SCREENED or not late:
        return False
    _step(
        review, "expire", words=f"Nobody took it to capital within {rules.watch.request_hours} hours.", cause="expired"
    )
    return True


# --- Watching -------------------------------------------------------------------------------------------------
def begin_deployed(*, review: PromotionReview, deployment: Deployment, actor: User) -> PromotionReview:
    """The executor's part: the candidate has its deployment, and the clock of its watch is set."""
    rules = rules_of(review.policy_version)
    with transaction.atomic():
        held = _held(review)
        if held.state == ReviewState.AWAITING_APPROVAL:
            signed = advance(held, "approve")
            held.save(update_fields=["state"])
            _record(held, signed, actor=None, words=_signed_by(held.request))
        before = advance(held, "deploy")
        held.deployment = deployment
        held.watch_until_ms = deployment.start_ms + int(rules.watch.days * 86_400_000)
        held.waits_for = ""
        held.save(update_fields=["state", "deployment", "watch_until_ms", "waits_for"])
        _record(held, before, actor=actor, words=f"{deployment} has {deployment.bankroll:f} {deployment.quote}.")
    return held


def watch_review(*, review: PromotionReview) -> list[Meter]:
    """Reads the rollback meters of a deployed candidate and does what they ask for; returns them."""
    review = PromotionReview.objects.select_related("cohort", "deployment__run", "deployment__book").get(pk=review.pk)
    if not review.is_watched or review.deployment is None:
        return []
    rules = rules_of(review.policy_version)
    now = clock.now()
    if absent(review, policy=rules.watch, at=now):
        review.watched_since = now
    if review.state == ReviewState.DEPLOYED and review.deployment.status == DeploymentStatus.RUNNING:
        _step(review, "begin_watch", words="Its desk runs; the rollback timers run with it.")
        review.refresh_from_db()
    meters = read_meters(review, policy=rules.watch, at=now)
    PromotionReview.objects.filter(pk=review.pk).update(
        meters=[m.as_json() for m in meters], metered_at=now, watched_since=review.watched_since
    )
    fired = next((m for m in meters if m.fired), None)
    if _stopped_too_early(review, review.deployment):
        roll_back(review=review, cause="stopped", words=review.deployment.stop_reason or "It was stopped.", actor=None)
    elif review.deployment.status in ENDED_STATUSES:
        settle_review(review=review)
    elif fired is None:
        return meters
    elif fired.cause == "timer" and _earned(review, review.deployment):
        _graduate(review)
    else:
        short = _what_it_lacks(review, review.deployment) if fired.cause == "timer" else ""
        words = f"{fired.label}: {fired.words} {short}".strip()
        roll_back(review=review, cause=fired.cause, words=words, actor=None)
    return meters


def _stopped_too_early(review: PromotionReview, deployment: Deployment) -> bool:
    """On the timer every stop ends the experiment as a rollback. One that has graduated may be stopped by people, or
    by its desk; it is rolled back where that left something that nobody would watch any more."""
    if review.state == ReviewState.GRADUATED:
        return deployment.status in ENDED_STATUSES and deployment.positions.exclude(quantity=0).exists()
    return deployment.status in (DeploymentStatus.STOPPING, *ENDED_STATUSES)


def _earned(review: PromotionReview, deployment: Deployment) -> bool:
    """Whether a watch that ran out without an alarm ends well. It proves nothing; it is what the policy asks for."""
    watch = rules_of(review.policy_version).watch
    return deployment.run.fills >= watch.graduate_min_fills and return_frac(deployment) > watch.graduate_min_roi


def _what_it_lacks(review: PromotionReview, deployment: Deployment) -> str:
    watch = rules_of(review.policy_version).watch
    return (
        f"It made {return_frac(deployment):+.2%} with {deployment.run.fills} fills; to graduate takes more than "
        f"{watch.graduate_min_roi:+.2%} and at least {watch.graduate_min_fills} fills."
    )


def _graduate(review: PromotionReview) -> None:
    """The timer is over and it goes on; what it did counts in its genome's favour. What protects goes on too."""
    with transaction.atomic():
        held = _held(review)
        before = advance(held, "graduate")
        assert held.deployment is not None  # noqa: S101 - a constraint holds it
        made, fills = return_frac(held.deployment), held.deployment.run.fills
        held.ended_at, held.end_cause = clock.now(), "timer"
        held.end_words = f"The watch ended without an alarm, with {made:+.2%} after {fills} fills."
        held.save(update_fields=["state", "ended_at", "end_cause", "end_words"])
        keep_record(held.deployment, outcome=ReviewState.GRADUATED, cause="timer")
        _record(held, before, actor=None, words=held.end_words)


def roll_back(*, review: PromotionReview, cause: str, words: str, actor: User | None) -> PromotionReview:
    """Ends a deployed candidate: its desk flattens and hands the bankroll back; people are told.

    A person may do it with a reason (permission ``trading.roll_back``); the machine does it by a meter. Rolling back
    what is rolled back already changes nothing.
    """
    if actor is not None:
        require(actor, ROLL_BACK, review)
        if not words.strip():
            raise PromotionError("Say why it is rolled back.")
    with transaction.atomic():
        held = _held(review)
        if held.state == ReviewState.ROLLED_BACK:
            return held
        if held.state == ReviewState.GRADUATED and held.settled_at is not None:
            raise PromotionError("Its deployment has ended after it graduated; there is nothing to roll back.")
        before = advance(held, "roll_back")
        held.ended_at, held.end_cause, held.end_words = clock.now(), cause[:40], words.strip()[:1000]
        held.save(update_fields=["state", "ended_at", "end_cause", "end_words"])
        assert held.deployment is not None  # noqa: S101 - a constraint holds it
        if held.deployment.status not in ENDED_STATUSES:
            stop_deployment(
                deployment=held.deployment, reason=f"Rolled back: {held.end_words}"[:500], flatten=True, actor=None
            )
        _record(held, before, actor=actor, words=held.end_words)
    return held


def settle_review(*, review: PromotionReview) -> bool:
    """The end of a rollback, once its desk is flat: the slice is closed, the record kept, the post-mortem drafted. So
    ends a graduated one that was stopped and is flat; its record stays the good one.

    While a halt keeps the desk from closing, the review says so.
    """
    if review.state == ReviewState.ROLLED_BACK and review.settled_at is None and review.deployment_id is not None:
        _wait(review, waits_to_close(Deployment.objects.get(pk=review.deployment_id)))
    with transaction.atomic():
        held = _held(review)
        deployment = held.deployment
        if held.settled_at is not None or deployment is None:
            return False
        if held.state not in SETTLED_FROM or deployment.status not in ENDED_STATUSES:
            return False
        rolled_back = held.state == ReviewState.ROLLED_BACK
        if deployment.positions.exclude(quantity=0).exists():
            if rolled_back:
                stop_deployment(
                    deployment=deployment, reason="Rolled back, and still holds something.", flatten=True, actor=None
                )
            return False
        close_slice(deployment)
        if rolled_back:
            Deployment.objects.filter(pk=deployment.pk).update(status=DeploymentStatus.ROLLED_BACK)
            keep_record(deployment, outcome=ReviewState.ROLLED_BACK, cause=held.end_cause)
        cause, words = (held.end_cause, held.end_words) if rolled_back else ("stopped", deployment.stop_reason)
        held.settled_at = clock.now()
        held.post_mortem = held.post_mortem or draft_post_mortem(held)
        held.save(update_fields=["settled_at", "post_mortem"])
        if not rolled_back:
            ended = f"It was stopped: {words}"[:1000]
            ReviewStep.objects.create(review=held, before=held.state, after=held.state, actor=None, words=ended)
        publish(
            "trading.review.settled",
            actor=None,
            obj=held,
            payload={
                "deployment": deployment.pk,
                "equity": deployment.run.equity,
                "profit": deployment.run.equity - deployment.bankroll,
                "quote": deployment.quote,
                "state": held.state,
                "cause": cause,
                "words": words,
                "looks": WRITE_POST_MORTEM,
            },
            topics=["reviews", held.topic, deployment.topic],
        )
    return True


def write_post_mortem(*, review: PromotionReview, text: str, actor: User) -> PromotionReview:
    """People complete the draft; its history stays."""
    require(actor, WRITE_POST_MORTEM, review)
    if review.settled_at is None:
        raise PromotionError("The post-mortem is written when the deployment has ended and its money is home.")
    with transaction.atomic():
        held = _held(review)
        held.post_mortem = text
        held.save(update_fields=["post_mortem"])
        publish(
            "trading.review.post_mortem_written",
            actor=actor,
            obj=held,
            payload={"length": len(text)},
            topics=["reviews", held.topic],
        )
    return held


# --- Steps ----------------------------------------------------------------------------------------------------
def _held(review: PromotionReview) -> PromotionReview:
    return (
        PromotionReview.objects.select_for_update(of=("self",))
        .select_related("cohort__fund", "agent", "deployment__run", "deployment__book")
        .get(pk=review.pk)
    )


def _step(review: PromotionReview, event: str, *, words: str, cause: str = "") -> None:
    """One step of the machine's; a review that has moved on meanwhile is left alone."""
    with transaction.atomic():
        held = _held(review)
        if held.state != review.state:
            return
        before = advance(held, event)
        fields = ["state", "waits_for"]
        held.waits_for = ""
        if cause:
            held.end_cause, held.end_words, held.ended_at = cause, words, clock.now()
            fields += ["end_cause", "end_words", "ended_at"]
        held.save(update_fields=fields)
        _record(held, before, actor=None, words=words)
    review.refresh_from_db()


def _wait(review: PromotionReview, why: str) -> bool:
    return say_what_it_waits_for(review=review, why=why, cause="waits")


def say_what_it_waits_for(*, review: PromotionReview, why: str, cause: str) -> bool:
    """Writes on the review what keeps it from going on, and tells it, once; an empty ``why`` takes it off again.

    ``cause`` is "waits" where people must do something first, "failed" where a turn of the machine did not work.
    """
    if review.waits_for == why[:400]:
        return False
    with transaction.atomic():
        held = _held(review)
        if held.waits_for == why[:400]:
            return False
        held.waits_for = review.waits_for = why[:400]
        held.save(update_fields=["waits_for"])
        publish(
            f"trading.review.{cause if why else 'goes_on'}",
            actor=None,
            obj=held,
            payload={
                "for": held.waits_for,
                "state": held.state,
                "cause": cause,
                "words": held.waits_for or "It goes on.",
                "looks": ROLL_BACK if held.is_watched or cause == "failed" else PROMOTE,
            },
            topics=["reviews", held.topic],
        )
    return True


def _record(review: PromotionReview, before: str, *, actor: User | None, words: str) -> None:
    ReviewStep.objects.create(review=review, before=before, after=review.state, actor=actor, words=words[:1000])
    _tell(review, before, actor=actor, words=words)


def _tell(review: PromotionReview, before: str, *, actor: User | None, words: str) -> None:
    publish(
        f"trading.review.{review.state}",
        actor=actor,
        obj=review,
        payload={
            "cohort": review.cohort_id,
            "agent": review.agent_id,
            "before": before,
            "state": review.state,
            "passed": review.passed,
            "words": words,
            "cause": review.end_cause,
            "looks": _LOOKS.get(review.state, PROMOTE),
            "deployment": review.deployment_id,
            "request": str(review.request_id) if review.request_id else None,
        },
        topics=["reviews", review.topic, review.cohort.topic],
    )


def reviewable_cohorts() -> list[Cohort]:
    """Cohorts whose third day has closed and that nobody has reviewed; those that failed or were cancelled are not."""
    return list(
        Cohort.objects.filter(
            review=None,
            launched_at__gte=clock.now() - REVIEWED_WITHIN,
            cohort_days__day=REVIEW_DAY,
            cohort_days__complete=True,
            status__in=(CohortStatus.RUNNING, CohortStatus.COMPLETED),
        )
        .distinct()
        .order_by("pk")[:20]
    )
