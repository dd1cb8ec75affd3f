"""The gate in the browser: my queue, one request with everything a decision needs, the steps, and the history."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.actions.approval_execution import RELEASE, release_request
from compliance.actions.approvals import (
    DECIDE,
    PROPOSE,
    decide_request,
    prepare_decision,
    review_request,
    submit_request,
    withdraw_request,
)
from compliance.approvals.errors import PayloadError, ProofRefusedError, StatementChangedError
from compliance.approvals.policy import ProofKind
from compliance.approvals.statement import read_statement
from compliance.models import ApprovalRequest, Decision, RequestState
from compliance.models.approvals import EXPIRING
from compliance.selectors import live_seq
from compliance.selectors_approvals import REVIEW, VIEW_REQUESTS, approval_request_list
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.demo_phone import phone_of
from portal.gate.options import Options, options_for
from portal.gate.picture import LIVING, picture_of
from portal.gate.policies import BandWords, band_index, people_words, title_of, words_of
from portal.gate.policies import read as read_rules
from portal.gate.queue import Waiting, queue_of, waiting_count, with_votes
from portal.gate.timeline import signatures_of, timeline_of
from portal.tables import TablePage
from portal.tables_approvals import RequestFilter, RequestTable

QUEUE = ("Approvals", "portal:approvals")


# --- My queue -----------------------------------------------------------------------------------------------------
@require_GET
@permission_required(VIEW_REQUESTS)
def approval_queue_page(request: HttpRequest) -> HttpResponse:
    """What waits for me, and what I wait for."""
    user = _user(request)
    context = {
        "queue": queue_of(user),
        "may_propose": may(user, PROPOSE),
        "sees_policies": may(user, "compliance.view_approvalpolicy"),
        "sees_people": may(user, "compliance.view_person"),
        "may_act": any(may(user, permission) for permission in (PROPOSE, DECIDE, RELEASE, REVIEW)),
        "person_known": hasattr(user, "person_link"),
        "now": clock.now(),
        "crumbs": [("Approvals", "")],
        "live_after": live_seq(),
    }
    return render(request, "approvals/queue.html", context)


@require_GET
@permission_required(VIEW_REQUESTS)
def approval_badge(request: HttpRequest) -> HttpResponse:
    """The number in the navigation."""
    return render(request, "approvals/_badge.html", {"count": waiting_count(_user(request))})


# --- One request --------------------------------------------------------------------------------------------------
@require_GET
@permission_required(VIEW_REQUESTS)
def approval_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What would change, who must agree, who has, and what this reader may do about it."""
    return _page(request, pk)


def _page(request: HttpRequest, pk: UUID, *, refused: FundopsError | None = None) -> HttpResponse:
    user = _user(request)
    asked = _request(request, pk)
    waiting = Waiting(asked)
    options = options_for(user, waiting)
    statement = waiting.statement
    content = read_statement(statement) if statement else {}
    picture = picture_of(asked, statement)
    context = {
        "asked": asked,
        "title": title_of(asked.kind),
        "about": _about(asked),
        "waiting": waiting,
        "picture": picture,
        "statement": statement,
        "document": json.dumps(content, indent=2, ensure_ascii=False) if content else "",
        "progress": _progress(waiting),
        "band": _band(waiting, content),
        "verdict": _verdict(asked, waiting),
        "counting": asked.state in EXPIRING,
        "living": asked.state in LIVING,
        "options": options,
        "phone": phone_of(user) if options.may_vote else None,
        "timeline": timeline_of(asked),
        "signatures": signatures_of(asked),
        "versions": asked.statements.select_related("policy").order_by("-version"),
        "execution": getattr(asked, "execution", None),
        "review": getattr(asked, "review", None),
        "fingerprint": _fingerprint(asked, waiting, options),
        "refused": refused,
        "values": request.POST if refused else {},
        "now": clock.now(),
        "sees_events": may(user, "compliance.view_auditevent"),
        "may_propose": may(user, PROPOSE),
        "sees_policies": may(user, "compliance.view_approvalpolicy"),
        "crumbs": [("Approvals", reverse("portal:approvals")), (asked.object_label or title_of(asked.kind), "")],
        "live_after": live_seq(),
    }
    return render(request, "approvals/detail.html", context, status=refused.status if refused else 200)


