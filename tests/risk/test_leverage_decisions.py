"""Decisions on leverage: by the policy in force, kept with their inputs, and binding for every order."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError

from compliance.approvals.errors import NotApprovedError, PayloadError
from compliance.approvals.registry import registered_actions
from compliance.models import AuditEvent
from fundops.core.errors import PermissionMissingError
from fundops.core.roles import Role
from risk.actions.leverage import (
    begin_leverage,
    decide_leverage,
    evaluate_leverage,
    lower_leverage,
    set_leverage_policy,
    start_leverage,
)
from risk.actions.switches import stop_trading
from risk.errors import LeverageError, LeveragePolicyError, LeveragePolicyMissingError
from risk.leverage import (
    install_performance_source,
    last_decision,
    leverage_in_force,
    planned_step,
    policy_in_force,
)
from risk.models import BreachStatus, HardAction, LeverageDecision, LeveragePolicy, LimitBreach, RiskLimit
from risk.quant.leverage import LeverageRules, Performance
from risk.quant.metrics import Metric
from risk.quant.pretrade import OrderIntent, Side, TradingMode, check_order_path
from risk.selectors import effective_limits, order_path
from tests.compliance.approvals.support import People
from tests.factories import user_with
from tests.risk.conftest import NOW, Tree, WrittenSource, figures, position
from tests.risk.leverage_support import GOOD, LEVERAGE, LIMIT, ask, days, did, through_the_gate
from treasury.actions.books import open_book
from treasury.models import BookKind

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(leverage_world: People, now: datetime) -> People:
    return leverage_world


@pytest.fixture
def policy(people: People) -> LeveragePolicy:
    """The rules that ship, in force."""
    through_the_gate(people, LEVERAGE, {})
    return LeveragePolicy.objects.get()


def test_without_a_policy_nothing_is_levered(tree: Tree) -> None:
    assert policy_in_force() is None
    assert leverage_in_force(tree.trend) == 1
    for refused in (
        lambda: start_leverage(book=tree.trend, actor=None),
        lambda: decide_leverage(book=tree.trend, performance=did(GOOD, NOW), actor=None),
        lambda: planned_step(tree.trend),
    ):
        with pytest.raises(LeveragePolicyMissingError):
            refused()
    assert evaluate_leverage() == []


def test_the_shipped_policy_comes_into_force_through_the_gate(policy: LeveragePolicy) -> None:
    found = policy_in_force()
    assert found is not None and found[1] == LeverageRules()
    assert (policy.version, policy.request.state) == (1, "executed")
    assert policy.document["cap"] == "10" and policy.document["min_sharpe"] == "1.5"
    assert AuditEvent.objects.filter(kind="risk.leverage.policy_set").count() == 1


def test_a_book_starts_at_two_and_earns_a_third_after_a_week(policy: LeveragePolicy, tree: Tree) -> None:
    first = start_leverage(book=tree.trend, actor=None)
    assert (first.rule, first.from_leverage, first.to_leverage) == ("start", None, Decimal(2))
    assert start_leverage(book=tree.trend, actor=None) == first
    assert leverage_in_force(tree.trend) == 2

    held = decide_leverage(book=tree.trend, performance=did(GOOD, NOW), actor=None)
    assert (held.rule, held.to_leverage, held.changed) == ("hold", Decimal(2), False)
    assert "since the change" in held.reason

    later = NOW + days(7)
    raised = decide_leverage(book=tree.trend, performance=did(GOOD, later, equity=5e4), actor=None, at=later)
    assert (raised.number, raised.rule, raised.from_leverage, raised.to_leverage) == (3, "step_up", 2, 3)
    assert (raised.sample_size, raised.policy) == (14, policy)
    assert raised.sharpe == pytest.approx(3.682, abs=5e-4)
    assert raised.inputs["returns"] == list(GOOD) and raised.inputs["equity"] == 5e4
    assert "Sharpe 3.68 of 1.50 over 14 of 14 days" in raised.reason
    assert leverage_in_force(tree.trend, at=later) == 3
    assert leverage_in_force(tree.trend, at=NOW) == 2
    event = AuditEvent.objects.filter(kind="risk.leverage.decided").order_by("-pk").first()
    assert event is not None
    assert [Decimal(event.payload["from"]), Decimal(event.payload["to"])] == [Decimal(2), Decimal(3)]
    assert event.payload["n"] == 14
    assert set(event.topics) == {"risk", f"book:{tree.trend.pk}"}


def test_one_week_raises_once(policy: LeveragePolicy, tree: Tree) -> None:
    start_leverage(book=tree.trend, actor=None)
    for hour in range(3):
        at = NOW + days(7) + timedelta(hours=hour)
        decide_leverage(book=tree.trend, performance=did(GOOD, at), actor=None, at=at)
    assert leverage_in_force(tree.trend) == 3


def test_a_loss_lowers_at_once_and_recovery_takes_its_time(policy: LeveragePolicy, tree: Tree) -> None:
    start_leverage(book=tree.trend, actor=None)
    lost = decide_leverage(book=tree.trend, performance=did(GOOD, NOW, 0.025, running_return=-0.025), actor=None)
    assert (lost.rule, lost.to_leverage) == ("step_down", Decimal(1))
    assert "Loss above 2 % in a day: it is 2.50 %" in lost.reason
    at = NOW + days(13)
    assert decide_leverage(book=tree.trend, performance=did(GOOD, at), actor=None, at=at).rule == "hold"
    at = NOW + days(14)
    assert decide_leverage(book=tree.trend, performance=did(GOOD, at), actor=None, at=at).rule == "step_up"


def test_a_hold_that_says_the_same_is_written_once_a_day(policy: LeveragePolicy, tree: Tree) -> None:
    few = GOOD[:5]
    for minute in range(3):
        at = NOW + timedelta(minutes=minute)
        decide_leverage(book=tree.trend, performance=did(few, at), actor=None, at=at)
    assert [d.rule for d in LeverageDecision.objects.order_by("number")] == ["start", "hold"]
    at = NOW + days(1)
    decide_leverage(book=tree.trend, performance=did(few, at), actor=None, at=at)
    assert LeverageDecision.objects.count() == 3


def test_a_breach_or_a_stop_holds_a_raise_back(
    people: People, policy: LeveragePolicy, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_leverage(book=tree.trend, actor=None)
    at = NOW + days(7)
    through_the_gate(people, LIMIT, {"book": tree.root.path, "metric": "open_positions", "hard": "5"})
    running = LimitBreach.objects.create(
        book=tree.agent,
        limit=RiskLimit.objects.get(),
        metric="open_positions",
        level="soft",
        opened_at=NOW,
        last_seen_at=NOW,
    )
    held = decide_leverage(book=tree.trend, performance=did(GOOD, at), actor=None, at=at)
    assert (held.rule, held.reason) == ("hold", "1 breach of limits is open")
    running.status, running.closed_at = BreachStatus.CLOSED, at
    running.save()
    with monkeypatch.context() as patch:
        patch.setattr("risk.leverage.trading_mode_for", lambda **_: None)
        held = decide_leverage(book=tree.trend, performance=did(GOOD, at), actor=None, at=at)
    assert (held.rule, held.reason) == ("hold", "the trading mode is not known")
    stop_trading(book=tree.root, mode=TradingMode.HALTED, reason="Fire drill.", actor=user_with(Role.OPERATIONS))
    held = decide_leverage(book=tree.trend, performance=did(GOOD, at), actor=None, at=at)
    assert held.reason in ("trading is HALTED", "the trading mode is not known")
    # Losses are acted upon in any case.
    lost = decide_leverage(book=tree.trend, performance=did(GOOD, at, 0.06), actor=None, at=at)
    assert (lost.rule, lost.to_leverage) == ("step_down", Decimal(1))


def test_the_least_of_the_line_is_in_force(policy: LeveragePolicy, tree: Tree) -> None:
    start_leverage(book=tree.agent, actor=None)
    assert leverage_in_force(tree.agent) == 2
    start_leverage(book=tree.root, actor=None)
    lower_leverage(book=tree.root, reason="Calm.", actor=user_with(Role.OPERATIONS))
    assert leverage_in_force(tree.agent) == 1
    assert leverage_in_force(tree.carry) == 1


def order(quantity: float) -> OrderIntent:
    return OrderIntent("BTC", "kraken", Side.BUY, quantity, 100.0, price=100.0, reference_price=100.0)


def test_no_order_goes_beyond_the_leverage_in_force(policy: LeveragePolicy, tree: Tree, source: WrittenSource) -> None:
    held = position("BTC", 15.0)
    for book in (tree.root, tree.trend):
        source.books[book.pk] = figures(1000.0)
    source.books[tree.agent.pk] = figures(1000.0, held)
    source.books[tree.carry.pk] = figures(0.0)
    assert check_order_path(order_path(tree.agent), order(50)).size == 50
    decision = start_leverage(book=tree.agent, actor=None)
    verdict = check_order_path(order_path(tree.agent), order(50))
    assert verdict.size == pytest.approx(5.0), "1,500 held, 2,000 allowed, 100 a unit"
    assert any(reason.limit == f"leverage decision {decision.pk}" for reason in verdict.reasons)
    limit = next(x for x in effective_limits(tree.agent) if x.metric is Metric.LEVERAGE)
    assert (limit.hard, limit.decision_id, limit.hard_limit_id) == (2.0, decision.pk, None)
    assert limit.hard_book_id == tree.agent.pk and limit.action is HardAction.ALERT


def test_people_on_duty_lower_and_nobody_raises_by_hand(policy: LeveragePolicy, tree: Tree) -> None:
    start_leverage(book=tree.trend, actor=None)
    officer = user_with(Role.OPERATIONS)
    for bad in (Decimal(3), Decimal(2), Decimal("0.5"), Decimal("NaN")):
        with pytest.raises(LeverageError):
            lower_leverage(book=tree.trend, to=bad, reason="Calm.", actor=officer)
    with pytest.raises(LeverageError):
        lower_leverage(book=tree.trend, reason=" ", actor=officer)
    for role in (Role.AUDITOR, Role.INVESTOR, Role.CLIENT_RELATIONS, Role.ADMINISTRATOR):
        with pytest.raises(PermissionMissingError):
            lower_leverage(book=tree.trend, reason="Calm.", actor=user_with(role))
    row = lower_leverage(book=tree.trend, reason="Rolled back.", actor=officer)
    assert (row.rule, row.to_leverage, row.actor, row.reason) == ("by_hand", Decimal(1), officer, "Rolled back.")


def test_a_closed_book_and_an_earlier_time_are_refused(policy: LeveragePolicy, tree: Tree) -> None:
    start_leverage(book=tree.trend, actor=None)
    with pytest.raises(LeverageError):
        decide_leverage(book=tree.trend, performance=did(GOOD, NOW), actor=None, at=NOW - days(1))
    type(tree.carry).objects.filter(pk=tree.carry.pk).update(closed_at=NOW)
    tree.carry.refresh_from_db()
    with pytest.raises(LeverageError):
        start_leverage(book=tree.carry, actor=None)


def test_the_next_step_is_planned_without_being_taken(policy: LeveragePolicy, tree: Tree) -> None:
    assert planned_step(tree.trend) is None
    start_leverage(book=tree.trend, actor=None)
    returns = (*(0.000415 + x for x in (0.00605, -0.00605) * 10), 0.000415)
    planned = planned_step(tree.trend, performance=did(returns, NOW, 0.011))
    assert planned is not None and planned.next_leverage == 3
    assert planned.missing.startswith("Sharpe 1.31 of 1.50 over 21 of 14 days, drawdown 1.1 % of 3 %")
    assert "0 h of 7.0 days since the change" in planned.missing
    assert LeverageDecision.objects.count() == 1
    fires = {t.said: t.to for t in planned.step.triggers}
    assert fires["loss above 2 % in a day"] == 1 and fires["drawdown above 10 %"] == 1


def test_the_schedule_asks_the_installed_source_and_goes_on_after_a_failure(policy: LeveragePolicy, tree: Tree) -> None:
    class Source:
        def performance(self, book: Any, *, observation: Any, window: int, at: datetime) -> Performance | None:
            if book == tree.root:
                raise LeverageError("Not today.")
            return did(GOOD, at, 0.06) if book == tree.trend else None

        def ended(self, book_ids: Collection[int]) -> set[int]:
            return {over.pk} & set(book_ids)

    over = open_book(
        parent=tree.trend,
        code="over",
        name="Over",
        kind=BookKind.DEPLOYMENT,
        opened_on=tree.trend.opened_on,
        actor=None,
    )
    for book in (tree.root, tree.trend, tree.carry, over):
        start_leverage(book=book, actor=None)
    before = install_performance_source(Source())
    try:
        decided = evaluate_leverage()
    finally:
        install_performance_source(before)
    assert {(d.book_id, d.rule) for d in decided} == {(tree.trend.pk, "step_down"), (tree.carry.pk, "hold")}
    assert leverage_in_force(tree.root) == 2
    told = last_decision(over)
    assert told is not None and told.rule == "start"


# --- The gate ---------------------------------------------------------------------------------------------------
def test_a_policy_that_makes_no_sense_or_changes_nothing_is_refused(people: People, policy: LeveragePolicy) -> None:
    for bad in ({"cap": "11"}, {"min_sharpe": "NaN"}, {"floor": "-1"}, {"min_observations": 99}, {"luck": 1}):
        with pytest.raises(PayloadError):
            ask(people, LEVERAGE, bad)
    with pytest.raises(LeveragePolicyError):
        ask(people, LEVERAGE, {})
    through_the_gate(people, LEVERAGE, {"cap": "5"})
    assert LeveragePolicy.objects.count() == 2


def test_the_approver_sees_every_field_now_and_then(people: People, policy: LeveragePolicy) -> None:
    statement = ask(people, LEVERAGE, {"cap": "5"}).statements.get().canonical
    assert '{"label":"Cap","now":"10","then":"5"}' in statement
    assert '{"label":"Version","now":"1","then":"2"}' in statement


def test_a_lower_cap_holds_at_once(people: People, policy: LeveragePolicy, tree: Tree) -> None:
    start_leverage(book=tree.trend, actor=None)
    through_the_gate(people, LEVERAGE, {"cap": "1.5", "start": "1"})
    assert leverage_in_force(tree.trend) == Decimal("1.5")
    row = decide_leverage(book=tree.trend, performance=did(GOOD, NOW), actor=None)
    assert (row.rule, row.to_leverage) == ("cap", Decimal("1.5"))


def test_nobody_sets_a_policy_past_the_gate(people: People) -> None:
    request = ask(people, LEVERAGE, {})
    action = next(found for found in registered_actions() if found.kind == LEVERAGE)
    with pytest.raises(NotApprovedError), transaction.atomic():
        action(request.payload, None)
    with pytest.raises(NotApprovedError), transaction.atomic():
        set_leverage_policy(rules=LeverageRules(), document={}, warrant=None)  # type: ignore[arg-type]
    with pytest.raises(DatabaseError), transaction.atomic():
        LeveragePolicy.objects.create(
            version=1, document=request.payload, sha256="0" * 64, request=request, created_at=NOW
        )
    assert not LeveragePolicy.objects.exists()


def refused_row(last: LeverageDecision, **changes: Any) -> None:
    """A row past the actions, as somebody with the application's own login would write it."""
    row = replace_row(last, **changes)
    with pytest.raises(DatabaseError), transaction.atomic():
        row.save(force_insert=True)


