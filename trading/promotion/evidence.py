"""The statement of evidence: everything the review page shows and the gate judges, as JSON-able data.

Undefined is null, every figure carries its sample size, times are epoch milliseconds UTC, money is in the cohort's
quote currency. The models are frozen: a statement of evidence is compiled anew, never edited.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fundops.core.clock import from_ms
from trading.promotion.policy import Figure


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Known(_Model):
    """One figure: its value or null, the observations behind it, and where null comes from."""

    value: float | None
    n: int | None = None
    why: str = ""


class Exclusion(_Model):
    """Why an agent is out of the running: the screen, what it measured, what was allowed."""

    screen: Literal["trades", "slippage", "participation", "depth", "lots", "drawdown", "leverage", "idle"]
    value: float | None
    allowed: float
    words: str


class AgentLine(_Model):
    """One agent of the ranking. Ranks are 1 for the best; scores are standard normal without skill."""

    number: int
    profile: str
    family: str
    symbol: str
    genome_hash: str
    draw: float
    roi_frac: float
    sharpe_annual: float | None
    sharpe_n: int
    roi_rank: int
    sharpe_rank: int | None
    score_cohort: float | None
    score_replay: float | None
    score: float | None
    chance_alone: float | None
    chance_of_best: float | None
    evidence_rank: int | None
    replay_daily: float | None
    replay_days: int
    trades: int
    fills: int
    slippage_bps: float | None
    participation_frac: float | None
    depth_frac: float | None
    drawdown_frac: float
    leverage_breaches: int
    exclusions: tuple[Exclusion, ...]

    @property
    def screened(self) -> bool:
        """Whether it passed every screen."""
        return not self.exclusions


class Line(_Model):
    """A drawn line: one value for each time of the picture it stands in, null where there is none."""

    number: int
    values: tuple[float | None, ...]


class EquityPicture(_Model):
    """Equity over capital of all agents at the ends of hours; the candidate's line is to be drawn in front."""

    ts_ms: tuple[int, ...]
    lines: tuple[Line, ...]
    parent: tuple[float | None, ...]


class ReplayPicture(_Model):
    """Cumulated daily returns of the candidate over its replay (sum, not compounded), by day, with the gaps left
    open.
    """

    ts_ms: tuple[int, ...]
    cumulated: tuple[float, ...]


class Bins(_Model):
    """A histogram: ``edges`` has one entry more than ``counts``."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Returns(_Model):
    """Distribution of the candidate's hourly returns, cohort and replay."""

    cohort: Bins
    replay: Bins | None
    mean: float | None
    deviation: float | None
    skew: float | None
    kurtosis: float | None
    n: int


class CurvePoint(_Model):
    """Deflated Sharpe ratio if there had been so many trials."""

    trials: int
    benchmark_annual: float
    value: float | None


class Deflated(_Model):
    """The curve over the number of trials, for the cohort alone and for all evidence; Sharpe ratios are annual."""

    cohort_sharpe: float | None
    cohort_n: int
    cohort_value: float | None
    cohort_curve: tuple[CurvePoint, ...]
    sharpe: float | None
    n: int
    value: float | None
    curve: tuple[CurvePoint, ...]
    trial_deviation_annual: float | None


class RecordedTrials(_Model):
    """One recorded backtest or sweep on this window."""

    id: int
    kind: Literal["backtest", "sweep"]
    family: str
    profile: str
    symbols: tuple[str, ...]
    interval: str
    first_ms: int
    last_ms: int
    sets: int
    run_by: str
    at_ms: int

    @property
    def first(self) -> datetime:
        return from_ms(self.first_ms)

    @property
    def last(self) -> datetime:
        return from_ms(self.last_ms)

    @property
    def at(self) -> datetime:
        return from_ms(self.at_ms)


class Trials(_Model):
    """Everything tried on this window: cohorts, agents, distinct genomes, and how many those are worth.

    ``records`` backtests and sweeps tried ``outside`` genomes that no agent traded; ``recorded`` are the last of them.
    """

    cohorts: tuple[int, ...]
    agents: int
    distinct: int
    records: int = 0
    outside: int = 0
    recorded: tuple[RecordedTrials, ...] = ()
    elsewhere: int
    counted: int
    effective_eigen: float | None
    effective_clusters: int | None
    mean_correlation: float | None
    n_observations: int


class OverfitPicture(_Model):
    """CSCV: probability, histogram of logits, and what the in-sample Sharpe ratio says of the out-of-sample one."""

    probability: float | None
    logits: Bins | None
    slope: float | None
    loss: float | None
    blocks: int
    n_trials: int
    n_observations: int


