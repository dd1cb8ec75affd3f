"""Every bar is looked at; each row ends as a good bar or as a bad row with its reason, and the counts
add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from trading.marketdata.bars import FIELDS, NAT_US, BadRow, Bars, Bools, Int64s, Kind, RawSeries, Reason
from trading.marketdata.errors import IntervalError, SourceFormatError, TimezoneSuspectedError
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, check_interval, interval_label

EARLIEST_MS = int(datetime(1990, 1, 1, tzinfo=UTC).timestamp()) * 1000
FUNDING_TOLERANCE_MS = 1000
_QUARTER_MS = 15 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class ValidationRules:
    """What validation may assume. ``now_ms`` comes from the clock of the caller."""

    now_ms: int
    last_bar_open: bool = False
    stamp: str = "auto"  # "open", "close", or find out
    zone_given: bool = False
    prefer_last: bool = False  # of two bars of one time in a file, keep the later one


@dataclass(slots=True)
class Validated:
    """``rows_in == len(bars) + len(bad)``, always. ``bars`` ascend strictly on the grid."""

    interval_ms: int
    bars: Bars
    lines: Int64s
    bad: list[BadRow]
    rows_in: int
    out_of_order: int = 0
    notes: list[str] = field(default_factory=list)


def infer_interval(ts_us: Int64s) -> int | None:
    """The most frequent step between neighbouring distinct times, in ms, or None with fewer than two of
    them.
    """
    known = np.unique(ts_us[ts_us != NAT_US])
    if len(known) < 2:
        return None
    steps, counts = np.unique(np.diff(known), return_counts=True)
    return int(steps[np.argmax(counts)]) // 1000


def validate_series(raw: RawSeries, rules: ValidationRules) -> Validated:
    """Splits a raw series into good bars and bad rows.

    Raises TimezoneSuspectedError when practically all stamps miss the grid by one and the same part of a day,
    SourceFormatError when the interval can neither be read nor worked out.
    """
    interval_ms = _interval_of(raw)
    notes = list(raw.notes)
    reasons: dict[int, Reason] = dict(raw.unreadable)
    ts_us = raw.ts_us
    for i in np.flatnonzero(ts_us == NAT_US).tolist():
        reasons.setdefault(i, Reason.BAD_TIMESTAMP)
    live = np.ones(len(ts_us), np.bool_)
    live[list(reasons)] = False

    if raw.kind is Kind.FUNDING:
        ts_us = _snap_to_hour(ts_us, live)
        _suspect_funding_zone(raw, ts_us, live, rules)
    else:
        ts_us = _opening_times(raw, ts_us, live, interval_ms, rules, notes)
        _suspect_timezone(raw, ts_us, live, interval_ms, rules)
    ts_ms = ts_us // 1000

    def refuse(where: Bools, reason: Reason) -> None:
        for i in np.flatnonzero(where & live).tolist():
            reasons[i] = reason
        live[where] = False

    refuse((ts_ms < EARLIEST_MS) | (ts_ms >= rules.now_ms + DAY_MS), Reason.OUT_OF_RANGE)
    refuse(ts_us % (interval_ms * 1000) != 0, Reason.OFF_GRID)
    _check_values(raw, refuse)
    closes_by = rules.now_ms
    if raw.written_ms is not None and live.any() and raw.written_ms >= ts_ms[live].max():
        closes_by = min(closes_by, raw.written_ms)  # a file date before its own bars says nothing
    unfinished = ts_ms + (0 if raw.kind is Kind.FUNDING else interval_ms) > closes_by
    if rules.last_bar_open and live.any():
        unfinished |= ts_ms == ts_ms[live].max()
    refuse(unfinished, Reason.UNFINISHED)

    order = np.flatnonzero(live)
    out_of_order = _disorder(ts_ms[order], notes)
    order = order[np.argsort(ts_ms[order], kind="stable")]
    order = _without_duplicates(raw, ts_ms, order, reasons, rules)
    values = [np.ascontiguousarray(raw.values[name][order]) for name in FIELDS]
    bars = Bars(np.ascontiguousarray(ts_ms[order]), *values)
    if raw.kind is Kind.FUNDING:
        _note_rate_unit(bars, notes)
    else:
        _note_jumps(bars, notes)
    bad = list(raw.rejected)
    for i, reason in sorted(reasons.items()):
        known = None if raw.ts_us[i] == NAT_US else int(ts_ms[i])
        bad.append(BadRow(reason, raw.source, int(raw.lines[i]), raw.raw_row(i), known))
    return Validated(interval_ms, bars, raw.lines[order], bad, raw.rows_in, out_of_order, notes)


def _interval_of(raw: RawSeries) -> int:
    interval_ms = raw.interval_ms if raw.interval_ms is not None else infer_interval(raw.ts_us)
    if interval_ms is None:
        raise SourceFormatError(
            raw.path or raw.source,
            f"the interval of {raw.symbol} cannot be told from {len(raw)} row(s): give --interval.",
        )
    try:
        return check_interval(interval_ms)
    except IntervalError as error:
        raise SourceFormatError(
            raw.path or raw.source,
            f"the usual step between rows is {interval_ms / 1000:g} s, which is no bar interval: "
            "give --interval, or check that this is candle data.",
        ) from error


def _opening_times(
    raw: RawSeries, ts_us: Int64s, live: Bools, interval_ms: int, rules: ValidationRules, notes: list[str]
) -> Int64s:
    """Stamps as opening times; close stamps (23:59:59, 23:59:59.999) are recognised by missing the grid from
    below.
    """
    step_us = interval_ms * 1000
    if not live.any() or rules.stamp == "open":
        return ts_us
    short_of_grid = (-ts_us[live]) % step_us
    for short_us, shown in ((SECOND_MS * 1000, "1 s"), (1000, "1 ms"), (1, "1 us")):
        if np.mean(short_of_grid == short_us) >= 0.95 and step_us > short_us:
            notes.append(f"Times are closing times ({shown} before the next bar): moved to the opening time.")
            return np.where(live, ts_us + short_us - step_us, ts_us)
    if rules.stamp == "close" or raw.close_stamped:
        notes.append("Times were taken as closing times: moved to the opening time.")
        return np.where(live, ts_us - step_us, ts_us)
    return ts_us


def _suspect_timezone(raw: RawSeries, ts_us: Int64s, live: Bools, interval_ms: int, rules: ValidationRules) -> None:
    if rules.zone_given or live.sum() < 3:
        return
    off = ts_us[live] % (interval_ms * 1000) // 1000
    values, counts = np.unique(off, return_counts=True)
    most = int(values[np.argmax(counts)])
    if most and most % _QUARTER_MS == 0 and counts.max() >= 0.95 * len(off):
        ahead = most / 3_600_000
        behind = ahead - interval_ms / 3_600_000
        guess = f"UTC{ahead:+g}" if ahead <= 14 else f"UTC{behind:+g}"
        hint = guess if float(guess[3:]).is_integer() else _hours_minutes(float(guess[3:]))
        also = f" (or UTC{behind:+g})" if ahead <= 14 and behind >= -12 and behind.is_integer() else ""
        raise TimezoneSuspectedError(
            raw.path or raw.source,
            f"{interval_label(interval_ms)} bars of {raw.symbol} all stand {ahead:g} h past the UTC grid, "
            f"which looks "
            f"like local time. Pass --timezone {hint}{also}, or --timezone UTC to take the stamps as they "
            f"are.",
            suggestion=hint,
        )


def _hours_minutes(hours: float) -> str:
    sign = "-" if hours < 0 else "+"
    minutes = round(abs(hours) * 60)
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def _check_values(raw: RawSeries, refuse: Callable[[Bools, Reason], None]) -> None:
    o, h, lo, c, v = (raw.values[name] for name in FIELDS)
    prices = (o, h, lo, c)
    finite = np.isfinite(o) & np.isfinite(h) & np.isfinite(lo) & np.isfinite(c) & np.isfinite(v)
    refuse(~finite, Reason.NOT_FINITE)
    if raw.kind is Kind.FUNDING:
        return
    refuse(np.logical_or.reduce([p <= 0 for p in prices]), Reason.NON_POSITIVE_PRICE)
    refuse(v < 0, Reason.NEGATIVE_VOLUME)
    refuse((h < np.maximum(o, c)) | (lo > np.minimum(o, c)) | (h < lo), Reason.OHLC_INCONSISTENT)


def _disorder(ts_ms: Int64s, notes: list[str]) -> int:
    if len(ts_ms) < 2:
        return 0
    steps = np.diff(ts_ms)
    if bool((steps <= 0).all()) and bool((steps < 0).any()):
        notes.append("The file runs from the newest bar to the oldest: turned round.")
        return 0
    late = int((ts_ms[1:] < np.maximum.accumulate(ts_ms)[:-1]).sum())
    if late:
        notes.append(f"{late} row(s) stood after a later bar: sorted into place.")
    return late


def _without_duplicates(
    raw: RawSeries, ts_ms: Int64s, order: Int64s, reasons: dict[int, Reason], rules: ValidationRules
) -> Int64s:
    """``order`` is sorted by time and stable; of each time one row stays."""
    times = ts_ms[order]
    new_time = np.append(True, times[1:] != times[:-1]) if len(order) else np.zeros(0, np.bool_)
    if bool(new_time.all()):
        return order
    starts = np.flatnonzero(new_time)
    ends = np.append(starts[1:], len(order))
    keep = order[ends - 1] if rules.prefer_last else order[starts]
    for kept, lo, hi in zip(keep.tolist(), starts.tolist(), ends.tolist(), strict=True):
        if hi - lo == 1:
            continue
        for i in order[lo:hi].tolist():
            if i != kept:
                same = all(raw.values[name][i] == raw.values[name][kept] for name in FIELDS)
                reasons[i] = Reason.DUPLICATE if same else Reason.CONFLICTING_DUPLICATE
    return keep


def _note_jumps(bars: Bars, notes: list[str]) -> None:
    """A tenfold step from one close to the next is likelier a price scale or another instrument than a
    market.
    """
    if len(bars) < 2:
        return
    ratio = bars.close[1:] / bars.close[:-1]
    jumps = np.flatnonzero((ratio > 10) | (ratio < 0.1))
    if len(jumps):
        at = datetime.fromtimestamp(int(bars.ts_ms[jumps[0] + 1]) / 1000, tz=UTC)
        notes.append(
            f"{len(jumps)} step(s) of more than ten times from one close to the next, first at "
            f"{at:%Y-%m-%d %H:%M}: "
            "check the price scale and the ticker."
        )


def _snap_to_hour(ts_us: Int64s, live: Bools) -> Int64s:
    """Funding is due on the hour and stamped a few milliseconds late: up to a second is taken off (or
    added).
    """
    hour_us = HOUR_MS * 1000
    nearest = (np.where(live, ts_us, 0) + hour_us // 2) // hour_us * hour_us
    close_by = live & (np.abs(np.where(live, ts_us, 0) - nearest) <= FUNDING_TOLERANCE_MS * 1000)
    return np.where(close_by, nearest, ts_us)


def _suspect_funding_zone(raw: RawSeries, ts_us: Int64s, live: Bools, rules: ValidationRules) -> None:
    """Funding every eight hours is due at 00, 08 and 16 UTC (KuCoin: 04, 12, 20); another rhythm is local
    time.
    """
    if rules.zone_given or live.sum() < 6:
        return
    hours = np.sort(ts_us[live]) // (HOUR_MS * 1000)
    if np.mean(np.diff(hours) == 8) < 0.9:
        return
    anchor = 4 if raw.venue.startswith("kucoin") else 0
    values, counts = np.unique((hours - anchor) % 8, return_counts=True)
    ahead = int(values[np.argmax(counts)])
    if ahead and counts.max() >= 0.95 * len(hours):
        shown = ", ".join(f"{int(hour):02d}" for hour in np.unique(hours % 24)[:3])
        raise TimezoneSuspectedError(
            raw.path or raw.source,
            f"funding of {raw.symbol} stands at {shown} h; on {raw.venue} it is due at "
            f"{anchor:02d}, {anchor + 8:02d} and {anchor + 16:02d} UTC. Pass --timezone UTC+{ahead} "
            f"(or UTC-{8 - ahead}), or --timezone UTC to take the stamps as they are.",
            suggestion=f"UTC+{ahead}",
        )


def _note_rate_unit(bars: Bars, notes: list[str]) -> None:
    if len(bars) and float(np.median(np.abs(bars.close))) > 0.005:
        notes.append("Half of the rates exceed 0.5 %: they may be in percent; fractions are expected.")


def reconcile(bad: list[BadRow]) -> dict[str, int]:
    """Rows in quarantine by reason."""
    return dict(Counter(str(row.reason) for row in bad))


__all__ = ["Validated", "ValidationRules", "infer_interval", "reconcile", "validate_series"]
