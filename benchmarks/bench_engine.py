"""The engine against a bare loop with the same rules, vectorbt (numba and rust), backtesting.py and
freqtrade, in one run.

Run: ``python -m benchmarks.bench_engine`` (``--quick`` leaves out the slow peers and the large scales). Peers
run in
their own environment, which ``python -m benchmarks.peers.setup`` makes; a peer that cannot run is named, not
hidden.
Times are CPU seconds of the fastest of several passes, the peers' too, after a first pass that compiles; sweeps
are wall time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import workload as wl
from benchmarks.bare_loop import bare_loop
from benchmarks.dual_sma import DUAL_SMA, TIE
from benchmarks.peers.setup import VENV
from risk.quant.metrics import Metric
from risk.quant.pretrade import Limit, LimitSet
from trading.quant.engine import (
    AgentSpec,
    ExitRules,
    InstrumentKind,
    InstrumentRules,
    Market,
    OrderLimits,
    Run,
    WalletRules,
    frictionless,
    load_cost_profile,
    run,
    sweep,
)
from trading.quant.engine.market import DAY_MS, HOUR_MS
from trading.quant.engine.prepared import symbol_table
from trading.strategies.registry import builtin_families
from trading.strategies.spec import StrategyFamily

PEERS = Path(__file__).parent / "peers"
#: M agent-bars a second that vectorbt's engines do here on machines for which so many are asked of ours.
PUBLISHED, ASKED = {"rust": 20.8, "numba": 8.1}, 150.0
EXITS = ExitRules(0.02, 0.04, 0.03, 720, 5)
TICK, LOT, MIN_NOTIONAL, MAX_LEVERAGE, AGENT_LEVERAGE = 0.00001, 0.001, 5.0, 10.0, 3.0


def fastest(function: Callable[[], Any], passes: int = 7) -> tuple[float, Any]:
    """(CPU seconds of the fastest pass, its result) on this thread; the first pass does not count."""
    result = function()
    best = float("inf")
    for _ in range(passes):
        start = time.thread_time()
        result = function()
        best = min(best, time.thread_time() - start)
    return best, result


def market_of(w: wl.Workload, bars: int | None = None) -> Market:
    names = tuple(f"P{k:02d}" for k in range(wl.PAIRS))
    cut = slice(0, bars)
    columns = {n: getattr(w, n)[cut] for n in ("open", "high", "low", "close", "volume")}
    return Market(names, w.ts_ms[cut], wl.MINUTE, **columns)


def perpetuals(market: Market) -> list[InstrumentRules]:
    return [
        InstrumentRules(
            s, InstrumentKind.PERPETUAL, tick=TICK, lot=LOT, min_notional=MIN_NOTIONAL,
            max_leverage=MAX_LEVERAGE
        )
        for s in market.symbols
    ]  # fmt: skip


def all_rules_agents(w: wl.Workload, n: int, family: StrategyFamily = DUAL_SMA) -> list[AgentSpec]:
    return [
        AgentSpec(
            family, [w.fast[k % wl.PAIRS], w.slow[k % wl.PAIRS], 1.0], wl.DRAW, k % wl.PAIRS, EXITS,
            max_leverage=AGENT_LEVERAGE
        )
        for k in range(n)
    ]  # fmt: skip


def parent(n: int) -> WalletRules:
    return WalletRules(n * wl.DRAW, 0.9, 0.8, 2.0, 0.3)


def equal_conventions(w: wl.Workload) -> tuple[float, Run]:
    """Long or flat, filled at the next open, flat fee and slippage: what every peer can do."""
    market = market_of(w)
    agents = [AgentSpec(DUAL_SMA, [w.fast[k], w.slow[k], 0.0], wl.DRAW, k, leverage=wl.USED) for k in range(wl.PAIRS)]
    rules = [InstrumentRules(s, tick=wl.STEP, lot=wl.STEP) for s in market.symbols]
    costs = frictionless(fee_bps=wl.FEE * 1e4, half_spread_bps=wl.HALF_SPREAD_BPS)
    wallet = WalletRules(wl.PAIRS * wl.DRAW)
    return fastest(lambda: run(market, agents, instruments=rules, costs=costs, wallet=wallet))


def every_rule(
    w: wl.Workload,
    n_agents: int = wl.PAIRS,
    bars: int | None = None,
    family: StrategyFamily = DUAL_SMA,
    **options: Any,
) -> tuple[float, Run]:
    market = market_of(w, bars)
    agents, rules = all_rules_agents(w, n_agents, family), perpetuals(market)
    costs, wallet = load_cost_profile("binance"), parent(n_agents)
    passes = 7 if n_agents * market.n_bars < 5_000_000 else 2
    return fastest(lambda: run(market, agents, instruments=rules, costs=costs, wallet=wallet, **options), passes=passes)


def bare(w: wl.Workload) -> tuple[float, Any]:
    """The same rules by hand; row-contiguous candles, which suit its order of loops."""
    market = market_of(w)
    costs, wallet = load_cost_profile("binance"), parent(wl.PAIRS)
    table = symbol_table(market, perpetuals(market), costs, wallet)
    volumes, rates = costs.fee_table()
    columns = [np.ascontiguousarray(x) for x in (w.open, w.high, w.low, w.close, w.volume)]
    none = np.empty(0, dtype=np.int64)
    loop: Any = bare_loop

    def once() -> Any:
        fills = np.empty((60_000, 6))
        marks = np.zeros((721, wl.PAIRS, 8))
        tops = np.zeros((721, 3))
        done = loop(
            w.ts_ms, wl.MINUTE, *columns, np.arange(wl.PAIRS), w.fast, w.slow, np.full(wl.PAIRS, wl.DRAW),
            EXITS.stop_loss_frac, EXITS.take_profit_frac, EXITS.trailing_stop_frac, EXITS.time_limit_bars,
            EXITS.cooldown_bars, AGENT_LEVERAGE, TICK, LOT, MIN_NOTIONAL, float(table["half_spread"][0]),
            table["impact"].copy(), costs.participation_cap_frac, 1 / MAX_LEVERAGE, 0.005, rates[1, :,
            1].copy(),
            rates[1, :, 0].copy(), volumes[1].copy(), wallet.bankroll, wallet.gross_ceiling_frac,
            wallet.net_ceiling_frac, wallet.leverage_ceiling, wallet.market_cap_frac, none, none,
            np.empty(0), TIE,
            fills, marks, tops,
        )  # fmt: skip
        return fills[: done[0]]

    return fastest(once)


def peer(script: str, *arguments: str) -> dict[str, Any] | None:
    """A peer's answer from its own environment; None, with the reason printed, when it cannot run."""
    python = VENV / "bin" / "python"
    if not python.exists():
        print(f"  {script}: not run, make its environment with: python -m benchmarks.peers.setup")
        return None
    done = subprocess.run([str(python), str(PEERS / script), *arguments], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if "RESULT " in line:
            result: dict[str, Any] = json.loads(line.split("RESULT ", 1)[1])
            return result
    reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
    print(f"  {script} {' '.join(arguments[1:])}: not run: {reason}")
    return None


def limits_that_bind_little() -> LimitSet:
    """Ten hard limits of which none stops everything: what a Book in use may have."""
    levels = {
        Metric.GROSS_EXPOSURE: 1e9,
        Metric.NET_EXPOSURE: 1e9,
        Metric.LEVERAGE: 3.0,
        Metric.POSITION_NOTIONAL: 1e8,
        Metric.OPEN_POSITIONS: 1e6,
        Metric.SYMBOL_CONCENTRATION_FRAC: 2.0,
        Metric.DAILY_LOSS_FRAC: 0.9,
        Metric.STOP_LOSS_FRAC: 0.9,
        Metric.ORDER_NOTIONAL: 1e8,
        Metric.PARTICIPATION_FRAC: 0.5,
    }
    return LimitSet(Limit(metric, hard=level) for metric, level in levels.items())


def judged(w: wl.Workload, free: float, rate: float, bars: int) -> None:
    """The same run with every order judged, by the agent's Book and by the cohort's."""
    for name, limits in (
        ("judged by an empty set in mode ACTIVE", OrderLimits()),
        ("judged by 10 hard limits of either Book", OrderLimits(limits_that_bind_little())),
        (
            "the same and a drawdown limit, bar by bar",
            OrderLimits(
                LimitSet([*limits_that_bind_little().limits, Limit(Metric.DRAWDOWN_FRAC, hard=0.99)]),
            ),
        ),
    ):
        seconds, result = every_rule(w, limits=limits)
        row(name, bars, seconds, rate, f"{len(result.fills)} fills, {seconds / free:.2f} x the time without")


def row(name: str, agent_bars: int, seconds: float, ours: float, note: str = "") -> None:
    rate = agent_bars / seconds / 1e6
    print(f"  {name:<44}{seconds * 1e3:10.1f} ms {rate:9.2f} M agent-bars/s   ours is {ours / rate:8.2f} x   {note}")


def compare_with_peers(w: wl.Workload, *, quick: bool) -> None:
    print("\n1. Equal fill conventions: 30 pairs, dual SMA, long or flat, next open; signals and simulation")
    seconds, result = equal_conventions(w)
    bars = int(result.stats["agent_bars"])
    rate = bars / seconds / 1e6
    row("fundops engine (hourly marks, log, ledger-exact)", bars, seconds, rate, f"{len(result.fills)} fills")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "workload.npz")
        names = ("ts_ms", "open", "high", "low", "close", "volume", "fast", "slow")
        np.savez(
            path, **{n: getattr(w, n) for n in names}, draw=wl.DRAW, used=wl.USED, fee=wl.FEE,
            half_spread_bps=wl.HALF_SPREAD_BPS, step=wl.STEP, tie=TIE,
        )  # fmt: skip
        for engine in ("rust", "numba"):
            answer = peer("vectorbt_peer.py", path, engine)
            if answer is None:
                continue
            row(
                f"{answer['name']}, signals and simulation",
                bars,
                answer["signal_seconds"] + answer["simulate_seconds"],
                rate,
            )
            row(
                f"{answer['name']}, simulation alone",
                bars,
                answer["simulate_seconds"],
                rate,
                f"{answer['fills']} fills",
            )
            there, published = bars / answer["simulate_seconds"] / 1e6, PUBLISHED[engine]
            print(
                f"    {engine}: this machine is {there / published:.2f} of one where it is published with "
                f"{published} M; ours is {rate / there:.1f} x of it (asked there: {ASKED / published:.1f} x)"
            )
            mine = result.final.agents["equity"][0]
            gap = float(np.max(np.abs(np.array(answer["equity"]) / mine - 1)))
            print(f"    equity per agent agrees with {answer['name']} within {gap:.1e} (relative, worst of {wl.PAIRS})")
            if gap > 1e-6:
                raise SystemExit("equity per agent differs by more than 1e-6")
        if not quick:
            for script, pairs in (("backtesting_peer.py", "4"), ("freqtrade_peer.py", "2")):
                answer = peer(script, path, pairs)
                if answer is not None:
                    row(
                        f"{answer['name']} ({pairs} pairs)",
                        answer["agent_bars"],
                        answer["simulate_seconds"],
                        rate,
                    )


