"""Stopping: by whom, how far, and what a Book may do afterwards."""

from __future__ import annotations

import pytest

from compliance.models import AuditEvent
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.switches import stop_trading, trip_switch
from risk.errors import SwitchLoosensError, SwitchReasonError, SwitchScopeError
from risk.models import KillSwitch, StopCause, SwitchChange
from risk.quant.pretrade import TradingMode
from risk.switches import trading_mode_for
from tests.factories import everyone, user_with
from tests.risk.conftest import Tree

ON_DUTY = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER}


@pytest.fixture
def officer(db: None) -> User:
    return user_with(Role.RISK_OFFICER, username="rosa")


def test_without_a_switch_everything_is_active(tree: Tree) -> None:
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.ACTIVE
    assert trading_mode_for(book_id=tree.agent.pk, venue="kraken") is TradingMode.ACTIVE


def test_a_book_that_does_not_exist_may_do_nothing(tree: Tree) -> None:
    assert trading_mode_for(book_id=999_999_999) is None


def test_a_stop_of_a_book_binds_it_and_all_below_it_and_nothing_else(tree: Tree, officer: User) -> None:
    stop_trading(reason="Fills look wrong.", actor=officer, book=tree.trend)
    assert trading_mode_for(book_id=tree.trend.pk) is TradingMode.HALTED
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.HALTED
    assert trading_mode_for(book_id=tree.root.pk) is TradingMode.ACTIVE
    assert trading_mode_for(book_id=tree.carry.pk) is TradingMode.ACTIVE


def test_a_stop_of_a_venue_binds_orders_there_alone(tree: Tree, officer: User) -> None:
    stop_trading(reason="The venue is down.", actor=officer, venue="kraken", mode=TradingMode.REDUCING)
    assert trading_mode_for(book_id=tree.agent.pk, venue="kraken") is TradingMode.REDUCING
    assert trading_mode_for(book_id=tree.agent.pk, venue="bybit") is TradingMode.ACTIVE
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.ACTIVE


def test_a_stop_of_a_book_at_a_venue_binds_their_meeting_alone(tree: Tree) -> None:
    trip_switch(book=tree.trend, venue="kraken", cause=StopCause.ERROR_BURST, detail="9 errors in a minute")
    assert trading_mode_for(book_id=tree.agent.pk, venue="kraken") is TradingMode.HALTED
    assert trading_mode_for(book_id=tree.agent.pk, venue="bybit") is TradingMode.ACTIVE
    assert trading_mode_for(book_id=tree.carry.pk, venue="kraken") is TradingMode.ACTIVE


def test_a_stop_of_everything_binds_every_book_and_the_worst_counts(tree: Tree, officer: User) -> None:
    stop_trading(reason="Calm down.", actor=officer, mode=TradingMode.REDUCING)
    stop_trading(reason="And this one not at all.", actor=officer, book=tree.trend)
    assert trading_mode_for(book_id=tree.carry.pk) is TradingMode.REDUCING
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.HALTED


def test_every_stop_is_one_event_and_one_row_of_history(tree: Tree, officer: User) -> None:
    stop_trading(reason="Reduce.", actor=officer, book=tree.trend, mode=TradingMode.REDUCING)
    stop_trading(reason="Halt.", actor=officer, book=tree.trend)
    changes = list(SwitchChange.objects.order_by("version").values_list("version", "mode_before", "mode", "reason"))
    assert changes == [(1, "ACTIVE", "REDUCING", "Reduce."), (2, "REDUCING", "HALTED", "Halt.")]
    events = AuditEvent.objects.filter(kind="risk.switch.changed").order_by("id")
    assert [e.payload["mode"] for e in events] == ["REDUCING", "HALTED"]
    assert all(
        e.actor_id == officer.pk and {"risk", "system", f"book:{tree.trend.pk}"} <= set(e.topics) for e in events
    )


def test_a_stop_only_ever_tightens(tree: Tree, officer: User) -> None:
    stop_trading(reason="Halt.", actor=officer, book=tree.trend)
    with pytest.raises(SwitchLoosensError):
        stop_trading(reason="A little.", actor=officer, book=tree.trend, mode=TradingMode.REDUCING)
    with pytest.raises(SwitchLoosensError):
        stop_trading(reason="Go on.", actor=officer, book=tree.trend, mode=TradingMode.ACTIVE)
    assert trading_mode_for(book_id=tree.trend.pk) is TradingMode.HALTED


def test_a_stop_needs_a_reason_that_can_be_read(tree: Tree, officer: User) -> None:
    for reason in ("", "   ", "x" * 401):
        with pytest.raises(SwitchReasonError):
            stop_trading(reason=reason, actor=officer)
    with pytest.raises(SwitchScopeError):
        stop_trading(reason="Longer than a venue's name.", actor=officer, venue="v" * 41)
    assert not KillSwitch.objects.exists()


def test_those_on_duty_stop_and_nobody_else(tree: Tree) -> None:
    stopped = set()
    for role, person in everyone().items():
        try:
            stop_trading(reason="Now.", actor=person, venue=role.name.lower())
            stopped.add(role)
        except PermissionMissingError:
            pass
    assert stopped == ON_DUTY


def test_a_trigger_tightens_once_and_loosens_never(tree: Tree) -> None:
    first = trip_switch(book=tree.trend, venue=None, cause=StopCause.DRAWDOWN, detail={"reason": "12 %", "value": 0.12})
    assert first is not None and (first.mode, first.reason, first.detail) == ("HALTED", "12 %", {"value": 0.12})
    again = trip_switch(
        book=tree.trend, venue=None, cause=StopCause.DAILY_LOSS, detail="3 %", mode=TradingMode.REDUCING
    )
    assert again is not None and (again.version, again.cause) == (1, "drawdown")
    assert SwitchChange.objects.count() == 1
    with pytest.raises(SwitchScopeError):
        trip_switch(book=tree.trend, venue=None, cause=StopCause.PERSON, detail="Not me.")
