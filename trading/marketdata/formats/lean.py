"""LEAN data archives: one headerless CSV a zip, times and columns told by the path.

Second and minute files: milliseconds since midnight of the day in the file name. Hour and daily files:
``YYYYMMDD HH:mm``. Trade rows: time, open, high, low, close, volume. Quote rows: time, then open, high, low,
close and last size of the bid, then of the ask. Equity prices are stored times 10,000. FXCM's days and times
are in fixed UTC-5, all other crypto and forex data in UTC, US equities in New York time. Source:
https://github.com/QuantConnect/Lean (Data/*/readme.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np

from trading.marketdata.bars import FIELDS, NAT_US, Float64s, Int64s, Kind, RawSeries, Reason
from trading.marketdata.formats.base import (
    Format,
    Probe,
    ReadOptions,
    decode_text,
    parse_floats,
    series_venue,
)
from trading.marketdata.formats.textrows import TextRows, split_rows
from trading.marketdata.intervals import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from trading.marketdata.symbols import VENUE_NAMES, canonical_symbol, split_symbol
from trading.marketdata.timeparse import localise, parse_times

RESOLUTIONS = {"second": SECOND_MS, "minute": MINUTE_MS, "hour": HOUR_MS, "daily": DAY_MS}
_TYPES = frozenset({"crypto", "cryptofuture", "forex", "equity", "cfd"})
_SESSION_ZONES: Mapping[str, tzinfo] = {
    "fxcm": timezone(timedelta(hours=-5)),
    "usa": ZoneInfo("America/New_York"),
}
_MARKETS = frozenset({*VENUE_NAMES, "usa", "gdax"})
_DAY_FILE = re.compile(r"(\d{8})_(trade|quote)")
_MEMBER = re.compile(r"(?:.*/)?(\d{8})_([a-z0-9]+)_(second|minute)_(trade|quote)(?:_[a-z]+)?\.csv")
_ROW = re.compile(rb"\d{8} \d{2}:\d{2},")
_SIDES = {Kind.BID: 1, Kind.ASK: 6}
EQUITY_SCALE = 10_000.0


@dataclass(frozen=True, slots=True)
class LeanFile:
    """What path and member name say."""

    security: str | None
    market: str | None
    interval_ms: int | None
    symbol: str
    day: date | None


def recognises_lean(probe: Probe) -> bool:
    if not probe.is_zip or len(probe.members) != 1:
        return False
    return bool(_MEMBER.fullmatch(probe.members[0]) or _ROW.match(probe.head))


def read_lean(probe: Probe, options: ReadOptions) -> Iterator[RawSeries]:
    """One series for trades, two (bid and ask) for quotes; a quote row counts as a row of each."""
    about = describe(probe)
    rows = split_rows(probe, decode_text(probe, probe.plain), source=probe.source, header=False, widths=(5, 6, 11))
    zone = options.zone or _SESSION_ZONES.get(about.market or "", UTC)
    interval_ms = options.interval_ms or about.interval_ms
    ts_us, bad_times, notes = _times(probe, rows, about, zone, interval_ms, zone_given=options.zone is not None)
    symbol = canonical_symbol(options.symbol or about.symbol)
    scale, scale_note = _price_scale(options, about, rows)
    notes += scale_note
    venue = options.venue or (venue_of(about) if about.market else series_venue(probe, options))
    sides = {options.kind or Kind.TRADE: 1} if len(rows.columns) < 11 else _SIDES
    for kind, offset in sides.items():
        values, unreadable = _values(rows, offset, scale)
        yield RawSeries(
            venue=venue,
            symbol=symbol,
            kind=kind,
            source=probe.source,
            path=str(probe.path),
            ts_us=ts_us,
            values=values,
            lines=rows.line_array(),
            interval_ms=interval_ms,
            unreadable=unreadable | bad_times,
            raw_of=rows.raw,
            rejected=rows.rejected,
            notes=list(notes),
        )


def describe(probe: Probe) -> LeanFile:
    """Market, resolution, symbol and day of a LEAN archive; raises SourceFormatError without a symbol."""
    folders = [part.lower() for part in probe.path.parts[:-1]]
    at = next((i for i in range(len(folders) - 1, -1, -1) if folders[i] in RESOLUTIONS), None)
    market = folders[at - 1] if at else None
    security = folders[at - 2] if at is not None and at >= 2 and folders[at - 2] in _TYPES else None
    if security is None and market not in _MARKETS:
        market = None  # any folder may stand above one named "daily"
    interval_ms = RESOLUTIONS[folders[at]] if at is not None else None
    stem = probe.path.name.lower().removesuffix(".zip")
    member = _MEMBER.fullmatch(probe.members[0].lower())
    day_text = member[1] if member else (found[1] if (found := _DAY_FILE.fullmatch(stem)) else None)
    if member:
        interval_ms = interval_ms or RESOLUTIONS[member[3]]
        symbol = member[2]
    else:
        inner = probe.members[0].lower().rsplit("/", 1)[-1].removesuffix(".csv")
        symbol = re.sub(r"(_(trade|quote))?(_perp)?$", "", inner)
    day = None
    if day_text is not None:
        try:
            day = date(int(day_text[:4]), int(day_text[4:6]), int(day_text[6:8]))
        except ValueError as error:
            raise probe.error(f"'{day_text}' in its name is no date.") from error
    if not canonical_symbol(symbol):
        raise probe.error("does not say which symbol it holds: give --symbol.")
    return LeanFile(security, market, interval_ms, symbol, day)


def venue_of(about: LeanFile) -> str:
    """Spot under the market's own name, perpetuals beside it: LEAN keeps them in one market."""
    market = "coinbase" if about.market == "gdax" else about.market or ""
    if about.security != "cryptofuture" or market not in {"binance", "bybit"}:
        return market
    return f"{market}_inverse" if about.symbol.endswith("usd") else f"{market}_perp"


