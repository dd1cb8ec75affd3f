"""The rollback meters of a deployment: what would end it, how near that is, and what it rests on.

None of them moves when a slice is resized: what is measured is net of that cash (`trading.desk.growth`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from risk.leverage import leverage_in_force
from risk.quant.pretrade import TradingMode
from risk.switches import trading_mode_for
from trading.desk.growth import unit_points
from trading.models.cohort import AgentDay
from trading.models.deployments import Deployment, DeskRun
from trading.models.promotion import PromotionReview, ReviewState
from trading.promotion.evidence import Evidence
from trading.promotion.rules import WatchPolicy
from trading.quant.sequential import Claim, Watch, claim_of, watch

Float64 = npt.NDArray[np.float64]
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Meter:
    """One cause of a rollback. ``reading`` and ``limit`` are in ``unit``; ``share`` of the way to the limit is null
    when the reading is not known."""

    cause: str
    label: str
    reading: float | None
    limit: float
    unit: str
    fired: bool
    words: str
    n: int | None = None

    @property
    def share(self) -> float | None:
        if self.reading is None or self.limit == 0:
            return None
        return max(0.0, self.reading / self.limit)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"share": self.share}


def read_meters(review: PromotionReview, *, policy: WatchPolicy, at: datetime) -> list[Meter]:
    """Every meter of a review's deployment at that moment, the order of causes being that in which they are named."""
    deployment = review.deployment
    assert deployment is not None, "only what is deployed has meters"  # noqa: S101
    run: DeskRun = deployment.run
    return [
        _kill_switch(deployment),
        _drawdown(run, policy),
        _returns(review, deployment, policy),
        _costs(review, run, policy),
        _leverage(deployment),
        _heartbeat(review, deployment, run, policy, at),
        _timer(review, run, deployment),
    ]


def hourly_returns(deployment: Deployment) -> Float64:
    """Returns of the slice from hour to hour of market time, by its cycles; whole hours alone, and net of the cash that
    a resize moved."""
    first = deployment.start_ms // HOUR_MS * HOUR_MS + HOUR_MS
    hours = range(first, deployment.run.next_bar_ms + 1, HOUR_MS)
    marks = np.array([point.worth for point in unit_points(deployment, hours)], dtype=np.float64)
    return np.asarray(marks[1:] / marks[:-1] - 1.0)


def claimed(review: PromotionReview) -> Claim | None:
    """What the candidate's own hours in the cohort let one claim, at the leverage it began with."""
    days = AgentDay.objects.filter(agent=review.agent_id).order_by("day").values_list("hourly_roi", flat=True)
    hours = np.array([math.nan if x is None else x for day in days for x in day], dtype=np.float64)
    scale = float(review.deployment.leverage_at_opening) if review.deployment else 1.0
    return claim_of(hours, scale=scale)


def watched(review: PromotionReview, policy: WatchPolicy) -> Watch | None:
    """The test on returns as it stands, or None when the cohort's hours let one claim nothing."""
    claim = claimed(review)
    if claim is None or review.deployment is None:
        return None
    return watch(
        hourly_returns(review.deployment),
        claim,
        alpha=policy.false_alarm,
        shift=policy.shift,
        inflation=policy.inflation,
    )


def _kill_switch(deployment: Deployment) -> Meter:
    mode = trading_mode_for(book_id=deployment.book_id, venue=deployment.venue)
    stopped = mode is TradingMode.HALTED
    said = "not known: orders are denied" if mode is None else mode.value.lower()
    return Meter("kill_switch", "Kill switch", float(stopped), 1.0, "", stopped, f"Trading of its Book is {said}.")


def _drawdown(run: DeskRun, policy: WatchPolicy) -> Meter:
    value = run.drawdown_frac
    worst = max(value, run.max_drawdown_frac)
    fired = worst >= policy.drawdown_frac
    words = f"{worst:.2%} below its peak at worst; {policy.drawdown_frac:.2%} ends it."
    return Meter("drawdown", "Drawdown", worst, policy.drawdown_frac, "frac", fired, words)


