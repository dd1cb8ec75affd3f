"""Stress on demand: asking, running scenario by scenario, cancelling."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from fundops.core.tasks import enqueue_on_commit
from risk.actions.stress import ensure_standard_scenarios, run_stress
from risk.errors import NothingToStressError, StressRunningError, StressRunOverError
from risk.models import StressRun, StressRunState, StressScenario
from risk.models.stress_runs import LIVE_RUNS
from treasury.models import Book

logger = logging.getLogger(__name__)

RUN = "risk.run_stress"
TASK = "risk.tasks.drive_stress_run"
#: The class of advisory locks that says somebody is driving a run.
_LOCK = 0x73747273


def ask_for_stress(*, book: Book, actor: User, scenario: StressScenario | None = None) -> StressRun:
    """Queues one scenario, or every active one, on a Book with all below it.

    The standard set is made where there is no scenario yet. Raises StressRunningError while one runs on this Book,
    NothingToStressError for a closed Book or where no scenario is active.
    """
    require(actor, RUN)
    if not book.is_open:
        raise NothingToStressError(f"Book {book.path} is closed; there is nothing to stress.", book=book.path)
    if not StressScenario.objects.exists():
        ensure_standard_scenarios(actor=None)
    total = 1 if scenario is not None else StressScenario.objects.filter(is_active=True).count()
    if not total:
        raise NothingToStressError("No scenario is active. Ask for one through an approval (risk.save_scenario).")
    with transaction.atomic():
        Book.objects.select_for_update(no_key=True).get(pk=book.pk)
        running = StressRun.objects.filter(book=book, state__in=LIVE_RUNS).first()
        if running is not None:
            raise StressRunningError(
                f"A run asked for by {running.asked_by} is at {running.done} of {running.total}; wait or cancel it.",
                run=running.pk,
            )
        run = StressRun.objects.create(book=book, scenario=scenario, total=total, asked_by=actor, asked_at=clock.now())
        publish(
            "risk.stress.asked",
            actor=actor,
            obj=run,
            payload={"book": book.path, "scenario": None if scenario is None else scenario.code, "total": total},
            topics=["risk", f"book:{book.pk}"],
        )
        enqueue_on_commit(TASK, run.pk)
    return run


def drive_stress_run(*, run_id: int) -> StressRun | None:
    """Runs what is left of a run, each scenario kept as it is priced; None where another worker is at it.

    A worker that died leaves a run which the next call takes up behind the last scenario that was kept.
    """
    with _alone(run_id) as mine:
        if not mine:
            return None
        run = StressRun.objects.select_related("book", "asked_by", "scenario").filter(pk=run_id).first()
        if run is None or not run.is_live:
            return run
        chosen = [run.scenario] if run.scenario is not None else list(_active(run))
        StressRun.objects.filter(pk=run.pk, state=StressRunState.QUEUED).update(
            state=StressRunState.RUNNING, total=max(len(chosen), run.done)
        )
        try:
            for scenario in chosen[run.done :]:
                if not StressRun.objects.filter(pk=run.pk, state=StressRunState.RUNNING).exists():
                    break
                run_stress(actor=run.asked_by, books=[run.book], scenarios=[scenario], at=run.asked_at)
                run.done += 1
                StressRun.objects.filter(pk=run.pk).update(done=run.done)
        except FundopsError as error:
            _end(run, StressRunState.FAILED, failure=error.message)
        except Exception:
            logger.exception("Stress run %s broke off", run.pk)
            _end(run, StressRunState.FAILED, failure="A fault of the program stopped it; the log says which.")
        else:
            _end(run, StressRunState.FINISHED)
        run.refresh_from_db()
        return run


def _active(run: StressRun) -> list[StressScenario]:
    return list(StressScenario.objects.filter(is_active=True).order_by("code")[: run.total])


def _end(run: StressRun, state: StressRunState, *, failure: str = "") -> None:
    with transaction.atomic():
        ended = StressRun.objects.filter(pk=run.pk, state=StressRunState.RUNNING).update(
            state=state, ended_at=clock.now(), failure=failure[:400]
        )
        if ended:
            publish(
                f"risk.stress.{state.value}",
                actor=run.asked_by,
                obj=run,
                payload={"book": run.book.path, "done": run.done, "total": run.total, "failure": failure},
                topics=["risk", f"book:{run.book_id}"],
            )


def cancel_stress_run(*, run: StressRun, actor: User) -> StressRun:
    """Stops a run behind the scenario that is being priced. Raises StressRunOverError for one that has ended."""
    require(actor, RUN)
    with transaction.atomic():
        held = StressRun.objects.select_for_update(of=("self",)).select_related("book").get(pk=run.pk)
        if not held.is_live:
            raise StressRunOverError("This run has ended; nothing is left to cancel.", run=held.pk)
        held.state, held.ended_at = StressRunState.CANCELLED, clock.now()
        held.save(update_fields=["state", "ended_at"])
        publish(
            "risk.stress.cancelled",
            actor=actor,
            obj=held,
            payload={"book": held.book.path, "done": held.done, "total": held.total},
            topics=["risk", f"book:{held.book_id}"],
        )
    return held


def live_run_ids() -> list[int]:
    """Runs that are not over: waiting, being driven, or left behind by a worker that died."""
    return list(StressRun.objects.filter(state__in=LIVE_RUNS).order_by("asked_at").values_list("pk", flat=True))


@contextmanager
def _alone(run_id: int) -> Iterator[bool]:
    """A lock of the session, which a worker that dies gives back."""
    key = run_id % 2**31
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK, key])
        (mine,) = cursor.fetchone()
    try:
        yield bool(mine)
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK, key])
