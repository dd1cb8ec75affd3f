"""A replay from launch to its last day: scored, alerted, and equal to its books to the last unit."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from django.db.models import F, Sum

from compliance.models import AuditEvent
from fundops.core.models import User
from trading.actions.cohort import cancel_cohort, launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.cohort_run import advance_cohort, load_cohort, market_for
from trading.cohorts import postings
from trading.models.cohort import AgentDay, Allocation, Cohort, CohortFill, CohortStatus, GenomeSource
from trading.quant.engine import Run
from treasury.models import AccountKind, EntryKind, JournalEntry, JournalLine
from treasury.postings import EntryBatch
from treasury.selectors import By, balances, trial_balance

Make = Callable[..., Cohort]


@pytest.fixture
def finished(launched: Make) -> Cohort:
    cohort = drive_cohort(cohort_id=launched().pk)
    assert cohort.status == CohortStatus.COMPLETED, cohort.failure
    return cohort


def test_replay_scores_every_agent_on_every_day(finished: Cohort) -> None:
    days = list(finished.cohort_days.order_by("day"))
    assert [day.day for day in days] == [1, 2, 3]
    assert all(day.complete and len(day.hourly_equity) == 24 and None not in day.hourly_equity for day in days)
    assert AgentDay.objects.filter(agent__cohort=finished, complete=True).count() == 18
    assert [day.sample_size for day in days] == [24, 48, 72]
    for day in days:
        ranks = AgentDay.objects.filter(agent__cohort=finished, day=day.day).order_by("-roi_frac")
        assert [row.rank for row in ranks] == [1, 2, 3, 4, 5, 6]


def test_replay_engine_and_books_agree_exactly(finished: Cohort) -> None:
    assert all(day.largest_difference == 0 for day in finished.cohort_days.all())
    assert trial_balance(fund=finished.fund).is_balanced
    last = finished.cohort_days.get(day=3)
    assert last.ledger_equity == last.equity


def test_replay_books_every_fill_once_and_names_it(finished: Cohort) -> None:
    fills = list(CohortFill.objects.filter(cohort=finished))
    assert len(fills) > 20
    entries = JournalEntry.objects.filter(source_type=postings.MOVEMENT_SOURCE)
    assert sorted(entries.values_list("source_id", flat=True)) == sorted(fill.source_id for fill in fills)
    fill = fills[len(fills) // 2]
    entry = entries.get(source_id=fill.source_id)
    fee = JournalLine.objects.filter(entry=entry, account__kind=AccountKind.FEES).aggregate(x=Sum("amount"))["x"]
    assert (fee or 0) == fill.fee
    moved = JournalLine.objects.get(entry=entry, account__kind=AccountKind.POSITION)
    assert moved.amount == (fill.quantity if fill.side == "buy" else -fill.quantity)
    assert moved.account.book_id == fill.agent.book_id


def test_replay_draws_add_up_to_the_bankroll(finished: Cohort) -> None:
    assert finished.agents.aggregate(total=Sum("draw"))["total"] == finished.bankroll
    assert finished.book is not None
    held = {b.kind: b.amount for b in balances(books=finished.book, by=(By.KIND,))}
    assert AccountKind.CASH not in held
    assert held[AccountKind.BANKROLL] == finished.bankroll
    assert JournalEntry.objects.filter(kind=EntryKind.DRAW).count() == 6


def test_replay_days_chain_and_costs_add_up(finished: Cohort) -> None:
    rows = AgentDay.objects.filter(agent__cohort=finished).order_by("agent", "day")
    by_agent: dict[int, list[AgentDay]] = {}
    for row in rows:
        by_agent.setdefault(row.agent_id, []).append(row)
    for days in by_agent.values():
        assert days[0].opening_equity == days[0].agent.draw
        for before, after in pairwise(days):
            assert after.opening_equity == before.equity
        realised = sum((d.realised - d.fees + d.funding for d in days), Decimal(0))
        assert days[0].agent.draw + realised + days[-1].unrealised == days[-1].equity
    fees = CohortFill.objects.filter(cohort=finished).aggregate(x=Sum("fee"))["x"]
    assert fees == sum((row.fees for row in rows), Decimal(0))
    last = finished.cohort_days.get(day=3)
    assert last.equity == sum((days[-1].equity for days in by_agent.values()), Decimal(0))


def test_replay_of_the_same_seed_is_the_same_cohort(launched: Make) -> None:
    first, second = (drive_cohort(cohort_id=launched(seed=9).pk) for _ in range(2))
    columns = ("number", "agent__number", "at", "symbol", "side", "quantity", "price", "fee", "reason")
    assert list(CohortFill.objects.filter(cohort=first).values_list(*columns)) == list(
        CohortFill.objects.filter(cohort=second).values_list(*columns)
    )


def test_replay_stretch_by_stretch_equals_day_by_day(launched: Make) -> None:
    whole = drive_cohort(cohort_id=launched().pk)
    pieces = launched()
    prepare_cohort(cohort_id=pieces.pk)
    loaded = load_cohort(pieces.pk)
    rng = np.random.default_rng(3)
    position = pieces.start_ms
    while position < pieces.end_ms:
        until = min(position + int(rng.integers(1, 700)) * 60_000, pieces.end_ms)
        while position < until:
            position = advance_cohort(loaded=loaded, market=market_for(loaded, position, until)).next_bar_ms
    columns = (
        "number",
        "agent__number",
        "at",
        "symbol",
        "side",
        "quantity",
        "price",
        "fee",
        "realised",
        "reason",
    )
    assert list(CohortFill.objects.filter(cohort=whole).values_list(*columns)) == list(
        CohortFill.objects.filter(cohort=pieces).values_list(*columns)
    )
    measures = [f.name for f in AgentDay._meta.concrete_fields if f.name not in {"id", "agent"}]
    of = AgentDay.objects.order_by("agent__number", "day").annotate(number=F("agent__number"))
    assert list(of.filter(agent__cohort=whole).values_list("number", *measures)) == list(
        of.filter(agent__cohort=pieces).values_list("number", *measures)
    )


def test_advance_over_bars_already_traded_does_nothing(launched: Make) -> None:
    cohort = launched()
    prepare_cohort(cohort_id=cohort.pk)
    loaded = load_cohort(cohort.pk)
    market = market_for(loaded, cohort.start_ms, cohort.start_ms + 3_600_000)
    advance_cohort(loaded=loaded, market=market)
    before = (CohortFill.objects.count(), JournalEntry.objects.count(), AuditEvent.objects.count())
    again = advance_cohort(loaded=loaded, market=market)
    assert again.fills == 0
    assert (CohortFill.objects.count(), JournalEntry.objects.count(), AuditEvent.objects.count()) == before


def test_books_that_disagree_fail_the_day_loudly(launched: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A posting that loses one fee is caught by the run itself, and nothing of that day is kept."""
    right = postings.entry_batch

    def forgetful(run: Run, ids: postings.AccountMap, **names: object) -> EntryBatch | None:
        run.fills["fee"][0] += 0.01
        return right(run, ids, **names)  # type: ignore[arg-type]

    monkeypatch.setattr(postings, "entry_batch", forgetful)
    cohort = drive_cohort(cohort_id=launched().pk)
    assert cohort.status == CohortStatus.FAILED
    assert "the books say" in cohort.failure
    assert not CohortFill.objects.filter(cohort=cohort).exists()
    assert not cohort.cohort_days.exists()
    assert AuditEvent.objects.filter(kind="trading.cohort.failed").count() == 1


