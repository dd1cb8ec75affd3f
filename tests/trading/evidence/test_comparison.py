"""Superior ability and the model confidence set: arch's figures, seen through our conventions."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import MCS, SPA

from trading.quant.evidence.comparison import confidence_set, superior_ability
from trading.quant.evidence.errors import EvidenceError


def test_figures_are_those_of_arch_on_negative_returns() -> None:
    table = np.random.default_rng(1).standard_normal((200, 6)) + np.linspace(-0.2, 0.2, 6)
    ours = superior_ability(table, block=4.0, resamples=300, seed=7)
    theirs = SPA(np.zeros(200), -table, block_size=4, reps=300, bootstrap="stationary", seed=7)
    theirs.compute()
    assert [ours.lower, ours.consistent, ours.upper] == [theirs.pvalues[k] for k in ("lower", "consistent", "upper")]
    chosen = confidence_set(table, block=4.0, size=0.1, resamples=300, seed=7)
    library = MCS(-table, size=0.1, block_size=4, reps=300, method="R", bootstrap="stationary", seed=7)
    library.compute()
    assert chosen.included == tuple(sorted(int(str(k)) for k in library.included))
    for column, p in library.pvalues["Pvalue"].items():
        assert chosen.p_values[int(str(column))] == p


def test_one_good_agent_is_found_and_alone_in_the_set() -> None:
    table = np.random.default_rng(2).standard_normal((400, 8))
    table[:, 5] += 0.5
    assert superior_ability(table, block=2.0, resamples=300).consistent == pytest.approx(0, abs=0.01)
    assert confidence_set(table, block=2.0, resamples=300).included == (5,)


def test_noise_is_seldom_superior_and_stays_in_the_set_together() -> None:
    p = [superior_ability(np.random.default_rng(s).standard_normal((100, 5)), block=1, resamples=200).consistent
         for s in range(80)]  # fmt: skip
    assert np.mean([x is not None and x <= 0.1 for x in p]) <= 0.2
    assert len(confidence_set(np.random.default_rng(3).standard_normal((100, 5)), block=1).included) >= 4


def test_idle_agents_are_left_out_and_keep_their_places() -> None:
    table = np.random.default_rng(4).standard_normal((100, 4))
    table[:, 1] = 0.0
    table[:, 3] += 2.0
    found = confidence_set(table, block=1, resamples=200)
    assert found.included == (3,)
    assert np.isnan(found.p_values[1])
    assert superior_ability(table, block=1, resamples=200).n_agents == 3


def test_too_little_says_nothing() -> None:
    assert superior_ability(np.zeros((100, 3)), block=1).consistent is None
    assert superior_ability(np.random.default_rng(1).standard_normal((10, 3)), block=1).consistent is None
    assert confidence_set(np.random.default_rng(1).standard_normal((100, 1)), block=1).included == ()
    with pytest.raises(EvidenceError):
        superior_ability(np.full((20, 2), np.nan), block=1)


def test_twins_are_one_model_and_share_its_fate() -> None:
    """A cohort of two markets gives several agents the same genome there: the same returns to the last bit."""
    single = np.random.default_rng(1).normal(0.0, 0.01, (72, 5))
    alone = confidence_set(single, block=1.0, seed=3)
    doubled = confidence_set(np.concatenate([single, single], axis=1), block=1.0, seed=3)
    np.testing.assert_array_equal(doubled.p_values, np.tile(alone.p_values, 2))
    assert doubled.included == (*alone.included, *(k + 5 for k in alone.included))
    all_alike = confidence_set(np.repeat(single[:, :1], 4, axis=1), block=1.0)
    assert all_alike.included == ()
    assert np.isnan(all_alike.p_values).all()
