"""The checks find what they are there to find: each wrong strategy here must be refused for its own
reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest

from trading.quant.lookahead import check_family, check_frame
from trading.strategies.authoring import Parameter, strategy
from trading.strategies.errors import StrategyCheckError
from trading.strategies.frames import FrameStrategy, frame_strategy
from trading.strategies.registry import run_check
from trading.strategies.spec import Float64, StrategyFamily

WINDOW = (Parameter("window", 2, 60, 20, "integer", unit="bars", help="Window."),)


def make(step: Callable[..., float], *, slots: int = 2, warm_up: int = 0) -> StrategyFamily:
    return strategy(
        title="A test",
        source="house",
        description="Text.",
        name="under_test",
        state_size=lambda _p, _n: slots,
        warm_up=lambda _p, _n: warm_up,
    )(step)


def test_a_step_that_trades_within_its_warm_up_is_refused() -> None:
    def step(
        open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
    ) -> float:
        state[0] += 1.0
        return 1.0 if state[0] == 5.0 else np.nan

    assert check_family(make(step, warm_up=4)).passed
    report = check_family(make(step, warm_up=5))
    assert "trades at bar 4, within its declared warm-up of 5" in report.problems[0]
    with pytest.raises(StrategyCheckError, match="may not be used"):
        report.require()


def test_a_target_beyond_one_is_refused() -> None:
    def step(
        open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
    ) -> float:
        return close / 100.0

    assert "targets lie between -1 and 1" in check_family(make(step)).problems[0]


def test_a_step_that_writes_beyond_its_state_is_refused() -> None:
    def step(
        open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
    ) -> float:
        state[2] = close
        return np.nan

    assert "writes outside its 2 state slots" in check_family(make(step)).problems[0]


def test_a_step_that_reads_beyond_its_state_is_refused() -> None:
    def step(
        open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
    ) -> float:
        return 1.0 if state[3] > 0.0 else 0.0

    assert "depend on memory outside" in check_family(make(step)).problems[0]


def test_a_step_that_depends_on_chance_is_refused() -> None:
    def step(
        open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
    ) -> float:
        return 1.0 if np.random.random() < 0.5 else 0.0  # noqa: NPY002

    assert "not reproducible" in check_family(make(step)).problems[0]


def test_a_step_that_numba_cannot_compile_is_reported_with_its_line() -> None:
    def step(
        open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
    ) -> float:
        return close.no_such_thing  # type: ignore[attr-defined, no-any-return]

    report = run_check(make(step))
    assert "numba cannot compile it" in report.problems[0]
    assert "test_checks.py" in report.problems[0]


@pytest.mark.parametrize(
    ("parameter", "problem"),
    [
        (Parameter("a", 1, 10, 11), "low 1 <= default 11 <= high 10"),
        (Parameter("a", 1.5, 10, 2, "integer"), "must be whole numbers"),
        (Parameter("a", 0, 10, 2, log=True), "must be above zero"),
    ],
)
def test_a_wrong_parameter_specification_is_refused(parameter: Parameter, problem: str) -> None:
    def step(
        open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
    ) -> float:
        return np.nan

    family = strategy(
        title="A test",
        source="house",
        description="Text.",
        name="under_test",
        parameters=(parameter,),
        state_size=lambda _p, _n: 1,
        warm_up=lambda _p, _n: 0,
    )(step)
    assert problem in check_family(family).problems[0]


def frame(signals: Callable[[pd.DataFrame, Mapping[str, float]], pd.Series], warm_up: int = 0) -> FrameStrategy:
    return frame_strategy(
        title="A test",
        source="house",
        description="Text.",
        name="under_test",
        parameters=WINDOW,
        warm_up=lambda p: warm_up or int(p["window"]),
    )(signals)


def honest(candles: pd.DataFrame, params: Mapping[str, float]) -> pd.Series:
    window = int(params["window"])
    return (
        (candles.close > candles.close.rolling(window).mean())
        .astype(float)
        .where(candles.close.rolling(window + 1).count() > window)
    )


def test_an_honest_frame_passes() -> None:
    assert check_frame(frame(honest)).problems == ()


@pytest.mark.parametrize(
    "signals",
    [
        lambda c, p: (c.close.shift(-1) > c.close).astype(float).where(np.arange(len(c)) >= p["window"]),
        lambda c, p: (c.close > c.close.mean()).astype(float).where(np.arange(len(c)) >= p["window"]),
        lambda c, p: (
            (c.close > c.close.rolling(5, center=True).mean()).astype(float).where(np.arange(len(c)) >= p["window"])
        ),
        lambda c, p: (c.close.rank(pct=True) > 0.5).astype(float).where(np.arange(len(c)) >= p["window"]),
        lambda c, p: pd.Series(np.where(np.arange(len(c)) == len(c) - 1, 1.0, np.nan), index=c.index),
    ],
    ids=["next close", "mean of everything", "centred window", "rank over everything", "only the last bar"],
)
def test_a_frame_that_looks_ahead_is_refused(
    signals: Callable[[pd.DataFrame, Mapping[str, float]], pd.Series],
) -> None:
    report = check_frame(frame(signals))
    assert not report.passed
    assert "looks ahead" in report.problems[0]


def test_a_frame_that_trades_too_early_or_returns_nonsense_is_refused() -> None:
    assert "declared warm-up" in check_frame(frame(honest, warm_up=90)).problems[0]
    short = frame(lambda c, _p: pd.Series(1.0, index=c.index[:-1]))
    assert "one target for every row" in check_frame(short).problems[0]
    wide = frame(lambda c, _p: pd.Series(2.0, index=c.index))
    assert "targets lie between -1 and 1" in check_frame(wide).problems[0]
    listed = frame(lambda c, _p: [0.0] * len(c))  # type: ignore[arg-type, return-value]
    assert "return a pandas Series" in check_frame(listed).problems[0]
    failing = frame(lambda c, _p: c["no such column"])
    assert "KeyError" in check_frame(failing).problems[0]


def test_a_block_form_that_differs_from_its_step_is_refused() -> None:
    def step(
        open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
    ) -> float:
        state[0] += 1.0
        return 1.0 if state[0] > 100.0 else np.nan

    def make_block(first: float, extra: float) -> StrategyFamily:
        def block(
            opens: Float64, highs: Float64, lows: Float64, closes: Float64, volumes: Float64, params: Float64,
            state: Float64, targets: Float64, room: Float64,
        ) -> None:  # fmt: skip
            for k in range(closes.shape[0]):
                state[0] += 1.0
                targets[k] = 1.0 if state[0] > first else np.nan
            state[0] += extra

        return strategy(
            title="A test", source="house", description="Text.", name="under_test", block=block,
            state_size=lambda _p, _n: 1, warm_up=lambda _p, _n: 100,
        )(step)  # fmt: skip

    assert check_family(make_block(100.0, 0.0)).passed
    assert "block form says 0 at bar 100, its step 1" in check_family(make_block(101.0, 0.0)).problems[0]
    assert "leaves another state" in check_family(make_block(100.0, 0.5)).problems[0]
