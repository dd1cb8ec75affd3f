"""A local HTTP server that speaks the public REST protocols of four venues, as far as candles need them.

Shapes follow the venues' own documentation: Binance spot and USDT-M ``exchangeInfo`` and ``klines``, Bybit
v5 ``instruments-info`` and ``kline``, Kraken ``AssetPairs`` and ``OHLC``, Coinbase Advanced Trade public
``products`` and ``candles``. Each venue fails in its own manner when told to.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from trading.marketdata.bars import FIELDS, Bars
from trading.marketdata.intervals import MINUTE_MS

Answer = tuple[int, dict[str, str], Any]
BINANCE_BUSY: Answer = (429, {"Retry-After": "7"}, {"code": -1003, "msg": "Too many requests."})
BYBIT_BUSY: Answer = (
    200,
    {},
    {"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "time": 0},
)
KRAKEN_BUSY: Answer = (200, {}, {"error": ["EAPI:Rate limit exceeded"]})
COINBASE_BUSY: Answer = (429, {}, {"error": "rate_limited", "message": "Too many requests"})
UNAVAILABLE: Answer = (503, {}, "Service Unavailable")


@dataclass
class VenueServer:
    """``bars`` are what all venues know; the last is still open at ``now_ms``. ``faults`` go out first.

    ``minutes`` is how long a bar is (Kraken's alone may be other than one).
    """

    bars: Bars
    now_ms: int
    faults: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    short_page: int | None = None
    minutes: int = 1
    recorded: dict[str, Any] = field(default_factory=dict)
    url: str = ""

    def answer(self, path: str, query: dict[str, str]) -> Answer:
        self.requests.append((path, query))
        if path in self.recorded:
            return 200, {}, self.recorded[path]
        is_candles = path.rsplit("/", 1)[-1] in {"klines", "kline", "OHLC", "candles"}
        if self.faults and is_candles:
            return self.faults.pop(0)
        route = _ROUTES.get(path)
        return (200, {}, route(self, query)) if route else (404, {}, {"error": f"no such path {path}"})

    def candle_requests(self) -> list[dict[str, str]]:
        return [q for p, q in self.requests if p.rsplit("/", 1)[-1] in {"klines", "kline", "OHLC", "candles"}]

    def page(self, start_ms: int, end_ms: int, limit: int) -> Bars:
        page = self.bars.between(start_ms, end_ms)
        limit = limit if self.short_page is None else min(limit, self.short_page)
        return page.take(slice(0, limit))


def _text(bars: Bars, i: int) -> list[str]:
    return [f"{float(getattr(bars, name)[i]):.8f}" for name in FIELDS]


def _binance_klines(server: VenueServer, query: dict[str, str]) -> Any:
    assert query["interval"] == "1m"
    limit = min(int(query.get("limit", 500)), 1000)
    page = server.page(int(query["startTime"]), int(query.get("endTime", 10**15)) + 1, limit)
    return [
        [int(page.ts_ms[i]), *_text(page, i), int(page.ts_ms[i]) + MINUTE_MS - 1, "1.0", 3, "0.5", "0.5", "0"]
        for i in range(len(page))
    ]


def _binance_filters() -> list[dict[str, str]]:
    return [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000.00", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000.0", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5.0"},
    ]


def _binance_spot_info(server: VenueServer, query: dict[str, str]) -> Any:
    symbol = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _binance_filters(),
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }
    return {
        "timezone": "UTC",
        "serverTime": server.now_ms,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [symbol],
    }


def _binance_perp_info(server: VenueServer, query: dict[str, str]) -> Any:
    symbol = {
        "symbol": "BTCUSDT",
        "pair": "BTCUSDT",
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": _binance_filters(),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC"],
    }
    return {"timezone": "UTC", "serverTime": server.now_ms, "futuresType": "U_MARGINED", "symbols": [symbol]}


def _bybit_info(server: VenueServer, query: dict[str, str]) -> Any:
    market: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "status": "Trading",
        "priceFilter": {"tickSize": "0.1", "minPrice": "0.1", "maxPrice": "1000000"},
        "lotSizeFilter": {"basePrecision": "0.000001", "quotePrecision": "0.01", "minOrderQty": "0.001"},
    }
    if query["category"] == "linear":
        market |= {
            "contractType": "LinearPerpetual",
            "settleCoin": "USDT",
            "launchTime": "1585526400000",
            "deliveryTime": "0",
            "priceScale": "2",
            "fundingInterval": 480,
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100", "leverageStep": "0.01"},
            "lotSizeFilter": {"maxOrderQty": "100", "minOrderQty": "0.001", "qtyStep": "0.001"},
        }
    result = {"category": query["category"], "list": [market], "nextPageCursor": ""}
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": server.now_ms}


def _bybit_kline(server: VenueServer, query: dict[str, str]) -> Any:
    assert query["interval"] == "1"
    start, end, limit = int(query["start"]), int(query.get("end", 10**15)), int(query.get("limit", 200))
    page = server.page(start, end + 1, min(limit, 1000))
    rows = [[str(int(page.ts_ms[i])), *_text(page, i), "1.0"] for i in range(len(page))]
    result = {"symbol": query["symbol"], "category": query["category"], "list": rows[::-1]}
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": server.now_ms}


def _kraken_pairs(server: VenueServer, query: dict[str, str]) -> Any:
    pair = {
        "altname": "XBTUSD",
        "wsname": "XBT/USD",
        "aclass_base": "currency",
        "base": "XXBT",
        "aclass_quote": "currency",
        "quote": "ZUSD",
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": 1,
        "lot_decimals": 8,
        "lot_multiplier": 1,
        "leverage_buy": [2, 3],
        "leverage_sell": [2, 3],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.00005",
        "costmin": "0.5",
        "tick_size": "0.1",
        "status": "online",
    }
    return {"error": [], "result": {"XXBTZUSD": pair}}


def _kraken_ohlc(server: VenueServer, query: dict[str, str]) -> Any:
    """Whatever ``since`` says, never more than the last 720 bars; the last one is not committed yet."""
    assert query["interval"] == str(server.minutes)
    known = server.bars.take(slice(-720, None))
    since = int(query.get("since", 0)) * 1000
    page = known.take(known.ts_ms > since)
    rows = []
    for i in range(len(page)):
        o, h, low, c, v = _text(page, i)
        rows.append([int(page.ts_ms[i]) // 1000, o, h, low, c, c, v, 5])
    last = int(page.ts_ms[-2]) // 1000 if len(page) > 1 else since // 1000
    return {"error": [], "result": {query["pair"]: rows, "last": last}}


def _coinbase_products(server: VenueServer, query: dict[str, str]) -> Any:
    if query.get("product_type") == "FUTURE":
        return {"products": [], "num_products": 0}
    product = {
        "product_id": "BTC-USD",
        "price": "67060",
        "base_increment": "0.00000001",
        "quote_increment": "0.01",
        "price_increment": "0.01",
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": "0.00000001",
        "base_max_size": "3400",
        "status": "online",
        "trading_disabled": False,
        "product_type": "SPOT",
        "quote_currency_id": "USD",
        "base_currency_id": "BTC",
        "alias": "",
        "alias_to": ["BTC-USDC"],
    }
    return {"products": [product], "num_products": 1}


def _coinbase_candles(server: VenueServer, query: dict[str, str]) -> Any:
    assert query["granularity"] == "ONE_MINUTE"
    start, end = int(query["start"]) * 1000, int(query["end"]) * 1000
    assert (end - start) // MINUTE_MS < 350, "the venue refuses more than 350 candles"
    page = server.page(start, end + 1, 350)
    rows = []
    for i in range(len(page)):
        o, h, low, c, v = _text(page, i)
        rows.append(
            {
                "start": str(int(page.ts_ms[i]) // 1000),
                "low": low,
                "high": h,
                "open": o,
                "close": c,
                "volume": v,
            }
        )
    return {"candles": rows[::-1]}


_ROUTES = {
    "/api/v3/exchangeInfo": _binance_spot_info,
    "/api/v3/klines": _binance_klines,
    "/fapi/v1/exchangeInfo": _binance_perp_info,
    "/fapi/v1/klines": _binance_klines,
    "/v5/market/instruments-info": _bybit_info,
    "/v5/market/kline": _bybit_kline,
    "/0/public/AssetPairs": _kraken_pairs,
    "/0/public/OHLC": _kraken_ohlc,
    "/api/v3/brokerage/market/products": _coinbase_products,
    "/api/v3/brokerage/market/products/BTC-USD/candles": _coinbase_candles,
}


@contextmanager
def serve(server: VenueServer) -> Iterator[VenueServer]:
    """Listens on a free port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            status, headers, document = server.answer(parts.path, query)
            body = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """The requests are kept in ``server.requests``."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{listener.server_address[1]}"
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def open_at(bars: Bars) -> int:
    """A moment at which the last of the bars has not closed."""
    return int(np.max(bars.ts_ms)) + MINUTE_MS // 2
