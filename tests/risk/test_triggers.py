"""What stops trading by itself: each trigger at its threshold, its place, and once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from compliance.models import AuditEvent
from fundops.core import clock
from risk.actions.switches import stop_trading, trip_switch
from risk.errors import SignalError
from risk.models import (
    ErrorReport,
    KillSwitch,
    RiskSignal,
    ScenarioKind,
    SignalKind,
    StopCause,
    StressResult,
    SwitchChange,
)
from risk.quant.pretrade import TradingMode
from risk.switch_gate import SET_TRIGGER
from risk.switch_signals import (
    report_breaks,
    report_errors,
    report_heartbeat,
    report_market_data,
    withdraw_signal,
)
from risk.switch_triggers import readings, standard_rules, would_stop_again
from risk.switch_watch import watch_triggers
from risk.switches import trading_mode_for
from tests.gate import by_gate
from tests.risk.conftest import NOW, Tree, WrittenSource, figures
from tests.risk.gated import put_scenario

pytestmark = pytest.mark.usefixtures("ruled_world")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def turned(at: datetime = NOW) -> list[tuple[str, str]]:
    return [(s.cause, str(s.book.path if s.book else s.venue)) for s in watch_triggers(at=at)]


def equity(source: WrittenSource, tree: Tree, value: float | None, **changes: object) -> None:
    """What the fund's root shows; the Books below are worth nothing."""
    for book in (tree.trend, tree.agent, tree.carry):
        source.books[book.pk] = figures(0.0)
    source.books[tree.root.pk] = figures(value, **changes)


def test_a_calm_fund_is_left_alone(tree: Tree, source: WrittenSource) -> None:
    equity(source, tree, 1000.0)
    assert turned() == [] and not KillSwitch.objects.exists()
    assert all(r.headroom == 1.0 for r in readings(causes=[StopCause.DRAWDOWN, StopCause.DAILY_LOSS]))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [({"peak_equity": 1200.0}, "drawdown"), ({"day_open_equity": 1060.0}, "daily_loss")],
)
def test_losses_past_the_threshold_stop_the_fund(
    tree: Tree, source: WrittenSource, changes: dict[str, float], cause: str
) -> None:
    equity(source, tree, 1000.0, **changes)
    assert turned() == [(cause, "MAIN")]
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.HALTED
    switch = KillSwitch.objects.get()
    assert switch.changed_by is None and switch.detail["value"] == pytest.approx(
        1 / 6 if cause == "drawdown" else 6 / 106
    )


def test_at_the_threshold_nothing_fires_and_what_is_not_known_never_does(tree: Tree, source: WrittenSource) -> None:
    equity(source, tree, 850.0, peak_equity=1000.0, day_open_equity=850.0)
    assert turned() == []
    equity(source, tree, None, peak_equity=1000.0, day_open_equity=1000.0)
    assert turned() == []
    assert {r.value for r in readings(causes=[StopCause.DRAWDOWN])} == {None}
    assert {r.headroom for r in readings(causes=[StopCause.DRAWDOWN])} == {None}


def test_a_book_with_a_rule_of_its_own_is_read_by_it(tree: Tree, source: WrittenSource) -> None:
    with clock.frozen(NOW):
        by_gate(SET_TRIGGER, {"cause": "drawdown", "book": tree.trend.path, "threshold": "0.01", "mode": "REDUCING"})
    equity(source, tree, 1000.0)
    source.books[tree.trend.pk] = figures(98.0, peak_equity=100.0)
    assert turned() == [("drawdown", tree.trend.path)]
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.REDUCING
    assert trading_mode_for(book_id=tree.carry.pk) is TradingMode.ACTIVE


def test_a_trigger_switched_off_reads_and_does_nothing(tree: Tree, source: WrittenSource) -> None:
    by_gate(SET_TRIGGER, {"cause": "drawdown", "threshold": "0.1", "mode": "HALTED", "enabled": False})
    equity(source, tree, 100.0, peak_equity=1000.0)
    assert turned() == []
    (reading,) = readings(causes=[StopCause.DRAWDOWN])
    assert reading.value == pytest.approx(0.9) and reading.passed and not reading.fires


def test_a_missed_heartbeat_stops_its_book(tree: Tree) -> None:
    report_heartbeat(source="desk 7", book=tree.agent)
    assert turned(later(90)) == []
    assert turned(later(91)) == [("heartbeat", tree.agent.path)]
    assert turned(later(120)) == [], "stopped already"


def test_silence_counts_from_the_return_of_a_watch_that_was_away(tree: Tree) -> None:
    """What was down together with the watch has its full time again, and no more than that."""
    report_heartbeat(source="desk 7", book=tree.agent)
    report_market_data(source="candles", at=NOW, venue="kraken")
    for seconds in (0, 60, 400, 450):
        assert turned(later(seconds)) == []
    resumed = AuditEvent.objects.get(kind="risk.watch.resumed")
    assert datetime.fromisoformat(resumed.payload["since"]) == later(400)
    assert turned(later(490)) == []
    assert turned(later(491)) == [("heartbeat", tree.agent.path)]
    with clock.frozen(later(491)):
        (reading,) = readings(causes=[StopCause.STALE_DATA])
    assert reading.value == 91


def test_a_watch_that_stumbles_was_not_away(tree: Tree) -> None:
    report_heartbeat(source="desk 7", book=tree.agent)
    assert turned(NOW) == turned(later(60)) == []
    assert turned(later(91)) == [("heartbeat", tree.agent.path)]
    assert not AuditEvent.objects.filter(kind="risk.watch.resumed").exists()
    assert trading_mode_for(book_id=tree.trend.pk) is TradingMode.ACTIVE
    assert SwitchChange.objects.count() == 1


