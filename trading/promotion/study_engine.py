"""Does the simplification hold? Cohorts of real strategies, traded by the real engine on prices without drift.

The prices are synthetic (clustered volatility, fat tails, correlated markets), the drift of their regimes set to
zero: before costs no strategy can expect to earn anything, after costs every one loses. Before costs the gate should
therefore let through what it lets through of simulated noise; after costs less.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from trading.cohorts.installed import installed_families, installed_profiles
from trading.cohorts.population import choose_members
from trading.marketdata.synthetic import SyntheticSpec, synthesise
from trading.models.cohort import Cohort, GenomeSource
from trading.promotion.folds import DAY_MS, Window, replay_folds
from trading.promotion.policy import GatePolicy
from trading.promotion.replaying import Results, results_of
from trading.promotion.study import Rate, Report, StudyPlan, named_agent, rate_of
from trading.quant import engine
from trading.quant.evidence.skill import combine, moments, scores
from trading.quant.evidence.trials import correlation_of
from trading.quant.steps import daily_volatility, decimal_step

Float64 = npt.NDArray[np.float64]

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "AVAXUSDT", "SUIUSDT", "DOGEUSDT")
MARK_MS = 900_000
WARMUP_DAYS, EMBARGO_DAYS = 7, 1
#: Midnight UTC of 2025-01-01; which days it is does not matter to invented prices.
START_MS = 1_735_689_600_000
DRAW = 1_000.0


@dataclass(frozen=True, slots=True)
class EngineCheck:
    """What the real engine made of noise. ``before_costs`` and ``after_costs`` are how often the gate let somebody
    through; ``score_mean`` and ``score_deviation`` those of the agents' scores before costs, 0 and 1 if the scores are
    what they claim to be; the rest describes the results themselves.
    """

    cohorts: int
    agents: int
    replay_days: int
    before_costs: Rate
    after_costs: Rate
    best_return: Rate
    score_mean: float
    score_deviation: float
    scores: int
    mean_correlation: float
    explained: float
    kurtosis: float
    invested: float
    seconds: float


@dataclass(frozen=True, slots=True)
class _Seen:
    """One cohort's outcome."""

    before: bool
    after: bool
    best_return: bool
    z: Float64
    correlation: float
    explained: float
    kurtosis: float
    invested: float


def check_with_engine(
    plan: StudyPlan, policy: GatePolicy, *, cohorts: int, replay_days: int = 30, report: Report | None = None
) -> EngineCheck:
    """``cohorts`` cohorts of the installed strategies on prices of their own, with ``replay_days`` of replay each."""
    started = time.perf_counter()
    installed_families()

    def one(k: int) -> _Seen:
        return _cohort(plan, policy, seed=plan.seed + k, replay_days=replay_days)

    seen = []
    with ThreadPoolExecutor(max_workers=plan.workers) as pool:
        for outcome in pool.map(one, range(cohorts)):
            seen.append(outcome)
            if report is not None:
                report(len(seen), cohorts)
    z = np.concatenate([s.z for s in seen])
    return EngineCheck(
        cohorts=cohorts,
        agents=plan.agents,
        replay_days=replay_days,
        before_costs=rate_of(sum(s.before for s in seen), cohorts),
        after_costs=rate_of(sum(s.after for s in seen), cohorts),
        best_return=rate_of(sum(s.best_return for s in seen), cohorts),
        score_mean=float(z.mean()),
        score_deviation=float(z.std(ddof=1)),
        scores=len(z),
        mean_correlation=float(np.mean([s.correlation for s in seen])),
        explained=float(np.mean([s.explained for s in seen])),
        kurtosis=float(np.mean([s.kurtosis for s in seen])),
        invested=float(np.mean([s.invested for s in seen])),
        seconds=time.perf_counter() - started,
    )


