"""Asking and deciding: drafting, submitting, editing, withdrawing, voting, reviewing and expiring.

Every write of a request holds its row, so that votes and edits follow one another; what the code refuses,
the database refuses too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from compliance.actions.approval_policies import found_policy
from compliance.approvals.canonical import plain
from compliance.approvals.errors import (
    AlreadyDecidedError,
    BreakGlassError,
    DelegateError,
    PayloadError,
    ProofNotAllowedError,
    RequestExpiredError,
    RoleNotAskedError,
    SamePersonError,
    StandsStillError,
    StatementChangedError,
    TransitionRefusedError,
)
from compliance.approvals.evidence import Evidence as Evidence
from compliance.approvals.evidence import check_evidence, written
from compliance.approvals.humans import records_of
from compliance.approvals.passkeys import passkey_options
from compliance.approvals.policy import SET_POLICY, ProofKind
from compliance.approvals.proofs import prove
from compliance.approvals.refusals import refusals
from compliance.approvals.registry import ActionPayload, action_for
from compliance.approvals.signing import decision_digest, decision_document, seal
from compliance.approvals.statement import check_fresh, check_statement, write_statement
from compliance.approvals.steps import hold, step, tell
from compliance.approvals.votes import check_interest, missing_votes
from compliance.models import (
    ApprovalDecision,
    ApprovalRequest,
    ApprovalReview,
    ApprovalStatement,
    AuditEvent,
    Decision,
    Person,
    RequestState,
)
from compliance.models.approvals import EXPIRING, VOTING
from compliance.selectors_approvals import (
    REVIEW,
    decisions_of,
    is_delegate,
    person_of,
    policy_in_force,
    statement_of,
)
from fundops.core import clock
from fundops.core.models import User
from fundops.core.permissions import require

PROPOSE = "compliance.propose_request"
DECIDE = "compliance.decide_request"


# --- Making -----------------------------------------------------------------------------------------------
def draft_request(
    *,
    kind: str,
    payload: ActionPayload | Mapping[str, Any],
    reason: str,
    actor: User,
    evidence: Sequence[Evidence] = (),
    supersedes: ApprovalRequest | None = None,
) -> ApprovalRequest:
    """A new draft. ``supersedes`` names a request of one's own that ends when this one is submitted."""
    action = action_for(kind)
    require(actor, PROPOSE)
    require(actor, action.maker_permission)
    person = person_of(actor)
    typed = action.read(payload)
    check_interest(action, typed, [person.pk])
    target = action.target(typed)
    if supersedes is not None and (supersedes.maker_person_id != person.pk or supersedes.kind != kind):
        raise StandsStillError("Only your own request for the same kind of action can be superseded by yours.")
    with refusals(), transaction.atomic():
        request = ApprovalRequest.objects.create(
            kind=kind,
            object_type=target.type,
            object_id=target.id,
            object_label=target.label[:200],
            payload=action.write(typed),
            amount=action.amount(typed),
            evidence=written(evidence),
            reason=_reason(reason),
            maker=actor,
            maker_person=person,
            supersedes=supersedes,
            created_at=clock.now(),
        )
        tell(request, "drafted", actor=actor, reason=request.reason)
    return request


def edit_request(
    *,
    request_id: UUID,
    payload: ActionPayload | Mapping[str, Any],
    actor: User,
    reason: str | None = None,
    evidence: Sequence[Evidence] | None = None,
) -> ApprovalRequest:
    """A new version, which is a draft again; votes on the former one are void."""
    with refusals(), transaction.atomic():
        request = hold(request_id)
        _require_maker(request, actor)
        action = action_for(request.kind)
        typed = action.read(payload)
        check_interest(action, typed, [request.maker_person_id])
        target = action.target(typed)
        if (target.type, target.id) != (request.object_type, request.object_id):
            raise StandsStillError("A request stays with what it is about. Withdraw it, and make a new one.")
        void = request.decisions.filter(statement__version=request.version).count()
        request.payload = action.write(typed)
        request.amount = action.amount(typed)
        request.object_label = target.label[:200]
        request.version += 1
        if reason is not None:
            request.reason = _reason(reason)
        if evidence is not None:
            request.evidence = written(evidence)
        request.submitted_at = request.expires_at = request.approved_at = request.review_due_at = None
        request.break_glass = False
        return step(
            request,
            "revise",
            said="edited",
            actor=actor,
            fields=[
                "payload", "amount", "object_label", "version", "reason", "evidence", "submitted_at",
                "expires_at", "approved_at", "review_due_at", "break_glass",
            ],
            void_votes=void,
        )  # fmt: skip


