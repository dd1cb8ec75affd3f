"""Routes of the risk API, below /api/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from risk.api import leverage, measures, sizing, switches, views

router = SimpleRouter()
router.register("risk/limits", views.LimitViewSet, basename="api-risk-limit")
router.register("risk/switches", switches.SwitchViewSet, basename="api-risk-switch")
router.register("risk/breaches", views.BreachViewSet, basename="api-risk-breach")
router.register("risk/scenarios", views.ScenarioViewSet, basename="api-risk-scenario")
router.register("risk/stress", views.StressResultViewSet, basename="api-risk-stress")
router.register("risk/snapshots", views.SnapshotViewSet, basename="api-risk-snapshot")
router.register("risk/budgets", views.BudgetViewSet, basename="api-risk-budget")
router.register("risk/leverage", leverage.LeverageViewSet, basename="api-risk-leverage")
router.register("risk/overrides", leverage.OverrideViewSet, basename="api-risk-override")

urlpatterns = [
    path("risk/override-policy/", leverage.OverridePolicyView.as_view(), name="api-risk-override-policy"),
    path("risk/sizing/", sizing.SizingView.as_view(), name="api-risk-sizing"),
    path("risk/limit-status/", views.LimitStatusView.as_view(), name="api-risk-limit-status"),
    path("risk/measures/", measures.MeasuresView.as_view(), name="api-risk-measures"),
    path("risk/triggers/", switches.TriggerReadingsView.as_view(), name="api-risk-triggers"),
    path("risk/effective-limits/", views.EffectiveLimitsView.as_view(), name="api-risk-effective-limits"),
    *router.urls,
]
