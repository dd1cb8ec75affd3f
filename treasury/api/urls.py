"""Routes of the treasury API, below /api/."""

from __future__ import annotations

from django.urls import path
from rest_framework.routers import SimpleRouter

from treasury.api import views

router = SimpleRouter()
router.register("books", views.BookViewSet, basename="api-book")
router.register("entries", views.EntryViewSet, basename="api-entry")

urlpatterns = [
    *router.urls,
    path("funds/", views.OpenFundView.as_view(), name="api-fund-open"),
    path("trial-balance/", views.TrialBalanceView.as_view(), name="api-trial-balance"),
]