def replace_row(last: LeverageDecision, **changes: Any) -> LeverageDecision:
    fields: dict[str, Any] = {
        "book": last.book,
        "number": last.number + 1,
        "at": last.at + days(30),
        "policy": last.policy,
        "rule": "step_up",
        "from_leverage": last.to_leverage,
        "to_leverage": last.to_leverage + 1,
        "changed": True,
        "sample_size": 20,
        "sharpe": 2.0,
        "drawdown_frac": 0.01,
        "reason": "Written by hand.",
    }
    return LeverageDecision(**(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"to_leverage": Decimal(4)},
        {"to_leverage": Decimal(11)},
        {"sample_size": 13},
        {"sharpe": 1.5},
        {"sharpe": None},
        {"drawdown_frac": 0.03},
        {"drawdown_frac": None},
        {"at": NOW + days(6)},
        {"rule": "hold"},
        {"rule": "by_hand"},
        {"rule": "step_down"},
        {"rule": "start", "from_leverage": None, "number": 1},
        {"number": 5},
        {"from_leverage": Decimal(1), "to_leverage": Decimal(2)},
        {"changed": False},
        {"rule": "by_hand", "to_leverage": Decimal(1)},
    ],
)
def test_the_database_refuses_a_decision_beyond_the_policy(
    policy: LeveragePolicy, tree: Tree, changes: dict[str, Any]
) -> None:
    last = start_leverage(book=tree.trend, actor=None)
    refused_row(last, **changes)
    assert leverage_in_force(tree.trend) == 2


