"""How far a series may be traded at the market's own speed: what is stored, what the venue gave, when to stop waiting.

A bar that is not stored is waited for until its venue has been asked past it. Only then does patience count: a minute
in which nobody traded has no candle anywhere. A venue that keeps failing for as long is not waited for either.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from fundops.core import clock
from trading.cohorts.catalog import open_catalog, series_or_none
from trading.marketdata.bars import SYNTHETIC_VENUE, SeriesKey
from trading.models.marketdata import CandleFeed

#: How long a bar that its venue has not given is waited for, in bars; then it is traded without.
PATIENCE_BARS = 5


@dataclass(frozen=True, slots=True)
class Supply:
    """One series: the end of what is stored of it (epoch ms, 0 for nothing), and its feed (None: never asked)."""

    key: SeriesKey
    stored_until_ms: int
    feed: CandleFeed | None

    def tradable_until(self, position_ms: int, now_ms: int) -> int:
        """Opening time of the first bar from ``position_ms`` on that must still be waited for, epoch ms."""
        overdue = now_ms - now_ms % self.key.interval_ms - PATIENCE_BARS * self.key.interval_ms
        if self.key.venue == SYNTHETIC_VENUE or self.has_failed_for_long(now_ms):
            return max(self.stored_until_ms, overdue)
        answered = clock.to_ms(self.feed.answered_until) if self.feed and self.feed.answered_until else 0
        known = min(max(self.stored_until_ms, overdue), answered)
        return max(known, self._unbroken_until(max(position_ms, answered)))

    def has_failed_for_long(self, now_ms: int) -> bool:
        """True when the venue was asked all through the patience, until now, and never answered."""
        feed = self.feed
        if feed is None or feed.failing_since is None:
            return False
        patience = patience_of(self.key.interval_ms)
        now = clock.from_ms(now_ms)
        return now - feed.failing_since >= patience and not is_stale(feed.asked_at, now, patience)

    def _unbroken_until(self, start_ms: int) -> int:
        """The end of the bars that are stored without a gap from ``start_ms`` on; 0 for none."""
        if self.stored_until_ms <= start_ms:
            return 0
        gaps = open_catalog().gaps(self.key, start_ms, self.stored_until_ms)
        return gaps[0].first_ms if gaps else self.stored_until_ms


def supply_of(venue: str, symbol: str, interval_ms: int) -> Supply:
    """A series as it stands now."""
    series = series_or_none(open_catalog(), venue, symbol, interval_ms)
    stored_until = series.last_ms + interval_ms if series is not None and series.last_ms is not None else 0
    feed = None
    if venue != SYNTHETIC_VENUE:
        feed = CandleFeed.objects.filter(venue=venue, symbol=symbol, interval_ms=interval_ms).first()
    return Supply(SeriesKey(venue, symbol, interval_ms), stored_until, feed)


def patience_of(interval_ms: int) -> timedelta:
    """How long one bar is waited for."""
    return timedelta(milliseconds=PATIENCE_BARS * interval_ms)


def is_stale(asked_at: datetime, now: datetime, patience: timedelta) -> bool:
    """True when nobody has asked for so long that what failed then says nothing of now."""
    return now - asked_at >= patience
