"""Phase one of a block: every agent's strategy stepped over the bars in a tight loop, leaving only its target
changes.

A strategy sees the market and nothing else, so stepping it ahead of the execution is exact. The loops are
source text,
instantiated once per family with ``step`` as a global, which lets the compiler melt it in. Agents are stepped
``LANES`` at a time: one step waits for its own last result, so two or more in flight hide that latency.

A family that can say a whole block at once (``StrategyFamily.block``) is asked for it instead, unless the block is
short or has a missing bar: both forms leave the same, so where they take turns makes no difference.

Every loop takes the same arguments. ``which`` lists the agents of the family, ``params[n]`` is the genome of
``which[n]`` and
``memory[memory_start[a] : memory_start[a + 1]]`` the state of agent a. ``spoken`` (as long as a block) and ``room`` are
for whole blocks, and ``bar`` is for the rows of PANEL families. ``has_gaps`` is 0 where the market has no missing bar.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from trading.quant.engine.bits import ONE, set_bit
from trading.quant.engine.jit import kernel

LANES = 2
SHORTEST_WHOLE = 64  # bars; a shorter block is stepped
STRIDE = np.uint64(16)  # bars that are looked at together; a few changes a thousand bars are the rule

_ARGUMENTS = """
    block, rows, opens, highs, lows, closes, volume, which, slot_of, symbol_of, params, memory,
    memory_start,
    slots, sig_row, sig_target, sig_count, wake, bar, spoken, room, has_gaps
"""

_OPEN_LANE = """
a = which[n + {k}]
slot{k} = slot_of[a]
s{k} = symbol_of[a]
open{k} = opens[s{k}, block : block + rows]
high{k} = highs[s{k}, block : block + rows]
low{k} = lows[s{k}, block : block + rows]
close{k} = closes[s{k}, block : block + rows]
volume{k} = volume[s{k}, block : block + rows]
params{k} = params[n + {k}]
state{k} = memory[memory_start[a] : memory_start[a + 1]]
last{k} = slots[slot{k}].last_target
count{k} = 0
"""

_STEP_LANE = """
c = close{k}[r]
if c == c:
    target = step(open{k}[r], high{k}[r], low{k}[r], c, volume{k}[r], params{k}, state{k})
    if target != last{k} and target == target:
        last{k} = target
        sig_row[slot{k}, count{k}] = row
        sig_target[slot{k}, count{k}] = target
        count{k} += 1
        wake[row + 1, slot{k} >> 6] |= np.uint64(1) << np.uint64(slot{k} & 63)
"""

_CLOSE_LANE = """
slots[slot{k}].last_target = last{k}
sig_count[slot{k}] = count{k}
"""


def single_source(lanes: int = LANES) -> str:
    """``signals`` for families that trade one symbol an agent."""

    def repeat(text: str, depth: int, times: int) -> str:
        return textwrap.indent("".join(text.format(k=k) for k in range(times)), "    " * depth)

    def loop(times: int) -> str:
        return (
            f"    while n + {times} <= which.shape[0]:\n"
            + repeat(_OPEN_LANE, 2, times)
            + "        for row in range(rows):\n            r = np.uint64(row)\n"
            + repeat(_STEP_LANE, 3, times)
            + repeat(_CLOSE_LANE, 2, times)
            + f"        n += {times}\n"
        )

    head = f"def signals({_ARGUMENTS}):\n    n = 0\n"
    return head + (loop(lanes) if lanes > 1 else "") + loop(1)


def whole_source() -> str:
    """``signals`` for families of one symbol an agent that have a block form."""
    lane = textwrap.indent(_OPEN_LANE.format(k=0), "        ")
    step = textwrap.indent(_STEP_LANE.format(k=0), "                ")
    close = textwrap.indent(_CLOSE_LANE.format(k=0), "            ")
    return f"""def signals({_ARGUMENTS}):
    for n in range(which.shape[0]):
{lane}
        if rows >= {SHORTEST_WHOLE} and (has_gaps == 0 or is_whole(close0)):
            targets = spoken[0:rows]
            block_form(open0, high0, low0, close0, volume0, params0, state0, targets, room)
            note_changes(targets, slot0, slots, sig_row, sig_target, sig_count, wake)
        else:
            for row in range(rows):
                r = np.uint64(row)
{step}
{close}
"""


@kernel
def is_whole(closes: Any) -> bool:
    """Whether no bar is missing."""
    missing = 0
    for k in range(np.uint64(closes.shape[0])):
        missing += closes[k] != closes[k]
    return missing == 0


@kernel
def note_changes(targets: Any, slot: int, slots: Any, sig_row: Any, sig_target: Any, sig_count: Any, wake: Any) -> None:
    """Where the slot's target differs from the one before becomes a signal; NaN holds."""
    last = slots[slot].last_target
    count = np.uint64(0)
    n = np.uint64(targets.shape[0])
    at = np.uint64(0)
    while at < n:
        end = at + STRIDE
        if end <= n:
            other = 0
            for k in range(at, end):
                other += targets[k] != last
            if other == 0:
                at = end
                continue
        else:
            end = n
        for k in range(at, end):
            target = targets[k]
            if target != last and target == target:
                last = target
                sig_row[slot, count] = k
                sig_target[slot, count] = target
                count += ONE
                set_bit(wake[k + ONE], slot)
        at = end
    slots[slot].last_target = last
    sig_count[slot] = count


def panel_source() -> str:
    """``signals`` for families that see all symbols at once; a symbol without a bar keeps its target."""
    return f"""def signals({_ARGUMENTS}):
    symbols = closes.shape[0]
    for n in range(which.shape[0]):
        a = which[n]
        slot = slot_of[a]
        state = memory[memory_start[a] : memory_start[a + 1]]
        for s in range(symbols):
            sig_count[slot + s] = 0
        for row in range(rows):
            present = False
            for s in range(symbols):
                bar[0, s] = opens[s, block + row]
                bar[1, s] = highs[s, block + row]
                bar[2, s] = lows[s, block + row]
                bar[3, s] = closes[s, block + row]
                bar[4, s] = volume[s, block + row]
                bar[5, s] = np.nan
                present = present or bar[3, s] == bar[3, s]
            if not present:
                continue
            step(bar[0], bar[1], bar[2], bar[3], bar[4], params[n], state, bar[5])
            for s in range(symbols):
                target = bar[5, s]
                k = slot + s
                if bar[3, s] == bar[3, s] and target != slots[k].last_target and target == target:
                    slots[k].last_target = target
                    sig_row[k, sig_count[k]] = row
                    sig_target[k, sig_count[k]] = target
                    sig_count[k] += 1
                    wake[row + 1, k >> 6] |= np.uint64(1) << np.uint64(k & 63)
"""


START_SOURCE = """def start(which, params, memory, memory_start):
    for n in range(which.shape[0]):
        a = which[n]
        init(params[n], memory[memory_start[a] : memory_start[a + 1]])
"""