def test_the_same_row_within_the_policy_is_taken(policy: LeveragePolicy, tree: Tree) -> None:
    last = start_leverage(book=tree.trend, actor=None)
    replace_row(last).save(force_insert=True)
    assert leverage_in_force(tree.trend) == 3


def test_a_decision_by_a_policy_of_yesterday_is_refused(people: People, policy: LeveragePolicy, tree: Tree) -> None:
    last = start_leverage(book=tree.trend, actor=None)
    through_the_gate(people, LEVERAGE, {"cap": "2", "start": "1"})
    refused_row(last)
    newer = LeveragePolicy.objects.get(version=2)
    refused_row(last, policy=newer)


def test_decisions_and_policies_are_never_changed(policy: LeveragePolicy, tree: Tree) -> None:
    row = start_leverage(book=tree.trend, actor=None)
    for attack in (
        lambda: LeverageDecision.objects.filter(pk=row.pk).update(to_leverage=9),
        lambda: row.delete(),
        lambda: LeveragePolicy.objects.update(document={}),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            attack()


def test_who_opens_a_book_puts_it_under_the_policy(people: People, tree: Tree) -> None:
    assert begin_leverage(book=tree.trend, actor=None) == 1
    assert not LeverageDecision.objects.exists(), "without a policy nothing begins"
    through_the_gate(people, LEVERAGE, {})
    assert begin_leverage(book=tree.trend, actor=None) == 2
    lower_leverage(book=tree.trend, reason="Calm.", actor=people.operations)
    assert begin_leverage(book=tree.agent, actor=None) == 1, "held down by the book above"
    assert LeverageDecision.objects.get(book=tree.agent).to_leverage == 2


def test_a_table_of_the_same_name_in_front_fools_no_guard(policy: LeveragePolicy, tree: Tree) -> None:
    last = start_leverage(book=tree.trend, actor=None)
    forged = replace_row(last, to_leverage=Decimal(9))
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE risk_leveragepolicy AS SELECT * FROM public.risk_leveragepolicy")
        cursor.execute("""UPDATE pg_temp.risk_leveragepolicy SET document = document || '{"step": "9"}'""")
        # The row goes into the real table; what the guard reads must be real as well.
        forged.save(force_insert=True)
    assert leverage_in_force(tree.trend) == 2
