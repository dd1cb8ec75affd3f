"""Scores: what they equal in a field library, that they are standard normal without skill, and how periods add up."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm  # type: ignore[import-untyped]
from scipy import stats

from trading.quant.evidence.errors import EvidenceError
from trading.quant.evidence.skill import (
    Moments,
    block_bars,
    chance_of_best,
    combine,
    critical_score,
    moments,
    normal_score,
    scores,
)

Float64 = npt.NDArray[np.float64]


def _noise(seed: int, *, bars: int = 288, agents: int = 8, rho: float = 0.3) -> Float64:
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((bars, 1))
    return 0.01 * (math.sqrt(rho) * common + math.sqrt(1 - rho) * rng.standard_normal((bars, agents)))


def _without_ratio(of: Moments) -> Float64:
    """The t statistics as if bars were independent."""
    return scores(of).t * np.sqrt(of.ratio)


def test_t_statistic_equals_the_intercept_of_a_regression_on_the_peers() -> None:
    gross = _noise(1)
    net = gross - 0.0002 * np.abs(np.random.default_rng(2).standard_normal(gross.shape))
    of = moments(net, gross)
    found = _without_ratio(of)
    for j in range(gross.shape[1]):
        others = [k for k in range(gross.shape[1]) if k != j]
        control = (gross[:, others] / gross[:, others].std(axis=0, ddof=1)).mean(axis=1)
        fit = sm.OLS(net[:, j], sm.add_constant(control)).fit()
        assert found[j] == pytest.approx(fit.tvalues[0], rel=1e-9)
        assert of.explained[j] == pytest.approx(fit.rsquared, rel=1e-9)


def test_few_agents_are_judged_on_their_own() -> None:
    few = _noise(3, agents=4)
    found = _without_ratio(moments(few))
    assert found == pytest.approx(stats.ttest_1samp(few, 0.0).statistic)


def test_idle_agent_has_no_score_and_is_nobody_s_peer() -> None:
    table = _noise(4, agents=9)
    table[:, 8] = 0.0
    found = scores(moments(table))
    assert np.isnan(found.z[8])
    assert found.z[:8] == pytest.approx(scores(moments(table[:, :8])).z)


def test_costs_of_the_peers_do_not_help_an_agent() -> None:
    """All trade the same noise; the others pay for it. A control of net results would call the first one skilled."""
    gross = _noise(5, bars=3_000, rho=0.6)
    net = gross - 0.0004
    net[:, 0] = gross[:, 0]
    assert scores(moments(net, gross)).z[0] == pytest.approx(scores(moments(gross, gross)).z[0])
    assert scores(moments(net, net)).z[0] > scores(moments(net, gross)).z[0] + 1


def test_shift_is_what_adding_a_constant_gives() -> None:
    table = _noise(6)
    for agent in (0, 5):
        added = np.zeros(8)
        added[agent] = 0.0007
        again = scores(moments(table + added))
        assert scores(moments(table), added).z == pytest.approx(again.z, rel=1e-9)
    rows = np.eye(8) * 0.0007
    together = scores(moments(table), rows).z
    assert together[5] == pytest.approx(scores(moments(table), rows[5]).z)


def test_scores_of_noise_are_standard_normal_and_the_best_of_them_as_rare_as_stated() -> None:
    z = np.array([scores(moments(_noise(seed, agents=12))).z for seed in range(1_500)])
    assert abs(z.mean()) < 0.02
    assert z.std() == pytest.approx(1.0, abs=0.02)
    best = z.max(axis=1)
    for level in (0.05, 0.2):
        hits = int((chance_of_best(best, 12.0) <= level).sum())
        assert stats.binomtest(hits, len(best), level).pvalue > 0.001


def test_dependence_between_bars_widens_the_error() -> None:
    """Returns whose neighbours repeat: the naive t statistic rejects far too often, the corrected one does not."""
    naive, corrected = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shocks = rng.standard_normal((1_440, 10))
        table = shocks.copy()
        table[1:] += 0.8 * shocks[:-1]
        of = moments(table)
        naive.append(np.abs(_without_ratio(of)) > 1.96)
        corrected.append(np.abs(scores(of).t) > 1.96)
    assert np.mean(naive) > 0.12
    assert np.mean(corrected) == pytest.approx(0.05, abs=0.015)


def test_combination_is_liptak_s_and_leaves_out_what_is_missing() -> None:
    z = np.array([[1.0, 2.0, np.nan], [0.5, np.nan, np.nan]])
    found = combine(z, np.array([3.0, 27.0]))
    assert found[0] == pytest.approx((math.sqrt(3) * 1.0 + math.sqrt(27) * 0.5) / math.sqrt(30))
    assert found[1] == pytest.approx(2.0)
    assert np.isnan(found[2])
    p = np.asarray(stats.norm.sf([1.0, 0.5]))
    library = stats.combine_pvalues(p, method="stouffer", weights=np.sqrt([3.0, 27.0]))
    assert found[0] == pytest.approx(library.statistic)


def test_chance_of_best_is_sidak_s_correction() -> None:
    assert float(chance_of_best(1.6448536, 1)) == pytest.approx(0.05, rel=1e-6)
    assert float(chance_of_best(2.0, 30)) == pytest.approx(1 - stats.norm.cdf(2.0) ** 30)
    assert critical_score(0.05, 30) == pytest.approx(2.9275, abs=1e-4)
    assert float(chance_of_best(critical_score(0.05, 30), 30)) == pytest.approx(0.05)
    assert float(chance_of_best(9.0, 30)) == pytest.approx(30 * stats.norm.sf(9.0), rel=1e-9)


def test_normal_score_is_exact_in_both_tails() -> None:
    for t in (-40.0, -3.0, 0.0, 3.0, 40.0):
        z = float(normal_score(np.array([t]), 286)[0])
        assert stats.norm.logsf(z) == pytest.approx(stats.t.logsf(t, 286), rel=1e-8)


def test_wrong_tables_are_refused() -> None:
    with pytest.raises(EvidenceError, match="shape"):
        moments(np.zeros((10, 3)), np.zeros((10, 4)))
    with pytest.raises(EvidenceError, match="finite"):
        moments(np.full((20, 3), np.nan))
    with pytest.raises(EvidenceError, match="one trial"):
        chance_of_best(1.0, 0)
    with pytest.raises(EvidenceError, match="level"):
        critical_score(1.0, 30)
    assert np.isnan(scores(moments(_noise(1, bars=5))).z).all()
    assert (block_bars(288), block_bars(24), block_bars(100_000)) == (8, 1, 96)
