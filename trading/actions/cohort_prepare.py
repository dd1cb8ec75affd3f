"""Before a cohort's first bar: its agents are chosen and warmed up, its Books opened, its capital drawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from django.db import transaction

from fundops.core import clock
from trading.actions.cohort import start_cohort
from trading.actions.instruments import ensure_instruments
from trading.cohorts import evidence
from trading.cohorts.catalog import open_catalog, window_digest
from trading.cohorts.guard import take_limits
from trading.cohorts.installed import installed_families, installed_profiles
from trading.cohorts.population import Seat, seats_of
from trading.cohorts.setup import DAY_MS, engine_setup, market_of, volatility_of
from trading.marketdata.loader import CandleFrame, load_candles
from trading.models.cohort import Cohort, CohortAgent, CohortMode, CohortRun
from trading.quant import engine
from treasury.actions.books import NewBook, OpenedBooks, open_book, open_books
from treasury.actions.ledger import post_entries, post_entry
from treasury.models import AccountKind, Asset, Book, BookKind, EntryKind
from treasury.postings import Accounts, EntryBatch, Source, contribution
from treasury.selectors import book_accounts

#: How far back a cohort looks before its first bar: what warms its strategies up and measures its markets.
LOOKBACK_DAYS = 7
CENTS = 100


def prepare_cohort(*, cohort_id: int) -> Cohort:
    """Makes a queued cohort ready to trade its first bar; one that is ready is left as it is.

    Candles are read and strategies warmed up before the transaction that opens the books and draws the capital.
    """
    cohort = Cohort.objects.select_related("fund", "launched_by").get(pk=cohort_id)
    if CohortRun.objects.filter(cohort=cohort).exists():
        return cohort
    first_bar = first_bar_ms(cohort)
    past, has_history = _past(cohort, first_bar)
    instruments = ensure_instruments(frame=past, actor=cohort.launched_by)
    volatility, families = volatility_of(past), installed_families()
    seats = seats_of(cohort, profiles=installed_profiles(), families=families, volatility=volatility)
    setup = engine_setup(cohort, seats, instruments, volatility=volatility, families=families)
    state = None
    if has_history:
        state = engine.warmed_state(
            market_of(past, open_catalog()),
            setup.agents,
            instruments=setup.instruments,
            costs=setup.costs,
            wallet=setup.wallet,
            first_ts_ms=first_bar,
        ).to_bytes()
    # A replay lives under the limits of its launch; its Book will inherit what binds the fund's.
    limits = None
    if cohort.mode == CohortMode.REPLAY:
        root = Book.objects.get(fund=cohort.fund, parent=None)
        limits = take_limits(book=root, venue=cohort.venue, symbols=cohort.symbols, from_ms=first_bar)
    with transaction.atomic():
        cohort = Cohort.objects.select_for_update(of=("self",)).select_related("fund", "launched_by").get(pk=cohort_id)
        if CohortRun.objects.filter(cohort=cohort).exists():
            return cohort
        CohortRun.objects.create(
            cohort=cohort,
            next_bar_ms=first_bar,
            engine_state=state,
            clock_started_at=clock.now() if cohort.mode == CohortMode.FORWARD else None,
            provenance=evidence.provenance(
                cohort, seats, families, volatility, _data_digest(cohort, first_bar), limits
            ),
        )
        start_cohort(cohort=cohort)
        _open_books(cohort, seats, clock.from_ms(first_bar).date())
    return cohort


def first_bar_ms(cohort: Cohort) -> int:
    """The window's first bar; a forward cohort that follows the market starts with the next bar to open."""
    if cohort.mode == CohortMode.FORWARD and cohort.speed == 1.0:
        step = cohort.interval_ms
        return max(cohort.start_ms, -(-clock.to_ms(cohort.launched_at) // step) * step)
    return cohort.start_ms


def _past(cohort: Cohort, first_bar: int) -> tuple[CandleFrame, bool]:
    """The week before the first bar, and True; where a market has no candles of it the first day itself, and False."""
    catalog = open_catalog()

    def bars(start_ms: int, end_ms: int) -> CandleFrame:
        return load_candles(catalog, cohort.venue, cohort.symbols, cohort.interval, start_ms, end_ms)

    week = bars(first_bar - LOOKBACK_DAYS * DAY_MS, first_bar)
    if np.isfinite(week.close).any(axis=0).all():
        return week, True
    return bars(first_bar, first_bar + DAY_MS), False


def _data_digest(cohort: Cohort, first_bar: int) -> str:
    return window_digest(open_catalog(), cohort.venue, cohort.symbols, cohort.interval_ms, first_bar, cohort.end_ms)


def _open_books(cohort: Cohort, seats: Sequence[Seat], opened_on: date) -> None:
    """The cohort's Book with its bankroll, a Book an agent with its draw, and the agents themselves."""
    actor = cohort.launched_by
    quote = Asset.objects.get(code=cohort.quote)
    cohort.book = open_book(
        parent=Book.objects.get(fund=cohort.fund, parent=None),
        code=f"cohort-{cohort.pk}",
        name=str(cohort),
        kind=BookKind.COHORT,
        opened_on=opened_on,
        actor=actor,
    )
    cohort.save(update_fields=["book"])
    opened = open_books(
        parent=cohort.book,
        books=[NewBook(f"agent-{n}", f"Agent {n} of {cohort}") for n in range(1, len(seats) + 1)],
        kind=BookKind.AGENT,
        opened_on=opened_on,
        actor=actor,
    )
    CohortAgent.objects.bulk_create(
        [
            CohortAgent(
                cohort=cohort,
                number=number,
                book_id=book_id,
                profile=seat.profile,
                family=seat.genome.family,
                symbol=seat.genome.symbol or "",
                genome=seat.genome.as_dict(),
                genome_hash=seat.genome.content_hash,
                draw=seat.draw,
            )
            for number, (book_id, seat) in enumerate(zip(opened.book_ids, seats, strict=True), start=1)
        ],
        batch_size=2_000,
    )
    parent = book_accounts(cohort.book)
    post_entry(
        fund=cohort.fund,
        value_date=opened_on,
        kind=EntryKind.CONTRIBUTION,
        lines=contribution(book=parent, asset_id=quote.pk, amount=cohort.bankroll),
        memo=f"Paper bankroll of {cohort}",
        source=Source("trading.cohort", str(cohort.pk)),
        idempotency_key=f"cohort:{cohort.pk}:bankroll",
        actor=actor,
    )
    post_entries(fund=cohort.fund, batch=_draws(cohort, seats, parent, opened, quote.pk, opened_on), actor=actor)


def _draws(
    cohort: Cohort,
    seats: Sequence[Seat],
    parent: Accounts,
    opened: OpenedBooks,
    quote_id: int,
    opened_on: date,
) -> EntryBatch:
    """One entry an agent, its draw from the parent's cash."""
    cents = np.array([int(seat.draw * CENTS) for seat in seats], dtype=np.int64)
    n = len(seats)
    legs = [
        (np.full(n, parent[AccountKind.CASH]), -cents),
        (np.full(n, parent[AccountKind.BANKROLL]), cents),
        (np.array(opened.account_ids[AccountKind.CASH]), cents),
        (np.array(opened.account_ids[AccountKind.CAPITAL]), -cents),
    ]
    return EntryBatch(
        value_dates=opened_on,
        kinds=EntryKind.DRAW,
        line_entries=np.repeat(np.arange(n), len(legs)),
        account_ids=np.column_stack([leg[0] for leg in legs]).ravel(),
        asset_ids=np.full(n * len(legs), quote_id, dtype=np.int64),
        amounts=np.column_stack([leg[1] for leg in legs]).ravel(),
        idempotency_key=f"cohort:{cohort.pk}:draws",
        source_type="trading.cohort_agent",
        source_ids=[f"{cohort.pk}:{number}" for number in range(1, n + 1)],
        amount_places=2,
    )
