"""Profiles: those that ship, and every mistake with its file, its line and what to write instead."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from trading.quant.engine.rules import agent_parameters, check_agent
from trading.strategies.errors import GenomeError, ProfileError, UnknownStrategyError
from trading.strategies.profiles import find_profile, load_profiles
from trading.strategies.registry import builtin_families
from trading.strategies.registry import load_registry as load

FAMILIES = builtin_families()
REGISTRY = load(check=False)


def test_every_family_has_a_profile_and_every_profile_makes_agents_the_engine_accepts() -> None:
    profiles = load_profiles(REGISTRY.family)
    assert {p.family for p in profiles.values()} == set(FAMILIES)
    rng = np.random.default_rng(1)
    for profile in profiles.values():
        family = FAMILIES[profile.family]
        for _ in range(20):
            genome = profile.genome(family, rng, symbols=("X", "Y"))
            agent = genome.agent(family, draw=10.0)
            agent_parameters(agent, profile.name)
            check_agent(agent, profile.name, {"X": 0, "Y": 1})
            for name, (low, high) in profile.ranges.items():
                assert low <= genome.params[name] <= high
            for name, (low, high) in profile.exit_ranges.items():
                assert low <= getattr(genome.exits, name) <= high


GOOD = """\
mine:
  title: My profile
  family: sma_crossover
  interval: 5m
  parameters:
    fast: {low: 5, high: 20}
    slow: 100
  exits:
    stop_loss_frac: 0.02
"""


def read(folder: Path, text: str) -> None:
    (folder / "mine.yaml").write_text(text)
    load_profiles(REGISTRY.family, folder=folder)


def test_a_good_file_is_read_in_full(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    profile = load_profiles(REGISTRY.family, folder=tmp_path)["mine"]
    assert profile.family == "sma_crossover@1"
    assert profile.ranges == {"fast": (5.0, 20.0), "slow": (100.0, 100.0)}
    assert profile.exit_ranges["stop_loss_frac"] == (0.02, 0.02)
    assert profile.exit_ranges["take_profit_frac"] == (0.0, 0.0)
    assert profile.line == 1
    with pytest.raises(GenomeError, match="belongs to sma_crossover@1"):
        profile.genome(FAMILIES["macd_trend@1"], np.random.default_rng(0), symbols=("X",))


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ("family: sma_crossover", "family: sma_crosover", 3, "Did you mean sma_crossover"),
        ("interval: 5m", "interval: 7m", 4, "interval: Input should be '1m'"),
        ("  interval: 5m\n", "", 1, "interval is missing"),
        ("title: My profile", "titel: My profile", 2, "titel is unknown; did you mean title?"),
        ("stop_loss_frac", "stop_los_frac", 9, "did you mean stop_loss_frac?"),
        ("stop_loss_frac: 0.02", "stop_loss_frac: 2", 8, "stop_loss_frac must lie between 0 (off) and 0.999"),
        ("stop_loss_frac: 0.02", "stop_loss_frac: {low: 0, high: 0.1}", 8, "cannot begin at 0"),
        ("stop_loss_frac: 0.02", "cooldown_bars: 1.5", 8, "counts bars: write whole numbers"),
        ("{low: 5, high: 20}", "{low: 20, high: 5}", 6, "low 20 is above high 5; swap them"),
        ("{low: 5, high: 20}", "{low: 5}", 6, "parameters.fast.high is missing"),
        ("{low: 5, high: 20}", "five", 6, "write a number, or {low: ..., high: ...}"),
        ("{low: 5, high: 20}", "{low: 5, high: 2000}", 6, "must lie within 3 to 120"),
        ("fast:", "quick:", 6, "no parameter 'quick'"),
        ("slow: 100", "slow: 100\n    slow: 120", 8, "parameters.slow is written twice"),
        ("slow: 100", "slow: [100", 8, "not YAML"),
        ("{low: 5, high: 20}", "{low: 90, high: 110}\n    slow: 50", 8, "written twice"),
        ("slow: 100", "slow: 10", 5, "must be smaller than slow"),
        ("mine:", "My profile:", 1, "must be small letters"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, reason: str) -> None:
    text = GOOD.replace(old, new, 1)
    if "smaller than slow" in reason:
        text = text.replace("{low: 5, high: 20}", "{low: 10, high: 20}")
    with pytest.raises(ProfileError) as refusal:
        read(tmp_path, text)
    found = refusal.value.extra["problems"]
    assert any(reason in f["reason"] for f in found), found
    assert [f["line"] for f in found if reason in f["reason"]] == [line]
    assert f"mine.yaml:{line}: " in refusal.value.message


def test_all_mistakes_of_all_files_are_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD + "mine:\n  title: again\n")
    (tmp_path / "c.yaml").write_text("- a list\n")
    (tmp_path / "d.yaml").write_text("# nothing\n")
    with pytest.raises(ProfileError, match="3 mistakes") as refusal:
        load_profiles(REGISTRY.family, folder=tmp_path)
    reasons = [(Path(f["path"]).name, f["reason"]) for f in refusal.value.extra["problems"]]
    assert [name for name, _ in reasons] == ["b.yaml", "b.yaml", "c.yaml"]
    assert "already defined in a.yaml:1" in reasons[0][1]
    assert "already defined in line 1" in reasons[1][1]


def test_an_unknown_profile_suggests_what_was_meant() -> None:
    with pytest.raises(UnknownStrategyError, match="Did you mean breakout_fast"):
        find_profile(load_profiles(REGISTRY.family), "breakot_fast")


def test_list_profiles_prints_a_table_and_json() -> None:
    out = StringIO()
    call_command("list_profiles", stdout=out)
    assert "trend_conservative" in out.getvalue()
    assert "fast 20 to 40" in out.getvalue()
    out = StringIO()
    call_command("list_profiles", "--json", "--family", "donchian_breakout", stdout=out)
    listed = json.loads(out.getvalue())
    assert {p["name"] for p in listed} == {"breakout_fast", "breakout_turtle"}
    turtle = next(p for p in listed if p["name"] == "breakout_turtle")
    assert turtle["parameters"] == {"entry": 480, "exit": 240, "allow_short": 0}


def test_list_profiles_refuses_a_bad_folder_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD.replace("interval: 5m", "interval: 7m"))
    with pytest.raises(CommandError, match=r"mine\.yaml:4"):
        call_command("list_profiles", "--folder", str(tmp_path), stdout=StringIO())
