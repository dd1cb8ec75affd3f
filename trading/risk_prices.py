"""Prices that risk asks for, from the stored candles: marks, daily closes, windows of the past, volumes.

Assets are the ledger's; an instrument says which market trades one, the catalog's mirror in the database which series
of it is stored. Only the parts that hold an answer are read, and what a part says is kept, for parts never change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db.models import Q

from fundops.core.clock import from_ms, to_ms
from trading.marketdata.bars import Kind, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.manifest import Part
from trading.models.cohort import CohortRun
from trading.models.deployments import WORKED_STATUSES, Deployment
from trading.models.instruments import Instrument
from trading.models.marketdata import CandleSet

DAY_MS = 86_400_000
#: A mark may be so old, or two of its bars; an older one is none.
MARK_AGE = timedelta(minutes=15)
#: The day's close is that of a bar which closes within this before midnight.
CLOSE_SLACK_MS = 3_600_000
#: A window is shown on at most so many instants.
WINDOW_POINTS = 20_000
#: A price is carried on over a hole of so many grid steps.
_CARRY_STEPS = 10
#: A window with more of it missing is not known.
_WINDOW_MISSING_FRAC = 0.2
VOLUME_DAYS = 7
#: Series that end within this of one another are equally fresh.
_ABREAST_MS = 7 * DAY_MS

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """A stored series of a market, and what its price is quoted in."""

    key: SeriesKey
    quote: str
    first_ms: int
    last_ms: int

    @property
    def end_ms(self) -> int:
        """When its last bar closed."""
        return self.last_ms + self.key.interval_ms


def series_of(names: Collection[str]) -> dict[str, list[Series]]:
    """The stored candles of every market that trades an asset, or is called so ("BTC" or "BTCUSDT"). Two queries."""
    markets = list(
        Instrument.objects.filter(Q(position_asset__code__in=names) | Q(symbol__in=names)).values_list(
            "venue", "symbol", "position_asset__code", "quote_asset__code"
        )
    )
    stored: dict[tuple[str, str], list[CandleSet]] = {}
    sets = CandleSet.objects.filter(
        venue__in={m[0] for m in markets}, symbol__in={m[1] for m in markets}, kind=str(Kind.TRADE), rows__gt=0
    )
    for found in sets:
        stored.setdefault((found.venue, found.symbol), []).append(found)
    out: dict[str, list[Series]] = {name: [] for name in names}
    for venue, symbol, asset, quote in markets:
        for found in stored.get((venue, symbol), ()):
            if found.first_at is not None and found.last_at is not None:
                key = SeriesKey(venue, symbol, found.interval_ms)
                series = Series(key, quote, to_ms(found.first_at), to_ms(found.last_at))
                for name in {asset, symbol} & out.keys():
                    out[name].append(series)
    return out


# --- Marks ---------------------------------------------------------------------------------------------------
def marks(assets: Collection[str], base: str, at: datetime) -> dict[str, float]:
    """The latest close of each asset in `base` as of `at`; one too old, or quoted in anything else, is left out."""
    catalog, at_ms = open_catalog(), to_ms(at)
    out = {}
    for asset, found in series_of(assets).items():
        close = _freshest([s for s in found if s.quote == base], catalog, at_ms)
        if close is not None:
            out[asset] = close
    return out


def rate(asset: str, base: str, at: datetime) -> float | None:
    """What one unit of `asset` is worth in `base`, by a market of the one in the other."""
    return 1.0 if asset == base else marks([asset], base, at).get(asset)


def _freshest(found: Iterable[Series], catalog: Catalog, at_ms: int) -> float | None:
    best: tuple[int, float] | None = None
    for series in sorted(found, key=lambda s: s.key.interval_ms):
        age_ms = max(MARK_AGE // timedelta(milliseconds=1), 2 * series.key.interval_ms)
        if series.end_ms < at_ms - age_ms or series.first_ms > at_ms:
            continue
        bars = catalog.read_bars(
            series.key, at_ms - age_ms - series.key.interval_ms, at_ms - series.key.interval_ms + 1
        )
        if len(bars) and (best is None or int(bars.ts_ms[-1]) + series.key.interval_ms > best[0]):
            closed = int(bars.ts_ms[-1]) + series.key.interval_ms
            if closed >= at_ms - age_ms:
                best = (closed, float(bars.close[-1]))
    return None if best is None else best[1]


# --- Days ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Day:
    """A UTC day of a series: its close where the day is whole (NaN else), and the money traded in it."""

    close: float
    turnover: float


_days_of_part: OrderedDict[str, dict[int, _Day]] = OrderedDict()
_PARTS_KEPT = 20_000


def daily_returns(assets: Sequence[str], days: int, at: datetime) -> FloatArray:
    """Simple daily returns (n <= days, n_assets) on UTC days, oldest first; NaN where a close is missing.

    The last day is the last whole one before `at`, or before the clock of the latest cohort where all that trades
    lives in the past. Days before the first close of every asset are left out.
    """
    if not assets:
        return np.zeros((0, 0))
    _, closes = _daily_closes(assets, days, at)
    if not closes.shape[0]:
        return closes
    with np.errstate(invalid="ignore", divide="ignore"):
        returns: FloatArray = closes[1:] / closes[:-1] - 1.0
    return returns


def last_return_day(assets: Sequence[str], at: datetime) -> date | None:
    """The UTC day that the last row of `daily_returns` is of; None where no close is known."""
    if not assets:
        return None
    first, closes = _daily_closes(assets, 1, at)
    return from_ms((first + closes.shape[0] - 1) * DAY_MS).date() if closes.shape[0] else None


def _daily_closes(assets: Sequence[str], days: int, at: datetime) -> tuple[int, FloatArray]:
    """Closes (n <= days + 1, n_assets) from the first to the last day on which any is known, and that first day."""
    found = series_of(assets)
    last_day = min(to_ms(at), _latest_clock_ms(at)) // DAY_MS
    first_day = last_day - days - 2  # one close more than returns
    closes = np.full((days + 1, len(assets)), np.nan)
    catalog = open_catalog()
    for j, asset in enumerate(assets):
        series = _longest(found[asset], last_day * DAY_MS)
        if series is None:
            continue
        for day, held in _read_days(catalog, series.key, first_day, last_day).items():
            closes[day - first_day - 1, j] = held.close
    known = np.flatnonzero(np.isfinite(closes).any(axis=1))
    if not known.size:
        return first_day, np.full((0, len(assets)), np.nan)
    return first_day + 1 + int(known[0]), closes[known[0] : known[-1] + 1]


def daily_volumes(assets: Sequence[str], at: datetime) -> dict[str, float]:
    """Money traded in a day (in the market's quote), the mean of the last `VOLUME_DAYS` days stored."""
    catalog, last_day = open_catalog(), min(to_ms(at), _latest_clock_ms(at)) // DAY_MS
    out = {}
    for asset, found in series_of(assets).items():
        series = _longest(found, last_day * DAY_MS)
        if series is None:
            continue
        end = min(last_day, series.end_ms // DAY_MS)
        turnovers = [d.turnover for d in _read_days(catalog, series.key, end - VOLUME_DAYS - 1, end).values()]
        if turnovers:
            out[asset] = float(np.mean(turnovers))
    return out


def _latest_clock_ms(at: datetime) -> int:
    """Where trading stands: now for desks and for cohorts that follow the market, else the latest cohort's own hour."""
    if Deployment.objects.filter(status__in=WORKED_STATUSES, speed=1.0).exists():
        return to_ms(at)
    latest = CohortRun.objects.order_by("-next_bar_ms").values_list("next_bar_ms", flat=True).first()
    return to_ms(at) if latest is None else min(to_ms(at), latest)


def _longest(found: Iterable[Series], before_ms: int) -> Series | None:
    """Of the series that reach as far as any up to an instant, the one with the most days; of equals the coarsest,
    which costs least to read. What ended long before the others, a window of the past, tells nothing of now."""
    usable = [s for s in found if s.first_ms < before_ms]
    latest = max((min(s.end_ms, before_ms) for s in usable), default=0)
    return max(
        (s for s in usable if min(s.end_ms, before_ms) >= latest - _ABREAST_MS),
        key=lambda s: (min(s.end_ms, before_ms) // DAY_MS - s.first_ms // DAY_MS, s.key.interval_ms),
        default=None,
    )


def _read_days(catalog: Catalog, key: SeriesKey, first_day: int, last_day: int) -> dict[int, _Day]:
    """The days after `first_day` and before `last_day`, both as days since the epoch."""
    manifest = catalog.manifest(key)
    out: dict[int, _Day] = {}
    for part in manifest.overlapping((first_day + 1) * DAY_MS, last_day * DAY_MS) if manifest else ():
        out |= _days(catalog, key, part)
    return {day: held for day, held in out.items() if first_day < day < last_day}


def _days(catalog: Catalog, key: SeriesKey, part: Part) -> dict[int, _Day]:
    known = _days_of_part.get(part.sha256)
    if known is not None:
        return known
    bars = catalog.read_bars(key, part.first_ms, part.last_ms + 1)
    day = bars.ts_ms // DAY_MS
    out: dict[int, _Day] = {}
    for number in np.unique(day).tolist():
        lo, hi = np.searchsorted(day, [number, number + 1])
        closed = int(bars.ts_ms[hi - 1]) + key.interval_ms
        whole = closed >= (number + 1) * DAY_MS - CLOSE_SLACK_MS
        turnover = float((bars.close[lo:hi] * bars.volume[lo:hi]).sum())
        out[number] = _Day(float(bars.close[hi - 1]) if whole else float("nan"), turnover)
    _days_of_part[part.sha256] = out
    if len(_days_of_part) > _PARTS_KEPT:
        _days_of_part.popitem(last=False)
    return out


# --- Windows of the past -----------------------------------------------------------------------------------------
def windows(assets: Sequence[str], start: datetime, end: datetime) -> dict[str, FloatArray]:
    """Closes of a window on one grid, oldest first; an asset without most of it is left out."""
    start_ms, end_ms = to_ms(start), to_ms(end)
    chosen = {
        asset: min(covering, key=lambda s: s.key.interval_ms)
        for asset, found in series_of(assets).items()
        if (covering := [s for s in found if s.first_ms <= start_ms + s.key.interval_ms and s.end_ms >= end_ms])
    }
    if not chosen:
        return {}
    step = max(*(s.key.interval_ms for s in chosen.values()), -(-(end_ms - start_ms) // WINDOW_POINTS))
    grid = np.arange(start_ms, end_ms + 1, step, dtype=np.int64)
    catalog = open_catalog()
    out = {}
    for asset, series in chosen.items():
        prices = _on_grid(catalog, series, grid, step)
        if prices is not None:
            out[asset] = prices
    return out


def _on_grid(catalog: Catalog, series: Series, grid: npt.NDArray[np.int64], step: int) -> FloatArray | None:
    """The last close at each instant of the grid; None where too much is missing."""
    interval = series.key.interval_ms
    bars = catalog.read_bars(series.key, int(grid[0]) - _CARRY_STEPS * step, int(grid[-1]))
    if not len(bars):
        return None
    closed = bars.ts_ms + interval
    at = np.searchsorted(closed, grid, side="right") - 1
    known = (at >= 0) & (grid - closed[np.maximum(at, 0)] < _CARRY_STEPS * max(step, interval))
    prices = np.where(known, bars.close[np.maximum(at, 0)], np.nan)
    if not known.any() or np.mean(~known) > _WINDOW_MISSING_FRAC:
        return None
    first = int(np.flatnonzero(known)[0])
    prices[:first] = prices[first]
    for i in np.flatnonzero(~np.isfinite(prices)).tolist():
        prices[i] = prices[i - 1]
    return np.asarray(prices, dtype=np.float64)


def advice(assets: Sequence[str], start: datetime, end: datetime) -> str:
    """The command that brings the prices of a window, for markets that are known."""
    called = Q(position_asset__code__in=assets) | Q(symbol__in=assets)
    markets = Instrument.objects.filter(called).order_by("venue", "symbol")
    found = list(markets.values_list("venue", "symbol"))
    venue = found[0][0] if found else "binance"
    symbols = [symbol for where, symbol in found if where == venue] or list(assets)
    since, until = (at.astimezone(UTC).date().isoformat() for at in (start, end + timedelta(days=1)))
    return f"manage.py download_candles {venue} {' '.join(symbols)} --since {since} --until {until}"


def open_catalog() -> Catalog:
    return Catalog.open(settings.MARKET_DATA_URL)


def last_close_at(series: Series) -> datetime:
    """When the last stored bar of a series closed."""
    return from_ms(series.end_ms)
