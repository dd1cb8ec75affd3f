"""What the policy says of the evidence: passed or not, check by check, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from trading.promotion.evidence import Evidence, Known
from trading.promotion.policy import GOOD_SIDE, Check, Figure, GatePolicy, Side

Standing = Literal["passed", "failed", "unknown"]

#: How a person calls each figure, and how it is written.
LABELS: dict[Figure, tuple[str, str]] = {
    Figure.SCREENS_FAILED: ("Screens failed", "{:.0f}"),
    Figure.BOOKS_DIFFERENCE: ("Replay of the cohort against its books", "{:.4f}"),
    Figure.CHANCE_OF_BEST: ("Probability that chance makes a best agent this good", "{:.4f}"),
    Figure.NET_DAILY: ("Expected daily return after costs, all evidence", "{:+.4%}"),
    Figure.COST_RATIO: ("Realised over modelled costs", "{:.3f}"),
    Figure.SLICE_COST: ("Cost of a false promotion over the bankroll", "{:.3%}"),
    Figure.EVIDENCE_DAYS: ("Days of evidence", "{:.0f}"),
    Figure.DEFLATED_SHARPE: ("Deflated Sharpe ratio, all evidence", "{:.3f}"),
    Figure.PROBABILISTIC_SHARPE: ("Probabilistic Sharpe ratio, all evidence", "{:.3f}"),
    Figure.OVERFITTING: ("Probability of backtest overfitting", "{:.3f}"),
    Figure.SUPERIOR_ABILITY: ("Hansen's test of superior ability, p", "{:.3f}"),
    Figure.IN_CONFIDENCE_SET: ("In the model confidence set", "{:.0f}"),
    Figure.BOOTSTRAP_LOW: ("Lower end of the expected daily return", "{:+.4%}"),
    Figure.POSITIVE_DAYS: ("Days with a profit in the cohort", "{:.0f}"),
    Figure.LIVE_CORRELATION: ("Largest correlation with what is live", "{:.2f}"),
    Figure.POWER: ("Power of this evidence at the policy's Sharpe ratio", "{:.1%}"),
}
_SIGN = {Side.AT_MOST: "at most", Side.AT_LEAST: "at least", Side.ABOVE: "above"}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckResult(_Model):
    """One check: the figure with its sample size, the threshold, and how it stands."""

    figure: Figure
    label: str
    standing: Standing
    value: float | None
    n: int | None
    threshold: float
    side: Side
    words: str

    @property
    def found(self) -> str:
        """The figure as the words write it; empty where it is not known."""
        return "" if self.value is None else LABELS[self.figure][1].format(self.value)

    @property
    def wanted(self) -> str:
        """The threshold and the side of it that is good."""
        return _wanted(self.figure, self.threshold)

    @property
    def said(self) -> str:
        """The words without the label before them."""
        return self.words.removeprefix(f"{self.label}: ")


class GateVerdict(_Model):
    """The gate's answer. ``words`` begin with the verdict and say what speaks against."""

    passed: bool
    candidate: int | None
    policy: str
    musts: tuple[CheckResult, ...]
    advices: tuple[CheckResult, ...]
    words: tuple[str, ...]


def evaluate_gate(policy: GatePolicy, evidence: Evidence) -> GateVerdict:
    """``evidence`` judged by ``policy``. A must whose figure is not known fails; an advice then stands as unknown."""
    results = [(check.must, judge(check, evidence.figures)) for check in policy.checks]
    musts = tuple(result for must, result in results if must)
    advices = tuple(result for must, result in results if not must)
    passed = evidence.candidate is not None and all(result.standing == "passed" for result in musts)
    return GateVerdict(
        passed=passed,
        candidate=evidence.candidate,
        policy=policy.name,
        musts=musts,
        advices=advices,
        words=tuple(_words(policy, evidence, musts, advices, passed=passed)),
    )


def meets(check: Check, value: float | None) -> bool:
    """Whether a figure is on the good side of its threshold; what is not known is not."""
    if value is None:
        return False
    side = GOOD_SIDE[check.figure]
    if side is Side.AT_MOST:
        return value <= check.threshold
    return value >= check.threshold if side is Side.AT_LEAST else value > check.threshold


def musts_hold(policy: GatePolicy, figures: Mapping[Figure, npt.NDArray[np.float64]]) -> npt.NDArray[np.bool_]:
    """Where all musts among ``figures`` hold, element by element; NaN is not known. What studies of the gate ask."""
    held = np.array(True)  # noqa: FBT003
    for check in policy.checks:
        if check.must and check.figure in figures:
            value, side = figures[check.figure], GOOD_SIDE[check.figure]
            if side is Side.AT_MOST:
                held = held & (value <= check.threshold)
            else:
                held = held & ((value >= check.threshold) if side is Side.AT_LEAST else (value > check.threshold))
    return held


def judge(check: Check, figures: Mapping[Figure, Known]) -> CheckResult:
    """One check of the evidence."""
    label, form = LABELS[check.figure]
    side = GOOD_SIDE[check.figure]
    known = figures.get(check.figure)
    value = known.value if known else None
    n = known.n if known else None
    wanted = _wanted(check.figure, check.threshold)
    if value is None:
        standing: Standing = "failed" if check.must else "unknown"
        why = known.why if known and known.why else "it was not computed"
        words = f"{label}: not known, {why}; wanted {wanted}."
    else:
        standing = "passed" if meets(check, value) else "failed"
        words = f"{label}: {form.format(value)}, wanted {wanted}{f' (n = {n:,})' if n is not None else ''}."
    return CheckResult(
        figure=check.figure,
        label=label,
        standing=standing,
        value=value,
        n=n,
        threshold=check.threshold,
        side=side,
        words=words,
    )


def _wanted(figure: Figure, threshold: float) -> str:
    return f"{_SIGN[GOOD_SIDE[figure]]} {LABELS[figure][1].format(threshold)}"


def _words(
    policy: GatePolicy,
    evidence: Evidence,
    musts: tuple[CheckResult, ...],
    advices: tuple[CheckResult, ...],
    *,
    passed: bool,
) -> list[str]:
    if evidence.candidate is None:
        first = "No go: every agent failed a screen, so there is no candidate."
    elif passed:
        first = (
            f"Go, to micro-live only: agent {evidence.candidate} passes every must of '{policy.name}'. "
            "Micro-live is the next experiment, not a reward."
        )
    else:
        failed = [result for result in musts if result.standing != "passed"]
        first = f"No go: agent {evidence.candidate} fails {len(failed)} of {len(musts)} musts of '{policy.name}'."
    against = [result.words for result in musts if result.standing != "passed"]
    doubts = [result.words for result in advices if result.standing == "failed"]
    unknown = [result.words for result in advices if result.standing == "unknown"]
    return [first, *against, *doubts, *unknown]
