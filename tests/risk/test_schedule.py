"""What the apps want run by the clock is in beat's schedule, exists and runs; the live topic has its readers."""

from __future__ import annotations

import pytest
from django.conf import settings
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from celery_app import app
from fundops.core.live import TopicDeniedError, check_topic
from fundops.core.roles import Role
from tests.factories import user_with
from tests.risk.conftest import Tree, WrittenSource, figures

#: Sent by an action or by another task, about one thing; each has a scheduled task that finds what is left to do.
SENT = {
    "compliance.tasks.execute_approval",
    "portal.tasks.draw_strategy_examples",
    "risk.tasks.drive_stress_run",
    "trading.tasks.drive_cohort",
    "trading.tasks.review_cohort",
    "trading.tasks.run_desks",
}
#: The product's packages, as its tasks are named after them; a test may register a task of its own.
OURS = {"compliance", "core", "portal", "reporting", "risk", "trading", "treasury"}
SCHEDULED = {str(entry["task"]) for entry in settings.CELERY_BEAT_SCHEDULE.values()}


def our_tasks() -> set[str]:
    app.loader.import_default_modules()
    return {name for name in app.tasks if name.split(".")[0] in OURS}


def test_every_task_is_scheduled_or_sent() -> None:
    assert our_tasks() == SCHEDULED | SENT
    assert not SCHEDULED & SENT
    risk = {"evaluate_limits", "snapshot_risk", "run_stress", "tick_stress_runs", "evaluate_leverage",
            "revert_overrides", "watch_triggers"}  # fmt: skip
    assert {f"risk.tasks.{name}" for name in risk} <= SCHEDULED


@pytest.mark.django_db
def test_beat_takes_the_whole_schedule_from_the_settings() -> None:
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        ModelEntry.from_entry(name, app=app, **entry)
    kept = PeriodicTask.objects.filter(enabled=True)
    assert dict(kept.values_list("name", "task")) == {
        name: entry["task"] for name, entry in settings.CELERY_BEAT_SCHEDULE.items()
    }
    assert settings.CELERY_BEAT_SCHEDULER == "django_celery_beat.schedulers:DatabaseScheduler"


@pytest.mark.parametrize("name", sorted(SCHEDULED))
def test_every_scheduled_task_runs(tree: Tree, source: WrittenSource, name: str) -> None:
    """On a fund with money and nothing to do; by the worker's own entry, without arguments as beat sends it."""
    source.books = {b.pk: figures(1000.0) for b in (tree.root, tree.trend, tree.agent, tree.carry)}
    app.loader.import_default_modules()
    assert app.tasks[name].apply(throw=True).successful()


@pytest.mark.django_db
def test_the_live_topic_is_for_readers_of_risk() -> None:
    check_topic(user_with(Role.RISK_OFFICER), "risk")
    check_topic(user_with(Role.PORTFOLIO_MANAGER), "risk")
    for role in (Role.INVESTOR, Role.CLIENT_RELATIONS, Role.ADMINISTRATOR):
        with pytest.raises(TopicDeniedError):
            check_topic(user_with(role), "risk")
    with pytest.raises(TopicDeniedError):
        check_topic(user_with(Role.RISK_OFFICER), "risk:1")
