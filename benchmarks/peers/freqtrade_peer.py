"""freqtrade's own Backtesting class on the same crossover; only the exchange's network calls are replaced."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from unittest.mock import PropertyMock, patch

import numpy as np
import pandas as pd
from common import answer, best_of, load

logging.disable(logging.WARNING)
w = load()
n_pairs = int(sys.argv[2])
PAIRS = [f"C{k:02d}/USDT" for k in range(n_pairs)]
EXCHANGE = "freqtrade.exchange.exchange.Exchange"

STRATEGY = """
from freqtrade.strategy import IStrategy


class Crossover(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    minimal_roi = {"0": 1000}
    stoploss = -0.99
    startup_candle_count = 0
    process_only_new_candles = True
    use_exit_signal = True
    windows = WINDOWS

    def populate_indicators(self, frame, metadata):
        fast, slow = self.windows[metadata["pair"]]
        quick = frame["close"].rolling(fast).mean()
        calm = frame["close"].rolling(slow).mean()
        frame["above"] = quick > calm
        return frame

    def populate_entry_trend(self, frame, metadata):
        frame.loc[frame["above"] & ~frame["above"].shift(fill_value=False), "enter_long"] = 1
        return frame

    def populate_exit_trend(self, frame, metadata):
        frame.loc[~frame["above"] & frame["above"].shift(fill_value=False), "exit_long"] = 1
        return frame
"""


def market(pair):
    base = pair.split("/")[0]
    return {
        "id": base + "USDT", "symbol": pair, "base": base, "quote": "USDT", "active": True, "spot": True,
        "type": "spot",
        "margin": False, "swap": False, "future": False, "option": False, "contract": False, "contractSize": None,
        "linear": None, "inverse": None, "settle": None, "taker": float(w["fee"]), "maker": float(w["fee"]),
        "percentage": True,
        "tierBased": False, "info": {}, "precision": {"amount": 1e-8, "price": 1e-8},
        "limits": {"amount": {"min": 1e-8, "max": 1e12}, "price": {"min": 1e-8, "max": 1e12},
                   "cost": {"min": 0.01, "max": 1e12}, "leverage": {"min": None, "max": None}},
    }  # fmt: skip


def frames():
    dates = pd.to_datetime(w["ts_ms"], unit="ms", utc=True)
    return {
        pair: pd.DataFrame({"date": dates, **{n: w[n][:, k] for n in ("open", "high", "low", "close", "volume")}})
        for k, pair in enumerate(PAIRS)
    }


def main():
    from freqtrade.enums import CandleType, RunMode
    from freqtrade.optimize.backtesting import Backtesting

    with tempfile.TemporaryDirectory() as folder:
        windows = {pair: (int(w["fast"][k]), int(w["slow"][k])) for k, pair in enumerate(PAIRS)}
        (Path(folder) / "crossover.py").write_text(STRATEGY.replace("WINDOWS", repr(windows)))
        config = {
            "dry_run": True, "dry_run_wallet": 1000.0 * n_pairs, "stake_currency": "USDT", "stake_amount": 900.0,
            "max_open_trades": n_pairs, "trading_mode": "spot", "margin_mode": "", "candle_type_def": CandleType.SPOT,
            "exchange": {"name": "binance", "pair_whitelist": PAIRS, "pair_blacklist": [], "key": "", "secret": ""},
            "pairlists": [{"method": "StaticPairList"}], "strategy": "Crossover", "strategy_path": folder,
            "user_data_dir": Path(folder), "datadir": Path(folder), "export": "none", "timerange": None,
            "runmode": RunMode.BACKTEST, "fee": float(w["fee"]), "entry_pricing": {"price_side": "other"},
            "exit_pricing": {"price_side": "other"}, "dataformat_ohlcv": "feather", "dataformat_trades": "feather",
            "timeframe": "1m", "unfilledtimeout": {"entry": 10, "exit": 10, "unit": "minutes", "exit_timeout_count": 0},
            "internals": {},
            "order_types": {"entry": "market", "exit": "market", "stoploss": "market",
                "stoploss_on_exchange": False},
            "backtest_cache": "none", "original_config": {},
        }  # fmt: skip
        markets = {pair: market(pair) for pair in PAIRS}
        with (
            patch(f"{EXCHANGE}.markets", PropertyMock(return_value=markets)),
            patch(f"{EXCHANGE}._load_async_markets", return_value=markets),
            patch(f"{EXCHANGE}.reload_markets"),
            patch(f"{EXCHANGE}.validate_config"),
            patch(f"{EXCHANGE}.validate_timeframes"),
            patch(f"{EXCHANGE}.get_fee", return_value=float(w["fee"])),
            patch(f"{EXCHANGE}.precisionMode", PropertyMock(return_value=4)),
            patch(f"{EXCHANGE}.precision_mode_price", PropertyMock(return_value=4)),
            patch(f"{EXCHANGE}.get_option", side_effect=lambda _name, default=None: default),
        ):
            tester = Backtesting(config)
            tester._set_strategy(tester.strategylist[0])
            data = frames()

            def run():
                processed = tester.strategy.advise_all_indicators(data)
                first, last = data[PAIRS[0]]["date"].iloc[[0, -1]]
                return tester.backtest(processed=processed, start_date=first, end_date=last)

            seconds, result = best_of(run, passes=1)
    from freqtrade import __version__

    answer(
        name=f"freqtrade {__version__}", signal_seconds=0.0, simulate_seconds=seconds,
        agent_bars=int(np.size(w["close"][:, :n_pairs])), fills=2 * len(result["results"]),
    )  # fmt: skip


if __name__ == "__main__":
    main()
