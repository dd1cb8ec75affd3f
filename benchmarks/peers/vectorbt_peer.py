"""vectorbt (engine named on the command line: numba or rust): dual SMA, long or flat, filled at the next
open.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import vectorbt as vbt
from common import answer, best_of, load

w = load()
engine = sys.argv[2]
close = pd.DataFrame(w["close"])
price = pd.DataFrame(w["open"])
fast, slow = w["fast"], w["slow"]
# Sized at the close of the decision, filled at the next open.
size = np.floor(float(w["used"]) * float(w["draw"]) / w["close"] / float(w["step"]) + 1e-9) * float(w["step"])
size = pd.DataFrame(np.vstack([size[:1], size[:-1]]))


def signals():
    """Entries and exits by vectorbt's own rolling means, moved to the bar after the decision."""
    above = np.empty(close.shape, dtype=bool)
    for k in range(close.shape[1]):
        column = close.iloc[:, k]
        quick = vbt.MA.run(column, int(fast[k])).ma.values
        calm = vbt.MA.run(column, int(slow[k])).ma.values
        above[:, k] = quick > calm * (1.0 + float(w["tie"]))
    before = np.vstack([np.zeros((1, above.shape[1]), bool), above[:-1]])
    entries = above & ~before
    exits = ~above & before
    none = np.zeros((1, above.shape[1]), bool)
    return np.vstack([none, entries[:-1]]), np.vstack([none, exits[:-1]])


def simulate(entries, exits):
    portfolio = vbt.Portfolio.from_signals(
        close, entries, exits, size=size, price=price, fees=float(w["fee"]),
        slippage=float(w["half_spread_bps"]) / 1e4,
        init_cash=float(w["draw"]), freq="1min", engine=engine,
    )  # fmt: skip
    return portfolio.value().iloc[-1].to_numpy(), len(portfolio.orders.records_arr)


if __name__ == "__main__":
    signal_seconds, (entries, exits) = best_of(signals)
    seconds, (equity, orders) = best_of(lambda: simulate(entries, exits))
    answer(
        name=f"vectorbt {vbt.__version__} {engine}", signal_seconds=signal_seconds, simulate_seconds=seconds,
        agent_bars=int(close.size), equity=equity.tolist(), fills=orders,
    )  # fmt: skip
