"""Scenarios of the past replayed from imported candles: the loss is what a look at the raw file says it is.

Each file of real prices is read twice: by the product (import, catalog, scenario) and here, by pandas and hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from django.core.management import call_command
from pytest_django import Settings

from fundops.core import clock
from risk.actions.stress import ensure_standard_scenarios, holdings_of, run_stress
from risk.measuring import measure_books
from risk.models import ScenarioKind, StressResult, StressScenario
from risk.scenarios import price_scenario
from risk.sources import install_source, risk_source
from tests.gate import by_gate
from tests.sample_data import require_sample
from trading.models.instruments import Instrument, InstrumentKind
from trading.risk_source import ledger_source
from treasury.actions.books import ensure_asset, open_fund
from treasury.models import AssetKind, Book

pytestmark = pytest.mark.usefixtures("ruled_world")

CASH = 100_000
BOOKED = datetime(2021, 1, 2, tzinfo=UTC)


@dataclass
class Holder:
    """A fund of 100,000 USDT in cash, to which a test adds coins."""

    root: Book

    def hold(self, code: str, amount: str, *, venue: str, symbol: str, perpetual: bool = False) -> None:
        """Puts units of a market's asset into the fund's own book."""
        kind = AssetKind.CONTRACT if perpetual else AssetKind.CRYPTO
        asset = ensure_asset(code=code, name=code, kind=kind, places=8, actor=None)
        quote = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
        Instrument.objects.create(
            venue=venue,
            symbol=symbol,
            kind=InstrumentKind.PERPETUAL if perpetual else InstrumentKind.SPOT,
            position_asset=asset,
            quote_asset=quote,
            tick=Decimal("0.01"),
            lot=Decimal("0.0001"),
            source="a test",
        )
        self.put(code, amount)

    def put(self, code: str, amount: str) -> None:
        """Books it by an approved request, long before what the tests look at."""
        lines = [
            {"book": self.root.path, "account": account, "asset": code, "amount": sign + amount}
            for account, sign in (("cash", ""), ("capital", "-"))
        ]
        with clock.frozen(BOOKED):
            by_gate(
                "treasury.post_entry",
                {
                    "fund": self.root.fund.code,
                    "value_date": BOOKED.date().isoformat(),
                    "entry_kind": "contribution",
                    "memo": "What the test holds",
                    "lines": lines,
                },
            )


@pytest.fixture
def holder(db: None, settings: Settings, tmp_path: Path) -> Holder:
    settings.MARKET_DATA_URL = str(tmp_path)
    usdt = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
    fund = open_fund(code="MAIN", name="Main", base_asset=usdt, opened_on=date(2021, 1, 1), actor=None)
    made = Holder(Book.objects.get(fund=fund, parent=None))
    made.put("USDT", str(CASH))
    return made


@pytest.fixture(autouse=True)
def the_products_own_source() -> object:
    before = install_source(ledger_source())
    yield
    install_source(before)


@pytest.fixture
def bring(holder: Holder) -> Callable[[Path, str], None]:
    def bring(path: Path, venue: str) -> None:
        call_command("import_candles", str(path), venue=venue, stdout=StringIO())

    return bring


def worst_fall(closes: pd.Series, start: datetime, end: datetime) -> float:
    """The deepest fall below the price at `start` among the closes until `end`; `closes` by the bar's closing time."""
    known = closes[closes.index <= pd.Timestamp(start)].iloc[-1]
    during = closes[(closes.index > pd.Timestamp(start)) & (closes.index <= pd.Timestamp(end))]
    return float(1.0 - min(during.min(), known) / known)


def closes_of(frame: pd.DataFrame, interval: timedelta) -> pd.Series:
    series: pd.Series = frame.set_index("timestamp")["close"].sort_index()
    series.index = pd.to_datetime(series.index, utc=True) + interval
    return series


def run(holder: Holder, code: str) -> StressResult:
    ensure_standard_scenarios(actor=None)
    (result,) = run_stress(actor=None, books=[holder.root], scenarios=[StressScenario.objects.get(code=code)])
    return result


def value_of(holder: Holder, at: datetime) -> dict[str, float]:
    measured = measure_books(at=at, book_ids=[holder.root.pk], tail=False)
    return dict(zip(measured.symbols, measured.exposure[measured.row(holder.root.pk)], strict=True))


def test_the_fall_of_5_august_2024(holder: Holder, bring: Callable[[Path, str], None]) -> None:
    path = require_sample("candles/binance_spot_5m_2024-07-25_2024-08-24.parquet")
    bring(path, "binance")
    holder.hold("BTC", "2", venue="binance", symbol="BTCUSDT")
    holder.hold("ETH", "10", venue="binance", symbol="ETHUSDT")
    now = datetime(2024, 8, 20, 12, tzinfo=UTC)
    with clock.frozen(now):
        result = run(holder, "yen-unwind-2024-08-05")
        exposure = value_of(holder, now)
    raw = pd.read_parquet(path)
    start, end = datetime(2024, 8, 4, tzinfo=UTC), datetime(2024, 8, 6, tzinfo=UTC)
    btc, eth = (closes_of(raw[raw["symbol"].str.contains(name)], timedelta(minutes=5)) for name in ("BTC", "ETH"))
    assert exposure["BTC"] == pytest.approx(2 * btc[pd.Timestamp(now)])
    paths = [
        exposure[name]
        * (s[(s.index >= pd.Timestamp(start)) & (s.index <= pd.Timestamp(end))] / s[pd.Timestamp(start)] - 1)
        for name, s in (("BTC", btc), ("ETH", eth))
    ]
    together = paths[0] + paths[1]
    assert result.loss == pytest.approx(-together.min())
    assert result.loss is not None and result.loss > 25_000, "a fifth of the BTC, a third of the ETH"
    assert result.by_symbol["ETH"] == pytest.approx(paths[1][together.idxmin()])
    equity = float(CASH) + exposure["BTC"] + exposure["ETH"]
    assert result.loss_frac == pytest.approx(result.loss / equity)
    assert result.missing == []


