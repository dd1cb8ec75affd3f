"""Running a cohort: prepared once, then advanced stretch by stretch. What machines do.

`advance_cohort` is the only way time passes for a cohort, in replay and forward alike. One call is one transaction: bars
are traded, fills and entries written, the day scored and the bookmark moved together, or not at all. A killed worker
therefore leaves the cohort at the exact bar it had reached, and running the same stretch again does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import transaction

from fundops.core import clock
from fundops.core.events import publish
from fundops.core.money import to_decimal
from trading.actions.cohort import start_cohort
from trading.actions.instruments import ensure_instruments
from trading.cohorts import days, evidence, postings
from trading.cohorts.alerts import alerts_of
from trading.cohorts.catalog import open_catalog, window_digest
from trading.cohorts.installed import installed_families, installed_profiles
from trading.cohorts.population import choose_members, draws
from trading.cohorts.setup import DAY_MS, Setup, engine_setup, market_of, volatility_before
from trading.errors import BooksDisagreeError
from trading.marketdata.loader import CandleFrame, load_candles
from trading.models.cohort import (
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
from treasury.actions.books import NewBook, open_book, open_books
from treasury.actions.ledger import post_entries, post_entry
from treasury.models import AccountKind, Asset, Book, BookKind, EntryKind, LedgerAccount
from treasury.postings import EntryBatch, Source, contribution
from treasury.selectors import By, balances, book_accounts

CENT = Decimal("0.01")
#: How far back the volatility that scales impact and risk weights looks.
LOOKBACK_DAYS = 7


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


# --- Before the first bar -------------------------------------------------------------------------------------
@transaction.atomic
def prepare_cohort(*, cohort_id: int) -> Cohort:
    """Books, agents, draws and the bookmark at the first bar; a cohort that has them is left as it is."""
    cohort = Cohort.objects.select_for_update().get(pk=cohort_id)
    if CohortRun.objects.filter(cohort=cohort).exists():
        return cohort
    first_bar = _first_bar_ms(cohort)
    lookback = _lookback(cohort, first_bar)
    ensure_instruments(frame=lookback, actor=cohort.launched_by)
    volatility = volatility_before(lookback)
    families = installed_families()
    members = choose_members(cohort, profiles=installed_profiles(), families=families)
    parts = draws(cohort, members, volatility)
    quote = Asset.objects.get(code=cohort.quote)

    root = Book.objects.get(fund=cohort.fund, parent=None)
    opened_on = clock.from_ms(first_bar).date()
    actor = cohort.launched_by
    cohort.book = open_book(
        parent=root,
        code=f"cohort-{cohort.pk}",
        name=str(cohort),
        kind=BookKind.COHORT,
        opened_on=opened_on,
        actor=actor,
    )
    cohort.save(update_fields=["book"])
    opened = open_books(
        parent=cohort.book,
        books=[NewBook(f"agent-{n}", f"Agent {n} of {cohort}") for n in range(1, len(members) + 1)],
        kind=BookKind.AGENT,
        opened_on=opened_on,
        actor=actor,
    )
    agents = CohortAgent.objects.bulk_create(
        [
            CohortAgent(
                cohort=cohort,
                number=number,
                book_id=book_id,
                profile=member.profile,
                family=member.genome.family,
                symbol=member.genome.symbol or "",
                genome=member.genome.as_dict(),
                genome_hash=member.genome.content_hash,
                draw=part,
            )
            for number, (book_id, member, part) in enumerate(
                zip(opened.book_ids, members, parts, strict=True), start=1
            )
        ],
        batch_size=2_000,
    )
    parent_accounts = book_accounts(cohort.book)
    post_entry(
        fund=cohort.fund,
        value_date=opened_on,
        kind=EntryKind.CONTRIBUTION,
        lines=contribution(book=parent_accounts, asset_id=quote.pk, amount=cohort.bankroll),
        memo=f"Paper bankroll of {cohort}",
        source=Source("trading.cohort", str(cohort.pk)),
        idempotency_key=f"cohort:{cohort.pk}:bankroll",
        actor=actor,
    )
    draw_batch = _draw_batch(cohort, agents, parent_accounts, opened.account_ids, quote.pk, opened_on)
    post_entries(fund=cohort.fund, batch=draw_batch, actor=actor)
    CohortRun.objects.create(
        cohort=cohort,
        next_bar_ms=first_bar,
        clock_started_at=clock.now() if cohort.mode == CohortMode.FORWARD else None,
        provenance=evidence.provenance(cohort, agents, families, volatility, _data_digest(cohort, first_bar)),
    )
    start_cohort(cohort=cohort)
    return cohort


def _lookback(cohort: Cohort, first_bar_ms: int) -> CandleFrame:
    """The week before the first bar: what is known of the markets at launch. The first day itself where there is none."""
    catalog = open_catalog()
    frame = load_candles(
        catalog,
        cohort.venue,
        cohort.symbols,
        cohort.interval,
        first_bar_ms - LOOKBACK_DAYS * DAY_MS,
        first_bar_ms,
    )
    if np.isfinite(frame.close).any(axis=0).all():
        return frame
    return load_candles(
        catalog, cohort.venue, cohort.symbols, cohort.interval, first_bar_ms, first_bar_ms + DAY_MS
    )


def _data_digest(cohort: Cohort, first_bar_ms: int) -> str:
    return window_digest(
        open_catalog(), cohort.venue, cohort.symbols, cohort.interval_ms, first_bar_ms, cohort.end_ms
    )


def _first_bar_ms(cohort: Cohort) -> int:
    """The window's first bar; a forward cohort that follows the market starts with the next bar to open."""
    if cohort.mode == CohortMode.FORWARD and cohort.speed == 1.0:
        step = cohort.interval_ms
        return max(cohort.start_ms, -(-clock.to_ms(cohort.launched_at) // step) * step)
    return cohort.start_ms


def _draw_batch(
    cohort: Cohort,
    agents: Sequence[CohortAgent],
    parent: Any,
    accounts: dict[AccountKind, list[int]],
    quote_id: int,
    opened_on: Any,
) -> EntryBatch:
    cents = np.array([int(agent.draw / CENT) for agent in agents], dtype=np.int64)
    n = len(agents)
    legs = [
        (np.full(n, parent[AccountKind.CASH]), -cents),
        (np.full(n, parent[AccountKind.BANKROLL]), cents),
        (np.array(accounts[AccountKind.CASH]), cents),
        (np.array(accounts[AccountKind.CAPITAL]), -cents),
    ]
    entries = np.repeat(np.arange(n), len(legs))
    return EntryBatch(
        value_dates=opened_on,
        kinds=EntryKind.DRAW,
        line_entries=entries,
        account_ids=np.column_stack([leg[0] for leg in legs]).ravel(),
        asset_ids=np.full(entries.size, quote_id, dtype=np.int64),
        amounts=np.column_stack([leg[1] for leg in legs]).ravel(),
        idempotency_key=f"cohort:{cohort.pk}:draws",
        source_type="trading.cohort_agent",
        source_ids=[f"{cohort.pk}:{agent.number}" for agent in agents],
        amount_places=2,
    )


def load_cohort(cohort_id: int) -> Loaded:
    """A prepared cohort with everything its stretches need."""
    cohort = Cohort.objects.select_related("run", "book", "fund").get(pk=cohort_id)
    agents = list(cohort.agents.order_by("number"))
    by_symbol = {
        i.symbol: i for i in Instrument.objects.filter(venue=cohort.venue, symbol__in=cohort.symbols)
    }
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
            agents,
            instruments,
            volatility=cohort.run.provenance["daily_volatility"],
            families=installed_families(),
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


# --- Bar by bar -----------------------------------------------------------------------------------------------
def advance_cohort(*, loaded: Loaded, market: engine.Market) -> Progress:
    """Trades the bars of ``market`` that this cohort has not traded yet, up to the end of the day they open in.

    Returns where the cohort stands. Raises BooksDisagreeError when a day ends with books that differ from the engine; then
    nothing of that stretch is kept.
    """
    with transaction.atomic():
        run = CohortRun.objects.select_for_update().get(cohort=loaded.cohort)
        cohort = Cohort.objects.get(pk=loaded.cohort.pk)
        if cohort.status != CohortStatus.RUNNING:
            return Progress(run.next_bar_ms, CohortStatus(cohort.status), 0)
        day = (run.next_bar_ms - cohort.start_ms) // DAY_MS + 1
        stop_ms = min(cohort.start_ms + day * DAY_MS, cohort.end_ms)
        first, last = np.searchsorted(market.ts_ms, [run.next_bar_ms, stop_ms])
        if first == last:
            return Progress(run.next_bar_ms, CohortStatus.RUNNING, 0)
        bars = market.slice(int(first), int(last))
        state = engine.EngineState.from_bytes(bytes(run.engine_state)) if run.engine_state else None
        outcome = engine.run(
            bars,
            loaded.setup.agents,
            instruments=loaded.setup.instruments,
            costs=loaded.setup.costs,
            wallet=loaded.setup.wallet,
            state=state,
        )
        _record(loaded, run, bars, outcome, day=day, complete=bars.end_ms >= stop_ms)
        return Progress(run.next_bar_ms, CohortStatus.RUNNING, len(outcome.fills))


def _record(
    loaded: Loaded, run: CohortRun, bars: engine.Market, outcome: engine.Run, *, day: int, complete: bool
) -> None:
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
    if complete:
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


def prove_books(
    loaded: Loaded, rows: Sequence[days.AgentDay], parent: CohortDay, closes: dict[str, float]
) -> None:
    """Holds the engine's equity against the ledger's, agent by agent, and notes the result on the parent's day.

    Raises BooksDisagreeError, naming the worst agent, when any differs by half a cent or more.
    """
    prices = {
        i.position_asset_id: to_decimal(closes[i.symbol]) for i in loaded.instruments if i.symbol in closes
    }
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
    frame = load_candles(
        catalog, loaded.cohort.venue, loaded.cohort.symbols, loaded.cohort.interval, start_ms, end_ms
    )
    return market_of(frame, catalog)
