"""The next step of a Book's leverage by rule: what was earned, what was lost, and how much of it is known.

Pure: rules, state and evidence in, one step out. A loss lowers at once; a raise wants a sufficient sample, the ratio
and the drawdown asked for, rest since the last change, and nothing that speaks against it. What is not known (None,
NaN) never raises; it does not keep a known loss from lowering.

Conventions: returns are simple, of whole observations, net of flows, oldest first; losses and drawdowns are positive
when money is lost. Sharpe = mean / deviation (ddof 1) x sqrt(observations a year), without a risk-free rate; its
standard error is Lo's for independent returns (Lo 2002, "The Statistics of Sharpe Ratios", equation 9), annualised
alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

#: No policy may allow more.
HIGHEST_CAP = Decimal(10)


class Observation(StrEnum):
    """What one return spans."""

    DAILY = "daily"
    HOURLY = "hourly"

    @property
    def a_year(self) -> int:
        """How many of them a year has: crypto trades on all its 365 days."""
        return 365 if self is Observation.DAILY else 8760

    @property
    def span(self) -> timedelta:
        return timedelta(days=1) if self is Observation.DAILY else timedelta(hours=1)

    @property
    def plural(self) -> str:
        return "days" if self is Observation.DAILY else "hours"


class Measure(StrEnum):
    """What a rule for stepping down looks at."""

    LOSS = "loss"
    DRAWDOWN = "drawdown"


class Rule(StrEnum):
    """Which rule a step comes from."""

    START = "start"
    STEP_UP = "step_up"
    STEP_DOWN = "step_down"
    CAP = "cap"
    HOLD = "hold"
    BY_HAND = "by_hand"


Tier = Annotated[Decimal, Field(gt=0, le=HIGHEST_CAP, allow_inf_nan=False, max_digits=6, decimal_places=2)]
Share = Annotated[Decimal, Field(gt=0, le=1, allow_inf_nan=False, decimal_places=6)]


class StepDown(BaseModel):
    """Steps down when a loss over the last ``over`` observations, or the drawdown of now, is above a share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: Measure
    above_frac: Share
    over: int = Field(default=1, ge=1, le=8760, description="Observations a loss is counted over.")
    steps: int = Field(ge=1, le=100)

    @property
    def key(self) -> str:
        """Names the rule; the same rule in another policy is the same."""
        over = f"/{self.over}" if self.measure is Measure.LOSS else ""
        return f"{self.measure.value}>{self.above_frac.normalize():f}{over}"

    def said(self, observation: Observation) -> str:
        share = f"{float(self.above_frac) * 100:.4g} %"
        if self.measure is Measure.DRAWDOWN:
            return f"drawdown above {share}"
        span = observation.plural[:-1] if self.over == 1 else f"{self.over} {observation.plural}"
        return f"loss above {share} in {'a ' if self.over == 1 and span == 'day' else ''}{span}"


