"""Compiling the evidence of a cohort that traded, from its rows to one JSON-able statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from fundops.core.clock import from_ms
from risk.quant.metrics import Metric
from tests.risk.gated import put_limit
from tests.trading.promotion.conftest import START
from trading.actions.cohort_prepare import prepare_cohort
from trading.models.cohort import AgentDay, Cohort, CohortFill, CohortRejection, GenomeSource
from trading.promotion.compiling import compile_evidence
from trading.promotion.errors import EvidenceUnavailableError
from trading.promotion.evidence import Evidence
from trading.promotion.policy import Figure, default_policy, parse_policy
from trading.promotion.replaying import LiveAgent, cast_of, run_cohort_again
from trading.quant.evidence.skill import chance_of_best
from treasury.models import Fund

Make = Callable[..., Cohort]
DAY_MS = 86_400_000

pytestmark = pytest.mark.django_db


def test_evidence_reproduces_the_books_and_covers_every_agent(finished: Make) -> None:
    cohort = finished()
    evidence = compile_evidence(cohort)
    assert evidence.figures[Figure.BOOKS_DIFFERENCE].value == pytest.approx(0, abs=1e-9)
    assert sorted(line.number for line in evidence.agents) == list(range(1, 13))
    for line in evidence.agents:
        last = AgentDay.objects.get(agent__cohort=cohort, agent__number=line.number, day=3)
        assert line.roi_frac == pytest.approx(float(last.equity) / line.draw - 1, abs=1e-9)
        fills = CohortFill.objects.filter(agent__cohort=cohort, agent__number=line.number)
        assert line.fills == fills.count()
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence


def test_a_cohort_whose_orders_were_denied_is_run_again_as_it_was_judged(finished: Make, fund: Fund) -> None:
    put_limit(book=fund.books.get(parent=None), metric=Metric.OPEN_POSITIONS, hard=Decimal(3))
    cohort = finished(days=3)
    assert CohortRejection.objects.filter(cohort=cohort, reason="limit_positions").exists()
    evidence = compile_evidence(cohort)
    assert evidence.figures[Figure.BOOKS_DIFFERENCE].value == pytest.approx(0, abs=1e-9)
    for line in evidence.agents:
        assert line.fills == CohortFill.objects.filter(agent__cohort=cohort, agent__number=line.number).count()


def test_runs_by_several_records_are_joined_as_one(finished: Make) -> None:
    cohort = finished()
    cast = cast_of(cohort)
    whole = run_cohort_again(cast, until_ms=cohort.end_ms, mark_ms=300_000)
    record = {"mode": "ACTIVE", "limits": [], "agents": {}, "unit_risk": {}}
    starts = [cohort.start_ms + minutes * 60_000 for minutes in (0, 7, 777, 2_000)]
    cast.cohort.run.provenance["limits"] = [record | {"from_ms": start} for start in starts]
    parts = run_cohort_again(cast, until_ms=cohort.end_ms, mark_ms=300_000)
    for name in ("fills", "rejections", "funding"):
        assert np.array_equal(getattr(parts.run, name), getattr(whole.run, name)), name
    assert np.array_equal(parts.results.net, whole.results.net)
    assert np.array_equal(parts.results.ts_ms, whole.results.ts_ms)


def test_evidence_of_the_same_cohort_is_the_same_statement(finished: Make) -> None:
    cohort = finished()
    first, second = compile_evidence(cohort), compile_evidence(cohort)
    varying = {"compiled_at_ms", "spent"}
    assert first.model_dump(exclude=varying) == second.model_dump(exclude=varying)


def test_candidate_is_the_best_by_all_evidence_of_those_that_pass_the_screens(finished: Make) -> None:
    evidence = compile_evidence(finished())
    running = [line for line in evidence.agents if line.screened and line.score is not None]
    assert evidence.candidate == max(running, key=lambda line: line.score or 0).number
    assert evidence.agents[0].number == evidence.candidate
    line = evidence.line(evidence.candidate)
    assert line.evidence_rank == 1
    pieces = evidence.combined.pieces if evidence.combined else ()
    assert [piece.name for piece in pieces] == ["cohort", "replay"]
    weights = [piece.days for piece in pieces]
    stouffer = sum(np.sqrt(p.days) * (p.score or 0) for p in pieces) / np.sqrt(sum(weights))
    assert line.score == pytest.approx(stouffer)
    assert evidence.combined
    assert evidence.combined.chance_of_best == pytest.approx(float(chance_of_best(stouffer, evidence.combined.trials)))


def test_candidate_by_return_where_the_policy_says_so(finished: Make) -> None:
    cohort = finished()
    policy = parse_policy(default_policy().as_json() | {"rank_by": "roi"})
    evidence = compile_evidence(cohort, policy=policy)
    running = [line for line in evidence.agents if line.screened]
    assert evidence.candidate == max(running, key=lambda line: line.roi_frac).number


def test_replay_keeps_away_from_the_window_and_fits_the_stored_days(finished: Make) -> None:
    cohort = finished()
    facts = compile_evidence(cohort).replay
    assert facts.fold_days == 3
    assert facts.days == 3 * facts.folds > 0
    assert facts.last_ms is not None
    assert facts.first_ms is not None
    assert facts.last_ms <= cohort.start_ms - DAY_MS
    assert from_ms(facts.first_ms).date().toordinal() - from_ms(facts.coverage_first_ms or 0).date().toordinal() >= 7
    assert facts.purged == ((cohort.start_ms, cohort.end_ms),)


def test_replay_is_purged_of_the_windows_that_chose_the_genomes(finished: Make) -> None:
    parent = finished(start=START.replace(month=2, day=19))
    child = finished(genome_source=GenomeSource.BEST, parents=[parent], agent_count=5, bankroll=Decimal(1000))
    own = compile_evidence(child)
    assert (parent.start_ms, parent.end_ms) in own.replay.purged
    assert own.replay.days < compile_evidence(finished()).replay.days


def test_trials_count_every_cohort_on_the_window_and_distinct_genomes_once(finished: Make) -> None:
    first = finished()
    alone = compile_evidence(first)
    assert (alone.trials.agents, alone.trials.distinct) == (12, 12)
    finished(seed=5)  # the same genomes again
    finished(seed=6, start=START.replace(day=2))  # others, on days that overlap
    finished(seed=7, start=START.replace(month=2, day=10))  # elsewhere in time
    more = compile_evidence(first, trials_elsewhere=100)
    assert (more.trials.agents, more.trials.distinct) == (36, 24)
    assert more.trials.counted == 124
    assert more.combined
    assert alone.combined
    assert more.combined.needed > alone.combined.needed
    assert (more.combined.chance_of_best or 0) >= (alone.combined.chance_of_best or 0)


def test_cost_bridge_leads_from_gross_to_net_and_agrees_with_the_fills(finished: Make) -> None:
    cohort = finished()
    evidence = compile_evidence(cohort)
    bridge = evidence.costs
    assert bridge
    line = evidence.line(evidence.candidate or 0)
    assert bridge.gross - bridge.fees - bridge.spread - bridge.impact + bridge.funding == pytest.approx(bridge.net)
    assert bridge.net == pytest.approx(line.roi_frac * line.draw)
    fills = CohortFill.objects.filter(agent__cohort=cohort, agent__number=line.number)
    assert bridge.fees == pytest.approx(float(sum(fill.fee for fill in fills)))
    assert bridge.modelled_impact == pytest.approx(bridge.impact, rel=0.02)
    assert bridge.ratio == pytest.approx(1.0, rel=0.02)


def test_live_agent_of_the_same_genome_is_fully_correlated(finished: Make) -> None:
    cohort = finished()
    number = compile_evidence(cohort).candidate or 0
    cast = cast_of(cohort)
    seat = cast.seats[number - 1]
    evidence = compile_evidence(cohort, live=[LiveAgent("twin", seat.genome, float(seat.draw))])
    assert evidence.candidate == number
    [twin] = evidence.live
    assert twin.correlation == pytest.approx(1.0)
    assert twin.n == evidence.replay.days
    figure = evidence.figures[Figure.LIVE_CORRELATION]
    assert figure.value == pytest.approx(1.0)
    assert figure.n == twin.n, "days that were compared, not agents"


def test_live_agent_of_another_market_is_named_but_not_compared(finished: Make) -> None:
    cohort = finished()
    seat = cast_of(cohort).seats[1]
    far = LiveAgent("far", replace(seat.genome, symbol="XRPUSDT"), 100.0)
    evidence = compile_evidence(cohort, live=[far])
    [found] = evidence.live
    assert (found.name, found.correlation, found.n) == ("far", None, 0)
    assert evidence.figures[Figure.LIVE_CORRELATION].value is None


def test_evidence_before_the_first_day_is_refused(launched: Make) -> None:
    queued = launched()
    with pytest.raises(EvidenceUnavailableError, match="has not begun"):
        compile_evidence(queued)
    prepare_cohort(cohort_id=queued.pk)
    with pytest.raises(EvidenceUnavailableError, match="first day"):
        compile_evidence(Cohort.objects.get(pk=queued.pk))


def test_evidence_without_stored_history_says_so(launched: Make, finished: Make) -> None:
    policy = parse_policy(default_policy().as_json() | {"replay": {"most_days": 0}})
    evidence = compile_evidence(finished(), policy=policy)
    assert evidence.replay.days == 0
    assert evidence.combined
    assert [piece.name for piece in evidence.combined.pieces] == ["cohort"]
    assert any("no replay" in text for text in evidence.not_known)
    assert evidence.power.days == 3


def test_every_agent_excluded_leaves_no_candidate_and_its_reasons(finished: Make) -> None:
    base = default_policy().as_json()
    policy = parse_policy(base | {"screens": base["screens"] | {"min_trades": 10_000}})
    evidence = compile_evidence(finished(), policy=policy)
    assert evidence.candidate is None
    assert all(any(x.screen == "trades" for x in line.exclusions) for line in evidence.agents)
    assert evidence.figures[Figure.SCREENS_FAILED].value == 1
    assert evidence.words == ("All 12 agents failed a screen; there is no candidate.",)
