"""Proof before use: a strategy must not look ahead, must keep its declared warm-up, and must stay in its
own memory.

A step cannot be handed the future, but it can read beyond its state, keep hidden memory or depend on
chance; a DataFrame function can do all that and use later rows besides. Both are therefore run on seeded
synthetic candles in full and again on truncated and on altered candles: no target before the cut may
change. The approach of recomputing on truncated data follows freqtrade's lookahead analysis; the
implementation is our own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import config
from numba.core.dispatcher import Dispatcher

from trading.quant.genome import draw_parameters
from trading.strategies.errors import StrategyCheckError, StrategyError
from trading.strategies.frames import COLUMNS, FrameStrategy
from trading.strategies.spec import BLOCK_ROOM, Float64, Parameter, Scope, StrategyFamily

if TYPE_CHECKING:
    import pandas as pd

#: Counted up whenever a check becomes stricter, so that remembered results of the old one no longer count.
CHECK_VERSION = 1
#: Slots before and after the state that a step must neither read nor write.
_GUARD = 2048
_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
#: A DataFrame function may regroup its arithmetic; a target that moves more than this has used the future.
_FRAME_TOLERANCE = 1e-9
_SYMBOLS = 3

Targets = npt.NDArray[np.float64]
Runner = Callable[[Float64], Targets]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found: ``passed`` when ``problems`` is empty. ``points`` is the number of parameter sets
    tried.
    """

    key: str
    problems: tuple[str, ...]
    bars: int
    points: int

    @property
    def passed(self) -> bool:
        return not self.problems

    def require(self) -> None:
        """Raises StrategyCheckError unless everything passed."""
        if self.problems:
            raise StrategyCheckError(
                f"{self.key} may not be used: {self.problems[0]}", key=self.key, problems=list(self.problems)
            )


