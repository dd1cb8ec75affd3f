"""Routes of the portal's API, below /api/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from portal import api

router = SimpleRouter()
router.register("knowledge", api.KnowledgeViewSet, basename="api-knowledge")

urlpatterns = [
    *router.urls,
    path("assistant/say/", api.SayView.as_view(), name="api-assistant-say"),
    path("assistant/intents/grow/", api.GrowView.as_view(), name="api-assistant-grow"),
    path("assistant/intents/fund-tomorrow/", api.FundTomorrowView.as_view(), name="api-assistant-fund"),
    path("assistant/intents/start-cohort/", api.StartCohortView.as_view(), name="api-assistant-start"),
    path("assistant/intents/review-promotion/", api.ReviewPromotionView.as_view(), name="api-assistant-review"),
    path("assistant/cohorts/status/", api.CohortStatusView.as_view(), name="api-assistant-status"),
    path(
        "assistant/cohorts/<int:pk>/promotion-readiness/", api.ReadinessView.as_view(), name="api-assistant-readiness"
    ),
    path("assistant/cohorts/bankroll-summary/", api.BankrollSummaryView.as_view(), name="api-assistant-bankroll"),
]