def _returns(review: PromotionReview, deployment: Deployment, policy: WatchPolicy) -> Meter:
    seen = watched(review, policy)
    label = "Against the cohort's distribution"
    limit = 1.0 / policy.false_alarm
    if seen is None:
        why = "The cohort's hours say too little to compare with."
        return Meter("distribution", label, None, limit, "wealth", fired=False, words=why)
    blamed = "a lower mean" if seen.blames == "mean" else "wider swings"
    words = (
        f"Betting against the claim has turned 1 into {seen.peak:.2f} at best over {seen.n} hours, mostly by {blamed}; "
        f"at {limit:.0f} it ends. A candidate as good as claimed ever gets there with {policy.false_alarm:.0%} at most."
    )
    return Meter("distribution", label, seen.peak, limit, "wealth", seen.alarm, words, seen.n)


def _costs(review: PromotionReview, run: DeskRun, policy: WatchPolicy) -> Meter:
    label = "Costs of turnover, over the cohort's"
    bridge = Evidence.model_validate(review.evidence).costs
    turnover, paid = float(run.turnover), float(run.fees + run.slippage)
    if bridge is None or bridge.turnover <= 0 or run.fills < policy.cost_min_fills or turnover <= 0:
        words = f"{run.fills} fills so far; from {policy.cost_min_fills} on it is judged."
        return Meter("costs", label, None, policy.cost_ratio, "ratio", fired=False, words=words, n=run.fills)
    expected = (bridge.fees + bridge.spread + bridge.impact) / bridge.turnover
    ratio = paid / turnover / expected if expected > 0 else math.inf
    fired = ratio > policy.cost_ratio
    words = f"{1e4 * paid / turnover:.1f} bps a turnover against {1e4 * expected:.1f} in the cohort."
    return Meter("costs", label, ratio, policy.cost_ratio, "ratio", fired, words, run.fills)


def _leverage(deployment: Deployment) -> Meter:
    """A step down scales it down and no more, until the policy allows less than it did at the start."""
    allowed, began = leverage_in_force(deployment.book), deployment.start_leverage
    fired = allowed < began
    words = (
        f"The policy allowed {began.normalize():f} x at the start and allows {allowed.normalize():f} x now; "
        f"less than at the start ends it. It was approved for {deployment.leverage.normalize():f} x at most."
    )
    return Meter("leverage", "Leverage policy", float(fired), 1.0, "", fired, words)


def absent(review: PromotionReview, *, policy: WatchPolicy, at: datetime) -> bool:
    """Whether nobody has read the meters for so long that a silence in between says nothing about the desk."""
    return review.metered_at is None or (at - review.metered_at).total_seconds() > policy.heartbeat_s / 2


def _heartbeat(
    review: PromotionReview, deployment: Deployment, run: DeskRun, policy: WatchPolicy, at: datetime
) -> Meter:
    """Silence that the watch has sat through: after a time when all was down the desk has its full time again."""
    label, limit = "Heartbeat of its desk", float(policy.heartbeat_s)
    heard = run.heartbeat_at or deployment.opened_at
    since = max(heard, review.watched_since or heard)
    silent = max(0.0, (at - since).total_seconds())
    fired = deployment.is_worked and silent > limit
    words = f"Last heard of {max(0.0, (at - heard).total_seconds()):.0f} s ago; silence of {limit:.0f} s ends it."
    if since > heard:
        words += f" It counts since the watch itself is back, {silent:.0f} s ago."
    return Meter("heartbeat", label, silent if deployment.is_worked else 0.0, limit, "s", fired, words)


def _timer(review: PromotionReview, run: DeskRun, deployment: Deployment) -> Meter:
    until = review.watch_until_ms or 0
    begun = deployment.start_ms
    whole = max(1, until - begun)
    gone = max(0, run.next_bar_ms - begun)
    over = review.state == ReviewState.GRADUATED
    fired = run.next_bar_ms >= until and not over
    words = f"{gone / 3_600_000:.1f} of {whole / 3_600_000:.1f} hours of market time watched."
    if over:
        gone, words = min(gone, whole), "It has graduated: the other meters go on for as long as it trades."
    return Meter("timer", "Timer", gone / 3_600_000, whole / 3_600_000, "h", fired, words)
