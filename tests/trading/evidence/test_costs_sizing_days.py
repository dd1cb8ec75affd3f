"""Cost bridge, depth, slice and consistency: worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from trading.quant.evidence.consistency import consistency
from trading.quant.evidence.errors import EvidenceError
from trading.quant.evidence.noise import NoiseModel, NoiseShape, noise_results
from trading.quant.evidence.sizing import micro_live_slice, overshoot
from trading.quant.evidence.trading_costs import CostRates, FillColumns, cost_bridge, depth_proxy, participation

RATES = CostRates(
    taker=np.array([0.001]), maker=np.array([0.0002]), half_spread=np.array([0.0005]), impact=np.array([0.002])
)


def _fills() -> FillColumns:
    """Buy 2 at 100, sell 2 at 110: fees 0.1 %, spread 0.05 %, a hundredth of each bar's volume."""
    return FillColumns(
        quantity=np.array([2.0, 2.0]),
        price=np.array([100.0, 110.0]),
        fee=np.array([0.2, 0.22]),
        spread=np.array([0.1, 0.11]),
        impact=np.array([0.04, 0.06]),
        symbol=np.array([0, 0]),
        bar_volume=np.array([200.0, 200.0]),
        maker=np.array([False, False]),
    )


def test_bridge_of_a_round_trip() -> None:
    bridge = cost_bridge(
        _fills(),
        net=19.0,
        funding=-0.27,
        rates=RATES,
    )
    assert bridge.gross == pytest.approx(19.0 + 0.42 + 0.21 + 0.10 + 0.27)
    assert bridge.modelled_fees == pytest.approx(0.42)
    assert bridge.modelled_spread == pytest.approx(0.21)
    assert bridge.modelled_impact == pytest.approx(420 * 0.002 * 0.1)
    assert bridge.ratio == pytest.approx(0.73 / (0.42 + 0.21 + 0.084))
    assert bridge.slippage_bps == pytest.approx(0.31 / 420 * 10_000)


def test_what_rested_is_modelled_by_the_makers_fee_alone() -> None:
    """The sale of 220 rested: 220 x 0.02 %, neither spread nor impact."""
    bridge = cost_bridge(replace(_fills(), maker=np.array([False, True])), net=19.0, funding=0.0, rates=RATES)
    assert bridge.modelled_fees == pytest.approx(0.2 + 0.044)
    assert bridge.modelled_spread == pytest.approx(0.1)
    assert bridge.modelled_impact == pytest.approx(200 * 0.002 * 0.1)


def test_bridge_without_fills_has_no_ratio() -> None:
    empty = np.empty(0)
    none = FillColumns(empty, empty, empty, empty, empty, np.empty(0, dtype=np.int64), empty, np.empty(0, dtype=bool))
    bridge = cost_bridge(none, net=0, funding=0, rates=RATES)
    assert (bridge.ratio, bridge.slippage_bps, bridge.n_fills) == (None, None, 0)
    assert participation(np.empty(0), np.empty(0)) is None


def test_participation_counts_a_bar_without_volume_as_all_of_it() -> None:
    assert participation(np.array([1.0] * 20), np.array([100.0] * 20)) == pytest.approx(0.01)
    assert participation(np.array([1.0]), np.array([0.0])) == 1.0


def test_depth_is_the_notional_that_moves_the_price() -> None:
    """Each bar moves by 1 % on 1,000,000 of turnover: 0.1 % takes 100,000."""
    close = 100.0 * 1.01 ** np.arange(11)[:, None] * np.ones((1, 3))
    close[:, 1] = 100.0
    volume = 1_000_000 / close
    volume[:, 2] = 0.0
    depth = depth_proxy(close, volume, move_frac=0.001)
    assert depth[0] == pytest.approx(100_000)
    assert np.isnan(depth[1])
    assert np.isnan(depth[2])


