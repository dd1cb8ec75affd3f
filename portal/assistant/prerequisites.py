"""What must be so before a plan is started: candles, the clock, currency, limits, approvals, bankroll, what runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from compliance.approvals.errors import PolicyMissingError
from compliance.models import ApprovalRequest
from compliance.selectors_approvals import policy_in_force
from fundops.core import clock
from risk.quant.pretrade import TradingMode
from risk.selectors import effective_limits
from risk.switches import trading_mode_for
from trading.actions.promotion import PROMOTE
from trading.models.cohort import LIVE_STATUSES, Cohort, CohortMode
from trading.selectors.cohort import Window, default_fund
from treasury.actions.bankroll import SET_POOL, open_slices, pool_slice_amount
from treasury.models import BankrollPool, Book
from treasury.selectors import free_cash

#: Candles that end longer ago than this are history: a plan says so.
FRESH = timedelta(days=2)
#: Requests under way that would change what a cohort may do.
CHANGES_WHAT_BINDS = ("risk.", SET_POOL, "trading.set_gate_policy")
WAITING = ("submitted", "partially_approved", "approved")


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """One thing that must be so. ``ok`` None is no obstacle, and worth knowing."""

    name: str
    ok: bool | None
    words: str


@dataclass(frozen=True, slots=True)
class Market:
    """Where and when a plan trades: ``window`` None means that no candles allow it; ``last_close`` of what is there."""

    mode: CohortMode
    interval: str
    window: Window | None
    covered: tuple[str, ...]
    live: bool
    days: int

    @property
    def ends(self) -> date | None:
        """The first day after the plan."""
        return self.window.start + timedelta(days=self.days) if self.window else None


def prerequisites(
    market: Market, *, wanted: tuple[str, ...], amount: Decimal, currency: str | None
) -> tuple[Prerequisite, ...]:
    """All of them, in the order a person asks."""
    quote = market.window.quote if market.window else None
    found = [
        _candles(market, wanted),
        _clock(market),
        _currency(quote, currency),
        _limits(),
        _approvals(),
        _bankroll(quote, amount),
        _running(),
    ]
    return tuple(p for p in found if p is not None)


def _candles(market: Market, wanted: tuple[str, ...]) -> Prerequisite:
    window, days = market.window, market.days
    if window is None:
        if market.mode is CohortMode.FORWARD:
            words = "No market's candles are fresh enough to follow: the last must have closed within two hours."
        else:
            words = f"No market has {days} whole days of candles at hand. Import some."
        return Prerequisite("Candles", ok=False, words=words)
    missing = [s for s in wanted if s not in market.covered]
    if missing:
        return Prerequisite("Candles", ok=False, words=f"{', '.join(missing)}: no candles for these {days} days.")
    count = f"{len(market.covered)} market{'s' if len(market.covered) != 1 else ''}"
    words = f"{count} of {window.venue}, {window.start} to {market.ends}."
    if window.synthetic:
        words += " The prices are invented (synthetic)."
    old = market.mode is CohortMode.REPLAY and market.ends is not None and clock.now().date() - market.ends > FRESH
    if old:
        words += " They are history: the cohort replays them."
    return Prerequisite("Candles", ok=None if old or window.synthetic else True, words=words)


def _clock(market: Market) -> Prerequisite:
    """Which of the two ways it goes, and what the other would mean."""
    if market.mode is CohortMode.FORWARD:
        ends = f" It ends on {market.ends} at 00:00 UTC; today counts as its first day." if market.ends else ""
        return Prerequisite(
            "Clock",
            ok=market.window is not None,
            words=f"Forward: paper trading as candles close, so nobody knows the outcome yet.{ends}",
        )
    words = "Replay: days that have passed are traded at once, so the answer is there in seconds, of the past."
    if market.live:
        return Prerequisite("Clock", ok=True, words=f"{words} Candles are fresh: forward is possible too.")
    return Prerequisite(
        "Clock",
        ok=None,
        words=f"{words} Forward, as candles close, takes candles of the last two hours; there are none.",
    )


def _currency(quote: str | None, currency: str | None) -> Prerequisite | None:
    if quote is None or currency is None or currency == quote:
        return None
    if currency == "USD" and quote in ("USDT", "USDC"):
        words = f"You said dollars; the markets at hand are quoted in {quote}, and so is this."
        return Prerequisite("Currency", ok=None, words=words)
    return Prerequisite("Currency", ok=False, words=f"You said {currency}; the markets at hand are quoted in {quote}.")


def _limits() -> Prerequisite:
    fund = default_fund()
    root = Book.objects.filter(fund=fund, parent=None).first() if fund else None
    if root is None:
        return Prerequisite("Limits", ok=False, words="There is no fund yet.")
    mode = trading_mode_for(book_id=root.pk)
    if mode is None or mode is TradingMode.HALTED:
        said = "not known" if mode is None else "halted"
        return Prerequisite("Limits", ok=False, words=f"Trading of the fund is {said}: see the guardrails.")
    count = len(effective_limits(root))
    if not count:
        return Prerequisite("Limits", ok=None, words="No limit binds the fund; the plan's own stop applies.")
    words = f"{count} limit{'s bind' if count > 1 else ' binds'} the fund."
    if mode is TradingMode.REDUCING:
        return Prerequisite("Limits", ok=None, words=f"{words} Trading is REDUCING: nothing new may be opened.")
    return Prerequisite("Limits", ok=True, words=words)


def _approvals() -> Prerequisite:
    """Paper agents start without a signature; what follows them does not, and rules must say who signs."""
    waiting = [
        kind
        for kind in ApprovalRequest.objects.filter(state__in=WAITING).values_list("kind", flat=True)
        if kind.startswith(CHANGES_WHAT_BINDS)
    ]
    under_way = (
        f" {len(waiting)} request{'s' if len(waiting) > 1 else ''} under way would change what binds it."
        if waiting
        else ""
    )
    try:
        _, policy = policy_in_force(PROMOTE)
    except PolicyMissingError:
        return Prerequisite(
            "Approvals",
            ok=None,
            words="Paper agents start without a signature. A winner could go no further: no rule says who signs "
            f"promotions.{under_way}",
        )
    quorum = policy.band_for(None).quorum
    signers = ", ".join(f"{role.value.lower()} ({count})" for role, count in sorted(quorum.items()))
    return Prerequisite(
        "Approvals",
        ok=None if waiting else True,
        words=f"Paper agents start without a signature; real capital for a winner takes them of {signers}.{under_way}",
    )


def _bankroll(quote: str | None, amount: Decimal) -> Prerequisite | None:
    """The cohort's own money is paper. What a winner would be given comes out of the fund's pool."""
    if quote is None:
        return None
    pool = BankrollPool.objects.select_related("book", "asset").filter(fund=default_fund(), asset__code=quote).first()
    if pool is None:
        return Prerequisite(
            "Bankroll",
            ok=None,
            words=f"The cohort's money is paper. There is no bankroll pool in {quote}, so a winner could get nothing.",
        )
    one, free = pool_slice_amount(pool), free_cash(pool.book, pool.asset)
    handed_out = sum((s.amount for s in open_slices(pool)), Decimal(0))
    words = (
        f"The cohort's money is paper. A winner's slice is {one:,.2f} {quote}: the pool of {pool.capacity:,.2f} has "
        f"handed out {handed_out:,.2f} and holds {free:,.2f}."
    )
    if free < one or handed_out + one > pool.capacity:
        return Prerequisite("Bankroll", ok=None, words=f"{words} That is too little for another slice.")
    if amount > pool.capacity:
        return Prerequisite(
            "Bankroll", ok=None, words=f"{words} You plan more than the whole pool: fills of that size say less of it."
        )
    return Prerequisite("Bankroll", ok=True, words=words)


def _running() -> Prerequisite:
    running = Cohort.objects.filter(status__in=LIVE_STATUSES).count()
    words = f"{running or 'No'} cohort{' runs' if running == 1 else 's run'} now."
    return Prerequisite("Cohorts at work", ok=None if running else True, words=words)
