"""A plan for growing an amount: what must be so first, and each day as a distribution, never as a promise.

The distribution is a stationary bootstrap of the hours that earlier cohorts of the fund have traded (their parents'
hourly returns, in blocks): it says what such days have been like, not what the next ones will be.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import Q

from portal.assistant.intents import Grow, StartCohort
from portal.assistant.prerequisites import Market, Prerequisite, prerequisites
from risk.errors import LeveragePolicyMissingError
from risk.leverage import require_policy
from risk.quant.metrics import Metric
from risk.selectors import effective_limits
from trading.actions.cohort_feed import HISTORY_MS
from trading.models.cohort import CohortDay, CohortMode, CohortStatus
from trading.quant.evidence.resampling import block_length, stationary_indices
from trading.selectors.cohort import default_fund, latest_window, live_window
from treasury.models import Book

Float64 = npt.NDArray[np.float64]

RESAMPLES = 2_000
#: Fewer hours than this say nothing about a day.
FEWEST_HOURS = 72
#: The stop of a plan where no limit of the fund is tighter, and the tightest that a cohort takes.
DEFAULT_STOP = Decimal("0.05")
SMALLEST_STOP = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class PlannedDay:
    """One day of a plan, money in the markets' currency; figures are null where nothing is known."""

    day: int
    low: float | None
    median: float | None
    high: float | None
    leverage: float
    at_risk: float
    stop: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be launched, what stands against it, and what such days have been like."""

    terms: dict[str, Any]
    prerequisites: tuple[Prerequisite, ...]
    days: tuple[PlannedDay, ...]
    hours_behind: int
    words: tuple[str, ...]

    @property
    def possible(self) -> bool:
        return all(p.ok is not False for p in self.prerequisites)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"possible": self.possible}


def plan_growth(intent: Grow, *, seed: int = 0) -> Plan:
    """The plan of an amount over some days: as candles close where they are fresh, else of the latest days. Reads
    only."""
    return _plan(intent, intent.amount, intent.days, preferred=CohortMode.FORWARD, seed=seed)


def plan_cohort(intent: StartCohort, *, seed: int = 0) -> Plan:
    """The plan of a cohort, with what the launch page would propose for what was left out."""
    amount = intent.amount if intent.amount is not None else Decimal(1000)
    return _plan(intent, amount, intent.days or 3, preferred=CohortMode.REPLAY, seed=seed)


def market_for(*, mode: str | None, preferred: CohortMode, days: int, symbols: tuple[str, ...]) -> Market:
    """Where a plan trades. ``mode`` None takes the preferred one where candles allow it; no markets named means all."""
    live = live_window(interval="1m", within=timedelta(milliseconds=HISTORY_MS))
    fresh = live is not None and all(s in live.symbols for s in symbols)
    forward = mode == CohortMode.FORWARD or (mode is None and preferred is CohortMode.FORWARD and fresh)
    if forward:
        covered = tuple(s for s in (symbols or live.symbols) if s in live.symbols) if live else ()
        return Market(CohortMode.FORWARD, "1m", live, covered, fresh, days)
    for interval in ("1m", "5m"):
        window = latest_window(interval=interval, days=days)
        if window is not None:
            covered = tuple(s for s in (symbols or window.symbols) if s in window.symbols)
            return Market(CohortMode.REPLAY, interval, window, covered, fresh, days)
    return Market(CohortMode.REPLAY, "1m", None, (), fresh, days)


def _plan(intent: Grow | StartCohort, amount: Decimal, days: int, *, preferred: CohortMode, seed: int) -> Plan:
    market = market_for(mode=intent.mode, preferred=preferred, days=days, symbols=intent.symbols)
    window = market.window
    quote = window.quote if window else ""
    hours = hourly_history(synthetic=window.synthetic if window else False)
    stop = drawdown_stop()
    leverage = _leverage()
    terms: dict[str, Any] = {
        "amount": f"{amount:f}",
        "days": days,
        "symbols": list(market.covered),
        "agents": intent.agents or 30,
        "mode": market.mode.value,
        "venue": window.venue if window else "",
        "interval": market.interval,
        "start": window.start.isoformat() if window else "",
        "quote": quote,
        "synthetic": bool(window and window.synthetic),
        "stop_frac": f"{stop:f}",
    }
    return Plan(
        terms=terms,
        prerequisites=prerequisites(market, wanted=intent.symbols, amount=amount, currency=intent.currency),
        days=_days(float(amount), days, hours, leverage=leverage, stop=float(stop), seed=seed),
        hours_behind=int(hours.size),
        words=_words(amount, days, quote, hours, leverage, stop),
    )


def hourly_history(*, synthetic: bool) -> Float64:
    """The hourly returns of cohorts of the same kind of prices, oldest first, (n,): of those that finished, and of
    those that their stop ended, whose hours would otherwise be missing just because they were bad."""
    ended = Q(cohort__status=CohortStatus.COMPLETED, complete=True) | Q(
        cohort__status=CohortStatus.CANCELLED, cohort__drawdown_stop_frac__isnull=False
    )
    days = (
        CohortDay.objects.filter(ended, cohort__synthetic=synthetic)
        .order_by("-cohort__launched_at", "-day")
        .values_list("hourly_roi", flat=True)[:90]
    )
    hours = [np.nan if x is None else float(x) for day in reversed(list(days)) for x in day]
    found = np.array(hours, dtype=np.float64)
    return found[np.isfinite(found)]


def drawdown_stop() -> Decimal:
    """The fall from its peak at which the machine ends what is launched: the fund's limit, else the plan's own."""
    fund = default_fund()
    root = Book.objects.filter(fund=fund, parent=None).first() if fund else None
    if root is None:
        return DEFAULT_STOP
    hard = [x.hard for x in effective_limits(root) if x.metric is Metric.DRAWDOWN_FRAC and x.hard is not None]
    tightest = Decimal(str(min(hard))) if hard else DEFAULT_STOP
    return min(max(tightest, SMALLEST_STOP), Decimal(1)).quantize(SMALLEST_STOP / 10)


def _leverage() -> list[Decimal]:
    """The policy's tiers from its start: what a day could carry at most if every day before it earned a step."""
    try:
        _, rules = require_policy()
    except LeveragePolicyMissingError:
        return [Decimal(1)]
    cooldown = max(1, -(-rules.step_up_cooldown_h // 24))
    return [min(rules.cap, rules.start + rules.step * (day // cooldown)) for day in range(90)]


def _days(
    amount: float, days: int, hours: Float64, *, leverage: list[Decimal], stop: float, seed: int
) -> tuple[PlannedDay, ...]:
    paths = None
    if hours.size >= FEWEST_HOURS:
        rng = np.random.default_rng(seed)
        rows = stationary_indices(rng, hours.size, block=block_length(hours), resamples=RESAMPLES)
        need = 24 * days
        while rows.shape[1] < need:
            more = stationary_indices(rng, hours.size, block=block_length(hours), resamples=RESAMPLES)
            rows = np.concatenate([rows, more], axis=1)
        paths = amount * np.cumprod(1 + hours[rows[:, :need]], axis=1)[:, 23::24]
    planned = []
    for day in range(1, days + 1):
        low, median, high = (
            (None, None, None)
            if paths is None
            else (float(x) for x in np.quantile(paths[:, day - 1], [0.05, 0.5, 0.95]))
        )
        carried = leverage[min(day - 1, len(leverage) - 1)]
        planned.append(
            PlannedDay(
                day=day,
                low=low,
                median=median,
                high=high,
                leverage=float(carried),
                at_risk=amount * stop,
                stop=amount * (1 - stop),
            )
        )
    return tuple(planned)


def _words(
    amount: Decimal, days: int, quote: str, hours: Float64, leverage: list[Decimal], stop: Decimal
) -> tuple[str, ...]:
    words = [
        f"Paper agents trade {amount:,.2f} {quote} for {days} day{'s' if days != 1 else ''}. No real money moves.",
        f"The machine ends it at the first bar that closes {stop:.1%} below its peak: about "
        f"{float(amount) * float(stop):,.2f} {quote} are at risk, and whatever one bar jumps beyond that.",
    ]
    if hours.size >= FEWEST_HOURS:
        words.append(
            f"The ranges are what {hours.size} traded hours of earlier cohorts allow, resampled in blocks. They are no "
            "promise: chance alone explains most of what a few days show."
        )
    else:
        words.append(f"Only {hours.size} traded hours are known: what a day may bring is not known.")
    if len(leverage) > 1 and leverage[0] != leverage[-1]:
        words.append("Leverage is what the policy would allow at most; a loss lowers it at once.")
    return tuple(words)
