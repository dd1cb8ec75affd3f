"""The life of a breach: it opens, escalates, is acknowledged, closes by itself; and limits inherit."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from compliance.models import AuditEvent
from fundops.core import clock
from fundops.core.roles import Role
from risk.actions.breaches import acknowledge_breach, evaluate_limits
from risk.actions.snapshots import snapshot_risk
from risk.errors import BookNotMeasuredError, BreachClosedError
from risk.models import BreachStatus, HardAction, LimitBreach, RiskSnapshot
from risk.quant.metrics import Metric
from risk.quant.pretrade import (
    Limit,
    LimitSet,
    OrderIntent,
    Outcome,
    Side,
    TradingMode,
    check_order,
    check_order_path,
)
from risk.selectors import (
    effective_limits,
    exposure_breakdown,
    limit_set,
    limit_status,
    order_path,
    trading_mode,
    var_backtest,
)
from risk.sources import BookFigures, install_source
from risk.tasks import evaluate_limits as evaluate_task
from tests.factories import user_with
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position
from tests.risk.gated import end_limit, put_limit
from treasury.actions.books import close_book
from treasury.models import Book

pytestmark = pytest.mark.usefixtures("ruled_world")

D = Decimal
HOUR = timedelta(hours=1)


def write(source: WrittenSource, tree: Tree, agent: BookFigures, at_root: float = 10_000.0) -> None:
    """The agent trades; every other Book holds nothing of its own."""
    source.books = {
        tree.agent.pk: agent,
        tree.trend.pk: figures(1000.0),
        tree.carry.pk: figures(500.0),
        tree.root.pk: figures(at_root),
    }


def limit(book: Book, metric: Metric, hard: float | None, soft: float | None = None, **changes: object) -> None:
    put_limit(
        book=book,
        metric=metric,
        hard=None if hard is None else D(str(hard)),
        soft=None if soft is None else D(str(soft)),
        **changes,  # type: ignore[arg-type]
    )


def kinds() -> list[str]:
    events = AuditEvent.objects.filter(kind__startswith="risk.breach").order_by("at", "id")
    return [kind.rsplit(".", 1)[1] for kind in events.values_list("kind", flat=True)]


def test_a_breach_opens_escalates_and_closes_by_itself(tree: Tree, source: WrittenSource) -> None:
    limit(tree.agent, Metric.LEVERAGE, 2, 1, action=HardAction.HALT)
    steps = [(8.0, None), (12.0, "soft"), (18.0, "soft"), (30.0, "hard"), (17.0, "soft")]
    for hour, (btc, level) in enumerate(steps):
        write(source, tree, figures(1000.0, position("BTC", btc)))
        evaluate_limits(actor=None, at=NOW + hour * HOUR)
        found = LimitBreach.objects.first()
        assert (found and found.level) == level
    assert found is not None
    assert (found.opened_at, found.escalated_at) == (NOW + HOUR, NOW + 3 * HOUR)
    assert (found.first_value, found.worst_value, found.last_value) == pytest.approx((1.2, 3.0, 1.7))
    write(source, tree, figures(1000.0))
    evaluate_limits(actor=None, at=NOW + 5 * HOUR)
    found.refresh_from_db()
    assert (found.status, found.closed_at) == (BreachStatus.CLOSED, NOW + 5 * HOUR)


def test_levels_are_passed_above_them_not_at_them(tree: Tree, source: WrittenSource) -> None:
    limit(tree.agent, Metric.LEVERAGE, 2, 1)
    write(source, tree, figures(1000.0, position("BTC", 10.0)))
    assert evaluate_limits(actor=None).soft == 0
    write(source, tree, figures(1000.0, position("BTC", 20.0)))
    assert (evaluate_limits(actor=None).soft, LimitBreach.objects.get().level) == (1, "soft")


def test_the_whole_life_with_its_events(tree: Tree, source: WrittenSource) -> None:
    officer = user_with(Role.RISK_OFFICER)
    limit(tree.agent, Metric.LEVERAGE, 2, 1, action=HardAction.REDUCE)
    write(source, tree, figures(1000.0, position("BTC", 15.0)))
    opened = evaluate_limits(actor=None)
    breach = LimitBreach.objects.get(pk=opened.opened[0])
    acknowledge_breach(breach=breach, actor=officer, note="watching")
    assert evaluate_limits(actor=None).changed is False, "the same state says nothing new"
    write(source, tree, figures(1000.0, position("BTC", 30.0)))
    with clock.frozen(NOW + HOUR):
        assert evaluate_limits(actor=None).escalated == [breach.pk]
    breach.refresh_from_db()
    assert breach.status == BreachStatus.OPEN, "a hard breach wants attention anew"
    assert breach.acknowledged_by == officer
    write(source, tree, figures(1000.0))
    with clock.frozen(NOW + 2 * HOUR):
        assert evaluate_limits(actor=None).closed == [breach.pk]
    breach.refresh_from_db()
    assert (breach.status, breach.closed_at, breach.worst_value) == ("closed", NOW + 2 * HOUR, 3.0)
    with pytest.raises(BreachClosedError):
        acknowledge_breach(breach=breach, actor=officer, note="late")
    assert sorted(kinds()) == ["acknowledged", "closed", "escalated", "opened"]
    escalation = AuditEvent.objects.get(kind="risk.breach.escalated").payload
    assert (escalation["actions"], escalation["value"], escalation["threshold"]) == (["reduce"], 3.0, 2.0)
    assert breach.history.count() >= 4


def test_what_is_unknown_opens_and_closes_nothing(tree: Tree, source: WrittenSource) -> None:
    limit(tree.agent, Metric.LEVERAGE, 1)
    write(source, tree, figures(1000.0, position("BTC", 20.0)))
    assert len(evaluate_limits(actor=None).opened) == 1
    for hole in (figures(None, position("BTC", 1.0)), figures(1000.0, position("BTC", 1.0, None))):
        write(source, tree, hole)
        summary = evaluate_limits(actor=None)
        assert (summary.unknown, summary.changed) == (1, False)
    source.books = {}
    assert evaluate_limits(actor=None).unknown == 1
    assert LimitBreach.objects.get().status == BreachStatus.OPEN


def test_without_a_source_everything_is_unknown(tree: Tree) -> None:
    limit(tree.agent, Metric.LEVERAGE, 1)
    before = install_source(None)
    try:
        evaluate_task()
        summary = evaluate_limits(actor=None)
    finally:
        install_source(before)
    assert (summary.checked, summary.unknown) == (1, 1)


def test_no_equity_left_is_a_hard_breach_without_a_figure(tree: Tree, source: WrittenSource) -> None:
    limit(tree.agent, Metric.LEVERAGE, 5)
    write(source, tree, figures(-10.0, position("BTC", 1.0)))
    evaluate_limits(actor=None)
    assert (LimitBreach.objects.get().level, LimitBreach.objects.get().last_value) == ("hard", None)


def test_a_limit_binds_all_books_below_and_the_tightest_counts(tree: Tree, source: WrittenSource) -> None:
    limit(tree.root, Metric.LEVERAGE, 3, 2)
    limit(tree.trend, Metric.LEVERAGE, 1.5)
    limit(tree.agent, Metric.LEVERAGE, 9)
    (mine,) = effective_limits(tree.agent)
    assert (mine.soft, mine.hard) == (2.0, 1.5)
    assert (mine.soft_book_id, mine.hard_book_id) == (tree.root.pk, tree.trend.pk)
    (carry,) = effective_limits(tree.carry)
    assert (carry.soft, carry.hard) == (2.0, 3.0)
    write(source, tree, figures(1000.0, position("BTC", 18.0)))
    evaluate_limits(actor=None)
    breaches = {b.book_id: b for b in LimitBreach.objects.select_related("limit")}
    assert set(breaches) == {tree.agent.pk, tree.trend.pk}, "at the fund it is 1,800 over 10,000"
    assert breaches[tree.agent.pk].limit.book_id == tree.trend.pk
    assert [x.hard for x in limit_set(tree.agent).limits] == [1.5, None], "crossing levels stay apart"


def test_retiring_the_limit_closes_its_breach(tree: Tree, source: WrittenSource) -> None:
    limit(tree.agent, Metric.LEVERAGE, 1)
    write(source, tree, figures(1000.0, position("BTC", 20.0)))
    evaluate_limits(actor=None)
    breach = LimitBreach.objects.get()
    end_limit(breach.limit)
    assert evaluate_limits(actor=None).closed == [breach.pk]


def test_scoped_limits_look_at_their_symbol(tree: Tree, source: WrittenSource) -> None:
    limit(tree.root, Metric.POSITION_NOTIONAL, 500, symbol="ETH")
    limit(tree.root, Metric.VENUE_CONCENTRATION_FRAC, 0.1, venue="bybit")
    limit(tree.root, Metric.SYMBOL_CONCENTRATION_FRAC, 0.01, symbol="DOGE")
    held = (position("BTC", 9.0), position("ETH", -6.0), position("SOL", 20.0, venue="bybit"))
    write(source, tree, figures(10_000.0, *held))
    evaluate_limits(actor=None, book_ids=[tree.root.pk])
    found = {(b.book_id, b.symbol or b.venue): b.last_value for b in LimitBreach.objects.all()}
    assert found[tree.root.pk, "ETH"] == pytest.approx(600.0)
    assert found[tree.root.pk, "bybit"] == pytest.approx(0.2)
    assert not any(key[1] == "DOGE" for key in found)


@pytest.mark.parametrize(
    ("metric", "hard", "agent"),
    [
        (Metric.DAILY_LOSS, 50, figures(900.0, day_open_equity=1000.0)),
        (Metric.DRAWDOWN_FRAC, 0.1, figures(900.0, peak_equity=1100.0)),
        (Metric.STOP_LOSS_FRAC, 0.05, figures(900.0, position("BTC", 1.0, loss_frac=0.06))),
        (Metric.COOLDOWN_S, 60, figures(900.0, seconds_since_loss=30.0)),
        (Metric.ORDER_RATE, 10, figures(900.0, orders_in_window=11)),
        (Metric.OPEN_POSITIONS, 1, figures(900.0, position("BTC", 1.0), position("ETH", -1.0))),
    ],
)
def test_every_state_metric_can_breach(
    tree: Tree, source: WrittenSource, metric: Metric, hard: float, agent: BookFigures
) -> None:
    limit(tree.agent, metric, hard)
    write(source, tree, agent)
    evaluate_limits(actor=None)
    assert (LimitBreach.objects.get().book_id, LimitBreach.objects.get().level) == (tree.agent.pk, "hard")


def test_the_orders_of_a_book_are_its_own_and_those_of_all_below(tree: Tree, source: WrittenSource) -> None:
    limit(tree.root, Metric.ORDER_RATE, 10)
    write(source, tree, figures(900.0, orders_in_window=6))
    source.books[tree.carry.pk] = figures(500.0, orders_in_window=4)
    buy = OrderIntent("BTC", "binance", Side.BUY, 1.0, 100.0)
    assert not evaluate_limits(actor=None).opened, "ten are not past ten"
    (own, _), *_, (whole, _) = order_path(tree.agent)
    assert (own.orders_in_window, whole.orders_in_window) == (6.0, 10.0)
    assert not check_order_path(order_path(tree.agent), buy).allowed, "it would be the eleventh of the fund"
    source.books[tree.carry.pk] = figures(500.0, orders_in_window=5)
    evaluate_limits(actor=None)
    assert [(b.book_id, b.last_value) for b in LimitBreach.objects.all()] == [(tree.root.pk, 11.0)]
    source.books[tree.carry.pk] = figures(500.0, orders_in_window=None)
    assert not check_order_path(order_path(tree.agent), buy).allowed, "how many carry sent is not known"


def test_var_needs_history_and_measures_with_it(tree: Tree, source: WrittenSource) -> None:
    limit(tree.agent, Metric.VAR_FRAC, 0.02)
    write(source, tree, figures(1000.0, position("BTC", 10.0)))
    assert evaluate_limits(actor=None).unknown == 1, "no returns"
    source.returns = {"BTC": np.random.default_rng(1).normal(0, 0.03, 365)}
    evaluate_limits(actor=None)
    loss = np.sort(source.returns["BTC"])[3]
    assert LimitBreach.objects.get().last_value == pytest.approx(-loss)


@pytest.mark.parametrize(
    ("action", "mode"),
    [
        (HardAction.ALERT, TradingMode.ACTIVE),
        (HardAction.REDUCE, TradingMode.REDUCING),
        (HardAction.FLATTEN, TradingMode.REDUCING),
        (HardAction.HALT, TradingMode.HALTED),
    ],
)
def test_a_hard_breach_sets_the_trading_mode_below(
    tree: Tree, source: WrittenSource, action: HardAction, mode: TradingMode
) -> None:
    limit(tree.trend, Metric.DAILY_LOSS, 10, 1, action=action)
    write(source, tree, figures(100.0))
    source.books[tree.trend.pk] = replace(figures(995.0), day_open_equity=1000.0)
    evaluate_limits(actor=None)
    assert trading_mode(tree.agent) is TradingMode.ACTIVE, "a soft breach alerts"
    source.books[tree.trend.pk] = replace(figures(900.0), day_open_equity=1000.0)
    evaluate_limits(actor=None)
    assert trading_mode(tree.agent) is mode
    assert trading_mode(tree.carry) is TradingMode.ACTIVE
    assert trading_mode(tree.root) is TradingMode.ACTIVE


def test_an_order_is_judged_by_its_book_and_all_above(tree: Tree, source: WrittenSource) -> None:
    limit(tree.trend, Metric.LEVERAGE, 2)
    limit(tree.root, Metric.GROSS_EXPOSURE, 2500)
    write(source, tree, figures(1000.0, position("BTC", 5.0)))
    source.books[tree.carry.pk] = figures(500.0, position("BTC", -15.0))
    path = order_path(tree.agent)
    buy = OrderIntent("BTC", "kraken", Side.BUY, 20.0, 100.0)
    verdict = check_order_path(path, buy)
    # Own Book: 5 of 20 units are held. Fund: 500 long and 1,500 short leave 500 of 2,500.
    assert verdict.outcome is Outcome.REDUCED
    assert verdict.size == pytest.approx(5.0)
    assert {r.metric for r in verdict.reasons} == {Metric.LEVERAGE, Metric.GROSS_EXPOSURE}
    out = check_order_path(path, replace(buy, side=Side.SELL, quantity=5.0))
    assert out.outcome is Outcome.ALLOWED
    del source.books[tree.carry.pk]
    assert not check_order_path(order_path(tree.agent), buy).allowed, "a part of the fund is not known"


def test_limit_status_shows_headroom_tightest_first(tree: Tree, source: WrittenSource) -> None:
    officer, manager = user_with(Role.RISK_OFFICER), user_with(Role.INVESTOR)
    limit(tree.agent, Metric.LEVERAGE, 2)
    limit(tree.agent, Metric.GROSS_EXPOSURE, 10_000)
    limit(tree.agent, Metric.ORDER_NOTIONAL, 50)
    write(source, tree, figures(1000.0, position("BTC", 15.0)))
    rows = limit_status(officer, book=tree.agent)
    known = [(s.limit.metric, s.value, s.headroom) for s in rows if s.headroom is not None]
    assert [(metric, value) for metric, value, _ in known] == [
        (Metric.LEVERAGE, 1.5),
        (Metric.GROSS_EXPOSURE, 1500.0),
    ]
    assert [headroom for _, _, headroom in known] == pytest.approx([0.25, 0.85])
    assert limit_status(manager) == []


def test_a_child_limit_that_is_looser_changes_nothing(tree: Tree, now: datetime) -> None:
    limit(tree.root, Metric.COOLDOWN_S, 600)
    limit(tree.agent, Metric.COOLDOWN_S, 60)
    assert effective_limits(tree.agent)[0].hard == 600.0
    assert effective_limits(tree.agent, at=now - HOUR) == []
    assert math.isinf(figures(1.0).seconds_since_loss or 0)


def test_a_tighter_limit_below_softens_no_action_above(tree: Tree, source: WrittenSource) -> None:
    limit(tree.root, Metric.LEVERAGE, 3, action=HardAction.HALT)
    limit(tree.agent, Metric.LEVERAGE, 1, action=HardAction.ALERT)
    write(source, tree, figures(1000.0, position("BTC", 20.0)))
    evaluate_limits(actor=None)
    assert LimitBreach.objects.get().actions == ["alert"]
    assert trading_mode(tree.agent) is TradingMode.ACTIVE
    write(source, tree, figures(1000.0, position("BTC", 40.0)))
    source.books[tree.trend.pk] = figures(5000.0)
    assert evaluate_limits(actor=None).escalated == [LimitBreach.objects.get().pk]
    assert LimitBreach.objects.get().actions == ["alert", "halt"]
    assert trading_mode(tree.agent) is TradingMode.HALTED
    assert trading_mode(tree.trend) is TradingMode.ACTIVE


def test_closing_the_book_closes_its_breach(tree: Tree, source: WrittenSource) -> None:
    limit(tree.carry, Metric.DAILY_LOSS, 1)
    write(source, tree, figures(1000.0))
    source.books[tree.carry.pk] = figures(10.0, day_open_equity=500.0)
    evaluate_limits(actor=None)
    close_book(book=tree.carry, actor=None)
    assert len(evaluate_limits(actor=None).closed) == 1


def test_an_evaluation_that_began_earlier_changes_nothing(tree: Tree, source: WrittenSource) -> None:
    limit(tree.agent, Metric.LEVERAGE, 1)
    write(source, tree, figures(1000.0, position("BTC", 20.0)))
    evaluate_limits(actor=None, at=NOW + HOUR)
    write(source, tree, figures(1000.0))
    assert not evaluate_limits(actor=None, at=NOW).changed
    assert LimitBreach.objects.get().status == BreachStatus.OPEN


@pytest.mark.parametrize("broken", [math.nan, math.inf, None])
def test_numbers_that_are_none_never_reach_the_tables(tree: Tree, source: WrittenSource, broken: float | None) -> None:
    limit(tree.agent, Metric.LEVERAGE, 1)
    write(source, tree, figures(broken, position("BTC", broken), position("ETH", 1.0, broken)))
    assert evaluate_limits(actor=None).unknown == 1
    snapshot_risk(actor=None, book_ids=[tree.agent.pk, tree.root.pk])
    for row in RiskSnapshot.objects.values("equity", "gross_exposure", "var", "leverage"):
        assert all(x is None or math.isfinite(float(str(x))) for x in row.values())
    assert not order_path(tree.agent)[0][0].gross < math.inf


def test_lines_of_one_market_are_one_position(tree: Tree, source: WrittenSource) -> None:
    limit(tree.agent, Metric.POSITION_NOTIONAL, 1000)
    two = (position("BTC", 5.0), position("BTC", 3.0, loss_frac=0.2))
    write(source, tree, figures(1000.0, *two))
    (state, limits), *_ = order_path(tree.agent)
    (held,) = state.positions
    assert (held.quantity, held.unit_notional, held.loss_frac) == (8.0, 100.0, 0.2)
    assert check_order(state, OrderIntent("BTC", "kraken", Side.BUY, 9.0, 100.0), limits).size == 2.0
    write(source, tree, figures(1000.0, position("BTC", 5.0), position("BTC", 3.0, 90.0)))
    (state, limits), *_ = order_path(tree.agent)
    assert not check_order(
        state,
        OrderIntent("BTC", "kraken", Side.BUY, 1.0, 100.0),
        LimitSet([Limit(Metric.GROSS_EXPOSURE, hard=1e9)]),
    ).allowed


def test_a_closed_book_says_so(tree: Tree, source: WrittenSource) -> None:
    close_book(book=tree.carry, actor=None)
    for read in (order_path, exposure_breakdown, var_backtest):
        with pytest.raises(BookNotMeasuredError, match="closed"):
            read(tree.carry)