def submit_request(*, request_id: UUID, actor: User) -> ApprovalRequest:
    """Fixes what is signed (payload, picture, rules, nonce, expiry) and asks for votes."""
    with refusals(), transaction.atomic():
        request = hold(request_id)
        _require_maker(request, actor)
        if request.state != RequestState.DRAFT:
            raise TransitionRefusedError("Only a draft is submitted. Edit the request to make it one.")
        action = action_for(request.kind)
        require(actor, action.maker_permission)
        check_evidence(request.evidence)
        action.recheck(action.read(request.payload))
        if request.kind == SET_POLICY:
            found_policy()
        policy, document = policy_in_force(request.kind)
        band = document.band_for(request.amount)
        now = clock.now()
        statement = write_statement(
            request=request,
            action=action,
            policy=policy,
            band=band,
            expires_at=now + timedelta(hours=band.expires_h),
        )
        statement.created_at = now
        statement.save(force_insert=True)
        request.submitted_at, request.expires_at = now, statement.expires_at
        if request.supersedes_id is not None:
            _supersede(request.supersedes_id, by=request, actor=actor)
        return step(
            request,
            "submit",
            said="submitted",
            actor=actor,
            fields=["submitted_at", "expires_at"],
            statement=statement.sha256,
            policy_version=policy.version,
            expires_at=statement.expires_at,
        )


def withdraw_request(*, request_id: UUID, actor: User, note: str = "") -> ApprovalRequest:
    """The maker takes it back; not once it is being executed."""
    with refusals(), transaction.atomic():
        request = hold(request_id)
        _require_maker(request, actor)
        request.finished_at, request.closing_note = clock.now(), note[:400]
        return step(
            request,
            "withdraw",
            said="withdrawn",
            actor=actor,
            fields=["finished_at", "closing_note"],
            note=note,
        )


def _supersede(request_id: UUID, *, by: ApprovalRequest, actor: User) -> None:
    former = hold(request_id)
    if former.state not in EXPIRING:
        return  # it has ended, or was never submitted
    former.finished_at, former.closing_note = clock.now(), f"Superseded by {by.pk}."
    step(
        former,
        "supersede",
        said="superseded",
        actor=actor,
        fields=["finished_at", "closing_note"],
        by=str(by.pk),
    )


# --- Deciding ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ToSign:
    """What an approver is about to sign: show ``document``, sign ``sha256``."""

    document: dict[str, Any]
    sha256: str
    proofs: tuple[ProofKind, ...]
    passkey: dict[str, Any] | None


def prepare_decision(
    *, request: ApprovalRequest, decision: Decision, role: str, actor: User, comment: str = ""
) -> ToSign:
    """The document and its hash, and the passkey's challenge over it; refuses what the vote would be refused
    for."""
    _, _, document = _decidable(request, decision, role, actor, comment)
    sha256 = decision_digest(document)
    proofs = _proofs_allowed(document, role)
    options = passkey_options(actor, bytes.fromhex(sha256)) if ProofKind.PASSKEY in proofs else None
    return ToSign(document=document, sha256=sha256, proofs=proofs, passkey=options)


