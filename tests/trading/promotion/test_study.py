"""The study of the gate, small: seeded, honest about its errors, and as powerful as it says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from scipy.stats import binomtest

from trading.promotion.gate import meets, musts_hold
from trading.promotion.policy import Figure, default_policy
from trading.promotion.study import GATE_RULE, NAIVE_RULES, Study, StudyPlan, as_json, judge_cohort, rate_of, run_study
from trading.promotion.study_engine import check_with_engine
from trading.promotion.study_picture import picture, tables
from trading.quant.evidence.noise import NoiseModel, noise_results
from trading.quant.evidence.skill import chance_of_best, combine, moments, scores

SMALL = StudyPlan(cohorts=400, power_cohorts=100, replay_days=(0, 30), sharpes=(5.0, 12.0), seed=5)


@pytest.fixture(scope="module")
def study() -> Study:
    return run_study(SMALL, default_policy())


def test_study_of_the_same_seed_is_the_same_whatever_the_threads() -> None:
    few = replace(SMALL, cohorts=12, power_cohorts=12, sharpes=(5.0,), workers=1)
    runs = [as_json(run_study(plan, default_policy())) for plan in (few, replace(few, workers=3))]
    for run in runs:
        run.pop("seconds")
    assert runs[0] == runs[1]
    other = as_json(run_study(replace(few, seed=6), default_policy()))
    assert other["levels"] != runs[0]["levels"]


def test_noise_passes_no_more_often_than_stated_and_the_usual_rule_lets_nearly_all_through(study: Study) -> None:
    for row in study.false_positives:
        if row.rule == GATE_RULE:
            assert binomtest(row.rate.hits, row.rate.n, 0.05, alternative="greater").pvalue > 0.001, row
        elif row.rule == NAIVE_RULES[0]:
            assert row.rate.value > 0.99
    assert {row.replay_days for row in study.false_positives if row.rule == GATE_RULE} == {0, 30}


def test_power_reaches_nine_tenths_of_the_limit_of_any_test(study: Study) -> None:
    rows = {(row.model, row.replay_days, row.annual_sharpe): row for row in study.power}
    for (model, days, sharpe), row in rows.items():
        if model == "plain":
            assert row.share + 2.5 * row.adjusted.error / row.limit >= 0.9, (days, sharpe, row)
            assert row.adjusted.value - 4 * row.adjusted.error <= row.limit
    far = rows["plain", 30, 12.0]
    assert far.share == pytest.approx(1.0, abs=0.05)
    assert far.by_return.value < far.gate.value / 2  # picking by return first forgets the replay
    assert far.anybody.value >= far.gate.value


def test_one_judged_cohort_is_what_the_evidence_would_say_of_it() -> None:
    """The study's short cut (a shift of means, many agents at once) against scoring the shifted results themselves."""
    plan, policy = replace(SMALL, replay_days=(30,), sharpes=(12.0,)), default_policy()
    judged = judge_cohort(plan, policy, NoiseModel.MARKET, 3)
    table = noise_results(n_agents=30, days=33, seed=3, model=NoiseModel.MARKET, shape=plan.shape)
    hits = 0
    for agent in range(30):
        shifted = table.copy()
        shifted[agent] += 12.0 / math.sqrt(365) / 96
        pieces = [moments(shifted[:, :288].T), moments(shifted[:, 288:].T)]
        z = combine(np.stack([scores(of).z for of in pieces]), np.array([3.0, 30.0]))
        best = int(np.argmax(z))
        passed = float(chance_of_best(float(z[best]), 30)) <= policy.level and shifted[best].mean() > 0
        hits += passed and best == agent
    assert judged.gate[0, 0] == pytest.approx(hits / 30)


def test_level_rows_say_which_level_keeps_the_rate(study: Study) -> None:
    for row in study.levels:
        assert row.low <= row.level <= row.high
        assert 0.02 < row.level < 0.1


def test_musts_of_the_study_are_those_of_the_gate() -> None:
    policy = default_policy()
    values = np.array([-1.0, 0.0, 0.01, policy.level, 0.06, 1.0, np.nan])
    for check in policy.checks:
        held = musts_hold(policy, {check.figure: values})
        wanted = [not check.must or meets(check, None if np.isnan(v) else float(v)) for v in values]
        assert np.broadcast_to(held, values.shape).tolist() == wanted, check
    both = musts_hold(policy, {Figure.CHANCE_OF_BEST: np.array([0.01, 0.01]), Figure.NET_DAILY: np.array([1.0, -1.0])})
    assert both.tolist() == [True, False]


def test_exact_interval_agrees_with_the_library() -> None:
    for hits, n in ((0, 1000), (3, 50), (50, 1000), (20, 20)):
        rate = rate_of(hits, n)
        library = binomtest(hits, n).proportion_ci(0.95, method="exact")
        assert (rate.low, rate.high) == pytest.approx((library.low, library.high))


def test_picture_and_tables_show_every_cell(study: Study) -> None:
    root = ET.fromstring(picture(study))  # noqa: S314 - our own text
    dots = [node for node in root.iter() if node.tag.endswith("circle")]
    assert len(dots) == 2 * len(SMALL.sharpes) + 2  # one a cell, one a line in the key
    text = tables(study, None)
    assert text.count("\n| ") >= len(study.false_positives) + 4
    assert "limit of any test" in text


def test_scores_of_real_strategies_on_prices_without_drift_are_standard_normal() -> None:
    seen = check_with_engine(SMALL, default_policy(), cohorts=4, replay_days=6)
    assert seen.scores > 100
    assert abs(seen.score_mean) < 4 / math.sqrt(seen.scores)
    assert seen.score_deviation == pytest.approx(1.0, abs=0.25)
    assert seen.best_return.hits == 4
    assert seen.after_costs.hits <= seen.before_costs.hits
    assert 0.02 < seen.mean_correlation < 0.4


@pytest.mark.django_db
def test_command_prints_json_and_writes_its_files(tmp_path: Path) -> None:
    out = StringIO()
    call_command(
        "gate_study", cohorts=4, power_cohorts=4, engine_cohorts=0, seed=1, out=tmp_path, json=True, stdout=out
    )
    printed = json.loads(out.getvalue())
    assert printed == json.loads((tmp_path / "study.json").read_text())
    assert len(printed["power"]) == 2 * 4 * 6
    assert (tmp_path / "study.svg").read_text().startswith("<svg")
    assert "share of the limit" in (tmp_path / "study.md").read_text()
    with pytest.raises(CommandError, match="At least one cohort"):
        call_command("gate_study", cohorts=0, stdout=StringIO())
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("gate_study", policy=tmp_path / "none.yaml", stdout=StringIO())
