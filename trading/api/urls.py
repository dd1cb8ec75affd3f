"""Routes of the trading API, below /api/."""

from __future__ import annotations

from typing import Any

from django.urls import path
from rest_framework.routers import SimpleRouter
from rest_framework.viewsets import GenericViewSet

from trading.api import deployments, reviews, trials, views

#: What hangs below one cohort, and below one deployment.
_OF_COHORT: dict[str, type[GenericViewSet[Any]]] = {
    "days": views.CohortDayViewSet,
    "agents": views.AgentViewSet,
    "leaderboard": views.AgentDayViewSet,
    "trades": views.FillViewSet,
    "rejections": views.RejectionViewSet,
    "alerts": views.AlertViewSet,
}
_OF_DEPLOYMENT: dict[str, type[GenericViewSet[Any]]] = {
    "orders": deployments.OrderViewSet,
    "fills": deployments.DeskFillViewSet,
    "cycles": deployments.CycleViewSet,
    "positions": deployments.PositionViewSet,
    "council": deployments.VoiceViewSet,
}

router = SimpleRouter()
router.register("cohorts", views.CohortViewSet, basename="api-cohort")
for _name, _view in _OF_COHORT.items():
    router.register(rf"cohorts/(?P<cohort_pk>\d+)/{_name}", _view, basename=f"api-cohort-{_name}")
router.register("deployments", deployments.DeploymentViewSet, basename="api-deployment")
for _name, _view in _OF_DEPLOYMENT.items():
    router.register(rf"deployments/(?P<deployment_pk>\d+)/{_name}", _view, basename=f"api-deployment-{_name}")
router.register("reviews", reviews.ReviewViewSet, basename="api-review")
router.register("live-records", reviews.LiveRecordViewSet, basename="api-live-record")
router.register("trials", trials.TrialSetViewSet, basename="api-trial-set")

urlpatterns = [*router.urls, path("promotion-rules/", reviews.PromotionRulesView.as_view(), name="api-promotion-rules")]