class LeverageRules(BaseModel):
    """The rules of one policy. A Book begins at ``start`` and moves by ``step`` between ``floor`` and ``cap``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: Tier = Field(default=Decimal(2), description="Where a Book begins.")
    floor: Tier = Field(default=Decimal(1), description="Losses lower to here, and no further.")
    cap: Tier = Field(default=Decimal(10), description="Never above.")
    step: Tier = Field(default=Decimal(1), description="One step, up or down.")
    observation: Observation = Field(default=Observation.DAILY, description="What one return spans.")
    window: int = Field(default=30, ge=2, le=8760, description="The last so many observations are judged.")
    min_observations: int = Field(default=14, ge=2, le=8760, description="With fewer, never a step up.")
    min_sharpe: Decimal = Field(
        default=Decimal("1.5"), gt=0, le=20, allow_inf_nan=False, description="A step up wants more, annualised."
    )
    max_drawdown_frac: Share = Field(default=Decimal("0.03"), description="A step up wants less, over the window.")
    step_up_cooldown_h: int = Field(default=168, ge=0, le=8760, description="Hours from a change to a step up.")
    recovery_h: int = Field(default=336, ge=0, le=8760, description="Hours from a step down to a step up.")
    step_down: tuple[StepDown, ...] = Field(
        default=(
            StepDown(measure=Measure.LOSS, above_frac=Decimal("0.02"), over=1, steps=1),
            StepDown(measure=Measure.LOSS, above_frac=Decimal("0.05"), over=7, steps=2),
            StepDown(measure=Measure.DRAWDOWN, above_frac=Decimal("0.05"), steps=2),
            StepDown(measure=Measure.DRAWDOWN, above_frac=Decimal("0.1"), steps=10),
        ),
        min_length=1,
        max_length=20,
        description="What lowers at once; the rule with the most steps counts.",
    )

    @model_validator(mode="after")
    def _check(self) -> LeverageRules:
        if not self.floor <= self.start <= self.cap:
            raise ValueError("The floor must not be above the start, nor the start above the cap.")
        if self.min_observations > self.window:
            raise ValueError("The window must hold at least the smallest sample: make it longer.")
        keys = [rule.key for rule in self.step_down]
        if len(set(keys)) != len(keys):
            raise ValueError("Two rules for stepping down look at the same: leave one out.")
        if any(r.measure is Measure.DRAWDOWN and r.above_frac < self.max_drawdown_frac for r in self.step_down):
            raise ValueError("A drawdown that lowers must be at least the one up to which steps up are made.")
        return self


@dataclass(frozen=True, slots=True)
class Performance:
    """How a Book did, as the layer that knows says. Nothing in it is a guess: None is not known.

    ``through`` is the end of the last whole observation; ``drawdown_frac`` the fall of now from the peak, flows
    removed; ``running_return`` the return since ``through``. ``equity`` (base asset) is only shown.
    """

    returns: tuple[float | None, ...]
    through: datetime | None
    drawdown_frac: float | None
    running_return: float | None = 0.0
    observation: Observation = Observation.DAILY
    equity: float | None = None
    source: str = ""

    @property
    def n(self) -> int:
        """Known returns."""
        return sum(x is not None and math.isfinite(x) for x in self.returns)


@dataclass(frozen=True, slots=True)
class LeverageState:
    """Where a Book stands. ``answered`` are the rules that have lowered it and until when they look back;
    ``blocked`` says in words what forbids a raise (a stop, an open breach).
    """

    leverage: Decimal
    at: datetime
    changed_at: datetime | None = None
    stepped_down_at: datetime | None = None
    answered: Mapping[str, datetime] = field(default_factory=dict)
    blocked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing a step up wants. ``text`` says it in figures."""

    code: str
    met: bool
    value: float | None
    threshold: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """One rule for stepping down with where it stands; ``spent`` when it has lowered for this already."""

    key: str
    said: str
    measure: Measure
    value: float | None
    threshold: float
    steps: int
    to: Decimal
    fires: bool
    spent: bool


@dataclass(frozen=True, slots=True)
class LeverageStep:
    """What the rules say now: a move, or a hold with the reasons."""

    rule: Rule
    from_leverage: Decimal
    to_leverage: Decimal
    reasons: tuple[str, ...]
    n: int
    inputs: dict[str, Any]
    conditions: tuple[Condition, ...]
    triggers: tuple[Trigger, ...]
    answered: dict[str, datetime]

    @property
    def unmet(self) -> tuple[Condition, ...]:
        return tuple(c for c in self.conditions if not c.met)

    @property
    def moves(self) -> bool:
        return self.to_leverage != self.from_leverage


@dataclass(frozen=True, slots=True)
class _Sample:
    """The last known returns in a row, newest last."""

    returns: tuple[float, ...]
    given: int
    running: float | None

    @property
    def n(self) -> int:
        return len(self.returns)


