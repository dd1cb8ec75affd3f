"""What the review page draws: lines, histograms, curves and bridges of a cohort and its candidate, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from trading.promotion.evidence import (
    Bins,
    Bridge,
    Comparison,
    CurvePoint,
    Days,
    Deflated,
    EquityPicture,
    Interval,
    Line,
    LiveCorrelation,
    OverfitPicture,
    ReplayPicture,
    Returns,
    SliceFacts,
)
from trading.promotion.replaying import Cast, Results
from trading.quant.evidence.comparison import confidence_set, superior_ability
from trading.quant.evidence.consistency import consistency
from trading.quant.evidence.overfit import cscv
from trading.quant.evidence.resampling import block_length, mean_interval
from trading.quant.evidence.trading_costs import CostBridge
from trading.quant.evidence.trials import Deflation, deflation_curve
from trading.quant.metrics import DAYS_PER_YEAR, probabilistic_sharpe

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

HOURS_A_YEAR = 24 * DAYS_PER_YEAR
#: Lines of the equity picture at most; the candidate's always among them.
MOST_LINES = 200
_BINS = 40
#: Above this many hours, resampling tests look at sums of four hours.
_MANY_HOURS = 1_200


@dataclass(frozen=True, slots=True)
class About:
    """Everything about the candidate beside its scores."""

    replay_equity: ReplayPicture | None
    returns: Returns
    deflated: Deflated
    psr: float | None
    overfit: OverfitPicture
    comparison: Comparison
    interval: Interval
    costs: Bridge
    consistency: Days
    live: tuple[LiveCorrelation, ...]
    slice: SliceFacts


def equity(results: Results, cast: Cast, *, first: int | None, order: Float64) -> EquityPicture:
    """Equity over capital at the ends of hours, the ``first`` agent first, then by ``order`` from the highest."""
    every = max(1, 3_600_000 // results.bar_ms)
    rows = slice(every - 1, None, every)
    n = len(cast.seats)
    wealth = 1.0 + np.cumsum(results.net[:, :n], axis=0)[rows]
    draws = cast.draws[:n]
    places = [int(k) for k in np.argsort(-order, kind="stable") if k != first]
    shown = ([first] if first is not None else []) + places
    return EquityPicture(
        ts_ms=tuple(int(ts) for ts in results.ts_ms[rows]),
        lines=tuple(Line(number=cast.agents[k].number, values=_rounded(wealth[:, k])) for k in shown[:MOST_LINES]),
        parent=_rounded(wealth @ draws / draws.sum()),
    )


def about(
    *,
    cohort: Results,
    replay: Results | None,
    replayed: Int64,
    agent: int,
    live: Sequence[str],
    elsewhere: Sequence[str],
    trials: int,
    deviation: float | None,
    bridge: CostBridge,
    numbers: Sequence[int],
    sized: SliceFacts,
    seed: int,
) -> About:
    """Everything about the agent at position ``agent``; ``replayed`` says which agents the replay's columns are."""
    found = np.flatnonzero(replayed == agent)
    at = int(found[0]) if replay is not None and found.size else None
    here = cohort.by_hour()
    there = replay.by_hour() if replay is not None else None
    own_here = here[:, agent]
    own_there = there[:, at] if there is not None and at is not None else None
    own = own_here if own_there is None else np.concatenate([own_here, own_there])
    field = here[:, replayed] if there is None else np.vstack([here[:, replayed], there[:, : len(replayed)]])
    place = at if at is not None else int(found[0]) if found.size else None
    deflated, psr = _deflated(own_here, own, field, trials, deviation)
    return About(
        replay_equity=_replay_equity(replay, at),
        returns=_returns(own_here, own_there),
        deflated=deflated,
        psr=psr,
        overfit=_overfit(field),
        comparison=_comparison(field, place, [numbers[k] for k in replayed], seed),
        interval=_interval(own, seed),
        costs=_bridge(bridge),
        consistency=_days(cohort, agent),
        live=(
            *_live(replay, at, len(replayed), live),
            *(LiveCorrelation(name=name, correlation=None, n=0) for name in elsewhere),
        ),
        slice=sized,
    )


def _rounded(values: Float64) -> tuple[float | None, ...]:
    return tuple(round(float(x), 7) if math.isfinite(x) else None for x in values)


def _replay_equity(replay: Results | None, at: int | None) -> ReplayPicture | None:
    if replay is None or at is None:
        return None
    days, daily = replay.daily()
    return ReplayPicture(
        ts_ms=tuple(int(day) for day in days),
        cumulated=tuple(round(float(x), 7) for x in np.cumsum(daily[:, at])),
    )


def _moments(values: Float64) -> tuple[float, float, float, float] | None:
    """Mean, deviation (ddof 1), skewness, kurtosis (divisor n); None below four values or without variation."""
    if values.size < 4 or np.ptp(values) == 0:
        return None
    centred = values - values.mean()
    second = float(np.mean(centred**2))
    return (
        float(values.mean()),
        float(values.std(ddof=1)),
        float(np.mean(centred**3)) / second**1.5,
        float(np.mean(centred**4)) / second**2,
    )


def _returns(here: Float64, there: Float64 | None) -> Returns:
    both = here if there is None else np.concatenate([here, there])
    low, high = float(both.min()), float(both.max())
    edges = np.linspace(low, high if high > low else low + 1e-9, _BINS + 1)
    shape = _moments(both)
    mean, deviation, skew, kurtosis = shape if shape else (None, None, None, None)
    return Returns(
        cohort=_bins(here, edges),
        replay=None if there is None else _bins(there, edges),
        mean=mean,
        deviation=deviation,
        skew=skew,
        kurtosis=kurtosis,
        n=int(both.size),
    )


