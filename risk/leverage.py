"""Reading leverage: the policy in force, what each Book may carry now, how it did, and what the next step wants.

Risk knows no strategies: how a Book did is asked of the source that the layer above has installed, and where that one
does not know the Book, of the Book's own risk snapshots (`risk.performance`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from django.db.models import Q
from pydantic import ValidationError

from compliance.approvals.canonical import digest
from fundops.core import clock
from fundops.core.bulk import run
from risk.errors import LeveragePolicyError, LeveragePolicyMissingError
from risk.models import BreachStatus, LeverageDecision, LeveragePolicy, LimitBreach
from risk.performance import SnapshotPerformance
from risk.quant.leverage import (
    LeverageRules,
    LeverageState,
    LeverageStep,
    Observation,
    Performance,
    Rule,
    next_step,
)
from risk.quant.pretrade import TradingMode
from risk.switches import trading_mode_for
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

#: What a Book may carry of which nobody has decided anything: its own money and no more.
UNLEVERED = Decimal(1)

_LAST_DECISIONS = (
    "SELECT DISTINCT ON (book_id) book_id, to_leverage, id FROM risk_leveragedecision"
    " WHERE book_id = ANY (%s::bigint[]) AND (%s::timestamptz IS NULL OR at <= %s::timestamptz)"
    " ORDER BY book_id, number DESC"
)


class PerformanceSource(Protocol):
    """What the layer above answers of the Books that it trades."""

    def performance(self, book: Book, *, observation: Observation, window: int, at: datetime) -> Performance | None:
        """How a Book did; None where it does not know the Book."""

    def ended(self, book_ids: Collection[int]) -> set[int]:
        """Those of the Books that will never trade again, though they are open."""


_source: PerformanceSource | None = None


def install_performance_source(source: PerformanceSource | None) -> PerformanceSource | None:
    """Puts a source in place and returns the one before."""
    global _source
    before, _source = _source, source
    return before


def performance_of(book: Book, rules: LeverageRules, *, at: datetime | None = None) -> Performance:
    """How a Book did over the policy's window. From the source in place, else from its risk snapshots."""
    moment = at or clock.now()
    asked: dict[str, Any] = {"observation": rules.observation, "window": rules.window, "at": moment}
    known = None if _source is None else _source.performance(book, **asked)
    return known or SnapshotPerformance().performance(book, **asked)


def read_rules(document: object) -> LeverageRules:
    """Rules from JSON; raises LeveragePolicyError saying what to change."""
    try:
        return LeverageRules.model_validate(document)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, e['loc'])) or 'policy'}: {e['msg']}" for e in error.errors()]
        raise LeveragePolicyError("Change the policy: " + "; ".join(told), errors=told) from error


def policy_in_force() -> tuple[LeveragePolicy, LeverageRules] | None:
    """The highest version with its rules, or None before the first; raises LeveragePolicyError when tampered with."""
    policy = LeveragePolicy.objects.order_by("-version").first()
    if policy is None:
        return None
    if digest(policy.document) != policy.sha256:
        raise LeveragePolicyError("The leverage policy is not the one that was approved. Stop, and tell compliance.")
    return policy, read_rules(policy.document)


def require_policy() -> tuple[LeveragePolicy, LeverageRules]:
    """The policy in force; raises LeveragePolicyMissingError."""
    found = policy_in_force()
    if found is None:
        raise LeveragePolicyMissingError(
            "There is no leverage policy. Propose one (risk.set_leverage_policy); until then nothing is levered."
        )
    return found


@dataclass(frozen=True, slots=True)
class DecidedLeverage:
    """What was decided last on a Book, capped by the policy of now."""

    book_id: int
    leverage: Decimal
    decision_id: int


def decided_leverage(book_ids: Collection[int], *, at: datetime | None = None) -> dict[int, DecidedLeverage]:
    """The leverage of those of the Books that have a state of their own. Two queries."""
    found = run(_LAST_DECISIONS, [list(book_ids), at, at])
    if not found:
        return {}
    policy = policy_in_force()
    cap = UNLEVERED if policy is None else policy[1].cap
    return {book: DecidedLeverage(book, min(leverage, cap), pk) for book, leverage, pk in found}


def line_of(book: Book) -> list[int]:
    """The ids of a Book and of all above it, from the root down."""
    parts = book.path.split(PATH_SEPARATOR)
    paths = [PATH_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))]
    return list(Book.objects.filter(path__in=paths).order_by("path").values_list("pk", flat=True))


