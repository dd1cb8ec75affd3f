"""What a bar costs: nanoseconds per step of every indicator and family, against pandas and a bare dual-SMA
loop.

Run: ``python -m benchmarks.bench_strategies``. One core; the best of several passes; random walks with a
fixed seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numba import njit

from trading.quant import indicators as ind
from trading.quant.jit import row
from trading.strategies.registry import builtin_families
from trading.strategies.spec import Scope, StrategyFamily

Array = npt.NDArray[np.float64]
BARS = 43_200  # a month of one-minute candles
AGENTS = 30
SYMBOLS = 8
WINDOW = 60.0


def best_of(function: Callable[[], Any], *, passes: int = 5) -> float:
    """CPU seconds of the fastest pass; the first, which compiles, does not count."""
    function()
    times = []
    for _ in range(passes):
        start = time.thread_time()
        function()
        times.append(time.thread_time() - start)
    return min(times)


def candles(seed: int) -> Array:
    """Shape (bars, 5): open, high, low, close, volume."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 5e-4, BARS)))
    open_ = np.concatenate([[100.0], close[:-1]])
    spread = np.abs(rng.normal(0, 3e-4, BARS))
    return np.column_stack(
        [
            open_,
            np.maximum(open_, close) * (1 + spread),
            np.minimum(open_, close) * (1 - spread),
            close,
            rng.lognormal(3, 1, BARS),
        ]
    )


def indicator_loops() -> dict[str, tuple[Any, int, Callable[[pd.DataFrame], Any] | None]]:
    """name -> (one step, state size, the pandas way or None where pandas has none in one call)."""
    w = WINDOW
    n = int(w)
    return {
        "sma": (
            njit(lambda h, lo, c, v, s: ind.sma(c, w, s, 0)),
            ind.sma_size(w),
            lambda b: b.close.rolling(n).mean(),
        ),
        "sma_pair": (
            njit(lambda h, lo, c, v, s: ind.sma_pair(c, 20.0, w, s, 0)[0]),
            ind.sma_pair_size(20, w),
            lambda b: (b.close.rolling(20).mean(), b.close.rolling(n).mean()),
        ),
        "ema": (
            njit(lambda h, lo, c, v, s: ind.ema(c, w, s, 0)),
            2,
            lambda b: b.close.ewm(span=n, adjust=False).mean(),
        ),
        "atr": (njit(lambda h, lo, c, v, s: ind.atr(h, lo, c, w, s, 0)), 3, None),
        "rsi": (njit(lambda h, lo, c, v, s: ind.rsi(c, w, s, 0)), 5, None),
        "adx": (njit(lambda h, lo, c, v, s: ind.adx(h, lo, c, w, s, 0)[0]), 11, None),
        "macd": (
            njit(lambda h, lo, c, v, s: ind.macd(c, 12.0, 26.0, 9.0, s, 0)[2]),
            6,
            lambda b: (b.close.ewm(span=12).mean() - b.close.ewm(span=26).mean()).ewm(span=9).mean(),
        ),
        "rolling_max": (
            njit(lambda h, lo, c, v, s: ind.rolling_max(h, w, s, 0)),
            ind.rolling_max_size(w),
            lambda b: b.high.rolling(n).max(),
        ),
        "donchian": (
            njit(lambda h, lo, c, v, s: ind.donchian(h, lo, w, s, 0)[0]),
            ind.donchian_size(w),
            lambda b: (b.high.rolling(n).max(), b.low.rolling(n).min()),
        ),
        "zscore": (
            njit(lambda h, lo, c, v, s: ind.zscore(c, w, s, 0)),
            ind.zscore_size(w),
            lambda b: (b.close - b.close.rolling(n).mean()) / b.close.rolling(n).std(),
        ),
        "volatility": (
            njit(lambda h, lo, c, v, s: ind.volatility(c, w, s, 0)),
            ind.volatility_size(w),
            lambda b: np.log(b.close).diff().rolling(n).std(),
        ),
        "vwap": (
            njit(lambda h, lo, c, v, s: ind.vwap(c, v, w, s, 0)),
            ind.vwap_size(w),
            lambda b: (b.close * b.volume).rolling(n).sum() / b.volume.rolling(n).sum(),
        ),
        "roc": (
            njit(lambda h, lo, c, v, s: ind.roc(c, w, s, 0)),
            ind.roc_size(w),
            lambda b: b.close.pct_change(n),
        ),
    }


def indicator_driver(step: Any) -> Any:
    """All bars through AGENTS independent copies of the indicator, as a cohort does."""

    @njit(error_model="numpy")
    def drive(bars: Array, states: Array) -> float:
        total = 0.0
        for t in range(bars.shape[0]):
            for k in range(states.shape[0]):
                x = step(bars[t, 1], bars[t, 2], bars[t, 3], bars[t, 4], row(states, k))
                if x == x:
                    total += x
        return total

    return drive


