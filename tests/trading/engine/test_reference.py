"""The kernel against the plain Python engine: every fill, refusal, breach, payment and mark, to the last
bit.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.trading.engine.cases import CASES, Case, random_case, rows
from tests.trading.engine.reference import Reference
from trading.quant.engine import run

RELAXED = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


def check(case: Case) -> None:
    got = run(case.market, case.agents, **case.rules())
    want = Reference(case.market, case.agents, **case.rules()).run()
    assert rows(got.fills) == want.fills
    assert rows(got.rejections) == want.rejections
    assert rows(got.funding) == want.payments
    assert sorted(rows(got.breaches), key=lambda b: (b[1], b[2], b[3])) == sorted(
        want.breaches, key=lambda b: (b[1], b[2], b[3])
    )
    assert list(got.marks.ts_ms) == [when for when, *_ in want.marks]
    for k, (_, agents, parent, quantities) in enumerate(want.marks):
        assert rows(got.marks.agents[k]) == agents
        assert tuple(got.marks.parent[k].tolist()) == parent
        assert got.marks.positions[k].tolist() == quantities


@RELAXED
@given(CASES)
def test_kernel_equals_plain_python_exactly(case: Case) -> None:
    check(case)


def test_kernel_equals_plain_python_on_a_long_run_across_blocks() -> None:
    check(random_case(seed=7, n_bars=2600, n_symbols=3, n_agents=6))


def test_the_random_cases_exercise_every_rule() -> None:
    reasons, refusals, breaches, payments = set(), set(), set(), 0
    for seed in range(250):
        case = random_case(seed, 120, 3, 6)
        result = run(case.market, case.agents, **case.rules())
        reasons |= set(result.fills["reason"].tolist())
        refusals |= set(result.rejections["reason"].tolist())
        breaches |= set(result.breaches["kind"].tolist())
        payments += len(result.funding)
    assert reasons == set(range(6))
    assert refusals >= set(range(14))
    assert breaches == set(range(4))
    assert payments > 0
