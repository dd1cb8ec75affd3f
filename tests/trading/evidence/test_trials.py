"""Numbers of trials and the deflated Sharpe ratio."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trading.quant.evidence.errors import EvidenceError
from trading.quant.evidence.trials import (
    Spread,
    correlation_of,
    deflation,
    deflation_curve,
    effective_trials,
    pooled_deviation,
    sharpe_ratios,
)

#: The example of Bailey and Lopez de Prado (2014): annual Sharpe 2.5 over five years of 250 days, variance 1/2.
PUBLISHED = {"sharpe": 2.5 / math.sqrt(250), "n": 1250, "variance": 0.5 / 250}


def test_deflation_of_the_published_example() -> None:
    point = deflation(**PUBLISHED, trials=100, skew=-3, kurtosis=10)  # type: ignore[arg-type]
    assert point.benchmark == pytest.approx(0.1132, abs=5e-5)
    assert point.value == pytest.approx(0.9004, abs=5e-5)
    fewer = deflation(**PUBLISHED, trials=46, skew=-3, kurtosis=10)  # type: ignore[arg-type]
    normal = deflation(**PUBLISHED, trials=88)  # type: ignore[arg-type]
    assert fewer.value == pytest.approx(0.9505, abs=5e-4)
    assert normal.value == pytest.approx(0.9505, abs=5e-4)


def test_curve_falls_with_the_trials_and_passes_through_their_number() -> None:
    curve = deflation_curve(**PUBLISHED, trials=37, skew=-3, kurtosis=10)  # type: ignore[arg-type]
    counts = [point.trials for point in curve]
    assert counts == sorted(set(counts))
    assert 37 in counts
    assert (counts[0], counts[-1]) == (1, 370)
    values = [point.value for point in curve if point.value is not None]
    assert values == sorted(values, reverse=True)


def test_independent_trials_count_in_full_and_copies_once() -> None:
    rng = np.random.default_rng(1)
    independent = rng.standard_normal((20_000, 6))
    found = effective_trials(independent)
    assert found.eigen == pytest.approx(6, abs=0.3)
    copies = np.repeat(independent[:, :2], 5, axis=1) + 1e-9 * rng.standard_normal((20_000, 10))
    twice = effective_trials(copies)
    assert twice.raw == 10
    assert twice.eigen == pytest.approx(2, abs=0.1)
    assert twice.clusters == 2
    assert twice.mean_correlation == pytest.approx(4 / 9, abs=0.02)


def test_eigenvalue_count_of_galwey_by_hand() -> None:
    """Two trials of correlation 0.5: eigenvalues 1.5 and 0.5, so (sqrt(1.5) + sqrt(0.5))^2 / 2 = 1 + sqrt(0.75)."""
    rng = np.random.default_rng(2)
    z = rng.standard_normal((4_000, 2))
    z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T  # exactly uncorrelated
    pair = np.column_stack([z[:, 0], 0.5 * z[:, 0] + math.sqrt(0.75) * z[:, 1]])
    assert correlation_of(pair)[0, 1] == pytest.approx(0.5)
    assert effective_trials(pair).eigen == pytest.approx(1 + math.sqrt(0.75))


def test_idle_trials_are_counted_but_say_nothing() -> None:
    table = np.zeros((50, 3))
    assert effective_trials(table).eigen is None
    assert effective_trials(table).raw == 3
    table[:, 0] = np.random.default_rng(1).standard_normal(50)
    assert effective_trials(table).clusters is None
    with pytest.raises(EvidenceError):
        correlation_of(np.zeros(5))


def test_sharpe_ratios_skip_what_did_not_trade_and_what_did_not_move() -> None:
    rng = np.random.default_rng(5)
    table = rng.normal(0.01, 1.0, (40, 4))
    table[:, 1] = 0.0
    table[5:, 2] = np.nan
    table[:10, 3] = np.nan
    wanted = [table[:, 0].mean() / table[:, 0].std(ddof=1), table[10:, 3].mean() / table[10:, 3].std(ddof=1)]
    np.testing.assert_allclose(sharpe_ratios(table, fewest=12), wanted)


def test_pooled_deviation_of_one_length_is_that_of_all_together() -> None:
    rng = np.random.default_rng(6)
    one, two = rng.normal(0, 0.1, 30), rng.normal(0.05, 0.2, 70)
    spreads = [Spread(len(x), float(x.mean()), float(x.var(ddof=1)), 72.0) for x in (one, two)]
    pooled = pooled_deviation(spreads, hours=72.0)
    assert pooled == pytest.approx(np.concatenate([one, two]).std(ddof=1))
    assert pooled_deviation([Spread(1, 0.1, 0.0, 72.0)], hours=72.0) is None


def test_trials_of_a_longer_window_scatter_as_if_measured_on_the_shorter_one() -> None:
    rng = np.random.default_rng(7)
    spreads = []
    for hours in (72, 720):
        ratios = sharpe_ratios(rng.normal(0.0, 1.0, (hours, 4000)), fewest=12)
        spreads.append(Spread(ratios.size, float(ratios.mean()), float(ratios.var(ddof=1)), float(hours)))
    alone = math.sqrt(spreads[1].variance)
    assert alone == pytest.approx(1 / math.sqrt(720), rel=0.05)
    assert pooled_deviation(spreads, hours=72.0) == pytest.approx(1 / math.sqrt(72), rel=0.05)
    assert pooled_deviation(spreads[1:], hours=72.0) == pytest.approx(1 / math.sqrt(72), rel=0.05)
