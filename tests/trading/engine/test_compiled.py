"""Compiled kernels are found again by the next process, user strategies included, and never outlive their
sources.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.trading.engine.cases import random_case
from tests.trading.engine.families import ROTATION, SMA
from trading.quant.engine import compiled, run
from trading.quant.engine.compiled import fingerprint

ROOT = Path(__file__).resolve().parents[3]

HELPER = """
from numba import njit

@njit
def scale(x):
    return x * FACTOR
"""

STRATEGY = """
from numba import njit
from helper import scale

@njit
def init(params, state):
    state[:] = 0.0

@njit
def step(open_, high, low, close, volume, params, state):
    state[0] = scale(close)
    return state[0]
"""

PROCESS = """
import sys
import numpy as np
from trading.quant.engine import layout as lay
from trading.quant.engine.prepared import family_loops
from trading.strategies.spec import Scope
from strategy import init, step

signals, _ = family_loops(step, init, Scope.SINGLE, "mine@1")
rows = np.ones((1, 4))
ints = np.zeros(1, np.int64)
slots = np.zeros(1, lay.SLOT_STATE)
target = np.zeros((1, 4))
count = np.zeros(1, np.int64)
signals(
    0, 4, rows, rows, rows, rows, rows, ints, ints, ints, np.zeros((1, 1)), np.zeros(1), np.array([0, 1]),
    slots,
    np.zeros((1, 4), np.int32), target, count, np.zeros((6, 1), np.uint64), np.zeros((6, 1)),
    np.zeros(4), np.zeros((3, 5)), 0,
)
print(sum(signals.stats.cache_hits.values()), sum(signals.stats.cache_misses.values()), target[0, 0])
"""

GOING_ON = """
import sys
from pathlib import Path
from tests.trading.engine.cases import random_case
from trading.quant.engine import EngineState, Market, compiled, run

case = random_case(3, 500, 3, 6)
state = EngineState.from_bytes(Path(sys.argv[1]).read_bytes())
at = state.bars
one = case.market.slice(at, at + 1)
after = run(one, case.agents, state=state, **case.rules()).state
for values in (after.arrays["clock"], after.arrays["slots"]):
    assert values.dtype.isalignedstruct
run(case.market.slice(at + 1), case.agents, state=after, **case.rules())
found = compiled.loaded()
print(len(found), max(len(f.signatures) for f in found), sum(sum(f.stats.cache_misses.values()) for f in found))
"""


def in_a_process(folder: Path) -> tuple[int, int, float]:
    """(kernels found compiled, kernels compiled, the strategy's target) of a fresh interpreter."""
    path = os.pathsep.join((str(ROOT), str(folder)))
    environment = {**os.environ, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    hits, misses, target = done.stdout.split()
    return int(hits), int(misses), float(target)


def test_a_user_strategy_is_compiled_once_and_again_only_when_a_helper_changes(tmp_path: Path) -> None:
    (tmp_path / "strategy.py").write_text(STRATEGY)
    (tmp_path / "helper.py").write_text(HELPER.replace("FACTOR", "0.5"))
    assert in_a_process(tmp_path) == (0, 1, 0.5)
    assert in_a_process(tmp_path) == (1, 0, 0.5)
    (tmp_path / "helper.py").write_text(HELPER.replace("FACTOR", "0.25"))
    assert in_a_process(tmp_path) == (0, 1, 0.25)


def test_processes_that_want_a_kernel_at_once_compile_it_once(tmp_path: Path) -> None:
    (tmp_path / "strategy.py").write_text(STRATEGY)
    (tmp_path / "helper.py").write_text(HELPER.replace("FACTOR", "0.125"))
    with ThreadPoolExecutor(2) as both:
        answers = sorted(both.map(in_a_process, [tmp_path, tmp_path]))
    assert answers == [(0, 1, 0.125), (1, 0, 0.125)]


def test_fingerprints_tell_functions_apart_and_repeat() -> None:
    assert fingerprint([SMA.step]) == fingerprint([SMA.step])
    assert fingerprint([SMA.step]) != fingerprint([ROTATION.step])


def test_one_bar_from_a_saved_state_needs_nothing_compiled_that_a_whole_run_has_not(tmp_path: Path) -> None:
    case = random_case(3, 500, 3, 6)
    half = case.market.n_bars // 2
    middle = run(case.market.slice(0, half), case.agents, **case.rules()).state
    run(case.market, case.agents, **case.rules())
    twice = {str(kernel): kernel.signatures for kernel in compiled.loaded() if len(kernel.signatures) > 1}
    assert twice == {}
    saved = tmp_path / "state"
    saved.write_bytes(middle.to_bytes())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", GOING_ON, str(saved)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    kernels, signatures, compiled_anew = map(int, done.stdout.split())
    assert kernels > 2
    assert signatures == 1
    assert compiled_anew == 0


def test_a_market_is_of_one_type_whatever_it_was_made_of() -> None:
    case = random_case(4, 300, 2, 2)
    frozen = case.market.slice(0, 100)
    for market in (case.market, frozen, case.market.slice(7, 8)):
        for values in (
            market.ts_ms,
            market.open.T,
            market.volume.T,
            market.marks(market.close[0]),
            market.funding_rate,
        ):
            assert values.flags.c_contiguous
            assert values.flags.aligned
            assert not values.flags.writeable
