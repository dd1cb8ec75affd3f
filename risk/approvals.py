"""What of limits, budgets and scenarios passes the gate: every change of them is an approved request.

A re-check says what the action would refuse, and writes nothing; the tables themselves refuse whatever comes without
its request (migration 0007).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from django.db.models import Q
from pydantic import AwareDatetime, Field, field_validator

from compliance.approvals.registry import (
    ActionPayload,
    DisplayedField,
    Target,
    Warrant,
    register_action,
)
from fundops.core import clock
from risk.actions.budgets import SET_BUDGET, check_budget, set_budget
from risk.actions.limits import (
    APPLY_TEMPLATE,
    RETIRE_LIMIT,
    SET_LIMIT,
    apply_template,
    check_limit,
    check_retirement,
    check_template,
    retire_limit,
    set_limit,
)
from risk.actions.stress import SAVE_SCENARIO, check_scenario, save_scenario
from risk.errors import LimitRetiredError, LimitScopeError
from risk.models import CapitalBudget, HardAction, RiskLimit, ScenarioKind, StressScenario
from risk.quant.metrics import Metric, describe
from risk.scenarios import parse_parameters
from risk.templates_of_limits import load_template
from treasury.models import Book

MAY_SET_LIMITS = "risk.set_limit"
MAY_SET_BUDGETS = "risk.set_budget"
MAY_SAVE_SCENARIOS = "risk.save_scenario"

Level = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=38)]


class SetLimit(ActionPayload):
    """One limit of one Book. A level left out limits nothing on that side; dates left out mean from now on."""

    book: str = Field(max_length=400, description="The Book's path.")
    metric: Metric
    soft: Level | None = None
    hard: Level | None = None
    symbol: str = Field(default="", max_length=40)
    venue: str = Field(default="", max_length=40)
    action: HardAction = HardAction.ALERT
    effective_from: AwareDatetime | None = None
    effective_to: AwareDatetime | None = None


def _book(path: str) -> Book:
    book = Book.objects.filter(path=path).first()
    if book is None:
        raise LimitScopeError(f"There is no book {path}. Give its path.", book=path)
    return book


def _named(warrant: Warrant) -> str:
    return f"Approval request {warrant.request_id}"


def _running(payload: SetLimit) -> RiskLimit | None:
    at: datetime = payload.effective_from or clock.now()
    return (
        RiskLimit.objects.in_force(at)
        .filter(book__path=payload.book, metric=payload.metric, symbol=payload.symbol, venue=payload.venue)
        .first()
    )


def _render(payload: SetLimit) -> Sequence[DisplayedField]:
    _book(payload.book)
    now = _running(payload)
    scope = ", ".join(part for part in (payload.symbol, payload.venue) if part) or "all of the book"
    return [
        DisplayedField("Book", payload.book, payload.book),
        DisplayedField("Metric", describe(payload.metric), describe(payload.metric)),
        DisplayedField("Scope", scope, scope),
        DisplayedField("Soft level", _said(now.soft) if now else "no limit", _said(payload.soft)),
        DisplayedField("Hard level", _said(now.hard) if now else "no limit", _said(payload.hard)),
        DisplayedField(
            "On a hard breach",
            str(HardAction(now.action).label) if now else "",
            str(payload.action.label),
        ),
        DisplayedField(
            "From", _when(now.effective_from) if now else "", _when(payload.effective_from) or "its execution"
        ),
        DisplayedField(
            "Until", (_when(now.effective_to) or "changed") if now else "", _when(payload.effective_to) or "changed"
        ),
    ]


def _said(level: Decimal | None) -> str:
    return "none" if level is None else format(level.normalize(), "f")


def _when(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _recheck(payload: SetLimit) -> None:
    check_limit(
        book=_book(payload.book),
        metric=payload.metric,
        soft=payload.soft,
        hard=payload.hard,
        symbol=payload.symbol,
        venue=payload.venue,
        effective_from=payload.effective_from,
        effective_to=payload.effective_to,
    )


def _target(payload: SetLimit) -> Target:
    book = _book(payload.book)
    return Target("treasury.book", str(book.pk), f"{payload.metric.value} of {book.path}")


@register_action(
    kind=SET_LIMIT,
    title="Set a risk limit",
    payload=SetLimit,
    maker_permission=MAY_SET_LIMITS,
    render=_render,
    recheck=_recheck,
    target=_target,
)
def set_limit_as_approved(payload: SetLimit, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the limit in force, in the name of who released the request."""
    limit = set_limit(
        book=_book(payload.book),
        metric=payload.metric,
        soft=payload.soft,
        hard=payload.hard,
        symbol=payload.symbol,
        venue=payload.venue,
        action=payload.action,
        effective_from=payload.effective_from,
        effective_to=payload.effective_to,
        reason=_named(warrant),
        warrant=warrant,
    )
    return {"limit": limit.pk, "effective_from": limit.effective_from}


