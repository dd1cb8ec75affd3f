"""Prohibited tactics before an order that opens is sent: what the cohort's agents have traded so far, and the last bar.

The flow is kept by symbol, side (0 buys, 1 sells) and bar of the window, a ring by the bar's number since the epoch. A
cell says of which bar it is, how many orders took liquidity in it, with how many lots, and whose they were.
"""

from __future__ import annotations

from typing import Any

from trading.quant.engine.codes import RejectionReason
from trading.quant.engine.jit import kernel
from trading.quant.engine.kernel_values import previous_close

# Terms of ``Tactics.terms``.
CROSSING, BURST, WINDOW_MS, MIN_ORDERS, SHARE, MOVE_BPS = 0, 1, 2, 3, 4, 5
# A cell of the flow.
BAR, ORDERS, LOTS, WHOSE = 0, 1, 2, 3
NOBODY, SEVERAL = -1.0, -2.0
# What is kept of the last bar of each symbol.
OPEN, VOLUME = 0, 1

SELF_CROSSING = int(RejectionReason.SELF_CROSSING)
MOMENTUM_IGNITION = int(RejectionReason.MOMENTUM_IGNITION)


@kernel
def note_flow(a: int, s: int, side: int, lots: int, maker: int, ts: int, interval: int, flow: Any) -> None:
    """A fill joins the flow; a maker's order waited in the market and takes part in no burst."""
    cell = flow[s, 0 if side > 0 else 1, (ts // interval) % flow.shape[2]]
    if cell[BAR] != ts:
        cell[BAR] = ts
        cell[ORDERS] = 0.0
        cell[LOTS] = 0.0
        cell[WHOSE] = NOBODY
    if maker == 0:
        cell[ORDERS] += 1.0
        cell[LOTS] += float(lots)
    if cell[WHOSE] == NOBODY:
        cell[WHOSE] = float(a)
    elif cell[WHOSE] != a:
        cell[WHOSE] = SEVERAL


@kernel
def tactic_of(
    a: int, s: int, side: int, lots: int, i: int, ts: int, interval: int, opens: Any, volume: Any, mark: Any,
    before: Any, lot_value: float, terms: Any, flow: Any, last_bar: Any,
) -> int:  # fmt: skip
    """The reason why an order of so many lots may not be sent now, or -1. O(bars of the window)."""
    own = 0 if side > 0 else 1
    if terms[CROSSING] != 0.0:
        cell = flow[s, 1 - own, (ts // interval) % flow.shape[2]]
        if cell[BAR] == ts and cell[WHOSE] != a:
            return SELF_CROSSING
    if terms[BURST] == 0.0:
        return -1
    orders = 1.0
    size = float(lots)
    for k in range(flow.shape[2]):
        cell = flow[s, own, k]
        if cell[BAR] > ts - terms[WINDOW_MS]:
            orders += cell[ORDERS]
            size += cell[LOTS]
    if orders < terms[MIN_ORDERS]:
        return -1
    opened = opens[s, i - 1] if i > 0 else last_bar[s, OPEN]
    traded = volume[s, i - 1] if i > 0 else last_bar[s, VOLUME]
    if not (traded > 0.0 and opened > 0.0):
        return MOMENTUM_IGNITION
    share = size / (traded / lot_value)
    move = 1e4 * side * (previous_close(mark, before, s, i) / opened - 1.0)
    if share >= terms[SHARE] and move >= terms[MOVE_BPS]:
        return MOMENTUM_IGNITION
    return -1
