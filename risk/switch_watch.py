"""The watch: reads every trigger and stops what fires. Beat calls it; so may whoever has just learned something bad."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction

from fundops.core import clock
from fundops.core.events import publish
from risk.actions.switches import trip_switch
from risk.models import ErrorReport, KillSwitch, StopCause, TriggerWatch
from risk.models.switches import TRIGGERS
from risk.switch_triggers import Reading, readings

logger = logging.getLogger(__name__)

#: Beat calls the watch every ten seconds. After a longer pause silence is counted from its return: it says nothing of
#: the parts that were down with it, and they have their full time to speak again.
PAUSE = timedelta(seconds=60)
#: Errors are forgotten after this; no window may be longer.
ERRORS_KEPT = timedelta(days=1)


def watch_triggers(*, at: datetime | None = None, causes: Sequence[StopCause] = TRIGGERS) -> list[KillSwitch]:
    """Stops every place whose trigger fires (of these causes); returns the switches that were turned now.

    One trigger that cannot be acted upon holds up no other.
    """
    moment = at or clock.now()
    if set(causes) == set(TRIGGERS):
        _note_watch(moment)
    turned = []
    for reading in readings(at=moment, causes=causes):
        if not reading.fires:
            continue
        try:
            switch = _trip(reading)
        except DatabaseError:
            logger.exception("The trigger %s fired and could not stop trading; it is tried again.", reading.name)
            continue
        if switch is not None:
            turned.append(switch)
    ErrorReport.objects.filter(at__lt=moment - ERRORS_KEPT).delete()
    return turned


def _note_watch(at: datetime) -> None:
    """Writes down that the watch looked; where it had paused, that it is back, with an event."""
    with transaction.atomic():
        row, began = TriggerWatch.objects.select_for_update().get_or_create(pk=1, defaults={"at": at})
        if not began and at - row.at > PAUSE:
            row.since = at
            publish("risk.watch.resumed", actor=None, payload={"last_at": row.at, "since": at}, topics=["risk"])
        row.at = max(at, row.at)
        row.save(update_fields=["at", "since"])


def _trip(reading: Reading) -> KillSwitch | None:
    """The switch where this has turned it; None where it was as tight already."""
    before = (
        KillSwitch.objects.filter(book=reading.book, venue=reading.venue).order_by().values_list("version", flat=True)
    )
    version = before.first()
    switch = trip_switch(
        book=reading.book,
        venue=reading.venue,
        cause=reading.rule.cause,
        detail={
            "reason": reading.reason,
            "value": reading.value,
            "threshold": reading.rule.threshold,
            "source": reading.source,
            "policy_version": reading.rule.version,
        },
        mode=reading.rule.mode,
    )
    return switch if switch is not None and switch.version != version else None