# --- Retiring -------------------------------------------------------------------------------------------------
class RetireLimit(ActionPayload):
    """One limit, by its number, ended when the request is executed."""

    limit: int = Field(ge=1)


def _limit(payload: RetireLimit) -> RiskLimit:
    limit = RiskLimit.objects.select_related("book").filter(pk=payload.limit).first()
    if limit is None:
        raise LimitRetiredError(f"There is no limit {payload.limit}.", limit=payload.limit)
    return limit


def _render_retirement(payload: RetireLimit) -> Sequence[DisplayedField]:
    limit = _limit(payload)
    scope = ", ".join(part for part in (limit.symbol, limit.venue) if part) or "all of the book"
    return [
        DisplayedField("Book", limit.book.path, limit.book.path),
        DisplayedField("Metric", describe(Metric(limit.metric)), describe(Metric(limit.metric))),
        DisplayedField("Scope", scope, scope),
        DisplayedField("Soft level", _said(limit.soft), "no limit"),
        DisplayedField("Hard level", _said(limit.hard), "no limit"),
        DisplayedField("On a hard breach", str(HardAction(limit.action).label), ""),
        DisplayedField("Until", _when(limit.effective_to) or "further notice", "the execution"),
    ]


def _retirement_target(payload: RetireLimit) -> Target:
    limit = _limit(payload)
    return Target("risk.risklimit", str(limit.pk), f"{limit.metric} of {limit.book.path}")


@register_action(
    kind=RETIRE_LIMIT,
    title="Retire a risk limit",
    payload=RetireLimit,
    maker_permission=MAY_SET_LIMITS,
    render=_render_retirement,
    recheck=lambda payload: check_retirement(_limit(payload)),
    target=_retirement_target,
)
def retire_limit_as_approved(payload: RetireLimit, warrant: Warrant) -> Mapping[str, Any]:
    """Ends the limit."""
    limit = retire_limit(limit=_limit(payload), reason=_named(warrant), warrant=warrant)
    return {"limit": limit.pk, "effective_to": limit.effective_to}


# --- Templates ------------------------------------------------------------------------------------------------
class ApplyTemplate(ActionPayload):
    """A named set of limits for one Book, all or none."""

    book: str = Field(max_length=400, description="The Book's path.")
    template: str = Field(max_length=60)


def _render_template(payload: ApplyTemplate) -> Sequence[DisplayedField]:
    book = _book(payload.book)
    chosen = load_template(payload.template)
    running = {
        limit.metric: limit for limit in RiskLimit.objects.in_force(clock.now()).filter(book=book, symbol="", venue="")
    }
    fields = [
        DisplayedField("Book", book.path, book.path),
        DisplayedField("Set", "", f"{payload.template}: {chosen.title}"),
    ]
    for x in chosen.limits:
        now = running.get(x.metric.value)
        fields.append(
            DisplayedField(
                describe(x.metric),
                _levels(now.soft, now.hard, HardAction(now.action)) if now else "no limit",
                _levels(x.soft, x.hard, x.action),
            )
        )
    return fields


def _levels(soft: Decimal | None, hard: Decimal | None, action: HardAction) -> str:
    return f"soft {_said(soft)}, hard {_said(hard)}, {action.label}"


def _template_target(payload: ApplyTemplate) -> Target:
    book = _book(payload.book)
    return Target("treasury.book", str(book.pk), f"{payload.template} limits of {book.path}")


