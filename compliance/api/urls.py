"""Routes of the compliance API, below /api/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from compliance.api import approvals, evidence, people, screening, views

router = SimpleRouter()
router.register("audit/events", views.AuditEventViewSet, basename="api-audit-event")
router.register("approvals/requests", approvals.ApprovalRequestViewSet, basename="api-approval-request")
router.register("approvals/policies", approvals.ApprovalPolicyViewSet, basename="api-approval-policy")
router.register("approvals/people", people.PersonViewSet, basename="api-person")
router.register("approvals/delegations", people.DelegationViewSet, basename="api-delegation")
router.register("screening/restrictions", screening.RestrictionViewSet, basename="api-restriction")
router.register("screening/flags", screening.FlagViewSet, basename="api-screening-flag")

urlpatterns = [
    *router.urls,
    path("audit/chain/", views.ChainStatusView.as_view(), name="api-audit-chain"),
    path("approvals/evidence/", evidence.EvidenceView.as_view(), name="api-approval-evidence"),
    path(
        "approvals/requests/<uuid:pk>/evidence/<str:sha256>/",
        evidence.RequestEvidenceView.as_view(),
        name="api-approval-request-evidence",
    ),
    path("approvals/kinds/", approvals.ApprovalKindsView.as_view(), name="api-approval-kinds"),
    path("screening/rules/", screening.ScreeningRulesView.as_view(), name="api-screening-rules"),
]
