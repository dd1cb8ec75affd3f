"""The rules of the gate: what is in force for every kind, and each version with what it changed."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from compliance.actions.approvals import PROPOSE
from compliance.approvals.policy import SET_POLICY
from compliance.models import ApprovalRequest
from compliance.models.approvals import EXPIRING
from compliance.selectors import live_seq
from fundops.core.permissions import may, permission_required
from portal.gate.policies import grouped_rules, rules_in_force, title_of, versions_of

VIEW_POLICIES = "compliance.view_approvalpolicy"


@require_GET
@permission_required(VIEW_POLICIES)
def approval_policies(request: HttpRequest) -> HttpResponse:
    """Every kind of action with its rules in words; kinds without rules first, for nothing of them can be asked."""
    rules = rules_in_force()
    context = {
        "groups": grouped_rules(rules),
        "without": [one for one in rules if one.version is None],
        "pending": _pending(),
        "may_propose": may(request.user, PROPOSE),
        "crumbs": [("Approvals", reverse("portal:approvals")), ("Policies", "")],
        "live_after": live_seq(),
    }
    return render(request, "approvals/policies.html", context)


@require_GET
@permission_required(VIEW_POLICIES)
def approval_policy(request: HttpRequest, kind: str) -> HttpResponse:
    """All versions of one kind's rules, newest first."""
    rules = next((one for one in rules_in_force() if one.kind == kind), None)
    if rules is None:
        raise Http404("There is no such kind of action.")
    context = {
        "kind": kind,
        "title": title_of(kind),
        "rules": rules,
        "versions": versions_of(kind),
        "pending": [asked for asked in _pending() if asked.object_id == kind],
        "may_propose": may(request.user, PROPOSE),
        "crumbs": [
            ("Approvals", reverse("portal:approvals")),
            ("Policies", reverse("portal:approval-policies")),
            (title_of(kind), ""),
        ],
        "live_after": live_seq(),
    }
    return render(request, "approvals/policy.html", context)


def _pending() -> list[ApprovalRequest]:
    """Changes of rules that wait for signatures."""
    waiting = ApprovalRequest.objects.filter(kind=SET_POLICY, state__in=EXPIRING)
    return list(waiting.select_related("maker_person").order_by("expires_at"))