@register_action(
    kind=APPLY_TEMPLATE,
    title="Apply a set of risk limits",
    payload=ApplyTemplate,
    maker_permission=MAY_SET_LIMITS,
    render=_render_template,
    recheck=lambda payload: check_template(book=_book(payload.book), template=payload.template),
    target=_template_target,
)
def apply_template_as_approved(payload: ApplyTemplate, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the whole set in force."""
    made = apply_template(book=_book(payload.book), template=payload.template, reason=_named(warrant), warrant=warrant)
    return {"limits": [limit.pk for limit in made]}


# --- Budgets --------------------------------------------------------------------------------------------------
class SetBudget(ActionPayload):
    """The capital of one Book in the fund's base asset, and the share of the risk it may carry."""

    book: str = Field(max_length=400, description="The Book's path.")
    capital: Level
    risk_share_frac: Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


def _render_budget(payload: SetBudget) -> Sequence[DisplayedField]:
    book = _book(payload.book)
    at = clock.now()
    running = CapitalBudget.objects.filter(Q(effective_to=None) | Q(effective_to__gt=at), effective_from__lte=at)
    now = running.filter(book=book).first()
    share = None if now is None or now.risk_share_frac is None else Decimal(repr(now.risk_share_frac))
    return [
        DisplayedField("Book", book.path, book.path),
        DisplayedField("Capital", _said(now.capital) if now else "no budget", _said(payload.capital)),
        DisplayedField("Share of the risk", _said(share) if now else "no budget", _said(payload.risk_share_frac)),
    ]


def _share(payload: SetBudget) -> float | None:
    return None if payload.risk_share_frac is None else float(payload.risk_share_frac)


def _budget_target(payload: SetBudget) -> Target:
    book = _book(payload.book)
    return Target("treasury.book", str(book.pk), f"budget of {book.path}")


@register_action(
    kind=SET_BUDGET,
    title="Set a capital budget",
    payload=SetBudget,
    maker_permission=MAY_SET_BUDGETS,
    render=_render_budget,
    recheck=lambda payload: check_budget(
        book=_book(payload.book), capital=payload.capital, risk_share_frac=_share(payload)
    ),
    amount=lambda payload: payload.capital,
    target=_budget_target,
)
def set_budget_as_approved(payload: SetBudget, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the budget in force."""
    budget = set_budget(
        book=_book(payload.book),
        capital=payload.capital,
        risk_share_frac=_share(payload),
        reason=_named(warrant),
        warrant=warrant,
    )
    return {"budget": budget.pk, "effective_from": budget.effective_from}


# --- Scenarios ------------------------------------------------------------------------------------------------
class SaveScenario(ActionPayload):
    """A stress scenario with its tolerance, a loss beyond which acts; figures in it are written as text."""

    code: str = Field(pattern=r"^[-a-zA-Z0-9_]{1,60}$")
    name: str = Field(min_length=1, max_length=120)
    scenario: ScenarioKind
    parameters: dict[str, Any] = Field(default_factory=dict)
    max_loss_frac: Annotated[Decimal, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    is_active: bool = True

    @field_validator("parameters", mode="before")
    @classmethod
    def _exact(cls, value: Any) -> Any:
        return _without_floats(value)


def _without_floats(value: Any) -> Any:
    """Floats by their shortest form as text: what is signed holds none."""
    match value:
        case float():
            return repr(value)
        case dict():
            return {key: _without_floats(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_without_floats(inner) for inner in value]
    return value


def _scenario_parameters(payload: SaveScenario) -> dict[str, Any]:
    found: dict[str, Any] = parse_parameters(payload.scenario, payload.parameters).model_dump(
        mode="json", exclude_unset=True
    )
    return found


def _tolerance(payload: SaveScenario) -> float | None:
    return None if payload.max_loss_frac is None else float(payload.max_loss_frac)


def _render_scenario(payload: SaveScenario) -> Sequence[DisplayedField]:
    now = StressScenario.objects.filter(code=payload.code).first()
    tolerated = None if now is None or now.max_loss_frac is None else Decimal(repr(now.max_loss_frac))
    return [
        DisplayedField("Code", now.code if now else "", payload.code),
        DisplayedField("Name", now.name if now else "", payload.name),
        DisplayedField(
            "Kind", str(ScenarioKind(now.kind).label) if now else "", str(ScenarioKind(payload.scenario).label)
        ),
        DisplayedField("Parameters", _listed(now.parameters) if now else "", _listed(_scenario_parameters(payload))),
        DisplayedField("Tolerated loss", _said(tolerated) if now else "", _said(payload.max_loss_frac)),
        DisplayedField("Runs", _yes(now.is_active) if now else "", _yes(payload.is_active)),
    ]


def _listed(parameters: Mapping[str, Any]) -> str:
    return "; ".join(f"{key} {value}" for key, value in sorted(parameters.items())) or "none"


def _yes(flag: bool) -> str:  # noqa: FBT001 - says it in words
    return "yes" if flag else "no"


def _recheck_scenario(payload: SaveScenario) -> None:
    check_scenario(kind=payload.scenario, parameters=_scenario_parameters(payload), max_loss_frac=_tolerance(payload))


@register_action(
    kind=SAVE_SCENARIO,
    title="Add or change a stress scenario",
    payload=SaveScenario,
    maker_permission=MAY_SAVE_SCENARIOS,
    render=_render_scenario,
    recheck=_recheck_scenario,
    target=lambda payload: Target("risk.stressscenario", payload.code, payload.name),
)
def save_scenario_as_approved(payload: SaveScenario, warrant: Warrant) -> Mapping[str, Any]:
    """Creates or changes the scenario of that code."""
    scenario = save_scenario(
        code=payload.code,
        name=payload.name,
        kind=payload.scenario,
        parameters=_scenario_parameters(payload),
        max_loss_frac=_tolerance(payload),
        is_active=payload.is_active,
        warrant=warrant,
    )
    return {"scenario": scenario.code}