def _about(asked: ApprovalRequest) -> str:
    """The page of what it is about, where that has one."""
    try:
        found = apps.get_model(asked.object_type)._default_manager.filter(pk=asked.object_id).first()
    except (LookupError, ValueError):
        return ""
    page = getattr(found, "get_absolute_url", None)
    return str(page()) if page else ""


def _progress(waiting: Waiting) -> list[dict[str, Any]]:
    """For each role of the quorum: who signed, and how many are missing."""
    if waiting.statement is None:
        return []
    rows = []
    for role, number in sorted(waiting.statement.quorum.items()):
        votes = [vote for vote in waiting.decisions if vote.role == role and vote.decision == Decision.APPROVE]
        missing = 0 if waiting.glass_broken else waiting.missing.get(role, 0)
        rows.append({"role": role, "number": number, "votes": votes, "missing": missing, "done": number - missing})
    return rows


def _band(waiting: Waiting, content: dict[str, Any]) -> dict[str, Any] | None:
    """The band of the policy that this request falls into, in words."""
    if waiting.statement is None:
        return None
    policy = waiting.statement.policy
    document = read_rules(policy)
    if document is None:
        return None
    words: BandWords = words_of(document)[band_index(document, waiting.request.amount)]
    return {"words": words, "version": content["policy"]["version"], "kind": policy.kind}


def _verdict(asked: ApprovalRequest, waiting: Waiting) -> tuple[str, str]:
    """(tone, sentence): where it stands, and what it waits for."""
    if waiting.stale:
        return "bad", waiting.stale
    by = f" by {asked.released_person.full_name}" if asked.released_person else ""
    match asked.state:
        case RequestState.DRAFT:
            return "info", "A draft: nothing is asked of anybody before its maker submits it."
        case RequestState.SUBMITTED | RequestState.PARTIALLY_APPROVED:
            return "warn", f"Waits for the approval of {people_words(waiting.missing)}."
        case RequestState.APPROVED:
            roles = " or ".join(waiting.statement.releaser_roles) if waiting.statement else ""
            glass = "The glass was broken. " if asked.break_glass else "The quorum is met. "
            return "warn", f"{glass}Waits for a third person to release it: {roles}."
        case RequestState.EXECUTING:
            return "info", f"Released{by}. A worker is about to execute it."
        case RequestState.EXECUTED:
            return "good", f"Executed, released{by}. What it says is in force."
        case RequestState.FAILED:
            return "bad", f"Failed, and nothing was done: {asked.closing_note}"
        case RequestState.REJECTED:
            return "bad", f"Rejected: {asked.closing_note}"
        case RequestState.EXPIRED:
            return "bad", "Expired: nobody finished it in time. Nothing was done; it must be asked for again."
        case RequestState.WITHDRAWN:
            return "info", "Withdrawn by its maker." + (f" {asked.closing_note}" if asked.closing_note else "")
    return "info", f"{asked.get_state_display()}. {asked.closing_note}"


def _fingerprint(asked: ApprovalRequest, waiting: Waiting, options: Options) -> str:
    """Changes when what the reader could do changes: only then is the form under their hands replaced."""
    votes = ",".join(str(vote.pk) for vote in waiting.decisions)
    return f"{asked.state}/{asked.version}/{votes}/{options.may_vote}/{options.release.possible}"


# --- Steps ----------------------------------------------------------------------------------------------------------
@require_POST
@permission_required(PROPOSE)
def approval_submit(request: HttpRequest, pk: UUID) -> HttpResponse:
    asked = _request(request, pk)
    try:
        submit_request(request_id=asked.pk, actor=_user(request))
    except FundopsError as refused:
        return _page(request, pk, refused=refused)
    messages.success(request, "Submitted. Those who must sign see it in their queues now.")
    return redirect("portal:approval", pk)


