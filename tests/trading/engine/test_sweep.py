"""A sweep is nothing but many cohorts of one: same fills, same marks, whatever the number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.trading.engine.cases import Case, random_case
from tests.trading.engine.families import ROTATION, SMA
from trading.quant.engine import AgentSpec, ExitRules, run, sweep
from trading.quant.engine.errors import AgentSpecError
from trading.quant.engine.market import DAY_MS

EXITS = ExitRules(0.03, 0.06, 0.04, 20, 3)


def case() -> Case:
    return random_case(21, 1500, 3, 2)


def sets(n: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(4)
    fast = rng.integers(1, 20, n)
    return np.column_stack([fast, fast + rng.integers(1, 60, n), rng.integers(0, 2, n)]).astype(float)


def test_each_set_equals_a_cohort_of_one() -> None:
    c, params = case(), sets(150)
    got = sweep(c.market, SMA, params, symbol="S1", exits=EXITS, leverage=2.0, **c.rules())
    for p in (0, 17, 127, 128, 149):
        agent = AgentSpec(SMA, params[p], c.wallet.bankroll, "S1", EXITS, leverage=2.0)
        alone = run(c.market, [agent], mark_every_ms=max(DAY_MS, c.market.interval_ms), **c.rules())
        assert got.final[p] == alone.final.agents[0, 0]
        assert np.array_equal(got.equity[:, p], alone.marks.agents["equity"][:, 0])
        assert np.array_equal(got.ts_ms, alone.marks.ts_ms)
    assert got.final["fills"].sum() > 0


def test_panel_families_sweep_too() -> None:
    c = case()
    params = np.array([[2.0, 1.0], [5.0, 0.5]])
    got = sweep(c.market, ROTATION, params, symbol=None, exits=EXITS, **c.rules())
    alone = run(
        c.market,
        [AgentSpec(ROTATION, params[1], c.wallet.bankroll, exits=EXITS)],
        mark_every_ms=DAY_MS,
        **c.rules(),
    )
    assert got.final[1] == alone.final.agents[0, 0]


def test_threads_change_nothing_and_progress_is_told() -> None:
    c, params = case(), sets(300)
    told: list[int] = []
    one = sweep(c.market, SMA, params, symbol="S0", exits=EXITS, threads=1, progress=told.append, **c.rules())
    two = sweep(c.market, SMA, params, symbol="S0", exits=EXITS, threads=2, **c.rules())
    assert one.final.tobytes() == two.final.tobytes()
    assert one.equity.tobytes() == two.equity.tobytes()
    assert sum(told) == 300


def test_exit_rules_may_differ_by_set() -> None:
    c, params = case(), np.repeat(sets(1), 2, axis=0)
    got = sweep(c.market, SMA, params, symbol="S0", exits=[EXITS, ExitRules()], **c.rules())
    assert got.final["fills"][0] != got.final["fills"][1]


def test_bad_sweeps_are_refused() -> None:
    c, params = case(), sets(3)
    with pytest.raises(AgentSpecError, match="say which"):
        sweep(c.market, SMA, params, symbol=None, **c.rules())
    with pytest.raises(AgentSpecError, match="not in this market"):
        sweep(c.market, SMA, params, symbol="XRP", **c.rules())
    with pytest.raises(AgentSpecError, match="one for all or one each"):
        sweep(c.market, SMA, params, symbol="S0", exits=[EXITS], **c.rules())
    with pytest.raises(AgentSpecError, match="Set 2"):
        sweep(c.market, SMA, np.vstack([params[:2], [[0, 0, 0]]]), symbol="S0", **c.rules())
    with pytest.raises(AgentSpecError, match="at least one"):
        sweep(c.market, SMA, np.empty((0, 3)), symbol="S0", **c.rules())
