"""The gate's verdict: musts close it, advices only speak, what is not known does not pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trading.models.cohort import Cohort
from trading.promotion.compiling import compile_evidence
from trading.promotion.errors import GatePolicyError
from trading.promotion.evidence import Evidence, Known
from trading.promotion.gate import evaluate_gate
from trading.promotion.policy import GOOD_SIDE, INDISPENSABLE, Figure, default_policy, parse_policy, read_policy

Make = Callable[..., Cohort]

#: Figures with which every check of the default policy passes.
GOOD = {
    Figure.SCREENS_FAILED: 0.0,
    Figure.BOOKS_DIFFERENCE: 0.0,
    Figure.CHANCE_OF_BEST: 0.01,
    Figure.NET_DAILY: 0.001,
    Figure.COST_RATIO: 1.0,
    Figure.SLICE_COST: 0.003,
    Figure.EVIDENCE_DAYS: 93.0,
    Figure.DEFLATED_SHARPE: 0.9,
    Figure.PROBABILISTIC_SHARPE: 0.99,
    Figure.OVERFITTING: 0.1,
    Figure.SUPERIOR_ABILITY: 0.01,
    Figure.IN_CONFIDENCE_SET: 1.0,
    Figure.BOOTSTRAP_LOW: 0.0001,
    Figure.POSITIVE_DAYS: 3.0,
    Figure.LIVE_CORRELATION: 0.2,
    Figure.POWER: 0.9,
}
MUSTS = [check.figure for check in default_policy().checks if check.must]
ADVICES = [check.figure for check in default_policy().checks if not check.must]


@pytest.fixture
def evidence(finished: Make) -> Evidence:
    return compile_evidence(finished())


def _with(evidence: Evidence, **changes: float | None) -> Evidence:
    values: dict[Figure, float | None] = {**GOOD, **{Figure(name): value for name, value in changes.items()}}
    figures = {figure: Known(value=value, n=10) for figure, value in values.items()}
    return evidence.model_copy(update={"figures": figures, "candidate": evidence.candidate or 1})


@pytest.mark.django_db
def test_gate_passes_good_evidence_and_says_what_it_opens(evidence: Evidence) -> None:
    verdict = evaluate_gate(default_policy(), _with(evidence))
    assert verdict.passed
    assert {result.standing for result in (*verdict.musts, *verdict.advices)} == {"passed"}
    assert "micro-live only" in verdict.words[0]
    assert len(verdict.words) == 1


@pytest.mark.django_db
def test_gate_closes_on_each_must_alone_and_on_no_advice(evidence: Evidence) -> None:
    policy = default_policy()
    for figure in Figure:
        threshold = policy.threshold(figure)
        assert threshold is not None
        wrong = threshold - 1e-6 if GOOD_SIDE[figure] != "at_most" else threshold + 1e-6
        for value in (wrong, None):
            verdict = evaluate_gate(policy, _with(evidence, **{figure.value: value}))
            assert verdict.passed == (figure in ADVICES), (figure, value)
            [result] = [x for x in (*verdict.musts, *verdict.advices) if x.figure == figure]
            assert result.standing == ("unknown" if value is None and figure in ADVICES else "failed")
            assert any(result.label in text for text in verdict.words)
    assert set(MUSTS) | set(ADVICES) == set(Figure)


@pytest.mark.django_db
def test_gate_of_a_cohort_without_candidate_is_closed(evidence: Evidence) -> None:
    nobody = _with(evidence).model_copy(update={"candidate": None})
    verdict = evaluate_gate(default_policy(), nobody)
    assert not verdict.passed
    assert "no candidate" in verdict.words[0]


@pytest.mark.django_db
def test_gate_reads_the_figures_of_real_evidence(evidence: Evidence) -> None:
    verdict = evaluate_gate(default_policy(), evidence)
    assert len(verdict.musts) == len(MUSTS)
    books = next(result for result in verdict.musts if result.figure == Figure.BOOKS_DIFFERENCE)
    assert books.standing == "passed"
    live = next(result for result in verdict.advices if result.figure == Figure.LIVE_CORRELATION)
    assert live.standing == "unknown"
    assert "nothing trades live" in live.words


def test_policy_survives_json_and_names_what_is_wrong() -> None:
    policy = default_policy()
    assert parse_policy(policy.as_json()) == policy
    document = policy.as_json()
    for figure in INDISPENSABLE:
        lacking = document | {"checks": [c for c in document["checks"] if c["figure"] != figure.value]}
        with pytest.raises(GatePolicyError, match=figure.value):
            parse_policy(lacking)
    loose = document | {"checks": [c | {"threshold": 0.2} if c["figure"] == "chance_of_best" else c
                                   for c in document["checks"]]}  # fmt: skip
    with pytest.raises(GatePolicyError, match="level"):
        parse_policy(loose)
    with pytest.raises(GatePolicyError, match="checked twice"):
        parse_policy(document | {"checks": [*document["checks"], document["checks"][0]]})
    with pytest.raises(GatePolicyError, match=r"slice\.stop_frac"):
        parse_policy(document | {"slice": {"stop_frac": 2}})
    with pytest.raises(GatePolicyError, match="no YAML"):
        read_policy("checks: [")