def leverage_in_force(book: Book, *, at: datetime | None = None) -> Decimal:
    """How much a Book may carry now: the least of what was decided on it and on the Books above it.

    1 where nothing was decided. The pre-trade check holds every order to the same figure.
    """
    decided = decided_leverage(line_of(book), at=at)
    return min((d.leverage for d in decided.values()), default=UNLEVERED)


def last_decision(book: Book) -> LeverageDecision | None:
    return LeverageDecision.objects.filter(book=book).order_by("-number").first()


def levered_books() -> list[Book]:
    """The Books that have a state of their own and may still trade: neither closed nor ended. By path."""
    decided = LeverageDecision.objects.order_by().values("book").distinct()
    books = Book.objects.filter(pk__in=decided, closed_at=None).select_related("fund__base_asset").order_by("path")
    ended: set[int] = set() if _source is None else _source.ended([book.pk for book in books])
    return [book for book in books if book.pk not in ended]


def blockers(book: Book) -> tuple[str, ...]:
    """What forbids a raise, in words: a Book that is not ACTIVE, or breaches of it, above it or below it that run."""
    said = []
    mode = trading_mode_for(book_id=book.pk)
    if mode is not TradingMode.ACTIVE:
        said.append("the trading mode is not known" if mode is None else f"trading is {mode.value}")
    running = LimitBreach.objects.filter(
        Q(book__in=line_of(book)) | Q(book__path__startswith=book.path + PATH_SEPARATOR)
    ).exclude(status=BreachStatus.CLOSED)
    count = running.count()
    if count:
        said.append(f"{count} breach{'es' if count > 1 else ''} of limits {'are' if count > 1 else 'is'} open")
    return tuple(said)


def state_of(last: LeverageDecision, *, at: datetime, blocked: tuple[str, ...]) -> LeverageState:
    """Where a Book stands after its last decision."""
    turned = LeverageDecision.objects.filter(book_id=last.book_id, changed=True)
    lowered = turned.exclude(rule__in=[Rule.START, Rule.STEP_UP])
    # The start counts: whoever has just begun rests before the first step up.
    moved = turned.order_by("-number").values_list("at", flat=True).first()
    down = lowered.order_by("-number").values_list("at", flat=True).first()
    answered = {key: datetime.fromisoformat(since) for key, since in last.answered.items()}
    return LeverageState(last.to_leverage, at, moved, down, answered, blocked)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """What would be decided now, and what is missing for a step up. Nothing is decided by reading it."""

    book: Book
    policy: LeveragePolicy
    rules: LeverageRules
    last: LeverageDecision
    performance: Performance
    step: LeverageStep

    @property
    def next_leverage(self) -> Decimal | None:
        """The tier a step up would lead to; None at the cap."""
        here = self.last.to_leverage
        return None if here >= self.rules.cap else min(here + self.rules.step, self.rules.cap)

    @property
    def missing(self) -> str:
        """In figures: "Sharpe 1.31 of 1.50 over 21 of 14 days, drawdown 1.1 % of 3 %", then what else is missing."""
        told = {c.code: c for c in self.step.conditions}
        first = f"{told['sharpe'].text}, {told['drawdown'].text}"
        rest = [c.text for c in self.step.unmet if c.code not in ("sharpe", "drawdown", "sample")]
        return "; ".join([first[0].upper() + first[1:], *rest])


def planned_step(
    book: Book, *, performance: Performance | None = None, at: datetime | None = None
) -> PlannedStep | None:
    """The next step of a Book and what it wants, from how it did; None where nothing was decided on it yet.

    Raises LeveragePolicyMissingError without a policy.
    """
    policy, rules = require_policy()
    last = last_decision(book)
    if last is None:
        return None
    moment = at or clock.now()
    known = performance or performance_of(book, rules, at=moment)
    state = state_of(last, at=moment, blocked=blockers(book))
    return PlannedStep(book, policy, rules, last, known, next_step(rules, state, known))


def tier_history(book_ids: Collection[int]) -> Mapping[int, list[LeverageDecision]]:
    """The changes of each Book's leverage, oldest first."""
    out: dict[int, list[LeverageDecision]] = {pk: [] for pk in book_ids}
    for row in LeverageDecision.objects.filter(book__in=book_ids, changed=True).order_by("book_id", "number"):
        out[row.book_id].append(row)
    return out
