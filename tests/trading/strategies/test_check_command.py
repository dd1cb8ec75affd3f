"""``manage.py check_strategies``: what passes, what is refused, and the exit code."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.trading.strategies.test_registry import AHEAD, FRAME


def test_named_strategies_are_checked_and_listed_as_json() -> None:
    out = StringIO()
    call_command("check_strategies", "buy_and_hold", "sma_crossover@1", "--json", stdout=out)
    reports = json.loads(out.getvalue())["reports"]
    assert {r["key"]: r["passed"] for r in reports} == {"buy_and_hold@1": True, "sma_crossover@1": True}


def test_a_user_strategy_that_looks_ahead_fails_the_command(tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text(FRAME)
    (tmp_path / "ahead.py").write_text(AHEAD)
    (tmp_path / "broken.py").write_text("def broken(:\n")
    out = StringIO()
    with pytest.raises(CommandError, match="2 of") as refusal:
        call_command("check_strategies", "--folder", str(tmp_path), "--json", stdout=out)
    assert refusal.value.returncode == 1
    document = json.loads(out.getvalue())
    failed = [r for r in document["reports"] if not r["passed"]]
    assert [r["key"] for r in failed] == ["ahead@1"]
    assert document["refused"][0]["line"] == 1
    assert any(r["key"] == "above_mean@1" and r["passed"] for r in document["reports"])


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(CommandError, match="Did you mean sma_crossover"):
        call_command("check_strategies", "sma_crosover", stdout=StringIO())
