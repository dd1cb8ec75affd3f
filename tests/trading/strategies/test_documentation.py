"""The examples of docs/strategies.md run as printed, and its list of families is the real one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading.quant import indicators
from trading.quant.engine import (
    AgentSpec,
    InstrumentKind,
    InstrumentRules,
    Market,
    WalletRules,
    frictionless,
    run,
)
from trading.quant.lookahead import as_frame, synthetic_bars
from trading.strategies.profiles import load_profiles
from trading.strategies.registry import builtin_families, load_registry

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "strategies.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def example(name: str) -> str:
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert found, name
    return found.group(1)


def test_the_step_of_ten_lines_loads_passes_its_checks_and_trades(tmp_path: Path) -> None:
    text = example("step")
    body = text.split("\n\n", 1)[1]
    assert len(body.strip().splitlines()) <= 10
    (tmp_path / "slope.py").write_text(text)
    registry = load_registry(tmp_path, cache_dir=tmp_path / "cache")
    assert registry.refused == ()
    family = registry.family("ema_slope")
    bars = synthetic_bars(1500, seed=2)[:, 0]
    bars[:, 4] *= 1e4  # deep enough that every order fills whole
    names = ("open", "high", "low", "close", "volume")
    market = Market.from_columns(
        1_700_006_400_000 + 60_000 * np.arange(1500),
        60_000,
        {"X": {n: bars[:, j] for j, n in enumerate(names)}},
    )
    outcome = run(
        market,
        [AgentSpec(family=family, params={}, draw=1000.0, symbol="X")],
        instruments=[InstrumentRules(symbol="X", kind=InstrumentKind.PERPETUAL, max_leverage=5)],
        costs=frictionless(),
        wallet=WalletRules(bankroll=1000.0),
    )
    average = pd.Series(bars[:, 3]).ewm(span=50, adjust=False, min_periods=50).mean()
    wanted = np.sign(average.diff().dropna().to_numpy()[:-1])  # the last bar's decision would fill on the next
    assert runs(np.sign(outcome.fills["position"])) == runs(wanted)
    assert len(runs(wanted)) > 10


def runs(signs: npt.NDArray[np.float64]) -> list[float]:
    """The sequence without repetitions."""
    return [float(x) for x, before in zip(signs, [np.nan, *signs[:-1]], strict=True) if x != before]


def test_the_frame_example_loads_and_passes_its_checks(tmp_path: Path) -> None:
    (tmp_path / "weekend.py").write_text(example("frame"))
    registry = load_registry(tmp_path, cache_dir=tmp_path / "cache")
    assert registry.refused == ()
    form = registry.frame("weekend_reversal")
    candles = as_frame(synthetic_bars(3000, seed=4)[:, 0])
    candles.index = pd.date_range("2024-01-05", periods=3000, freq="min", tz="UTC")  # a Friday
    targets = form.targets(candles, {"window": 120})
    friday = candles.index.day_of_week == 4
    assert (targets[friday][121:] == 0).all()
    assert np.count_nonzero(targets[~friday]) > 0


def test_the_profile_example_is_read(tmp_path: Path) -> None:
    (tmp_path / "patient.yaml").write_text(example("profile"))
    profile = load_profiles(load_registry(check=False).family, folder=tmp_path)["trend_patient"]
    assert profile.ranges["slow"] == (200.0, 200.0)


def test_the_list_of_families_is_the_real_one() -> None:
    table = TEXT.split("<!-- families -->")[1].split("<!-- /families -->")[0]
    listed = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    assert [(name, title.strip()) for name, title, _ in listed] == [
        (f.name, f.title) for f in builtin_families().values()
    ]


def test_every_indicator_the_document_names_exists() -> None:
    named = set(re.findall(r"`(\w+)`", TEXT.split("## The indicator library")[1]))
    assert len(named) > 15
    assert named <= set(indicators.__all__)
