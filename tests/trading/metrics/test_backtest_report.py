"""The report against figures computed by hand from the same run, and the command on a catalog."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from django.core.management import CommandError, call_command

from fundops.core.models import User
from tests.trading.strategies.test_registry import FRAME
from trading.marketdata.catalog import Catalog
from trading.marketdata.synthetic import SyntheticSpec, store_synthetic, synthesise
from trading.quant.backtest_report import backtest_report, cohort_reports
from trading.quant.engine import (
    AgentSpec,
    ExitRules,
    FillReason,
    InstrumentKind,
    InstrumentRules,
    Market,
    RejectionReason,
    Run,
    WalletRules,
    load_cost_profile,
    run,
)
from trading.quant.lookahead import synthetic_bars
from trading.strategies.registry import builtin_families

START = 1_746_057_600_000  # 2025-05-01 00:00 UTC
FAMILIES = builtin_families()


@pytest.fixture(scope="module")
def traded() -> Run:
    bars = synthetic_bars(4 * 1440 + 600, seed=21, n_symbols=2)
    names = ("open", "high", "low", "close", "volume")
    market = Market.from_columns(
        START + 60_000 * np.arange(len(bars)),
        60_000,
        {symbol: {n: bars[:, k, j] for j, n in enumerate(names)} for k, symbol in enumerate(("X", "Y"))},
    )
    agents = [
        AgentSpec(
            family=FAMILIES["sma_crossover@1"],
            params={"fast": 20, "slow": 90},
            draw=500.0,
            symbol="X",
            exits=ExitRules(stop_loss_frac=0.01),
        ),
        AgentSpec(family=FAMILIES["buy_and_hold@1"], params={}, draw=500.0, symbol="Y"),
    ]
    return run(
        market,
        agents,
        instruments=[InstrumentRules(symbol=s, kind=InstrumentKind.PERPETUAL, max_leverage=5) for s in "XY"],
        costs=load_cost_profile("binance"),
        wallet=WalletRules(bankroll=1000.0),
    )


def test_the_report_equals_figures_computed_by_hand(traded: Run) -> None:
    report = backtest_report(traded, start_ms=START, initial=500.0, agent=0, label="X")
    times = pd.to_datetime(np.append(traded.marks.ts_ms, traded.final.ts_ms), unit="ms", utc=True)
    equity = pd.Series(np.append(traded.marks.agents["equity"][:, 0], traded.final.agents["equity"][:, 0]), index=times)
    equity = equity[~equity.index.duplicated()]
    closes = equity.resample("1D", closed="right", label="left").last().dropna()
    daily = pd.concat([pd.Series([500.0]), closes]).pct_change().dropna()
    assert report.sharpe.n == 5
    assert report.sharpe.value == pytest.approx(daily.mean() / daily.std() * math.sqrt(365))
    assert report.total_return.value == pytest.approx(equity.iloc[-1] / 500.0 - 1)
    assert report.profit == pytest.approx(equity.iloc[-1] - 500.0)
    fills = traded.fills[traded.fills["agent"] == 0]
    assert report.costs.fees == pytest.approx(fills["fee"].sum())
    assert report.costs.traded == pytest.approx(fills["notional"].sum())
    assert report.turnover_per_day.value == pytest.approx(fills["notional"].sum() / equity.mean() / (4 + 600 / 1440))
    last = traded.final.agents[0, 0]
    assert report.trades.n == last["trades"]
    assert report.worst_drawdown == pytest.approx(last["max_drawdown"])
    assert report.worst_drawdown >= report.drawdown.depth
    refused = traded.rejections[traded.rejections["agent"] == 0]["reason"]
    assert report.rejections["participation"] == np.count_nonzero(refused == RejectionReason.PARTICIPATION)
    assert sum(report.rejections.values()) == refused.size
    assert report.exit_reasons["stop_loss"] == np.count_nonzero(
        (fills["reason"] == FillReason.STOP_LOSS) & (fills["position"] == 0)
    )
    assert sum(report.exit_reasons.values()) == report.trades.n


def test_profit_is_trades_plus_open_position_minus_its_fees(traded: Run) -> None:
    report = backtest_report(traded, start_ms=START, initial=500.0, agent=0)
    last = traded.final.agents[0, 0]
    assert last["equity"] - 500.0 == pytest.approx(
        last["realised"] + last["unrealised"] - last["fees"] + last["funding"]
    )
    assert report.trades.net == pytest.approx(report.profit - last["unrealised"] + _fees_of_open(traded, 0), abs=1e-6)


def _fees_of_open(traded: Run, agent: int) -> float:
    fills = traded.fills[traded.fills["agent"] == agent]
    since = 0
    for k, row in enumerate(fills):
        if row["position"] == 0 or (np.sign(row["position"]) == row["side"] and abs(row["position"]) <= row["qty"]):
            since = k + (row["position"] == 0)
    open_fills = fills[since:]
    share = np.ones(open_fills.size)
    if open_fills.size and open_fills["qty"][0] > abs(open_fills["position"][0]):
        share[0] = abs(open_fills["position"][0]) / open_fills["qty"][0]
    return float((open_fills["fee"] * share).sum())


def test_reports_of_agents_and_of_the_wallet_add_up(traded: Run) -> None:
    agents = cohort_reports(traded, start_ms=START, draws=[500.0, 500.0])
    wallet = backtest_report(traded, start_ms=START, initial=1000.0)
    assert wallet.final == pytest.approx(sum(a.final for a in agents))
    assert wallet.costs.total == pytest.approx(sum(a.costs.total for a in agents))
    assert wallet.trades.n == sum(a.trades.n for a in agents)
    assert [a.label for a in agents] == ["agent 0", "agent 1"]
    held = agents[1]
    assert held.trades.open == 1
    assert held.trades.hit_ratio.value is None
    assert held.in_market.value is not None
    assert held.in_market.value > 0.9


def test_the_report_is_json_without_nan(traded: Run) -> None:
    for report in cohort_reports(traded, start_ms=START, draws=[500.0, 500.0]):
        document = json.loads(json.dumps(report.as_dict(), allow_nan=False))
        assert document["start"] == "2025-05-01T00:00:00+00:00"
        assert document["sharpe"]["n"] == 5
        assert len(document["daily_returns"]) == 5
        assert document["curve"][0]["equity"] == 500.0


@pytest.fixture
def catalog(tmp_path: Path, settings: Any, manager: User) -> Path:
    settings.MARKET_DATA_URL = str(tmp_path / "candles")
    spec = SyntheticSpec(symbols=("BTCUSDT", "ETHUSDT"), start_ms=START, minutes=1440 * 3, seed=4)
    store_synthetic(Catalog.open(settings.MARKET_DATA_URL), synthesise(spec))
    return tmp_path


WINDOW = [
    "--venue",
    "synthetic",
    "--symbols",
    "BTCUSDT,ETHUSDT",
    "--start",
    "2025-05-01",
    "--end",
    "2025-05-04",
]


def test_backtest_command_reports_each_symbol_and_all_together(catalog: Path) -> None:
    out = StringIO()
    call_command("backtest", "bollinger_fade", *WINDOW, "--json", "--seed", "3", stdout=out)
    document = json.loads(out.getvalue())
    assert document["strategy"] == "zscore_reversion@1"
    assert [r["label"] for r in document["reports"]] == ["BTCUSDT", "ETHUSDT", "together"]
    assert document["synthetic"] is True
    assert 60 <= document["parameters"]["window"] <= 240
    again = StringIO()
    call_command("backtest", "bollinger_fade", *WINDOW, "--json", "--seed", "3", stdout=again)
    assert again.getvalue() == out.getvalue()
    text = StringIO()
    call_command("backtest", "momentum_rotation", *WINDOW, "--param", "lookback=120", stdout=text)
    assert "all symbols" in text.getvalue()
    assert "Synthetic data" in text.getvalue()
    assert "from 3 daily returns is compatible with anything" in text.getvalue().replace("\n", " ")


def test_backtest_command_runs_a_users_dataframe_strategy(catalog: Path, settings: Any) -> None:
    settings.USER_STRATEGIES_DIR = catalog / "mine"
    settings.USER_STRATEGIES_DIR.mkdir()
    (settings.USER_STRATEGIES_DIR / "mean.py").write_text(FRAME)
    out = StringIO()
    call_command("backtest", "above_mean", *WINDOW, "--json", stdout=out)
    document = json.loads(out.getvalue())
    assert document["strategy"] == "above_mean@1"
    assert all(r["trades"]["n"] > 10 for r in document["reports"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bolinger_fade", *WINDOW], "Did you mean bollinger_fade"),
        (["sma_crossover", *WINDOW, "--param", "quick=3"], "no parameter 'quick'"),
        (["sma_crossover", *WINDOW, "--param", "fast=3.5"], "must be a whole number"),
        (["sma_crossover", *WINDOW, "--param", "fast=100"], "must be smaller than slow"),
        (["sma_crossover", *WINDOW, "--costs", "nowhere"], "no cost profile 'nowhere'"),
        (["sma_crossover", *WINDOW, "--interval", "1h"], "1h"),
    ],
)
def test_backtest_command_refuses_with_what_to_do(catalog: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("backtest", *arguments, stdout=StringIO())