def sharpe_ratio(returns: Sequence[float], a_year: int) -> tuple[float | None, float | None]:
    """The annualised ratio and its standard error; None below two returns or without any deviation."""
    x = np.asarray(returns, dtype=np.float64)
    if x.size < 2:
        return None, None
    spread = float(x.std(ddof=1))
    # Returns that are equal but for rounding have no deviation to speak of.
    if not math.isfinite(spread) or spread <= 1e-12 * max(1.0, float(np.abs(x).max())):
        return None, None
    ratio = float(x.mean()) / spread
    error = math.sqrt((1.0 + ratio * ratio / 2.0) / x.size)
    return ratio * math.sqrt(a_year), error * math.sqrt(a_year)


def max_drawdown(returns: Sequence[float]) -> float:
    """The deepest fall of the compounded returns from their peak, the beginning included; 0 without any."""
    worth = np.cumprod(np.concatenate(([1.0], 1.0 + np.asarray(returns, dtype=np.float64))))
    peaks = np.maximum.accumulate(worth)
    return float(np.max(1.0 - worth / peaks))


def next_step(rules: LeverageRules, state: LeverageState, evidence: Performance) -> LeverageStep:
    """What the rules make of the evidence: one step up at most, as many down as the worst rule asks for.

    Deterministic. Never above the cap; losses lower to the floor and no further. A rule that has lowered is spent
    until its drawdown has healed, or its loss lies in observations that began later.
    """
    sample = _sample(rules, evidence)
    drawdown_now = _known(evidence.drawdown_frac, least=0.0)
    triggers = tuple(_trigger(rules, rule, state, evidence, sample, drawdown_now) for rule in rules.step_down)
    conditions = _conditions(rules, state, evidence, sample, drawdown_now, triggers)
    inputs = _inputs(rules, evidence, sample, drawdown_now, conditions)
    answered = _answered(rules, state, triggers)
    fired = [t for t in triggers if t.fires and not t.spent]

    def step(rule: Rule, to: Decimal, reasons: Sequence[str]) -> LeverageStep:
        return LeverageStep(rule, state.leverage, to, tuple(reasons), sample.n, inputs, conditions, triggers, answered)

    if fired:
        to = min(rules.cap, *(t.to for t in fired))
        if to < state.leverage:
            worst = [t for t in fired if t.to <= to] or fired
            return step(Rule.STEP_DOWN, to, [_fired(t) for t in worst])
        return step(Rule.HOLD, state.leverage, [f"{_fired(t)}, but it is at the floor already" for t in fired])
    if state.leverage > rules.cap:
        return step(Rule.CAP, rules.cap, [f"The policy allows {_tier(rules.cap)} at most"])
    unmet = [c for c in conditions if not c.met]
    if unmet:
        return step(Rule.HOLD, state.leverage, [c.text for c in unmet])
    to = min(state.leverage + rules.step, rules.cap)
    return step(Rule.STEP_UP, to, [c.text for c in conditions if c.code in _EARNED])


_EARNED = ("sample", "sharpe", "drawdown")


def _sample(rules: LeverageRules, evidence: Performance) -> _Sample:
    """Returns before a gap are left out: nobody knows what happened in it. Returns of another span are none."""
    if evidence.observation is not rules.observation:
        return _Sample((), len(evidence.returns), None)
    known: list[float] = []
    for x in reversed(evidence.returns):
        if len(known) == rules.window or x is None or not math.isfinite(x):
            break
        known.append(float(x))
    return _Sample(tuple(reversed(known)), len(evidence.returns), _known(evidence.running_return))


def _known(x: float | None, *, least: float = -math.inf) -> float | None:
    return float(x) if x is not None and math.isfinite(x) and x >= least else None


def _loss(returns: Sequence[float]) -> float:
    """The compounded loss, positive when money is lost."""
    return 1.0 - math.prod(1.0 + x for x in returns)


