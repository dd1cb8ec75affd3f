"""Loading a user's folder: what works stays, what is broken is refused with file, line and reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trading.strategies.errors import UnknownStrategyError
from trading.strategies.registry import Registry, load_registry

GOOD = '''
from trading.quant.indicators import ema, ema_size
from trading.strategies.authoring import Parameter, strategy

@strategy(
    title="EMA slope", source="house",
    parameters=(Parameter("window", 5, 200, 50, "integer"),),
    state_size=lambda p, n: 1 + ema_size(p[0]), warm_up=lambda p, n: int(p[0]),
)
def ema_slope(open_, high, low, close, volume, params, state):
    """Long while the average rises, short while it falls."""
    before = state[0]
    state[0] = now = ema(close, params[0], state, 1)
    return 1.0 if now > before else (-1.0 if now < before else 0.0)
'''

FRAME = '''
import pandas as pd
from trading.strategies.frames import frame_strategy

@frame_strategy(title="Above its mean", source="house", warm_up=lambda p: 20)
def above_mean(candles, params):
    """Long above the mean of twenty closes."""
    mean = candles.close.rolling(20).mean().shift()
    return (candles.close > mean).astype(float).where(mean.notna())
'''

AHEAD = FRAME.replace("above_mean", "ahead").replace("mean().shift()", "mean().shift(-1)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "mine"
    place.mkdir()
    return place


def load(folder: Path) -> Registry:
    return load_registry(folder, cache_dir=folder.parent / "cache")


def test_good_strategies_of_both_forms_load_beside_the_built_in_ones(folder: Path) -> None:
    (folder / "slope.py").write_text(GOOD)
    (folder / "mean.py").write_text(FRAME)
    (folder / "_helpers.py").write_text("raise SystemExit")
    registry = load(folder)
    assert registry.refused == ()
    assert registry.family("ema_slope").key == "ema_slope@1"
    assert registry.frame("above_mean@1").title == "Above its mean"
    assert registry.family("sma_crossover").version == 1
    assert registry.origins["ema_slope@1"] == folder / "slope.py"


BY_HAND = """
import numba
from trading.strategies.spec import Scope, StrategyFamily

@numba.njit
def init(params, state):
    state[0] = 0.0

@numba.njit
def step(open_, high, low, close, volume, params, state):
    return 1.0

STRATEGY = StrategyFamily(
    name="always_long", version=3, title="Always long", description="Nothing else.", source="house",
    scope=Scope.SINGLE, parameters=(), init=init, step=step,
    state_size=lambda p, n: 1, warm_up=lambda p, n: 0,
)
"""


def test_a_family_written_out_by_hand_is_accepted_once_it_is_compiled(folder: Path) -> None:
    (folder / "hand.py").write_text(BY_HAND)
    (folder / "slow.py").write_text(BY_HAND.replace("@numba.njit\n", "").replace("always_long", "slow_long"))
    registry = load(folder)
    assert registry.family("always_long").version == 3
    assert [r.path.name for r in registry.refused] == ["slow.py"]
    assert "init is not compiled" in registry.refused[0].reason


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("x = 1\ndef broken(:\n", 2, "syntax error"),
        ("import os\n\nimport no_such_module\n", 3, "ModuleNotFoundError"),
        ("a = 1\nb = 2\nraise SystemExit('bye')\n", 3, "SystemExit"),
        ("def helper():\n    return 1 / 0\n\nhelper()\n", 2, "ZeroDivisionError"),
        ("x = 1\n", None, "it defines no strategy"),
        (GOOD.replace("ema_slope", "sma_crossover"), 5, "exists already"),
        (AHEAD, 5, "looks ahead"),
        (GOOD.replace("before = state[0]", "before = state[0].nothing"), 12, "numba cannot compile"),
        (GOOD.replace("1 + ema_size(p[0])", "2"), 5, "outside its 2 state slots"),
        (GOOD.replace("int(p[0]),\n)", "int(p[0]) + 5,\n)"), 5, "warm-up"),
    ],
    ids=[
        "syntax",
        "import",
        "exit",
        "error",
        "empty",
        "duplicate",
        "lookahead",
        "numba",
        "memory",
        "warm-up",
    ],
)
def test_a_broken_strategy_is_refused_with_its_line_and_the_rest_work(
    folder: Path, text: str, line: int | None, reason: str
) -> None:
    (folder / "a_broken.py").write_text(text)
    (folder / "mean.py").write_text(FRAME)
    registry = load(folder)
    assert "above_mean@1" in registry.frames
    assert len(registry.refused) == 1
    refusal = registry.refused[0]
    assert refusal.path == folder / "a_broken.py"
    assert refusal.line == line
    assert reason in refusal.reason
    if line:
        assert str(refusal).startswith(f"{folder / 'a_broken.py'}:{line}: ")


def test_checks_are_remembered_by_content(folder: Path) -> None:
    place = folder / "mean.py"
    place.write_text(FRAME)
    load(folder)
    cache = folder.parent / "cache"
    remembered = sorted(cache.glob("above_mean-1-*.json"))
    assert len(remembered) == 1
    remembered[0].write_text(
        json.dumps({"key": "above_mean@1", "problems": ["remembered refusal"], "bars": 1, "points": 1})
    )
    assert "remembered refusal" in load(folder).refused[0].reason
    place.write_text(FRAME + "\n# edited\n")
    assert load(folder).refused == ()
    assert len(sorted(cache.glob("above_mean-1-*.json"))) == 2


def test_an_edited_file_is_loaded_anew(folder: Path) -> None:
    place = folder / "mean.py"
    place.write_text(FRAME)
    assert load(folder).frame("above_mean").title == "Above its mean"
    place.write_text(FRAME.replace("Above its mean", "Renamed"))
    assert load(folder).frame("above_mean").title == "Renamed"


def test_a_missing_folder_means_only_the_built_in_strategies(tmp_path: Path) -> None:
    registry = load(tmp_path / "absent")
    assert registry.refused == ()
    assert len(registry.families) >= 8


def test_an_unknown_name_suggests_what_was_meant(folder: Path) -> None:
    with pytest.raises(UnknownStrategyError, match="Did you mean sma_crossover"):
        load(folder).family("sma_crosover")
    with pytest.raises(UnknownStrategyError, match="There are: none"):
        load(folder).frame("zzz")