def test_cancelled_cohort_stops_and_keeps_what_it_traded(launched: Make, manager: User) -> None:
    cohort = launched()
    prepare_cohort(cohort_id=cohort.pk)
    loaded = load_cohort(cohort.pk)
    advance_cohort(loaded=loaded, market=market_for(loaded, cohort.start_ms, cohort.start_ms + 86_400_000))
    cancel_cohort(cohort=cohort, reason="enough", actor=manager)
    ended = drive_cohort(cohort_id=cohort.pk)
    assert ended.status == CohortStatus.CANCELLED
    assert ended.cohort_days.count() == 1
    assert drive_cohort(cohort_id=cohort.pk).status == CohortStatus.CANCELLED


def test_best_of_earlier_cohorts_takes_their_best_genomes(specification: Make, manager: User, finished: Cohort) -> None:
    heirs = launch_cohort(
        cohort=specification(genome_source=GenomeSource.BEST, agent_count=3),
        parents=[finished],
        actor=manager,
        queued=False,
    )
    drive_cohort(cohort_id=heirs.pk)
    best = AgentDay.objects.filter(agent__cohort=finished, day=3).order_by("-roi_frac")[:3]
    assert [agent.genome_hash for agent in heirs.agents.order_by("number")] == [row.agent.genome_hash for row in best]


def test_risk_weighted_draws_favour_the_calmer_market(launched: Make) -> None:
    cohort = launched(allocation=Allocation.RISK_WEIGHTED, agent_count=12)
    prepare_cohort(cohort_id=cohort.pk)
    volatility = Cohort.objects.get(pk=cohort.pk).run.provenance["daily_volatility"]
    calm, wild = sorted(volatility, key=volatility.__getitem__)
    draws = {a.symbol: a.draw for a in cohort.agents.all()}
    assert draws[calm] > draws[wild]
    assert cohort.agents.aggregate(total=Sum("draw"))["total"] == cohort.bankroll
