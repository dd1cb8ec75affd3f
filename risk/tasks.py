"""Celery's entry points of risk: idempotent, each calls one action. Beat runs them; without a source they do
nothing.
"""

from __future__ import annotations

from celery import shared_task
from django.db import OperationalError

from risk.actions.breaches import evaluate_limits as evaluate
from risk.actions.leverage import evaluate_leverage as evaluate_all_leverage
from risk.actions.overrides import revert_overrides as revert
from risk.actions.snapshots import snapshot_risk as snapshot
from risk.actions.stress import ensure_standard_scenarios
from risk.actions.stress import run_stress as stress
from risk.actions.stress_runs import drive_stress_run as drive
from risk.actions.stress_runs import live_run_ids
from risk.models import StressScenario
from risk.sources import has_source
from risk.switch_watch import watch_triggers as watch


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
    """One scenario, or all active ones, on every fund; a scenario that is gone is left out.

    The standard set is there from the first run on.
    """
    if has_source():
        ensure_standard_scenarios(actor=None)
        stress(
            actor=None,
            scenarios=None if scenario_id is None else StressScenario.objects.filter(pk=scenario_id),
        )


@shared_task(name="risk.tasks.drive_stress_run", autoretry_for=(OperationalError,), max_retries=3)
def drive_stress_run(run_id: int) -> None:
    """A run that a person asked for; one that is over, or that another worker drives, is left alone."""
    drive(run_id=run_id)


@shared_task(name="risk.tasks.tick_stress_runs", expires=30, autoretry_for=(OperationalError,), max_retries=3)
def tick_stress_runs() -> None:
    """Takes up runs that no worker heard of, or that a worker left behind."""
    for run_id in live_run_ids():
        drive(run_id=run_id)


@shared_task(name="risk.tasks.evaluate_leverage", expires=60, autoretry_for=(OperationalError,), max_retries=3)
def evaluate_leverage() -> None:
    """Every Book that the leverage policy holds, by how it did."""
    evaluate_all_leverage()


@shared_task(name="risk.tasks.revert_overrides", expires=15, autoretry_for=(OperationalError,), max_retries=3)
def revert_overrides() -> None:
    """Records overrides whose time is over; they loosen nothing since then, with this or without."""
    revert()


@shared_task(name="risk.tasks.watch_triggers", expires=10, autoretry_for=(OperationalError,), max_retries=1)
def watch_triggers() -> None:
    """Everything that stops trading by itself."""
    watch()
