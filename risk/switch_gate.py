"""What of the kill switch passes the gate: the way back (`risk.restore_trading`), and the rules of the triggers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, model_validator

from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from compliance.models import ApprovalRequest
from fundops.core import clock
from fundops.core.events import publish
from risk.actions.switches import check_restore, restore_switch, switch_label
from risk.errors import SwitchRestoreError, TriggerPolicyError
from risk.models import BreachStatus, KillSwitch, LimitBreach, StopCause, TriggerPolicy
from risk.models.limits import BreachLevel
from risk.models.switches import TRIGGERS
from risk.quant.pretrade import TradingMode
from risk.switch_triggers import rules_in_force, shown, would_stop_again
from treasury.models import Book

RESTORE = "risk.restore_trading"
SET_TRIGGER = "risk.set_trigger_policy"
COUNTED = (StopCause.ERROR_BURST, StopCause.STRESS)


class RestoreTrading(ActionPayload):
    """One switch, the stop it answers (its version), and the mode to go to. A stop in between voids it."""

    switch: int = Field(gt=0)
    version: int = Field(gt=0)
    mode: TradingMode = TradingMode.ACTIVE


def restore_payload(switch: KillSwitch, mode: TradingMode = TradingMode.ACTIVE) -> dict[str, Any]:
    """What to propose to bring this switch back from the stop that holds now."""
    return {"switch": switch.pk, "version": switch.version, "mode": mode.value}


def _switch(payload: RestoreTrading) -> KillSwitch:
    found = KillSwitch.objects.select_related("book", "changed_by").filter(pk=payload.switch).first()
    if found is None:
        raise SwitchRestoreError("There is no such switch. Choose one from the list.", switch=payload.switch)
    return found


def _render_restore(payload: RestoreTrading) -> Sequence[DisplayedField]:
    switch = _switch(payload)
    again = "; ".join(sorted(r.name for r in would_stop_again(switch.book, switch.venue))) or "none"
    stopped = f"{switch.changed_by or 'the system'}, {switch.changed_at:%Y-%m-%d %H:%M:%S} UTC"
    return [
        DisplayedField("Trading of", switch_label(switch), switch_label(switch)),
        DisplayedField("Mode", switch.mode, payload.mode.value),
        DisplayedField("Stopped by", stopped, ""),
        DisplayedField("Why", f"{switch.get_cause_display()}: {switch.reason}", ""),
        DisplayedField("Triggers that fire still", "", again),
        DisplayedField("Hard breaches still open", "", _breaches(switch)),
    ]


def _breaches(switch: KillSwitch) -> str:
    """By name and not by value: what is signed must stand still while figures move."""
    running = LimitBreach.objects.filter(level=BreachLevel.HARD).exclude(status=BreachStatus.CLOSED)
    if switch.book is not None:
        running = running.filter(book__in=Book.objects.below(switch.book))
    found = running.exclude(actions__in=[[], ["alert"]]).select_related("book")
    return "; ".join(sorted({f"{b.get_metric_display()} of {b.book.path}" for b in found})) or "none"


def _recheck_restore(payload: RestoreTrading) -> None:
    check_restore(_switch(payload), version=payload.version, mode=payload.mode)


def _target_restore(payload: RestoreTrading) -> Target:
    return Target("risk.killswitch", str(payload.switch), switch_label(_switch(payload)))


@register_action(
    kind=RESTORE,
    title="Restore trading",
    payload=RestoreTrading,
    maker_permission="risk.propose_restore",
    render=_render_restore,
    recheck=_recheck_restore,
    target=_target_restore,
)
def restore_trading(payload: RestoreTrading, warrant: Warrant) -> Mapping[str, Any]:
    """Loosens the switch, in the name of who released the request."""
    asked = ApprovalRequest.objects.only("reason").get(pk=warrant.request_id)
    switch = restore_switch(
        switch_id=payload.switch,
        version=payload.version,
        mode=payload.mode,
        request_id=warrant.request_id,
        actor=warrant.actor,
        reason=asked.reason or "Restored by approval",
    )
    return {"switch": switch.pk, "version": switch.version, "mode": switch.mode}


# --- The triggers' rules -----------------------------------------------------------------------------------------
class SetTriggerPolicy(ActionPayload):
    """The rule of one trigger, for one Book and all below it, or (without one) where no Book has its own."""

    cause: StopCause
    book: str = Field(default="", max_length=400, description="The Book's path; empty for all.")
    threshold: Annotated[Decimal, Field(ge=0, lt=10**10, allow_inf_nan=False, decimal_places=8)]
    window_s: Annotated[int, Field(gt=0, le=86_400)] | None = None
    mode: TradingMode = TradingMode.HALTED
    enabled: bool = True

    @model_validator(mode="after")
    def _makes_sense(self) -> SetTriggerPolicy:
        if self.cause not in TRIGGERS:
            raise ValueError(f"'{self.cause}' is no trigger")
        if self.mode is TradingMode.ACTIVE:
            raise ValueError("a trigger reduces or halts; switch it off with enabled=false")
        if (self.cause in COUNTED) != (self.window_s is not None):
            raise ValueError("error_burst and stress look back over window_s, the others have none")
        if self.cause in (StopCause.DRAWDOWN, StopCause.DAILY_LOSS) and not 0 < self.threshold <= 1:
            raise ValueError("a share of equity above 0, up to 1")
        return self


def _book(payload: SetTriggerPolicy) -> Book | None:
    if not payload.book:
        return None
    book = Book.objects.filter(path=payload.book).first()
    if book is None:
        raise TriggerPolicyError(f"There is no book {payload.book}. Give its path.", book=payload.book)
    if not book.is_open:
        raise TriggerPolicyError(f"Book {payload.book} is closed; nothing trades there.", book=payload.book)
    return book


def _render_trigger(payload: SetTriggerPolicy) -> Sequence[DisplayedField]:
    _book(payload)
    now = rules_in_force().of(payload.cause, payload.book)
    scope = payload.book or "every Book without a rule of its own"
    whence = "as shipped" if now.version == 0 else f"version {now.version} of {now.book_path or 'all'}"
    seconds = {w: "" if w is None else f"{w} s" for w in (now.window_s, payload.window_s)}
    return [
        DisplayedField("Trigger", payload.cause.label, payload.cause.label),
        DisplayedField("For", scope, scope),
        DisplayedField("In force", whence, "this one"),
        DisplayedField(
            "Threshold", shown(payload.cause, now.threshold), shown(payload.cause, float(payload.threshold))
        ),
        DisplayedField("Looks back", seconds[now.window_s], seconds[payload.window_s]),
        DisplayedField("Then", now.mode.value, payload.mode.value),
        DisplayedField("Switched on", "yes" if now.enabled else "no", "yes" if payload.enabled else "no"),
    ]


def _recheck_trigger(payload: SetTriggerPolicy) -> None:
    _book(payload)


def _target_trigger(payload: SetTriggerPolicy) -> Target:
    book = _book(payload)
    label = f"{payload.cause.label} of {payload.book or 'every Book'}"
    return Target("treasury.book" if book else "risk.triggerpolicy", str(book.pk) if book else payload.cause, label)


@register_action(
    kind=SET_TRIGGER,
    title="Set a trigger of the kill switch",
    payload=SetTriggerPolicy,
    maker_permission="risk.set_trigger_policy",
    render=_render_trigger,
    recheck=_recheck_trigger,
    target=_target_trigger,
)
def set_trigger_policy(payload: SetTriggerPolicy, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the rule in force as the next version of its cause and Book."""
    book = _book(payload)
    before = TriggerPolicy.objects.filter(cause=payload.cause, book=book).order_by("-version").first()
    policy = TriggerPolicy.objects.create(
        cause=payload.cause,
        book=book,
        version=1 if before is None else before.version + 1,
        threshold=payload.threshold,
        window_s=payload.window_s,
        mode=payload.mode,
        enabled=payload.enabled,
        request_id=warrant.request_id,
        created_at=clock.now(),
    )
    publish(
        "risk.trigger.set",
        actor=warrant.actor,
        obj=policy,
        payload={
            "cause": payload.cause,
            "book": payload.book,
            "version": policy.version,
            "threshold": payload.threshold,
            "window_s": payload.window_s,
            "mode": payload.mode,
            "enabled": payload.enabled,
            "request": str(warrant.request_id),
        },
        topics=["risk"],
    )
    return {"policy": policy.pk, "version": policy.version}
