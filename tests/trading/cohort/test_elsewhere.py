"""Two cohorts under one limit of their fund: each has what the other leaves, and the record says how much."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fundops.core import clock
from risk.measuring import measure_books
from risk.models import RiskLimit
from risk.quant.metrics import CODES, Metric
from risk.quant.tail import FloatArray
from risk.sources import install_source
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, now, position, source, tree
from tests.risk.gated import put_limit
from trading.actions.cohort_drive import drive_cohort
from trading.cohorts.guard import order_limits, take_limits
from trading.models.cohort import Cohort, CohortFill, CohortMode, CohortRejection, CohortRun
from treasury.models import Book

pytestmark = pytest.mark.usefixtures("ruled_world")

__all__ = ["now", "source", "tree"]
LAUNCH = datetime(2025, 3, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def held(tree: Tree, source: WrittenSource) -> WrittenSource:
    """Carry holds 400 of ETH and is short 100 of BTC; the agent of trend holds 200."""
    source.books = {
        tree.root.pk: figures(2000.0),
        tree.trend.pk: figures(1000.0),
        tree.agent.pk: figures(1000.0, position("BTC", 2.0)),
        tree.carry.pk: figures(1000.0, position("ETH", 4.0), position("BTC", -1.0)),
    }
    return source


def levels(book: Book, *, beside_others: bool = True) -> dict[str, float]:
    taken = take_limits(book=book, venue="kraken", symbols=["BTC"], from_ms=0, at=NOW, beside_others=beside_others)
    return {line["metric"]: line["hard"] for line in taken["limits"]}


def test_an_amount_is_less_what_others_hold(tree: Tree, held: WrittenSource) -> None:
    put_limit(book=tree.root, metric=Metric.GROSS_EXPOSURE, hard=Decimal(1000))
    put_limit(book=tree.root, metric=Metric.NET_EXPOSURE, hard=Decimal(1000))
    put_limit(book=tree.root, metric=Metric.OPEN_POSITIONS, hard=Decimal(5))
    put_limit(book=tree.root, metric=Metric.LEVERAGE, hard=Decimal(2))
    assert levels(tree.trend) == {
        "gross_exposure": 500.0, "net_exposure": 700.0, "open_positions": 3.0, "leverage": 2.0
    }  # fmt: skip
    assert levels(tree.carry)["gross_exposure"] == 800.0
    alone = {"gross_exposure": 1000.0, "net_exposure": 1000.0, "open_positions": 5.0, "leverage": 2.0}
    assert levels(tree.trend, beside_others=False) == levels(tree.root) == alone


def test_the_tighter_of_the_own_level_and_of_what_is_left_binds(tree: Tree, held: WrittenSource) -> None:
    fund = put_limit(book=tree.root, metric=Metric.GROSS_EXPOSURE, hard=Decimal(1000))
    own = put_limit(book=tree.trend, metric=Metric.GROSS_EXPOSURE, hard=Decimal(600))
    taken = take_limits(book=tree.trend, venue="", symbols=["BTC"], from_ms=0, at=NOW, beside_others=True)
    (line,) = taken["limits"]
    assert (line["hard"], line["book"]) == (500.0, tree.root.pk), "600 of its own is more than the 500 that are left"
    assert line["name"] == f"limit {fund.pk}, held elsewhere: 500"
    held.books[tree.carry.pk] = figures(1000.0, position("ETH", 1.0))
    taken = take_limits(book=tree.trend, venue="", symbols=["BTC"], from_ms=0, at=NOW, beside_others=True)
    assert (taken["limits"][0]["hard"], taken["limits"][0]["name"]) == (600.0, f"limit {own.pk}")
    engine_limits = order_limits(taken, "")
    assert engine_limits is not None, "the engine takes a record as it stands"


def test_it_is_rounded_against_the_cohort_and_what_is_not_known_leaves_nothing(tree: Tree, held: WrittenSource) -> None:
    put_limit(book=tree.root, metric=Metric.GROSS_EXPOSURE, hard=Decimal(1000))
    held.books[tree.carry.pk] = figures(1000.0, position("ETH", 4.01))
    assert levels(tree.trend)["gross_exposure"] == 590.0
    held.books[tree.carry.pk] = figures(1000.0, position("ETH", 40.0))
    assert levels(tree.trend)["gross_exposure"] == 0.0
    held.books[tree.carry.pk] = figures(None, position("ETH", 4.0, None))
    assert levels(tree.trend)["gross_exposure"] == 0.0
    before = install_source(None)
    assert levels(tree.trend)["gross_exposure"] == 0.0
    install_source(before)


def test_the_orders_of_others_within_the_minute_are_taken_off_the_rate(tree: Tree, held: WrittenSource) -> None:
    put_limit(book=tree.root, metric=Metric.ORDER_RATE, hard=Decimal(10))
    held.books[tree.agent.pk] = figures(1000.0, orders_in_window=2)
    held.books[tree.carry.pk] = figures(1000.0, orders_in_window=3)
    assert levels(tree.trend) == {"order_rate": 7.0}
    assert levels(tree.carry) == {"order_rate": 8.0}
    held.books[tree.carry.pk] = figures(1000.0, orders_in_window=None)
    assert levels(tree.trend) == {"order_rate": 0.0}


def test_the_tail_of_what_others_hold_is_taken_off_var_and_es(tree: Tree, held: WrittenSource) -> None:
    rng = np.random.default_rng(4)
    held.returns = {"BTC": rng.normal(0, 0.03, 365), "ETH": rng.normal(0, 0.05, 365)}
    put_limit(book=tree.root, metric=Metric.VAR, hard=Decimal(200))
    put_limit(book=tree.root, metric=Metric.ES, hard=Decimal(200))
    losses = np.sort(-(400.0 * held.returns["ETH"] - 100.0 * held.returns["BTC"]))[::-1]
    found = levels(tree.trend)
    for metric, held_elsewhere in (("var", losses[3]), ("es", expected_shortfall(losses))):
        assert found[metric] == pytest.approx(200.0 - math.ceil(held_elsewhere / 2.0) * 2.0)
    del held.returns["ETH"]
    assert levels(tree.trend) == {"var": 0.0, "es": 0.0}, "a market without a history is not known"
    held.books[tree.carry.pk] = figures(1000.0)
    assert levels(tree.trend) == {"var": 200.0, "es": 200.0}, "nothing is held elsewhere"


def expected_shortfall(losses: FloatArray) -> float:
    """The mean of the worst hundredth of 365 equally likely days: three whole ones and 0.65 of the fourth."""
    return float((losses[:3].sum() + 0.65 * losses[3]) / 3.65)


@pytest.mark.parametrize(
    ("opened", "left"),
    [
        (2000.0, {"daily_loss": 1000.0}),
        (1500.0, {"daily_loss": 1000.0}),  # a gain elsewhere lends nothing
        (2145.0, {"daily_loss": 850.0}),
        (3000.0, {"daily_loss": 0.0}),  # at the level, and not past it
        (3500.0, {"daily_loss": 0.0, "gross_exposure": 0.0}),
        (None, {"daily_loss": 0.0, "gross_exposure": 0.0}),
    ],
)
def test_what_others_have_lost_today_is_taken_off_the_loss(
    tree: Tree, held: WrittenSource, opened: float | None, left: dict[str, float]
) -> None:
    put_limit(book=tree.root, metric=Metric.DAILY_LOSS, hard=Decimal(1000))
    held.books[tree.root.pk] = figures(2000.0, day_open_equity=opened)
    assert levels(tree.trend) == left


def test_the_cohorts_own_loss_is_no_loss_elsewhere(launched: Callable[..., Cohort], source: WrittenSource) -> None:
    """It lost 20 of the 150; at its midnight it begins anew, and all 150 are of the day it does not count."""
    with clock.frozen(LAUNCH):
        cohort = launched(mode=CohortMode.FORWARD, speed=60.0, days=2)
    for seconds in (0, 60):
        with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
            drive_cohort(cohort_id=cohort.pk)
    cohort.refresh_from_db()
    root = Book.objects.get(fund=cohort.fund, parent=None)
    assert cohort.book is not None
    with clock.frozen(LAUNCH + timedelta(seconds=60)):
        put_limit(book=root, metric=Metric.DAILY_LOSS, hard=Decimal(1000))
    source.books = {pk: figures(100.0) for pk in Book.objects.values_list("pk", flat=True)}
    source.books[root.pk] = figures(2000.0, day_open_equity=2150.0)
    source.books[cohort.book.pk] = figures(980.0, day_open_equity=1000.0)
    found = {}
    for from_ms in (cohort.start_ms + 3_600_000, cohort.start_ms + 86_400_000):
        taken = take_limits(
            book=cohort.book, venue="", symbols=cohort.symbols, from_ms=from_ms, beside_others=True,
            at=LAUNCH + timedelta(seconds=90),
        )  # fmt: skip
        found[from_ms] = taken["limits"][0]["hard"]
    assert list(found.values()) == [870.0, 850.0]


def test_nothing_more_may_be_opened_where_others_have_lost_it_all(launched: Callable[..., Cohort]) -> None:
    """Of the fund's day nobody knows the opening yet: the cohort closes what it holds, and opens nothing."""
    with clock.frozen(LAUNCH):
        cohort = launched(mode=CohortMode.FORWARD, speed=60.0, days=1, agent_count=12)
    for seconds in (0, 300):
        with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
            drive_cohort(cohort_id=cohort.pk)
    root = Book.objects.get(fund=cohort.fund, parent=None)
    with clock.frozen(LAUNCH + timedelta(seconds=300)):
        put_limit(book=root, metric=Metric.DAILY_LOSS, hard=Decimal(1000))
    held: dict[tuple[int, str], Decimal] = {}
    for fill in CohortFill.objects.filter(cohort=cohort).order_by("number"):
        signed = fill.quantity if fill.side == "buy" else -fill.quantity
        held[fill.agent_id, fill.symbol] = held.get((fill.agent_id, fill.symbol), Decimal(0)) + signed
    before = CohortFill.objects.filter(cohort=cohort).count()
    with clock.frozen(LAUNCH + timedelta(seconds=1_440)):
        drive_cohort(cohort_id=cohort.pk)
    for fill in CohortFill.objects.filter(cohort=cohort, number__gt=before).order_by("number"):
        signed = fill.quantity if fill.side == "buy" else -fill.quantity
        was = held[fill.agent_id, fill.symbol]
        assert abs(was + signed) < abs(was)
        held[fill.agent_id, fill.symbol] = was + signed
    assert CohortRejection.objects.filter(cohort=cohort, reason__in=("limit_gross", "own_limit_gross")).exists()
    line = CohortRun.objects.get(cohort=cohort).provenance["limits"][-1]["limits"][-1]
    assert line["name"].endswith("on the loss of the day, lost elsewhere: not known")


