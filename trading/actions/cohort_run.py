"""Running a prepared cohort, stretch by stretch. What machines do.

`advance_cohort` is the only way time passes for a cohort, in replay and forward alike. A stretch of bars is computed,
which changes nothing, and then kept in one transaction: fills and entries are written, the day scored and the bookmark
moved together, or not at all. A killed worker therefore leaves the cohort at the exact bar it had reached, and running
the same stretch again does nothing. What a forward cohort's orders may do is asked before a stretch is computed, again
when it has been, and of the database itself as it is kept (`trading.cohorts.modes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import numpy as np
from django.db import transaction

from fundops.core.events import publish
from fundops.core.money import to_decimal
from risk.actions.order_breaches import note_order_levels
from risk.switches import Modes, modes_in_database, modes_now
from trading.actions.cohort import end_cohort
from trading.actions.screening import screen_stretch
from trading.cohorts import days, evidence, postings
from trading.cohorts.alerts import alerts_of
from trading.cohorts.catalog import open_catalog
from trading.cohorts.guard import Record, binds_otherwise, order_limits, take_limits
from trading.cohorts.installed import installed_families
from trading.cohorts.modes import ModesTaken, has_tightened, modes_in, tightest
from trading.cohorts.order_levels import Traded, passed_levels
from trading.cohorts.population import Seat
from trading.cohorts.setup import DAY_MS, Setup, engine_setup, market_of
from trading.cohorts.stop import stop_in_words, up_to_the_stop
from trading.errors import BooksDisagreeError, StrategyMissingError
from trading.marketdata.loader import load_candles
from trading.models.cohort import (
    AgentDay,
    Cohort,
    CohortAgent,
    CohortAlert,
    CohortDay,
    CohortMode,
    CohortRun,
    CohortStatus,
)
from trading.models.instruments import Instrument
from trading.quant import engine
from trading.quant.genome import parse_genome
from trading.strategies.spec import StrategyFamily
from treasury.actions.ledger import post_entries
from treasury.models import AccountKind, LedgerAccount
from treasury.selectors import By, balances

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A cohort in memory: its rows, and the engine's inputs made of them. Good for any number of stretches."""

    cohort: Cohort
    agents: list[CohortAgent]
    instruments: list[Instrument]
    setup: Setup
    accounts: postings.AccountMap


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a cohort stands after a stretch."""

    next_bar_ms: int
    status: CohortStatus
    fills: int


def load_cohort(cohort_id: int) -> Loaded:
    """A prepared cohort with everything its stretches need."""
    cohort = Cohort.objects.select_related("run", "book", "fund").get(pk=cohort_id)
    families = installed_families()
    agents = list(cohort.agents.order_by("number"))
    by_symbol = {i.symbol: i for i in Instrument.objects.filter(venue=cohort.venue, symbol__in=cohort.symbols)}
    instruments = [by_symbol[symbol] for symbol in cohort.symbols]
    accounts: dict[AccountKind, dict[int, int]] = {kind: {} for kind in AccountKind}
    for pk, book_id, kind in LedgerAccount.objects.filter(book__cohort_agent__cohort=cohort).values_list(
        "pk", "book_id", "kind"
    ):
        accounts[AccountKind(kind)][book_id] = pk
    return Loaded(
        cohort=cohort,
        agents=agents,
        instruments=instruments,
        setup=engine_setup(
            cohort,
            [Seat(parse_genome(a.genome, partial(_family_of, families, a)), a.profile, a.draw) for a in agents],
            instruments,
            volatility=cohort.run.provenance["daily_volatility"],
            families=families,
        ),
        accounts=postings.AccountMap(
            accounts={
                kind: np.array([ids[agent.book_id] for agent in agents], dtype=np.int64)
                for kind, ids in accounts.items()
                if ids
            },
            position_asset=np.array([i.position_asset_id for i in instruments], dtype=np.int64),
            quote_asset=instruments[0].quote_asset_id,
        ),
    )


def _family_of(families: Mapping[str, StrategyFamily], agent: CohortAgent, key: str) -> StrategyFamily:
    if key in families:
        return families[key]
    name = key.partition("@")[0]
    present = ", ".join(sorted(other for other in families if other.partition("@")[0] == name)) or "no version of it"
    raise StrategyMissingError(
        f"Agent {agent.number} trades {key}, which is not installed (there is {present}): put that version back into "
        "USER_STRATEGIES_DIR, then resume the cohort."
    )


# --- Bar by bar -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Stretch:
    """Bars as they were traded from where `run` stood, and what judged them; nothing of it is kept yet."""

    run: CohortRun
    record: Record | None
    bars: engine.Market
    outcome: engine.Run
    stopped: bool
    day: int
    day_end_ms: int


class _TightenedError(Exception):
    """Less may be traded than what a stretch was judged by; `modes` is what may."""

    def __init__(self, modes: ModesTaken) -> None:
        super().__init__()
        self.modes = modes


def advance_cohort(*, loaded: Loaded, market: engine.Market) -> Progress:
    """Trades the bars of ``market`` that this cohort has not traded yet, up to the end of the day they open in.

    Returns where the cohort stands. Raises BooksDisagreeError when a day ends with books that differ from the engine;
    then nothing of that stretch is kept. Called outside of transactions: the trading mode is read from Redis.
    """
    judged_at_most: ModesTaken | None = None
    while True:
        stretch = _compute(loaded, market, judged_at_most)
        if isinstance(stretch, Progress):
            return stretch
        try:
            _hold_against(stretch.record, loaded, modes_now)
            return _keep(loaded, stretch)
        except _TightenedError as said:
            judged_at_most = tightest(said.modes, stretch.record or said.modes)


def _compute(loaded: Loaded, market: engine.Market, judged_at_most: ModesTaken | None) -> _Stretch | Progress:
    """The next bars as the engine trades them now; where there are none to trade, where the cohort stands."""
    run = CohortRun.objects.select_related("cohort").get(cohort=loaded.cohort)
    taken = _limits_now(loaded, run.next_bar_ms)
    if taken is not None and judged_at_most is not None:
        taken |= tightest(taken, judged_at_most)
    cohort = run.cohort
    if cohort.status != CohortStatus.RUNNING:
        return Progress(run.next_bar_ms, CohortStatus(cohort.status), 0)
    day = (run.next_bar_ms - cohort.start_ms) // DAY_MS + 1
    day_end_ms = min(cohort.start_ms + day * DAY_MS, cohort.end_ms)
    first, last = np.searchsorted(market.ts_ms, [run.next_bar_ms, day_end_ms])
    if first == last:
        return Progress(run.next_bar_ms, CohortStatus.RUNNING, 0)
    record = _record_for(run, taken)
    limits = order_limits(record, cohort.venue)
    bars, outcome, stopped = up_to_the_stop(
        market.slice(int(first), int(last)), lambda some: _trade(loaded, run, some, limits), cohort.drawdown_stop_frac
    )
    return _Stretch(run, record, bars, outcome, stopped, day, day_end_ms)


def _keep(loaded: Loaded, stretch: _Stretch) -> Progress:
    """Writes a stretch down, unless the cohort has moved or ended meanwhile; then nothing is written."""
    with transaction.atomic():
        run = CohortRun.objects.select_for_update().get(cohort=loaded.cohort)
        cohort = Cohort.objects.get(pk=loaded.cohort.pk)
        if cohort.status != CohortStatus.RUNNING or run.next_bar_ms != stretch.run.next_bar_ms:
            return Progress(run.next_bar_ms, CohortStatus(cohort.status), 0)
        bars, outcome = stretch.bars, stretch.outcome
        records: list[Record] = run.provenance.setdefault("limits", [])
        if stretch.record is not None and stretch.record not in records[-1:]:
            records.append(stretch.record)
        _record(
            loaded, run, bars, outcome, day=stretch.day, complete=bars.end_ms >= stretch.day_end_ms,
            proven=stretch.stopped,
        )  # fmt: skip
        status = CohortStatus.RUNNING
        if stretch.stopped:
            status = CohortStatus.CANCELLED
            end_cohort(cohort_id=cohort.pk, status=status, failure=stop_in_words(cohort, bars, outcome))
        traded = Traded(cohort, loaded.agents, loaded.setup.instruments, run=stretch.run, bars=bars, outcome=outcome)
        screen_stretch(traded, stretch.day, (stretch.record or {}).get("tactics"))
        if _lives_under_limits_of_now(cohort):
            note_order_levels(passed_levels(traded, stretch.record))
        _hold_against(stretch.record, loaded, modes_in_database)
        return Progress(run.next_bar_ms, status, len(outcome.fills))


def _hold_against(record: Record | None, loaded: Loaded, ask: Callable[[], Modes | None]) -> None:
    """Raises _TightenedError where a forward cohort may do less by what ``ask`` says than by the record."""
    if record is None or not _lives_under_limits_of_now(loaded.cohort):
        return
    said = _modes_of(loaded, ask())
    if has_tightened(said, record):
        raise _TightenedError(said)


def _modes_of(loaded: Loaded, modes: Modes | None) -> ModesTaken:
    cohort = loaded.cohort
    return modes_in(modes, book_id=cohort.book_id or 0, venue=cohort.venue, agent_books=_agent_books(loaded))


def _agent_books(loaded: Loaded) -> dict[int, int]:
    return {agent.number: agent.book_id for agent in loaded.agents}


def _lives_under_limits_of_now(cohort: Cohort) -> bool:
    """A forward cohort is bound by what is in force now; a replay by what was at its launch."""
    return cohort.mode == CohortMode.FORWARD and cohort.book is not None


def _trade(loaded: Loaded, run: CohortRun, bars: engine.Market, limits: engine.OrderLimits | None) -> engine.Run:
    """The bars as this cohort's agents trade them from where it stands; nothing is kept."""
    return engine.run(
        bars,
        loaded.setup.agents,
        instruments=loaded.setup.instruments,
        costs=loaded.setup.costs,
        wallet=loaded.setup.wallet,
        state=engine.EngineState.from_bytes(bytes(run.engine_state)) if run.engine_state else None,
        limits=limits,
    )