class Comparison(_Model):
    """Superior ability and the model confidence set over the same returns."""

    spa_lower: float | None
    spa_consistent: float | None
    spa_upper: float | None
    set_size: float
    in_set: tuple[int, ...]
    candidate_in_set: bool | None
    candidate_p: float | None
    n_agents: int
    n_observations: int


class Interval(_Model):
    """Stationary bootstrap of the expected daily return."""

    mean: float | None
    low: float | None
    high: float | None
    below_zero: float | None
    level: float
    block_bars: float
    n: int


class Bridge(_Model):
    """From gross to net in quote units, and what the model expected of each cost."""

    gross: float
    fees: float
    spread: float
    impact: float
    funding: float
    net: float
    modelled_fees: float
    modelled_spread: float
    modelled_impact: float
    ratio: float | None
    turnover: float
    n_fills: int


class Days(_Model):
    """Days against each other."""

    returns: tuple[float, ...]
    ranks: tuple[int, ...]
    positive: int
    best_share: float | None
    rank_correlation: float | None
    n_agents: int


class LiveCorrelation(_Model):
    """Correlation of daily results with one live agent, both replayed over the same days."""

    name: str
    correlation: float | None
    n: int


class Piece(_Model):
    """One piece of evidence about the candidate and the weight it has in the whole."""

    name: Literal["cohort", "replay"]
    days: int
    bars: int
    score: float | None
    t: float | None
    df: int
    daily: float | None
    variance_ratio: float | None
    peers_explain: float | None
    weight: float


class Combined(_Model):
    """Both pieces in one score, and the probability of a best agent this good without skill."""

    method: str
    pieces: tuple[Piece, ...]
    score: float | None
    needed: float
    chance_alone: float | None
    chance_of_best: float | None
    trials: int
    level: float


class PowerPoint(_Model):
    """Probability that an agent of that annual Sharpe ratio passes, with the cohort alone and with all evidence."""

    annual_sharpe: float
    t_cohort: float
    cohort: float
    all: float


class Power(_Model):
    """What this evidence can see; ``detectable`` is the annual Sharpe ratio that passes four times out of five."""

    points: tuple[PowerPoint, ...]
    detectable: float | None
    detectable_cohort: float | None
    cohort_days: int
    days: int
    gain: float


class ReplayFacts(_Model):
    """What the replay covered and what it kept away from."""

    days: int
    folds: int
    first_ms: int | None
    last_ms: int | None
    fold_days: int
    warmup_days: int
    embargo_days: int
    purged: tuple[tuple[int, int], ...]
    coverage_first_ms: int | None
    coverage_last_ms: int | None
    why_none: str


class SliceFacts(_Model):
    """The micro-live slice, what it is cut from, and what a false promotion can cost.

    ``assumed``: there was no pool yet, and the cohort's paper bankroll stood in for it.
    """

    bankroll: float
    bankroll_of: str
    share_of_bankroll: float
    assumed: bool
    amount: float
    size_over_draw: float
    worst_loss_frac: float
    overshoot_frac: float
    worst_loss: float
    cost_frac: float
    allowed_frac: float
    bound: str
    fits: bool


class Spent(_Model):
    """Seconds that compiling took, by part."""

    cohort: float
    replay: float
    statistics: float
    total: float


class Evidence(_Model):
    """The whole statement. ``candidate`` is the number of the agent it speaks for, null when every agent was
    excluded.
    """

    schema_version: Literal[1] = 1
    cohort: int
    name: str
    venue: str
    interval: str
    quote: str
    bankroll: float
    synthetic: bool
    first_ms: int
    last_ms: int
    compiled_at_ms: int
    policy: str
    rank_by: str
    seed: int
    engine_version: int
    candidate: int | None
    agents: tuple[AgentLine, ...]
    figures: dict[Figure, Known]
    equity: EquityPicture
    replay: ReplayFacts
    trials: Trials
    power: Power
    combined: Combined | None
    replay_equity: ReplayPicture | None
    returns: Returns | None
    deflated: Deflated | None
    overfit: OverfitPicture | None
    comparison: Comparison | None
    interval_of_mean: Interval | None
    costs: Bridge | None
    consistency: Days | None
    live: tuple[LiveCorrelation, ...]
    slice: SliceFacts | None
    words: tuple[str, ...]
    not_known: tuple[str, ...]
    spent: Spent

    def line(self, number: int) -> AgentLine:
        """The ranking line of one agent."""
        return next(line for line in self.agents if line.number == number)
