"""Capital budgets: how much capital and how much of the risk a Book may carry."""

from __future__ import annotations

from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from compliance.approvals.registry import Warrant, require_execution
from fundops.core import clock
from fundops.core.events import publish
from risk.errors import BudgetError
from risk.models import CapitalBudget
from risk.models.common import LARGEST
from treasury.models import Book

SET_BUDGET = "risk.set_budget"
ALLOCATE_CAPITAL = "risk.allocate_capital"
#: The kinds of request whose execution may write budgets; the table's guard names the same.
BUDGET_KINDS = (SET_BUDGET, ALLOCATE_CAPITAL)


def check_budget(*, book: Book, capital: Decimal, risk_share_frac: float | None = None) -> None:
    """Raises BudgetError for what `set_budget` would refuse now, and writes nothing."""
    if not capital.is_finite() or not 0 <= capital < LARGEST:
        raise BudgetError("Capital is an amount of zero or more in the fund's base asset.")
    if risk_share_frac is not None and not 0.0 <= risk_share_frac <= 1.0:
        raise BudgetError("The share of risk lies between 0 and 1.")
    if not book.is_open:
        raise BudgetError(f"Book {book.path} is closed; budgets are for open books.", book=book.path)
    if CapitalBudget.objects.filter(
        Q(effective_to=None) | Q(effective_to__gt=F("effective_from")), book=book, effective_from__gt=clock.now()
    ).exists():
        raise BudgetError("Another budget of this book begins later; there can be one at a time.")


def set_budget(
    *,
    book: Book,
    capital: Decimal,
    warrant: Warrant,
    risk_share_frac: float | None = None,
    reason: str = "",
) -> CapitalBudget:
    """Puts a budget in force from now, in place of the running one. Raises NotApprovedError and BudgetError."""
    require_execution(warrant, *BUDGET_KINDS)
    check_budget(book=book, capital=capital, risk_share_frac=risk_share_frac)
    try:
        with transaction.atomic():
            Book.objects.select_for_update(no_key=True).get(pk=book.pk)
            now = clock.now()
            running = (
                CapitalBudget.objects.select_for_update()
                .filter(Q(effective_to=None) | Q(effective_to__gt=now), book=book, effective_from__lte=now)
                .first()
            )
            if running is not None:
                running.effective_to = now
                running.save(update_fields=["effective_to"])
            budget = CapitalBudget.objects.create(
                book=book, capital=capital, risk_share_frac=risk_share_frac, effective_from=now, reason=reason
            )
            publish(
                "risk.budget.set",
                actor=warrant.actor,
                obj=budget,
                payload={
                    "book": book.path,
                    "old": None if running is None else running.capital,
                    "capital": capital,
                    "risk_share_frac": risk_share_frac,
                    "reason": reason,
                    "request": warrant.request_id,
                },
                topics=["risk", f"book:{book.pk}"],
            )
    except IntegrityError as error:
        if "risk_budget_no_overlap" not in str(error):
            raise
        raise BudgetError("Another budget of this book begins later; there can be one at a time.") from error
    return budget
