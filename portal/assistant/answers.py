"""What the assistant answers without starting anything: status, bankroll, readiness, and what to fund tomorrow."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from django.urls import reverse

from compliance.models import ApprovalRequest
from compliance.selectors_approvals import VIEW_REQUESTS, approval_queue
from fundops.core.models import User
from fundops.core.permissions import may, require
from trading.models.cohort import Cohort, CohortStatus
from trading.models.promotion import BEFORE_CAPITAL, WATCHED, LiveRecord, PromotionReview, ReviewState
from trading.selectors.cohort import cohort_list
from treasury.actions.bankroll import SET_POOL, open_slices, pool_slice_amount
from treasury.models import BankrollPool
from treasury.selectors import free_cash

MOST = 10
#: What a pool must have lost, of its capacity, before another capacity is recommended.
WORTH_SAYING = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Link:
    """Where to read on."""

    label: str
    href: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A change of the bankroll worth thinking about, with its reason; nothing is done by it."""

    title: str
    reason: str
    href: str
    amount: str | None = None
    asset: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Plain words first, then the figures they come from, and where to go on."""

    title: str
    words: tuple[str, ...]
    figures: dict[str, Any]
    links: tuple[Link, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def cohort_status(user: User, number: int | None = None) -> Answer:
    """How the latest cohorts do, or one of them."""
    require(user, "trading.view_cohort")
    rows = cohort_list(user)
    if number is not None:
        rows = rows.filter(pk=number)
    cohorts = list(rows[:MOST])
    if not cohorts:
        said = f"There is no cohort {number}." if number is not None else "No cohort has been launched yet."
        return Answer("Cohorts", (said,), {"cohorts": []}, (Link("Launch one", reverse("portal:cohort-new")),))
    figures = [_cohort_figures(cohort) for cohort in cohorts]
    live = sum(c["status"] in ("queued", "running", "cancelling") for c in figures)
    words = (
        [f"{live} of the latest {len(figures)} cohorts {'is' if live == 1 else 'are'} at work."]
        if number is None
        else []
    )
    words += [_cohort_words(c) for c in figures[: 5 if number is None else 1]]
    links = tuple(Link(str(c), c.get_absolute_url()) for c in cohorts[:5])
    return Answer("Cohorts" if number is None else str(cohorts[0]), tuple(words), {"cohorts": figures}, links)


def _cohort_figures(cohort: Cohort) -> dict[str, Any]:
    equity = getattr(cohort, "latest_equity", None)
    roi = None if equity is None else float(equity / cohort.bankroll - 1)
    return {
        "cohort": cohort.pk,
        "name": str(cohort),
        "status": cohort.status,
        "day": getattr(cohort, "latest_day", None),
        "days": cohort.days,
        "bankroll": str(cohort.bankroll),
        "quote": cohort.quote,
        "equity": None if equity is None else str(equity),
        "roi_frac": roi,
        "drawdown_frac": getattr(cohort, "latest_drawdown", None),
        "trades": getattr(cohort, "latest_trades", None),
        "synthetic": cohort.synthetic,
    }


def _cohort_words(c: dict[str, Any]) -> str:
    label = " (invented prices)" if c["synthetic"] else ""
    if c["roi_frac"] is None:
        return f"{c['name']}{label} is {c['status']} and has traded no bar yet."
    return (
        f"{c['name']}{label} is {c['status']} on day {c['day']} of {c['days']}: {c['roi_frac']:+.2%} on "
        f"{Decimal(c['bankroll']):,.0f} {c['quote']}."
    )


def bankroll_summary(user: User) -> Answer:
    """What each pool is, holds and has handed out."""
    require(user, "treasury.view_book")
    pools = []
    for pool in BankrollPool.objects.select_related("fund", "asset", "book"):
        slices = open_slices(pool)
        pools.append(
            {
                "pool": str(pool),
                "asset": pool.asset.code,
                "capacity": str(pool.capacity),
                "free": str(free_cash(pool.book, pool.asset)),
                "slice": str(pool_slice_amount(pool)),
                "handed_out": str(sum((s.amount for s in slices), Decimal(0))),
                "slices": [{"book": s.book.path, "amount": str(s.amount), "source": s.source} for s in slices],
            }
        )
    if not pools:
        words: tuple[str, ...] = (
            "There is no bankroll pool yet: a request of the kind 'treasury.set_pool' makes one.",
        )
    else:
        words = tuple(
            f"{p['pool']}: {Decimal(str(p['handed_out'])):,.2f} of {Decimal(str(p['capacity'])):,.2f} {p['asset']} is "
            f"handed out in {len(p['slices'])} slices; {Decimal(str(p['free'])):,.2f} is free. "
            f"A new slice is {p['slice']}."
            for p in pools
        )
    return Answer("Bankroll", words, {"pools": pools})


def promotion_readiness(user: User, cohort: int | None = None) -> Answer:
    """How ready a cohort's candidate is: the verdict, what it fails, and what is not known."""
    require(user, "trading.view_promotionreview")
    reviews = PromotionReview.objects.for_user(user).select_related("cohort", "agent")
    review = (reviews.filter(cohort_id=cohort) if cohort is not None else reviews).first()
    if review is None:
        known = Cohort.objects.for_user(user).filter(pk=cohort).first() if cohort is not None else None
        said = (
            f"{known} has no review yet: it is compiled when its third day has closed."
            if known is not None
            else ("No cohort has a review yet." if cohort is None else f"There is no cohort {cohort}.")
        )
        return Answer("Promotion", (said,), {"review": None})
    failed = [check["words"] for check in review.verdict["musts"] if check["standing"] != "passed"]
    words = [f"{review.cohort}: {review.get_state_display().lower()}.", *review.verdict["words"]]
    figures = {
        "review": review.pk,
        "cohort": review.cohort_id,
        "agent": review.agent.number if review.agent else None,
        "state": review.state,
        "passed": review.passed,
        "ready": review.passed and review.state in BEFORE_CAPITAL,
        "failed": failed,
        "not_known": review.evidence["not_known"],
        "figures": review.evidence["figures"],
    }
    return Answer(
        f"Promotion of {review.cohort}", tuple(words), figures, (Link("The review", review.get_absolute_url()),)
    )