def compare_with_bare_loop(w: wl.Workload) -> None:
    print(
        "\n2. Every rule on: long and short perpetuals, exits, ceilings, tiers, impact, margin, hourly marks, fill log"
    )
    seconds, result = every_rule(w)
    bars = int(result.stats["agent_bars"])
    rate = bars / seconds / 1e6
    row("fundops engine", bars, seconds, rate, f"{len(result.fills)} fills, {len(result.rejections)} refusals")
    judged(w, seconds, rate, bars)
    bare_seconds, fills = bare(w)
    row("bare loop with the same rules", bars, bare_seconds, rate, f"{len(fills)} fills")
    product, other = every_rule(w, family=builtin_families()["sma_crossover@1"])
    row("fundops engine, the product's sma_crossover", bars, product, rate, f"{len(other.fills)} fills")
    same = len(fills) == len(result.fills) and np.array_equal(fills[:, 0], result.fills["bar"])
    gap = float("inf")
    if same:
        same = np.array_equal(fills[:, 1], result.fills["agent"]) and np.array_equal(
            fills[:, 5], result.fills["reason"]
        )
        gap = abs(float(np.sum(np.abs(fills[:, 2]) * LOT * fills[:, 3]) / np.sum(result.fills["notional"])) - 1)
        same = same and gap < 1e-5
    print(f"    the bare loop traded the same fills (bars, agents, reasons): {same}; turnover within {gap:.0e}")
    print("    (it keeps cash in floats, the engine in whole 1e-8: now and then a target falls on another tick)")
    if not same:
        raise SystemExit("the bare loop and the engine no longer follow the same rules")
    print(f"    peak memory of this process so far: {peak_mb():,.0f} MB")