def decide_request(
    *,
    request_id: UUID,
    decision: Decision,
    role: str,
    actor: User,
    signed_sha256: str,
    proof_kind: ProofKind,
    proof: Mapping[str, Any],
    comment: str = "",
) -> ApprovalDecision:
    """One person's signed vote. ``signed_sha256`` is the hash of what they were shown (`prepare_decision`).

    The proof (passkey or code) is the re-authentication; it is used up even when the vote is refused after.
    """
    shown = ApprovalRequest.objects.select_related("maker_person").get(pk=request_id)
    _, _, document = _decidable(shown, decision, role, actor, comment)
    if proof_kind not in _proofs_allowed(document, role):
        raise ProofNotAllowedError(f"For {role} this policy does not accept a {proof_kind.value}.")
    if decision_digest(document) != signed_sha256:
        raise StatementChangedError("The request has changed since you looked at it. Load it again.")
    # Before the transaction: a proof asks the cache, and is used up whatever comes after.
    evidence = prove(proof_kind, user=actor, digest=bytes.fromhex(signed_sha256), response=proof)
    with refusals(), transaction.atomic():
        request = hold(request_id)
        statement, person, document = _decidable(request, decision, role, actor, comment)
        if decision_digest(document) != signed_sha256:
            raise StatementChangedError("The request has changed since you looked at it. Load it again.")
        now = clock.now()
        made = ApprovalDecision.objects.create(
            request=request,
            statement=statement,
            decision=decision,
            role=role,
            actor=actor,
            person=person,
            comment=comment,
            at=now,
            signed_sha256=signed_sha256,
            proof_kind=proof_kind.value,
            proof=evidence,
            signature=seal(signed_sha256=signed_sha256, proof_kind=proof_kind.value, proof=evidence, at=now),
        )
        _count(request, statement, made, actor)
    return made


def _count(request: ApprovalRequest, statement: ApprovalStatement, made: ApprovalDecision, actor: User) -> None:
    told = {
        "role": made.role,
        "signed": made.signed_sha256,
        "proof": made.proof_kind,
        "comment": made.comment,
    }
    if made.decision == Decision.REJECT:
        request.finished_at, request.closing_note = made.at, made.comment
        step(request, "reject", said="rejected", actor=actor, fields=["finished_at", "closing_note"], **told)
        return
    if made.decision == Decision.BREAK_GLASS:
        within = check_statement(statement, request)["policy"]["review_within_h"]
        request.break_glass, request.approved_at = True, made.at
        request.review_due_at = made.at + timedelta(hours=int(within))
        step(
            request,
            "approve",
            said="glass_broken",
            actor=actor,
            fields=["break_glass", "approved_at", "review_due_at"],
            review_due_at=request.review_due_at,
            **told,
        )
        return
    missing = missing_votes(statement, list(decisions_of(statement)))
    if missing:
        step(request, "count_vote", said="voted", actor=actor, missing=missing, **told)
        return
    request.approved_at = made.at
    step(request, "approve", said="approved", actor=actor, fields=["approved_at"], **told)


def _decidable(
    request: ApprovalRequest, decision: Decision, role: str, actor: User, comment: str
) -> tuple[ApprovalStatement, Person, dict[str, Any]]:
    """The statement, the person and the document of a vote that may be given; else the reason why not."""
    require(actor, DECIDE)
    person = person_of(actor)
    now = clock.now()
    statement = statement_of(request)
    if request.state not in VOTING or statement is None:
        raise TransitionRefusedError(
            f"This request is {RequestState(request.state).label.lower()}; it takes no votes.",
            state=str(request.state),
        )
    if now > statement.expires_at:
        raise RequestExpiredError(f"This request expired at {plain(statement.expires_at)}. Ask for a new one.")
    own = records_of(person.pk)
    if request.maker_person_id in own:
        raise SamePersonError("This is your own request, whichever account you use. Let somebody else decide.")
    if is_delegate(person, of=request.maker_person, since=request.created_at, until=now):
        raise DelegateError("You act for the maker of this request. Let somebody else decide.")
    if statement.decisions.filter(person__in=own).exists():
        raise AlreadyDecidedError("You have decided on this version already. One person has one vote.")
    asked = statement.break_glass_roles if decision == Decision.BREAK_GLASS else list(statement.quorum)
    if role not in asked or role not in {held.value for held in actor.roles}:
        if decision == Decision.BREAK_GLASS:
            raise BreakGlassError("Neither this policy nor your roles let you break the glass here.")
        raise RoleNotAskedError(
            f"Vote with a role that you hold and that is asked for: {', '.join(asked)}.", asked=asked
        )
    if decision == Decision.APPROVE and missing_votes(statement, list(decisions_of(statement))).get(role, 0) < 1:
        raise RoleNotAskedError(f"The votes of {role} are complete.", asked=asked)
    if decision != Decision.APPROVE and not comment.strip():
        raise PayloadError("Say why: a rejection, or breaking the glass, needs a comment.")
    if decision == Decision.BREAK_GLASS and _review_overdue(request.kind):
        raise BreakGlassError("An earlier break of the glass has not been reviewed in time. Review it first.")
    content = check_statement(statement, request)
    if decision != Decision.REJECT:
        check_fresh(statement, content, request)  # nobody signs for what would be refused
    action = action_for(request.kind)
    check_interest(action, action.read(request.payload), [person.pk])
    return (
        statement,
        person,
        decision_document(content, decision=decision, role=role, actor=actor, person=person, comment=comment),
    )