def test_two_forward_cohorts_keep_the_funds_limit_together(launched: Callable[..., Cohort]) -> None:
    def drive(cohort: Cohort, seconds: float) -> Cohort:
        with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
            return drive_cohort(cohort_id=cohort.pk)

    def gross(book: Book | None, seconds: float) -> float:
        assert book is not None
        measured = measure_books(at=LAUNCH + timedelta(seconds=seconds), book_ids=[book.pk], tail=False)
        return float(measured.measured.values[measured.row(book.pk), CODES[Metric.GROSS_EXPOSURE]])

    with clock.frozen(LAUNCH):
        first = launched(mode=CohortMode.FORWARD, speed=60.0, days=1, agent_count=12)
        second = launched(mode=CohortMode.FORWARD, speed=60.0, days=1, agent_count=12, seed=9)
    first, second = drive(first, 0), drive(second, 0)
    seconds = next(s for s in range(100, 1_400, 100) if gross(drive(first, s).book, s) > 0)
    held = gross(first.book, seconds)
    root = Book.objects.get(fund=first.fund, parent=None)
    with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
        limit: RiskLimit = put_limit(book=root, metric=Metric.GROSS_EXPOSURE, hard=Decimal(repr(held * 1.2)))
    drive(second, seconds + 1)
    taken: list[dict[str, Any]] = CohortRun.objects.get(cohort=second).provenance["limits"]
    (line,) = taken[-1]["limits"]
    left = float(limit.hard or 0) - held
    assert line["name"].startswith(f"limit {limit.pk}, held elsewhere: ")
    assert line["hard"] == pytest.approx(
        math.floor(left / float(limit.hard or 1) * 100 + 1e-6) / 100 * float(limit.hard or 0)
    )
    assert gross(root, seconds + 1) <= float(limit.hard or 0) * 1.05, "marks move, orders do not add"
    assert CohortRejection.objects.filter(cohort=second, reason__contains="gross").exists()
