"""`compile_evidence`: one statement about a cohort's candidate, from its books, its candles and its genomes' replay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from fundops.core import clock
from trading.models.cohort import AgentDay, Cohort, CohortRun
from trading.models.trials import TrialKind, TrialSet
from trading.promotion import pictures
from trading.promotion.bankroll import Bankroll, bankroll_for, cut_slice
from trading.promotion.errors import EvidenceUnavailableError
from trading.promotion.evidence import (
    AgentLine,
    Combined,
    Evidence,
    Known,
    Piece,
    Power,
    PowerPoint,
    RecordedTrials,
    ReplayFacts,
    SliceFacts,
    Spent,
    Trials,
)
from trading.promotion.policy import Figure, GatePolicy, default_policy
from trading.promotion.replaying import (
    Cast,
    CohortRunAgain,
    LiveAgent,
    ReplayRun,
    cast_of,
    fold_days,
    replay_genomes,
    run_cohort_again,
)
from trading.promotion.screening import Measured, exclusions, measure_agents, ranks, sharpe_annual
from trading.promotion.tried import Tried, chosen_on, trials_on_window
from trading.promotion.words import known_words, unknown_words
from trading.quant import engine
from trading.quant.evidence import power as powers
from trading.quant.evidence.sizing import MicroLiveSlice
from trading.quant.evidence.skill import Moments, Scores, chance_of_best, combine, critical_score, moments, scores

Float64 = npt.NDArray[np.float64]

DAY_MS = 86_400_000
MINUTE_MS = 60_000
METHOD = (
    "Stouffer's sum of the scores of cohort and replay, each weighted by the square root of its days; a score is the t "
    "statistic of the mean result after costs, peers' movements taken out; corrected for the number of trials (Sidak)."
)
#: Backtests and sweeps that the statement lists; all are counted.
MOST_RECORDS_LISTED = 100
POWER_SHARPES = (1.0, 2.0, 3.0, 5.0, 8.0)


@dataclass(frozen=True, slots=True)
class _Material:
    """Everything computed before a candidate is chosen."""

    cohort: Cohort
    policy: GatePolicy
    cast: Cast
    again: CohortRunAgain
    replay: ReplayRun
    replayed: npt.NDArray[np.int64]  # which agents, by position
    tried: Tried
    counted: int
    bankroll: Bankroll
    sized: list[MicroLiveSlice]
    measured: list[Measured]
    until_ms: int
    days: int
    pieces: list[_Scored]


@dataclass(frozen=True, slots=True)
class _Scored:
    """One period's moments and scores, spread over all agents (NaN for those it does not cover)."""

    name: str
    days: int
    of: Moments
    by: Scores
    z: Float64
    places: npt.NDArray[np.int64]

    def at(self, agent: int) -> int | None:
        """The column of an agent in this period, None where it is not covered."""
        found = np.flatnonzero(self.places == agent)
        return int(found[0]) if found.size else None


