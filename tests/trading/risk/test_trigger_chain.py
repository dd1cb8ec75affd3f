"""From what the ledger holds and what it is worth to the kill switch: nothing in between is written by the test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from compliance.models import AuditEvent
from fundops.core import clock
from risk.actions.snapshots import snapshot_risk
from risk.actions.stress import ensure_standard_scenarios, run_stress
from risk.models import KillSwitch, StopCause, StressResult
from risk.quant.pretrade import TradingMode
from risk.sources import install_source
from risk.switch_triggers import readings
from risk.switch_watch import watch_triggers
from risk.switches import trading_mode_for
from tests.gate import by_gate
from tests.trading.risk.test_historical_replays import Holder
from trading.risk_source import ledger_source
from treasury.actions.books import ensure_asset, open_fund
from treasury.models import AssetKind, Book

pytestmark = pytest.mark.usefixtures("ruled_world")

DAY = datetime(2024, 8, 1, tzinfo=UTC)
HALF = timedelta(hours=12)


@pytest.fixture
def fund(db: None, settings: Settings, tmp_path: Path) -> Iterator[Holder]:
    """100,000 USDT in cash and 2 BTC, read by the product's own source."""
    settings.MARKET_DATA_URL = str(tmp_path / "catalog")
    usdt = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
    opened = open_fund(code="MAIN", name="Main", base_asset=usdt, opened_on=date(2021, 1, 1), actor=None)
    made = Holder(Book.objects.get(fund=opened, parent=None))
    made.put("USDT", "100000")
    made.hold("BTC", "2", venue="binance", symbol="BTCUSDT")
    before = install_source(ledger_source())
    yield made
    install_source(before)


def bring_prices(folder: Path, *closes: int) -> None:
    """Candles of half a day each; the first closes at the first noon."""
    rows = ["timestamp,open,high,low,close,volume"]
    rows += [f"{DAY + n * HALF:%Y-%m-%dT%H:%M:%SZ},{x},{x},{x},{x},10" for n, x in enumerate(closes)]
    path = folder / "BTCUSDT-12h.csv"
    path.write_text("\n".join(rows) + "\n")
    call_command(
        "import_candles", str(path), venue="binance", symbol="BTCUSDT", interval="12h", stamp="open", stdout=StringIO()
    )


def after(halves: int) -> datetime:
    return DAY + halves * HALF


def fired(at: datetime) -> list[tuple[str, str]]:
    """What the watch stops at an instant."""
    with clock.frozen(at):
        return [(s.cause, s.mode) for s in watch_triggers()]


def reading(cause: StopCause, at: datetime) -> float | None:
    (one,) = readings(at=at, causes=[cause])
    return one.value


def mode(fund: Holder) -> TradingMode | None:
    return trading_mode_for(book_id=fund.root.pk)


def test_a_fall_of_prices_within_a_day_stops_the_fund(fund: Holder, tmp_path: Path) -> None:
    bring_prices(tmp_path, 50_000, 50_000, 45_100, 50_000, 44_900)
    with clock.frozen(after(2)):
        snapshot_risk(actor=None)
    assert fired(after(3)) == [], "9,800 of 200,000 are not past 5 %"
    with clock.frozen(after(4)):
        snapshot_risk(actor=None)
    assert mode(fund) is TradingMode.ACTIVE
    assert fired(after(5)) == [("daily_loss", "HALTED")]
    assert reading(StopCause.DAILY_LOSS, after(5)) == pytest.approx(10_200 / 200_000)
    assert mode(fund) is TradingMode.HALTED
    switch = KillSwitch.objects.get()
    assert (switch.book, switch.changed_by) == (fund.root, None)
    assert switch.detail["value"] == pytest.approx(0.051)
    assert fired(after(5)) == [], "once"


def test_a_loss_that_is_posted_stops_the_fund(fund: Holder, tmp_path: Path) -> None:
    bring_prices(tmp_path, 50_000, 50_000, 50_000)
    with clock.frozen(after(2)):
        snapshot_risk(actor=None)
    assert fired(after(3)) == []
    with clock.frozen(after(3)):
        lines = [
            {"book": "MAIN", "account": account, "asset": "USDT", "amount": amount}
            for account, amount in (("cash", "-10001"), ("fees", "10001"))
        ]
        by_gate(
            "treasury.post_entry",
            {
                "fund": "MAIN",
                "value_date": f"{after(3):%Y-%m-%d}",
                "entry_kind": "fee",
                "memo": "Dearer than thought",
                "lines": lines,
            },
        )
    assert fired(after(3) + timedelta(seconds=1)) == [("daily_loss", "HALTED")]
    assert mode(fund) is TradingMode.HALTED


def test_days_of_falling_prices_stop_the_fund_by_their_drawdown(fund: Holder, tmp_path: Path) -> None:
    """Under 5 % a day, and past 15 % from the peak on the fourth."""
    bring_prices(tmp_path, 50_000, 50_000, 45_500, 45_500, 41_000, 41_000, 36_500, 36_500, 33_500)
    for midnight in (2, 4, 6, 8):
        with clock.frozen(after(midnight)):
            snapshot_risk(actor=None)
        assert fired(after(midnight)) == [], midnight
    assert mode(fund) is TradingMode.ACTIVE
    assert reading(StopCause.DRAWDOWN, after(8)) == pytest.approx(27 / 200)
    assert fired(after(9)) == [("drawdown", "HALTED")]
    assert reading(StopCause.DRAWDOWN, after(9)) == pytest.approx(33 / 200)
    assert reading(StopCause.DAILY_LOSS, after(9)) == pytest.approx(6 / 173)
    assert mode(fund) is TradingMode.HALTED


def test_a_position_without_a_price_fires_nothing(fund: Holder, tmp_path: Path) -> None:
    bring_prices(tmp_path, 50_000, 50_000)
    with clock.frozen(after(2)):
        snapshot_risk(actor=None)
    assert reading(StopCause.DRAWDOWN, after(20)) is None
    assert fired(after(20)) == []


def test_a_scenario_past_its_tolerance_reduces_the_fund(fund: Holder, tmp_path: Path) -> None:
    bring_prices(tmp_path, 50_000, 50_000)
    scenarios = ensure_standard_scenarios(actor=None)
    with clock.frozen(after(2)):
        made = {r.scenario.code: r for r in run_stress(actor=None, scenarios=scenarios)}
    assert made["market-crash-30"].loss == pytest.approx(30_000)
    assert made["largest-venue-lost"].loss == pytest.approx(160_000), "all of it lies at one venue"
    assert not [code for code, r in made.items() if r.breached], "which alone is no reason to stop"
    assert fired(after(2)) == [] and mode(fund) is TradingMode.ACTIVE
    fund.put("BTC", "10")
    with clock.frozen(after(2) + timedelta(minutes=10)):
        made = {r.scenario.code: r for r in run_stress(actor=None, scenarios=scenarios)}
        assert made["market-crash-30"].loss_frac == pytest.approx(180 / 700)
        assert {code for code, r in made.items() if r.breached} == {"market-crash-30"}
        assert AuditEvent.objects.filter(kind="risk.stress.breached").count() == 1
    assert fired(after(2) + timedelta(minutes=10, seconds=10)) == [("stress", "REDUCING")]
    assert mode(fund) is TradingMode.REDUCING
    switch = KillSwitch.objects.get()
    assert switch.detail["source"] == "market-crash-30"
    assert switch.detail["value"] == pytest.approx(180 / 700 / 0.25)
    assert StressResult.objects.count() == 2 * len(scenarios)
