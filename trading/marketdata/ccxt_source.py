"""Venues through ccxt: the public candle endpoints only, without keys. The one module that imports ccxt.

Importing ccxt takes over a second and some 90 MB, so only the processes that talk to venues may import this
module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import ccxt

from trading.marketdata.download import Row, TransientSourceError
from trading.marketdata.errors import DownloadError
from trading.marketdata.intervals import interval_label
from trading.marketdata.symbols import canonical_symbol


@dataclass(frozen=True, slots=True)
class VenueSpec:
    """``market`` spot, linear or inverse; ``until`` whether the venue must be told where the page ends."""

    ccxt_id: str
    market: str
    page_limit: int
    until: bool = False


VENUES: Mapping[str, VenueSpec] = {
    "binance": VenueSpec("binance", "spot", 1000),
    "binanceus": VenueSpec("binanceus", "spot", 1000),
    "binance_perp": VenueSpec("binanceusdm", "linear", 1000),
    "binance_inverse": VenueSpec("binancecoinm", "inverse", 1000),
    "bybit": VenueSpec("bybit", "spot", 1000, until=True),
    "bybit_perp": VenueSpec("bybit", "linear", 1000, until=True),
    "bybit_inverse": VenueSpec("bybit", "inverse", 1000, until=True),
    "coinbase": VenueSpec("coinbase", "spot", 300, until=True),
    "kraken": VenueSpec("kraken", "spot", 720),  # never reaches back further than its last 720 bars
    "bitfinex": VenueSpec("bitfinex", "spot", 1000, until=True),
    "okx": VenueSpec("okx", "spot", 100, until=True),
    "kucoin": VenueSpec("kucoin", "spot", 1000, until=True),
}


_BUSY = frozenset({418, 429, 500, 502, 503, 504})


class CcxtSource:
    """A venue's candles. ``base_url`` sends every request to another host (a simulator); paths stay the
    venue's own.
    """

    def __init__(self, venue: str, *, base_url: str | None = None, timeout_s: float = 15.0) -> None:
        spec = VENUES.get(venue)
        if spec is None:
            raise DownloadError(f"'{venue}' is no venue to download from: choose from {', '.join(VENUES)}.")
        self._venue = venue
        self._spec = spec
        options: dict[str, Any] = {"fetchMarkets": {"types": [spec.market]}}
        if spec.ccxt_id == "coinbase":
            options = {}
        self._client: Any = getattr(ccxt, spec.ccxt_id)(
            {"enableRateLimit": False, "timeout": int(timeout_s * 1000), "options": options}
        )
        # Currencies need private or further endpoints on some venues, and candles need none of them.
        self._client.has["fetchCurrencies"] = False
        if base_url is not None:
            self._client.hostname = urlsplit(base_url).netloc
            self._client.urls["api"] = _redirected(self._client.urls["api"], base_url.rstrip("/"))
        self._symbols: dict[str, str] = {}
        self._status = 0
        self._client.session.hooks["response"].append(self._keep_status)

    @property
    def venue(self) -> str:
        return self._venue

    @property
    def page_limit(self) -> int:
        return self._spec.page_limit

    @property
    def min_pause_ms(self) -> int:
        return int(self._client.rateLimit)

    def load(self, call: Callable[[Callable[[], list[Row]]], list[Row]]) -> None:
        """Reads the venue's markets; ``call`` paces and retries."""

        def load() -> list[Row]:
            self._guarded(self._client.load_markets)
            return []

        call(load)

    def resolve(self, symbol: str) -> str:
        if self._client.markets is None:
            self._guarded(self._client.load_markets)
        wanted = canonical_symbol(symbol)
        for name, market in self._client.markets.items():
            if self._right_kind(market) and (name == symbol or canonical_symbol(name) == wanted):
                self._symbols[wanted] = name
                return wanted
        near = sorted(n for n, m in self._client.markets.items() if self._right_kind(m) and n[:3] == symbol.upper()[:3])
        hint = f" Near it: {', '.join(near[:8])}." if near else ""
        raise DownloadError(f"{self._venue} has no {self._spec.market} market {symbol}.{hint}")

    def fetch(self, symbol: str, interval_ms: int, since_ms: int, until_ms: int) -> list[Row]:
        timeframe = interval_label(interval_ms)
        if timeframe not in (self._client.timeframes or {}):
            offered = ", ".join(self._client.timeframes or {})
            raise DownloadError(f"{self._venue} has no {timeframe} candles; it has {offered}.")
        name = self._symbols.get(symbol) or self._symbols[self.resolve(symbol)]
        limit = min(self._spec.page_limit, max(1, (until_ms - since_ms) // interval_ms))
        params = {"until": until_ms - interval_ms} if self._spec.until else {}
        rows: list[Row] = self._guarded(
            lambda: self._client.fetch_ohlcv(name, timeframe, since=since_ms, limit=limit, params=params)
        )
        return rows

    def _right_kind(self, market: Mapping[str, Any]) -> bool:
        if self._spec.market == "spot":
            return bool(market.get("spot"))
        return bool(market.get("swap")) and bool(market.get(self._spec.market))

    def _guarded(self, call: Callable[[], Any]) -> Any:
        self._status = 0
        try:
            return call()
        except ccxt.OperationFailed as error:  # network, timeout, rate limit, maintenance, an answer cut short
            raise TransientSourceError(f"{self._venue}: {_short(error)}", self._retry_after()) from error
        except ccxt.BaseError as error:
            if self._status in _BUSY:  # a body ccxt does not know hides that the venue is only busy
                raise TransientSourceError(f"{self._venue}: {_short(error)}", self._retry_after()) from error
            raise DownloadError(f"{self._venue} refused the request: {_short(error)}") from error

    def _keep_status(self, response: Any, *_args: Any, **_kwargs: Any) -> None:
        self._status = int(response.status_code)

    def _retry_after(self) -> float | None:
        headers = self._client.last_response_headers or {}
        try:
            return float(headers.get("Retry-After") or "")
        except ValueError:
            return None


def _redirected(urls: Any, base_url: str) -> Any:
    if isinstance(urls, dict):
        return {name: _redirected(value, base_url) for name, value in urls.items()}
    return base_url + urlsplit(str(urls).replace("{hostname}", "venue")).path


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"
