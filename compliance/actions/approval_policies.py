"""Policies are made by the gate itself: changing the rules is an action like any other, under rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from pydantic import Field, model_validator

from compliance.approvals.canonical import digest
from compliance.approvals.errors import PolicyError, PolicyMissingError
from compliance.approvals.policy import FOUNDING, SET_POLICY, Band, PolicyDocument
from compliance.approvals.registry import (
    ActionPayload,
    DisplayedField,
    Target,
    Warrant,
    action_for,
    register_action,
)
from compliance.models import ApprovalPolicy
from compliance.selectors_approvals import policy_in_force
from fundops.core import clock
from fundops.core.events import publish


class SetPolicy(ActionPayload):
    """The next version of the rules for one kind of action, or for several at once (a founding, a reform)."""

    document: PolicyDocument
    also: tuple[PolicyDocument, ...] = Field(default=(), max_length=200)

    @property
    def documents(self) -> tuple[PolicyDocument, ...]:
        return (self.document, *self.also)

    @model_validator(mode="after")
    def _each_once(self) -> SetPolicy:
        kinds = [document.kind for document in self.documents]
        if doubled := {kind for kind in kinds if kinds.count(kind) > 1}:
            raise ValueError(f"two sets of rules for {', '.join(sorted(doubled))}: keep one")
        return self


def found_policy() -> ApprovalPolicy | None:
    """Makes the very first policy, for the change of policies; None when there are policies already.

    Called when the first change is submitted, so that an installation needs no step of its own.
    """
    with transaction.atomic():
        if ApprovalPolicy.objects.exists():
            return None
        policy = _save(FOUNDING, version=1, request_id=None)
        publish(
            "compliance.policy.founded",
            actor=None,
            obj=policy,
            payload={"kind": policy.kind, "version": 1, "sha256": policy.sha256},
            topics=["approvals"],
        )
    return policy


def _render(payload: SetPolicy) -> Sequence[DisplayedField]:
    if not payload.also:
        return _render_one(payload.document)
    # Of several, each line says whose rules it is about.
    return [
        DisplayedField(f"{document.kind}: {field.label.lower()}", field.now, field.then)
        for document in payload.documents
        for field in _render_one(document)[1:]
    ]


def _render_one(document: PolicyDocument) -> Sequence[DisplayedField]:
    version, now = _present(document.kind)
    name = f"{action_for(document.kind).title} ({document.kind})"
    fields = [
        DisplayedField("Rules for", name, name),
        DisplayedField("Version", str(version) if version else "none", str(version + 1)),
    ]
    before = now.bands if now else ()
    fields += [
        DisplayedField(
            f"Band {place + 1}",
            _said(before[place]) if place < len(before) else "",
            _said(document.bands[place]) if place < len(document.bands) else "",
        )
        for place in range(max(len(before), len(document.bands)))
    ]
    return fields


def _said(band: Band) -> str:
    upto = "any amount" if band.below is None else f"below {band.below:f}"
    quorum = " and ".join(f"{number} {role.value}" for role, number in sorted(band.quorum.items()))
    proofs = "; ".join(
        f"{role.value} by {' or '.join(kind.value for kind in band.proofs_of(role))}" for role in sorted(band.quorum)
    )
    glass = (
        f"glass broken by {' or '.join(role.value for role in band.break_glass.roles)}, "
        f"reviewed within {band.break_glass.review_within_h} h"
        if band.break_glass
        else "no breaking of the glass"
    )
    releasers = " or ".join(role.value for role in band.releasers)
    return f"{upto}: {quorum}; {proofs}; released by {releasers}; expires after {band.expires_h} h; {glass}"


def _recheck(payload: SetPolicy) -> None:
    for document in payload.documents:
        action_for(document.kind)
        _, now = _present(document.kind)
        if now == document:
            raise PolicyError(f"These rules for {document.kind} are in force already. Change something.")
        if document.kind == SET_POLICY and any(sum(band.quorum.values()) < 2 for band in document.bands):
            raise PolicyError("Changing policies takes two votes at least: raise the quorum.")


def _present(kind: str) -> tuple[int, PolicyDocument | None]:
    try:
        policy, document = policy_in_force(kind)
    except PolicyMissingError:
        return 0, None
    return policy.version, document


def _target(payload: SetPolicy) -> Target:
    more = f" and {len(payload.also)} more" if payload.also else ""
    return Target("compliance.approvalpolicy", payload.document.kind, f"Policy for {payload.document.kind}{more}")


@register_action(
    kind=SET_POLICY,
    title="Change an approval policy",
    payload=SetPolicy,
    maker_permission="compliance.propose_policy",
    render=_render,
    recheck=_recheck,
    target=_target,
)
def set_policy(payload: SetPolicy, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the next version in force, of each set of rules."""
    made = []
    for document in payload.documents:
        version, _ = _present(document.kind)
        policy = _save(document, version=version + 1, request_id=warrant.request_id)
        publish(
            "compliance.policy.set",
            actor=warrant.actor,
            obj=policy,
            payload={"kind": policy.kind, "version": policy.version, "sha256": policy.sha256},
            topics=["approvals"],
        )
        made.append({"policy": policy.pk, "kind": policy.kind, "version": policy.version})
    return {"policies": made}


def _save(document: PolicyDocument, *, version: int, request_id: Any) -> ApprovalPolicy:
    written = document.as_json()
    return ApprovalPolicy.objects.create(
        kind=document.kind,
        version=version,
        document=written,
        sha256=digest(written),
        request_id=request_id,
        created_at=clock.now(),
    )