def family_driver(step: Any) -> Any:
    @njit(error_model="numpy")
    def drive(bars: Array, params: Array, states: Array) -> float:
        total = 0.0
        for t in range(bars.shape[0]):
            for k in range(states.shape[0]):
                x = step(bars[t, 0], bars[t, 1], bars[t, 2], bars[t, 3], bars[t, 4], row(params, k), row(states, k))
                if x == x:
                    total += x
        return total

    return drive


@njit(error_model="numpy")
def bare_dual_sma(close: Array, params: Array, states: Array) -> float:
    """The least a dual SMA can do: two running sums that drift, no warm-up, no signal memory."""
    total = 0.0
    for t in range(close.shape[0]):
        x = close[t]
        for k in range(params.shape[0]):
            fast = int(params[k, 0])
            slow = int(params[k, 1])
            i = int(states[k, 0])
            j = i - fast if i >= fast else i - fast + slow
            states[k, 1] += x - states[k, 3 + j]
            states[k, 2] += x - states[k, 3 + i]
            states[k, 3 + i] = x
            states[k, 0] = i + 1 if i + 1 < slow else 0
            total += 1.0 if states[k, 1] * slow > states[k, 2] * fast else -1.0
    return total


def panel_driver(step: Any) -> Any:
    @njit(error_model="numpy")
    def drive(rows: Array, params: Array, states: Array, targets: Array) -> float:
        total = 0.0
        for t in range(rows.shape[0]):
            for k in range(states.shape[0]):
                step(
                    rows[t, 0], rows[t, 1], rows[t, 2], rows[t, 3], rows[t, 4],
                    row(params, k), row(states, k), targets,
                )  # fmt: skip
                total += targets[0]
        return total

    return drive


def scale_curve(bars: Array) -> None:
    """The cost of a step must not depend on the number of agents, until their memory leaves the cache."""
    family = builtin_families()["sma_crossover@1"]
    drive = family_driver(family.step)
    print("\nsma_crossover by number of agents")
    for agents in (1, 10, 100, 1_000, 10_000):
        params, states = family_states(family, agents)
        part = bars[: max(400, min(BARS, 4_000_000 // agents))]
        cost = best_of(partial(drive, part, params, states), passes=3) / (len(part) * agents) * 1e9
        print(f"{agents:>8,} agents {cost:7.2f} ns/bar {states.nbytes / 1e6:8.2f} MB of state")


def family_states(family: StrategyFamily, agents: int = AGENTS, symbols: int = 1) -> tuple[Array, Array]:
    params = np.tile(np.array([p.default for p in family.parameters], dtype=np.float64), (agents, 1))
    return params, np.zeros((agents, family.state_size(params[0], symbols)))


def main() -> None:
    bars = candles(1)
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close", "volume"])
    steps = BARS * AGENTS
    print(f"indicators, window {WINDOW:g}, {AGENTS} copies x {BARS:,} bars")
    print(f"{'':14}{'ns/bar':>9}{'pandas':>9}{'times faster':>14}")
    for name, (step, size, peer) in indicator_loops().items():
        drive = indicator_driver(step)
        ours = best_of(partial(drive, bars, np.zeros((AGENTS, size)))) / steps * 1e9
        line = f"{name:14}{ours:9.2f}"
        if peer is not None:
            theirs = best_of(partial(peer, frame)) / BARS * 1e9
            line += f"{theirs:9.1f}{theirs / ours:14.1f}"
        print(line)
    params, states = family_states(builtin_families()["sma_crossover@1"])
    states = np.zeros((AGENTS, states.shape[1] + 3))
    bare = best_of(lambda: bare_dual_sma(bars[:, 3].copy(), params, states)) / steps * 1e9
    print(f"\nfamilies, default parameters; bare dual SMA loop {bare:.2f} ns/bar")
    print(f"{'':20}{'ns/bar':>9}{'M bars/s':>10}{'x bare':>8}")
    for family in builtin_families().values():
        if family.scope is Scope.PANEL:
            rows = np.repeat(bars[:, :, None], SYMBOLS, axis=2)
            params, states = family_states(family, symbols=SYMBOLS)
            panel = partial(panel_driver(family.step), rows, params, states, np.zeros(SYMBOLS))
            ours = best_of(panel) / steps / SYMBOLS * 1e9
            print(f"{family.name:20}{ours:9.2f}{1e3 / ours:10.0f}{ours / bare:8.2f}  per symbol of {SYMBOLS}")
            continue
        drive = family_driver(family.step)
        params, states = family_states(family)
        ours = best_of(partial(drive, bars, params, states)) / steps * 1e9
        print(f"{family.name:20}{ours:9.2f}{1e3 / ours:10.0f}{ours / bare:8.2f}")
    scale_curve(bars)


if __name__ == "__main__":
    main()
