"""Celery's entry points of trading: numbers only, idempotent, each calls one action."""

from __future__ import annotations

from collections.abc import Mapping

from celery import shared_task
from django.db import InterfaceError, OperationalError

from trading.actions.cohort_drive import drive_cohort as drive
from trading.actions.cohort_drive import due_cohorts
from trading.actions.cohort_feed import feed_forward_cohorts as feed
from trading.actions.flattening import flatten_breached as flatten
from trading.actions.promotion import review_cohort as review
from trading.actions.promotion import reviewable_cohorts
from trading.actions.promotion_tick import tick_reviews as tick
from trading.actions.screening import screen_closed_days as screen
from trading.desk.drive import SHARE, due_desks
from trading.desk.drive import run_desks as run
from trading.desk.heartbeats import beat_idle
from trading.models.cohort import LIVE_STATUSES, Cohort
from trading.risk_signals import tell_signals

#: So many due desks are named to the workers that are woken; of more each looks for itself, because every message
#: would carry them all.
HANDED_ON = 200


@shared_task(
    name="trading.tasks.drive_cohort",
    autoretry_for=(OperationalError, InterfaceError),
    retry_backoff=True,
    max_retries=8,
)
def drive_cohort(cohort_id: int) -> None:
    """Takes one cohort as far as it can go now; one that is gone is no work."""
    if Cohort.objects.filter(pk=cohort_id).exists():
        drive(cohort_id=cohort_id)


@shared_task(name="trading.tasks.drive_live_cohorts", ignore_result=True, expires=5)
def drive_live_cohorts() -> None:
    """Beat's tick: every cohort that is still live goes on, whoever drove it before.

    It moves forward cohorts bar by bar, and it is what resumes a cohort whose worker was killed: driving one that
    another worker holds does nothing.
    """
    for cohort_id in Cohort.objects.filter(status__in=LIVE_STATUSES).values_list("pk", flat=True):
        drive_cohort.apply_async((cohort_id,), expires=30)


@shared_task(name="trading.tasks.feed_forward_cohorts", ignore_result=True, expires=30)
def feed_forward_cohorts() -> None:
    """Beat's call for fresh candles; a venue that does not answer is asked again at the next one.

    Desks hear of the bars at once, and do not wait for their tick.
    """
    if feed():
        call_desks()


@shared_task(name="trading.tasks.screen_closed_days", ignore_result=True, expires=30)
def screen_closed_days() -> None:
    """Looks for prohibited tactics in the days that have closed."""
    screen()


def call_desks() -> int:
    """Wakes as many workers as the desks that are due need; returns how many. What closes a bar calls this."""
    return _wake(due_desks())


def _wake(due: Mapping[int, int]) -> int:
    shares = -(-len(due) // SHARE)
    told = list(due.items()) if len(due) <= HANDED_ON else None
    for _ in range(shares):
        run_desks.apply_async((told,), expires=5)
    return shares


@shared_task(name="trading.tasks.call_desks", ignore_result=True, expires=2)
def tick_desks() -> None:
    """Beat's tick: desks whose bar nobody announced, whose time runs faster, or whose worker died. Those that have
    nothing to do give a sign of life."""
    due = due_desks()
    _wake(due)
    beat_idle(due)


@shared_task(name="trading.tasks.run_desks", ignore_result=True, expires=5)
def run_desks(due: list[tuple[int, int]] | None = None) -> None:
    """Works every desk that is due and that nobody holds: sent when bars have closed, and by beat's tick, with what was
    found to be due."""
    run(None if due is None else dict(due))


@shared_task(name="trading.tasks.review_cohorts", ignore_result=True, expires=15)
def review_cohorts() -> None:
    """Beat's call at the Day-3 hour: every cohort whose third day has closed gets its review, on the research queue."""
    for cohort in reviewable_cohorts():
        review_cohort.apply_async((cohort.pk,), queue="research", expires=60)


@shared_task(name="trading.tasks.review_cohort", autoretry_for=(OperationalError,), retry_backoff=True, max_retries=8)
def review_cohort(cohort_id: int) -> None:
    """Compiles one cohort's evidence and has the gate judge it."""
    cohort = Cohort.objects.filter(pk=cohort_id).first()
    if cohort is not None:
        review(cohort=cohort, actor=None)


@shared_task(name="trading.tasks.tick_reviews", ignore_result=True, expires=5)
def tick_reviews() -> None:
    """Takes every review on: asks, follows its request, watches what is deployed, settles what was rolled back."""
    tick()


@shared_task(name="trading.tasks.tell_risk", ignore_result=True, expires=10)
def tell_risk() -> None:
    """What the kill switch must know of desks, cohorts and candles; it falls silent with this very worker."""
    tell_signals(due=due_desks(), due_cohorts=due_cohorts())


@shared_task(name="trading.tasks.flatten_breached", ignore_result=True, expires=5)
def flatten_breached() -> None:
    """Has closed what a hard breach says is to be closed."""
    flatten()
