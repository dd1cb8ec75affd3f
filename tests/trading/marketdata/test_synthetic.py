"""The invented market shows the facts it should, and says that it is invented."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tests.trading.marketdata.helpers import MAY_4
from trading.marketdata.bars import FIELDS, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.intervals import MINUTE_MS
from trading.marketdata.synthetic import (
    Regime,
    SyntheticMarket,
    SyntheticSpec,
    SyntheticSpecError,
    store_synthetic,
    synthesise,
)

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")


@pytest.fixture(scope="module")
def month() -> SyntheticMarket:
    return synthesise(SyntheticSpec(SYMBOLS, MAY_4, 30 * 1440, seed=11))


def returns_of(market: SyntheticMarket) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.column_stack([np.diff(np.log(bars.close)) for bars in market.bars.values()])


def fingerprint(market: SyntheticMarket) -> str:
    digest = hashlib.sha256()
    for bars in market.bars.values():
        for name in ("ts_ms", *FIELDS):
            digest.update(getattr(bars, name).tobytes())
    return digest.hexdigest()


def test_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    spec = SyntheticSpec(SYMBOLS, MAY_4, 2000, seed=3)
    assert fingerprint(synthesise(spec)) == fingerprint(synthesise(spec))
    assert fingerprint(synthesise(spec)) != fingerprint(synthesise(SyntheticSpec(SYMBOLS, MAY_4, 2000, seed=4)))


def test_every_bar_is_consistent(month: SyntheticMarket) -> None:
    for bars in month.bars.values():
        assert bool((np.diff(bars.ts_ms) == MINUTE_MS).all())
        assert bool((bars.low > 0).all())
        assert bool((bars.high >= np.maximum(bars.open, bars.close)).all())
        assert bool((bars.low <= np.minimum(bars.open, bars.close)).all())
        assert bool((bars.volume > 0).all())
        np.testing.assert_array_equal(bars.open[1:], bars.close[:-1])


def test_tails_are_fat_and_returns_uncorrelated_in_time(month: SyntheticMarket) -> None:
    returns = returns_of(month)
    assert bool((stats.kurtosis(returns) > 3).all())
    for j in range(len(SYMBOLS)):
        assert abs(np.corrcoef(returns[:-1, j], returns[1:, j])[0, 1]) < 0.05


def test_volatility_clusters_and_fades(month: SyntheticMarket) -> None:
    returns = returns_of(month)
    for j in range(len(SYMBOLS)):
        column: NDArray[np.float64] = np.asarray(np.abs(returns[:, j]))
        near, far = (np.asarray(np.corrcoef(column[:-lag], column[lag:]))[0, 1] for lag in (1, 600))
        assert near > 0.08
        assert near > far


@pytest.mark.parametrize("wanted", [0.2, 0.6, 0.9])
def test_correlation_comes_close_to_the_request(wanted: float) -> None:
    market = synthesise(SyntheticSpec(SYMBOLS, MAY_4, 30 * 1440, seed=5, correlation=wanted))
    found = np.asarray(np.corrcoef(returns_of(market).T))[np.triu_indices(4, 1)]
    np.testing.assert_allclose(found, wanted, atol=0.08)


def test_correlation_matrix_is_followed_pair_by_pair() -> None:
    matrix = ((1.0, 0.8, 0.0), (0.8, 1.0, 0.1), (0.0, 0.1, 1.0))
    market = synthesise(SyntheticSpec(SYMBOLS[:3], MAY_4, 30 * 1440, seed=5, correlation=matrix))
    np.testing.assert_allclose(np.corrcoef(returns_of(market).T), matrix, atol=0.1)


def test_volume_and_volatility_follow_the_hour_of_the_day(month: SyntheticMarket) -> None:
    volume = np.mean([bars.volume / bars.volume.mean() for bars in month.bars.values()], axis=0)
    by_hour = volume.reshape(30, 24, 60).mean(axis=(0, 2))
    assert int(by_hour.argmax()) in {13, 14, 15}
    assert by_hour[14] > 2 * by_hour[4]


def test_crises_are_rarer_and_wilder_than_calm() -> None:
    market = synthesise(SyntheticSpec(("BTCUSDT",), MAY_4, 120 * 1440, seed=8))
    returns, regimes = returns_of(market)[:, 0], market.regimes[1:]
    shares = [float(np.mean(regimes == regime)) for regime in Regime]
    spread = [float(np.std(returns[regimes == regime])) for regime in Regime]
    assert shares[Regime.CALM] > shares[Regime.TREND] > shares[Regime.CRISIS] > 0
    assert spread[Regime.CRISIS] > 2 * spread[Regime.CALM]


def test_stored_market_is_labelled_everywhere(catalog: Catalog) -> None:
    market = synthesise(SyntheticSpec(SYMBOLS, MAY_4, 2000, seed=3))
    for result in store_synthetic(catalog, market):
        assert result.manifest.key.venue == "synthetic"
        assert result.manifest.synthetic
        assert all(part.synthetic for part in result.manifest.parts)
    bars = catalog.read_bars(SeriesKey("synthetic", "BTCUSDT", MINUTE_MS), 0, 10**14)
    np.testing.assert_array_equal(bars.close, market.bars["BTCUSDT"].close)


@pytest.mark.parametrize(
    "fields",
    [
        {"symbols": ()},
        {"symbols": ("A", "A")},
        {"minutes": 0},
        {"start_ms": MAY_4 + 1},
        {"correlation": -0.9},
        {"correlation": ((1.0,),)},
        {"degrees_of_freedom": 2.0},
    ],
)
def test_impossible_markets_are_refused(fields: dict[str, object]) -> None:
    values: dict[str, object] = {"symbols": SYMBOLS, "start_ms": MAY_4, "minutes": 10, "seed": 1}
    with pytest.raises(SyntheticSpecError):
        synthesise(SyntheticSpec(**(values | fields)))  # type: ignore[arg-type]