def _record(
    loaded: Loaded,
    run: CohortRun,
    bars: engine.Market,
    outcome: engine.Run,
    *,
    day: int,
    complete: bool,
    proven: bool,
) -> None:
    """Writes down a stretch; the books are held against the engine at a day's end, and at the last bar of a stop."""
    cohort, agents = loaded.cohort, loaded.agents
    batch = postings.entry_batch(
        outcome,
        loaded.accounts,
        cohort_id=cohort.pk,
        first_fill=run.fills_done + 1,
        key=f"cohort:{cohort.pk}:bars:{int(bars.ts_ms[0])}-{bars.end_ms}",
    )
    if batch is not None:
        post_entries(fund=cohort.fund, batch=batch, actor=None)
    evidence.write_fills(cohort, agents, outcome, first_number=run.fills_done + 1)
    evidence.write_rejections(cohort, agents, outcome, first_number=run.rejections_done + 1)
    rows, parent = days.score(cohort=cohort, agents=agents, day=day, run=outcome, complete=complete)
    run.last_closes = evidence.last_closes(bars, run.last_closes)
    if complete or proven:
        prove_books(loaded, rows, parent, run.last_closes)
    days.save(rows, parent)
    alerts = alerts_of(cohort, agents, outcome, day)
    CohortAlert.objects.bulk_create(alerts, ignore_conflicts=True)
    run.next_bar_ms = bars.end_ms
    run.engine_state = outcome.state.to_bytes()
    run.fills_done += len(outcome.fills)
    run.rejections_done += len(outcome.rejections)
    run.save()
    publish(
        "trading.cohort.day_scored" if complete else "trading.cohort.advanced",
        actor=None,
        obj=cohort,
        payload=evidence.news(cohort, run, rows, parent, alerts, fills=len(outcome.fills)),
        topics=["cohorts", cohort.topic],
    )