@require_POST
@permission_required(PROPOSE)
def approval_withdraw(request: HttpRequest, pk: UUID) -> HttpResponse:
    asked = _request(request, pk)
    try:
        withdraw_request(request_id=asked.pk, actor=_user(request), note=request.POST.get("note", "").strip())
    except FundopsError as refused:
        return _page(request, pk, refused=refused)
    messages.success(request, "Withdrawn.")
    return redirect("portal:approval", pk)


@require_POST
@permission_required(DECIDE)
def approval_decide(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One signed vote, by passkey (the browser has signed the hash of the decision) or by code."""
    asked = _request(request, pk)
    try:
        made = _decide(request, asked)
    except FundopsError as refused:
        return _page(request, pk, refused=refused)
    asked.refresh_from_db()
    if made == Decision.APPROVE and asked.state != RequestState.APPROVED:
        missing = Waiting(_request(request, pk)).missing
        messages.success(request, f"Signed. Still missing: {people_words(missing)}.")
    else:
        messages.success(request, f"Signed. The request is {asked.get_state_display().lower()}.")
    return redirect("portal:approval", pk)


def _decide(request: HttpRequest, asked: ApprovalRequest) -> Decision:
    given, user = request.POST, _user(request)
    try:
        decision = Decision(given.get("decision", ""))
        proof_kind = ProofKind(given.get("proof_kind", ""))
    except ValueError as error:
        raise PayloadError("Choose whether to approve or to reject, and sign.") from error
    role, comment = given.get("role", ""), given.get("comment", "").strip()[:400]
    statement = Waiting(asked).statement
    if statement is None or given.get("statement") != statement.sha256:
        raise StatementChangedError("The request has changed since you looked at it. Look at it again, then sign.")
    if proof_kind == ProofKind.PASSKEY:
        signed, proof = given.get("signed_sha256", ""), _credential(given.get("credential", ""))
    else:
        shown = prepare_decision(request=asked, decision=decision, role=role, actor=user, comment=comment)
        signed, proof = shown.sha256, {"code": given.get("code", "").strip().replace(" ", "")}
    decide_request(
        request_id=asked.pk,
        decision=decision,
        role=role,
        actor=user,
        signed_sha256=signed,
        proof_kind=proof_kind,
        proof=proof,
        comment=comment,
    )
    return decision


def _credential(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProofRefusedError("The passkey gave no answer. Sign again.")
    return found


@require_POST
@permission_required(RELEASE)
def approval_release(request: HttpRequest, pk: UUID) -> HttpResponse:
    asked = _request(request, pk)
    try:
        release_request(request_id=asked.pk, actor=_user(request))
    except FundopsError as refused:
        return _page(request, pk, refused=refused)
    messages.success(request, "Released. A worker executes it now; this page shows what comes of it.")
    return redirect("portal:approval", pk)


@require_POST
@permission_required(REVIEW)
def approval_review(request: HttpRequest, pk: UUID) -> HttpResponse:
    asked = _request(request, pk)
    try:
        review_request(
            request_id=asked.pk,
            justified=request.POST.get("justified") == "yes",
            comment=request.POST.get("comment", ""),
            actor=_user(request),
        )
    except FundopsError as refused:
        return _page(request, pk, refused=refused)
    messages.success(request, "Your review is recorded.")
    return redirect("portal:approval", pk)


# --- History --------------------------------------------------------------------------------------------------------
class HistoryPage(TablePage):
    """Every request the reader may see."""

    permission = VIEW_REQUESTS
    table_class, filterset_class = RequestTable, RequestFilter
    template_name = "approvals/history.html"
    export_name = "approval-requests"

    def get_queryset(self) -> QuerySet[ApprovalRequest]:
        return approval_request_list(user=_user(self.request)).select_related("released_person")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "crumbs": [("Approvals", reverse("portal:approvals")), ("History", "")],
            "live_after": live_seq(),
        }


def _request(request: HttpRequest, pk: UUID) -> ApprovalRequest:
    found = with_votes(approval_request_list(user=_user(request)).select_related("released_person", "supersedes"))
    return get_object_or_404(found, pk=pk)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the decorators let nobody else in
    return request.user