def _trigger(
    rules: LeverageRules,
    rule: StepDown,
    state: LeverageState,
    evidence: Performance,
    sample: _Sample,
    drawdown_now: float | None,
) -> Trigger:
    threshold = float(rule.above_frac)
    answered = state.answered.get(rule.key)
    if rule.measure is Measure.DRAWDOWN:
        value, spent = drawdown_now, answered is not None
    else:
        value, spent = _loss_measured(rules, rule, evidence, sample, answered)
    # A loss at the last place of a float is none: the threshold itself is not above it.
    fires = value is not None and value > threshold + 1e-12
    to = max(state.leverage - rule.steps * rules.step, min(rules.floor, state.leverage))
    return Trigger(
        rule.key, rule.said(rules.observation), rule.measure, value, threshold, rule.steps, to, fires, fires and spent
    )


def _loss_measured(
    rules: LeverageRules, rule: StepDown, evidence: Performance, sample: _Sample, answered: datetime | None
) -> tuple[float | None, bool]:
    """The worse of the last whole window and the one that ends now; whether this has been answered already.

    Observations count towards the loss only as far as they are known; fewer than asked for still lose.
    """
    span = rules.observation.span
    windows: list[tuple[float, datetime | None]] = []
    if sample.returns:
        whole = sample.returns[-rule.over :]
        begins = None if evidence.through is None else evidence.through - len(whole) * span
        windows.append((_loss(whole), begins))
    if sample.running is not None:
        part = sample.returns[-(rule.over - 1) :] if rule.over > 1 else ()
        begins = None if evidence.through is None else evidence.through - len(part) * span
        windows.append((_loss((*part, sample.running)), begins))
    if not windows:
        return None, False
    threshold = float(rule.above_frac) + 1e-12
    fresh = [loss for loss, begins in windows if answered is None or (begins is not None and begins >= answered)]
    if any(loss > threshold for loss in fresh):
        return max(fresh), False
    return max(loss for loss, _ in windows), True


def _conditions(
    rules: LeverageRules,
    state: LeverageState,
    evidence: Performance,
    sample: _Sample,
    drawdown_now: float | None,
    triggers: Sequence[Trigger],
) -> tuple[Condition, ...]:
    unit = rules.observation.plural
    counted = f"{sample.n} of {rules.min_observations} {unit}"
    gap = " since the last return that is not known" if sample.n < min(sample.given, rules.window) else ""
    same_kind = evidence.observation is rules.observation
    ratio, _ = sharpe_ratio(sample.returns, rules.observation.a_year)
    asked_ratio, asked_fall = float(rules.min_sharpe), float(rules.max_drawdown_frac)
    fall = _worst_fall(sample, drawdown_now)
    out = [
        Condition(
            "sample",
            same_kind and sample.n >= rules.min_observations,
            float(sample.n),
            float(rules.min_observations),
            f"{counted} known{gap}"
            if same_kind
            else f"the returns are {evidence.observation.value}, the policy judges {rules.observation.value} ones",
        ),
        Condition(
            "sharpe",
            ratio is not None and ratio > asked_ratio,
            ratio,
            asked_ratio,
            f"Sharpe is not known over {counted}, {asked_ratio:.2f} is asked for"
            if ratio is None
            else f"Sharpe {ratio:.2f} of {asked_ratio:.2f} over {counted}",
        ),
        Condition(
            "drawdown",
            fall is not None and fall < asked_fall,
            fall,
            asked_fall,
            f"drawdown is not known, less than {asked_fall * 100:.4g} % is asked for"
            if fall is None
            else f"drawdown {fall * 100:.1f} % of {asked_fall * 100:.4g} %",
        ),
        _losses(triggers),
        _fresh(rules, state, evidence),
        _rest("cooldown", "change", state.changed_at, rules.step_up_cooldown_h, state.at),
        _rest("recovery", "step down", state.stepped_down_at, rules.recovery_h, state.at),
        Condition(
            "cap",
            state.leverage < rules.cap,
            float(state.leverage),
            float(rules.cap),
            f"{_tier(state.leverage)} of {_tier(rules.cap)} at most",
        ),
        Condition("clear", not state.blocked, None, None, "; ".join(state.blocked) or "nothing forbids a raise"),
    ]
    return tuple(out)


