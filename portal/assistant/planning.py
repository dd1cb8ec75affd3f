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

from fundops.core import clock
from portal.assistant.intents import Grow, StartCohort
from risk.errors import LeveragePolicyMissingError
from risk.leverage import require_policy
from risk.quant.metrics import Metric
from risk.quant.pretrade import TradingMode
from risk.selectors import effective_limits
from risk.switches import trading_mode_for
from trading.models.cohort import LIVE_STATUSES, Cohort, CohortDay, CohortStatus
from trading.quant.evidence.resampling import block_length, stationary_indices
from trading.selectors.cohort import Window, default_fund, latest_window
from treasury.models import Book

Float64 = npt.NDArray[np.float64]

RESAMPLES = 2_000
#: Fewer hours than this say nothing about a day.
FEWEST_HOURS = 72
#: Candles that end longer ago than this are history: a plan says so.
FRESH = timedelta(days=2)
#: Where no limit stops a drawdown, the cohort's own alert is the stop of the plan.
DEFAULT_STOP = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Prerequisite:
    """One thing that must be so. ``ok`` None is no obstacle, and worth knowing."""

    name: str
    ok: bool | None
    words: str


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


def window_for(days: int, symbols: tuple[str, ...]) -> tuple[Window | None, tuple[str, ...]]:
    """The latest days at hand, and which of the wanted markets they cover (all of them when none was named)."""
    window = latest_window(interval="1m", days=days) or latest_window(interval="5m", days=days)
    if window is None:
        return None, ()
    return window, tuple(s for s in (symbols or window.symbols) if s in window.symbols)


def plan_growth(intent: Grow, *, seed: int = 0) -> Plan:
    """The plan of an amount over some days. Reads only."""
    return _plan(intent.amount, intent.days, intent.symbols, intent.agents, intent.currency, seed=seed)


def plan_cohort(intent: StartCohort, *, seed: int = 0) -> Plan:
    """The plan of a cohort, with what the launch page would propose for what was left out."""
    amount = intent.amount if intent.amount is not None else Decimal(1000)
    return _plan(amount, intent.days or 3, intent.symbols, intent.agents, intent.currency, seed=seed)


def _plan(
    amount: Decimal,
    days: int,
    symbols: tuple[str, ...],
    agents: int | None,
    currency: str | None,
    *,
    seed: int,
) -> Plan:
    window, covered = window_for(days, symbols)
    quote = window.quote if window else ""
    hours = hourly_history(synthetic=window.synthetic if window else False)
    stop = drawdown_stop()
    leverage = _leverage()
    terms: dict[str, Any] = {
        "amount": f"{amount:f}",
        "days": days,
        "symbols": list(covered),
        "agents": agents or 30,
        "venue": window.venue if window else "",
        "start": window.start.isoformat() if window else "",
        "quote": quote,
        "synthetic": bool(window and window.synthetic),
    }
    return Plan(
        terms=terms,
        prerequisites=_prerequisites(window, covered, symbols, currency, days),
        days=_days(float(amount), days, hours, leverage=leverage, stop=float(stop), seed=seed),
        hours_behind=int(hours.size),
        words=_words(amount, days, quote, hours, leverage, stop),
    )


def hourly_history(*, synthetic: bool) -> Float64:
    """The hourly returns of completed cohorts of the same kind of prices, oldest first, (n,)."""
    days = (
        CohortDay.objects.filter(complete=True, cohort__synthetic=synthetic, cohort__status=CohortStatus.COMPLETED)
        .order_by("-cohort__launched_at", "-day")
        .values_list("hourly_roi", flat=True)[:90]
    )
    hours = [np.nan if x is None else float(x) for day in reversed(list(days)) for x in day]
    found = np.array(hours, dtype=np.float64)
    return found[np.isfinite(found)]


def drawdown_stop() -> Decimal:
    """Where a fall from the peak stops trading: the fund's limit, else the plan's own."""
    fund = default_fund()
    root = Book.objects.filter(fund=fund, parent=None).first() if fund else None
    if root is None:
        return DEFAULT_STOP
    hard = [x.hard for x in effective_limits(root) if x.metric is Metric.DRAWDOWN_FRAC and x.hard is not None]
    return Decimal(str(min(hard))) if hard else DEFAULT_STOP


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


def _prerequisites(
    window: Window | None, covered: tuple[str, ...], wanted: tuple[str, ...], currency: str | None, days: int
) -> tuple[Prerequisite, ...]:
    found = [_data(window, covered, wanted, days), _currency(window, currency), _limits(), _running()]
    return tuple(p for p in found if p is not None)


def _data(window: Window | None, covered: tuple[str, ...], wanted: tuple[str, ...], days: int) -> Prerequisite:
    if window is None:
        return Prerequisite(
            "Candles", ok=False, words=f"No market has {days} whole days of candles at hand. Import some."
        )
    missing = [s for s in wanted if s not in covered]
    if missing:
        return Prerequisite("Candles", ok=False, words=f"{', '.join(missing)}: no candles for these {days} days.")
    ends = window.start + timedelta(days=days)
    old = clock.now().date() - ends > FRESH
    words = f"{len(covered)} markets of {window.venue}, {window.start} to {ends}."
    if window.synthetic:
        words += " The prices are invented (synthetic)."
    if old:
        words += " They are history: the cohort replays them."
    return Prerequisite("Candles", ok=None if old or window.synthetic else True, words=words)


def _currency(window: Window | None, currency: str | None) -> Prerequisite | None:
    if window is None or currency is None or currency == window.quote:
        return None
    if currency == "USD" and window.quote in ("USDT", "USDC"):
        return Prerequisite(
            "Currency",
            ok=None,
            words=f"You said dollars; the markets at hand are quoted in {window.quote}, and so is this.",
        )
    return Prerequisite(
        "Currency", ok=False, words=f"You said {currency}; the markets at hand are quoted in {window.quote}."
    )


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
    words = f"{count} limits bind the fund." if count else "No limit binds the fund; the plan's own stop applies."
    return Prerequisite("Limits", ok=None if mode is TradingMode.REDUCING or not count else True, words=words)


def _running() -> Prerequisite:
    running = Cohort.objects.filter(status__in=LIVE_STATUSES).count()
    return Prerequisite("Cohorts at work", ok=None if running else True, words=f"{running or 'No'} cohorts run now.")


def _words(
    amount: Decimal, days: int, quote: str, hours: Float64, leverage: list[Decimal], stop: Decimal
) -> tuple[str, ...]:
    words = [
        f"Paper agents trade {amount:,.2f} {quote} for {days} day{'s' if days != 1 else ''}. No real money moves.",
        f"It stops at a fall of {stop:.1%} from its peak: {float(amount) * float(stop):,.2f} {quote} are at risk.",
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
