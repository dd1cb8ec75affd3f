"""The restricted list and the flags of screening: putting on at once, taking off through the gate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from pydantic import Field

from compliance.approvals.refusals import refusals
from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from compliance.models.screening import (
    FlagSeverity,
    FlagState,
    RestrictedInstrument,
    RestrictionLevel,
    ScreeningFlag,
    ScreeningPolicy,
    ScreeningRule,
)
from compliance.payloads import encode_payload
from compliance.screening.errors import FlagError, RestrictionError, ScreeningPolicyError
from compliance.screening.policy import ScreeningRules
from compliance.selectors_screening import rules_in_force
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require

RESTRICT = "compliance.restrict_instrument"
DECIDE_FLAG = "compliance.decide_flag"
TOPIC = "screening"


def restrict_instrument(
    *,
    symbol: str,
    level: RestrictionLevel,
    reason: str,
    venue: str = "",
    reference: str = "",
    effective_from: datetime | None = None,
    actor: User,
) -> RestrictedInstrument:
    """Puts an instrument on the list, from now on or from a later moment; every Book obeys it with its next order.

    Raises RestrictionError for an empty symbol or reason, a past beginning, the same entry twice, and a close-only
    entry for one venue (positions are closed wherever they are held).
    """
    require(actor, RESTRICT)
    symbol, venue, reason = symbol.strip().upper(), venue.strip().lower(), reason.strip()
    if not symbol or not reason:
        raise RestrictionError("Say which instrument, and why.")
    if level is RestrictionLevel.CLOSE_ONLY and venue:
        raise RestrictionError("Close-only holds at every venue: leave the venue out, or choose no trading.")
    now = clock.now()
    if effective_from is not None and effective_from < now:
        raise RestrictionError("A restriction begins now or later: change the date.")
    with transaction.atomic():
        _one_at_a_time()
        if RestrictedInstrument.objects.filter(symbol=symbol, venue=venue, level=level, lifted_at=None).exists():
            raise RestrictionError(f"{symbol} is on the list at this level already.")
        entry = RestrictedInstrument.objects.create(
            symbol=symbol,
            venue=venue,
            level=level,
            reason=reason,
            reference=reference.strip(),
            effective_from=effective_from or now,
            restricted_by=actor,
        )
        publish(
            "compliance.instrument.restricted",
            actor=actor,
            obj=entry,
            payload={
                "symbol": symbol,
                "venue": venue,
                "level": level.value,
                "reason": reason,
                "effective_from": entry.effective_from,
            },
            topics=[TOPIC],
        )
    return entry


def _one_at_a_time() -> None:
    """Two officers at once must not put the same entry on the list twice: the second waits and is told."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('compliance.restricted_list'))")


class LiftRestriction(ActionPayload):
    """Takes one entry off the restricted list."""

    restriction: int = Field(ge=1, description="The entry's number on the list.")


def _entry(payload: LiftRestriction) -> RestrictedInstrument:
    entry = RestrictedInstrument.objects.filter(pk=payload.restriction).first()
    if entry is None:
        raise RestrictionError(f"There is no entry {payload.restriction} on the restricted list.")
    return entry


def _render_lift(payload: LiftRestriction) -> Sequence[DisplayedField]:
    entry = _entry(payload)
    lifted = "" if entry.lifted_at is None else f"lifted {entry.lifted_at:%Y-%m-%d %H:%M} UTC"
    return [
        DisplayedField("Instrument", entry.symbol, entry.symbol),
        DisplayedField("Venue", entry.venue or "every venue", entry.venue or "every venue"),
        DisplayedField("Restriction", lifted or str(entry.get_level_display()), "none"),
        DisplayedField("On the list because", entry.reason, ""),
        DisplayedField("It rests on", entry.reference, ""),
        DisplayedField("Since", f"{entry.effective_from:%Y-%m-%d %H:%M} UTC", ""),
    ]


def _recheck_lift(payload: LiftRestriction) -> None:
    entry = _entry(payload)
    if entry.lifted_at is not None:
        raise RestrictionError(f"{entry.symbol} was taken off the list on {entry.lifted_at:%Y-%m-%d %H:%M} UTC.")


def _target_lift(payload: LiftRestriction) -> Target:
    entry = _entry(payload)
    return Target("compliance.restrictedinstrument", str(entry.pk), str(entry))


