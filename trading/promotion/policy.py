"""The gate's policy as data: which checks must pass, which advise, at which thresholds, and how large micro-live is.

Plain and versioned, so that it can live under approval: `default_policy` reads the calibrated one that ships with the
product (`gate_default.yaml`), `parse_policy` any other. How its level was calibrated: docs/gate.md.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trading.promotion.errors import GatePolicyError

DEFAULT_FILE = Path(__file__).with_name("gate_default.yaml")

Fraction = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Figure(StrEnum):
    """What a check can look at. Each is one number of the evidence, or not known."""

    SCREENS_FAILED = "screens_failed"
    BOOKS_DIFFERENCE = "books_difference"
    CHANCE_OF_BEST = "chance_of_best"
    NET_DAILY = "net_daily"
    COST_RATIO = "cost_ratio"
    SLICE_COST = "slice_cost"
    EVIDENCE_DAYS = "evidence_days"
    DEFLATED_SHARPE = "deflated_sharpe"
    PROBABILISTIC_SHARPE = "probabilistic_sharpe"
    OVERFITTING = "overfitting"
    SUPERIOR_ABILITY = "superior_ability"
    IN_CONFIDENCE_SET = "in_confidence_set"
    BOOTSTRAP_LOW = "bootstrap_low"
    POSITIVE_DAYS = "positive_days"
    LIVE_CORRELATION = "live_correlation"
    POWER = "power"


class Side(StrEnum):
    AT_MOST = "at_most"
    AT_LEAST = "at_least"
    ABOVE = "above"


#: On which side of its threshold each figure is good. A policy sets thresholds, not directions.
GOOD_SIDE: dict[Figure, Side] = {
    Figure.SCREENS_FAILED: Side.AT_MOST,
    Figure.BOOKS_DIFFERENCE: Side.AT_MOST,
    Figure.CHANCE_OF_BEST: Side.AT_MOST,
    Figure.NET_DAILY: Side.ABOVE,
    Figure.COST_RATIO: Side.AT_MOST,
    Figure.SLICE_COST: Side.AT_MOST,
    Figure.EVIDENCE_DAYS: Side.AT_LEAST,
    Figure.DEFLATED_SHARPE: Side.AT_LEAST,
    Figure.PROBABILISTIC_SHARPE: Side.AT_LEAST,
    Figure.OVERFITTING: Side.AT_MOST,
    Figure.SUPERIOR_ABILITY: Side.AT_MOST,
    Figure.IN_CONFIDENCE_SET: Side.AT_LEAST,
    Figure.BOOTSTRAP_LOW: Side.ABOVE,
    Figure.POSITIVE_DAYS: Side.AT_LEAST,
    Figure.LIVE_CORRELATION: Side.AT_MOST,
    Figure.POWER: Side.AT_LEAST,
}

#: Without these a policy would let luck, a broken record or an unbounded loss through: they must be musts.
INDISPENSABLE = (Figure.CHANCE_OF_BEST, Figure.SCREENS_FAILED, Figure.BOOKS_DIFFERENCE, Figure.SLICE_COST)
#: The level of the calibrated test may be stricter than this, never looser.
LOOSEST_LEVEL = 0.10


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Model):
    """One figure held against one threshold."""

    figure: Figure
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    must: bool = Field(description="True: the gate closes when it fails. False: it only advises.")


class Screens(_Model):
    """What takes an agent out of the running before any statistics."""

    min_trades: Annotated[int, Field(ge=0)] = 5
    max_slippage_bps: NotNegative = 15.0
    max_participation_frac: Fraction = 0.02
    max_depth_frac: Annotated[float, Field(gt=0)] = 0.1
    max_untradable_frac: Annotated[float, Field(ge=0, le=1)] = 0.1
    max_drawdown_frac: Fraction = 0.10
    max_leverage_breaches: Annotated[int, Field(ge=0)] = 0


class Replay(_Model):
    """How far back the genomes' walk-forward replay goes, and what it keeps away from."""

    most_days: Annotated[int, Field(ge=0, le=1000)] = 180
    embargo_days: Annotated[int, Field(ge=1, le=30)] = 1
    warmup_days: Annotated[int, Field(ge=1, le=30)] = 7
    mark_minutes: Literal[5, 15, 30, 60] = 15
    most_agents: Annotated[int, Field(ge=1, le=2000)] = 300


class Slice(_Model):
    """How much a promoted agent gets, and what a false promotion may cost."""

    share_of_bankroll: Fraction = 0.05
    smallest: NotNegative = 50.0
    false_cost_frac: Fraction = 0.01
    stop_frac: Fraction = 0.05


class GatePolicy(_Model):
    """One version of the gate."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=80)]
    about: Annotated[str, Field(min_length=1, max_length=1000)]
    rank_by: Literal["evidence", "roi"] = "evidence"
    screens: Screens = Screens()
    replay: Replay = Replay()
    slice: Slice = Slice()
    power_at_sharpe: Annotated[float, Field(gt=0, le=20)] = 3.0
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _hangs_together(self) -> GatePolicy:
        named = [check.figure for check in self.checks]
        if doubled := {figure.value for figure in named if named.count(figure) > 1}:
            raise ValueError(f"checked twice: {', '.join(sorted(doubled))}")
        musts = {check.figure: check.threshold for check in self.checks if check.must}
        if absent := [figure.value for figure in INDISPENSABLE if figure not in musts]:
            raise ValueError(f"must be checked, as musts: {', '.join(absent)}")
        if not 0 < musts[Figure.CHANCE_OF_BEST] <= LOOSEST_LEVEL:
            raise ValueError(f"the level of {Figure.CHANCE_OF_BEST} lies above 0 and at most at {LOOSEST_LEVEL:g}")
        if musts[Figure.SCREENS_FAILED] != 0:
            raise ValueError("an agent that fails a screen cannot pass: the threshold of screens_failed is 0")
        return self

    def threshold(self, figure: Figure) -> float | None:
        """The threshold of that figure's check, None where the policy has none."""
        return next((check.threshold for check in self.checks if check.figure == figure), None)

    @property
    def level(self) -> float:
        """The false-positive rate the calibrated test is held at."""
        return next(check.threshold for check in self.checks if check.figure == Figure.CHANCE_OF_BEST)

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def parse_policy(document: object) -> GatePolicy:
    """A policy from JSON-like data; raises GatePolicyError naming every field to change."""
    try:
        return GatePolicy.model_validate(document)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'policy'}: {e['msg']}" for e in error.errors()]
        raise GatePolicyError("Change the policy: " + "; ".join(told), problems=told) from error


def read_policy(text: str) -> GatePolicy:
    """A policy from YAML text."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise GatePolicyError(f"The policy is no YAML: {error}") from error
    return parse_policy(document)


@cache
def default_policy() -> GatePolicy:
    """The calibrated policy that ships with the product."""
    return read_policy(DEFAULT_FILE.read_text(encoding="utf-8"))
