"""Deciding leverage: by the policy in force from how a Book did, or lowered by somebody on duty; no hand raises it."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from compliance.approvals.canonical import digest
from compliance.approvals.registry import Warrant, require_execution
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from risk.errors import LeverageError, LeveragePolicyError
from risk.leverage import (
    blockers,
    last_decision,
    leverage_in_force,
    levered_books,
    performance_of,
    policy_in_force,
    require_policy,
    state_of,
)
from risk.models import LeverageDecision, LeveragePolicy
from risk.quant.leverage import LeverageRules, LeverageStep, Performance, Rule, next_step
from treasury.models import Book

_logger = logging.getLogger(__name__)

SET_LEVERAGE_POLICY = "risk.set_leverage_policy"


def set_leverage_policy(*, rules: LeverageRules, document: dict[str, Any], warrant: Warrant) -> LeveragePolicy:
    """Puts the next version in force. Raises NotApprovedError without its request being executed here."""
    require_execution(warrant, SET_LEVERAGE_POLICY)
    now = policy_in_force()
    if now is not None and now[1] == rules:
        raise LeveragePolicyError("These are the rules in force already. Change something.")
    with transaction.atomic():
        policy = LeveragePolicy.objects.create(
            version=1 if now is None else now[0].version + 1,
            document=document,
            sha256=digest(document),
            request_id=warrant.request_id,
            created_at=clock.now(),
        )
        publish(
            "risk.leverage.policy_set",
            actor=warrant.actor,
            obj=policy,
            payload={"version": policy.version, "sha256": policy.sha256, "request": str(warrant.request_id)},
            topics=["risk"],
        )
    return policy


def start_leverage(*, book: Book, actor: User | None, at: datetime | None = None) -> LeverageDecision:
    """Puts a Book under the policy, at its first tier; the last decision where it is under it already.

    From now on no order of the Book may lever it further. Raises LeveragePolicyMissingError or LeverageError.
    """
    with transaction.atomic():
        moment = _held(book, at)
        return last_decision(book) or _start(book, actor, moment)


def begin_leverage(*, book: Book, actor: User | None, at: datetime | None = None) -> Decimal:
    """For whoever opens a Book that trades: puts it under the policy where one is in force.

    Answers with what the Book may carry: the policy's first tier or less where a Book above it is held lower; 1
    without a policy. Raises LeverageError for a closed Book.
    """
    if policy_in_force() is not None:
        start_leverage(book=book, actor=actor, at=at)
    return leverage_in_force(book, at=at)


def decide_leverage(
    *, book: Book, performance: Performance, actor: User | None, at: datetime | None = None
) -> LeverageDecision:
    """Decides by the policy in force, from how the Book did; returns what was decided.

    Steps down act at once. Steps up are within the approved policy and act too, unless the Book is not ACTIVE or a
    breach is open. A Book without a state is started first. A hold that says the same as the last one, of the same
    observation, is not written again. Raises LeveragePolicyMissingError, or LeverageError for a closed Book.
    """
    # Asked before the transaction: the trading mode may have to be fetched.
    blocked = blockers(book)
    with transaction.atomic():
        moment = _held(book, at)
        policy, rules = require_policy()
        last = last_decision(book) or _start(book, actor, moment)
        if moment < last.at:
            raise LeverageError("Something later has been decided on this book already.", book=book.path)
        step = next_step(rules, state_of(last, at=moment, blocked=blocked), performance)
        if _says_the_same(last, step, policy):
            return last
        return _write(book, last, policy, step, actor=actor, at=moment)


def lower_leverage(
    *, book: Book, reason: str, actor: User, to: Decimal | None = None, at: datetime | None = None
) -> LeverageDecision:
    """Somebody on duty lowers a Book at once: to the policy's floor, or to ``to``. Nothing raises it but the policy.

    Raises PermissionMissingError, LeveragePolicyMissingError, or LeverageError for what would lower nothing.
    """
    require(actor, "risk.lower_leverage")
    if not reason.strip():
        raise LeverageError("Say why the leverage is lowered.", book=book.path)
    with transaction.atomic():
        moment = _held(book, at)
        policy, rules = require_policy()
        last = last_decision(book)
        if last is None:
            raise LeverageError("Nothing has been decided on this book yet, so it is not levered.", book=book.path)
        target = rules.floor if to is None else to
        sound = target.is_finite() and target == round(target, 2)
        if not (sound and rules.floor <= target < last.to_leverage):
            raise LeverageError(
                f"Give a leverage from {rules.floor.normalize():f}x to below {last.to_leverage.normalize():f}x.",
                book=book.path,
            )
        row = LeverageDecision(
            book=book,
            number=last.number + 1,
            at=moment,
            policy=policy,
            rule=Rule.BY_HAND.value,
            from_leverage=last.to_leverage,
            to_leverage=target,
            changed=True,
            sample_size=0,
            reason=reason.strip()[:1000],
            answered=last.answered,
            actor=actor,
        )
        return _publish(book, row, actor=actor)


def evaluate_leverage(*, actor: User | None = None, at: datetime | None = None) -> list[LeverageDecision]:
    """Decides on every Book that has a state, each in its own transaction; returns what each one's decision is now.

    One Book that cannot be decided on keeps no other waiting. Nothing happens without a policy.
    """
    found = policy_in_force()
    if found is None:
        return []
    decided = []
    for book in levered_books():
        moment = at or clock.now()
        try:
            performance = performance_of(book, found[1], at=moment)
            decided.append(decide_leverage(book=book, performance=performance, actor=actor, at=at))
        except FundopsError:
            _logger.exception("No leverage could be decided for book %s.", book.pk)
    return decided


def _held(book: Book, at: datetime | None) -> datetime:
    """One decision on a Book at a time; the clock is read after the wait."""
    held = Book.objects.select_for_update(no_key=True).get(pk=book.pk)
    if not held.is_open:
        raise LeverageError(f"Book {book.path} is closed; nothing is decided on it any more.", book=book.path)
    return at or clock.now()


def _start(book: Book, actor: User | None, at: datetime) -> LeverageDecision:
    policy, rules = require_policy()
    row = LeverageDecision(
        book=book,
        number=1,
        at=at,
        policy=policy,
        rule=Rule.START.value,
        from_leverage=None,
        to_leverage=rules.start,
        changed=True,
        sample_size=0,
        reason=f"A book begins at {rules.start.normalize():f}x.",
        actor=actor,
    )
    return _publish(book, row, actor=actor)


def _says_the_same(last: LeverageDecision, step: LeverageStep, policy: LeveragePolicy) -> bool:
    through = step.inputs["through"]
    return (
        step.rule is Rule.HOLD
        and last.rule == Rule.HOLD
        and last.policy_id == policy.pk
        and (None if last.through is None else last.through.isoformat()) == through
        and {_told(c) for c in last.conditions if not c["met"]} == {_told(asdict(c)) for c in step.unmet}
        and last.answered == _times(step.answered)
    )


def _told(condition: dict[str, Any]) -> str:
    """What is missing, without the figures that drift from minute to minute."""
    return str(condition["text"] if condition["code"] in _IN_WORDS else condition["code"])


_IN_WORDS = ("losses", "clear")


def _times(answered: dict[str, datetime]) -> dict[str, str]:
    return {key: since.isoformat() for key, since in answered.items()}


def _write(
    book: Book, last: LeverageDecision, policy: LeveragePolicy, step: LeverageStep, *, actor: User | None, at: datetime
) -> LeverageDecision:
    through = step.inputs["through"]
    row = LeverageDecision(
        book=book,
        number=last.number + 1,
        at=at,
        policy=policy,
        rule=step.rule.value,
        from_leverage=step.from_leverage,
        to_leverage=step.to_leverage,
        changed=step.moves,
        sample_size=step.n,
        sharpe=step.inputs["sharpe"],
        drawdown_frac=step.inputs["drawdown_frac"],
        through=None if through is None else datetime.fromisoformat(through),
        reason="; ".join(step.reasons)[:1000],
        inputs=step.inputs,
        conditions=[asdict(c) for c in step.conditions],
        triggers=[asdict(t) | {"measure": t.measure.value, "to": f"{t.to.normalize():f}"} for t in step.triggers],
        answered=_times(step.answered),
        actor=actor,
    )
    return _publish(book, row, actor=actor)


def _publish(book: Book, row: LeverageDecision, *, actor: User | None) -> LeverageDecision:
    row.save(force_insert=True)
    publish(
        "risk.leverage.decided",
        actor=actor,
        obj=row,
        payload={
            "book": book.pk,
            "path": book.path,
            "number": row.number,
            "rule": row.rule,
            "from": row.from_leverage,
            "to": row.to_leverage,
            "n": row.sample_size,
            "policy": row.policy.version,
            "reason": row.reason,
        },
        topics=["risk", f"book:{book.pk}"],
    )
    return row
