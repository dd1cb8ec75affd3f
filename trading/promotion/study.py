"""The study of the gate: how often it lets luck through, how often it sees skill, and what any test could do.

Cohorts of agents without skill are made bar by bar (`trading.quant.evidence.noise`), scored by the very functions that
compile evidence, and judged by the musts of a policy. One agent is then given an annual Sharpe ratio: adding a constant
to its results changes no second moment, so every Sharpe ratio is judged on the same cohorts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from trading.promotion.gate import musts_hold
from trading.promotion.policy import Figure, GatePolicy
from trading.quant.evidence.noise import BARS_A_DAY, NoiseModel, NoiseShape, noise_results
from trading.quant.evidence.power import critical_of_best, exchangeable, limit_of_power
from trading.quant.evidence.skill import Moments, chance_of_best, combine, moments, scores
from trading.quant.metrics import DAYS_PER_YEAR, deflated_sharpe

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

REPLAY_DAYS = (0, 30, 90, 180)
SHARPES = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0)

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What to simulate. ``cohorts`` of noise for the false positives, ``power_cohorts`` for the power."""

    cohorts: int = 1000
    power_cohorts: int = 1000
    agents: int = 30
    cohort_days: int = 3
    replay_days: tuple[int, ...] = REPLAY_DAYS
    sharpes: tuple[float, ...] = SHARPES
    false_positive_rate: float = 0.05
    seed: int = 2026
    workers: int = 2
    shape: NoiseShape = field(default_factory=NoiseShape)


@dataclass(frozen=True, slots=True)
class Rate:
    """``hits`` of ``n`` with the exact 95 % interval of Clopper and Pearson."""

    hits: int
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mean:
    """A probability averaged over cohorts, each agent of each cohort being the skilled one once, and its standard
    error over cohorts.
    """

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class PowerRow:
    """One cell of the power curve. ``gate`` is how often the skilled agent is named and passes; ``adjusted`` the same
    with the luck of the draw taken out by the best possible rule on the same cohorts, whose probability is known, and
    ``share`` that over the limit. ``by_return`` had only the winner by return been judged; ``anybody`` any agent.
    """

    model: str
    replay_days: int
    annual_sharpe: float
    gate: Mean
    adjusted: Mean
    limit: float
    by_return: Mean
    anybody: Mean

    @property
    def share(self) -> float:
        return self.adjusted.value / self.limit


@dataclass(frozen=True, slots=True)
class FalseRow:
    """How often one rule lets somebody through although nobody has skill."""

    model: str
    rule: str
    replay_days: int
    rate: Rate


@dataclass(frozen=True, slots=True)
class LevelRow:
    """The level of the test at which the gate would let exactly the plan's rate of noise through, with the order
    statistics that enclose it with 95 % confidence: a policy's level below ``low`` keeps the rate.
    """

    model: str
    replay_days: int
    level: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Study:
    """The outcome. ``overall`` is the gate's rate of false positives over both models and all lengths of replay, its
    error over cohorts; ``seconds`` is what it all took.
    """

    plan: StudyPlan
    policy: str
    level: float
    overall: Mean
    false_positives: tuple[FalseRow, ...]
    levels: tuple[LevelRow, ...]
    power: tuple[PowerRow, ...]
    seconds: float


