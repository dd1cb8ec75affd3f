"""Cost profiles: the four venues load, wrong ones are refused by field, and tiers, impact and makers cost
what they should.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trading.engine.worked import candles, fills, perp, script, spot, trade
from trading.quant.costs import FeeSchedule, FeeTier, frictionless, list_cost_profiles, load_cost_profile
from trading.quant.engine.errors import CostProfileError
from trading.quant.engine.market import DAY_MS


def test_the_four_venues_load_with_their_entry_rates() -> None:
    assert list_cost_profiles() == ("binance", "bybit", "coinbase", "kraken", "kraken_2026")
    entry = {}
    for name in list_cost_profiles():
        fees = load_cost_profile(name).fees
        entry[name] = (fees.spot[0].maker_bps, fees.spot[0].taker_bps, fees.perpetual[0].taker_bps)
    assert entry == {
        "binance": (10.0, 10.0, 5.0),
        "bybit": (10.0, 10.0, 5.5),
        "coinbase": (40.0, 60.0, 4.0),
        "kraken": (16.0, 26.0, 5.0),
        "kraken_2026": (25.0, 40.0, 5.0),
    }


@pytest.mark.parametrize("name", list_cost_profiles())
def test_rates_never_rise_with_volume_and_sources_are_named(name: str) -> None:
    profile = load_cost_profile(name)
    assert profile.sources
    for ladder in (profile.fees.spot, profile.fees.perpetual):
        for side in ("maker_bps", "taker_bps"):
            rates = [getattr(tier, side) for tier in ladder]
            assert rates == sorted(rates, reverse=True)


def test_an_unknown_profile_lists_those_there_are() -> None:
    with pytest.raises(CostProfileError, match="no cost profile 'nyse'; there are: binance, bybit"):
        load_cost_profile("nyse")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("participation_cap_frac: 0.10", "participation_cap_frac: 1.5"), "participation_cap_frac"),
        (("impact_coefficient: 1.0", "impact_coefficient: .nan"), "impact_coefficient"),
        (
            ("{volume_usd: 0, maker_bps: 10.0,", "{volume_usd: 5, maker_bps: 10.0,"),
            "must start at volume_usd 0",
        ),
        (("volume_usd: 5_000_000,", "volume_usd: 500_000,"), "must rise in volume_usd"),
        (("taker_bps: 10.0}", "taker_bps: -3}"), "taker_bps"),
        (("title:", "titel:"), "titel: Extra inputs"),
        (("name: binance", "name: other"), "says its name is 'other'"),
        (("fees:", "fees: ["), "no valid YAML"),
    ],
)
def test_a_wrong_profile_is_refused_naming_file_and_field(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    from trading.quant.engine.costs import PROFILE_FOLDER  # noqa: PLC0415

    text = (PROFILE_FOLDER / "binance.yaml").read_text()
    assert change[0] in text
    (tmp_path / "binance.yaml").write_text(text.replace(*change, 1))
    with pytest.raises(CostProfileError, match=complaint) as refusal:
        load_cost_profile("binance", tmp_path)
    assert "binance.yaml" in str(refusal.value)


def tiered(*steps: tuple[float, float]) -> FeeSchedule:
    ladder = tuple(FeeTier(volume_usd=v, maker_bps=bps / 2, taker_bps=bps) for v, bps in steps)
    return FeeSchedule(spot=ladder, perpetual=(FeeTier(volume_usd=0, maker_bps=1, taker_bps=1),))


def test_the_fee_tier_follows_the_wallets_volume_of_the_days_before() -> None:
    costs = frictionless().model_copy(update={"fees": tiered((0, 20), (1_200, 10))})
    market = candles([100.0] * 6, interval=DAY_MS)
    # Two agents trade 500 + 500 on day 1 and 500 each way later: 1,000 before day 2, 2,000 before day 3.
    agents = [script(0.5, 0.0, 0.5), script(0.5, 0.0, 0.5)]
    result = trade(market, *agents, costs=costs)
    assert [(bar, fee) for bar, fee in fills(result, "bar", "fee")] == [
        (1, 1.0), (1, 1.0), (2, 1.0), (2, 1.0), (3, 0.5), (3, 0.5),
    ]  # fmt: skip


def test_volume_older_than_thirty_days_no_longer_counts() -> None:
    costs = frictionless().model_copy(update={"fees": tiered((0, 20), (2_900, 10))})
    market = candles([100.0] * 4, interval=DAY_MS)
    # 3,000 over the thirty days before the run: 100 of it falls out of the window every day.
    result = trade(market, script(0.5, 0.0, 0.5), costs=costs, prior_volume_usd=(3000.0, 0.0))
    assert [fee for (fee,) in fills(result, "fee")] == [0.5, 0.5, 0.5]
    late = trade(market, script(0.0, 0.0, 0.5), costs=costs, prior_volume_usd=(3000.0, 0.0))
    assert [fee for (fee,) in fills(late, "fee")] == [1.0]


def test_spot_and_perpetual_have_their_own_tiers() -> None:
    costs = frictionless().model_copy(update={"fees": tiered((0, 20))})
    market = candles([100.0, 100.0], [100.0, 100.0])
    result = trade(market, script(0.5), script(0.5, symbol=1), costs=costs, instruments=[spot("S0"), perp("S1")])
    assert sorted(fills(result, "symbol", "fee")) == [(0, 1.0), (1, 0.05)]


def test_impact_follows_the_square_root_law() -> None:
    # 5 units of 500 in a daily bar with sigma 4 % and coefficient 0.5: 0.5 x 4 % x sqrt(1 %) = 0.2 %.
    bar = (100.0, 100.0, 100.0, 100.0, 500.0)
    rules = [spot(tick=0.0001, daily_volatility=0.04, impact_coefficient=0.5)]
    result = trade(candles([bar, bar], interval=DAY_MS), script(0.5), instruments=rules)
    assert fills(result, "price", "spread_cost", "impact_cost") == [(100.2, 0.0, 1.0)]


def test_impact_scales_with_the_square_root_of_the_interval() -> None:
    bar = (100.0, 100.0, 100.0, 100.0, 500.0)
    rules = [spot(tick=0.0001, daily_volatility=0.04, impact_coefficient=0.5)]
    quarter = trade(candles([bar, bar], interval=DAY_MS // 4), script(0.5), instruments=rules)
    assert fills(quarter, "impact_cost") == [(0.5,)]