def test_who_stops_on_purpose_withdraws(tree: Tree) -> None:
    report_heartbeat(source="desk 7", book=tree.agent)
    report_heartbeat(source="desk 7", book=tree.agent, at=later(30))
    report_heartbeat(source="desk 7", book=tree.agent, at=later(10))
    assert RiskSignal.objects.get().at == later(30), "an older word changes nothing"
    assert withdraw_signal(kind=SignalKind.HEARTBEAT, source="desk 7", book=tree.agent)
    assert not withdraw_signal(kind=SignalKind.HEARTBEAT, source="desk 7", book=tree.agent)
    assert turned(later(9999)) == []
    kinds = AuditEvent.objects.filter(kind__startswith="risk.signal").order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["risk.signal.began", "risk.signal.withdrawn"]


def test_stale_market_data_reduces_its_venue(tree: Tree) -> None:
    report_market_data(source="candles", venue="kraken", at=NOW)
    report_market_data(source="candles", venue="bybit", at=later(200))
    assert turned(later(301)) == [("stale_data", "kraken")]
    assert trading_mode_for(book_id=tree.agent.pk, venue="kraken") is TradingMode.REDUCING
    assert trading_mode_for(book_id=tree.agent.pk, venue="bybit") is TradingMode.ACTIVE


def test_one_open_break_halts(tree: Tree) -> None:
    report_breaks(source="ledger", open_breaks=0, book=tree.trend)
    assert turned() == []
    report_breaks(source="ledger", open_breaks=1, book=tree.trend)
    assert turned() == [("reconciliation", tree.trend.path)]
    with pytest.raises(SignalError):
        report_breaks(source="ledger", open_breaks=-1)


def test_a_burst_of_errors_halts_where_they_happen(tree: Tree) -> None:
    for second in range(5):
        report_errors(source="gateway", count=2, book=tree.agent, venue="kraken", at=later(second))
    report_errors(source="other", count=9, book=tree.carry, at=NOW)
    assert turned(later(10)) == [], "ten in a minute are at the threshold"
    report_errors(source="gateway", book=tree.agent, venue="kraken", at=later(10))
    assert turned(later(70)) == [], "the window has moved on"
    assert turned(later(11)) == [("error_burst", tree.agent.path)]
    assert trading_mode_for(book_id=tree.agent.pk, venue="kraken") is TradingMode.HALTED
    assert trading_mode_for(book_id=tree.agent.pk, venue="bybit") is TradingMode.ACTIVE
    watch_triggers(at=later(90_000))
    assert not ErrorReport.objects.exists()
    for bad in ({"count": 0}, {"source": ""}, {"source": "x" * 81}):
        with pytest.raises(SignalError):
            report_errors(**({"source": "gateway"} | bad))


def stress(tree: Tree, code: str, loss_frac: float | None, at: datetime) -> None:
    StressResult.objects.create(
        scenario=put_scenario(
            code=code, name=code, kind=ScenarioKind.PARAMETRIC, parameters={"default": -0.3}, max_loss_frac=0.1
        ),
        book=tree.root, at=at, parameters={}, equity=1000.0, loss=None if loss_frac is None else 1000 * loss_frac,
        loss_frac=loss_frac, by_symbol={}, missing=[],
    )  # fmt: skip


def test_a_stress_loss_past_its_tolerance_reduces_the_fund(tree: Tree) -> None:
    stress(tree, "calm", 0.05, NOW)
    stress(tree, "unknown", None, NOW)
    stress(tree, "crash", 0.1, NOW)
    assert turned() == [], "what it may lose is at the threshold"
    stress(tree, "crash-2", 0.101, later(-7200))
    assert turned() == [], "too long ago"
    stress(tree, "crash-3", 0.101, NOW)
    assert turned() == [("stress", "MAIN")]
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.REDUCING


def test_a_reading_tells_what_would_stop_a_switch_again(tree: Tree) -> None:
    report_breaks(source="a", open_breaks=1, book=tree.agent)
    report_breaks(source="b", open_breaks=1, book=tree.carry, venue="kraken")
    assert {r.source for r in would_stop_again(tree.root, "")} == {"a", "b"}
    assert {r.source for r in would_stop_again(tree.trend, "")} == {"a"}
    assert {r.source for r in would_stop_again(None, "kraken")} == {"b"}
    assert {r.source for r in would_stop_again(None, "")} == {"a", "b"}
    assert would_stop_again(tree.carry, "bybit") == []


def test_a_closed_book_gives_no_sign_of_life(tree: Tree) -> None:
    report_heartbeat(source="desk", book=tree.agent)
    type(tree.agent).objects.filter(pk=tree.agent.pk).update(closed_at=NOW)
    assert turned(later(9999)) == []


def test_a_person_stops_further_than_a_trigger_did(tree: Tree) -> None:
    trip_switch(book=tree.trend, venue="", cause=StopCause.STALE_DATA, detail="old", mode=TradingMode.REDUCING)
    stop_trading(reason="All of it.", actor=None, book=tree.trend)
    assert list(SwitchChange.objects.order_by("version").values_list("mode", "cause")) == [
        ("REDUCING", "stale_data"),
        ("HALTED", "console"),
    ]


def test_the_shipped_rules_cover_every_trigger() -> None:
    assert all(rule.enabled and rule.mode is not TradingMode.ACTIVE for rule in standard_rules().values())
