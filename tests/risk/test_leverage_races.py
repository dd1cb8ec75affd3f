"""Many workers, one Book: leverage is decided one step at a time, and one guardrail is overridden once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fundops.core import clock
from risk.actions.leverage import decide_leverage, start_leverage
from risk.models import GuardrailOverride, LeverageDecision
from tests.gate import by_gate, released
from tests.risk.leverage_support import GOOD, LEVERAGE, OVERRIDE, OVERRIDES, did
from tests.risk.test_races import WORKERS, at_once, book, ended
from treasury.models import Book

__all__ = ["book"]

pytestmark = pytest.mark.timeout(300)


def test_of_many_decisions_at_once_one_steps_up(book: Book) -> None:
    by_gate(LEVERAGE, {"step_up_cooldown_h": 1, "recovery_h": 1})
    long_ago = clock.now() - timedelta(days=2)
    started = at_once(lambda _: start_leverage(book=book, actor=None, at=long_ago))
    assert len({row.pk for row in started}) == 1, started
    now = clock.now()
    decided = at_once(lambda _: decide_leverage(book=book, performance=did(GOOD, now), actor=None, at=now))
    assert not [x for x in decided if isinstance(x, Exception)], decided
    rows = list(LeverageDecision.objects.filter(book=book).order_by("number"))
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    assert sum(row.rule == "step_up" for row in rows) == 1
    assert rows[-1].to_leverage == 3
    # The others held, and said so once.
    assert len(rows) == 3 and WORKERS > 2


def test_of_overrides_approved_side_by_side_one_is_granted(book: Book) -> None:
    by_gate(OVERRIDES, {})
    by_gate("risk.set_limit", {"book": book.path, "metric": "leverage", "hard": "2"})
    until = (clock.now() + timedelta(hours=3)).isoformat()
    asked: dict[str, Any] = {"book": book.path, "metric": "leverage", "ends_at": until}
    requests = [released(OVERRIDE, asked | {"level": f"2.{i + 1}"}) for i in range(WORKERS)]
    outcomes = ended(requests)
    assert [outcome for outcome, _ in outcomes].count("executed") == 1
    assert {code for outcome, code in outcomes if outcome == "failed"} <= {"override_refused", "stale_request"}
    assert GuardrailOverride.objects.count() == 1
