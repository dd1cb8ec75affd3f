"""Compiled kernels are found again by the next process, user strategies included, and never outlive their
sources.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.trading.engine.families import ROTATION, SMA
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
)
print(sum(signals.stats.cache_hits.values()), sum(signals.stats.cache_misses.values()), target[0, 0])
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


def test_fingerprints_tell_functions_apart_and_repeat() -> None:
    assert fingerprint([SMA.step]) == fingerprint([SMA.step])
    assert fingerprint([SMA.step]) != fingerprint([ROTATION.step])
