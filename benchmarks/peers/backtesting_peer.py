"""backtesting.py: the same crossover, one pair after the other; the number of pairs is on the command
line.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
from backtesting import Strategy, __version__
from backtesting.lib import FractionalBacktest
from common import answer, best_of, load

warnings.filterwarnings("ignore")
w = load()
pairs = int(sys.argv[2])
index = pd.to_datetime(w["ts_ms"], unit="ms")


def mean(values, window):
    return pd.Series(values).rolling(window).mean()


class Crossover(Strategy):
    fast = 20
    slow = 100

    def init(self):
        self.quick = self.I(mean, self.data.Close, self.fast)
        self.calm = self.I(mean, self.data.Close, self.slow)

    def next(self):
        above = self.quick[-1] > self.calm[-1]
        if above and not self.position:
            self.buy(size=0.9)
        elif not above and self.position:
            self.position.close()


def run():
    fills = 0
    for k in range(pairs):
        frame = pd.DataFrame({n.title(): w[n][:, k] for n in ("open", "high", "low", "close", "volume")}, index=index)
        test = FractionalBacktest(
            frame, Crossover, cash=float(w["draw"]), commission=float(w["fee"]),
            spread=2 * float(w["half_spread_bps"]) / 1e4,
            fractional_unit=1e-6, finalize_trades=False,
        )  # fmt: skip
        stats = test.run(fast=int(w["fast"][k]), slow=int(w["slow"][k]))
        fills += 2 * int(stats["# Trades"])
    return fills


if __name__ == "__main__":
    seconds, fills = best_of(run, passes=1)
    answer(
        name=f"backtesting.py {__version__}", signal_seconds=0.0, simulate_seconds=seconds,
        agent_bars=int(np.size(w["close"][:, :pairs])), fills=fills,
    )  # fmt: skip
