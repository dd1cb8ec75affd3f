"""Overrides of guardrails: granted by an executed request alone, ended early by anyone on duty, reverted by time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q

from compliance.approvals.canonical import digest
from compliance.approvals.registry import Warrant, require_execution
from compliance.models import ApprovalRequest, Decision
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from fundops.core.roles import Role
from risk.errors import OverrideOverError, OverridePolicyError, OverrideRefusedError
from risk.models import EndCause, GuardrailOverride, OverrideEnd, OverridePolicy, RiskLimit, StopCause
from risk.overrides import OverrideRules, override_policy_in_force, require_override_policy
from risk.quant.metrics import HIGHER_IS_TIGHTER, Metric, describe
from treasury.models import Book

OVERRIDE_GUARDRAIL = "risk.override_guardrail"
SET_OVERRIDE_POLICY = "risk.set_override_policy"

#: Whose signatures an override takes, each of another person.
SIGNERS = (Role.RISK_OFFICER, Role.OPERATIONS)


@dataclass(frozen=True, slots=True)
class AskedOverride:
    """What is asked for: a level for one limit, or the silence of one trigger; until when."""

    book: Book
    ends_at: datetime
    starts_at: datetime | None = None
    metric: Metric | None = None
    symbol: str = ""
    venue: str = ""
    level: Decimal | None = None
    trigger: StopCause | None = None


def limit_to_override(asked: AskedOverride, *, at: datetime) -> RiskLimit | None:
    """The limit of that very Book, metric and scope that is in force at that time."""
    if asked.metric is None:
        return None
    return (
        RiskLimit.objects.in_force(at)
        .filter(book=asked.book, metric=asked.metric, symbol=asked.symbol, venue=asked.venue)
        .first()
    )


def check_override(asked: AskedOverride, *, at: datetime) -> tuple[OverridePolicy, RiskLimit | None, datetime]:
    """The policy, the limit and the beginning of an override that may be granted; raises what stands against it."""
    policy, rules = require_override_policy()
    if not asked.book.is_open:
        raise OverrideRefusedError(f"Book {asked.book.path} is closed.")
    starts = max(at, asked.starts_at or at)
    if asked.ends_at <= starts:
        raise OverrideRefusedError("Its end is not after its beginning: ask for a later one.")
    if asked.ends_at - starts > timedelta(hours=rules.max_hours):
        raise OverrideRefusedError(f"The policy allows {rules.max_hours} hours at most: end it earlier.")
    if (asked.metric is None) == (asked.trigger is None):
        raise OverrideRefusedError("Name one metric with its level, or one trigger, and not both.")
    limit = None if asked.trigger is not None else _check_level(asked, rules, starts)
    if asked.trigger is not None:
        _check_trigger(asked, rules)
    running = GuardrailOverride.objects.filter(
        book=asked.book, starts_at__lt=asked.ends_at, ends_at__gt=starts, end=None
    ).filter(Q(limit=limit) if limit else Q(trigger=asked.trigger))
    if running.exists():
        raise OverrideRefusedError("There is an override of this already, and they do not stack. End that one first.")
    return policy, limit, starts


def _check_trigger(asked: AskedOverride, rules: OverrideRules) -> None:
    if asked.level is not None or asked.symbol or asked.venue:
        raise OverrideRefusedError("A trigger is silenced as it is: leave level, symbol and venue empty.")
    if asked.trigger not in rules.triggers:
        raise OverrideRefusedError(f"The policy lets nobody silence '{asked.trigger}'.")


def _check_level(asked: AskedOverride, rules: OverrideRules, starts: datetime) -> RiskLimit:
    metric, level = asked.metric, asked.level
    assert metric is not None  # noqa: S101 - the caller has seen to it
    said = describe(metric).lower()
    if metric in rules.never:
        raise OverrideRefusedError(f"The policy lets nobody override the limit on {said}.")
    limit = limit_to_override(asked, at=starts)
    if limit is None or limit.hard is None:
        raise OverrideRefusedError(
            f"{asked.book.path} has no hard limit on {said} of its own there. Ask where the limit is set."
        )
    if level is None:
        raise OverrideRefusedError("Give the level that is to hold meanwhile.")
    tighter_is_more = metric in HIGHER_IS_TIGHTER
    if level >= limit.hard if tighter_is_more else level <= limit.hard:
        raise OverrideRefusedError(f"The limit is {_plain(limit.hard)}; an override loosens it.")
    furthest = limit.hard / rules.max_factor if tighter_is_more else limit.hard * rules.max_factor
    if level < furthest if tighter_is_more else level > furthest:
        raise OverrideRefusedError(f"The policy allows no further than {_plain(furthest)}.")
    return limit


def _plain(x: Decimal) -> str:
    return f"{x.normalize():f}"


def grant_override(*, asked: AskedOverride, warrant: Warrant) -> GuardrailOverride:
    """Puts an override in force for its time. Raises NotApprovedError without its request being executed here, and
    OverrideRefusedError for what the policy does not allow or two people have not signed.
    """
    require_execution(warrant, OVERRIDE_GUARDRAIL)
    with transaction.atomic():
        Book.objects.select_for_update(no_key=True).get(pk=asked.book.pk)
        now = clock.now()
        policy, limit, starts = check_override(asked, at=now)
        request = ApprovalRequest.objects.get(pk=warrant.request_id)
        _check_signed(request)
        made = GuardrailOverride.objects.create(
            request=request,
            policy=policy,
            book=asked.book,
            limit=limit,
            metric="" if asked.metric is None else asked.metric.value,
            symbol=asked.symbol,
            venue=asked.venue,
            level=asked.level,
            trigger="" if asked.trigger is None else asked.trigger.value,
            starts_at=starts,
            ends_at=asked.ends_at,
            reason=request.reason,
            created_at=now,
        )
        _tell("granted", made, actor=warrant.actor, request=str(request.pk), starts_at=starts)
    return made


def _check_signed(request: ApprovalRequest) -> None:
    """Both signatures, of different people, whatever the gate's policy says today: no glass is broken for this."""
    given = request.decisions.filter(statement__version=request.version, decision=Decision.APPROVE)
    people = {role: set(given.filter(role=role.value).values_list("person_id", flat=True)) for role in SIGNERS}
    risk, operations = (people[role] for role in SIGNERS)
    if not risk or not operations or len(risk | operations) < len(SIGNERS):
        raise OverrideRefusedError("An override is signed by a risk officer and by an operations officer.")


