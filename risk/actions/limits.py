"""Setting and retiring limits, one by one or as a template set.

Every write here is the execution of an approved request (risk/approvals.py): it takes the request's warrant, and
the database refuses a row that comes without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from compliance.approvals.registry import Warrant, require_execution
from fundops.core import clock
from fundops.core.events import publish
from risk.errors import (
    ClosedBookLimitError,
    LimitLevelsError,
    LimitOverlapError,
    LimitPeriodError,
    LimitRetiredError,
    LimitScopeError,
)
from risk.models import HardAction, RiskLimit
from risk.models.common import LARGEST
from risk.quant.metrics import SYMBOL_SCOPED, VENUE_SCOPED, Metric
from risk.quant.pretrade import InvalidLimitError, Limit, validate_limit
from risk.templates_of_limits import TemplateLimit, load_template
from treasury.models import Book

TOPIC = "risk"

SET_LIMIT = "risk.set_limit"
RETIRE_LIMIT = "risk.retire_limit"
APPLY_TEMPLATE = "risk.apply_template"

#: Requests of the layers above whose execution opens a Book with its limits.
_opening: list[str] = []


def let_open_with_limits(*kinds: str) -> None:
    """Executors of these kinds may set limits on what they open; said once, by the app that registers them."""
    _opening.extend(kind for kind in kinds if kind not in _opening)


def set_limit(
    *,
    book: Book,
    metric: Metric,
    warrant: Warrant,
    soft: Decimal | None = None,
    hard: Decimal | None = None,
    symbol: str = "",
    venue: str = "",
    action: HardAction = HardAction.ALERT,
    effective_from: datetime | None = None,
    effective_to: datetime | None = None,
    template: str = "",
    reason: str = "",
) -> RiskLimit:
    """Puts a limit in force from `effective_from` (now by default), in place of the one that ran then.

    The one before it ends at that instant. What would overlap a limit that begins later is refused, so that
    nothing planned disappears unseen. Raises NotApprovedError, LimitLevelsError, LimitScopeError,
    LimitPeriodError, LimitOverlapError or ClosedBookLimitError.
    """
    require_execution(warrant, SET_LIMIT, APPLY_TEMPLATE, *_opening)
    same = {"book": book, "metric": metric, "symbol": symbol, "venue": venue}
    try:
        with transaction.atomic():
            # One at a time for a Book, and the clock is read after the wait: the later call replaces the
            # earlier.
            Book.objects.select_for_update(no_key=True).get(pk=book.pk)
            now = clock.now()
            starts = effective_from or now
            _check(
                book=book,
                metric=metric,
                soft=soft,
                hard=hard,
                symbol=symbol,
                venue=venue,
                starts=starts,
                ends=effective_to,
                now=now,
            )
            running = (
                RiskLimit.objects.select_for_update()
                .filter(Q(effective_to=None) | Q(effective_to__gt=starts), effective_from__lte=starts, **same)
                .first()
            )
            if running is not None:
                running.effective_to = starts
                running.save(update_fields=["effective_to"])
            limit = RiskLimit.objects.create(
                **same,
                soft=soft,
                hard=hard,
                action=action,
                effective_from=starts,
                effective_to=effective_to,
                template=template,
                reason=reason,
            )
            publish(
                "risk.limit.set",
                actor=warrant.actor,
                obj=limit,
                payload={
                    "book": book.path,
                    "metric": metric,
                    "symbol": symbol,
                    "venue": venue,
                    "old": None if running is None else {"limit": running.pk, **_levels(running)},
                    "new": {"soft": soft, "hard": hard, "action": action},
                    "effective_from": starts,
                    "effective_to": effective_to,
                    "template": template,
                    "reason": reason,
                    "request": warrant.request_id,
                },
                topics=[TOPIC, f"book:{book.pk}"],
            )
    except IntegrityError as error:
        if "risk_limit_no_overlap" not in str(error):
            raise
        raise _overlap(book, metric) from error
    return limit


def _overlap(book: Book, metric: Metric) -> LimitOverlapError:
    return LimitOverlapError(
        f"A limit on {metric.value} of {book.path} begins within these dates. "
        "Retire it first, or end this one before it begins.",
        book=book.path,
        metric=metric.value,
    )


def check_limit(
    *,
    book: Book,
    metric: Metric,
    soft: Decimal | None = None,
    hard: Decimal | None = None,
    symbol: str = "",
    venue: str = "",
    effective_from: datetime | None = None,
    effective_to: datetime | None = None,
) -> None:
    """Raises what `set_limit` would raise now, and writes nothing: for requests that are only being made."""
    now = clock.now()
    starts = effective_from or now
    _check(
        book=book,
        metric=metric,
        soft=soft,
        hard=hard,
        symbol=symbol,
        venue=venue,
        starts=starts,
        ends=effective_to,
        now=now,
    )
    later = RiskLimit.objects.filter(
        Q(effective_to=None) | Q(effective_to__gt=F("effective_from")),
        book=book,
        metric=metric,
        symbol=symbol,
        venue=venue,
        effective_from__gt=starts,
    )
    if effective_to is not None:
        later = later.filter(effective_from__lt=effective_to)
    if later.exists():
        raise _overlap(book, metric)


def _levels(limit: RiskLimit) -> dict[str, object]:
    return {"soft": limit.soft, "hard": limit.hard, "action": limit.action}


def _check(
    *,
    book: Book,
    metric: Metric,
    soft: Decimal | None,
    hard: Decimal | None,
    symbol: str,
    venue: str,
    starts: datetime,
    ends: datetime | None,
    now: datetime,
) -> None:
    if not book.is_open:
        raise ClosedBookLimitError(f"Book {book.path} is closed; set limits on open books.", book=book.path)
    if (symbol and metric not in SYMBOL_SCOPED) or (venue and metric not in VENUE_SCOPED):
        raise LimitScopeError(
            f"{metric.value} is measured for the whole book; leave symbol and venue empty.",
            metric=metric.value,
        )
    for level in (soft, hard):
        if level is not None and level.is_finite() and level >= LARGEST:
            raise LimitLevelsError("A level this large limits nothing; leave it empty instead.")
    try:
        hardest, softest = (None if level is None else float(level) for level in (hard, soft))
        validate_limit(Limit(metric, hardest, softest, symbol, venue))
    except InvalidLimitError as error:
        raise LimitLevelsError(str(error), metric=metric.value) from error
    if starts.tzinfo is None or (ends is not None and ends.tzinfo is None):
        raise LimitPeriodError("Give dates with their time zone.")
    if starts < now:
        raise LimitPeriodError("A limit cannot begin in the past: what was in force then is a fact.")
    if ends is not None and ends <= starts:
        raise LimitPeriodError("A limit must end after it begins.")


def check_retirement(limit: RiskLimit) -> None:
    """Raises LimitRetiredError when the limit has ended already."""
    if limit.effective_to is not None and limit.effective_to <= clock.now():
        raise LimitRetiredError(f"This limit ended on {limit.effective_to:%Y-%m-%d %H:%M} UTC.", limit=limit.pk)


def retire_limit(*, limit: RiskLimit, warrant: Warrant, reason: str = "") -> RiskLimit:
    """Ends a limit now (one that has not begun never does). Raises NotApprovedError, and LimitRetiredError when
    it has ended already.
    """
    require_execution(warrant, RETIRE_LIMIT)
    with transaction.atomic():
        held = RiskLimit.objects.select_for_update().get(pk=limit.pk)
        check_retirement(held)
        held.effective_to = max(clock.now(), held.effective_from)
        held.reason = reason or held.reason
        held.save(update_fields=["effective_to", "reason"])
        publish(
            "risk.limit.retired",
            actor=warrant.actor,
            obj=held,
            payload={
                "book": held.book.path,
                "metric": held.metric,
                "old": _levels(held),
                "effective_to": held.effective_to,
                "reason": reason,
                "request": warrant.request_id,
            },
            topics=[TOPIC, f"book:{held.book_id}"],
        )
    return held


def check_template(*, book: Book, template: str) -> None:
    """Raises what `apply_template` would raise now, and writes nothing."""
    for x in load_template(template).limits:
        check_limit(book=book, metric=x.metric, soft=x.soft, hard=x.hard)


def apply_template(*, book: Book, template: str, warrant: Warrant, reason: str = "") -> list[RiskLimit]:
    """Sets every limit of a template set on a Book, all or none. Raises NotApprovedError, and TemplateError for
    an unknown or broken set.
    """
    require_execution(warrant, APPLY_TEMPLATE, *_opening)
    chosen: Sequence[TemplateLimit] = load_template(template).limits
    with transaction.atomic():
        return [
            set_limit(
                book=book,
                metric=x.metric,
                soft=x.soft,
                hard=x.hard,
                action=x.action,
                template=template,
                reason=reason,
                warrant=warrant,
            )
            for x in chosen
        ]