def _times(
    probe: Probe, rows: TextRows, about: LeanFile, zone: tzinfo, interval_ms: int | None, *, zone_given: bool
) -> tuple[Int64s, dict[int, Reason], list[str]]:
    notes: list[str] = []
    texts = rows.columns[0] if rows.columns else []
    if about.day is None:
        daily = interval_ms == DAY_MS or (interval_ms is None and all(t.endswith("00:00") for t in texts[:50]))
        if daily:
            if zone is not UTC and not zone_given:
                notes.append(f"Daily sessions of {zone}: each is stored under its own date.")
            zone = UTC
        elif zone is not UTC:
            notes.append(f"Times were read as {zone}.")
        stamps, unreadable = parse_times(texts, zone)
        return stamps, unreadable, notes
    midnight_us = int(datetime(about.day.year, about.day.month, about.day.day, tzinfo=UTC).timestamp()) * 1_000_000
    offsets, bad = parse_floats(texts)
    within = np.isfinite(offsets) & (offsets >= 0) & (offsets < DAY_MS)
    for i in np.flatnonzero(~within).tolist():
        bad.setdefault(i, Reason.BAD_TIMESTAMP)
    out = np.full(len(texts), NAT_US, np.int64)
    local = midnight_us + np.round(np.where(within, offsets, 0) * 1000).astype(np.int64)
    utc, ambiguous = localise(local, zone)
    out[within] = utc[within]
    for i in np.flatnonzero(ambiguous & within).tolist():
        bad[i] = Reason.AMBIGUOUS_LOCAL_TIME
    if zone is not UTC:
        notes.append(f"Times were read as {zone}.")
    return out, {i: reason for i, reason in bad.items() if out[i] == NAT_US}, notes


def _values(rows: TextRows, offset: int, scale: float) -> tuple[dict[str, Float64s], dict[int, Reason]]:
    values: dict[str, Float64s] = {}
    unreadable: dict[int, Reason] = {}
    for i, name in enumerate(FIELDS):
        column: Sequence[str] = rows.columns[offset + i] if offset + i < len(rows.columns) else ["0"] * len(rows)
        values[name], bad = parse_floats(column)
        unreadable |= bad
    if scale != 1.0:
        for name in FIELDS[:4]:
            values[name] = values[name] / scale
    return values, unreadable


def _price_scale(options: ReadOptions, about: LeanFile, rows: TextRows) -> tuple[float, list[str]]:
    if options.price_scale:
        return options.price_scale, []
    equity = about.security == "equity" or about.market == "usa"
    if not equity and about.security is None and split_symbol(about.symbol.upper()) is None and len(rows):
        # A share moved out of its folder: whole numbers of five digits and more in all four prices.
        equity = all(cell.isdigit() and len(cell) >= 5 for i in range(1, 5) for cell in rows.columns[i][:50])
    if not equity:
        return 1.0, []
    return EQUITY_SCALE, ["Prices were divided by 10,000, as LEAN scales equities."]


LEAN = Format("lean", "LEAN data archive (.zip)", recognises_lean, read_lean)
