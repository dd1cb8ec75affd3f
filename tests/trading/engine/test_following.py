"""Positions are followed ahead of the marks, many bars at a time: nobody must be able to tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from risk.quant.metrics import Metric
from risk.quant.pretrade import Limit, LimitSet
from tests.trading.engine.cases import MINUTE, START, Case, random_case
from tests.trading.engine.families import SMA
from tests.trading.engine.test_split_run import assert_same, continued
from trading.quant.engine import AgentSpec, ExitRules, Market, OrderLimits, Run, run
from trading.quant.engine.market import DAY_MS, HOUR_MS
from trading.quant.lookahead import synthetic_bars

N_BARS = 4_500


def patient_case(seed: int, *, funded: bool) -> Case:
    """Agents that hold for hours, some with exits near and some with exits far, some of them losing all the time."""
    rng = np.random.default_rng(seed)
    bars = synthetic_bars(N_BARS, seed=seed, n_symbols=3)
    columns = dict(zip(("open", "high", "low", "close", "volume"), np.moveaxis(bars, 2, 0), strict=True))
    ts = START + 17 * MINUTE + MINUTE * np.arange(N_BARS)
    stamps = np.arange(START, ts[-1], HOUR_MS) if funded else np.empty(0, dtype=np.int64)
    market = Market(
        ("S0", "S1", "S2"), ts, MINUTE, **columns, funding_ts_ms=np.repeat(stamps, 3),
        funding_symbol=np.tile(np.arange(3), stamps.size), funding_rate=rng.normal(0, 0.002, 3 * stamps.size),
    )  # fmt: skip
    agents = [
        AgentSpec(
            SMA, [int(rng.integers(1, 6)), int(rng.integers(40, 400)), 1.0], 900.0, k % 3,
            ExitRules(
                stop_loss_frac=float(rng.choice([0.0, 0.01, 0.2])),
                take_profit_frac=float(rng.choice([0.0, 0.01, 0.3])),
                trailing_stop_frac=float(rng.choice([0.0, 0.01, 0.05])),
                time_limit_bars=int(rng.choice([0, 100, 700])),
                cooldown_bars=int(rng.integers(0, 9)),
            ),
            leverage=float(rng.choice([0.5, 1.0, 3.0])), max_leverage=float(rng.choice([0.0, 1.05, 3.2])),
        )
        for k in range(9)
    ]  # fmt: skip
    return replace(random_case(seed, 60, 3, 1), market=market, agents=agents)


@pytest.mark.parametrize("seed", range(6))
def test_a_run_of_short_pieces_is_the_whole(seed: int) -> None:
    """A piece cannot follow anything past its end."""
    case = patient_case(seed, funded=seed % 2 == 0)
    whole = run(case.market, case.agents, **case.rules())
    assert whole.fills.size > 20
    assert_same(continued(case, list(range(37, N_BARS, 37))), whole)


@pytest.mark.parametrize("seed", range(6))
def test_a_limit_that_looks_at_every_bar_and_never_binds_changes_nothing(seed: int) -> None:
    """With a limit on the drawdown every bar is a segment of its own. (Its Books remember what was judged.)"""
    case = patient_case(seed, funded=seed % 2 == 0)
    watched = OrderLimits(LimitSet([Limit(Metric.DRAWDOWN_FRAC, hard=1e9)]))
    judged, free = run(case.market, case.agents, limits=watched, **case.rules()), run_of(case)
    for table in ("fills", "rejections", "breaches", "funding"):
        assert getattr(judged, table).tobytes() == getattr(free, table).tobytes(), table
    assert judged.marks.agents.tobytes() == free.marks.agents.tobytes()
    assert judged.marks.parent.tobytes() == free.marks.parent.tobytes()
    assert judged.state.arrays["slots"].tobytes() == free.state.arrays["slots"].tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_marks_show_the_same_however_often_they_are_taken(seed: int) -> None:
    """Peak and deepest drawdown of the marks of a day are those of the same hours among hourly marks."""
    case = patient_case(seed, funded=True)
    hourly = run_of(case).marks
    daily = run(case.market, case.agents, mark_every_ms=DAY_MS, **case.rules()).marks
    rows = np.isin(hourly.ts_ms, daily.ts_ms)
    assert hourly.agents[rows].tobytes() == daily.agents.tobytes()


def run_of(case: Case) -> Run:
    return run(case.market, case.agents, **case.rules())
