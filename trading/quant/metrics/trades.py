"""Round trips from fills, and what they cost: hit ratio, profit factor, expectancy, holding time, turnover,
exposure.

A round trip runs from flat to flat of one agent in one symbol; a fill that crosses zero ends one and begins
the next, its notional and costs split by quantity. Over a whole round trip first-in-first-out and average
cost give the same profit, so none has to be chosen; :func:`realised_lots` is there for the lots themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trading.quant.jit import loop
from trading.quant.metrics.errors import MetricsError
from trading.quant.metrics.ratios import Ratio

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Table = npt.NDArray[np.void]

#: One row a closed round trip. ``direction`` +1 long, -1 short; ``qty`` the quantity bought (or sold short)
#: in all; prices are averages weighted by quantity; ``gross`` is the profit at fill prices, ``fees`` is
#: positive and ``net = gross - fees``; ``slippage`` is spread and impact contained in the fill prices;
#: ``exit_reason`` is the engine's FillReason of the closing fill. Funding is not in here: it is paid on
#: positions, not on fills.
TRIP = np.dtype(
    [
        ("agent", "i4"),
        ("symbol", "i4"),
        ("direction", "i4"),
        ("exit_reason", "i4"),
        ("entry_ms", "i8"),
        ("exit_ms", "i8"),
        ("fills", "i8"),
        ("qty", "f8"),
        ("entry_price", "f8"),
        ("exit_price", "f8"),
        ("entry_notional", "f8"),
        ("gross", "f8"),
        ("fees", "f8"),
        ("slippage", "f8"),
        ("net", "f8"),
    ],
    align=True,
)

_NEEDED = (
    "ts_ms",
    "agent",
    "symbol",
    "side",
    "qty",
    "notional",
    "fee",
    "reason",
    "spread_cost",
    "impact_cost",
)


@loop
def _walk(
    ts: npt.NDArray[np.int64],
    slot: npt.NDArray[np.int64],
    side: Float64,
    qty: Float64,
    price: Float64,
    notional: Float64,
    fee: Float64,
    slippage: Float64,
    reason: npt.NDArray[np.int64],
    books: Float64,
    out: Float64,
) -> int:
    """Write every closed trip into ``out`` (2 rows a fill suffice) and return how many; ``books`` keeps the
    open ones.

    A book has the columns 0 position, 1 direction, 2 entry time, 3 fills, 4 quantity in, 5 notional in, 6
    price x quantity in, 7 to 9 the same out, 10 fees, 11 slippage, 12 largest position. A row of ``out``
    has the slot, the reason, the exit time and then columns 1 to 11 of the book.
    """
    count = 0
    for f in range(ts.shape[0]):
        book = books[slot[f]]
        left = qty[f]
        while left > 0.0:
            position = book[0]
            closing = position * side[f] < 0.0
            part = left
            dust = 1e-12 * book[12]  # what adding up float64 quantities leaves of a flat position
            if closing and abs(position) < left - dust:
                part = abs(position)
            share = part / qty[f]
            if position == 0.0:
                book[:] = 0.0
                book[1] = side[f]
                book[2] = ts[f]
            first = 7 if closing else 4
            book[3] += 1.0
            book[first] += part
            book[first + 1] += notional[f] * share
            book[first + 2] += price[f] * part
            book[10] += fee[f] * share
            book[11] += slippage[f] * share
            book[0] = position + side[f] * part
            book[12] = max(book[12], abs(book[0]))
            left -= part
            if closing and abs(book[0]) <= dust:
                out[count, 0] = slot[f]
                out[count, 1] = reason[f]
                out[count, 2] = ts[f]
                out[count, 3:] = book[1:12]
                count += 1
                book[0] = 0.0
    return count


def round_trips(fills: Table) -> tuple[Table, int]:
    """(closed round trips in the order of their end as TRIP, number of positions still open).

    ``fills`` is a structured array with the engine's FILL columns, sorted by time: ts_ms, agent, symbol,
    side (+1 buy, -1 sell), qty > 0, price, notional > 0, fee, reason, spread_cost, impact_cost. Quantities
    within 1e-12 of the largest position count as flat. O(n).
    """
    missing = [name for name in _NEEDED if name not in (fills.dtype.names or ())]
    if missing:
        raise MetricsError(f"The fills lack the columns {', '.join(missing)}.")
    if not fills.size:
        return np.empty(0, dtype=TRIP), 0
    if np.any(np.diff(fills["ts_ms"]) < 0):
        raise MetricsError("Fills must be sorted by time.")
    if np.any(fills["qty"] <= 0):
        raise MetricsError("Every fill needs a positive quantity; the side is a column of its own.")
    pairs = fills["agent"].astype(np.int64) << 32 | fills["symbol"].astype(np.int64)
    names, slot = np.unique(pairs, return_inverse=True)
    books = np.zeros((names.size, 13))
    out = np.empty((2 * fills.size, 14))
    count = _walk(
        np.ascontiguousarray(fills["ts_ms"]),
        np.ascontiguousarray(slot, dtype=np.int64),
        fills["side"].astype(np.float64),
        np.ascontiguousarray(fills["qty"]),
        np.ascontiguousarray(fills["price"]),
        np.ascontiguousarray(fills["notional"]),
        np.ascontiguousarray(fills["fee"]),
        fills["spread_cost"] + fills["impact_cost"],
        fills["reason"].astype(np.int64),
        books,
        out,
    )
    rows = out[:count]
    trips = np.zeros(count, dtype=TRIP)
    where = names[rows[:, 0].astype(np.int64)]
    trips["agent"], trips["symbol"] = where >> 32, where & 0xFFFF_FFFF
    trips["exit_reason"], trips["exit_ms"] = rows[:, 1], rows[:, 2]
    trips["direction"], trips["entry_ms"], trips["fills"] = rows[:, 3], rows[:, 4], rows[:, 5]
    trips["qty"], trips["entry_notional"] = rows[:, 6], rows[:, 7]
    trips["entry_price"], trips["exit_price"] = rows[:, 8] / rows[:, 6], rows[:, 11] / rows[:, 9]
    trips["gross"] = rows[:, 3] * (rows[:, 10] - rows[:, 7])
    trips["fees"], trips["slippage"] = rows[:, 12], rows[:, 13]
    trips["net"] = trips["gross"] - trips["fees"]
    return trips, int(np.count_nonzero(books[:, 0]))


@dataclass(frozen=True, slots=True)
class TradeSummary:
    """Figures over closed round trips, net of fees, spread and impact (not of funding).

    ``hit_ratio`` is the share with a profit above zero. ``profit_factor`` is the sum of profits over the
    sum of losses: None without a loss. ``expectancy`` is the mean net profit in money; ``expectancy_frac``
    the mean net profit over entry notional. ``average_hold_ms`` is from first entry to last exit.
    ``payoff`` is the mean win over the mean loss.
    """

    n: int
    open: int
    hit_ratio: Ratio
    profit_factor: Ratio
    payoff: Ratio
    expectancy: Ratio
    expectancy_frac: Ratio
    average_hold_ms: Ratio
    best: float | None
    worst: float | None
    net: float


def trade_summary(trips: Table, open_positions: int = 0) -> TradeSummary:
    """Summarise TRIP rows; every ratio is None without a closed trip."""
    n = int(trips.size)
    net = trips["net"]
    wins, losses = net[net > 0], net[net < 0]
    none = Ratio(None, n)
    return TradeSummary(
        n=n,
        open=open_positions,
        hit_ratio=Ratio(wins.size / n, n) if n else none,
        profit_factor=Ratio(float(wins.sum() / -losses.sum()), n) if losses.size else none,
        payoff=Ratio(float(wins.mean() / -losses.mean()), n) if losses.size and wins.size else none,
        expectancy=Ratio(float(net.mean()), n) if n else none,
        expectancy_frac=Ratio(float((net / trips["entry_notional"]).mean()), n) if n else none,
        average_hold_ms=Ratio(float((trips["exit_ms"] - trips["entry_ms"]).mean()), n) if n else none,
        best=float(net.max()) if n else None,
        worst=float(net.min()) if n else None,
        net=float(net.sum()),
    )


@dataclass(frozen=True, slots=True)
class CostSummary:
    """Costs by kind in money, positive when paid. Spread and impact are inside the fill prices, the others
    are bookings.

    ``funding`` is negative where it was received. ``of_traded_bps`` is the total over the traded notional,
    None without trading. ``liquidations`` counts forced closings; their price is in spread and impact.
    """

    fees: float
    spread: float
    impact: float
    funding: float
    total: float
    traded: float
    of_traded_bps: float | None
    fills: int
    liquidations: int


def cost_summary(fills: Table, funding_received: float, *, liquidation_reason: int) -> CostSummary:
    """Costs of ``fills`` (FILL columns) and of the funding that was received (negative: paid)."""
    fees, spread = float(fills["fee"].sum()), float(fills["spread_cost"].sum())
    impact, traded = float(fills["impact_cost"].sum()), float(fills["notional"].sum())
    total = fees + spread + impact - funding_received
    return CostSummary(
        fees=fees,
        spread=spread,
        impact=impact,
        funding=-funding_received if funding_received else 0.0,
        total=total,
        traded=traded,
        of_traded_bps=total / traded * 1e4 if traded > 0 else None,
        fills=int(fills.size),
        liquidations=int(np.count_nonzero(fills["reason"] == liquidation_reason)),
    )


def turnover(traded_notional: float, equity: Floats, *, days: float) -> Ratio:
    """Traded notional (buys plus sells) over mean equity per day; None where mean equity is not positive.

    n is the number of valuations in the mean.
    """
    values = equity[np.isfinite(equity)]
    mean = float(values.mean()) if values.size else math.nan
    if not mean > 0 or not days > 0:
        return Ratio(None, int(values.size))
    return Ratio(traded_notional / mean / days, int(values.size))


def exposure(gross: Floats, equity: Floats) -> Ratio:
    """Mean of gross exposure over equity at the valuations (n,), a fraction; those with equity <= 0 are
    left out.
    """
    alive = (equity > 0) & np.isfinite(gross)
    n = int(np.count_nonzero(alive))
    return Ratio(float((gross[alive] / equity[alive]).mean()) if n else None, n)


def realised_lots(
    quantities: Floats, prices: Floats, *, method: Literal["fifo", "average"] = "fifo"
) -> tuple[float, list[tuple[float, float]]]:
    """(realised profit before fees, lots still open as (signed quantity, price)) of signed trades in order.

    ``quantities`` (n,): positive buys, negative sells; selling more than is held opens a short. ``fifo``
    closes the oldest lot first, ``average`` merges all lots into one at their mean price.
    """
    if len(quantities) != len(prices):
        raise MetricsError(f"There are {len(quantities)} quantities for {len(prices)} prices.")
    lots: list[tuple[float, float]] = []
    realised = 0.0
    for quantity, price in zip(map(float, quantities), map(float, prices), strict=True):
        left, dust = quantity, 1e-12 * abs(quantity)
        while abs(left) > dust and lots and lots[0][0] * left < 0:
            held, cost = lots[0]
            part = math.copysign(min(abs(held), abs(left)), held)
            realised += part * (price - cost)
            left += part
            lots[0] = (held - part, cost)
            if abs(lots[0][0]) <= dust:
                lots.pop(0)
        if abs(left) > dust:
            lots.append((left, price))
            if method == "average" and len(lots) > 1:
                size = sum(q for q, _ in lots)
                lots = [(size, sum(q * p for q, p in lots) / size)]
    return realised, lots
