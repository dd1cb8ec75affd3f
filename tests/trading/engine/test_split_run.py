"""A run cut anywhere and continued from its saved state is the whole run, to the last bit; so is one bar at a
time.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trading.engine.cases import CASES, Case, random_case
from trading.quant.engine import EngineState, Run, run
from trading.quant.engine.errors import EngineStateError

RELAXED = settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))


def continued(case: Case, cuts: list[int]) -> list[Run]:
    """The case run in pieces, the state going through bytes in between."""
    parts: list[Run] = []
    state: EngineState | None = None
    for start, stop in pairwise([0, *cuts, case.market.n_bars]):
        part = run(case.market.slice(start, stop), case.agents, state=state, **case.rules())
        state = EngineState.from_bytes(part.state.to_bytes())
        parts.append(part)
    return parts


def assert_same(parts: list[Run], whole: Run) -> None:
    for table in ("fills", "rejections", "breaches", "funding"):
        joined = np.concatenate([getattr(part, table) for part in parts])
        assert joined.tobytes() == getattr(whole, table).tobytes(), table
    for table in ("ts_ms", "agents", "parent", "positions"):
        joined = np.concatenate([getattr(part.marks, table) for part in parts])
        assert joined.tobytes() == getattr(whole.marks, table).tobytes(), table
    assert parts[-1].final.agents.tobytes() == whole.final.agents.tobytes()
    assert parts[-1].final.parent.tobytes() == whole.final.parent.tobytes()
    assert parts[-1].state.to_bytes() == whole.state.to_bytes()


@RELAXED
@given(CASES, st.data())
def test_a_run_cut_anywhere_equals_the_whole(case: Case, data: st.DataObject) -> None:
    bars = case.market.n_bars
    cuts = data.draw(st.lists(st.integers(1, bars - 1), max_size=4, unique=True)) if bars > 1 else []
    assert_same(continued(case, sorted(cuts)), run(case.market, case.agents, **case.rules()))


@pytest.mark.parametrize("seed", range(6))
def test_one_bar_at_a_time_equals_the_whole(seed: int) -> None:
    case = random_case(seed, 90, 3, 5)
    cuts = list(range(1, case.market.n_bars))
    assert_same(continued(case, cuts), run(case.market, case.agents, **case.rules()))


def test_cuts_far_apart_and_across_blocks_equal_the_whole() -> None:
    case = random_case(11, 3000, 2, 5)
    assert_same(continued(case, [700, 701, 1024, 2050]), run(case.market, case.agents, **case.rules()))


def test_running_twice_gives_the_same_bytes() -> None:
    case = random_case(3, 150, 3, 6)
    first, second = (run(case.market, case.agents, **case.rules()) for _ in range(2))
    assert_same([first], second)


def test_the_state_does_not_grow_with_bars() -> None:
    case = random_case(5, 150, 3, 6)
    sizes = {
        len(run(case.market.slice(0, stop), case.agents, **case.rules()).state.to_bytes()) for stop in (1, 20, 140)
    }
    assert max(sizes) - min(sizes) < 8  # only the digits of the header may differ


def test_running_on_does_not_change_the_state_it_started_from() -> None:
    case = random_case(5, 60, 3, 6)
    first = run(case.market.slice(0, 30), case.agents, **case.rules())
    before = first.state.to_bytes()
    run(case.market.slice(30), case.agents, state=first.state, **case.rules())
    assert first.state.to_bytes() == before


def test_a_state_of_other_agents_is_refused() -> None:
    case = random_case(5, 60, 3, 6)
    state = run(case.market.slice(0, 30), case.agents, **case.rules()).state
    with pytest.raises(EngineStateError, match="other agents"):
        run(case.market.slice(30), case.agents[:-1], state=state, **case.rules())


def test_bars_that_were_traded_already_are_refused() -> None:
    case = random_case(5, 60, 3, 6)
    state = run(case.market.slice(0, 30), case.agents, **case.rules()).state
    with pytest.raises(EngineStateError, match="already traded"):
        run(case.market.slice(29), case.agents, state=state, **case.rules())


@pytest.mark.parametrize("damage", [b"", b"nonsense", "flip", "version"])
def test_damaged_bytes_are_refused(damage: bytes | str) -> None:
    case = random_case(5, 20, 3, 2)
    data = run(case.market, case.agents, **case.rules()).state.to_bytes()
    if damage == "flip":
        data = data[:200] + bytes([data[200] ^ 1]) + data[201:]
    elif damage == "version":
        data = data.replace(b'"version": 1', b'"version": 9')
    else:
        assert isinstance(damage, bytes)
        data = damage
    with pytest.raises(EngineStateError):
        EngineState.from_bytes(data)


def test_compact_bytes_are_read_by_the_layout_they_were_made_of_and_by_no_other() -> None:
    case, other = random_case(5, 20, 3, 2), random_case(6, 20, 4, 2)
    state = run(case.market, case.agents, **case.rules()).state
    fresh = run(case.market.slice(0, 1), case.agents, **case.rules()).state
    data = state.to_compact()
    assert len(data) < len(state.to_bytes())
    for saved in (data, state.to_bytes()):
        again = EngineState.from_compact(saved, fresh)
        assert again.to_bytes() == state.to_bytes()
    stranger = run(other.market, other.agents, **other.rules()).state
    for saved in (data, state.to_bytes()):
        with pytest.raises(EngineStateError, match="belongs to other agents"):
            EngineState.from_compact(saved, stranger)
    for damaged in (b"", b"nonsense", data[:-40], data[:100] + bytes([data[100] ^ 1]) + data[101:]):
        with pytest.raises(EngineStateError):
            EngineState.from_compact(damaged, fresh)