def _bins(values: Float64, edges: Float64) -> Bins:
    return Bins(edges=tuple(map(float, edges)), counts=tuple(map(int, np.histogram(values, edges)[0])))


def _deflated(
    here: Float64, own: Float64, field: Float64, trials: int, deviation: float | None
) -> tuple[Deflated, float | None]:
    """DSR of the cohort alone, against the deviation of Sharpe ratios over all trials on its window, and of everything,
    against that over the cohort's agents.
    """
    year = math.sqrt(HOURS_A_YEAR)
    cohort = _curve(here, trials, deviation)
    spread = field.std(axis=0, ddof=1)
    ratios = field.mean(axis=0)[spread > 0] / spread[spread > 0]
    all_deviation = float(ratios.std(ddof=1)) if ratios.size > 1 else None
    whole = _curve(own, trials, all_deviation)
    shape = _moments(own)
    psr = None
    if shape is not None:
        psr = probabilistic_sharpe(shape[0] / shape[1], own.size, skew=shape[2], kurtosis=shape[3])
    first, second = _moments(here), shape
    return (
        Deflated(
            cohort_sharpe=None if first is None else first[0] / first[1] * year,
            cohort_n=int(here.size),
            cohort_value=_at(cohort, trials),
            cohort_curve=_points(cohort),
            sharpe=None if second is None else second[0] / second[1] * year,
            n=int(own.size),
            value=_at(whole, trials),
            curve=_points(whole),
            trial_deviation_annual=None if all_deviation is None else all_deviation * year,
        ),
        psr,
    )


def _curve(values: Float64, trials: int, deviation: float | None) -> tuple[Deflation, ...]:
    shape = _moments(values)
    if shape is None or deviation is None:
        return ()
    mean, spread, skew, kurtosis = shape
    return deflation_curve(
        mean / spread, int(values.size), trials=trials, variance=deviation**2, skew=skew, kurtosis=kurtosis
    )


def _at(curve: Sequence[Deflation], trials: int) -> float | None:
    return next((point.value for point in curve if point.trials == trials), None)


def _points(curve: Sequence[Deflation]) -> tuple[CurvePoint, ...]:
    year = math.sqrt(HOURS_A_YEAR)
    return tuple(CurvePoint(trials=p.trials, benchmark_annual=p.benchmark * year, value=p.value) for p in curve)


def _thin(field: Float64) -> Float64:
    """Hours as they are, or sums of four where there are many."""
    if field.shape[0] <= _MANY_HOURS:
        return field
    whole = field.shape[0] // 4 * 4
    summed: Float64 = field[:whole].reshape(-1, 4, field.shape[1]).sum(axis=1)
    return summed


def _overfit(field: Float64) -> OverfitPicture:
    found = cscv(field)
    bins = None
    if found.logits.size:
        top = math.ceil(math.log(found.n_trials + 1))
        bins = _bins(np.clip(found.logits, -top, top), np.linspace(-top, top, 4 * top + 1))
    return OverfitPicture(
        probability=found.pbo,
        logits=bins,
        slope=found.slope,
        loss=found.loss,
        blocks=found.blocks,
        n_trials=found.n_trials,
        n_observations=found.n_observations,
    )


def _comparison(field: Float64, place: int | None, numbers: Sequence[int], seed: int) -> Comparison:
    table = _thin(field)
    block = block_length(table[:, place]) if place is not None else 1.0
    ability = superior_ability(table, block=block, seed=seed)
    chosen = confidence_set(table, block=block, seed=seed)
    p = None if place is None else chosen.p_values[place]
    return Comparison(
        spa_lower=ability.lower,
        spa_consistent=ability.consistent,
        spa_upper=ability.upper,
        set_size=chosen.size,
        in_set=tuple(numbers[k] for k in chosen.included),
        candidate_in_set=(place in chosen.included) if chosen.included and place is not None else None,
        candidate_p=float(p) if p is not None and math.isfinite(p) else None,
        n_agents=ability.n_agents,
        n_observations=ability.n,
    )


def _interval(own: Float64, seed: int) -> Interval:
    found = mean_interval(own, bars_a_day=24.0, seed=seed)
    return Interval(
        mean=found.mean,
        low=found.low,
        high=found.high,
        below_zero=found.below_zero,
        level=found.level,
        block_bars=found.block,
        n=found.n,
    )


def _bridge(bridge: CostBridge) -> Bridge:
    return Bridge(**asdict(bridge), ratio=bridge.ratio)


def _days(results: Results, agent: int) -> Days:
    _, daily = results.daily()
    found = consistency(daily, agent)
    return Days(
        returns=found.returns,
        ranks=found.ranks,
        positive=found.positive,
        best_share=found.best_share,
        rank_correlation=found.rank_correlation,
        n_agents=found.n_agents,
    )


def _live(replay: Results | None, at: int | None, first: int, names: Sequence[str]) -> tuple[LiveCorrelation, ...]:
    """Daily results of the replay, candidate against each live agent."""
    if replay is None or at is None:
        return tuple(LiveCorrelation(name=name, correlation=None, n=0) for name in names)
    _, daily = replay.daily()
    out = []
    for k, name in enumerate(names):
        own, other = daily[:, at], daily[:, first + k]
        defined = len(own) >= 10 and np.ptp(own) > 0 and np.ptp(other) > 0
        value = float(np.corrcoef(own, other)[0, 1]) if defined else None
        out.append(LiveCorrelation(name=name, correlation=value, n=len(own)))
    return tuple(out)
