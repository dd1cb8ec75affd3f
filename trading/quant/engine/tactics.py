"""Prohibited tactics on the way of a run's orders: which of them deny an order that opens, by which thresholds.

The rules are those of `compliance.screening.tactics`, with the cohort's own flow as the fund's, seen in the order in
which orders meet the market: an order that passes belongs to the flow that the next is judged by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.engine.errors import OrderLimitsError

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Tactics:
    """What denies an order that opens. ``self_crossing``: another agent has traded the other side of its market in
    this bar. ``momentum_ignition``: with what the agents have taken on its side within ``window_s`` it makes at least
    ``min_orders`` that are ``market_share_frac`` of the last bar's volume, while that bar's price went their way by
    ``move_bps``; a last bar that is not known denies once there are so many."""

    self_crossing: bool = False
    momentum_ignition: bool = False
    window_s: int = 30
    min_orders: int = 5
    market_share_frac: float = 0.2
    move_bps: float = 30.0

    @property
    def screens(self) -> bool:
        return self.self_crossing or self.momentum_ignition

    def terms(self) -> Float64:
        """In the order of ``kernel_tactics``."""
        numbers = (self.window_s * 1000, self.min_orders, self.market_share_frac, self.move_bps)
        if not all(math.isfinite(x) and x > 0 for x in numbers):
            raise OrderLimitsError(f"The thresholds of the tactics must be positive numbers, not {numbers}.")
        return np.array([self.self_crossing, self.momentum_ignition, *numbers], dtype=np.float64)

    def window_bars(self, interval_ms: int) -> int:
        """How many bars, the running one included, open within the window."""
        return -(-self.window_s * 1000 // interval_ms)


def flow_in(arrays: dict[str, npt.NDArray[Any]], tactics: Tactics | None, n_symbols: int, interval_ms: int) -> Float64:
    """The flow of the window (n_symbols, side, bar, terms), part of the state where it is screened.

    A window that has changed keeps what fits of the latest bars; older flow is forgotten.
    """
    if tactics is None or not tactics.screens:
        arrays.pop("flow", None)
        return np.zeros((1, 2, 1, 4))
    bars = tactics.window_bars(interval_ms)
    kept = arrays.get("flow")
    if kept is None or kept.shape[2] != bars:
        fresh = np.zeros((n_symbols, 2, bars, 4))
        fresh[..., 0] = -np.inf
        if kept is not None:
            _carry(kept, fresh, interval_ms)
        arrays["flow"] = fresh
    return arrays["flow"]


def _carry(kept: Float64, fresh: Float64, interval_ms: int) -> None:
    """Puts the bars of ``kept`` that fit into their places in ``fresh``."""
    bars = fresh.shape[2]
    newest = kept[..., 0].max()
    for s, side, k in np.ndindex(*kept.shape[:3]):
        ts = kept[s, side, k, 0]
        if ts > newest - bars * interval_ms:  # never true of a cell that nothing has filled
            fresh[s, side, int(ts // interval_ms) % bars] = kept[s, side, k]
