"""Names: canonical symbols, splitting them into base and quote, and what a file's path says about its
series.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from trading.marketdata.bars import Kind
from trading.marketdata.errors import IntervalError
from trading.marketdata.intervals import parse_interval

# Longest first, so that USDT is not read as ...T against USD.
QUOTES = (
    "FDUSD",
    "USDT",
    "USDC",
    "BUSD",
    "TUSD",
    "USDE",
    "USD1",
    "DAI",
    "USD",
    "EUR",
    "GBP",
    "JPY",
    "TRY",
    "BRL",
    "AUD",
    "CAD",
    "CHF",
    "BTC",
    "ETH",
    "BNB",
)
USD_LIKE = frozenset({"USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD", "USDE", "USD1", "DAI"})

VENUE_NAMES = (
    "binance_perp",
    "binance_inverse",
    "bybit_perp",
    "bybit_inverse",
    "binanceus",
    "binance",
    "bybit",
    "coinbase",
    "kraken",
    "bitfinex",
    "dydx",
    "oanda",
    "fxcm",
    "gate",
    "htx",
    "kucoin",
    "mexc",
    "okx",
    "bitstamp",
    "synthetic",
)
_INTERVAL_WORD = r"\d{1,3}(?:s|m|h|d|min)|[mh]\d{1,2}|d1"


def canonical_symbol(text: str) -> str:
    """The catalog's spelling: "btc/usdt:usdt", "BTC-USDT" and "BTC_USDT" are all "BTCUSDT".

    A perpetual differs from its spot market by the venue ("binance_perp"), not by the symbol.
    """
    return re.sub(r"[^A-Z0-9.]", "", text.strip().upper().split(":")[0])


def split_symbol(symbol: str) -> tuple[str, str] | None:
    """Base and quote of a canonical symbol, or None where no known quote ends it."""
    for quote in QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    return None


def same_instrument(symbol: str, other: str, *, loosely: bool = False) -> bool:
    """Whether two symbols price the same asset in about the same money (BTCUSD and BTCUSDT do).

    A symbol without a quote is taken to be priced in dollars. ``loosely`` ignores a number at the end of the
    base: data vendors append one to tell coins of one ticker apart, which is how the wrong coin gets in.
    """
    (base, quote), (other_base, other_quote) = (split_symbol(s) or (s, "USD") for s in (symbol, other))
    if loosely:
        base, other_base = base.rstrip("0123456789") or base, other_base.rstrip("0123456789") or other_base
    return base == other_base and (quote == other_quote or {quote, other_quote} <= USD_LIKE)


@dataclass(frozen=True, slots=True)
class PathHints:
    """What a path tells; None where it tells nothing."""

    venue: str | None = None
    symbol: str | None = None
    interval_ms: int | None = None
    kind: Kind | None = None


def hints_from_path(path: PurePath) -> PathHints:
    """Reads venue, symbol, interval and kind from names such as ``BTCUSDT-1m-2025-01.zip``,
    ``XRP_USDT_USDT-5m-futures.feather``, ``kraken_btcusd_1m.parquet`` or
    ``bybit_perp_1m_2025-06/ADAUSDT_1m.csv.gz``.
    """
    stem = path.name
    while (suffix := PurePath(stem).suffix) and not re.fullmatch(r"\.\d+", suffix):
        stem = stem[: -len(suffix)]
    lowered = stem.lower()
    venue = _venue_in(lowered)
    if venue and lowered.startswith(venue):
        lowered = lowered[len(venue) :].lstrip("_-")
    for parent in path.parts[-2:-7:-1]:
        venue = venue or _venue_in(parent.lower())
    if venue == "binance" and any(part.lower() in {"futures", "um"} for part in path.parts[:-1]):
        venue = "binance_perp"
    kind = None
    for word in (Kind.MARK, Kind.INDEX, Kind.BID, Kind.ASK):
        if re.search(rf"(?:^|[_-]){word}(?=$|[_-])", lowered):
            kind, lowered = word, re.sub(rf"[_-]?{word}(?=$|[_-])", "", lowered, count=1)
            break
    lowered = re.sub(r"-(futures|spot|funding_rate)$", "", lowered)
    match = re.search(rf"(?:^|[_-])({_INTERVAL_WORD})(?=$|[_-])", lowered)
    interval_ms = _interval_or_none(match[1]) if match else None
    symbol = None
    head = lowered[: match.start()] if match else lowered
    words = [w for w in re.split(r"[_\-]", head) if w]
    if len(words) == 1 and (match or split_symbol(words[0].upper())) and re.fullmatch(r"[a-z0-9]{3,24}", words[0]):
        symbol = words[0].upper()
    elif 2 <= len(words) <= 3 and words[1].upper() in QUOTES:  # freqtrade: BASE_QUOTE or BASE_QUOTE_SETTLE
        symbol = canonical_symbol(words[0] + words[1])
        venue = f"{venue}_perp" if len(words) == 3 and venue in {"binance", "bybit"} else venue
    if symbol is not None and symbol.lower() in {*VENUE_NAMES, "spot", "perp", "candles", "daily"}:
        symbol = None
    return PathHints(venue, symbol, interval_ms, kind)


def _venue_in(name: str) -> str | None:
    for venue in VENUE_NAMES:
        if re.match(rf"{venue}(?![a-z0-9])", name):
            return venue
    return None


def _interval_or_none(text: str) -> int | None:
    text = text[1:] + text[0] if text[0].isalpha() else text  # forex files write M1, H4
    try:
        return parse_interval(text)
    except IntervalError:
        return None