def _worst_fall(sample: _Sample, drawdown_now: float | None) -> float | None:
    """The deepest of the window and of now; not known where either is not."""
    if drawdown_now is None or sample.running is None or not sample.returns:
        return None
    return max(max_drawdown((*sample.returns, sample.running)), drawdown_now)


def _losses(triggers: Sequence[Trigger]) -> Condition:
    past = [t for t in triggers if t.fires]
    unknown = [t for t in triggers if t.value is None]
    if past:
        return Condition("losses", False, None, None, f"{past[0].said} still stands")  # noqa: FBT003
    if unknown:
        return Condition("losses", False, None, None, f"it is not known whether there was a {unknown[0].said}")  # noqa: FBT003
    return Condition("losses", True, None, None, "no loss or drawdown that lowers")  # noqa: FBT003


def _fresh(rules: LeverageRules, state: LeverageState, evidence: Performance) -> Condition:
    """The last whole observation is the last one there can be; an eighth of one more is patience."""
    most = rules.observation.span * 9 / 8
    if evidence.through is None:
        return Condition("fresh", False, None, most.total_seconds(), "nobody knows how old the returns are")  # noqa: FBT003
    age = state.at - evidence.through
    met = timedelta(0) <= age <= most
    said = f"{evidence.through:%Y-%m-%d %H:%M} UTC"
    if age < timedelta(0):
        text = f"the returns end at {said}, which has not come yet"
    else:
        text = f"returns up to {said}" if met else f"the last whole return ended at {said}, which is too long ago"
    return Condition("fresh", met, age.total_seconds(), most.total_seconds(), text)


def _rest(code: str, what: str, since: datetime | None, hours: int, at: datetime) -> Condition:
    if since is None:
        return Condition(code, True, None, float(hours), f"no {what} so far")  # noqa: FBT003
    passed = (at - since).total_seconds() / 3600
    return Condition(code, passed >= hours, passed, float(hours), f"{_span(passed)} of {_span(hours)} since the {what}")


def _span(hours: float) -> str:
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.0f} h"


def _answered(rules: LeverageRules, state: LeverageState, triggers: Sequence[Trigger]) -> dict[str, datetime]:
    """What is spent from now on: what fires now, and what was spent and has not healed."""
    out: dict[str, datetime] = {}
    for t in triggers:
        before = state.answered.get(t.key)
        if t.fires and not t.spent:
            out[t.key] = state.at
        elif before is not None and (t.measure is Measure.LOSS or t.fires or t.value is None):
            out[t.key] = before
    return out


def _fired(t: Trigger) -> str:
    value = "not known" if t.value is None else f"{t.value * 100:.2f} %"
    return f"{t.said[0].upper()}{t.said[1:]}: it is {value}, so {t.steps} {'step' if t.steps == 1 else 'steps'} down"


def _tier(x: Decimal) -> str:
    return f"{x.normalize():f}x"


def _inputs(
    rules: LeverageRules,
    evidence: Performance,
    sample: _Sample,
    drawdown_now: float | None,
    conditions: Sequence[Condition],
) -> dict[str, Any]:
    """The figures the step rests on, in JSON's types."""
    ratio, error = sharpe_ratio(sample.returns, rules.observation.a_year)
    fall = next(c.value for c in conditions if c.code == "drawdown")
    return {
        "n": sample.n,
        "given": sample.given,
        "observation": rules.observation.value,
        "a_year": rules.observation.a_year,
        "through": None if evidence.through is None else evidence.through.isoformat(),
        "sharpe": ratio,
        "sharpe_error": error,
        "drawdown_frac": fall,
        "drawdown_now_frac": drawdown_now,
        "running_return": sample.running,
        "returns": list(sample.returns),
        "equity": _known(evidence.equity),
        "source": evidence.source,
    }
