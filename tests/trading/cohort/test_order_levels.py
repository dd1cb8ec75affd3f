"""Orders of a forward cohort past soft levels: one breach a limit, of the Book whose limit it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fundops.core import clock
from risk.actions.order_breaches import PassedLevel, note_order_levels
from risk.models import LimitBreach, RiskLimit
from risk.quant.metrics import Metric
from tests.risk.gated import put_limit
from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort, CohortFill, CohortMode, CohortRejection
from treasury.models import Book

pytestmark = pytest.mark.usefixtures("ruled_world")

LAUNCH = datetime(2025, 3, 20, 12, 0, tzinfo=UTC)
Make = Callable[..., Cohort]


@pytest.fixture
def forward(launched: Make) -> Cohort:
    with clock.frozen(LAUNCH):
        cohort = launched(mode=CohortMode.FORWARD, speed=60.0, days=1, agent_count=12)
    return drive(cohort, 0)


def drive(cohort: Cohort, seconds: float) -> Cohort:
    with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
        return drive_cohort(cohort_id=cohort.pk)


def limit_on(book: Book | None, metric: Metric, soft: str, hard: str | None = None) -> RiskLimit:
    assert book is not None
    with clock.frozen(LAUNCH):
        return put_limit(book=book, metric=metric, soft=Decimal(soft), hard=Decimal(hard) if hard else None)


def notionals(cohort: Cohort) -> list[float]:
    fills = CohortFill.objects.filter(cohort=cohort).exclude(reason="liquidation").order_by("number")
    return [float(fill.quantity * fill.reference_price) for fill in fills]


def test_an_order_past_a_soft_level_opens_one_breach_of_the_cohorts_book(forward: Cohort) -> None:
    limit = limit_on(Book.objects.get(fund=forward.fund, parent=None), Metric.ORDER_NOTIONAL, "1")
    drive(forward, 300)
    (breach,) = LimitBreach.objects.all()
    assert (breach.limit, breach.book_id, breach.level) == (limit, forward.book_id, "soft")
    passed = [x for x in notionals(forward) if x > 1]
    assert len(passed) > 1
    assert breach.worst_value == pytest.approx(max(passed))
    assert breach.first_value == pytest.approx(passed[0])
    assert breach.last_seen_at == LAUNCH + timedelta(seconds=300)


def test_a_level_of_an_agents_own_is_its_own_breach(forward: Cohort) -> None:
    drive(forward, 300)
    busiest = list(CohortFill.objects.filter(cohort=forward).values_list("agent__number", flat=True))
    agent = forward.agents.get(number=max(set(busiest), key=busiest.count))
    limit = limit_on(agent.book, Metric.PARTICIPATION_FRAC, "0")
    drive(forward, 900)
    assert {(b.limit_id, b.book_id) for b in LimitBreach.objects.all()} == {(limit.pk, agent.book_id)}


def test_a_hard_level_that_cuts_makes_it_hard(forward: Cohort) -> None:
    limit_on(forward.book, Metric.ORDER_NOTIONAL, "1", "5")
    drive(forward, 600)
    assert CohortRejection.objects.filter(cohort=forward, reason__endswith="limit_order").exists()
    breach = LimitBreach.objects.get()
    assert (breach.level, breach.actions, breach.book_id) == ("hard", ["alert"], forward.book_id)
    assert (breach.worst_value or 0) > 5
    assert max(notionals(forward)) <= 5.000001


def test_a_hard_level_alone_and_a_level_that_nobody_passes_open_nothing(forward: Cohort) -> None:
    assert forward.book is not None
    with clock.frozen(LAUNCH):
        put_limit(book=forward.book, metric=Metric.ORDER_NOTIONAL, hard=Decimal(5))
    limit_on(forward.book, Metric.PARTICIPATION_FRAC, "0.9")
    drive(forward, 600)
    assert CohortRejection.objects.filter(cohort=forward, reason__endswith="limit_order").exists()
    assert not LimitBreach.objects.exists()


def test_shares_and_distances_are_those_that_the_engine_judged(forward: Cohort) -> None:
    """The engine cuts to the hard level, to the lot: what it let through ends there, and what it cut was beyond."""
    limit_on(forward.book, Metric.ORDER_NOTIONAL_FRAC, "0", "0.05")
    limit_on(forward.book, Metric.PRICE_COLLAR_FRAC, "0", "0.0005")
    seen: dict[bool, dict[int, list[float]]] = {False: {}, True: {}}

    def watch(passed: Sequence[PassedLevel]) -> None:
        for one in passed:
            assert one.value is not None
            seen[one.hard].setdefault(one.limit_id, []).append(one.value)
        note_order_levels(passed)

    with pytest.MonkeyPatch.context() as here:
        here.setattr("trading.actions.cohort_run.note_order_levels", watch)
        drive(forward, 60 * 12)
    for metric, level in ((Metric.ORDER_NOTIONAL_FRAC, 0.05), (Metric.PRICE_COLLAR_FRAC, 0.0005)):
        breach = LimitBreach.objects.get(metric=metric)
        assert max(seen[False][breach.limit_id]) <= level * (1 + 1e-9)
        assert min(seen[True][breach.limit_id]) >= level
        assert breach.worst_value == max(seen[True][breach.limit_id])
    assert max(seen[False][LimitBreach.objects.get(metric="order_notional_frac").limit_id]) > 0.045
