"""A family's block form says and leaves what its step does, to the last bit, wherever the bars are cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.dual_sma import DUAL_SMA
from tests.trading.engine.cases import MINUTE, START, random_case
from tests.trading.engine.test_split_run import assert_same, continued
from trading.quant.engine import AgentSpec, ExitRules, Market, run
from trading.quant.engine.drivers import SHORTEST_WHOLE
from trading.quant.genome import draw_parameters
from trading.quant.lookahead import block_problems, synthetic_bars
from trading.strategies.registry import builtin_families
from trading.strategies.spec import Float64, StrategyFamily

FAMILIES = [DUAL_SMA, *(f for f in builtin_families().values() if f.block is not None)]
KEYS = [f.key for f in FAMILIES]


def drawn(family: StrategyFamily, seed: int) -> Float64:
    values = draw_parameters(family.parameters, np.random.default_rng(seed), validate=family.validate)
    return np.array([values[p.name] for p in family.parameters])


@pytest.mark.parametrize("family", FAMILIES, ids=KEYS)
@settings(max_examples=40)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_block_is_its_steps_wherever_it_is_cut(family: StrategyFamily, data: st.DataObject, seed: int) -> None:
    params = drawn(family, seed)
    size = family.state_size(params, 1)
    longest = int(params[1])
    n_bars = data.draw(st.integers(1, 3 * longest + 50))
    around = st.one_of(st.integers(0, n_bars), st.sampled_from([longest - 1, longest, longest + 1, 2 * longest]))
    cuts = sorted(min(cut, n_bars) for cut in data.draw(st.lists(around, max_size=5)))
    bars = synthetic_bars(n_bars, seed=seed)[:, 0, :]
    if data.draw(st.booleans()):  # prices on a coarse grid, so that averages are often equal
        bars = np.round(bars)
    assert block_problems(family, params, size, bars, cuts) == []


def test_windows_of_one_length_and_of_one_bar() -> None:
    bars = synthetic_bars(300, seed=4)[:, 0, :]
    for family in FAMILIES:
        for fast, slow in ((1, 1), (1, 2), (7, 7), (1, 64), (63, 64)):
            params = np.array([fast, slow, 1.0])
            size = family.state_size(params, 1)
            assert block_problems(family, params, size, bars, [5, 64, 130]) == []


@pytest.mark.parametrize("family", FAMILIES, ids=KEYS)
@pytest.mark.parametrize("missing", [0, 2])
def test_a_run_of_whole_blocks_is_the_run_of_steps(family: StrategyFamily, missing: int) -> None:
    """Over several blocks, of which some have missing bars and are stepped, and over pieces too short for a block."""
    market = candles(5_000, missing)
    case = replace(random_case(7, 60, 3, 1), market=market)
    exits = ExitRules(stop_loss_frac=0.01, trailing_stop_frac=0.02, cooldown_bars=3)
    agents = [AgentSpec(family, drawn(family, k), 500.0, k % 3, exits) for k in range(7)]
    case = replace(case, agents=agents)
    stepped = replace(case, agents=[replace(agent, family=replace(family, block=None)) for agent in agents])
    whole = run(market, agents, **case.rules())
    assert whole.fills.size > 20
    assert_same([run(market, stepped.agents, **stepped.rules())], whole)
    cuts = [SHORTEST_WHOLE - 1, 2 * SHORTEST_WHOLE, 2 * SHORTEST_WHOLE + 3, 2_500]
    assert_same(continued(case, cuts), whole)


def candles(n_bars: int, missing: int) -> Market:
    """Three symbols, each with so many missing bars."""
    bars = synthetic_bars(n_bars, seed=11, n_symbols=3)
    rng = np.random.default_rng(12)
    for s in range(3):
        bars[rng.integers(0, n_bars, missing), s] = np.nan
    columns = dict(zip(("open", "high", "low", "close", "volume"), np.moveaxis(bars, 2, 0), strict=True))
    return Market(("S0", "S1", "S2"), START + MINUTE * np.arange(n_bars), MINUTE, **columns)