def scale(w: wl.Workload, *, quick: bool) -> None:
    print("\n3. Scale, every rule on")
    for n in (1, 10, 30, 100, 1000) if quick else (1, 10, 30, 100, 1000, 10_000):
        bars = wl.BARS if n <= 100 else 10_000
        seconds, result = every_rule(w, n, bars, mark_every_ms=HOUR_MS if n <= 1000 else DAY_MS)
        total = int(result.stats["agent_bars"])
        print(
            f"  {n:>6} agents x {bars:>6} bars: {seconds * 1e3:9.1f} ms {total / seconds / 1e6:8.1f} M "
            f"agent-bars/s, "
            f"peak {peak_mb():,.0f} MB"
        )
    for bars in (1_000, 5_000, 20_000, wl.BARS):
        seconds, result = every_rule(w, wl.PAIRS, bars)
        total = int(result.stats["agent_bars"])
        print(
            f"  {wl.PAIRS:>6} agents x {bars:>6} bars: {seconds * 1e3:9.1f} ms "
            f"{total / seconds / 1e6:8.1f} M agent-bars/s"
        )


def peak_mb() -> float:
    """This process's own high-water mark (the usual ru_maxrss begins at the parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_sweep(sets: int, threads: int) -> None:
    """One sweep in a process of its own, so that its peak memory is its own."""
    w = wl.load()
    market = market_of(w)
    rng = np.random.default_rng(5)
    fast = rng.integers(10, 100, sets)
    params = np.column_stack([fast, fast + rng.integers(50, 350, sets), np.ones(sets)]).astype(float)
    options: dict[str, Any] = {
        "symbol": market.symbols[2], "instruments": perpetuals(market), "costs": load_cost_profile("binance"),
        "wallet": WalletRules(wl.DRAW, 0.9, 0.9, 2.0, 0.9), "exits": EXITS, "max_leverage": AGENT_LEVERAGE,
    }  # fmt: skip
    sweep(market, DUAL_SMA, params[:200], threads=threads, **options)
    before = peak_mb()
    start = time.perf_counter()
    cpu = time.process_time()
    result = sweep(market, DUAL_SMA, params, threads=threads, **options)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    bars = int(result.stats["agent_bars"])
    print(
        f"  {sets:,} sets x {market.n_bars:,} bars, {threads} thread(s): {wall:6.2f} s, "
        f"{bars / wall / 1e6:7.1f} M agent-bars/s "
        f"({bars / cpu / 1e6:6.1f} M per core of CPU time), peak {peak_mb():,.0f} MB (candles and code "
        f"{before:,.0f} MB), "
        f"{int(result.final['fills'].sum()):,} fills"
    )


def child(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "benchmarks.bench_engine", *arguments], check=True)


def run_start() -> None:
    """What a fresh process pays before its first result."""
    start = time.perf_counter()
    w = wl.load(synthetic=True)
    market = market_of(w, 600)
    agents, rules = all_rules_agents(w, 30), perpetuals(market)
    ready = time.perf_counter()
    run(market, agents, instruments=rules, costs=load_cost_profile("binance"), wallet=parent(30))
    first = time.perf_counter()
    print(
        f"  first run of a fresh process: {(first - ready) * 1e3:8.0f} ms (data made in {(ready - start) * 1e3:.0f} ms)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the slow peers and the largest scales")
    parser.add_argument("--synthetic", action="store_true", help="synthetic candles even where real ones are present")
    parser.add_argument("--sweep", type=int, help="only a sweep of so many sets, with --threads")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--start", action="store_true", help="only the start of a fresh process")
    options = parser.parse_args()
    if options.sweep:
        run_sweep(options.sweep, options.threads)
        return
    if options.start:
        run_start()
        return
    w = wl.load(synthetic=options.synthetic)
    print(f"Workload: {wl.PAIRS} pairs x {wl.BARS:,} bars of one minute; {w.source}")
    compare_with_peers(w, quick=options.quick)
    compare_with_bare_loop(w)
    scale(w, quick=options.quick)
    print("\n4. Sweep of one family, each set in its own wallet, every rule on")
    sets = "2000" if options.quick else "10000"
    child("--sweep", sets, "--threads", "1")
    child("--sweep", sets, "--threads", "2")
    print("\n5. Start of a process with the compiled kernels at hand")
    child("--start")


if __name__ == "__main__":
    main()
