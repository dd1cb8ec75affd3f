"""Orders of a run are judged by `check_order`: the kernel against the plain engine that asks it for every order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from risk.quant.metrics import CODES, METRICS, Metric
from risk.quant.pretrade import Limit, LimitSet, TradingMode
from tests.trading.engine.cases import LIMITED, Case, limited_case, random_case
from tests.trading.engine.test_reference import check
from tests.trading.engine.test_split_run import assert_same, continued
from trading.quant.engine import FillReason, OrderLimits, RejectionReason, run
from trading.quant.engine.codes import COHORT_LIMIT, LIMIT_UNKNOWN, OWN_LIMIT, limit_reason, reason_name

RELAXED = settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))


@RELAXED
@given(LIMITED)
def test_kernel_judges_as_check_order_does(case: Case) -> None:
    check(case)


@RELAXED
@given(LIMITED, st.data())
def test_a_limited_run_cut_anywhere_equals_the_whole(case: Case, data: st.DataObject) -> None:
    bars = case.market.n_bars
    cuts = data.draw(st.lists(st.integers(1, bars - 1), max_size=4, unique=True)) if bars > 1 else []
    assert_same(continued(case, sorted(cuts)), run(case.market, case.agents, **case.rules()))


def test_the_limited_cases_meet_every_limit_of_either_book_and_every_mode() -> None:
    refusals: set[int] = set()
    for seed in range(400):
        case = limited_case(seed, 120, 3, 6)
        refusals |= set(run(case.market, case.agents, **case.rules()).rejections["reason"].tolist())
    met = {metric for metric in METRICS for base in (OWN_LIMIT, COHORT_LIMIT) if base + CODES[metric] in refusals}
    assert met == set(METRICS)
    assert any(OWN_LIMIT <= code < COHORT_LIMIT for code in refusals)
    assert {base + CODES[Metric.VAR] + LIMIT_UNKNOWN for base in (OWN_LIMIT, COHORT_LIMIT)} & refusals
    assert {RejectionReason.MODE_REDUCING, RejectionReason.MODE_HALTED, RejectionReason.MODE_UNKNOWN} <= refusals


def test_without_limits_nothing_is_judged() -> None:
    for seed in range(20):
        case = random_case(seed, 120, 3, 6)
        free = run(case.market, case.agents, **case.rules())
        open_case = replace(case, limits=OrderLimits())
        assert_same([run(case.market, case.agents, **open_case.rules())], free)
        soft = OrderLimits(LimitSet([Limit(Metric.GROSS_EXPOSURE, soft=0.0)]))
        assert_same([run(case.market, case.agents, **replace(case, limits=soft).rules())], free)


@pytest.mark.parametrize("mode", [TradingMode.HALTED, None])
def test_a_halted_run_sends_nothing(mode: TradingMode | None) -> None:
    for seed in range(20):
        case = replace(random_case(seed, 120, 3, 6), limits=OrderLimits(mode=mode))
        assert len(run(case.market, case.agents, **case.rules()).fills) == 0


def test_halting_half_way_leaves_positions_to_the_venue_alone() -> None:
    stopped = 0
    for seed in range(60):
        case = random_case(seed, 120, 3, 6)
        half = case.market.n_bars // 2
        before = run(case.market.slice(0, half), case.agents, **case.rules())
        rules = replace(case, limits=OrderLimits(mode=TradingMode.HALTED)).rules()
        after = run(case.market.slice(half), case.agents, state=before.state, **rules)
        assert set(after.fills["reason"].tolist()) <= {int(FillReason.LIQUIDATION)}
        stopped += len(after.rejections)
    assert stopped > 0


def test_reducing_never_enlarges_a_position() -> None:
    closed = 0
    for seed in range(60):
        case = random_case(seed, 120, 3, 6)
        half = case.market.n_bars // 2
        before = run(case.market.slice(0, half), case.agents, **case.rules())
        rules = replace(case, limits=OrderLimits(mode=TradingMode.REDUCING)).rules()
        after = run(case.market.slice(half), case.agents, state=before.state, **rules)
        held = before.final.position_matrix(0, len(case.agents), case.market.n_symbols)
        for fill in after.fills:
            agent, symbol = int(fill["agent"]), int(fill["symbol"])
            assert abs(fill["position"]) <= abs(held[agent, symbol])
            assert fill["position"] * held[agent, symbol] >= 0
            held[agent, symbol] = fill["position"]
            closed += 1
    assert closed > 0


def test_a_hard_limit_on_the_order_holds_for_every_fill() -> None:
    cut = 0
    for seed in range(40):
        case = random_case(seed, 120, 3, 6)
        limits = OrderLimits(LimitSet([Limit(Metric.ORDER_NOTIONAL, hard=200.0)]))
        result = run(case.market, case.agents, **replace(case, limits=limits).rules())
        sent = result.fills[result.fills["reason"] != FillReason.LIQUIDATION]
        value = sent["qty"] * sent["reference"] * [case.instruments[s].multiplier for s in sent["symbol"]]
        assert np.all(value <= 200.0 * (1 + 1e-9))
        cut += int(np.sum(result.rejections["reason"] >= OWN_LIMIT))
    assert cut > 0


def test_every_reason_has_a_name_that_says_which_limit() -> None:
    names = set()
    for base in (OWN_LIMIT, COHORT_LIMIT):
        for unknown in (0, LIMIT_UNKNOWN):
            for metric in METRICS:
                name = reason_name(base + CODES[metric] + unknown)
                assert len(name) <= 24
                reason = limit_reason(name)
                assert reason is not None
                assert (reason.metric, reason.own, reason.known) == (metric, base == OWN_LIMIT, not unknown)
                names.add(name)
    assert len(names) == 4 * len(METRICS)
    assert not any(limit_reason(reason_name(code)) for code in RejectionReason)
