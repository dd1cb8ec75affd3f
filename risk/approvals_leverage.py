"""What passes the gate of leverage and overrides: their two policies, and every override itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field

from compliance.approvals.canonical import plain
from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from compliance.selectors_approvals import policy_in_force as gate_policy_in_force
from fundops.core import clock
from risk.actions.leverage import SET_LEVERAGE_POLICY, set_leverage_policy
from risk.actions.overrides import (
    OVERRIDE_GUARDRAIL,
    SET_OVERRIDE_POLICY,
    SIGNERS,
    AskedOverride,
    check_override,
    grant_override,
    limit_to_override,
    set_override_policy,
)
from risk.errors import LeveragePolicyError, OverridePolicyError, OverrideRefusedError
from risk.leverage import policy_in_force
from risk.models import StopCause
from risk.overrides import OverrideRules, override_policy_in_force, read_override_rules
from risk.quant.leverage import LeverageRules
from risk.quant.metrics import Metric, describe
from treasury.models import Book

Level = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=38)]


class SetLeveragePolicy(LeverageRules, ActionPayload):
    """The next version of the rules by which leverage is stepped up and down."""

    def rules(self) -> LeverageRules:
        return LeverageRules.model_validate(self.model_dump())


class SetOverridePolicy(OverrideRules, ActionPayload):
    """The next version of what overrides of guardrails may do."""

    def rules(self) -> OverrideRules:
        return read_override_rules(self.model_dump())


class OverrideGuardrail(ActionPayload):
    """One hard limit at another level, or one trigger of the kill switch silent, until a time."""

    book: str = Field(max_length=400, description="The Book's path.")
    metric: Metric | None = Field(default=None, description="Whose limit on this very Book is loosened.")
    symbol: str = Field(default="", max_length=40, description="The limit's symbol, if it has one.")
    venue: str = Field(default="", max_length=40, description="The limit's venue, if it has one.")
    level: Level | None = Field(default=None, description="The hard level meanwhile.")
    trigger: StopCause | None = Field(default=None, description="Or: the trigger that is silent meanwhile.")
    starts_at: AwareDatetime | None = Field(default=None, description="Left out: as soon as it is executed.")
    ends_at: AwareDatetime = Field(description="It reverts by itself at this time.")

    def asked(self) -> AskedOverride:
        book = Book.objects.filter(path=self.book).first()
        if book is None:
            raise OverrideRefusedError(f"There is no book {self.book}. Give its path.", book=self.book)
        return AskedOverride(
            book, self.ends_at, self.starts_at, self.metric, self.symbol, self.venue, self.level, self.trigger
        )


def differences(now: BaseModel | None, then: BaseModel) -> list[DisplayedField]:
    """Every field of a policy as it is and as it would be, in the order of the policy."""
    before = {} if now is None else plain(now.model_dump(mode="python"))
    after = plain(then.model_dump(mode="python"))
    return [
        DisplayedField(name.replace("_", " ").capitalize(), _said(before.get(name)), _said(after[name]))
        for name in after
    ]


def _said(value: Any) -> str:
    match value:
        case None:
            return ""
        case list():
            return "; ".join(_said(item) for item in value) or "none"
        case dict():
            return ", ".join(f"{key.replace('_', ' ')} {_said(inner)}" for key, inner in value.items())
    return str(value)


def _version(version: int | None) -> DisplayedField:
    return DisplayedField("Version", "none" if version is None else str(version), str((version or 0) + 1))


def _render_leverage(payload: SetLeveragePolicy) -> Sequence[DisplayedField]:
    now = policy_in_force()
    return [_version(now and now[0].version), *differences(now and now[1], payload.rules())]


def _recheck_leverage(payload: SetLeveragePolicy) -> None:
    now = policy_in_force()
    if now is not None and now[1] == payload.rules():
        raise LeveragePolicyError("These are the rules in force already. Change something.")


@register_action(
    kind=SET_LEVERAGE_POLICY,
    title="Set the leverage policy",
    payload=SetLeveragePolicy,
    maker_permission=SET_LEVERAGE_POLICY,
    render=_render_leverage,
    recheck=_recheck_leverage,
    target=lambda _payload: Target("risk.leveragepolicy", "", "Leverage policy"),
)
def set_leverage_policy_as_approved(payload: SetLeveragePolicy, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the next version in force; Books follow at their next decision."""
    document = plain(payload.model_dump(mode="python"))
    policy = set_leverage_policy(rules=payload.rules(), document=document, warrant=warrant)
    return {"policy": policy.pk, "version": policy.version}