@register_action(
    kind="compliance.lift_restriction",
    title="Take an instrument off the restricted list",
    payload=LiftRestriction,
    maker_permission="compliance.lift_restriction",
    render=_render_lift,
    recheck=_recheck_lift,
    target=_target_lift,
)
def lift_restriction(payload: LiftRestriction, warrant: Warrant) -> Mapping[str, Any]:
    """The entry ends now."""
    with refusals():
        entry = RestrictedInstrument.objects.select_for_update().get(pk=payload.restriction)
        entry.lifted_at, entry.lifted_by_request_id = clock.now(), warrant.request_id
        entry.save(update_fields=["lifted_at", "lifted_by_request"])
    publish(
        "compliance.restriction.lifted",
        actor=warrant.actor,
        obj=entry,
        payload={"symbol": entry.symbol, "venue": entry.venue, "level": entry.level},
        topics=[TOPIC],
    )
    return {"restriction": entry.pk, "lifted_at": entry.lifted_at}


class SetScreeningPolicy(ActionPayload):
    """The next version of the rules against prohibited tactics."""

    rules: ScreeningRules


def _render_rules(payload: SetScreeningPolicy) -> Sequence[DisplayedField]:
    version, now = rules_in_force()
    before, after = (_flat(rules.model_dump(mode="json")) for rules in (now, payload.rules))
    fields = [DisplayedField("Version", str(version) if version else "as shipped", str(version + 1))]
    return fields + [DisplayedField(_said(name), before[name], after[name]) for name in after]


def _flat(rules: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {f"{rule}.{name}": str(value) for rule, values in rules.items() for name, value in values.items()}


def _said(name: str) -> str:
    rule, _, field = name.partition(".")
    return f"{ScreeningRule(rule).label}: {field.replace('_', ' ')}"


def _recheck_rules(payload: SetScreeningPolicy) -> None:
    if payload.rules == rules_in_force()[1]:
        raise ScreeningPolicyError("These rules are in force already. Change something.")


@register_action(
    kind="compliance.set_screening_policy",
    title="Change the rules against prohibited tactics",
    payload=SetScreeningPolicy,
    maker_permission="compliance.propose_screening_policy",
    render=_render_rules,
    recheck=_recheck_rules,
)
def set_screening_policy(payload: SetScreeningPolicy, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the next version in force."""
    version = rules_in_force()[0] + 1
    policy = ScreeningPolicy.objects.create(
        version=version,
        document=payload.rules.model_dump(mode="json"),
        request_id=warrant.request_id,
        created_at=clock.now(),
    )
    publish(
        "compliance.screening_policy.set",
        actor=warrant.actor,
        obj=policy,
        payload={"version": version, "rules": policy.document},
        topics=[TOPIC],
    )
    return {"policy": policy.pk, "version": version}


def raise_flag(
    *,
    key: str,
    rule: ScreeningRule,
    severity: FlagSeverity,
    subject: str,
    finding: str,
    evidence: Mapping[str, Any],
    book_path: str = "",
    symbol: str = "",
    venue: str = "",
    actor: User | None = None,
) -> ScreeningFlag:
    """Keeps what a rule found, once for each ``key``; raised again it is the same flag."""
    with transaction.atomic():
        flag, made = ScreeningFlag.objects.get_or_create(
            key=key[:160],
            defaults={
                "rule": rule,
                "severity": severity,
                "subject": subject[:200],
                "book_path": book_path,
                "symbol": symbol,
                "venue": venue,
                "finding": finding[:400],
                "evidence": json.loads(encode_payload(evidence)),
                "opened_at": clock.now(),
            },
        )
        if made:
            publish(
                "compliance.flag.raised",
                actor=actor,
                obj=flag,
                payload={
                    "rule": flag.rule,
                    "severity": flag.severity,
                    "subject": flag.subject,
                    "finding": flag.finding,
                },
                topics=[TOPIC],
            )
    return flag


def decide_flag(*, flag: ScreeningFlag, state: FlagState, note: str, actor: User) -> ScreeningFlag:
    """Clears a flag, or escalates it, with the reason; an escalated one can still be cleared."""
    require(actor, DECIDE_FLAG)
    if state is FlagState.OPEN:
        raise FlagError("A flag is cleared or escalated.")
    if not note.strip():
        raise FlagError("Say why: the note is what an auditor reads.")
    with transaction.atomic():
        held = ScreeningFlag.objects.select_for_update().get(pk=flag.pk)
        if held.state == FlagState.CLEARED:
            raise FlagError(f"This flag was cleared on {held.decided_at:%Y-%m-%d %H:%M} UTC.")
        held.state, held.note, held.decided_by, held.decided_at = state, note.strip()[:1000], actor, clock.now()
        held.save(update_fields=["state", "note", "decided_by", "decided_at"])
        publish(
            f"compliance.flag.{state.value}",
            actor=actor,
            obj=held,
            payload={"rule": held.rule, "subject": held.subject, "note": held.note},
            topics=[TOPIC],
        )
    return held
