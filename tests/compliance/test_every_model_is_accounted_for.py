"""Every row a person can change has readable history; what has none cannot be changed, or is the machine's
own."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, models
from simple_history.models import registered_models

OURS = ("fundops.core", "compliance", "treasury", "risk", "trading", "reporting", "portal")

#: Rows the machine itself rewrites, and why nobody needs their earlier states. A model may also say so
#: itself, in a class attribute ``machine_state``.
MACHINE_STATE = {
    "treasury.Book": "the database fixes all but its name and its closing, which is an event",
    "treasury.PostingCheck": "a transaction's own work list: written by a trigger, gone when it commits",
    "trading.CandleSet": "the manifest of files on disk, rewritten by each import, which is an event",
    "trading.CohortRun": "the progress of a run, rewritten bar by bar; its milestones are events",
    "trading.AgentDay": "scores of a day that trades; the database refuses any change once it has closed",
    "trading.CohortDay": "scores of a day that trades; the database refuses any change once it has closed",
}

#: PostgreSQL's pg_trigger.tgtype: what a trigger fires on.
_UPDATE, _DELETE, _TRUNCATE = 16, 8, 32


def our_models() -> list[type[models.Model]]:
    return [
        model
        for model in apps.get_models()
        if model._meta.app_config.name in OURS
        and model._meta.managed
        and not model._meta.proxy
        and not model.__name__.startswith("Historical")
    ]


def refused_by_triggers(table: str) -> int:
    """The operations on which some trigger of ``table`` fires before anything is changed, as tgtype bits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(bit_or(tgtype), 0) FROM pg_trigger WHERE tgrelid = %s::regclass"
            " AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & 2 = 2",
            [table],
        )
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
@pytest.mark.parametrize("model", our_models(), ids=lambda model: model._meta.label)
def test_model_has_history_or_cannot_change(model: type[models.Model]) -> None:
    reason = getattr(model, "machine_state", "") or MACHINE_STATE.get(model._meta.label, "")
    if getattr(model, "append_only", False) and not reason:
        wanted = _UPDATE | _DELETE | _TRUNCATE
        assert refused_by_triggers(model._meta.db_table) & wanted == wanted, "append_only without its triggers"
        return
    if reason:
        assert len(reason) > 10, "say why nobody needs the history of this machine state"
        return
    assert model in registered_models.values(), (
        f"{model._meta.label} is editable: give it HistoricalRecords(), append_only = True with its "
        "triggers, or machine_state = 'why' (or a line in MACHINE_STATE here)."
    )
