"""Reading overrides of guardrails: how far they may go, and which are in force.

What is over is over by the clock alone: every reader asks by time, and no task has to run for it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from django.db.models import QuerySet
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compliance.approvals.canonical import digest
from fundops.core import clock
from fundops.core.permissions import AnyUser
from risk.errors import OverridePolicyError, OverridePolicyMissingError
from risk.models import GuardrailOverride, OverridePolicy, StopCause
from risk.models.switches import TRIGGERS
from risk.quant.metrics import Metric
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

Factor = Annotated[Decimal, Field(gt=1, le=10, allow_inf_nan=False, max_digits=6, decimal_places=2)]


class OverrideRules(BaseModel):
    """What overrides may do. Every one takes the signatures of risk and of operations besides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_hours: int = Field(default=24, ge=1, le=168, description="The longest an override may last.")
    max_factor: Factor = Field(
        default=Decimal("1.5"), description="A level may be loosened to so many times itself, and no further."
    )
    never: tuple[Metric, ...] = Field(
        default=(Metric.DAILY_LOSS, Metric.DAILY_LOSS_FRAC), description="Limits that nobody overrides."
    )
    triggers: tuple[StopCause, ...] = Field(
        default=(
            StopCause.HEARTBEAT,
            StopCause.STALE_DATA,
            StopCause.RECONCILIATION,
            StopCause.ERROR_BURST,
            StopCause.STRESS,
        ),
        description="Triggers of the kill switch that an override may silence.",
    )


def read_override_rules(document: object) -> OverrideRules:
    """Rules from JSON; raises OverridePolicyError saying what to change."""
    try:
        rules = OverrideRules.model_validate(document)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'policy'}: {e['msg']}" for e in error.errors()]
        raise OverridePolicyError("Change the policy: " + "; ".join(told), errors=told) from error
    if unknown := set(rules.triggers) - set(TRIGGERS):
        names = ", ".join(sorted(cause.value for cause in unknown))
        raise OverridePolicyError(f"Change the policy: {names} is no trigger of the kill switch.")
    return rules


def override_policy_in_force() -> tuple[OverridePolicy, OverrideRules] | None:
    """The highest version with its rules, or None before the first; raises OverridePolicyError when tampered with."""
    policy = OverridePolicy.objects.order_by("-version").first()
    if policy is None:
        return None
    if digest(policy.document) != policy.sha256:
        raise OverridePolicyError("The policy for overrides is not the one that was approved. Tell compliance.")
    return policy, read_override_rules(policy.document)


def require_override_policy() -> tuple[OverridePolicy, OverrideRules]:
    """The policy in force; raises OverridePolicyMissingError."""
    found = override_policy_in_force()
    if found is None:
        raise OverridePolicyMissingError(
            "There is no policy for overrides, so nothing is overridden. Propose one (risk.set_override_policy)."
        )
    return found


def override_list(user: AnyUser) -> QuerySet[GuardrailOverride]:
    """Overrides a person may see, with what pages show, the newest first."""
    rows: QuerySet[GuardrailOverride] = GuardrailOverride.objects.for_user(user)
    return rows.select_related("book", "limit", "request", "end", "end__by", "policy")


def overrides_in_force(book: Book | None = None, *, at: datetime | None = None) -> list[GuardrailOverride]:
    """The overrides in force now, of the whole firm or of one Book and the Books above it; the first to end first."""
    rows = GuardrailOverride.objects.in_force(at or clock.now()).select_related(
        "book__fund__base_asset", "limit", "request"
    )
    if book is not None:
        parts = book.path.split(PATH_SEPARATOR)
        rows = rows.filter(book__path__in=[PATH_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))])
    return list(rows.order_by("ends_at", "pk"))


def trigger_overridden(*, book: Book, cause: str, at: datetime | None = None) -> GuardrailOverride | None:
    """The override by which this cause trips no switch of the Book now, its own or of a Book above it; else None."""
    found = (o for o in overrides_in_force(book, at=at) if o.trigger == cause)
    return next(found, None)


@dataclass(frozen=True, slots=True)
class Loosened:
    """The hard level that one limit has while its override is in force."""

    override_id: int
    level: Decimal
    ends_at: datetime


def loosened_limits(book_ids: Collection[int], at: datetime) -> dict[int, Loosened]:
    """By limit, of the limits on these Books. One query."""
    rows = GuardrailOverride.objects.in_force(at).filter(book__in=book_ids, limit__isnull=False, level__isnull=False)
    return {
        limit: Loosened(pk, level, ends)
        for limit, pk, level, ends in rows.values_list("limit_id", "pk", "level", "ends_at")
        if limit is not None and level is not None
    }


@dataclass(frozen=True, slots=True)
class OverrideStanding:
    """An override with where it stands now."""

    override: GuardrailOverride
    status: str

    @property
    def is_on(self) -> bool:
        return self.status == "in force"


def standing_of(override: GuardrailOverride, *, at: datetime | None = None) -> str:
    """planned, in force, superseded (its limit is gone), ended early, or over."""
    moment = at or clock.now()
    end = getattr(override, "end", None)
    if end is not None and end.cause == "ended":
        return "ended early"
    if end is not None or override.ends_at <= moment:
        return "over"
    limit = override.limit
    if limit is not None and limit.effective_to is not None and limit.effective_to <= moment:
        return "superseded"
    return "planned" if override.starts_at > moment else "in force"