def rate_of(hits: int, n: int, *, confidence: float = 0.95) -> Rate:
    """Clopper and Pearson (1934): the interval that covers the true rate at least so often."""
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if hits == 0 else float(scipy.stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits == n else float(scipy.stats.beta.ppf(1.0 - tail, hits + 1, n - hits))
    return Rate(hits, n, hits / n if n else math.nan, low, high)


# --- one cohort -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one cohort.

    Without skill, by replay length, (n_lengths,): ``alarm``, whether anybody passes, and ``chance``, the smallest level
    at which somebody would; what three common rules say of its own days (``naive``). With every agent the skilled one
    in turn, by length and Sharpe ratio, (n_lengths, n_sharpes): the share of them that the gate names, that it names
    when only the winner by return is judged, that the best possible rule names, and in which anybody passes.
    """

    alarm: Bools
    chance: Float64
    naive: Bools
    gate: Float64
    by_return: Float64
    oracle: Float64
    anybody: Float64


def judge_cohort(plan: StudyPlan, policy: GatePolicy, model: NoiseModel, seed: int) -> Judged:
    """Simulates one cohort with its longest replay and judges it at every length and Sharpe ratio."""
    n = plan.agents
    days = plan.cohort_days + max(plan.replay_days)
    results = noise_results(n_agents=n, days=days, seed=seed, model=model, shape=plan.shape)
    cut = plan.cohort_days * BARS_A_DAY
    own = moments(results[:, :cut].T)
    replays = {d: moments(results[:, cut : cut + d * BARS_A_DAY].T) for d in plan.replay_days if d}
    periods = [[own, replays[d]] if d else [own] for d in plan.replay_days]
    nothing = np.zeros((1, n))
    without = {id(one): scores(one, nothing).z for one in (own, *replays.values())}
    alarm = np.array([_named(policy, of, without, nothing)[0] >= 0 for of in periods])
    chance = np.array([_chance(policy, of, without, nothing) for of in periods])
    gate, by_return, oracle, anybody = (np.zeros((len(periods), len(plan.sharpes))) for _ in range(4))
    everyone = np.arange(n)
    for k, sharpe in enumerate(plan.sharpes):
        shift = np.eye(n) * (sharpe / math.sqrt(DAYS_PER_YEAR) / BARS_A_DAY)
        z = {id(one): scores(one, shift).z for one in (own, *replays.values())}
        winners = np.argmax(own.mean + shift, axis=1)
        for i, of in enumerate(periods):
            named = _named(policy, of, z, shift)
            gate[i, k] = np.mean(named == everyone)
            anybody[i, k] = np.mean(named >= 0)
            by_return[i, k] = np.mean(_named(policy, of, z, shift, only=winners) == everyone)
            oracle[i, k] = np.mean(_best_possible(plan, of, shift) == everyone)
    return Judged(alarm, chance, _naive(plan, results[:, :cut]), gate, by_return, oracle, anybody)


def _daily(of: Sequence[Moments], shift: Float64) -> Float64:
    """Mean result a day over all periods, (n_rows, n_agents)."""
    bars = sum(one.n_bars for one in of)
    mean: Float64 = sum((one.mean * one.n_bars for one in of), np.zeros(shift.shape[-1])) / bars + shift
    return mean * BARS_A_DAY


def _together(of: Sequence[Moments], z: Mapping[int, Float64]) -> Float64:
    """Combined scores (n_rows, n_agents) of the periods ``of``, whose own are in ``z`` by identity."""
    tables = np.stack([z[id(one)] for one in of])
    days = np.array([one.n_bars / BARS_A_DAY for one in of])
    return combine(tables.reshape(len(of), -1), days).reshape(tables.shape[1:])


def _named(
    policy: GatePolicy,
    of: Sequence[Moments],
    z: Mapping[int, Float64],
    shift: Float64,
    *,
    only: Int64 | None = None,
) -> Int64:
    """Whom the gate passes in each row of ``shift`` (n_rows, n_agents): the best by all evidence, or ``only`` a given
    agent, if the musts that a study can ask hold for it; else -1.
    """
    combined = _together(of, z)
    agent = np.argmax(np.where(np.isnan(combined), -np.inf, combined), axis=1) if only is None else only
    rows = np.arange(len(combined))
    figures = {
        Figure.CHANCE_OF_BEST: chance_of_best(combined[rows, agent], float(combined.shape[1])),
        Figure.NET_DAILY: _daily(of, shift)[rows, agent],
    }
    return np.where(musts_hold(policy, figures), agent, -1)


def named_agent(policy: GatePolicy, of: Sequence[Moments], n_agents: int) -> int:
    """Whom the gate passes of one cohort, its periods being ``of``; -1 for nobody."""
    nothing = np.zeros((1, n_agents))
    return int(_named(policy, of, {id(one): scores(one, nothing).z for one in of}, nothing)[0])


def _chance(policy: GatePolicy, of: Sequence[Moments], z: Mapping[int, Float64], nothing: Float64) -> float:
    """The level at which the gate would just let the best agent through; 1 where another must forbids it."""
    agent = int(_named(_without_level(policy), of, z, nothing)[0])
    return 1.0 if agent < 0 else float(chance_of_best(float(_together(of, z)[0, agent]), float(nothing.shape[1])))


@cache
def _without_level(policy: GatePolicy) -> GatePolicy:
    """The policy with its calibrated test left open, every other must as it is."""
    checks = tuple(
        check.model_copy(update={"threshold": 1.0}) if check.figure == Figure.CHANCE_OF_BEST else check
        for check in policy.checks
    )
    return policy.model_copy(update={"checks": checks})


def _best_possible(plan: StudyPlan, of: Sequence[Moments], shift: Float64) -> Int64:
    """Whom the most powerful rule names, knowing variances and correlation (`trading.quant.evidence.power`)."""
    n, rho = plan.agents, plan.shape.correlation
    x = _daily(of, shift) * math.sqrt(sum(one.n_bars for one in of) / BARS_A_DAY)
    weight = rho / (1.0 + (n - 1) * rho)
    y = (x - weight * x.sum(axis=1, keepdims=True)) / (1.0 - rho) / exchangeable(n, rho).gain
    best = np.argmax(y, axis=1)
    return np.where(y[np.arange(len(y)), best] > critical_of_best(n, rho, plan.false_positive_rate), best, -1)


def _naive(plan: StudyPlan, here: Float64) -> Bools:
    """What three common rules say of the cohort's days alone, without skill."""
    day = here[:, :BARS_A_DAY].sum(axis=1)
    hourly = here.reshape(plan.agents, -1, 4).sum(axis=2)
    spread = hourly.std(axis=1, ddof=1)
    ratios = np.where(spread > 0, hourly.mean(axis=1) / np.where(spread > 0, spread, 1.0), -np.inf)
    best = int(np.argmax(ratios))
    n = hourly.shape[1]
    moved = ratios[np.isfinite(ratios)]
    deflated = deflated_sharpe(float(ratios[best]), n, trials=plan.agents, variance=float(moved.var(ddof=1)))
    return np.array([day.max() > 0, ratios[best] * math.sqrt(n) > 1.645, deflated is not None and deflated >= 0.95])


GATE_RULE = "the gate"
NAIVE_RULES = (
    "best return after one day",
    "best Sharpe ratio of three days, t above 1.645",
    "deflated Sharpe ratio of three days at 0.95",
)


# --- many cohorts ---------------------------------------------------------------------------------------------------


def run_study(plan: StudyPlan, policy: GatePolicy, *, report: Report | None = None) -> Study:
    """False positives and power of ``policy``, for both models of noise. The plan's seed fixes every figure."""
    started = time.perf_counter()
    false_rows: list[FalseRow] = []
    level_rows: list[LevelRow] = []
    power_rows: list[PowerRow] = []
    alarms: list[float] = []
    n = max(plan.cohorts, plan.power_cohorts)
    total, done = n * len(NoiseModel), 0
    for model in NoiseModel:
        judged = []
        for one in _judge_all(plan, policy, model, n):
            judged.append(one)
            done += 1
            if report is not None:
                report(done, total)
        false_rows += _false_rows(plan, model, judged[: plan.cohorts])
        alarms += [float(one.alarm.mean()) for one in judged[: plan.cohorts]]
        level_rows += _level_rows(plan, model, judged[: plan.cohorts])
        power_rows += _power_rows(plan, model, judged[: plan.power_cohorts])
    return Study(
        plan=plan,
        policy=policy.name,
        level=policy.level,
        overall=_mean(np.array(alarms)),
        false_positives=tuple(false_rows),
        levels=tuple(level_rows),
        power=tuple(power_rows),
        seconds=time.perf_counter() - started,
    )


def _judge_all(plan: StudyPlan, policy: GatePolicy, model: NoiseModel, n: int) -> Iterator[Judged]:
    """Cohorts in the order of their seeds, whatever thread makes them."""
    judge_cohort(plan, policy, model, plan.seed)  # compiles once, before threads ask for it at the same time

    def one(k: int) -> Judged:
        return judge_cohort(plan, policy, model, _seed(plan.seed, model, k))

    with ThreadPoolExecutor(max_workers=plan.workers) as pool:
        for first in range(0, n, 256):
            yield from pool.map(one, range(first, min(first + 256, n)))


def _seed(seed: int, model: NoiseModel, k: int) -> int:
    return int(np.random.SeedSequence([seed, int(model), k]).generate_state(1)[0])


def _false_rows(plan: StudyPlan, model: NoiseModel, judged: Sequence[Judged]) -> list[FalseRow]:
    n = len(judged)
    naive = np.array([one.naive for one in judged])
    alarm = np.array([one.alarm for one in judged])
    rows = [
        FalseRow(model.name.lower(), rule, 0, rate_of(int(naive[:, k].sum()), n)) for k, rule in enumerate(NAIVE_RULES)
    ]
    rows += [
        FalseRow(model.name.lower(), GATE_RULE, days, rate_of(int(alarm[:, i].sum()), n))
        for i, days in enumerate(plan.replay_days)
    ]
    return rows


def _level_rows(plan: StudyPlan, model: NoiseModel, judged: Sequence[Judged]) -> list[LevelRow]:
    chance = np.sort(np.array([one.chance for one in judged]), axis=0)
    n, rate = len(judged), plan.false_positive_rate
    places = [round(float(scipy.stats.binom.ppf(q, n, rate))) - 1 for q in (0.025, 0.5, 0.975)]
    low, middle, high = (chance[min(max(place, 0), n - 1)] for place in places)
    return [
        LevelRow(model.name.lower(), days, float(middle[i]), float(low[i]), float(high[i]))
        for i, days in enumerate(plan.replay_days)
    ]


def _power_rows(plan: StudyPlan, model: NoiseModel, judged: Sequence[Judged]) -> list[PowerRow]:
    gate, by_return, oracle, anybody = (
        np.array([getattr(one, name) for one in judged]) for name in ("gate", "by_return", "oracle", "anybody")
    )
    rows = []
    for i, days in enumerate(plan.replay_days):
        for k, sharpe in enumerate(plan.sharpes):
            limit = limit_of_power(
                sharpe, plan.cohort_days + days, plan.agents, plan.shape.correlation, plan.false_positive_rate
            )
            here = gate[:, i, k]
            rows.append(
                PowerRow(
                    model=model.name.lower(),
                    replay_days=days,
                    annual_sharpe=sharpe,
                    gate=_mean(here),
                    adjusted=_mean(_adjusted(here, oracle[:, i, k], limit) if model is NoiseModel.PLAIN else here),
                    limit=limit,
                    by_return=_mean(by_return[:, i, k]),
                    anybody=_mean(anybody[:, i, k]),
                )
            )
    return rows


def _mean(values: Float64) -> Mean:
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Mean(float(values.mean()), error)


def _adjusted(gate: Float64, oracle: Float64, limit: float) -> Float64:
    """``gate`` with the oracle's known mean as control variate: the two name mostly alike, so most luck cancels."""
    spread = float(oracle.var())
    slope = float(np.mean((gate - gate.mean()) * (oracle - oracle.mean()))) / spread if spread > 0 else 0.0
    return gate - slope * (oracle - limit)


def as_json(study: Study) -> dict[str, Any]:
    """The study as plain data."""

    plan = study.plan
    return {
        "policy": study.policy,
        "level": study.level,
        "false_positive_rate": plan.false_positive_rate,
        "seed": plan.seed,
        "agents": plan.agents,
        "cohort_days": plan.cohort_days,
        "correlation": plan.shape.correlation,
        "cohorts": plan.cohorts,
        "power_cohorts": plan.power_cohorts,
        "overall": asdict(study.overall),
        "seconds": round(study.seconds, 1),
        "false_positives": [
            {"model": row.model, "rule": row.rule, "replay_days": row.replay_days, **asdict(row.rate)}
            for row in study.false_positives
        ],
        "levels": [asdict(row) for row in study.levels],
        "power": [
            {
                "model": row.model,
                "replay_days": row.replay_days,
                "annual_sharpe": row.annual_sharpe,
                "gate": asdict(row.gate),
                "adjusted": asdict(row.adjusted),
                "limit": row.limit,
                "share_of_limit": row.share,
                "by_return": asdict(row.by_return),
                "anybody": asdict(row.anybody),
            }
            for row in study.power
        ],
    }