def _cohort(plan: StudyPlan, policy: GatePolicy, *, seed: int, replay_days: int) -> _Seen:
    own = Window(
        START_MS + (WARMUP_DAYS + replay_days + EMBARGO_DAYS) * DAY_MS,
        START_MS + (WARMUP_DAYS + replay_days + EMBARGO_DAYS + plan.cohort_days) * DAY_MS,
    )
    market = _market(own.end_ms, seed)
    agents = _agents(plan, seed)
    folds = replay_folds(
        coverage=Window(START_MS, own.end_ms),
        forbidden=[own],
        fold_days=plan.cohort_days,
        warmup_days=WARMUP_DAYS,
        embargo_days=EMBARGO_DAYS,
        most_days=replay_days,
    )
    ticks = [decimal_step(market.close[: DAY_MS // 60_000, k]) for k in range(len(SYMBOLS))]
    here = _trade(market, agents, ticks, own)
    there = [_trade(market, agents, ticks, fold) for fold in folds]
    net, gross = [here.net, np.vstack([x.net for x in there])], [here.gross, np.vstack([x.gross for x in there])]
    fair = [moments(x) for x in gross]
    paid = [moments(a, b) for a, b in zip(net, gross, strict=True)]
    days = np.array([float(plan.cohort_days), float(len(folds) * plan.cohort_days)])
    z = combine(np.stack([scores(of).z for of in fair]), days)
    moved = gross[1][:, np.ptp(gross[1], axis=0) > 0]
    matrix = correlation_of(gross[1])
    n = matrix.shape[0]
    day_one = here.net[: DAY_MS // MARK_MS].sum(axis=0)
    return _Seen(
        before=named_agent(policy, fair, plan.agents) >= 0,
        after=named_agent(policy, paid, plan.agents) >= 0,
        best_return=bool(day_one.max() > 0),
        z=z[np.isfinite(z)],
        correlation=float((matrix.sum() - n) / (n * (n - 1))) if n > 1 else 0.0,
        explained=float(np.nanmean(fair[1].explained)),
        kurtosis=float(np.median(scipy.stats.kurtosis(moved, axis=0))),
        invested=float(np.mean(moved != 0.0)),
    )


@cache
def _costs() -> engine.CostModel:
    return engine.load_cost_profile("binance")


def _market(end_ms: int, seed: int) -> engine.Market:
    spec = SyntheticSpec(
        symbols=SYMBOLS, start_ms=START_MS, minutes=(end_ms - START_MS) // 60_000, seed=seed, drift_scale=0.0
    )
    bars = synthesise(spec).bars
    columns: Mapping[str, Mapping[str, Float64]] = {
        symbol: {name: getattr(one, name) for name in ("open", "high", "low", "close", "volume")}
        for symbol, one in bars.items()
    }
    return engine.Market.from_columns(bars[SYMBOLS[0]].ts_ms, 60_000, columns)


def _agents(plan: StudyPlan, seed: int) -> list[engine.AgentSpec]:
    families = installed_families()
    cohort = Cohort(
        agent_count=plan.agents,
        seed=seed,
        genome_source=GenomeSource.PROFILES,
        symbols=list(SYMBOLS),
        venue="synthetic",
    )
    members = choose_members(cohort, profiles=installed_profiles(), families=families)
    return [m.genome.agent(families[m.genome.family], draw=DRAW, max_leverage=2.0) for m in members]


def _trade(market: engine.Market, agents: list[engine.AgentSpec], ticks: list[float], days: Window) -> Results:
    """One stretch of whole days after its warm-up, as a replay fold trades it."""
    low, at, high = np.searchsorted(
        market.ts_ms, [days.start_ms - WARMUP_DAYS * DAY_MS, days.start_ms, days.end_ms]
    ).tolist()
    past = market.slice(low, at)
    terms: dict[str, Any] = {
        "instruments": [
            engine.InstrumentRules(
                symbol=symbol,
                kind=engine.InstrumentKind.PERPETUAL,
                tick=ticks[k],
                lot=0.001,
                min_notional=5.0,
                max_leverage=20.0,
                daily_volatility=daily_volatility(past.close[:, k], 60_000),
            )
            for k, symbol in enumerate(SYMBOLS)
        ],
        "costs": _costs(),
        "wallet": engine.WalletRules(bankroll=DRAW * len(agents)),
    }
    state = engine.warmed_state(past, agents, first_ts_ms=days.start_ms, mark_every_ms=MARK_MS, **terms)
    run = engine.run(market.slice(at, high), agents, state=state, mark_every_ms=MARK_MS, **terms)
    return results_of(run, np.full(len(agents), DRAW), MARK_MS)