def test_the_collapse_of_layer_in_may_2025(holder: Holder, bring: Callable[[Path, str], None]) -> None:
    path = require_sample("candles/binance_perp_1m_2025-05/LAYERUSDT_1m.csv.gz")
    bring(path, "binance_perp")
    holder.hold("LAYERUSDT-PERP", "10000", venue="binance_perp", symbol="LAYERUSDT", perpetual=True)
    now = datetime(2025, 6, 3, 12, tzinfo=UTC)
    with clock.frozen(now):
        result = run(holder, "layer-2025-05")
        exposure = value_of(holder, now)["LAYERUSDT-PERP"]
    closes = closes_of(pd.read_csv(path), timedelta(minutes=1))
    fall = worst_fall(closes, datetime(2025, 5, 5, tzinfo=UTC), datetime(2025, 5, 7, tzinfo=UTC))
    assert result.loss == pytest.approx(exposure * fall)
    assert fall > 0.5
    assert result.breached is False, "a small position in a large fund"


def test_the_weekend_of_march_2023(holder: Holder, bring: Callable[[Path, str], None]) -> None:
    path = require_sample("multivenue/usdc_depeg_2023-03/binanceus_usdcusdt_1m.parquet")
    bring(path, "binanceus")
    holder.hold("USDC", "50000", venue="binanceus", symbol="USDCUSDT")
    now = datetime(2023, 3, 14, 23, 50, tzinfo=UTC)
    with clock.frozen(now):
        result = run(holder, "usdc-depeg-weekend-2023-03")
        exposure = value_of(holder, now)["USDC"]
    closes = closes_of(pd.read_parquet(path), timedelta(minutes=1))
    fall = worst_fall(closes, datetime(2023, 3, 10, tzinfo=UTC), datetime(2023, 3, 13, tzinfo=UTC))
    assert 0.05 < fall < 0.2
    assert result.loss == pytest.approx(exposure * fall)


def test_the_flash_crash_of_18_april_2021(holder: Holder, bring: Callable[[Path, str], None], tmp_path: Path) -> None:
    """From a recording of the order book: the middle of the book each minute, as bars of one price."""
    raw = pd.read_parquet(require_sample("orderbook/btc_lob_15levels_1m_2021-04-17.parquet"))
    minute = pd.to_datetime(raw["timestamp"], utc=True).dt.floor("min")
    mid = pd.Series(raw["midpoint"].to_numpy(), index=minute).groupby(level=0).last()
    bars = pd.DataFrame({"timestamp": mid.index, **{c: mid.to_numpy() for c in ("open", "high", "low", "close")}})
    bars["volume"] = 1.0
    file = tmp_path / "BTCUSDT_1m.csv"
    bars.to_csv(file, index=False)
    bring(file, "coinbase")
    holder.hold("BTC", "3", venue="coinbase", symbol="BTCUSDT")
    start, end = datetime(2021, 4, 17, 17, 30, tzinfo=UTC), datetime(2021, 4, 18, 3, 24, tzinfo=UTC)
    now = end
    with clock.frozen(now):
        measured = measure_books(at=now, book_ids=[holder.root.pk], tail=False)
        priced = price_scenario(
            ScenarioKind.HISTORICAL,
            {"start": start.isoformat(), "end": end.isoformat()},
            holdings_of(measured, holder.root.pk),
            equity=None,
            source=risk_source(),
            at=now,
        )
        exposure = value_of(holder, now)["BTC"]
    closes = mid.copy()
    closes.index = closes.index + pd.Timedelta(minutes=1)
    fall = worst_fall(closes, start, end)
    assert priced.loss == pytest.approx(exposure * fall)
    assert 0.05 < fall < 0.25


def test_prices_that_are_not_there_are_asked_for_by_command(holder: Holder, bring: Callable[[Path, str], None]) -> None:
    path = require_sample("candles/binance_perp_1m_2025-05/LAYERUSDT_1m.csv.gz")
    bring(path, "binance_perp")
    holder.hold("LAYERUSDT-PERP", "10000", venue="binance_perp", symbol="LAYERUSDT", perpetual=True)
    with clock.frozen(datetime(2025, 6, 3, 12, tzinfo=UTC)):
        result = run(holder, "flash-crash-2021-04-18")
    assert (result.loss, result.breached) == (None, None)
    assert result.missing == [
        "prices for LAYERUSDT-PERP between 2021-04-17 17:00 and 2021-04-18 04:00 UTC are not in the catalog:"
        " import them with 'manage.py download_candles binance_perp LAYERUSDT --since 2021-04-17 --until 2021-04-19'"
    ]


def test_a_replay_past_its_tolerance_is_told(holder: Holder, bring: Callable[[Path, str], None]) -> None:
    path = require_sample("candles/binance_perp_1m_2025-05/LAYERUSDT_1m.csv.gz")
    bring(path, "binance_perp")
    holder.hold("LAYERUSDT-PERP", "300000", venue="binance_perp", symbol="LAYERUSDT", perpetual=True)
    with clock.frozen(datetime(2025, 6, 3, 12, tzinfo=UTC)):
        ensure_standard_scenarios(actor=None)
        result = run(holder, "layer-2025-05")
    assert result.breached is True
    assert np.isfinite(result.loss or np.nan)
