"""Celery's entry points of risk: idempotent, each calls one action. Beat runs them; without a source they do
nothing.
"""

from __future__ import annotations

from celery import shared_task
from django.db import OperationalError

from risk.actions.breaches import evaluate_limits as evaluate
from risk.actions.snapshots import snapshot_risk as snapshot
from risk.actions.stress import run_stress as stress
from risk.models import StressScenario
from risk.sources import has_source


@shared_task(name="risk.tasks.evaluate_limits", expires=30, autoretry_for=(OperationalError,), max_retries=3)
def evaluate_limits() -> None:
    """Every limit in force on every fund. Runs without a source too, and then judges nothing."""
    evaluate(actor=None)


@shared_task(name="risk.tasks.snapshot_risk", autoretry_for=(OperationalError,), max_retries=3)
def snapshot_risk() -> None:
    """A snapshot of every Book that is no agent's."""
    if has_source():
        snapshot(actor=None)


@shared_task(name="risk.tasks.run_stress", autoretry_for=(OperationalError,), max_retries=3)
def run_stress(scenario_id: int | None = None) -> None:
    """One scenario, or all active ones, on every fund; a scenario that is gone is left out."""
    if has_source():
        stress(
            actor=None,
            scenarios=None if scenario_id is None else StressScenario.objects.filter(pk=scenario_id),
        )
