"""Phase one of a block: every agent's strategy stepped over the bars in a tight loop, leaving only its target changes.

A strategy sees the market and nothing else, so stepping it ahead of the execution is exact. The loops below are
instantiated once per family: ``step`` is a global of the generated copy, which lets the compiler inline it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

ONE = np.uint64(1)


def single_signals(
    block: int, rows: int, opens: Any, highs: Any, lows: Any, closes: Any, volume: Any, which: Any, slot_of: Any,
    symbol_of: Any, params: Any, memory: Any, memory_start: Any, slots: Any, sig_row: Any, sig_target: Any,
    sig_count: Any, wake: Any,
) -> None:  # fmt: skip
    """``which`` lists the agents of this family; ``memory[memory_start[a]:memory_start[a + 1]]`` is agent a's state."""
    for n in range(which.shape[0]):
        a = which[n]
        slot = slot_of[a]
        s = symbol_of[a]
        o = opens[s, block : block + rows]
        h = highs[s, block : block + rows]
        lo = lows[s, block : block + rows]
        c = closes[s, block : block + rows]
        v = volume[s, block : block + rows]
        p = params[n]
        state = memory[memory_start[a] : memory_start[a + 1]]
        last = slots[slot].last_target
        count = 0
        for r in range(rows):
            if c[r] == c[r]:
                target = step(o[r], h[r], lo[r], c[r], v[r], p, state)  # type: ignore[name-defined]  # noqa: F821
                if target != last and target == target:
                    last = target
                    sig_row[slot, count] = r
                    sig_target[slot, count] = target
                    count += 1
                    wake[r + 1, slot >> 6] |= ONE << np.uint64(slot & 63)
        slots[slot].last_target = last
        sig_count[slot] = count


def panel_signals(
    block: int, rows: int, opens: Any, highs: Any, lows: Any, closes: Any, volume: Any, which: Any, slot_of: Any,
    symbol_of: Any, params: Any, memory: Any, memory_start: Any, slots: Any, sig_row: Any, sig_target: Any,
    sig_count: Any, wake: Any,
) -> None:  # fmt: skip
    """The same for families that see all symbols of a bar at once; symbols without a bar keep their target."""
    symbols = closes.shape[0]
    bar = np.empty((6, symbols))
    for n in range(which.shape[0]):
        a = which[n]
        slot = slot_of[a]
        p = params[n]
        state = memory[memory_start[a] : memory_start[a + 1]]
        for s in range(symbols):
            sig_count[slot + s] = 0
        for r in range(rows):
            present = False
            for s in range(symbols):
                bar[0, s] = opens[s, block + r]
                bar[1, s] = highs[s, block + r]
                bar[2, s] = lows[s, block + r]
                bar[3, s] = closes[s, block + r]
                bar[4, s] = volume[s, block + r]
                bar[5, s] = math.nan
                present = present or bar[3, s] == bar[3, s]
            if not present:
                continue
            step(bar[0], bar[1], bar[2], bar[3], bar[4], p, state, bar[5])  # type: ignore[name-defined]  # noqa: F821
            for s in range(symbols):
                target = bar[5, s]
                k = slot + s
                if bar[3, s] == bar[3, s] and target != slots[k].last_target and target == target:
                    slots[k].last_target = target
                    sig_row[k, sig_count[k]] = r
                    sig_target[k, sig_count[k]] = target
                    sig_count[k] += 1
                    wake[r + 1, k >> 6] |= ONE << np.uint64(k & 63)


def start_agents(which: Any, params: Any, memory: Any, memory_start: Any) -> None:
    """Fill the fresh states of this family's agents."""
    for n in range(which.shape[0]):
        a = which[n]
        init(params[n], memory[memory_start[a] : memory_start[a + 1]])  # type: ignore[name-defined]  # noqa: F821
