"""Routes of the compliance API, below /api/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from compliance.api import views

router = SimpleRouter()
router.register("audit/events", views.AuditEventViewSet, basename="api-audit-event")

urlpatterns = [*router.urls, path("audit/chain/", views.ChainStatusView.as_view(), name="api-audit-chain")]
