"""Roll-up, inheritance and bulk comparison against loops over the tree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.quant.bulk import (
    BookTable,
    PositionTable,
    depths,
    effective_bounds,
    evaluate,
    measure,
    over,
    roll_up,
)
from risk.quant.metrics import CODES, METRICS, Level, Metric
from tests.risk.steady import STEADY

NAN = math.nan


def ancestors(parent: np.ndarray, row: int) -> list[int]:
    out = [row]
    while parent[out[-1]] >= 0:
        out.append(int(parent[out[-1]]))
    return out


@st.composite
def forests(draw: st.DrawFn) -> np.ndarray:
    n = draw(st.integers(1, 25))
    parent = [draw(st.integers(-1, i - 1)) for i in range(n)]
    order = draw(st.permutations(range(n)))
    place = {old: new for new, old in enumerate(order)}
    out = np.full(n, -1, dtype=np.int64)
    for old, up in enumerate(parent):
        out[place[old]] = place[up] if up >= 0 else -1
    return out


@STEADY
@given(forests())
def test_roll_up_adds_each_book_to_all_above(parent: np.ndarray) -> None:
    values = np.random.default_rng(len(parent)).normal(size=(len(parent), 3))
    expected = np.zeros_like(values)
    for row in range(len(parent)):
        for up in ancestors(parent, row):
            expected[up] += values[row]
    assert roll_up(values, parent) == pytest.approx(expected)
    assert depths(parent).tolist() == [len(ancestors(parent, r)) - 1 for r in range(len(parent))]


@STEADY
@given(forests(), st.data())
def test_a_book_has_the_tightest_of_its_own_and_its_ancestors(parent: np.ndarray, data: st.DataObject) -> None:
    n, m = len(parent), 3
    longer = np.array([False, True, False])
    limits = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, n - 1),
                st.integers(0, m - 1),
                st.one_of(st.just(NAN), st.floats(0, 10)),
                st.one_of(st.just(NAN), st.floats(0, 10)),
            ),
            max_size=30,
        )
    )
    book, column = (np.array([x[i] for x in limits], dtype=np.int64) for i in (0, 1))
    soft, hard = (np.array([x[i] for x in limits], dtype=np.float64) for i in (2, 3))
    found = effective_bounds(parent, book, column, soft, hard, longer)
    for table, source, levels in ((found.soft, found.soft_from, soft), (found.hard, found.hard_from, hard)):
        for row in range(n):
            for c in range(m):
                line = set(ancestors(parent, row))
                mine = [levels[i] for i in range(len(limits)) if book[i] in line and column[i] == c]
                mine = [x for x in mine if not math.isnan(x)]
                if not mine:
                    assert math.isnan(table[row, c]) and source[row, c] == -1
                else:
                    assert table[row, c] == (max(mine) if longer[c] else min(mine))
                    assert levels[source[row, c]] == table[row, c]


def test_a_circle_and_a_stranger_are_refused() -> None:
    with pytest.raises(ValueError, match="circle"):
        depths(np.array([1, 0]))
    with pytest.raises(ValueError, match="row of the same table"):
        depths(np.array([7]))


@pytest.mark.parametrize(
    ("value", "soft", "hard", "level", "headroom"),
    [
        (1.0, 2.0, 4.0, Level.OK, 0.75),
        (2.0, 2.0, 4.0, Level.OK, 0.5),
        (3.0, 2.0, 4.0, Level.SOFT, 0.25),
        (4.0, 2.0, 4.0, Level.SOFT, 0.0),
        (5.0, 2.0, 4.0, Level.HARD, -0.25),
        (5.0, NAN, 4.0, Level.HARD, -0.25),
        (5.0, 4.0, NAN, Level.SOFT, -0.25),
        (0.0, NAN, 0.0, Level.OK, 0.0),
        (1.0, NAN, 0.0, Level.HARD, -math.inf),
        (math.inf, NAN, 4.0, Level.HARD, -math.inf),
        (NAN, 2.0, 4.0, Level.UNKNOWN, NAN),
    ],
)
def test_levels_and_headroom(value: float, soft: float, hard: float, level: Level, headroom: float) -> None:
    code = np.array([CODES[Metric.LEVERAGE]])
    found = evaluate(np.array([value]), np.array([soft]), np.array([hard]), code)
    assert found.levels[0] == level
    assert found.headroom[0] == pytest.approx(headroom, nan_ok=True)


def test_a_cooldown_is_passed_from_below() -> None:
    code = np.full(4, CODES[Metric.COOLDOWN_S])
    found = evaluate(np.array([10.0, 50.0, 90.0, math.inf]), np.full(4, 80.0), np.full(4, 40.0), code)
    assert found.levels.tolist() == [Level.HARD, Level.SOFT, Level.OK, Level.OK]
    assert found.headroom.tolist() == [-0.75, 0.25, 1.25, 1.0]


def test_measures_of_a_small_tree() -> None:
    """A fund with two strategies; the first holds long 100 BTC and short 40 ETH, the second short 60 BTC."""
    parent = np.array([-1, 0, 0])
    figures = np.array([1000.0, 400.0, NAN])
    books = BookTable(
        parent,
        figures,
        np.array([1100.0, 400.0, 500.0]),
        np.array([1250.0, 400.0, 500.0]),
        np.array([50.0, 30.0, 25.0]),
        np.array([70.0, 40.0, 35.0]),
        np.array([5.0, 2.0, 3.0]),
        np.array([30.0, math.inf, 30.0]),
    )
    positions = PositionTable(
        np.array([1, 1, 2]),
        np.array([0, 1, 0]),
        np.array([0, 0, 1]),
        np.array([100.0, -40.0, -60.0]),
        np.array([100.0, 40.0, 60.0]),
        np.array([-0.1, 0.2, 0.05]),
    )
    found = measure(books, positions, n_symbols=2, n_venues=2)

    def value(row: int, metric: Metric) -> float:
        return float(found.values[row, CODES[metric]])

    assert [value(r, Metric.GROSS_EXPOSURE) for r in range(3)] == [200.0, 140.0, 60.0]
    assert [value(r, Metric.NET_EXPOSURE) for r in range(3)] == [0.0, 60.0, 60.0]
    assert [value(r, Metric.OPEN_POSITIONS) for r in range(3)] == [3.0, 2.0, 1.0]
    assert [value(r, Metric.POSITION_NOTIONAL) for r in range(3)] == [100.0, 100.0, 60.0]
    assert [value(r, Metric.STOP_LOSS_FRAC) for r in range(3)] == [0.2, 0.2, 0.05]
    assert value(0, Metric.LEVERAGE) == pytest.approx(0.2)
    assert value(0, Metric.SYMBOL_CONCENTRATION_FRAC) == pytest.approx(0.16)
    assert value(0, Metric.VENUE_CONCENTRATION_FRAC) == pytest.approx(0.14)
    assert value(0, Metric.DAILY_LOSS) == 100.0
    assert value(0, Metric.DAILY_LOSS_FRAC) == pytest.approx(1 / 11)
    assert value(0, Metric.DRAWDOWN_FRAC) == pytest.approx(0.2)
    assert math.isnan(value(2, Metric.LEVERAGE))
    assert math.isnan(value(0, Metric.ORDER_NOTIONAL))
    assert found.values.shape == (3, len(METRICS))


def test_no_equity_left_is_infinite_leverage() -> None:
    assert over(np.array([1.0, 0.0, NAN, 1.0]), np.array([0.0, -1.0, 0.0, NAN])).tolist() == pytest.approx(
        [math.inf, 0.0, NAN, NAN], nan_ok=True
    )