def end_override(*, override: GuardrailOverride, actor: User, reason: str) -> OverrideEnd:
    """Somebody on duty ends an override now. Raises PermissionMissingError, or OverrideOverError when it is over."""
    require(actor, "risk.end_override")
    if not reason.strip():
        raise OverrideRefusedError("Say why the override ends early.")
    with transaction.atomic():
        held = _held(override)
        now = clock.now()
        if held.ends_at <= now or OverrideEnd.objects.filter(override=held).exists():
            raise OverrideOverError("This override is over already; nothing is left to end.", override=held.pk)
        end = OverrideEnd.objects.create(
            override=held, at=now, cause=EndCause.ENDED, by=actor, reason=reason.strip()[:400]
        )
        _tell("ended", held, actor=actor, reason=end.reason)
    return end


def revert_overrides(*, actor: User | None = None) -> list[OverrideEnd]:
    """Records the end of those whose time is over. They loosen nothing since then, whether this runs or not."""
    now = clock.now()
    made = []
    for pk in GuardrailOverride.objects.filter(ends_at__lte=now, end=None).values_list("pk", flat=True):
        with transaction.atomic():
            held = GuardrailOverride.objects.select_related("book").get(pk=pk)
            end, new = OverrideEnd.objects.get_or_create(
                override=held, defaults={"at": max(now, held.ends_at), "cause": EndCause.EXPIRED}
            )
            if new:
                _tell("reverted", held, actor=actor)
                made.append(end)
    return made


def set_override_policy(*, rules: OverrideRules, document: dict[str, Any], warrant: Warrant) -> OverridePolicy:
    """Puts the next version in force. Raises NotApprovedError without its request being executed here."""
    require_execution(warrant, SET_OVERRIDE_POLICY)
    now = override_policy_in_force()
    if now is not None and now[1] == rules:
        raise OverridePolicyError("These are the rules in force already. Change something.")
    with transaction.atomic():
        policy = OverridePolicy.objects.create(
            version=1 if now is None else now[0].version + 1,
            document=document,
            sha256=digest(document),
            request_id=warrant.request_id,
            created_at=clock.now(),
        )
        publish(
            "risk.override.policy_set",
            actor=warrant.actor,
            obj=policy,
            payload={"version": policy.version, "sha256": policy.sha256, "request": str(warrant.request_id)},
            topics=["risk"],
        )
    return policy


def _held(override: GuardrailOverride) -> GuardrailOverride:
    """One end at a time: rows of overrides take no lock of the application's, so their Book does."""
    Book.objects.select_for_update(no_key=True).get(pk=override.book_id)
    return GuardrailOverride.objects.select_related("book").get(pk=override.pk)


def _tell(verb: str, override: GuardrailOverride, *, actor: User | None, **more: Any) -> None:
    publish(
        f"risk.override.{verb}",
        actor=actor,
        obj=override,
        payload={
            "book": override.book_id,
            "path": override.book.path,
            "metric": override.metric,
            "trigger": override.trigger,
            "level": override.level,
            "ends_at": override.ends_at,
            **more,
        },
        topics=["risk", f"book:{override.book_id}"],
    )
