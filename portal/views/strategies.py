"""Strategies: each family with its description, parameters and source, its profiles, and what was refused."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from fundops.core.permissions import permission_required
from portal.examples import strategy_example
from trading.cohorts.installed import installed_profiles, installed_strategies
from trading.models.cohort import AgentDay
from trading.strategies.errors import UnknownStrategyError
from trading.strategies.pages import family_page

READ = "trading.view_cohort"


@require_GET
@permission_required(READ)
def strategy_list(request: HttpRequest) -> HttpResponse:
    """All families of this installation, and the user files that were refused, each with file, line and reason."""
    registry = installed_strategies()
    pages = [family_page(family) for family in registry.families.values()]
    pages += [family_page(frame) for frame in registry.frames.values()]
    context = {
        "families": pages,
        "profiles": installed_profiles().values(),
        "refused": registry.refused,
        "crumbs": [("Strategies", "")],
    }
    return render(request, "strategies/list.html", context)


@require_GET
@permission_required(READ)
def strategy_page(request: HttpRequest, key: str) -> HttpResponse:
    """One family: idea, parameters, source, profiles, and how its agents have done."""
    registry = installed_strategies()
    try:
        family = registry.family(key) if "@" not in key or key in registry.families else registry.frame(key)
    except UnknownStrategyError as unknown:
        raise Http404(unknown.message) from unknown
    results = (
        AgentDay.objects.filter(agent__family=family.key, complete=True)
        .select_related("agent__cohort")
        .order_by("-agent__cohort__launched_at", "-day", "rank")[:20]
    )
    context = {
        "family": family_page(family),
        "profiles": [p for p in installed_profiles().values() if p.family == family.key],
        "origin": registry.origins[family.key].name,
        "results": results,
        "has_example": family.key in registry.families,
        "crumbs": [("Strategies", reverse("portal:strategies")), (family.title, "")],
    }
    return render(request, "strategies/detail.html", context)


@require_GET
@permission_required(READ)
def strategy_chart(request: HttpRequest, key: str) -> JsonResponse:
    """The payload of a family's example: its equity on invented candles beside buy and hold."""
    registry = installed_strategies()
    if key not in registry.families:
        raise Http404("This family has no example.")
    family, example = registry.families[key], strategy_example(key)
    payload = {
        "unit": "usd",
        "synthetic": True,
        "empty": "A worker is drawing this example; it appears by itself.",
        "retry_ms": 1500,
        "series": [],
    }
    if example is not None:
        times, held = example["times_ms"], example["benchmark"]
        payload = payload | {
            "retry_ms": 0,
            "levels": [{"y": example["equity"][0], "label": "Drawn", "tone": "muted"}],
            "series": [
                {
                    "name": example["benchmark_title"],
                    "style": "dashed",
                    "data": list(zip(times, held, strict=True)),
                },
                {
                    "name": family.title,
                    "style": "primary",
                    "data": list(zip(times, example["equity"], strict=True)),
                },
            ],
        }
    return JsonResponse(payload)