def fund_tomorrow(user: User) -> Answer:
    """Outcomes of late, what to change about the bankroll and why, and what waits for a signature."""
    require(user, "trading.view_cohort")
    ended = list(cohort_list(user).filter(status=CohortStatus.COMPLETED)[:MOST])
    figures = [_cohort_figures(c) for c in ended]
    reviews = list(PromotionReview.objects.for_user(user).select_related("cohort", "deployment__run", "agent")[:MOST])
    records = list(LiveRecord.objects.select_related("deployment")[:MOST])
    pending = _pending(user)
    recommendations = _recommendations(reviews, records)
    words = [*_outcome_words(figures, reviews), *(f"{r.title}: {r.reason}" for r in recommendations)]
    words.append(f"{len(pending)} requests wait for a signature." if pending else "Nothing waits for a signature.")
    return Answer(
        "What to fund tomorrow",
        tuple(words),
        {"cohorts": figures, "pending": pending, "reviews": [{"review": r.pk, "state": r.state} for r in reviews]},
        tuple(Link(p["title"], p["href"]) for p in pending[:5]),
        tuple(recommendations),
    )


def _outcome_words(figures: list[dict[str, Any]], reviews: list[PromotionReview]) -> list[str]:
    known = [c for c in figures if c["roi_frac"] is not None]
    if not known:
        return ["No cohort has finished yet, so there is nothing to learn from."]
    up = sum(c["roi_frac"] > 0 for c in known)
    passed = sum(r.passed for r in reviews)
    return [
        f"Of the latest {len(known)} cohorts that finished, {up} ended with a profit; a coin would have said "
        f"{len(known) / 2:g}.",
        f"{passed} of {len(reviews)} reviews passed the gate."
        if reviews
        else "No review has been compiled: what the cohorts showed has not been tested.",
    ]


