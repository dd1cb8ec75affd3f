"""The sequential test: its false alarms are as rare as stated whatever the returns look like, and it finds failures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trading.quant.sequential import CUT, Claim, claim_of, watch

Float64 = npt.NDArray[np.float64]
ALPHA = 0.05
RUNS = 1_500
DRAWS: dict[str, Callable[[np.random.Generator, int], Float64]] = {
    "normal": lambda rng, n: rng.normal(0.0002, 0.004, n),
    "fat tails": lambda rng, n: 0.0002 + 0.003 * rng.standard_t(3, n),
    "skewed": lambda rng, n: 0.004 * (1 - rng.exponential(1.0, n)),
}


def known(rng: np.random.Generator, draw: Callable[[np.random.Generator, int], Float64]) -> Claim:
    """The claim of one who knows the distribution: from very many draws."""
    found = claim_of(draw(rng, 200_000))
    assert found is not None
    return found


def reference(returns: Float64, claim: Claim, *, alpha: float, shift: float, inflation: float) -> tuple[float, bool]:
    """Both wealths bet by bet, in plain Python: the largest mean wealth, and whether it reached 1/alpha."""
    mean = spread = peak = 1.0
    alarm = False
    lowest = min(claim.least_mean, 0.0)
    bet = min(shift / (claim.largest_square + shift**2), 0.9 / (CUT - lowest))
    other = min((inflation - 1) / (2 * inflation**2 * claim.largest_square), 0.9 / claim.largest_square)
    best = None
    for r in returns:
        z = max(-CUT, min(CUT, r / claim.deviation))
        mean *= 1 - bet * (z - claim.least_mean)
        spread *= 1 + other * (z * z - claim.largest_square)
        wealth = (mean + spread) / 2
        best = wealth if best is None else max(best, wealth)
        alarm = alarm or wealth >= 1 / alpha
    return (peak if best is None else best), alarm


@pytest.mark.parametrize("shape", DRAWS)
def test_false_alarms_are_at_most_as_frequent_as_stated(shape: str) -> None:
    """Over a year of hours, watched at every one of them: three standard errors above alpha would be 0.067."""
    rng = np.random.default_rng(7)
    claim = known(rng, DRAWS[shape])
    alarms = sum(watch(DRAWS[shape](rng, 2_000), claim, alpha=ALPHA).alarm for _ in range(RUNS))
    assert alarms / RUNS <= ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / RUNS)


def test_claim_from_three_days_is_lenient_enough() -> None:
    """What is claimed of 72 hours is itself uncertain; the bounds keep the alarm rate below alpha all the same."""
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(RUNS):
        claim = claim_of(0.003 * rng.standard_t(4, 72))
        assert claim is not None
        alarms += watch(0.003 * rng.standard_t(4, 168), claim, alpha=ALPHA).alarm
    assert alarms / RUNS <= ALPHA


@pytest.mark.parametrize(
    ("broken", "blamed"),
    [(lambda x: x - 0.004, "mean"), (lambda x: 2.5 * x, "spread")],
    ids=["worse mean", "wider swings"],
)
def test_a_broken_claim_is_found_within_a_week_and_named(broken: Callable[[Float64], Float64], blamed: str) -> None:
    rng = np.random.default_rng(9)
    found = [
        watch(broken(rng.normal(0, 0.004, 168)), known(rng, lambda g, n: g.normal(0, 0.004, n)), alpha=ALPHA)
        for _ in range(50)
    ]
    assert np.mean([w.alarm for w in found]) > 0.9
    assert np.mean([w.blames == blamed for w in found]) > 0.9


@given(
    hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats(-0.2, 0.2)),
    st.floats(0.05, 1.0),
    st.floats(1.1, 5.0),
)
def test_vectors_equal_the_bets_one_by_one(returns: Float64, shift: float, inflation: float) -> None:
    claim = Claim(deviation=0.02, mean=0.001, least_mean=-0.05, largest_square=1.2, n=72)
    seen = watch(returns, claim, alpha=0.1, shift=shift, inflation=inflation)
    peak, alarm = reference(returns, claim, alpha=0.1, shift=shift, inflation=inflation)
    assert seen.peak == pytest.approx(peak, rel=1e-9)
    assert seen.alarm == alarm or abs(peak - 10) < 1e-6


def test_too_little_lets_nobody_claim_anything() -> None:
    assert claim_of(np.full(100, 0.01)) is None
    assert claim_of(np.arange(19.0)) is None
    assert claim_of(np.full(50, np.nan)) is None


def test_leverage_scales_what_is_claimed() -> None:
    returns = np.random.default_rng(1).normal(0.001, 0.01, 72)
    one, two = claim_of(returns), claim_of(returns, scale=2.0)
    assert one is not None
    assert two is not None
    assert two.deviation == pytest.approx(2 * one.deviation)
    assert two.mean == pytest.approx(2 * one.mean)
    assert two.least_mean == pytest.approx(one.least_mean)
