"""Every built-in family: the checks it must pass, its page, split runs, and the JIT switched off."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from trading.quant.lookahead import check_family, synthetic_bars
from trading.strategies.examples import example_market, family_example
from trading.strategies.pages import family_page
from trading.strategies.registry import builtin_families
from trading.strategies.spec import Float64, Scope, StrategyFamily

FAMILIES = builtin_families()
SHORT_SWITCH = "allow_short"


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> StrategyFamily:
    return FAMILIES[request.param]


def names(family: StrategyFamily) -> list[str]:
    return [p.name for p in family.parameters]


def defaults(family: StrategyFamily) -> Float64:
    return np.array([p.default for p in family.parameters], dtype=np.float64)


def targets(family: StrategyFamily, bars: Float64, params: Float64, state: Float64) -> Float64:
    step: Any = family.step
    if family.scope is Scope.SINGLE:
        return np.array([step(*map(float, row), params, state) for row in bars[:, 0]])
    out = np.zeros(bars.shape[:2])
    for t, rows in enumerate(bars):
        step(*np.ascontiguousarray(rows.T), params, state, out[t])
    return out


def whole_run(family: StrategyFamily, n_bars: int = 900) -> Float64:
    params = defaults(family)
    bars = synthetic_bars(n_bars, seed=3, n_symbols=4)
    return targets(family, bars, params, np.zeros(family.state_size(params, 4)))


def test_there_are_at_least_eight_families_and_one_sees_all_symbols() -> None:
    assert len(FAMILIES) >= 8
    assert any(f.scope is Scope.PANEL for f in FAMILIES.values())


def test_family_passes_every_check_on_candles_it_was_not_tuned_on(family: StrategyFamily) -> None:
    report = check_family(family, seed=977, points=6)
    assert report.problems == ()
    assert report.points >= 2


def test_family_trades_on_ordinary_candles(family: StrategyFamily) -> None:
    spoken = whole_run(family, 3000)
    assert np.count_nonzero(~np.isnan(spoken)) >= 1
    assert np.nanmax(spoken) > 0


def test_family_split_anywhere_equals_the_whole_run(family: StrategyFamily) -> None:
    params = defaults(family)
    bars = synthetic_bars(900, seed=3, n_symbols=4)
    whole = whole_run(family)
    for cut in (1, 250, 613):
        state = np.zeros(family.state_size(params, 4))
        first = targets(family, bars[:cut], params, state)
        second = targets(family, bars[cut:], params, np.frombuffer(state.tobytes()).copy())
        assert np.concatenate([first, second]).tobytes() == whole.tobytes()


def test_family_never_repeats_itself(family: StrategyFamily) -> None:
    """Only a change is spoken; the same target twice in a row would be a trade decision without news."""
    for column in np.atleast_2d(whole_run(family).T):
        spoken = column[~np.isnan(column)]
        assert (np.diff(np.concatenate([[0.0], spoken])) != 0).all()


@pytest.mark.parametrize("key", sorted(key for key, f in FAMILIES.items() if SHORT_SWITCH in names(f)))
def test_family_without_short_selling_is_never_short(key: str) -> None:
    family = FAMILIES[key]
    params = defaults(family)
    params[names(family).index(SHORT_SWITCH)] = 0
    bars = synthetic_bars(2000, seed=5)
    spoken = targets(family, bars, params, np.zeros(family.state_size(params, 1)))
    assert np.nanmin(spoken) == 0.0
    assert not np.signbit(spoken[spoken == 0.0]).any()


@pytest.mark.parametrize("key", sorted(key for key, f in FAMILIES.items() if SHORT_SWITCH not in names(f)))
def test_family_without_a_short_side_is_never_short(key: str) -> None:
    spoken = whole_run(FAMILIES[key], 2000)
    assert np.nanmin(spoken) >= 0.0
    assert not np.signbit(spoken[spoken == 0.0]).any()


def test_family_page_tells_what_a_reader_needs(family: StrategyFamily) -> None:
    page = family_page(family)
    assert page["title"] == family.title
    assert len(page["paragraphs"]) >= 3
    assert any("fails when" in p.lower() for p in page["paragraphs"])
    assert [row["name"] for row in page["parameters"]] == [p.name for p in family.parameters]
    assert all(row["help"] for row in page["parameters"])
    assert page["source"]
    assert page["warm_up_bars"] == family.warm_up(defaults(family), 8)


def digest() -> str:
    sha = hashlib.sha256()
    for key in sorted(FAMILIES):
        run = whole_run(FAMILIES[key], 500)
        sha.update(key.encode() + np.where(np.isnan(run), -9.0, run).tobytes())
    return sha.hexdigest()


def test_families_without_the_jit_are_the_same_to_the_last_bit() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from tests.trading.strategies.test_families import digest; print(digest())"],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == digest()


def test_momentum_rotation_holds_the_strongest_and_skips_missing_bars() -> None:
    family = FAMILIES["momentum_rotation@1"]
    params = np.array([10.0, 5.0, 1.0, 0.0])
    n = 40
    drift = np.array([0.001, 0.003, -0.002])
    close = 100 * np.exp(np.outer(np.arange(n), drift))
    close[8:, 1] = np.where(np.arange(8, n) < 20, close[8:, 1], np.nan)  # the winner stops trading at bar 20
    state = np.zeros(family.state_size(params, 3))
    spoken = []
    step: Any = family.step
    for row in close:
        out = np.zeros(3)
        step(row, row, row, row, np.ones(3), params, state, out)
        spoken.append(out)
    assert np.isnan(np.array(spoken[:10])).all()
    first = spoken[10]
    assert first[1] == 1.0
    assert np.isnan(first[[0, 2]]).all()  # they were flat and stay flat: nothing to say
    later = np.array(spoken[11:])
    assert set(later[~np.isnan(later)]) <= {0.0, 1.0}
    assert later[:, 0][~np.isnan(later[:, 0])].tolist() == [1.0]  # the survivor takes over once


def test_family_example_is_labelled_synthetic_and_reproducible(family: StrategyFamily) -> None:
    market = example_market(days=20)
    example = family_example(family, FAMILIES["buy_and_hold@1"], market=market)
    assert example["synthetic"] is True
    assert "never traded" in example["label"]
    assert len(example["times_ms"]) == len(example["equity"]) == len(example["benchmark"]) == 21
    assert example["equity"][0] == example["benchmark"][0] == 1000.0
    assert example == family_example(family, FAMILIES["buy_and_hold@1"], market=market)
    assert example["report"]["sharpe"]["n"] == 20