def _recommendations(reviews: list[PromotionReview], records: list[LiveRecord]) -> list[Recommendation]:
    """Only what evidence supports, each with its amount: nothing is recommended for having been lucky."""
    pools = list(BankrollPool.objects.select_related("fund", "asset", "book"))
    by_party = {(pool.fund_id, pool.asset.code): pool for pool in pools}
    found = [
        one
        for review in reviews
        if (one := _about_review(review, by_party.get((review.cohort.fund_id, review.cohort.quote)))) is not None
    ]
    found += [one for pool in pools if (one := _about_pool(pool, records)) is not None]
    burnt = [r for r in records if r.outcome == ReviewState.ROLLED_BACK]
    if burnt:
        lost = sum((r.profit for r in burnt), Decimal(0))
        found.append(
            Recommendation(
                "Fund nothing of what was rolled back",
                f"{len(burnt)} experiment{'s' if len(burnt) > 1 else ''} with real orders ended early, "
                f"{lost:+,.2f} in all; such genomes count for less since.",
                reverse("portal:reviews"),
                "0.00",
            )
        )
    if not found:
        found.append(
            Recommendation(
                "Fund no more than paper: 0.00",
                "No candidate has evidence that chance does not explain. Another cohort costs nothing.",
                reverse("portal:cohort-new"),
                "0.00",
            )
        )
    return found


def _about_review(review: PromotionReview, pool: BankrollPool | None) -> Recommendation | None:
    href = review.get_absolute_url()
    if review.passed and review.state in (ReviewState.SCREENED, ReviewState.AWAITING_APPROVAL):
        if pool is None:
            why = f"It passed the gate, but there is no pool in {review.cohort.quote} to draw on."
            return Recommendation(f"Make a pool for {review.cohort}'s candidate", why, _new_pool())
        one, asset = pool_slice_amount(pool), pool.asset.code
        return Recommendation(
            f"Fund {review.cohort}'s candidate with {one:,.2f} {asset}",
            "It passed the gate and waits for people; that is the pool's slice.",
            href,
            f"{one:f}",
            asset,
        )
    if review.state in WATCHED and review.deployment is not None:
        deployment = review.deployment
        return Recommendation(
            f"Leave {deployment} at {deployment.bankroll:,.2f} {deployment.quote}",
            f"Its watch has not ended; it stands {deployment.run.drawdown_frac:.2%} below its peak.",
            href,
            f"{deployment.bankroll:f}",
            deployment.quote,
        )
    return None


def _about_pool(pool: BankrollPool, records: list[LiveRecord]) -> Recommendation | None:
    """A pool that says it is more than there is shrinks to what there is; one whose watch ended well since it was last
    set grows by a slice."""
    asset, one = pool.asset.code, pool_slice_amount(pool)
    handed_out = sum((s.amount for s in open_slices(pool)), Decimal(0))
    there = (free_cash(pool.book, pool.asset) + handed_out).quantize(Decimal("0.01"), rounding=ROUND_DOWN)
    if pool.capacity - there >= pool.capacity * WORTH_SAYING:
        return Recommendation(
            f"Lower the {pool} from {pool.capacity:,.2f} to {there:,.2f} {asset}",
            f"{pool.capacity - there:,.2f} of it was lost by what ended: it is not there to hand out. Slices follow.",
            _new_pool(),
            f"{there:f}",
            asset,
        )
    last_set = pool.history.order_by("-history_date").values_list("history_date", flat=True).first()
    won = [
        r
        for r in records
        if r.outcome == ReviewState.GRADUATED
        and r.profit > 0
        and (r.deployment.fund_id, r.deployment.quote) == (pool.fund_id, asset)
        and (last_set is None or r.at > last_set)
    ]
    if not won:
        return None
    raised = pool.capacity + one
    return Recommendation(
        f"Raise the {pool} from {pool.capacity:,.2f} to {raised:,.2f} {asset}",
        f"{won[0].deployment} ended its watch with {won[0].profit:+,.2f} over {won[0].hours} hours. One slice more "
        "lets the next be tried beside it; so few hours are no reason for more.",
        _new_pool(),
        f"{raised:f}",
        asset,
    )


def _new_pool() -> str:
    return reverse("portal:approval-new", args=[SET_POOL])


def _pending(user: User) -> list[dict[str, Any]]:
    if not may(user, VIEW_REQUESTS):
        return []
    waiting = approval_queue(user=user) if may(user, "compliance.decide_request") else _open_requests()
    return [
        {
            "request": str(request.pk),
            "title": request.object_label or request.kind,
            "kind": request.kind,
            "state": request.state,
            "expires_at": request.expires_at.isoformat() if request.expires_at else None,
            "href": reverse("portal:approval", args=[request.pk]),
        }
        for request in waiting[:MOST]
    ]


def _open_requests() -> Any:
    return ApprovalRequest.objects.filter(state__in=("submitted", "partially_approved", "approved")).order_by(
        "expires_at"
    )
