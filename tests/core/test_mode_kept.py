"""Data that ran as the demo do not silently run as something else."""

from __future__ import annotations

from pathlib import Path

from fundops.core.env import Env
from fundops.core.management.commands.up import note_mode


def env(folder: Path, mode: str) -> Env:
    return Env(fundops_env=mode, fundops_state_dir=str(folder))  # type: ignore[arg-type]


def test_the_first_start_and_the_same_again_say_nothing(tmp_path: Path) -> None:
    assert note_mode(env(tmp_path / "var", "demo")) == ""
    assert note_mode(env(tmp_path / "var", "demo")) == ""
    assert (tmp_path / "var" / "mode").read_text() == "demo\n"


def test_another_mode_on_the_same_data_is_said_once_with_the_way_back(tmp_path: Path) -> None:
    note_mode(env(tmp_path, "demo"))
    said = note_mode(env(tmp_path, "development"))
    assert "last ran as 'demo'; now they run as 'development'" in said
    assert "second factor" in said
    assert "FUNDOPS_ENV=demo" in said
    assert note_mode(env(tmp_path, "development")) == ""
    assert "second factor" not in note_mode(env(tmp_path, "demo"))
