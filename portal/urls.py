"""The addresses of the portal's pages. Each page names the permission it needs where it is defined."""

from django.urls import URLPattern, URLResolver, path

from portal import urls_approvals
from portal.views import (
    books,
    candles,
    cohorts,
    guardrails,
    leverage,
    overrides,
    risk,
    risk_allocation,
    risk_stress,
    screening,
    strategies,
)
from portal.views.home import home
from portal.views.roles import roles

app_name = "portal"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("roles/", roles, name="roles"),
    path("candles/", candles.CandleListPage.as_view(), name="candles"),
    path("candles/quarantine/", candles.QuarantinePage.as_view(), name="quarantine"),
    path("candles/<int:pk>/", candles.candle_set_page, name="candle-set"),
    path("candles/<int:pk>/bars.json", candles.candle_set_chart, name="candle-set-chart"),
    path("strategies/", strategies.strategy_list, name="strategies"),
    path("strategies/<str:key>/", strategies.strategy_page, name="strategy"),
    path("strategies/<str:key>/example.json", strategies.strategy_chart, name="strategy-chart"),
    path("cohorts/", cohorts.CohortListPage.as_view(), name="cohorts"),
    path("cohorts/new/", cohorts.cohort_new, name="cohort-new"),
    path("cohorts/check/", cohorts.cohort_check, name="cohort-check"),
    path("cohorts/<int:pk>/", cohorts.cohort_page, name="cohort"),
    path("cohorts/<int:pk>/cancel/", cohorts.cohort_cancel, name="cohort-cancel"),
    path("cohorts/<int:pk>/charts/<slug:name>.json", cohorts.cohort_chart, name="cohort-chart"),
    path("cohorts/<int:pk>/agents/<int:number>/", cohorts.agent_page, name="cohort-agent"),
    path(
        "cohorts/<int:pk>/agents/<int:number>/<slug:name>.json",
        cohorts.agent_chart,
        name="cohort-agent-chart",
    ),
    path("cohorts/<int:pk>/fills/<int:number>/", cohorts.fill_page, name="cohort-fill"),
    path("books/", books.book_list, name="books"),
    path("books/<path:path>/", books.book_page, name="book"),
    path("risk/", risk.risk_page, name="risk"),
    path("risk/var/", risk.var_fragment, name="risk-var"),
    path("risk/breaches/<int:pk>/acknowledge/", risk.breach_acknowledge, name="risk-acknowledge"),
    path("risk/stress/", risk_stress.stress_page, name="risk-stress"),
    path("risk/stress/<slug:code>/", risk_stress.scenario_page, name="risk-scenario"),
    path("risk/stress-runs/", risk_stress.stress_ask, name="risk-stress-ask"),
    path("risk/stress-runs/<int:pk>/", risk_stress.stress_run, name="risk-stress-run"),
    path("risk/stress-runs/<int:pk>/cancel/", risk_stress.stress_cancel, name="risk-stress-cancel"),
    path("risk/allocation/", risk_allocation.allocation_page, name="risk-allocation"),
    path("risk/allocation/propose/", risk_allocation.allocation_propose, name="risk-allocation-propose"),
    path("risk/reverse/", risk_stress.reverse_stress, name="risk-reverse"),
    path("risk/guardrails/", guardrails.guardrails_page, name="guardrails"),
    path("risk/guardrails/stop/", guardrails.guardrails_stop, name="guardrails-stop"),
    path("risk/leverage/", leverage.LeveragePage.as_view(), name="leverage"),
    path("risk/leverage/over-time.json", leverage.leverage_chart, name="leverage-chart"),
    path("risk/leverage/lower/", leverage.leverage_lower, name="leverage-lower"),
    path("risk/overrides/", overrides.OverridePage.as_view(), name="overrides"),
    path("risk/overrides/<int:pk>/end/", overrides.override_end, name="override-end"),
    path("banners/", overrides.banners, name="banners"),
    path("screening/", screening.RestrictionPage.as_view(), name="screening"),
    path("screening/restrict/", screening.restrict_page, name="screening-restrict"),
    path("screening/flags/", screening.FlagPage.as_view(), name="screening-flags"),
    path("screening/flags/<int:pk>/", screening.flag_page, name="screening-flag"),
    *urls_approvals.urlpatterns,
]