def _limits_now(loaded: Loaded, from_ms: int) -> Record | None:
    """What a forward cohort is bound by from that bar on; None for a replay."""
    cohort = loaded.cohort
    if cohort.book is None or not _lives_under_limits_of_now(cohort):
        return None
    return take_limits(
        book=cohort.book,
        venue=cohort.venue,
        symbols=cohort.symbols,
        from_ms=from_ms,
        agent_books=_agent_books(loaded),
        beside_others=True,
    )


def _record_for(run: CohortRun, taken: Record | None) -> Record | None:
    """What judges the next stretch: what was taken now where it differs from before, else the last that was noted."""
    records: list[Record] = run.provenance.get("limits", [])
    last = records[-1] if records else None
    if taken is None or not binds_otherwise(taken, last):
        return last
    return taken | {"from_ms": run.next_bar_ms}


def prove_books(loaded: Loaded, rows: Sequence[AgentDay], parent: CohortDay, closes: dict[str, float]) -> None:
    """Holds the engine's equity against the ledger's, agent by agent, and notes the result on the parent's day.

    Raises BooksDisagreeError, naming the worst agent, when any differs by half a cent or more.
    """
    prices = {i.position_asset_id: to_decimal(closes[i.symbol]) for i in loaded.instruments if i.symbol in closes}
    prices[loaded.accounts.quote_asset] = Decimal(1)
    equity = dict.fromkeys((agent.book_id for agent in loaded.agents), Decimal(0))
    for balance in balances(books=list(equity), by=(By.BOOK, By.KIND)):
        if balance.kind in (AccountKind.CASH, AccountKind.POSITION) and balance.book_id is not None:
            equity[balance.book_id] += balance.amount * prices[balance.asset_id]
    differences = [abs(row.equity - equity[row.agent.book_id]) for row in rows]
    worst = max(range(len(rows)), key=differences.__getitem__)
    if differences[worst] >= CENT / 2:
        raise BooksDisagreeError(
            f"Day {parent.day}, agent {rows[worst].agent.number}: the engine says {rows[worst].equity}, the books say "
            f"{equity[rows[worst].agent.book_id]}. The day is not accepted."
        )
    parent.ledger_equity = sum(equity.values(), Decimal(0))
    parent.largest_difference = differences[worst]


def market_for(loaded: Loaded, start_ms: int, end_ms: int) -> engine.Market:
    """The cohort's market over bars opening in [start_ms, end_ms)."""
    catalog = open_catalog()
    frame = load_candles(catalog, loaded.cohort.venue, loaded.cohort.symbols, loaded.cohort.interval, start_ms, end_ms)
    return market_of(frame, catalog)
