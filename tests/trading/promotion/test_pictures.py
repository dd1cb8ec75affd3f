"""What the review page draws adds up to the figures beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from trading.models.cohort import AgentDay, Cohort
from trading.promotion.compiling import compile_evidence
from trading.promotion.evidence import Evidence

Make = Callable[..., Cohort]

pytestmark = pytest.mark.django_db


@pytest.fixture
def evidence(finished: Make) -> Evidence:
    return compile_evidence(finished())


def test_equity_shows_the_candidate_first_and_ends_where_the_books_end(evidence: Evidence) -> None:
    picture = evidence.equity
    assert picture.lines[0].number == evidence.candidate
    assert sorted(line.number for line in picture.lines) == list(range(1, 13))
    assert len(picture.ts_ms) == 72
    assert picture.ts_ms[-1] == evidence.last_ms
    for line in picture.lines:
        assert line.values[-1] == pytest.approx(1 + evidence.line(line.number).roi_frac, abs=1e-6)
    ends = [1 + agent.roi_frac for agent in evidence.agents]
    assert picture.parent[-1] == pytest.approx(sum(ends) / len(ends), abs=1e-6)  # equal draws


def test_hourly_equity_is_the_stored_one(evidence: Evidence) -> None:
    cohort = Cohort.objects.get(pk=evidence.cohort)
    number = evidence.equity.lines[0].number
    rows = AgentDay.objects.filter(agent__cohort=cohort, agent__number=number).order_by("day")
    stored = [value for row in rows for value in row.hourly_equity]
    draw = evidence.line(number).draw
    drawn = evidence.equity.lines[0].values
    assert None not in drawn
    assert drawn == pytest.approx([(value or 0.0) / draw for value in stored], abs=1e-6)
    assert rows[0].date == cohort.start
    assert rows[2].date == cohort.start + timedelta(days=2)


def test_replay_line_ends_at_the_sum_of_its_days(evidence: Evidence) -> None:
    picture = evidence.replay_equity
    assert picture
    line = evidence.line(evidence.candidate or 0)
    assert len(picture.ts_ms) == evidence.replay.days == line.replay_days
    assert picture.cumulated[-1] == pytest.approx((line.replay_daily or 0) * line.replay_days, abs=1e-6)
    assert list(picture.ts_ms) == sorted(set(picture.ts_ms))


def test_histograms_count_every_observation(evidence: Evidence) -> None:
    returns, overfit = evidence.returns, evidence.overfit
    assert returns
    assert returns.replay
    assert sum(returns.cohort.counts) == 72
    assert sum(returns.cohort.counts) + sum(returns.replay.counts) == returns.n == 24 * (3 + evidence.replay.days)
    assert returns.cohort.edges == returns.replay.edges
    assert overfit
    assert overfit.logits
    assert sum(overfit.logits.counts) == 12_870  # all halves of sixteen blocks
    below = sum(n for edge, n in zip(overfit.logits.edges[1:], overfit.logits.counts, strict=True) if edge <= 0)
    assert overfit.probability == pytest.approx(below / 12_870, abs=0.1)


def test_deflated_curve_passes_through_the_trials_that_were_counted(evidence: Evidence) -> None:
    found = evidence.deflated
    assert found
    [point] = [p for p in found.curve if p.trials == evidence.trials.counted]
    assert point.value == found.value
    assert found.curve[0].trials == 1
    assert found.curve[0].benchmark_annual == 0
    assert found.n == 24 * (3 + evidence.replay.days)
    assert found.cohort_n == 72


def test_interval_encloses_its_mean_which_is_that_of_all_evidence(evidence: Evidence) -> None:
    interval, line = evidence.interval_of_mean, evidence.line(evidence.candidate or 0)
    assert interval
    assert interval.low is not None
    assert interval.high is not None
    assert interval.mean is not None
    assert interval.low < interval.mean < interval.high
    total = line.roi_frac + (line.replay_daily or 0) * line.replay_days
    assert interval.mean == pytest.approx(total / (3 + line.replay_days))


def test_power_grows_with_evidence_and_skill(evidence: Evidence) -> None:
    points = evidence.power.points
    assert [p.all for p in points] == sorted(p.all for p in points)
    assert all(p.cohort <= p.all for p in points)
    five = next(p for p in points if p.annual_sharpe == 5)
    assert five.t_cohort == pytest.approx(0.4533, abs=1e-4)
    assert evidence.power.detectable is not None
    assert evidence.power.detectable_cohort is not None
    assert evidence.power.detectable < evidence.power.detectable_cohort
