"""The council: weights, quorum, and a council of one."""

from __future__ import annotations

import pytest

from trading.desk.council import Vote, resolve


def votes(*pairs: tuple[float, float | None]) -> list[Vote]:
    return [Vote(n, f"voice {n}", weight, target) for n, (weight, target) in enumerate(pairs, start=1)]


def test_one_voice_is_heard_to_the_last_bit() -> None:
    target = 0.1 + 0.2
    assert resolve("X", votes((0.3, target)), quorum_frac=0.5).target == target


def test_targets_are_weighed() -> None:
    found = resolve("X", votes((3, 1.0), (1, -1.0)), quorum_frac=0.5)
    assert found.target == pytest.approx(0.5)
    assert found.support_frac == 1.0


def test_silent_voices_count_for_the_quorum_and_not_for_the_mean() -> None:
    found = resolve("X", votes((1, 1.0), (1, None)), quorum_frac=0.5)
    assert (found.target, found.support_frac) == (1.0, 0.5)
    assert resolve("X", votes((1, 1.0), (1.1, None)), quorum_frac=0.5).target is None


def test_a_voice_without_weight_decides_nothing() -> None:
    found = resolve("X", votes((0, 1.0), (1, -0.5)), quorum_frac=0.5)
    assert found.target == -0.5
    assert resolve("X", votes((0, 1.0)), quorum_frac=0.0).target is None


def test_nobody_there_is_no_quorum() -> None:
    assert resolve("X", [], quorum_frac=0.0).target is None


def weighed(*triples: tuple[float, float, float | None]) -> list[Vote]:
    """Votes of (weight now, weight at its seat, target)."""
    return [Vote(n, f"voice {n}", w, t, seated=seat) for n, (w, seat, t) in enumerate(triples, start=1)]


def test_a_lone_voice_that_was_weighed_down_wants_as_much_less() -> None:
    found = resolve("X", weighed((0.5, 1, 0.8)), quorum_frac=0.5)
    assert (found.target, found.support_frac, found.spent, found.weakened) == (0.4, 0.5, False, True)


def test_a_council_that_cannot_make_its_quorum_any_more_holds_nothing() -> None:
    found = resolve("X", weighed((0.25, 1, 0.8)), quorum_frac=0.5)
    assert (found.target, found.spent) == (0.0, True)
    assert resolve("X", weighed((0.0, 1, 0.8), (0.0, 1, -0.8)), quorum_frac=0.0).spent


def test_the_quorum_is_counted_against_what_was_seated() -> None:
    """Of three seats of 1, one weighed down to 0.4 and one silent: 1.4 of 3 speak."""
    three = weighed((1, 1, 1.0), (0.4, 1, -1.0), (1, 1, None))
    found = resolve("X", three, quorum_frac=0.45)
    assert found.support_frac == pytest.approx(1.4 / 3)
    assert found.target == pytest.approx((1.0 - 0.4) / 2)
    held = resolve("X", three, quorum_frac=0.5)
    assert (held.target, held.spent) == (None, False)
