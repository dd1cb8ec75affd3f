"""Reads about cohorts: for pages, the API and the command line alike."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import OuterRef, QuerySet, Subquery

from fundops.core import clock
from fundops.core.permissions import AnyUser
from trading.cohorts.catalog import open_catalog
from trading.cohorts.refusals import with_refusals
from trading.cohorts.setup import DAY_MS
from trading.marketdata.bars import Kind
from trading.marketdata.intervals import parse_interval
from trading.marketdata.symbols import split_symbol
from trading.models.cohort import AgentDay, Cohort, CohortAgent, CohortDay
from treasury.models import Fund


@dataclass(frozen=True, slots=True)
class Window:
    """The last whole days that a set of markets covers completely enough to trade."""

    venue: str
    quote: str
    symbols: tuple[str, ...]
    start: date
    synthetic: bool


def default_fund() -> Fund | None:
    """The fund a cohort belongs to when nobody says."""
    return Fund.objects.order_by("pk").first()


def latest_window(*, interval: str, days: int, venue: str | None = None) -> Window | None:
    """The latest ``days`` whole UTC days that most markets of one venue and quote cover; None without such candles.

    Real candles win over synthetic ones, then more markets, then later days.
    """
    series = defaultdict(list)
    for manifest in open_catalog().manifests(venue=venue, kind=Kind.TRADE):
        pair = split_symbol(manifest.key.symbol)
        if manifest.key.interval_ms == parse_interval(interval) and pair and manifest.first_ms is not None:
            series[manifest.key.venue, pair[1], manifest.synthetic].append(manifest)
    best: tuple[tuple[bool, int, date], Window] | None = None
    for (name, quote, synthetic), manifests in series.items():
        ends = sorted({_whole_days_end(m.last_ms or 0, m.key.interval_ms) for m in manifests})
        for end_ms in ends:
            start_ms = end_ms - days * DAY_MS
            covering = [
                m.key.symbol
                for m in manifests
                if (m.first_ms or 0) <= start_ms and (m.last_ms or 0) + m.key.interval_ms >= end_ms
            ]
            if not covering:
                continue
            start = clock.from_ms(start_ms).date()
            window = Window(name, quote, tuple(sorted(covering)), start, synthetic)
            order = (not synthetic, len(covering), start)
            if best is None or order > best[0]:
                best = (order, window)
    return best[1] if best else None


def live_window(*, interval: str, within: timedelta) -> Window | None:
    """The markets of one venue and quote whose candles go on as they close, from today on: the last of each closed no
    longer ago than that. Most markets win; None where nothing is so fresh. Invented candles never are.
    """
    oldest_ms = clock.now_ms() - within // timedelta(milliseconds=1)
    fresh: dict[tuple[str, str], set[str]] = defaultdict(set)
    for manifest in open_catalog().manifests(kind=Kind.TRADE):
        pair = split_symbol(manifest.key.symbol)
        step = manifest.key.interval_ms
        closed_ms = (manifest.last_ms or 0) + step
        if pair and step == parse_interval(interval) and not manifest.synthetic and closed_ms >= oldest_ms:
            fresh[manifest.key.venue, pair[1]].add(manifest.key.symbol)
    if not fresh:
        return None
    (venue, quote), symbols = max(fresh.items(), key=lambda item: (len(item[1]), item[0]))
    return Window(venue, quote, tuple(sorted(symbols)), clock.now().date(), synthetic=False)


def _whole_days_end(last_ms: int, interval_ms: int) -> int:
    return (last_ms + interval_ms) // DAY_MS * DAY_MS


def cohort_list(user: AnyUser) -> QuerySet[Cohort]:
    """Cohorts ``user`` may read, newest first, with the figures of their latest day."""
    latest = CohortDay.objects.filter(cohort=OuterRef("pk")).order_by("-day")
    return (
        Cohort.objects.for_user(user)
        .select_related("fund", "launched_by", "run")
        .annotate(
            latest_day=Subquery(latest.values("day")[:1]),
            latest_equity=Subquery(latest.values("equity")[:1]),
            latest_drawdown=Subquery(latest.values("drawdown_frac")[:1]),
            latest_trades=Subquery(latest.values("trades")[:1]),
        )
    )


def has_granted_cohorts(user: AnyUser) -> bool:
    """Whether any cohort was granted to ``user`` by itself, by its Book or by its fund."""
    return Cohort.objects.granted_to(user).exists()


def leaderboard(cohort: Cohort, *, day: int) -> QuerySet[AgentDay]:
    """The agents' rows of one day, best return first, with who refused their orders."""
    rows = AgentDay.objects.filter(agent__cohort=cohort, day=day)
    return with_refusals(rows).select_related("agent", "agent__book").order_by("rank")


def agent_of(cohort: Cohort, number: int) -> CohortAgent | None:
    return cohort.agents.select_related("book", "cohort").filter(number=number).first()


def window_end(cohort: Cohort) -> date:
    """The last day of a cohort's window."""
    return cohort.start + timedelta(days=cohort.days - 1)
