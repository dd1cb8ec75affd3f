"""Proposing a change: the list of what can be asked for, and the form that every kind's payload becomes.

Any page links here with what it knows: `/approvals/new/risk.set_limit/?book=DEMO&metric=leverage&hard=3`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.actions.approvals import PROPOSE, draft_request, edit_request, submit_request
from compliance.approvals.policy import SET_POLICY
from compliance.approvals.registry import Action, action_for, registered_actions
from compliance.models import ApprovalRequest
from compliance.selectors_approvals import approval_request_list, policies_in_force
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required, require
from portal.forms.approval import RequestForm, form_of, linked_form, posted_form


@require_GET
@permission_required(PROPOSE)
def approval_kinds(request: HttpRequest) -> HttpResponse:
    """Everything that passes the gate, and which of it this reader may ask for."""
    user = _user(request)
    versions = policies_in_force()
    kinds = [
        {
            "kind": action.kind,
            "title": action.title,
            "maker_permission": action.maker_permission,
            "area": action.kind.partition(".")[0].capitalize(),
            "about": (action.payload_type.__doc__ or "").strip().split("\n\n")[0],
            "may": may(user, action.maker_permission),
            "version": versions.get(action.kind) or (1 if action.kind == SET_POLICY else None),
        }
        for action in registered_actions()
    ]
    context = {
        "kinds": [one for one in kinds if one["may"]],
        "others": [one for one in kinds if not one["may"]],
        "crumbs": [("Approvals", reverse("portal:approvals")), ("Propose a change", "")],
    }
    return render(request, "approvals/kinds.html", context)


@permission_required(PROPOSE)
def approval_new(request: HttpRequest, kind: str) -> HttpResponse:
    """The form of one kind; POST makes the draft, and submits it when asked to."""
    user, action = _user(request), action_for(kind)
    require(user, action.maker_permission)
    supersedes = _superseded(request, action)
    if request.method == "POST":
        form = posted_form(action, request.POST)
        if _rearranging(request):
            return _render(request, form.check(lenient=True), supersedes=supersedes)
        if form.check().valid:
            try:
                asked = draft_request(
                    kind=kind,
                    payload=form.payload,
                    reason=form.reason,
                    evidence=form.evidence,
                    supersedes=supersedes,
                    actor=user,
                )
            except FundopsError as refused:
                form.refusal = refused.message
            else:
                return _done(request, asked, user)
        return _render(request, form, supersedes=supersedes, status=422)
    form = linked_form(action, request.GET).check(lenient=True)
    return _render(request, form, supersedes=supersedes)


@permission_required(PROPOSE)
def approval_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The same form for a request of one's own; what is saved is a new version, and voids the votes."""
    user = _user(request)
    asked = get_object_or_404(approval_request_list(user=user), pk=pk)
    action = action_for(asked.kind)
    if request.method == "POST":
        form = posted_form(action, request.POST)
        if _rearranging(request):
            return _render(request, form.check(lenient=True), asked=asked)
        if form.check().valid:
            try:
                edit_request(
                    request_id=pk, payload=form.payload, reason=form.reason, evidence=form.evidence, actor=user
                )
            except FundopsError as refused:
                form.refusal = refused.message
            else:
                return _done(request, asked, user)
        return _render(request, form, asked=asked, status=422)
    return _render(request, form_of(action, asked).check(lenient=True), asked=asked)


@require_POST
@permission_required(PROPOSE)
def approval_check(request: HttpRequest, kind: str) -> HttpResponse:
    """The form's own fields with what is wrong so far, and what the approvers would see; nothing is written."""
    action = action_for(kind)
    require(request.user, action.maker_permission)
    form = posted_form(action, request.POST).check(lenient=True)
    return render(request, "approvals/_form.html", _context(form))


def _rearranging(request: HttpRequest) -> bool:
    """A button that only adds or removes a row was pressed."""
    return "_add" in request.POST or "_remove" in request.POST


def _done(request: HttpRequest, asked: ApprovalRequest, user: User) -> HttpResponse:
    """A draft is kept; when it was to be submitted too, and cannot be, its page says why."""
    if request.POST.get("then") != "submit":
        messages.success(request, "Saved as a draft. Submit it when it is ready.")
        return redirect("portal:approval", asked.pk)
    try:
        submit_request(request_id=asked.pk, actor=user)
    except FundopsError as refused:
        messages.error(request, f"Saved as a draft, and not submitted: {refused.message}")
    else:
        messages.success(request, "Submitted. Those who must sign see it in their queues now.")
    return redirect("portal:approval", asked.pk)


def _superseded(request: HttpRequest, action: Action[Any]) -> ApprovalRequest | None:
    former = request.POST.get("_supersedes") or request.GET.get("_supersedes")
    if not former:
        return None
    try:
        wanted = UUID(former)
    except ValueError:
        return None
    return approval_request_list(user=_user(request)).filter(pk=wanted, kind=action.kind).first()


def _context(form: RequestForm) -> dict[str, Any]:
    return {
        "form": form,
        # Its words alone: a template calls what can be called, and an action is.
        "action": {"kind": form.action.kind, "title": form.action.title},
        "check_url": reverse("portal:approval-check", args=[form.action.kind]),
    }


def _render(
    request: HttpRequest,
    form: RequestForm,
    *,
    asked: ApprovalRequest | None = None,
    supersedes: ApprovalRequest | None = None,
    status: int = 200,
) -> HttpResponse:
    crumbs = [("Approvals", reverse("portal:approvals"))]
    crumbs += [(asked.object_label, reverse("portal:approval", args=[asked.pk])), ("Edit", "")] if asked else []
    crumbs += [] if asked else [("Propose a change", reverse("portal:approval-kinds")), (form.action.title, "")]
    context = _context(form) | {
        "asked": asked,
        "void": asked.decisions.filter(statement__version=asked.version).count() if asked else 0,
        "supersedes": supersedes,
        "about": (form.action.payload_type.__doc__ or "").strip().split("\n\n")[0],
        "crumbs": crumbs,
    }
    return render(request, "approvals/new.html", context, status=status)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the decorators let nobody else in
    return request.user
