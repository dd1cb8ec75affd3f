"""Dividing capital through the gate: a proposal of the allocator as a request, and the budgets that it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from compliance.approvals.registry import (
    ActionPayload,
    DisplayedField,
    Target,
    Warrant,
    register_action,
)
from fundops.core import clock
from fundops.core.money import allocate as split
from fundops.core.money import round_to, to_decimal
from risk.actions.budgets import ALLOCATE_CAPITAL, check_budget, set_budget
from risk.allocation import AllocationProposal, reason_of, summary_of
from risk.errors import AllocationRefusedError
from risk.models import CapitalBudget
from risk.quant.allocator import Measure, Objective
from treasury.models import Book

MAY_ALLOCATE = "risk.set_budget"
#: Older figures say nothing of today's positions.
FRESH = timedelta(days=7)
_SHARE_PLACES = 6

Amount = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=38)]
Share = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=18)]

METHODS = {
    Objective.RISK_BUDGET: "Risk budgets",
    Objective.MINIMUM_RISK: "Least risk",
    Objective.MAXIMUM_RATIO: "Best ratio of mean return to risk",
}
MEASURES = {Measure.ES: "expected shortfall", Measure.VARIANCE: "variance"}


class AllocationLine(ActionPayload):
    """One Book: its capital before and after, and what it carries of the risk. A hedge carries a negative share."""

    book: str = Field(max_length=400, description="The Book's path.")
    before: Amount = Field(description="Its equity when proposed.")
    after: Amount
    budget: Share | None = Field(default=None, description="The share of risk asked for; empty without budgets.")
    risk_before: Share | None = None
    risk_after: Share | None = None
    reason: str = Field(max_length=400)


class AllocateCapital(ActionPayload):
    """The capital of the Books directly below one, with the evidence that it rests on."""

    parent: str = Field(max_length=400, description="The path of the Book above them.")
    as_of: AwareDatetime
    objective: Objective
    measure: Measure
    level: Share
    days: int = Field(ge=1)
    minimum: Share
    maximum: Share
    max_turnover: Share | None = None
    turnover: Share
    risk_before: Share | None = None
    risk_after: Share | None = None
    lines: tuple[AllocationLine, ...] = Field(min_length=1, max_length=500)
    summary: str = Field(max_length=1000)


def payload_of(proposal: AllocationProposal) -> AllocateCapital:
    """A proposal as what is signed: amounts in the fund's own places, which sum to the same total before and after."""
    places = proposal.parent.fund.base_asset.places
    before = [round_to(to_decimal(x), places=places) for x in proposal.capital_before.tolist()]
    weights = [max(Decimal(0), to_decimal(x)) for x in proposal.allocation.after.tolist()]
    after = split(sum(before, Decimal(0)), weights, places=places)
    a = proposal.allocation
    return AllocateCapital(
        parent=proposal.parent.path,
        as_of=proposal.at,
        objective=proposal.objective,
        measure=proposal.measure,
        level=_must(proposal.level),
        days=a.n,
        minimum=_must(proposal.minimum),
        maximum=_must(proposal.maximum),
        max_turnover=_share(proposal.max_turnover),
        turnover=_must(a.turnover),
        risk_before=_share(proposal.risk_before),
        risk_after=_share(proposal.risk_after),
        lines=tuple(
            AllocationLine(
                book=book.path,
                before=before[i],
                after=after[i],
                budget=None if proposal.budgets is None else _share(float(proposal.budgets[i])),
                risk_before=_share(float(a.share_before[i])),
                risk_after=_share(float(a.share_after[i])),
                reason=reason_of(proposal, i),
            )
            for i, book in enumerate(proposal.books)
        ),
        summary=summary_of(proposal),
    )


def _must(x: float) -> Decimal:
    return round_to(to_decimal(x), places=_SHARE_PLACES)


def _share(x: float | None) -> Decimal | None:
    return None if x is None or x != x else _must(x)


def _said(amount: Decimal, asset: str = "") -> str:
    return f"{amount:,f} {asset}".rstrip()


def _percent(share: Decimal | None) -> str:
    return "not known" if share is None else f"{share:.1%}"


def _budget_in_force(book: str, asset: str) -> str:
    running = (
        CapitalBudget.objects.filter(book__path=book, effective_from__lte=clock.now())
        .exclude(effective_to__lte=clock.now())
        .order_by("-effective_from")
        .first()
    )
    return "no budget in force" if running is None else f"a budget of {_said(running.capital.normalize(), asset)}"


