"""The engine runs behind the evidence: the cohort's own days once more, and its genomes over the stored history.

The cohort's days are run as they were (same warm-up, same shared wallet, same costs) and must give what its books
say. The replay runs every genome over folds as long as the cohort, each fold warmed up and started afresh with the
agent's own draw, in a wallet without common ceilings: what is asked is what the genome earns, not what its
neighbours left it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.actions.cohort_prepare import LOOKBACK_DAYS, first_bar_ms
from trading.cohorts.catalog import open_catalog, series_or_none
from trading.cohorts.guard import Record, order_limits
from trading.cohorts.installed import installed_families
from trading.cohorts.population import Seat
from trading.cohorts.setup import DAY_MS, Setup, engine_setup, market_of, volatility_of
from trading.marketdata.loader import CandleFrame, load_candles
from trading.models.cohort import Cohort, CohortAgent
from trading.models.instruments import Instrument
from trading.promotion.errors import EvidenceUnavailableError
from trading.promotion.folds import Window, replay_folds
from trading.promotion.policy import Replay
from trading.quant import engine
from trading.quant.genome import Genome, parse_genome
from trading.strategies.errors import StrategyError
from trading.strategies.spec import StrategyFamily

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

MINUTE_MS = 60_000
LONGEST_FOLD_DAYS = 7
#: Folds whose candles are read in one go: bounds memory, and reads every day of warm-up about once.
_FOLDS_AT_ONCE = 10


@dataclass(frozen=True, slots=True)
class LiveAgent:
    """Something that trades already: its name and genome, replayed beside the candidates over the same days."""

    name: str
    genome: Genome
    draw: float


@dataclass(frozen=True, slots=True)
class Cast:
    """A cohort's agents with what every run of them needs. ``elsewhere`` names live agents of markets that the cohort
    does not trade: they cannot be replayed beside it.
    """

    cohort: Cohort
    agents: tuple[CohortAgent, ...]
    seats: tuple[Seat, ...]
    instruments: tuple[Instrument, ...]
    families: Mapping[str, StrategyFamily]
    live: tuple[LiveAgent, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def draws(self) -> Float64:
        """Capital of the agents, in quote units, then that of the live ones."""
        return np.array([*(float(seat.draw) for seat in self.seats), *(agent.draw for agent in self.live)])


@dataclass(frozen=True, slots=True)
class Results:
    """Profit over capital bar by bar, (n_bars, n_agents), after costs and before them, at the bars' ends ``ts_ms``."""

    ts_ms: Int64
    net: Float64
    gross: Float64
    bar_ms: int

    def daily(self) -> tuple[Int64, Float64]:
        """Net results summed by UTC day: the days' first milliseconds, and (n_days, n_agents). Whole days only."""
        day = (self.ts_ms - 1) // DAY_MS
        days, first = np.unique(day, return_index=True)
        sums = np.add.reduceat(self.net, first, axis=0) if len(days) else self.net[:0]
        return days * DAY_MS, sums

    def by_hour(self) -> Float64:
        """Net results summed by hour, (n_hours, n_agents)."""
        bars = max(1, 3_600_000 // self.bar_ms)
        whole = len(self.ts_ms) // bars * bars
        summed: Float64 = self.net[:whole].reshape(-1, bars, self.net.shape[1]).sum(axis=1)
        return summed


@dataclass(frozen=True, slots=True)
class CohortRunAgain:
    """The cohort's own days: results, the engine's tables, and the candles they were made on."""

    results: Results
    run: engine.Run
    market: engine.Market
    setup: Setup


@dataclass(frozen=True, slots=True)
class ReplayRun:
    """The replay: results of agents and live ones (None where no fold fits), folds, coverage, what was purged."""

    results: Results | None
    folds: tuple[Window, ...]
    coverage: Window | None
    purged: tuple[Window, ...]
    trades: Int64
    why_none: str


def cast_of(cohort: Cohort, live: Sequence[LiveAgent] = ()) -> Cast:
    """The agents of a prepared cohort. Raises EvidenceUnavailableError when it has none, or a strategy is gone."""
    agents = tuple(cohort.agents.order_by("number"))
    if not agents:
        raise EvidenceUnavailableError(f"{cohort} has no agents yet: let it trade first.")
    families = installed_families()
    by_symbol = {i.symbol: i for i in Instrument.objects.filter(venue=cohort.venue, symbol__in=cohort.symbols)}
    try:
        seats = tuple(Seat(parse_genome(a.genome, families.__getitem__), a.profile, a.draw) for a in agents)
        instruments = tuple(by_symbol[symbol] for symbol in cohort.symbols)
    except (KeyError, StrategyError) as error:
        raise EvidenceUnavailableError(
            f"{cohort} cannot be run again: {error} is not installed here any more."
        ) from error
    near = [one for one in live if one.genome.symbol is None or one.genome.symbol in cohort.symbols]
    far = [one.name for one in live if one not in near]
    return Cast(cohort, agents, seats, instruments, families, tuple(near), tuple(far))


def run_cohort_again(cast: Cast, *, until_ms: int, mark_ms: int) -> CohortRunAgain:
    """The cohort's bars up to ``until_ms``, as it traded them, each judged by what judged it then."""
    cohort, catalog = cast.cohort, open_catalog()
    first = first_bar_ms(cohort)
    setup = engine_setup(
        cohort,
        cast.seats,
        cast.instruments,
        volatility=cohort.run.provenance["daily_volatility"],
        families=cast.families,
    )
    frame = _candles(cast, first - LOOKBACK_DAYS * DAY_MS, until_ms)
    at = int(np.searchsorted(frame.ts_ms, first))
    market = market_of(frame, catalog)
    trading = market.slice(at)
    terms: dict[str, Any] = {"instruments": setup.instruments, "costs": setup.costs, "wallet": setup.wallet}
    state = None
    if np.isfinite(market.close[:at]).any(axis=0).all():
        state = engine.warmed_state(
            market.slice(0, at), setup.agents, first_ts_ms=first, mark_every_ms=mark_ms, **terms
        )
    parts = []
    for bars, limits in _stretches(cohort, trading):
        part = engine.run(bars, setup.agents, state=state, mark_every_ms=mark_ms, limits=limits, **terms)
        parts.append(part)
        state = part.state
    run = _joined(parts)
    return CohortRunAgain(results_of(run, cast.draws[: len(cast.seats)], mark_ms), run, trading, setup)


def _stretches(cohort: Cohort, market: engine.Market) -> Iterator[tuple[engine.Market, engine.OrderLimits | None]]:
    """The bars in stretches that one record of the run judged; those before the first were judged by none."""
    records: list[Record] = cohort.run.provenance.get("limits", [])
    starts = np.searchsorted(market.ts_ms, [record["from_ms"] for record in records]).tolist()
    judged = zip([0, *starts], [*starts, market.n_bars], [None, *records], strict=True)
    for first, last, record in judged:
        if first < last:
            yield market.slice(first, last), order_limits(record, cohort.venue)


def _joined(parts: Sequence[engine.Run]) -> engine.Run:
    """Runs that went on from one another, as one."""
    if len(parts) == 1:
        return parts[0]
    marks = [part.marks for part in parts]
    return replace(
        parts[-1],
        fills=np.concatenate([part.fills for part in parts]),
        rejections=np.concatenate([part.rejections for part in parts]),
        breaches=np.concatenate([part.breaches for part in parts]),
        funding=np.concatenate([part.funding for part in parts]),
        marks=replace(
            marks[-1],
            ts_ms=np.concatenate([mark.ts_ms for mark in marks]),
            agents=np.concatenate([mark.agents for mark in marks]),
            parent=np.concatenate([mark.parent for mark in marks]),
            positions=np.concatenate([mark.positions for mark in marks]),
        ),
    )


def replay_genomes(cast: Cast, *, rules: Replay, forbidden: Sequence[Window], mark_ms: int) -> ReplayRun:
    """Every genome over the stored history, fold by fold, away from the ``forbidden`` windows."""
    n = len(cast.seats) + len(cast.live)
    coverage = _coverage(cast)
    none = np.zeros(n, dtype=np.int64)
    if coverage is None:
        return ReplayRun(None, (), None, tuple(forbidden), none, "no stored candles are common to all its markets")
    folds = replay_folds(
        coverage=coverage,
        forbidden=forbidden,
        fold_days=fold_days(cast.cohort),
        warmup_days=rules.warmup_days,
        embargo_days=rules.embargo_days,
        most_days=rules.most_days,
    )
    parts, used, trades = [], [], none.copy()
    terms = _terms(cast)
    for market, fold in _fold_markets(cast, folds, rules.warmup_days):
        outcome = _run_fold(terms, market, fold, mark_ms)
        if outcome is not None:
            parts.append(results_of(outcome, cast.draws, mark_ms))
            trades += outcome.final.agents["trades"][0]
            used.append(fold)
    if not parts:
        why = "no stored days are left once the cohort's window and its parents' are taken out"
        return ReplayRun(None, (), coverage, tuple(forbidden), none, why)
    results = Results(
        ts_ms=np.concatenate([part.ts_ms for part in parts]),
        net=np.vstack([part.net for part in parts]),
        gross=np.vstack([part.gross for part in parts]),
        bar_ms=mark_ms,
    )
    return ReplayRun(results, tuple(used), coverage, tuple(forbidden), trades, "")


def fold_days(cohort: Cohort) -> int:
    """Days of one fold: as long as the cohort, at most a week."""
    return min(cohort.days, LONGEST_FOLD_DAYS)


def _coverage(cast: Cast) -> Window | None:
    """From where to where every market of the cohort has candles stored."""
    catalog, cohort = open_catalog(), cast.cohort
    first, last = [], []
    for symbol in cohort.symbols:
        manifest = series_or_none(catalog, cohort.venue, symbol, cohort.interval_ms)
        if manifest is None or manifest.first_ms is None or manifest.last_ms is None:
            return None
        first.append(manifest.first_ms)
        last.append(manifest.last_ms + cohort.interval_ms)
    start = -(-max(first) // DAY_MS) * DAY_MS
    end = min(last) // DAY_MS * DAY_MS
    return Window(start, end) if start < end else None


def _candles(cast: Cast, start_ms: int, end_ms: int) -> CandleFrame:
    cohort = cast.cohort
    return load_candles(open_catalog(), cohort.venue, cohort.symbols, cohort.interval, start_ms, end_ms)


def _fold_markets(
    cast: Cast, folds: Sequence[Window], warmup_days: int
) -> Iterator[tuple[tuple[engine.Market, CandleFrame], Window]]:
    """Candles of each fold with its warm-up before it; neighbouring folds share one read."""
    for first in range(0, len(folds), _FOLDS_AT_ONCE):
        group = folds[first : first + _FOLDS_AT_ONCE]
        start = group[0].start_ms - warmup_days * DAY_MS
        frame = _candles(cast, start, group[-1].end_ms)
        market = market_of(frame, open_catalog())
        for fold in group:
            low, high = np.searchsorted(frame.ts_ms, [fold.start_ms - warmup_days * DAY_MS, fold.end_ms])
            yield (market.slice(int(low), int(high)), _cut(frame, int(low), int(high))), fold


def _cut(frame: CandleFrame, low: int, high: int) -> CandleFrame:
    columns = {name: getattr(frame, name)[low:high] for name in ("ts_ms", "open", "high", "low", "close", "volume")}
    return replace(frame, **columns)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What every fold has in common: agents, rules and costs, in a wallet without common ceilings."""

    agents: list[engine.AgentSpec]
    instruments: list[engine.InstrumentRules]
    costs: engine.CostModel
    wallet: engine.WalletRules


def _terms(cast: Cast) -> _Terms:
    unit = dict.fromkeys(cast.cohort.symbols, 1.0)  # each fold measures its own volatility
    setup = engine_setup(cast.cohort, cast.seats, cast.instruments, volatility=unit, families=cast.families)
    ceiling = float(cast.cohort.leverage_ceiling)
    live = [
        one.genome.agent(
            cast.families[one.genome.family], draw=one.draw, leverage=min(1.0, ceiling), max_leverage=ceiling
        )
        for one in cast.live
    ]
    wallet = engine.WalletRules(bankroll=float(cast.draws.sum()))
    return _Terms(setup.agents + live, setup.instruments, setup.costs, wallet)


def _run_fold(
    terms: _Terms, market_and_frame: tuple[engine.Market, CandleFrame], fold: Window, mark_ms: int
) -> engine.Run | None:
    """One fold: listen to the warm-up, then trade; None where a market has no bar in either part."""
    market, frame = market_and_frame
    at = int(np.searchsorted(market.ts_ms, fold.start_ms))
    seen = np.isfinite(market.close)
    if not (seen[:at].any(axis=0).all() and seen[at:].any(axis=0).all()):
        return None
    volatility = volatility_of(_cut(frame, 0, at))
    rest: dict[str, Any] = {
        "instruments": [replace(rule, daily_volatility=volatility[rule.symbol]) for rule in terms.instruments],
        "costs": terms.costs,
        "wallet": terms.wallet,
        "mark_every_ms": mark_ms,
    }
    state = engine.warmed_state(market.slice(0, at), terms.agents, first_ts_ms=fold.start_ms, **rest)
    return engine.run(market.slice(at), terms.agents, state=state, **rest)


def results_of(run: engine.Run, draws: Float64, mark_ms: int) -> Results:
    """Profit over draw between the run's marks; costs are added back for the gross ones."""
    marks = run.marks.agents
    costs = marks["fees"] + marks["spread_cost"] + marks["impact_cost"]
    net = np.diff(np.vstack([draws[None, :], marks["equity"]]), axis=0) / draws
    paid = np.diff(np.vstack([np.zeros((1, len(draws))), costs]), axis=0) / draws
    return Results(ts_ms=run.marks.ts_ms, net=net, gross=net + paid, bar_ms=mark_ms)