def synthetic_bars(n_bars: int, *, seed: int, n_symbols: int = 1) -> Float64:
    """Seeded candles of shape (n_bars, n_symbols, 5): open, high, low, close, volume.

    Log returns are Student-t with slowly changing volatility and drifts that change sign, so that trend,
    reversion and breakout rules all have something to do. Good for checks; no claim to be a market.
    """
    rng = np.random.default_rng(seed)
    level = np.exp(0.6 * np.sin(np.arange(n_bars)[:, None] / rng.uniform(40, 90, n_symbols)))
    drift = np.repeat(rng.normal(0, 4e-4, (n_bars // 97 + 1, n_symbols)), 97, axis=0)[:n_bars]
    returns = drift + 1e-3 * level * rng.standard_t(4, (n_bars, n_symbols))
    close = 100.0 * np.exp(np.cumsum(returns, axis=0))
    open_ = np.vstack([np.full((1, n_symbols), 100.0), close[:-1]])
    wick = 5e-4 * level * np.abs(rng.normal(size=(n_bars, n_symbols, 2)).transpose(2, 0, 1))
    high = np.maximum(open_, close) * (1 + wick[0])
    low = np.minimum(open_, close) * (1 - wick[1])
    volume = rng.lognormal(3, 1, (n_bars, n_symbols))
    return np.stack([open_, high, low, close, volume], axis=2)


def as_frame(bars: Float64) -> pd.DataFrame:
    """Bars of shape (n_bars, 5) as the frame a DataFrame strategy receives: one-minute opening times, UTC."""
    import pandas as pd

    index = pd.date_range("2024-01-01", periods=len(bars), freq="min", tz="UTC", name="time")
    return pd.DataFrame(bars, columns=list(COLUMNS), index=index)


def check_family(family: StrategyFamily, *, seed: int = 20_240_805, points: int = 4) -> CheckReport:
    """Check the hot form: specification, range, warm-up, lookahead, determinism, and its memory's bounds.

    Runs the defaults, ``points`` random parameter sets and both corners of the bounds; O(points x bars).
    """
    problems = specification_problems(family.name, family.parameters, family.validate)
    problems += [
        f"{name} is not compiled; decorate the step with @strategy, or both with numba.njit."
        for name in ("init", "step", "block")
        if not isinstance(getattr(family, name) or family.step, Dispatcher) and not config.DISABLE_JIT  # type: ignore[attr-defined]
    ]
    problems += [
        f"{name} is empty; say it." for name in ("title", "description", "source") if not getattr(family, name)
    ]
    if problems:
        return CheckReport(family.key, tuple(problems), 0, 0)
    longest = tried = 0
    for values in _points(family.parameters, family.validate, points, seed):
        tried += 1
        params = np.array([values[p.name] for p in family.parameters], dtype=np.float64)
        where = _where(values)
        try:
            warm_up, size = int(family.warm_up(params, _SYMBOLS)), int(family.state_size(params, _SYMBOLS))
        except Exception as error:
            return CheckReport(family.key, (f"state_size or warm_up failed for {where}: {error!r}",), longest, tried)
        if warm_up < 0 or size < 0:
            return CheckReport(family.key, (f"warm_up and state_size must not be negative ({where}).",), longest, tried)
        n_bars = max(400, 2 * warm_up + 200)
        longest = max(longest, n_bars)
        found = _check_point(_family_runner(family, params, size), family.scope, n_bars, warm_up, seed)
        found += _memory_problems(family, params, size, seed)
        found += _block_problems(family, params, size, seed)
        if found:
            return CheckReport(family.key, tuple(f"{text} ({where})" for text in found), longest, tried)
    return CheckReport(family.key, (), longest, tried)


def check_frame(form: FrameStrategy, *, seed: int = 20_240_805, points: int = 2) -> CheckReport:
    """Check the DataFrame form in the same way; its memory is its own, its use of later rows is not."""
    problems = specification_problems(form.name, form.parameters, form.validate)
    problems += [f"{name} is empty; say it." for name in ("title", "description", "source") if not getattr(form, name)]
    if problems:
        return CheckReport(form.key, tuple(problems), 0, 0)
    longest = tried = 0
    for values in _points(form.parameters, form.validate, points, seed):
        tried += 1
        try:
            warm_up = int(form.warm_up(values))
            n_bars = max(400, 2 * warm_up + 200)
            longest = max(longest, n_bars)

            def run(bars: Float64, values: Mapping[str, float] = values) -> Targets:
                return form.targets(as_frame(bars[:, 0, :]), values)

            found = _check_point(run, Scope.SINGLE, n_bars, warm_up, seed, tolerance=_FRAME_TOLERANCE)
        except StrategyError as error:
            found = [error.message]
        except Exception as error:
            found = [f"it failed with {error!r}."]
        if found:
            return CheckReport(form.key, tuple(f"{text} ({_where(values)})" for text in found), longest, tried)
    return CheckReport(form.key, (), longest, tried)


def specification_problems(
    name: str, parameters: tuple[Parameter, ...], validate: Callable[[Mapping[str, float]], str | None]
) -> list[str]:
    """What is wrong with the name, the parameters and their cross-parameter rule, as sentences."""
    out = []
    if not _NAME.fullmatch(name):
        out.append(f"the name {name!r} must be 2 to 40 small letters, digits and underscores, a letter first.")
    names = [p.name for p in parameters]
    out += [f"the parameter {n!r} is declared twice." for n in sorted({n for n in names if names.count(n) > 1})]
    for p in parameters:
        if not (math.isfinite(p.low) and math.isfinite(p.high) and p.low <= p.default <= p.high):
            out.append(f"{p.name}: low {p.low:g} <= default {p.default:g} <= high {p.high:g} must hold.")
        elif p.kind == "integer" and any(v != int(v) for v in (p.low, p.default, p.high)):
            out.append(f"{p.name} is an integer: its bounds and default must be whole numbers.")
        elif p.log and p.low <= 0:
            out.append(f"{p.name} is on a log scale: its lower bound must be above zero, not {p.low:g}.")
    if not out:
        complaint = validate({p.name: p.default for p in parameters})
        if complaint:
            out.append(f"the defaults break the strategy's own rule: {complaint}")
    return out


def _points(
    parameters: tuple[Parameter, ...],
    validate: Callable[[Mapping[str, float]], str | None],
    points: int,
    seed: int,
) -> Iterator[dict[str, float]]:
    yield {p.name: p.default for p in parameters}
    if not parameters:
        return
    for corner in ({p.name: p.low for p in parameters}, {p.name: p.high for p in parameters}):
        if validate(corner) is None:
            yield corner
    rng = np.random.default_rng(seed)
    for _ in range(points):
        yield draw_parameters(parameters, rng, validate=validate)


def _where(values: Mapping[str, float]) -> str:
    return "with " + ", ".join(f"{k}={v:g}" for k, v in values.items()) if values else "no parameters"


def _family_runner(family: StrategyFamily, params: Float64, size: int) -> Runner:
    def run(bars: Float64) -> Targets:
        return _step_all(family, params, bars, np.zeros(size))

    return run


def _step_all(family: StrategyFamily, params: Float64, bars: Float64, state: Float64) -> Targets:
    """Targets of shape (n_bars,) or (n_bars, n_symbols)."""
    family.init(params, state)
    step: Callable[..., float] = family.step  # type: ignore[assignment]
    if family.scope is Scope.SINGLE:
        rows = bars[:, 0, :].tolist()
        return np.array([step(*row, params, state) for row in rows], dtype=np.float64)
    out = np.zeros(bars.shape[:2])
    columns = np.ascontiguousarray(bars.transpose(0, 2, 1))
    for t in range(len(bars)):
        o, h, lo, c, v = columns[t]
        step(o, h, lo, c, v, params, state, out[t])
    return out


def _check_point(
    run: Runner, scope: Scope, n_bars: int, warm_up: int, seed: int, *, tolerance: float = 0.0
) -> list[str]:
    bars = synthetic_bars(n_bars, seed=seed, n_symbols=1 if scope is Scope.SINGLE else _SYMBOLS)
    whole = run(bars)
    problems = []
    if np.any(np.abs(whole) > 1.0):
        problems.append(f"it returned the target {whole[np.abs(whole) > 1.0][0]:g}; targets lie between -1 and 1.")
    early = np.flatnonzero(_spoken(whole[:warm_up]))
    if early.size:
        problems.append(f"it trades at bar {early[0]}, within its declared warm-up of {warm_up} bars.")
    rng = np.random.default_rng(seed + 1)
    cuts = sorted({n_bars - 1, warm_up + 1, *rng.integers(max(1, warm_up), n_bars, 12).tolist()})
    for cut in (c for c in cuts if 0 < c < n_bars):
        changed = _first_difference(whole[:cut], run(bars[:cut]), tolerance)
        if changed is not None:
            problems.append(
                f"it looks ahead or is not reproducible: its target at bar {changed} changes when the "
                f"candles after bar {cut - 1} are taken away."
            )
            return problems
    cut = int(cuts[len(cuts) // 2])
    altered = bars.copy()
    altered[cut:] *= rng.uniform(0.5, 2.0)
    changed = _first_difference(whole[:cut], run(altered)[:cut], tolerance)
    if changed is not None:
        problems.append(f"it looks ahead: its target at bar {changed} changes with the prices from bar {cut} on.")
    return problems


def _spoken(targets: Targets) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = ~np.isnan(targets) & (targets != 0.0)
    return flags if flags.ndim == 1 else np.asarray(flags.any(axis=1))


def _first_difference(want: Targets, got: Targets, tolerance: float) -> int | None:
    if want.shape != got.shape:
        return min(len(want), len(got))
    same = (np.abs(want - got) <= tolerance) | (np.isnan(want) & np.isnan(got))
    rows = same if same.ndim == 1 else same.all(axis=1)
    return None if rows.all() else int(np.argmin(rows))


def _memory_problems(family: StrategyFamily, params: Float64, size: int, seed: int) -> list[str]:
    """Run inside a larger buffer with two different fillings: neither may be changed, neither may matter."""
    symbols = 1 if family.scope is Scope.SINGLE else _SYMBOLS
    bars = synthetic_bars(max(300, int(family.warm_up(params, symbols)) + 100), seed=seed + 2, n_symbols=symbols)
    outcomes = []
    for filler in (7.25, -3.5e9):
        buffer = np.full(size + 2 * _GUARD, filler)
        state = buffer[_GUARD : _GUARD + size]
        outcomes.append(_step_all(family, params, bars, state).tobytes())
        if np.any(buffer[:_GUARD] != filler) or np.any(buffer[_GUARD + size :] != filler):
            return [f"it writes outside its {size} state slots; state_size is too small or an offset is wrong."]
    if outcomes[0] != outcomes[1]:
        return [f"its targets depend on memory outside its {size} state slots or on what init leaves unset."]
    return []


def _block_problems(family: StrategyFamily, params: Float64, size: int, seed: int) -> list[str]:
    """The block form, if there is one, over three pieces of some candles."""
    if family.block is None:
        return []
    bars = synthetic_bars(max(300, 2 * int(family.warm_up(params, 1)) + 100), seed=seed + 3)[:, 0, :]
    cuts = sorted(np.random.default_rng(seed + 4).integers(1, len(bars), 2).tolist())
    return block_problems(family, params, size, bars, cuts)


def block_problems(family: StrategyFamily, params: Float64, size: int, bars: Float64, cuts: Sequence[int]) -> list[str]:
    """Whether the block form of a SINGLE family says and leaves what its step does, to the last bit.

    ``bars`` has shape (n_bars, 5) and is handed over in pieces that begin at ``cuts``, the state inside guard numbers.
    """
    assert family.block is not None  # noqa: S101 - callers ask for those that have one
    step: Callable[..., float] = family.step  # type: ignore[assignment]
    state = np.zeros(size)
    buffer = np.full(size + 2 * _GUARD, 7.25)
    whole = buffer[_GUARD : _GUARD + size]
    family.init(params, state)
    family.init(params, whole)
    columns = np.ascontiguousarray(bars.T)
    stood = said = 0.0
    for first, end in pairwise([0, *cuts, len(bars)]):
        if first == end:
            continue
        targets = np.full(end - first, np.nan)
        room = np.full((BLOCK_ROOM, end - first + size), np.nan)
        opens, highs, lows, closes, volumes = columns[:, first:end]
        family.block(opens, highs, lows, closes, volumes, params, whole, targets, room)
        for k, row in enumerate(bars[first:end].tolist()):
            target = step(*row, params, state)
            stood = stood if math.isnan(target) else target
            said = said if math.isnan(targets[k]) else float(targets[k])
            if stood != said:
                return [f"its block form says {said:g} at bar {first + k}, its step {stood:g}."]
        if whole.tobytes() != state.tobytes():
            return [f"its block form leaves another state than its step after bars {first} to {end - 1}."]
    if np.any(buffer[:_GUARD] != 7.25) or np.any(buffer[_GUARD + size :] != 7.25):
        return [f"its block form writes outside its {size} state slots."]
    return []