def _render(payload: AllocateCapital) -> Sequence[DisplayedField]:
    bounds = f"each book between {payload.minimum:.1%} and {payload.maximum:.1%}"
    if payload.max_turnover is not None:
        bounds += f", turnover at most {payload.max_turnover:.1%}"
    asset = Book.objects.filter(path=payload.parent).values_list("fund__base_asset__code", flat=True).first() or ""
    fields = [
        DisplayedField("Below the book", payload.parent, payload.parent),
        DisplayedField("Method", "", f"{METHODS[payload.objective]} by {MEASURES[payload.measure]}"),
        DisplayedField("Constraints", "", bounds),
        DisplayedField("Evidence", "", f"{payload.days} days of returns up to {payload.as_of:%Y-%m-%d %H:%M} UTC"),
        DisplayedField("Turnover", "", f"{payload.turnover:.1%} of the capital"),
        DisplayedField(
            "Risk of the whole", _percent_of_capital(payload.risk_before), _percent_of_capital(payload.risk_after)
        ),
    ]
    for line in payload.lines:
        fields.append(
            DisplayedField(
                f"Capital of {line.book}",
                f"{_said(line.before, asset)}, with {_budget_in_force(line.book, asset)}",
                _said(line.after, asset),
            )
        )
        fields.append(
            DisplayedField(f"Risk carried by {line.book}", _percent(line.risk_before), _percent(line.risk_after))
        )
        fields.append(DisplayedField(f"Why, for {line.book}", "", line.reason))
    return [*fields, DisplayedField("Why", "", payload.summary)]


def _percent_of_capital(share: Decimal | None) -> str:
    return "not known" if share is None else f"{share:.2%} of the capital a day"


def _books(payload: AllocateCapital) -> list[Book]:
    """The Books of the lines, in their order. Raises AllocationRefusedError where they are not those of the parent."""
    parent = Book.objects.filter(path=payload.parent).first()
    if parent is None:
        raise AllocationRefusedError(f"There is no book {payload.parent}. Give its path.", book=payload.parent)
    paths = [line.book for line in payload.lines]
    if len(set(paths)) != len(paths):
        raise AllocationRefusedError("A book is named twice: give each of them one line.")
    found = {b.path: b for b in Book.objects.filter(path__in=paths, parent=parent)}
    for path in paths:
        if path not in found:
            raise AllocationRefusedError(f"{path} is no book directly below {payload.parent}.", book=path)
    return [found[path] for path in paths]


def _recheck(payload: AllocateCapital) -> None:
    now = clock.now()
    if not now - FRESH <= payload.as_of <= now + timedelta(minutes=1):
        raise AllocationRefusedError(
            f"The figures of this proposal are of {payload.as_of:%Y-%m-%d %H:%M} UTC, and good for {FRESH.days} days: "
            "propose it again."
        )
    before = sum((line.before for line in payload.lines), Decimal(0))
    after = sum((line.after for line in payload.lines), Decimal(0))
    if before != after:
        raise AllocationRefusedError(f"The lines divide {_said(after)}, but the books hold {_said(before)}.")
    for book, line in zip(_books(payload), payload.lines, strict=True):
        check_budget(book=book, capital=line.after, risk_share_frac=_budgeted(line))


def _budgeted(line: AllocationLine) -> float | None:
    """The share of risk that goes into the budget: what was asked for, else what the division gives."""
    share = line.budget if line.budget is not None else line.risk_after
    return None if share is None else float(min(Decimal(1), max(Decimal(0), share)))


def _moved(payload: AllocateCapital) -> Decimal:
    return sum((abs(line.after - line.before) for line in payload.lines), Decimal(0)) / 2


def _target(payload: AllocateCapital) -> Target:
    parent = Book.objects.filter(path=payload.parent).first()
    return Target("treasury.book", str(parent.pk) if parent else "", f"Capital below {payload.parent}"[:200])


@register_action(
    kind=ALLOCATE_CAPITAL,
    title="Divide capital over strategies",
    payload=AllocateCapital,
    maker_permission=MAY_ALLOCATE,
    render=_render,
    recheck=_recheck,
    amount=_moved,
    target=_target,
)
def allocate_capital_as_approved(payload: AllocateCapital, warrant: Warrant) -> Mapping[str, Any]:
    """Puts a budget in force for every Book of the proposal, in the name of who released it."""
    made = [
        set_budget(
            book=book,
            capital=line.after,
            risk_share_frac=_budgeted(line),
            reason=f"Approval request {warrant.request_id}",
            warrant=warrant,
        )
        for book, line in zip(_books(payload), payload.lines, strict=True)
    ]
    return {"budgets": [budget.pk for budget in made]}