def test_slice_is_bounded_by_what_a_false_promotion_may_cost() -> None:
    """5 % stop, 1 % overshoot: of 10,000, 1 % is 100, so at most 1,666.67 may be at stake; 5 % is less, 500."""
    terms = {"bankroll": 10_000.0, "smallest": 50.0, "stop_frac": 0.05, "false_cost_frac": 0.01}
    usual = micro_live_slice(share_of_bankroll=0.05, overshoot_frac=0.01, **terms)
    assert (usual.amount, usual.bound, usual.fits) == (500.0, "share", True)
    assert usual.cost_frac == pytest.approx(0.003)
    wild = micro_live_slice(share_of_bankroll=0.05, overshoot_frac=0.35, **terms)
    assert (wild.bound, wild.fits) == ("false_cost", True)
    assert wild.amount == pytest.approx(250)
    assert wild.cost_frac == pytest.approx(0.01)


def test_smallest_slice_that_would_cost_too_much_does_not_fit() -> None:
    terms = {"share_of_bankroll": 0.05, "smallest": 50.0, "stop_frac": 0.05, "false_cost_frac": 0.01}
    poor = micro_live_slice(bankroll=100.0, overshoot_frac=0.05, **terms)
    assert (poor.amount, poor.bound, poor.fits) == (50.0, "smallest", False)
    assert poor.cost_frac == pytest.approx(0.05)
    enough = micro_live_slice(bankroll=800.0, overshoot_frac=0.0, **terms)
    assert (enough.amount, enough.fits) == (50.0, True)
    whole = micro_live_slice(bankroll=40.0, overshoot_frac=2.0, **terms)
    assert (whole.worst_loss_frac, whole.fits) == (1.0, False)


def test_overshoot_is_twice_the_rare_loss_of_a_bar() -> None:
    losses = -np.linspace(0.001, 0.01, 10)
    assert overshoot(np.concatenate([losses, np.ones(5)]), quantile=1.0) == pytest.approx(0.02)
    assert overshoot(np.ones(5)) == 0.0


def test_consistency_of_three_days() -> None:
    daily = np.array([[0.02, 0.01, -0.01, 0.0], [0.03, 0.02, 0.01, 0.0], [-0.01, 0.0, 0.01, 0.02]])
    found = consistency(daily, 0)
    assert (found.ranks, found.positive) == ((1, 1, 4), 2)
    assert found.best_share == pytest.approx(0.03 / 0.04)
    # Days one and two order the field alike but for the last two agents (0.8); days two and three are opposite (-1).
    assert found.rank_correlation == pytest.approx((0.8 - 1.0) / 2)
    assert consistency(daily, 2).best_share == pytest.approx(1.0)
    assert consistency(daily[:1], 1).rank_correlation is None


@pytest.mark.parametrize("model", list(NoiseModel))
def test_noise_has_unit_variance_a_day_the_asked_correlation_and_its_seed(model: NoiseModel) -> None:
    shape = NoiseShape(correlation=0.2)
    tables = [noise_results(n_agents=10, days=40, seed=s, model=model, shape=shape) for s in range(60)]
    assert np.mean([t.var() * 96 for t in tables]) == pytest.approx(1.0, abs=0.06)
    found = [np.corrcoef(t) for t in tables]
    assert np.mean([(m.sum() - 10) / 90 for m in found]) == pytest.approx(0.2, abs=0.02)
    again = noise_results(n_agents=10, days=40, seed=7, model=model, shape=shape)
    assert np.array_equal(again, tables[7])
    assert abs(np.mean([t.mean() for t in tables])) < 4 / math.sqrt(60 * 40 * 10) / 96 * 2


def test_noise_shaped_after_cohorts_is_flat_in_spells_and_has_fat_tails() -> None:
    table = noise_results(n_agents=10, days=100, seed=1, model=NoiseModel.MARKET)
    assert np.mean(table != 0) == pytest.approx(0.55, abs=0.03)
    assert np.mean((table / table.std()) ** 4) > 8
    with pytest.raises(EvidenceError):
        noise_results(n_agents=0, days=1, seed=1, model=NoiseModel.PLAIN)