def _proofs_allowed(document: Mapping[str, Any], role: str) -> tuple[ProofKind, ...]:
    return tuple(ProofKind(kind) for kind in document["policy"]["proofs"].get(role, ()))


# --- Afterwards -------------------------------------------------------------------------------------------
def check_review(*, request: ApprovalRequest, actor: User) -> Person:
    """Who would review it: the actor's person; raises the reason why they may not, or not now."""
    require(actor, REVIEW)
    person = person_of(actor)
    if not request.break_glass or hasattr(request, "review"):
        raise TransitionRefusedError("There is nothing (more) to review on this request.")
    if request.state not in (RequestState.EXECUTED, RequestState.FAILED):
        raise TransitionRefusedError("What was done behind broken glass is reviewed once it is done.")
    own = records_of(person.pk)
    part = bool(own & {request.maker_person_id, request.released_person_id})
    if part or request.decisions.filter(person__in=own).exists():
        raise SamePersonError("You had a part in this request. Let somebody else review it.")
    return person


def review_request(*, request_id: UUID, justified: bool, comment: str, actor: User) -> ApprovalReview:
    """The mandatory look at what was done behind broken glass, by someone who had no part in it."""
    require(actor, REVIEW)
    person_of(actor)
    if not comment.strip():
        raise PayloadError("Say what you found.")
    with refusals(), transaction.atomic():
        request = hold(request_id)
        person = check_review(request=request, actor=actor)
        review = ApprovalReview.objects.create(
            request=request,
            reviewer=actor,
            person=person,
            justified=justified,
            comment=comment[:1000],
            at=clock.now(),
        )
        tell(request, "reviewed", actor=actor, justified=justified, comment=comment[:1000])
    return review


def expire_requests() -> int:
    """Ends every request whose time is over; returns how many. Running it twice changes nothing."""
    due = ApprovalRequest.objects.filter(state__in=EXPIRING, expires_at__lt=clock.now())
    ended = 0
    for request_id in due.order_by("expires_at").values_list("pk", flat=True):
        with transaction.atomic():
            request = hold(request_id)
            now = clock.now()
            if request.state not in EXPIRING or request.expires_at is None or request.expires_at >= now:
                continue
            request.finished_at, request.closing_note = now, "Nobody finished it in time."
            step(request, "expire", said="expired", actor=None, fields=["finished_at", "closing_note"])
            ended += 1
    return ended


def report_overdue_reviews() -> int:
    """Records once, for each break of the glass, that its review is overdue; returns how many are new."""
    told = 0
    for request_id in _unreviewed().values_list("pk", flat=True):
        with transaction.atomic():
            request = hold(request_id)
            known = AuditEvent.objects.filter(
                kind="compliance.approval.review_overdue",
                object_type=request._meta.label_lower,
                object_id=str(request.pk),
            )
            if not known.exists():
                tell(request, "review_overdue", actor=None, due=request.review_due_at)
                told += 1
    return told


def _unreviewed() -> Any:
    return ApprovalRequest.objects.filter(
        break_glass=True,
        review=None,
        review_due_at__lt=clock.now(),
        state__in=(RequestState.EXECUTED, RequestState.FAILED),
    )


def _review_overdue(kind: str) -> bool:
    return bool(_unreviewed().filter(kind=kind).exists())


def _require_maker(request: ApprovalRequest, actor: User) -> None:
    require(actor, PROPOSE)
    if person_of(actor).pk != request.maker_person_id:
        raise SamePersonError("Only its maker changes a request. Ask them, or make your own.")


def _reason(text: str) -> str:
    if not text.strip():
        raise PayloadError("Say why you ask for this: the approvers read it.")
    if len(text) > 400:
        raise PayloadError("Shorten the reason to 400 characters.")
    return text.strip()
