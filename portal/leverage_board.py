"""What the leverage page shows of each Book: its tier, the next one and what is missing, what lowers it, its money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import isfinite

from fundops.core import clock
from fundops.core.models import User
from fundops.core.money import to_decimal
from portal.book_tree import trading_pages
from risk.leverage import PlannedStep, leverage_in_force, levered_books, planned_step
from risk.limits_in_force import limits_in_force
from risk.measuring import measure_books
from risk.models import LeverageDecision
from risk.quant.bulk import IntArray
from risk.quant.leverage import Condition, Measure, Rule, Trigger
from risk.quant.metrics import CODES, Metric
from treasury.models import Book


@dataclass(frozen=True, slots=True)
class Meter:
    """A value on its way to a threshold, as a share from 0 to 1; ``good`` to reach (else: to stay below)."""

    label: str
    text: str
    share: float | None
    met: bool
    good: bool


@dataclass(frozen=True, slots=True)
class TriggerMeter:
    """One rule that lowers: how near it is, what it would lead to, and the money that loss would be."""

    trigger: Trigger
    meter: Meter
    loss: float | None


@dataclass(frozen=True, slots=True)
class Rollback:
    """The last step down and how far the rest after it is."""

    decision: LeverageDecision
    recovering: str


@dataclass(frozen=True, slots=True)
class LeverageRow:
    """One Book under the policy. Money in the fund's base asset; None is not known. ``ceiling`` is the tightest hard
    leverage limit of the Book and those above it, None where there is none: no tier lifts orders over it."""

    book: Book
    plan: PlannedStep
    in_force: Decimal
    ceiling: Decimal | None
    trading: str
    bankroll: float | None
    exposure: float | None
    measured: float | None
    rollback: Rollback | None

    @property
    def allowed(self) -> float | None:
        """Exposure that tier and limits allow on the bankroll of now."""
        return None if self.bankroll is None else float(self.carried) * self.bankroll

    @property
    def carried(self) -> Decimal:
        """What orders may lever it to: its tier, or its limits where they are tighter."""
        return self.in_force if self.ceiling is None else min(self.in_force, self.ceiling)

    @property
    def under_limits(self) -> bool:
        """Its limits hold it below its tier."""
        return self.carried < self.in_force

    @property
    def beyond(self) -> bool:
        """It is levered further than it may be: after a step down, or a loss of equity."""
        return self.measured is not None and self.measured > float(self.carried) + 1e-9

    @property
    def bound_above(self) -> bool:
        """A Book above it allows less than its own tier."""
        return bool(self.in_force < self.plan.last.to_leverage)

    @property
    def tiers(self) -> list[tuple[str, str]]:
        """The ladder from one step to the cap: (tier, reached | next | open | beyond the line's)."""
        rules, here = self.plan.rules, self.in_force
        following = self.plan.next_leverage
        out: list[tuple[str, str]] = []
        tier = rules.step
        while tier <= rules.cap and len(out) < 40:
            state = "on" if tier <= here else ("next" if following is not None and tier <= following else "off")
            out.append((f"{tier.normalize():f}", state))
            tier += rules.step
        return out

    @property
    def conditions(self) -> list[Meter]:
        return [_condition(c) for c in self.plan.step.conditions if c.code not in ("cap", "clear", "fresh", "losses")]

    @property
    def other_conditions(self) -> list[Meter]:
        return [_condition(c) for c in self.plan.step.conditions if c.code in ("cap", "clear", "fresh", "losses")]

    @property
    def triggers(self) -> list[TriggerMeter]:
        return [_trigger(t, self.bankroll) for t in self.plan.step.triggers]

    @property
    def lost_until_step_down(self) -> float | None:
        """The smallest loss in a day or so that lowers it, in money."""
        losses = [t.loss for t in self.triggers if t.loss is not None]
        return min(losses, default=None)


_LABELS = {
    "sample": "Sample",
    "sharpe": "Sharpe",
    "drawdown": "Drawdown",
    "losses": "Losses",
    "fresh": "Freshness",
    "cooldown": "Rest since the last change",
    "recovery": "Recovery since the last step down",
    "cap": "Cap",
    "clear": "Trading mode and breaches",
}


def _condition(c: Condition) -> Meter:
    share = None
    if c.value is not None and c.threshold:
        share = min(1.0, max(0.0, c.value / c.threshold))
    elif c.value is None and c.met and c.threshold is not None:
        share = 1.0
    shown = share if c.code in ("sample", "sharpe", "drawdown", "cooldown", "recovery") else None
    return Meter(_LABELS[c.code], c.text, shown, c.met, good=c.code != "drawdown")


def _trigger(t: Trigger, bankroll: float | None) -> TriggerMeter:
    share = None if t.value is None else min(1.0, max(0.0, t.value / t.threshold))
    text = "not known" if t.value is None else f"{max(0.0, t.value) * 100:.2f} % of {t.threshold * 100:.4g} %"
    by_loss = bankroll is not None and t.measure is Measure.LOSS
    loss = bankroll * t.threshold if by_loss and bankroll is not None else None
    return TriggerMeter(t, Meter(t.said, text, share, not t.fires, good=False), loss)


def leverage_rows(user: User, *, at: datetime | None = None) -> list[LeverageRow]:
    """The Books under the policy that a reader may see, by path."""
    moment = at or clock.now()
    seen = set(Book.objects.for_user(user).values_list("pk", flat=True))
    books = [b for b in levered_books() if b.pk in seen]
    if not books:
        return []
    pages = trading_pages(user, books)
    found = measure_books(at=moment, book_ids=[b.pk for b in books], tail=False)
    ceilings = _ceilings(found.ids, found.parent, moment)
    rows = []
    for book in books:
        plan = planned_step(book, at=moment)
        if plan is None:
            continue
        line = found.row(book.pk)
        rows.append(
            LeverageRow(
                book=book,
                plan=plan,
                in_force=leverage_in_force(book, at=moment),
                ceiling=ceilings.get(book.pk),
                trading=pages.get(book.pk, ""),
                bankroll=plan.performance.equity if plan.performance.equity is not None else found.figures[line].equity,
                exposure=_number(found.measured.values[line, CODES[Metric.GROSS_EXPOSURE]]),
                measured=_number(found.measured.values[line, CODES[Metric.LEVERAGE]]),
                rollback=_rollback(plan),
            )
        )
    return rows


def _ceilings(ids: Sequence[int], parent: IntArray, at: datetime) -> dict[int, Decimal]:
    """The hard leverage limit that binds each Book, own or inherited."""
    found = limits_in_force(ids, parent, at)
    column = (Metric.LEVERAGE, "", "")
    if column not in found.columns:
        return {}
    levels = found.bounds.hard[:, found.columns.index(column)]
    return {pk: to_decimal(float(x), places=4) for pk, x in zip(ids, levels, strict=True) if isfinite(x)}


def _number(x: float) -> float | None:
    return float(x) if x == x and abs(x) != float("inf") else None


def _rollback(plan: PlannedStep) -> Rollback | None:
    lowered = (
        LeverageDecision.objects.filter(book=plan.book, changed=True)
        .exclude(rule__in=[Rule.START, Rule.STEP_UP])
        .select_related("actor")
        .order_by("-number")
        .first()
    )
    if lowered is None:
        return None
    rest = next(c for c in plan.step.conditions if c.code == "recovery")
    return Rollback(lowered, "" if rest.met else rest.text)


def at_risk(rows: Sequence[LeverageRow]) -> dict[str, tuple[float, float]]:
    """By currency: the bankrolls under the policy and the exposure they allow; Books inside others count once."""
    out: dict[str, tuple[float, float]] = {}
    paths = [r.book.path for r in rows]
    for row in rows:
        if row.bankroll is None or any(row.book.path.startswith(f"{p}/") for p in paths):
            continue
        base = row.book.fund.base_asset.code
        bankroll, allowed = out.get(base, (0.0, 0.0))
        out[base] = (bankroll + row.bankroll, allowed + (row.allowed or 0.0))
    return out
