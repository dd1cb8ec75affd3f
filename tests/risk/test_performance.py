"""How a Book did, from its snapshots: worked figures, flows taken out, what is not known left unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fundops.core import clock
from risk.leverage import performance_of
from risk.models import RiskSnapshot
from risk.performance import SnapshotPerformance, last_boundary
from risk.quant.leverage import LeverageRules, Observation
from tests.gate import by_gate
from tests.risk.conftest import Tree, WrittenSource, figures
from treasury.models import AccountKind, Book
from treasury.postings import draw

# Nothing is measured but what a test writes.
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("source")]

ACCOUNTS = {AccountKind.CASH: 0, AccountKind.BANKROLL: 1, AccountKind.CAPITAL: 2}
DAY0 = datetime(2026, 3, 1, tzinfo=UTC)


def seen(book: Book, at: datetime, equity: float | None) -> None:
    RiskSnapshot.objects.create(book=book, at=at, equity=equity, alpha=0.99, method="historical", sample_size=0)


def daily(book: Book, *equities: float | None, late: timedelta = timedelta(0)) -> datetime:
    """A snapshot at each midnight from 1 March on; answers with the last midnight."""
    for day, equity in enumerate(equities):
        seen(book, DAY0 + timedelta(days=day) + late, equity)
    return DAY0 + timedelta(days=len(equities) - 1)


def days_of(book: Book, at: datetime, window: int = 30) -> tuple[float | None, ...]:
    return SnapshotPerformance().performance(book, observation=Observation.DAILY, window=window, at=at).returns


def test_daily_returns_drawdown_and_the_running_day(tree: Tree) -> None:
    last = daily(tree.trend, 1000.0, 1100.0, 990.0, 1039.5)
    at = last + timedelta(hours=6)
    seen(tree.trend, at, 1018.71)
    done = SnapshotPerformance().performance(tree.trend, observation=Observation.DAILY, window=30, at=at)
    assert done.returns == pytest.approx((0.10, -0.10, 0.05))
    assert done.running_return == pytest.approx(-0.02)
    assert done.drawdown_frac == pytest.approx(1 - 1018.71 / 1100)
    assert (done.through, done.equity, done.n) == (last, 1018.71, 3)
    assert done.source == "risk snapshots"


def test_what_is_measured_now_is_the_last_point(tree: Tree, source: WrittenSource) -> None:
    last = daily(tree.trend, 1000.0, 1000.0)
    source.books[tree.trend.pk] = figures(970.0)
    done = performance_of(tree.trend, LeverageRules(), at=last + timedelta(minutes=30))
    assert done.running_return == pytest.approx(-0.03)
    assert done.drawdown_frac == pytest.approx(0.03)
    assert done.equity == 970.0


def post(at: datetime, kind: str, *lines: tuple[Book, str, str]) -> None:
    """An entry by an approved request, booked at that time; lines are (book, account, amount)."""
    payload = {
        "fund": "MAIN",
        "value_date": at.date().isoformat(),
        "entry_kind": kind,
        "memo": "a test",
        "lines": [
            {"book": book.path, "account": account, "asset": "USDT", "amount": amount}
            for book, account, amount in lines
        ],
    }
    with clock.frozen(at):
        by_gate("treasury.post_entry", payload)


def test_money_that_came_in_is_no_gain(tree: Tree) -> None:
    seen(tree.trend, DAY0, 1000.0)
    seen(tree.trend, DAY0 + timedelta(hours=11), 1020.0)
    came = DAY0 + timedelta(hours=11, minutes=30)
    post(came, "contribution", (tree.trend, "cash", "500"), (tree.trend, "capital", "-500"))
    seen(tree.trend, DAY0 + timedelta(hours=12), 1520.0)
    seen(tree.trend, DAY0 + timedelta(days=1), 1550.4)
    # 1.02 x (1520 - 500) / 1020 x 1550.4 / 1520 = 1.02 x 1 x 1.02
    (only,) = days_of(tree.trend, DAY0 + timedelta(days=1, hours=1))
    assert only == pytest.approx(1.02 * 1.02 - 1)


def test_what_one_book_hands_another_within_the_tree_is_no_flow(tree: Tree) -> None:
    daily(tree.trend, 1000.0, 1000.0)
    daily(tree.agent, 1000.0, 1400.0)
    lines = draw(parent=ACCOUNTS, child=ACCOUNTS, asset_id=0, amount=Decimal(400))
    assert [line.account_id for line in lines] == [0, 1, 0, 2], (
        "as the product writes it: cash, bankroll; cash, capital"
    )
    post(
        DAY0 + timedelta(hours=5),
        "draw",
        (tree.trend, "cash", "-400"),
        (tree.trend, "bankroll", "400"),
        (tree.agent, "cash", "400"),
        (tree.agent, "capital", "-400"),
    )
    later = DAY0 + timedelta(days=1, hours=1)
    assert days_of(tree.trend, later) == pytest.approx((0.0,))
    assert days_of(tree.agent, later) == pytest.approx((0.0,))


def test_a_missing_midnight_leaves_both_days_unknown_and_the_peak_known(tree: Tree) -> None:
    daily(tree.trend, 1000.0, 1100.0, None, 1210.0, 1210.0)
    at = DAY0 + timedelta(days=4, hours=1)
    done = SnapshotPerformance().performance(tree.trend, observation=Observation.DAILY, window=30, at=at)
    assert list(done.returns) == [pytest.approx(0.1), None, None, pytest.approx(0.0)]
    assert done.drawdown_frac == pytest.approx(0.0)
    assert done.n == 2


def test_a_snapshot_long_after_midnight_is_not_the_day_s_end(tree: Tree) -> None:
    daily(tree.trend, 1000.0, 1100.0, late=timedelta(minutes=14))
    assert days_of(tree.trend, DAY0 + timedelta(days=1, hours=1)) == pytest.approx((0.1,))
    daily(tree.carry, 1000.0, 1100.0, late=timedelta(minutes=16))
    assert days_of(tree.carry, DAY0 + timedelta(days=1, hours=1)) == ()


def test_a_book_that_was_never_measured_or_is_empty_has_no_figures(tree: Tree) -> None:
    nothing = SnapshotPerformance().performance(
        tree.trend, observation=Observation.DAILY, window=30, at=DAY0 + timedelta(days=1)
    )
    assert (nothing.returns, nothing.drawdown_frac, nothing.running_return, nothing.equity) == ((), None, None, None)
    daily(tree.trend, 0.0, 0.0, 500.0, 510.0)
    assert days_of(tree.trend, DAY0 + timedelta(days=3, hours=1)) == pytest.approx((0.02,))
    daily(tree.carry, 500.0, 0.0, 100.0)
    lost = SnapshotPerformance().performance(
        tree.carry, observation=Observation.DAILY, window=30, at=DAY0 + timedelta(days=2, hours=1)
    )
    assert list(lost.returns) == [pytest.approx(-1.0), None], "from nothing there is no return"
    assert lost.drawdown_frac is None


def test_hours_end_at_full_hours(tree: Tree) -> None:
    for hour, equity in enumerate((1000.0, 1010.0, 1020.1)):
        seen(tree.trend, DAY0 + timedelta(hours=hour), equity)
    done = SnapshotPerformance().performance(
        tree.trend, observation=Observation.HOURLY, window=48, at=DAY0 + timedelta(hours=2, minutes=40)
    )
    assert done.returns == pytest.approx((0.01, 0.01))
    assert done.through == DAY0 + timedelta(hours=2)
    assert last_boundary(Observation.DAILY, DAY0 + timedelta(hours=23)) == DAY0
