"""Tactics deny an order that opens: the kernel against the plain engine that asks Compliance's own rules."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trading.engine.cases import SCREENED, Case, random_case, screened_case
from tests.trading.engine.test_reference import check
from tests.trading.engine.test_split_run import assert_same, continued
from trading.quant.engine import EngineState, OrderLimits, RejectionReason, Run, Tactics, run
from trading.quant.engine.errors import OrderLimitsError

RELAXED = settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
TACTICS = {int(RejectionReason.SELF_CROSSING), int(RejectionReason.MOMENTUM_IGNITION)}
EAGER = Tactics(self_crossing=True, momentum_ignition=True, min_orders=1, market_share_frac=1e-6, move_bps=0.1)


def under(case: Case, tactics: Tactics | None) -> Case:
    return replace(case, limits=OrderLimits(tactics=tactics))


def run_of(case: Case) -> Run:
    return run(case.market, case.agents, **case.rules())


@RELAXED
@given(SCREENED)
def test_kernel_denies_what_the_rules_of_compliance_find(case: Case) -> None:
    check(case)


@RELAXED
@given(SCREENED, st.data())
def test_a_screened_run_cut_anywhere_equals_the_whole(case: Case, data: st.DataObject) -> None:
    bars = case.market.n_bars
    cuts = data.draw(st.lists(st.integers(1, bars - 1), max_size=4, unique=True)) if bars > 1 else []
    assert_same(continued(case, sorted(cuts)), run_of(case))


def test_the_screened_cases_meet_both_tactics_and_let_orders_pass() -> None:
    refusals: set[int] = set()
    fills = 0
    for seed in range(80):
        result = run_of(screened_case(seed, 120, 3, 6))
        refusals |= set(result.rejections["reason"].tolist())
        fills += len(result.fills)
    assert refusals >= TACTICS
    assert fills > 0


@pytest.mark.parametrize("tactics", [None, Tactics(), Tactics(min_orders=1, market_share_frac=1e-6, move_bps=0.1)])
def test_without_a_denying_rule_a_run_is_what_it_was(tactics: Tactics | None) -> None:
    for seed in range(12):
        case = random_case(seed, 120, 3, 6)
        assert_same([run_of(under(case, tactics))], run_of(case))


def test_what_closes_always_passes() -> None:
    """A denied order that would close and open again closes, to the lot, and is flat."""
    met, closed = 0, 0
    for seed in range(60):
        result = run_of(under(random_case(seed, 120, 2, 7), EAGER))
        denied = result.rejections[np.isin(result.rejections["reason"], list(TACTICS))]
        met += len(denied)
        for row in denied[denied["permitted"] > 0]:
            same = (result.fills["bar"] == row["bar"]) & (result.fills["agent"] == row["agent"])
            made = result.fills[same & (result.fills["symbol"] == row["symbol"])]
            if not len(made):  # what was left to close had no price on the grid
                assert RejectionReason.TICK_TOO_SMALL in result.rejections["reason"]
                continue
            fill = made[0]
            assert fill["qty"] == row["permitted"]
            assert fill["position"] == 0.0
            closed += 1
    assert met > 0
    assert closed > 0


def test_a_state_that_knows_nothing_of_the_flow_goes_on() -> None:
    """Saved by an engine that kept neither flow nor last bar; the next bar is then one that is not known."""
    case = random_case(4, 120, 3, 6)
    saved = run(case.market.slice(0, 60), case.agents, **case.rules()).state
    old = EngineState(saved.fingerprint, {k: v for k, v in saved.arrays.items() if k not in ("flow", "last_bar")})
    state = EngineState.from_bytes(old.to_bytes())
    plain = run(case.market.slice(60), case.agents, state=state, **case.rules())
    assert plain.fills.tobytes() == run(case.market.slice(60), case.agents, state=saved, **case.rules()).fills.tobytes()
    screened = under(case, EAGER)
    assert len(run(case.market.slice(60), case.agents, state=state, **screened.rules()).rejections) > 0


def test_rules_that_change_while_a_run_goes_on_keep_what_fits_of_the_flow() -> None:
    """Another window each ten bars gives the same as any other cut of the same stretches."""
    case = random_case(9, 90, 2, 7)
    step = case.market.interval_ms // 1000
    windows = [1, 4 * step, 2 * step, None, 3 * step]
    state: EngineState | None = None
    for k, (start, stop) in enumerate(pairwise(range(0, case.market.n_bars + 1, 10))):
        window = windows[k % len(windows)]
        tactics = None if window is None else replace(EAGER, window_s=window, min_orders=3)
        part = run(case.market.slice(start, stop), case.agents, state=state, **under(case, tactics).rules())
        state = EngineState.from_bytes(part.state.to_bytes())
        kept = state.arrays.get("flow")
        assert (None if kept is None else kept.shape[2]) == (None if window is None else -(-window // step))


@pytest.mark.parametrize("wrong", [{"window_s": 0}, {"min_orders": 0}, {"move_bps": float("nan")}])
def test_thresholds_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    case = random_case(1, 20, 2, 3)
    with pytest.raises(OrderLimitsError, match="positive"):
        run_of(under(case, replace(EAGER, **wrong)))  # type: ignore[arg-type]
