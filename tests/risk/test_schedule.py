"""What beat runs exists, and the live topic of risk is for who may see it."""

from __future__ import annotations

import pytest
from django.conf import settings

from celery_app import app
from fundops.core.live import TopicDeniedError, check_topic
from fundops.core.roles import Role
from tests.factories import user_with


def test_every_scheduled_task_of_risk_is_registered() -> None:
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    ours = {f"risk.tasks.{name}" for name in ("evaluate_limits", "snapshot_risk", "run_stress")}
    assert ours <= scheduled
    assert ours <= set(app.tasks)


@pytest.mark.django_db
def test_the_live_topic_is_for_readers_of_risk() -> None:
    check_topic(user_with(Role.RISK_OFFICER), "risk")
    check_topic(user_with(Role.PORTFOLIO_MANAGER), "risk")
    for role in (Role.INVESTOR, Role.CLIENT_RELATIONS, Role.ADMINISTRATOR):
        with pytest.raises(TopicDeniedError):
            check_topic(user_with(role), "risk")
    with pytest.raises(TopicDeniedError):
        check_topic(user_with(Role.RISK_OFFICER), "risk:1")