def compile_evidence(
    cohort: Cohort,
    *,
    policy: GatePolicy | None = None,
    live: Sequence[LiveAgent] = (),
    trials_elsewhere: int = 0,
    seed: int = 0,
) -> Evidence:
    """The evidence about ``cohort``'s candidate under ``policy`` (by default the one that ships).

    ``live`` are what trades already; ``trials_elsewhere`` adds trials on this window of which there is no record. Reads
    only; the same data, policy and seed give the same statement. Raises EvidenceUnavailableError before the first whole
    day has been traded.
    """
    started = time.perf_counter()
    policy = policy or default_policy()
    run = CohortRun.objects.filter(cohort=cohort).first()
    if run is None:
        raise EvidenceUnavailableError(f"{cohort} has not begun to trade.")
    until_ms = min(cohort.end_ms, run.next_bar_ms) // DAY_MS * DAY_MS
    days = int((until_ms - cohort.start_ms) // DAY_MS)
    if days < 1:
        raise EvidenceUnavailableError(f"{cohort} has not finished its first day yet.")
    mark_ms = max(cohort.interval_ms, policy.replay.mark_minutes * MINUTE_MS)
    cast = cast_of(cohort, live)
    again = run_cohort_again(cast, until_ms=until_ms, mark_ms=mark_ms)
    here = _scored("cohort", days, again.results.net, again.results.gross, np.arange(len(cast.seats)), len(cast.seats))
    cohort_done = time.perf_counter()
    replayed, part = _to_replay(cast, here.z, policy)
    replay = replay_genomes(part, rules=policy.replay, forbidden=chosen_on(cohort), mark_ms=mark_ms)
    pieces = [here]
    if replay.results is not None:
        n = len(replayed)
        there = len(replay.folds) * fold_days(cohort)
        pieces.append(
            _scored("replay", there, replay.results.net[:, :n], replay.results.gross[:, :n], replayed, len(cast.seats))
        )
    replay_done = time.perf_counter()
    tried = trials_on_window(cohort)
    bankroll = bankroll_for(cohort, policy.slice)
    sized = [cut_slice(bankroll, policy.slice, _own(again, replay, replayed, j)) for j in range(len(cast.seats))]
    material = _Material(
        cohort=cohort,
        policy=policy,
        cast=cast,
        again=again,
        replay=replay,
        replayed=replayed,
        tried=tried,
        counted=max(tried.distinct, len(cast.seats)) + tried.outside + trials_elsewhere,
        bankroll=bankroll,
        sized=sized,
        measured=measure_agents(cast, again, deployed=[slice_.amount for slice_ in sized]),
        until_ms=until_ms,
        days=days,
        pieces=pieces,
    )
    evidence = _statement(material, elsewhere=trials_elsewhere, seed=seed)
    now = time.perf_counter()
    spent = Spent(
        cohort=round(cohort_done - started, 4),
        replay=round(replay_done - cohort_done, 4),
        statistics=round(now - replay_done, 4),
        total=round(now - started, 4),
    )
    return evidence.model_copy(update={"spent": spent})


def _scored(
    name: str, days: int, net: Float64, gross: Float64, places: npt.NDArray[np.int64], n_agents: int
) -> _Scored:
    of = moments(net, gross)
    by = scores(of)
    z = np.full(n_agents, np.nan)
    z[places] = by.z
    return _Scored(name, days, of, by, z, places)


def _to_replay(cast: Cast, z: Float64, policy: GatePolicy) -> tuple[npt.NDArray[np.int64], Cast]:
    """Whose genomes are replayed: all, or in a large cohort those with the best scores so far."""
    most = policy.replay.most_agents
    if len(cast.seats) <= most:
        return np.arange(len(cast.seats)), cast
    best = np.sort(np.argsort(np.where(np.isnan(z), np.inf, -z), kind="stable")[:most])
    part = Cast(
        cast.cohort,
        tuple(cast.agents[k] for k in best),
        tuple(cast.seats[k] for k in best),
        cast.instruments,
        cast.families,
        cast.live,
        cast.elsewhere,
    )
    return best, part


def _statement(m: _Material, *, elsewhere: int, seed: int) -> Evidence:
    combined = combine(np.vstack([p.z for p in m.pieces]), np.array([float(p.days) for p in m.pieces]))
    lines = _lines(m, combined)
    candidate = _choose(lines, m.policy)
    place = None if candidate is None else next(k for k, line in enumerate(lines) if line.number == candidate)
    power = _power(m, place)
    trials = Trials(
        cohorts=m.tried.cohorts,
        agents=m.tried.agents,
        distinct=m.tried.distinct,
        records=len(m.tried.sets),
        outside=m.tried.outside,
        recorded=tuple(_recorded(one) for one in m.tried.sets[:MOST_RECORDS_LISTED]),
        elsewhere=elsewhere,
        counted=m.counted,
        effective_eigen=m.tried.effective.eigen,
        effective_clusters=m.tried.effective.clusters,
        mean_correlation=m.tried.effective.mean_correlation,
        n_observations=m.tried.effective.n_observations,
    )
    replay = _replay_facts(m)
    whole = None if place is None else _combined(m, combined, place)
    drawn = None if place is None else _about(m, place, seed=seed)
    line = None if place is None else lines[place]
    figures = {Figure.SCREENS_FAILED: Known(value=float(min(len(x.exclusions) for x in lines)), n=len(lines))}
    figures[Figure.BOOKS_DIFFERENCE] = _books_difference(m)
    if line is not None and whole is not None and drawn is not None:
        figures |= _figures(m, line, whole, drawn, power)
    cohort = m.cohort
    return Evidence(
        cohort=cohort.pk,
        name=str(cohort),
        venue=cohort.venue,
        interval=cohort.interval,
        quote=cohort.quote,
        bankroll=float(cohort.bankroll),
        synthetic=cohort.synthetic,
        first_ms=cohort.start_ms,
        last_ms=m.until_ms,
        compiled_at_ms=clock.to_ms(clock.now()),
        policy=m.policy.name,
        rank_by=m.policy.rank_by,
        seed=seed,
        engine_version=engine.ENGINE_VERSION,
        candidate=candidate,
        agents=tuple(sorted(lines, key=_order)),
        figures=figures,
        equity=pictures.equity(m.again.results, m.cast, first=place, order=np.nan_to_num(combined, nan=-np.inf)),
        replay=replay,
        trials=trials,
        power=power,
        combined=whole,
        replay_equity=None if drawn is None else drawn.replay_equity,
        returns=None if drawn is None else drawn.returns,
        deflated=None if drawn is None else drawn.deflated,
        overfit=None if drawn is None else drawn.overfit,
        comparison=None if drawn is None else drawn.comparison,
        interval_of_mean=None if drawn is None else drawn.interval,
        costs=None if drawn is None else drawn.costs,
        consistency=None if drawn is None else drawn.consistency,
        live=() if drawn is None else drawn.live,
        slice=None if drawn is None else drawn.slice,
        words=tuple(
            known_words(
                candidate=line,
                agents=len(lines),
                excluded=sum(1 for x in lines if x.exclusions),
                trials=trials,
                combined=whole,
                power=power,
                power_at=m.policy.power_at_sharpe,
                sized=None if drawn is None else drawn.slice,
                quote=cohort.quote,
                by_evidence=m.policy.rank_by == "evidence",
            )
        ),
        not_known=tuple(
            unknown_words(
                power=power,
                replay=replay,
                trials=trials,
                level=m.policy.level,
                synthetic=cohort.synthetic,
                live=len(m.cast.live) + len(m.cast.elsewhere),
                assumed=m.bankroll.assumed,
            )
        ),
        spent=Spent(cohort=0, replay=0, statistics=0, total=0),
    )


def _recorded(one: TrialSet) -> RecordedTrials:
    return RecordedTrials(
        id=one.pk,
        kind="sweep" if one.kind == TrialKind.SWEEP else "backtest",
        family=one.family,
        profile=one.profile,
        symbols=tuple(one.symbols),
        interval=one.interval,
        first_ms=clock.to_ms(one.start),
        last_ms=clock.to_ms(one.end),
        sets=one.sets,
        run_by=one.run_by.username,
        at_ms=clock.to_ms(one.at),
    )


# --- the ranking ----------------------------------------------------------------------------------------------------


def _lines(m: _Material, combined: Float64) -> list[AgentLine]:
    """One line an agent, in the order of their numbers."""
    net = m.again.results.net
    _, daily = m.again.results.daily()
    roi, sharpe = net.sum(axis=0), sharpe_annual(daily)
    alone = chance_of_best(combined, 1.0)
    corrected = chance_of_best(combined, float(m.counted))
    out_by = [exclusions(measured, m.policy.screens) for measured in m.measured]
    screened = np.array([not out for out in out_by])
    by_roi, by_sharpe = ranks(roi), ranks(sharpe)
    by_evidence = ranks(np.where(screened, combined, np.nan))
    replay = next((p for p in m.pieces if p.name == "replay"), None)
    return [
        AgentLine(
            number=agent.number,
            profile=agent.profile,
            family=agent.family,
            symbol=agent.symbol,
            genome_hash=agent.genome_hash,
            draw=float(agent.draw),
            roi_frac=float(roi[j]),
            sharpe_annual=_known(sharpe[j]),
            sharpe_n=int(daily.shape[0]),
            roi_rank=by_roi[j] or len(m.measured),
            sharpe_rank=by_sharpe[j],
            score_cohort=_known(m.pieces[0].z[j]),
            score_replay=None if replay is None else _known(replay.z[j]),
            score=_known(combined[j]),
            chance_alone=_known(alone[j]),
            chance_of_best=_known(corrected[j]),
            evidence_rank=by_evidence[j],
            replay_daily=_replay_daily(m, j),
            replay_days=0 if replay is None or replay.at(j) is None else replay.days,
            trades=m.measured[j].trades,
            fills=m.measured[j].fills,
            slippage_bps=m.measured[j].bridge.slippage_bps,
            participation_frac=m.measured[j].participation_frac,
            depth_frac=m.measured[j].depth_frac,
            drawdown_frac=m.measured[j].drawdown_frac,
            leverage_breaches=m.measured[j].leverage_breaches,
            exclusions=out_by[j],
        )
        for j, agent in enumerate(m.cast.agents)
    ]


def _replay_daily(m: _Material, agent: int) -> float | None:
    place = np.flatnonzero(m.replayed == agent)
    if m.replay.results is None or not place.size:
        return None
    days = len(m.replay.folds) * fold_days(m.cohort)
    return float(m.replay.results.net[:, place[0]].sum() / days)


def _choose(lines: Sequence[AgentLine], policy: GatePolicy) -> int | None:
    """The number of the candidate: best by all evidence, or by return, among those that passed the screens."""
    running = [line for line in lines if line.screened and line.score is not None]
    if not running:
        return None
    if policy.rank_by == "roi":
        return max(running, key=lambda line: (line.roi_frac, -line.number)).number
    return max(running, key=lambda line: (line.score or 0.0, -line.number)).number


def _order(line: AgentLine) -> tuple[bool, float, int]:
    return bool(line.exclusions), -(line.score if line.score is not None else -1e9), line.number


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# --- the candidate --------------------------------------------------------------------------------------------------


def _combined(m: _Material, combined: Float64, agent: int) -> Combined:
    total = sum(p.days for p in m.pieces if np.isfinite(p.z[agent])) or 1
    pieces = []
    for p in m.pieces:
        at = p.at(agent)
        if at is None:
            continue
        bars_a_day = p.of.n_bars / p.days
        pieces.append(
            Piece(
                name="cohort" if p.name == "cohort" else "replay",
                days=p.days,
                bars=p.of.n_bars,
                score=_known(p.z[agent]),
                t=_known(p.by.t[at]),
                df=p.by.df,
                daily=_known(p.of.mean[at] * bars_a_day),
                variance_ratio=_known(p.of.ratio[at]),
                peers_explain=_known(p.of.explained[at]),
                weight=float(np.sqrt(p.days / total)) if np.isfinite(p.z[agent]) else 0.0,
            )
        )
    score = float(combined[agent])
    return Combined(
        method=METHOD,
        pieces=tuple(pieces),
        score=score,
        needed=critical_score(m.policy.level, m.counted),
        chance_alone=float(chance_of_best(score, 1.0)),
        chance_of_best=float(chance_of_best(score, float(m.counted))),
        trials=m.counted,
        level=m.policy.level,
    )


def _about(m: _Material, agent: int, *, seed: int) -> pictures.About:
    capital = float(m.cast.seats[agent].draw)
    sized = m.sized[agent]
    facts = SliceFacts(
        **asdict(sized),
        bankroll=m.bankroll.amount,
        bankroll_of=m.bankroll.of,
        share_of_bankroll=m.bankroll.share,
        assumed=m.bankroll.assumed,
        size_over_draw=sized.amount / capital,
        allowed_frac=m.policy.slice.false_cost_frac,
    )
    return pictures.about(
        cohort=m.again.results,
        replay=m.replay.results,
        replayed=m.replayed,
        agent=agent,
        live=[x.name for x in m.cast.live],
        elsewhere=m.cast.elsewhere,
        trials=m.counted,
        deviation=m.tried.deviation,
        bridge=m.measured[agent].bridge,
        numbers=[a.number for a in m.cast.agents],
        sized=facts,
        seed=seed,
    )


def _own(again: CohortRunAgain, replay: ReplayRun, replayed: npt.NDArray[np.int64], agent: int) -> Float64:
    """An agent's returns in the cohort and, where it was replayed, in the replay."""
    own = again.results.net[:, agent]
    place = np.flatnonzero(replayed == agent)
    if replay.results is None or not place.size:
        return own
    return np.concatenate([own, replay.results.net[:, int(place[0])]])


def _power(m: _Material, agent: int | None) -> Power:
    explained = [
        float(p.of.explained[at]) * p.days
        for p in m.pieces
        if agent is not None and (at := p.at(agent)) is not None and np.isfinite(p.of.explained[at])
    ]
    days = sum(p.days for p in m.pieces)
    gain = 1.0 / np.sqrt(1.0 - min(0.99, sum(explained) / days)) if explained else 1.0
    terms = {"trials": float(m.counted), "level": m.policy.level, "gain": float(gain)}
    shown = sorted({*POWER_SHARPES, m.policy.power_at_sharpe})
    return Power(
        points=tuple(
            PowerPoint(
                annual_sharpe=sharpe,
                t_cohort=powers.t_of_days(sharpe, m.days),
                cohort=powers.power_of(sharpe, m.days, **terms),
                all=powers.power_of(sharpe, days, **terms),
            )
            for sharpe in shown
        ),
        detectable=powers.detectable_sharpe(days, **terms),
        detectable_cohort=powers.detectable_sharpe(m.days, **terms),
        cohort_days=m.days,
        days=days,
        gain=float(gain),
    )


def _replay_facts(m: _Material) -> ReplayFacts:
    folds, rules = m.replay.folds, m.policy.replay
    coverage = m.replay.coverage
    return ReplayFacts(
        days=len(folds) * fold_days(m.cohort),
        folds=len(folds),
        first_ms=folds[0].start_ms if folds else None,
        last_ms=folds[-1].end_ms if folds else None,
        fold_days=fold_days(m.cohort),
        warmup_days=rules.warmup_days,
        embargo_days=rules.embargo_days,
        purged=tuple((window.start_ms, window.end_ms) for window in m.replay.purged),
        coverage_first_ms=coverage.start_ms if coverage else None,
        coverage_last_ms=coverage.end_ms if coverage else None,
        why_none=m.replay.why_none,
    )


def _books_difference(m: _Material) -> Known:
    """The largest difference between the rerun's equity at the last whole day's end and the equity the books proved."""
    rows = AgentDay.objects.filter(agent__cohort=m.cohort, day=m.days, complete=True)
    booked = dict(rows.values_list("agent_id", "equity"))
    if len(booked) != len(m.cast.agents):
        return Known(value=None, n=len(booked), why="not every agent's last day was proved against its books")
    final = m.again.run.final.agents["equity"][0]
    pairs = zip(m.cast.agents, final, strict=True)
    return Known(value=max(abs(float(booked[a.pk]) - float(e)) for a, e in pairs), n=len(booked))


def _figures(
    m: _Material, line: AgentLine, whole: Combined, drawn: pictures.About, power: Power
) -> dict[Figure, Known]:
    days = sum(piece.days for piece in whole.pieces)
    known = [(piece.daily, piece.days) for piece in whole.pieces if piece.daily is not None]
    daily = sum(mean * n for mean, n in known) / sum(n for _, n in known) if known else None
    compared, sized = drawn.comparison, drawn.slice
    alike = max(((abs(x.correlation), x.n) for x in drawn.live if x.correlation is not None), default=(None, 0))
    seen = next(point for point in power.points if point.annual_sharpe == m.policy.power_at_sharpe)
    no_live = "nothing trades live that it could be compared with"
    if m.cast.live or m.cast.elsewhere:
        no_live = "no live agent could be replayed over enough common days"
    return {
        Figure.SCREENS_FAILED: Known(value=float(len(line.exclusions)), n=1),
        Figure.CHANCE_OF_BEST: Known(value=whole.chance_of_best, n=sum(piece.bars for piece in whole.pieces)),
        Figure.NET_DAILY: Known(value=daily, n=days),
        Figure.COST_RATIO: Known(value=drawn.costs.ratio, n=drawn.costs.n_fills, why="no fill to compare"),
        Figure.SLICE_COST: Known(value=round(sized.cost_frac, 12), n=days),
        Figure.EVIDENCE_DAYS: Known(value=float(days), n=days),
        Figure.DEFLATED_SHARPE: Known(value=drawn.deflated.value, n=drawn.deflated.n, why="too few returns that vary"),
        Figure.PROBABILISTIC_SHARPE: Known(value=drawn.psr, n=drawn.deflated.n, why="too few returns that vary"),
        Figure.OVERFITTING: Known(
            value=drawn.overfit.probability, n=drawn.overfit.n_observations, why="too few observations or agents"
        ),
        Figure.SUPERIOR_ABILITY: Known(
            value=compared.spa_consistent, n=compared.n_observations, why="too few observations"
        ),
        Figure.IN_CONFIDENCE_SET: Known(
            value=None if compared.candidate_in_set is None else float(compared.candidate_in_set),
            n=compared.n_observations,
            why="too few observations or agents",
        ),
        Figure.BOOTSTRAP_LOW: Known(value=drawn.interval.low, n=drawn.interval.n, why="too few returns that vary"),
        Figure.POSITIVE_DAYS: Known(value=float(drawn.consistency.positive), n=m.days),
        Figure.LIVE_CORRELATION: Known(value=alike[0], n=alike[1], why=no_live),
        Figure.POWER: Known(value=seen.all, n=power.days),
    }