def _render_overrides(payload: SetOverridePolicy) -> Sequence[DisplayedField]:
    now = override_policy_in_force()
    return [_version(now and now[0].version), *differences(now and now[1], payload.rules())]


def _recheck_overrides(payload: SetOverridePolicy) -> None:
    now = override_policy_in_force()
    if now is not None and now[1] == payload.rules():
        raise OverridePolicyError("These are the rules in force already. Change something.")


@register_action(
    kind=SET_OVERRIDE_POLICY,
    title="Set the policy for overrides",
    payload=SetOverridePolicy,
    maker_permission=SET_OVERRIDE_POLICY,
    render=_render_overrides,
    recheck=_recheck_overrides,
    target=lambda _payload: Target("risk.overridepolicy", "", "Policy for overrides"),
)
def set_override_policy_as_approved(payload: SetOverridePolicy, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the next version in force; overrides that run keep the one they were granted under."""
    document = plain(payload.model_dump(mode="python"))
    policy = set_override_policy(rules=payload.rules(), document=document, warrant=warrant)
    return {"policy": policy.pk, "version": policy.version}


def _render_override(payload: OverrideGuardrail) -> Sequence[DisplayedField]:
    asked = payload.asked()
    fields = [DisplayedField("Book", asked.book.path, asked.book.path)]
    if asked.metric is not None:
        limit = limit_to_override(asked, at=asked.starts_at or clock.now())
        scope = ", ".join(part for part in (asked.symbol, asked.venue) if part) or "all of the book"
        hard = None if limit is None else limit.hard
        fields += [
            DisplayedField("Limit", describe(asked.metric), describe(asked.metric)),
            DisplayedField("Scope", scope, scope),
            DisplayedField("Hard level", _level(hard), _level(asked.level)),
        ]
    if asked.trigger is not None:
        said = str(StopCause(asked.trigger).label)
        fields.append(DisplayedField("Trigger of the kill switch", f"{said}: stops trading", f"{said}: silent"))
    return [
        *fields,
        DisplayedField("From", "", "its execution" if asked.starts_at is None else _when(asked.starts_at)),
        DisplayedField("Until, by itself", "", _when(asked.ends_at)),
    ]


def _level(level: Decimal | None) -> str:
    return "none" if level is None else format(level.normalize(), "f")


def _when(at: AwareDatetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _recheck_override(payload: OverrideGuardrail) -> None:
    check_override(payload.asked(), at=clock.now())
    _, gate = gate_policy_in_force(OVERRIDE_GUARDRAIL)
    asked_for = gate.band_for(None).quorum
    if any(role not in asked_for for role in SIGNERS):
        raise OverrideRefusedError(
            "The approval policy for overrides must ask for a risk officer and an operations officer. Change it first."
        )


def _override_target(payload: OverrideGuardrail) -> Target:
    book = payload.asked().book
    what = payload.trigger.value if payload.trigger else (payload.metric.value if payload.metric else "")
    return Target("treasury.book", str(book.pk), f"{what} of {book.path}")


@register_action(
    kind=OVERRIDE_GUARDRAIL,
    title="Override a guardrail for a while",
    payload=OverrideGuardrail,
    maker_permission=OVERRIDE_GUARDRAIL,
    render=_render_override,
    recheck=_recheck_override,
    target=_override_target,
)
def override_guardrail_as_approved(payload: OverrideGuardrail, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the override in force for its time."""
    made = grant_override(asked=payload.asked(), warrant=warrant)
    return {"override": made.pk, "starts_at": made.starts_at, "ends_at": made.ends_at}
