"""The next step of leverage by rule: worked figures, and what must hold for any evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from risk.quant.leverage import (
    HIGHEST_CAP,
    LeverageRules,
    LeverageState,
    LeverageStep,
    Measure,
    Observation,
    Performance,
    Rule,
    StepDown,
    max_drawdown,
    next_step,
    sharpe_ratio,
)

AT = datetime(2026, 3, 2, 6, tzinfo=UTC)
MIDNIGHT = AT.replace(hour=0)
RULES = LeverageRules()
#: Mean 0.1 %, deviation (ddof 1) sqrt(14/13) x 0.5 %: a Sharpe of 0.001 / 0.005188745 x sqrt(365) = 3.682 a year.
GOOD = (0.006, -0.004) * 7
LONG_AGO = AT - timedelta(days=90)


def state(leverage: str = "2", **changes: Any) -> LeverageState:
    return replace(LeverageState(Decimal(leverage), AT, changed_at=LONG_AGO), **changes)


def evidence(returns: tuple[float | None, ...] = GOOD, drawdown: float | None = 0.004, **changes: Any) -> Performance:
    return replace(Performance(returns, MIDNIGHT, drawdown), **changes)


def decide(
    returns: tuple[float | None, ...] = GOOD,
    drawdown: float | None = 0.004,
    *,
    leverage: str = "2",
    rules: LeverageRules = RULES,
    at: Mapping[str, Any] | None = None,
    **changes: Any,
) -> LeverageStep:
    return next_step(rules, state(leverage, **(at or {})), evidence(returns, drawdown, **changes))


def unmet(step: LeverageStep) -> set[str]:
    return {c.code for c in step.unmet}


# --- Worked figures -------------------------------------------------------------------------------------------
def test_the_rules_that_ship_are_those_of_the_fund() -> None:
    assert (RULES.start, RULES.step, RULES.cap) == (Decimal(2), Decimal(1), Decimal(10))
    assert (RULES.min_sharpe, RULES.max_drawdown_frac) == (Decimal("1.5"), Decimal("0.03"))
    assert RULES.observation is Observation.DAILY and RULES.observation.a_year == 365


def test_what_was_earned_is_one_step_up_with_its_figures() -> None:
    step = decide()
    assert (step.rule, step.from_leverage, step.to_leverage, step.n) == (Rule.STEP_UP, Decimal(2), Decimal(3), 14)
    deviation = math.sqrt(14 / 13) * 0.005
    assert step.inputs["sharpe"] == pytest.approx(0.001 / deviation * math.sqrt(365))
    assert step.inputs["sharpe"] == pytest.approx(3.682, abs=5e-4)
    # Lo 2002: sqrt((1 + SR^2 / 2) / n) of the daily ratio, annualised alike.
    daily = 0.001 / deviation
    assert step.inputs["sharpe_error"] == pytest.approx(math.sqrt((1 + daily**2 / 2) / 14) * math.sqrt(365))
    assert step.reasons == ("14 of 14 days known", "Sharpe 3.68 of 1.50 over 14 of 14 days", "drawdown 0.4 % of 3 %")


def test_what_is_missing_is_said_in_figures() -> None:
    # Mean 0.0415 %, deviation 0.6061 %: 1.308 a year.
    returns = (*tuple(0.000415 + x for x in (0.00605, -0.00605) * 10), 0.000415)
    step = decide(returns, drawdown=0.011)
    assert step.n == 21 and step.rule is Rule.HOLD
    assert "Sharpe 1.31 of 1.50 over 21 of 14 days" in step.reasons
    assert next(c.text for c in step.conditions if c.code == "drawdown") == "drawdown 1.1 % of 3 %"


def test_the_thresholds_themselves_are_not_passed() -> None:
    ratio, _ = sharpe_ratio(GOOD, 365)
    assert ratio is not None
    exact = LeverageRules(min_sharpe=Decimal(repr(ratio)))
    assert unmet(decide(rules=exact)) == {"sharpe"}
    assert unmet(decide(drawdown=0.03)) == {"drawdown"}
    assert decide(drawdown=0.0299).rule is Rule.STEP_UP


def test_a_lost_day_lowers_at_once_by_the_running_day_too() -> None:
    closed = decide((*GOOD[:-1], -0.021), drawdown=0.021)
    assert (closed.rule, closed.to_leverage) == (Rule.STEP_DOWN, Decimal(1))
    running = decide(leverage="5", running_return=-0.021, drawdown=0.021)
    assert (running.rule, running.to_leverage) == (Rule.STEP_DOWN, Decimal(4))
    assert running.reasons == ("Loss above 2 % in a day: it is 2.10 %, so 1 step down",)
    assert decide(leverage="5", running_return=-0.02, drawdown=0.02).rule is not Rule.STEP_DOWN


def test_the_rule_with_the_most_steps_counts_and_the_floor_holds() -> None:
    # Four days of -1.5 %: 1 - 0.985^4 = 5.866 % in a week, and as much from the peak.
    week = (*GOOD[:10], -0.015, -0.015, -0.015, -0.015)
    step = decide(week, drawdown=1 - 0.985**4, leverage="6")
    assert (step.rule, step.to_leverage) == (Rule.STEP_DOWN, Decimal(4))
    assert any("5.87 %" in reason for reason in step.reasons)
    deep = decide(week, drawdown=0.11, leverage="6")
    assert deep.to_leverage == RULES.floor
    assert decide(week, drawdown=0.11, leverage="1").rule is Rule.HOLD


def test_a_loss_lowers_once_and_the_next_one_again() -> None:
    first = decide(leverage="6", running_return=-0.03, drawdown=0.03)
    assert first.to_leverage == Decimal(5)
    later = AT + timedelta(minutes=5)
    again = next_step(
        RULES,
        LeverageState(Decimal(5), later, AT, AT, first.answered),
        evidence(drawdown=0.03, running_return=-0.03),
    )
    assert again.rule is Rule.HOLD and {"losses", "recovery"} <= unmet(again)
    next_day = AT + timedelta(days=1)
    third = next_step(
        RULES,
        LeverageState(Decimal(5), next_day, AT, AT, again.answered),
        evidence((*GOOD[1:], -0.03), 0.055, through=MIDNIGHT + timedelta(days=1), running_return=-0.025),
    )
    # The day before has been answered; today's loss and the drawdown, now past 5 %, have not.
    assert third.to_leverage == Decimal(3)


def test_a_drawdown_lowers_again_only_after_it_has_healed() -> None:
    first = decide(leverage="8", drawdown=0.06)
    assert first.to_leverage == Decimal(6)
    spent = decide(leverage="6", drawdown=0.06, at={"answered": first.answered})
    assert spent.rule is Rule.HOLD
    healed = decide(leverage="6", drawdown=0.02, at={"answered": spent.answered})
    assert not healed.answered
    assert decide(leverage="6", drawdown=0.06, at={"answered": healed.answered}).to_leverage == Decimal(4)


def test_what_forbids_a_raise_is_said() -> None:
    assert unmet(decide(at={"blocked": ("trading is HALTED",)})) == {"clear"}
    assert unmet(decide(at={"changed_at": AT - timedelta(hours=167)})) == {"cooldown"}
    assert decide(at={"changed_at": AT - timedelta(hours=168)}).rule is Rule.STEP_UP
    assert unmet(decide(at={"stepped_down_at": AT - timedelta(hours=335)})) == {"recovery"}
    assert unmet(decide(leverage="10")) == {"cap"}
    assert unmet(decide(through=MIDNIGHT - timedelta(days=1))) == {"fresh"}
    assert unmet(decide(through=MIDNIGHT + timedelta(days=1))) == {"fresh"}
    assert {"sample", "sharpe"} <= unmet(decide(observation=Observation.HOURLY))


def test_a_lower_cap_lowers_at_the_next_decision() -> None:
    tight = LeverageRules(cap=Decimal(4))
    step = decide(leverage="7", rules=tight)
    assert (step.rule, step.to_leverage) == (Rule.CAP, Decimal(4))
    lost = decide(leverage="7", rules=tight, running_return=-0.021, drawdown=0.021)
    assert lost.to_leverage == Decimal(4)


def test_the_last_step_ends_at_the_cap() -> None:
    assert decide(leverage="9.5").to_leverage == Decimal(10)


def test_hourly_returns_are_annualised_as_hours() -> None:
    rules = LeverageRules(observation=Observation.HOURLY, min_observations=14)
    step = decide(rules=rules, observation=Observation.HOURLY, through=AT)
    assert step.inputs["sharpe"] == pytest.approx(0.001 / (math.sqrt(14 / 13) * 0.005) * math.sqrt(8760))
    assert "14 of 14 hours known" in step.reasons


def test_maximum_drawdown_of_a_worked_path() -> None:
    # 1 -> 1.10 -> 0.88 -> 0.968 -> 0.7744: (1.10 - 0.7744) / 1.10 = 29.6 %.
    assert max_drawdown((0.10, -0.20, 0.10, -0.20)) == pytest.approx(0.296)
    assert max_drawdown(()) == 0.0
    assert max_drawdown((-0.05,)) == pytest.approx(0.05)


# --- Bad input ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"returns": ()}, {"sample", "sharpe", "drawdown"}),
        ({"returns": (0.01,)}, {"sample", "sharpe"}),
        ({"returns": (0.001,) * 14}, {"sharpe"}),
        ({"returns": (*GOOD[:-1], math.nan)}, {"sample", "sharpe"}),
        ({"returns": (*GOOD[:-1], None)}, {"sample", "sharpe"}),
        ({"returns": (*GOOD[:-1], math.inf)}, {"sample", "sharpe"}),
        ({"drawdown_frac": None}, {"drawdown"}),
        ({"drawdown_frac": math.nan}, {"drawdown"}),
        ({"drawdown_frac": -0.1}, {"drawdown"}),
        ({"running_return": None}, {"drawdown"}),
        ({"through": None}, {"fresh"}),
    ],
)
def test_what_is_not_known_holds_and_says_so(changes: dict[str, Any], missing: set[str]) -> None:
    step = next_step(RULES, state(), replace(evidence(), **changes))
    assert (step.rule, step.to_leverage) == (Rule.HOLD, Decimal(2))
    assert missing <= unmet(step)
    assert all(step.reasons)


def test_a_gap_leaves_the_sample_after_it() -> None:
    step = decide((*GOOD, math.nan, *GOOD))
    assert step.n == 14 and step.rule is Rule.STEP_UP
    assert decide((*GOOD, None, *GOOD[:5])).n == 5


def test_an_unknown_return_does_not_hide_a_known_drawdown() -> None:
    step = decide((*GOOD[:-1], math.nan), drawdown=0.06, leverage="4")
    assert (step.rule, step.to_leverage) == (Rule.STEP_DOWN, Decimal(2))


@pytest.mark.parametrize(
    "changes",
    [
        {"floor": "3"},
        {"start": "11"},
        {"cap": "10.5"},
        {"cap": "1.5"},
        {"min_observations": 31},
        {"min_observations": 1},
        {"min_sharpe": "0"},
        {"min_sharpe": "NaN"},
        {"max_drawdown_frac": "0"},
        {"max_drawdown_frac": "1.5"},
        {"max_drawdown_frac": "0.06"},
        {"step_down": []},
        {"step_down": [{"measure": "loss", "above_frac": "0.02", "steps": 0}]},
        {"step_down": [{"measure": "luck", "above_frac": "0.02", "steps": 1}]},
        {"step_down": [{"measure": "loss", "above_frac": "0.02", "steps": 1}] * 2},
        {"leverage": "3"},
    ],
)
def test_rules_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LeverageRules.model_validate(changes)


# --- What must hold for any evidence ----------------------------------------------------------------------------
shares = st.one_of(st.none(), st.just(math.nan), st.floats(0, 1.2))
moves = st.one_of(st.none(), st.just(math.nan), st.floats(-0.2, 0.2))


@st.composite
def rule_sets(draw: st.DrawFn) -> LeverageRules:
    floor = Decimal(draw(st.integers(1, 3)))
    cap = floor + draw(st.integers(0, 7))
    fall = Decimal(draw(st.integers(1, 10))) / 100
    downs = (
        StepDown(measure=Measure.LOSS, above_frac=Decimal(draw(st.integers(1, 20))) / 100, over=1, steps=1),
        StepDown(measure=Measure.LOSS, above_frac=Decimal(draw(st.integers(1, 20))) / 100, over=5, steps=2),
        StepDown(measure=Measure.DRAWDOWN, above_frac=fall, steps=draw(st.integers(1, 3))),
        StepDown(measure=Measure.DRAWDOWN, above_frac=fall + Decimal("0.05"), steps=draw(st.integers(1, 10))),
    )
    return LeverageRules(
        start=floor + draw(st.integers(0, int(cap - floor))),
        floor=floor,
        cap=cap,
        step=Decimal(draw(st.sampled_from(["0.25", "0.5", "1", "2"]))),
        window=draw(st.integers(10, 40)),
        min_observations=draw(st.integers(2, 10)),
        min_sharpe=Decimal(draw(st.sampled_from(["0.1", "0.5", "1.5"]))),
        max_drawdown_frac=fall,
        step_up_cooldown_h=draw(st.sampled_from([0, 24])),
        recovery_h=draw(st.sampled_from([0, 48])),
        step_down=downs,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[LeverageRules, LeverageState, Performance]:
    rules = draw(rule_sets())
    keys = [rule.key for rule in rules.step_down]
    ago = st.integers(0, 20 * 24).map(lambda h: AT - timedelta(hours=h))
    here = LeverageState(
        leverage=draw(st.one_of(st.just(rules.start), st.integers(1, 20).map(lambda x: Decimal(x) / 2))),
        at=AT,
        changed_at=draw(st.one_of(st.none(), ago)),
        stepped_down_at=draw(st.one_of(st.none(), ago)),
        answered=draw(st.one_of(st.just({}), st.dictionaries(st.sampled_from(keys), ago, max_size=2))),
        blocked=draw(st.sampled_from([(), (), ("a breach is open",)])),
    )
    # Half of them gain, so that raises are among the cases.
    drift = draw(st.sampled_from([0.0, 0.03]))
    clean = draw(st.booleans())
    returns = draw(st.lists(st.floats(-0.2, 0.2) if clean else moves, min_size=12 if clean else 0, max_size=45))
    shown = Performance(
        returns=tuple(None if x is None else x / 10 + drift for x in returns),
        through=MIDNIGHT if clean else draw(st.sampled_from([MIDNIGHT, MIDNIGHT - timedelta(days=3), None])),
        drawdown_frac=draw(st.one_of(st.just(0.0), shares)),
        running_return=0.0 if clean else draw(moves),
    )
    return rules, here, shown


def test_the_cases_hold_every_kind_of_step() -> None:
    seen: set[Rule] = set()

    @settings(max_examples=400, deadline=None)
    @given(cases())
    def look(case: tuple[LeverageRules, LeverageState, Performance]) -> None:
        seen.add(next_step(*case).rule)

    look()
    assert seen == {Rule.STEP_UP, Rule.STEP_DOWN, Rule.CAP, Rule.HOLD}


ANY = settings(max_examples=400, deadline=None)


@ANY
@given(cases())
def test_never_above_the_cap_nor_lowered_below_the_floor(
    case: tuple[LeverageRules, LeverageState, Performance],
) -> None:
    rules, here, _ = case
    step = next_step(*case)
    assert step.to_leverage <= rules.cap <= HIGHEST_CAP
    assert step.to_leverage >= min(rules.floor, here.leverage)


@ANY
@given(cases())
def test_at_most_one_step_up_and_only_with_everything_met(
    case: tuple[LeverageRules, LeverageState, Performance],
) -> None:
    rules, here, shown = case
    step = next_step(*case)
    assert step == next_step(*case), "the same in, the same out"
    assert step.rule is Rule.HOLD or step.moves
    if step.to_leverage <= here.leverage:
        return
    assert step.rule is Rule.STEP_UP
    assert step.to_leverage - here.leverage <= rules.step
    assert rules.min_observations <= step.n <= shown.n
    assert not here.blocked and not step.unmet
    assert not any(t.fires for t in step.triggers), "a loss never raises"
    assert float(np.mean(list(step.inputs["returns"]))) > 0


@ANY
@given(cases(), st.floats(0, 1), st.floats(0, 1))
def test_a_deeper_drawdown_never_ends_higher(
    case: tuple[LeverageRules, LeverageState, Performance], one: float, other: float
) -> None:
    rules, here, shown = case
    shallow, deep = sorted((one, other))
    a = next_step(rules, here, replace(shown, drawdown_frac=shallow))
    b = next_step(rules, here, replace(shown, drawdown_frac=deep))
    assert b.to_leverage <= a.to_leverage


@ANY
@given(cases(), st.floats(-0.5, 0))
def test_a_loss_in_the_running_day_never_ends_higher(
    case: tuple[LeverageRules, LeverageState, Performance], loss: float
) -> None:
    rules, here, shown = case
    flat = next_step(rules, here, replace(shown, running_return=0.0))
    lost = next_step(rules, here, replace(shown, running_return=loss))
    assert lost.to_leverage <= flat.to_leverage


@ANY
@given(cases(), st.integers(0, 9))
def test_too_small_a_sample_never_raises(case: tuple[LeverageRules, LeverageState, Performance], kept: int) -> None:
    rules, here, shown = case
    few = tuple(x for x in shown.returns if x is not None and math.isfinite(x))[: min(kept, rules.min_observations - 1)]
    assert next_step(rules, here, replace(shown, returns=few)).to_leverage <= here.leverage


@ANY
@given(cases())
def test_what_has_lowered_is_spent_for_the_same_evidence(
    case: tuple[LeverageRules, LeverageState, Performance],
) -> None:
    rules, here, shown = case
    first = next_step(*case)
    after = replace(here, leverage=first.to_leverage, changed_at=AT, stepped_down_at=AT, answered=first.answered)
    if first.rule is Rule.STEP_DOWN:
        assert next_step(rules, after, shown).to_leverage == first.to_leverage
