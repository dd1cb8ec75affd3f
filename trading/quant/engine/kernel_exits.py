"""Following open positions: when an exit rule fires, and equity, drawdown and leverage at every close in
between.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trading.quant.engine.bits import set_bit
from trading.quant.engine.codes import BreachKind, FillReason
from trading.quant.engine.jit import inlined, kernel, without_nan
from trading.quant.engine.kernel_orders import ATOMS, LIQUIDATION, TAKE_PROFIT

STOP_LOSS = int(FillReason.STOP_LOSS)
TRAILING_STOP = int(FillReason.TRAILING_STOP)
AGENT_LEVERAGE = int(BreachKind.AGENT_LEVERAGE)
AGENT_BANKRUPT = int(BreachKind.AGENT_BANKRUPT)

NO_EXIT = -1
CHUNK = 8  # bars whose extremes are looked at first; a power of two
CHUNK_SHIFT = 3
LOOSER = 1.0 + 1e-12  # the filter before the exact drawdown must never be the stricter of the two


@kernel
def log_breach(
    kind: int,
    a: int,
    value: float,
    limit: float,
    i: int,
    ts: Any,
    clock: Any,
    run: Any,
    cursor: Any,
    breaches: Any,
) -> None:
    if run.keep_log == 0:
        return
    line = breaches[cursor.breaches]
    cursor.breaches += 1
    line.ts_ms = ts[i] + run.interval_ms
    line.bar = clock.bars + i
    line.agent = a
    line.kind = kind
    line.value = value
    line.limit = limit


@kernel
def mark_close(
    a: int, i: int, equity: float, gross: float, ts: Any, clock: Any, run: Any, cursor: Any, agent_rules: Any,
    agents: Any, breaches: Any,
) -> None:  # fmt: skip
    """Peak, drawdown and leverage of one agent at one close."""
    who = agents[a]
    if equity > who.peak:
        who.peak = equity
    else:
        drawdown = (who.peak - equity) / who.peak
        if drawdown > who.drawdown:
            who.drawdown = drawdown
    limit = agent_rules[a].max_leverage
    if who.breached == 0 and limit < np.inf and gross > limit * equity:
        who.breached = 1
        log_breach(
            AGENT_LEVERAGE,
            a,
            gross / equity if equity > 0.0 else np.inf,
            limit,
            i,
            ts,
            clock,
            run,
            cursor,
            breaches,
        )
    if equity <= 0.0 and who.bankrupt == 0:
        who.bankrupt = 1
        log_breach(AGENT_BANKRUPT, a, equity, 0.0, i, ts, clock, run, cursor, breaches)


@kernel
def extremes_with_gaps(block: int, rows: int, used: Any, highs: Any, lows: Any, mark: Any, extremes: Any) -> None:
    """Lowest low, highest high, lowest and highest close of each whole chunk of a block; missing bars count
    for
    nothing.
    """
    for s in range(mark.shape[0]):
        if used[s] == 0:
            continue
        low = lows[s, block : block + rows]
        high = highs[s, block : block + rows]
        close = mark[s, block : block + rows]
        for chunk in range(np.uint64(rows >> CHUNK_SHIFT)):
            at = chunk << np.uint64(CHUNK_SHIFT)
            lowest = np.inf
            highest = -np.inf
            small = np.inf
            large = -np.inf
            for k in range(np.uint64(CHUNK)):
                x = low[at + k]
                lowest = x if x < lowest else lowest
                x = high[at + k]
                highest = x if x > highest else highest
                x = close[at + k]
                small = x if x < small else small
                large = x if x > large else large
            extremes[0, s, chunk] = lowest
            extremes[1, s, chunk] = highest
            extremes[2, s, chunk] = small
            extremes[3, s, chunk] = large


@without_nan
def extremes_without_gaps(block: int, rows: int, used: Any, highs: Any, lows: Any, mark: Any, extremes: Any) -> None:
    """The same where no bar is missing: minimum and maximum then do not depend on the order, several at a "
    "time."""
    for s in range(mark.shape[0]):
        if used[s] == 0:
            continue
        low = lows[s, block : block + rows]
        high = highs[s, block : block + rows]
        close = mark[s, block : block + rows]
        for chunk in range(np.uint64(rows >> CHUNK_SHIFT)):
            at = chunk << np.uint64(CHUNK_SHIFT)
            lowest = np.inf
            highest = -np.inf
            small = np.inf
            large = -np.inf
            for k in range(np.uint64(CHUNK)):
                lowest = min(lowest, low[at + k])
                highest = max(highest, high[at + k])
                small = min(small, close[at + k])
                large = max(large, close[at + k])
            extremes[0, s, chunk] = lowest
            extremes[1, s, chunk] = highest
            extremes[2, s, chunk] = small
            extremes[3, s, chunk] = large


@inlined
def mark_single(
    slot: int, i: int, ts: Any, mark: Any, clock: Any, run: Any, cursor: Any, symbol_rules: Any,
    slot_rules: Any,
    agent_rules: Any, slots: Any, agents: Any, breaches: Any,
) -> None:  # fmt: skip
    """``mark_close`` for an agent of one slot."""
    a = slot_rules[slot].agent
    s = slot_rules[slot].symbol
    value = slots[slot].lots * symbol_rules[s].lot_value * mark[s, i]
    equity = agents[a].cash / ATOMS + value
    mark_close(a, i, equity, abs(value), ts, clock, run, cursor, agent_rules, agents, breaches)


@inlined
def stop_kind(hit: float, liquidation: float, stop: float) -> int:
    if hit == liquidation:
        return LIQUIDATION
    return STOP_LOSS if hit == stop else TRAILING_STOP


@inlined
def follow_long(
    slot: int, i: int, end: int, single: int, block: int, extremes: Any, ts: Any, opens: Any, highs: Any,
    lows: Any, mark: Any, clock: Any, run: Any,
    cursor: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any, work: Any, agents: Any,
    breaches: Any,
) -> None:  # fmt: skip
    """Walk a long position from bar ``i`` until ``end`` or until a bar that hits one of its levels."""
    st = slots[slot]
    rules = slot_rules[slot]
    s = rules.symbol
    a = rules.agent
    rule = symbol_rules[s]
    who = agents[a]
    quantity = st.lots * rule.lot_value
    entry = st.cost / ATOMS / quantity
    cash = who.cash / ATOMS
    stop = entry * (1.0 - rules.stop_loss) if rules.stop_loss > 0.0 else 0.0
    target = entry * (1.0 + rules.take_profit) if rules.take_profit > 0.0 else np.inf
    liquidation = 0.0
    if single != 0 and cash < 0.0:
        liquidation = -cash / (quantity * (1.0 - rule.maintenance))
    fixed = max(stop, liquidation)
    trail = 1.0 - rules.trailing if rules.trailing > 0.0 else 0.0
    best = st.best
    low = lows[s]
    high = highs[s]
    close = mark[s]
    lows_of = extremes[0, s]
    highs_of = extremes[1, s]
    min_of = extremes[2, s]
    max_of = extremes[3, s]
    stopped = -1
    if single == 0:
        for k in range(i, end):
            j = np.uint64(k)
            if low[j] <= max(fixed, best * trail) or high[j] >= target:
                stopped = k
                break
            best = high[j] if high[j] > best else best
    else:
        peak = who.peak
        floor = (1.0 - who.drawdown) * LOOSER
        limit = agent_rules[a].max_leverage
        ceiling = limit if limit < np.inf and who.breached == 0 else 1e300
        k = i
        while k < end:
            if (k - block) & (CHUNK - 1) == 0 and k + CHUNK <= end:
                chunk = np.uint64((k - block) >> CHUNK_SHIFT)
                lowest = lows_of[chunk]
                highest = highs_of[chunk]
                small = quantity * min_of[chunk]
                large = quantity * max_of[chunk]
                extended = max(best, highest)
                top = max(peak, cash + large)
                if (
                    lowest > max(fixed, extended * trail)
                    and highest < target
                    and cash + small >= top * floor
                    and small * LOOSER <= ceiling * (cash + small)
                    and large * LOOSER <= ceiling * (cash + large)
                ):  # nothing in this chunk can matter
                    best = extended
                    peak = top
                    k += CHUNK
                    continue
            j = np.uint64(k)
            if low[j] <= max(fixed, best * trail) or high[j] >= target:
                stopped = k
                break
            best = high[j] if high[j] > best else best
            value = quantity * close[j]
            equity = cash + value
            peak = equity if equity > peak else peak
            if equity < peak * floor or value > ceiling * equity:
                who.peak = peak
                mark_close(a, k, equity, value, ts, clock, run, cursor, agent_rules, agents, breaches)
                floor = (1.0 - who.drawdown) * LOOSER
                if who.breached != 0:
                    ceiling = 1e300
            k += 1
        who.peak = peak
    st.best = best
    work[slot].exit_bar = stopped
    if stopped >= 0:
        level = max(fixed, best * trail)
        first = opens[s, stopped]
        reason = stop_kind(level, liquidation, stop)
        reference = level
        if first <= level:
            reference = first
        elif first >= target:
            reason = TAKE_PROFIT
            reference = first
        elif low[stopped] > level:
            reason = TAKE_PROFIT
            reference = target
        work[slot].exit_reason = reason
        work[slot].exit_reference = reference


@inlined
def follow_short(
    slot: int, i: int, end: int, single: int, block: int, extremes: Any, ts: Any, opens: Any, highs: Any,
    lows: Any, mark: Any, clock: Any, run: Any,
    cursor: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any, work: Any, agents: Any,
    breaches: Any,
) -> None:  # fmt: skip
    """The mirror image of ``follow_long``."""
    st = slots[slot]
    rules = slot_rules[slot]
    s = rules.symbol
    a = rules.agent
    rule = symbol_rules[s]
    who = agents[a]
    quantity = st.lots * rule.lot_value
    entry = st.cost / ATOMS / quantity
    cash = who.cash / ATOMS
    stop = entry * (1.0 + rules.stop_loss) if rules.stop_loss > 0.0 else np.inf
    target = entry * (1.0 - rules.take_profit) if rules.take_profit > 0.0 else 0.0
    liquidation = np.inf
    if single != 0:
        liquidation = cash / (-quantity * (1.0 + rule.maintenance))
    fixed = min(stop, liquidation)
    trail = 1.0 + rules.trailing if rules.trailing > 0.0 else np.inf
    best = st.best
    low = lows[s]
    high = highs[s]
    close = mark[s]
    lows_of = extremes[0, s]
    highs_of = extremes[1, s]
    min_of = extremes[2, s]
    max_of = extremes[3, s]
    stopped = -1
    if single == 0:
        for k in range(i, end):
            j = np.uint64(k)
            if high[j] >= min(fixed, best * trail) or low[j] <= target:
                stopped = k
                break
            best = low[j] if low[j] < best else best
    else:
        peak = who.peak
        floor = (1.0 - who.drawdown) * LOOSER
        limit = agent_rules[a].max_leverage
        ceiling = limit if limit < np.inf and who.breached == 0 else 1e300
        k = i
        while k < end:
            if (k - block) & (CHUNK - 1) == 0 and k + CHUNK <= end:
                chunk = np.uint64((k - block) >> CHUNK_SHIFT)
                lowest = lows_of[chunk]
                highest = highs_of[chunk]
                small = quantity * max_of[chunk]
                large = quantity * min_of[chunk]
                extended = min(best, lowest)
                top = max(peak, cash + large)
                if (
                    highest < min(fixed, extended * trail)
                    and lowest > target
                    and cash + small >= top * floor
                    and -small * LOOSER <= ceiling * (cash + small)
                    and -large * LOOSER <= ceiling * (cash + large)
                ):  # nothing in this chunk can matter
                    best = extended
                    peak = top
                    k += CHUNK
                    continue
            j = np.uint64(k)
            if high[j] >= min(fixed, best * trail) or low[j] <= target:
                stopped = k
                break
            best = low[j] if low[j] < best else best
            value = quantity * close[j]
            equity = cash + value
            peak = equity if equity > peak else peak
            if equity < peak * floor or -value > ceiling * equity:
                who.peak = peak
                mark_close(a, k, equity, -value, ts, clock, run, cursor, agent_rules, agents, breaches)
                floor = (1.0 - who.drawdown) * LOOSER
                if who.breached != 0:
                    ceiling = 1e300
            k += 1
        who.peak = peak
    st.best = best
    work[slot].exit_bar = stopped
    if stopped >= 0:
        level = min(fixed, best * trail)
        first = opens[s, stopped]
        reason = stop_kind(level, liquidation, stop)
        reference = level
        if first >= level:
            reference = first
        elif first <= target:
            reason = TAKE_PROFIT
            reference = first
        elif high[stopped] < level:
            reason = TAKE_PROFIT
            reference = target
        work[slot].exit_reason = reason
        work[slot].exit_reference = reference


@inlined
def follow(
    slot: int, i: int, row: int, block: int, segment_end: int, ts: Any, opens: Any, highs: Any, lows: Any,
    mark: Any,
    wake: Any, exits: Any, extremes: Any, sig_row: Any, sig_count: Any, clock: Any, run: Any, cursor: Any,
    symbol_rules: Any,
    slot_rules: Any, agent_rules: Any, slots: Any, work: Any, agents: Any, breaches: Any,
) -> None:  # fmt: skip
    """Walk the slot's position as far as nothing else can change it, and ask to be woken there.

    ``block`` is the bar of row 0, ``segment_end`` the first row of the next segment.
    """
    st = slots[slot]
    single = agent_rules[slot_rules[slot].agent].single
    work[slot].exit_bar = NO_EXIT
    end: Any = segment_end
    if st.order_lots != 0:
        end = row + 1
        if st.order_reason != 0:  # a rule exit under way: nothing more to look for
            if single != 0:
                mark_single(
                    slot,
                    i,
                    ts,
                    mark,
                    clock,
                    run,
                    cursor,
                    symbol_rules,
                    slot_rules,
                    agent_rules,
                    slots,
                    agents,
                    breaches,
                )
            return
    done = work[slot].signals_done
    if done < sig_count[slot]:
        end = min(end, np.int64(sig_row[slot, done]) + 1)
    limit = slot_rules[slot].time_limit
    if limit > 0:
        due: Any = max(st.entry_bar + limit - clock.bars - block, row + 1)
        if due <= end:
            end = due
            set_bit(wake[due], slot)
    if st.lots > 0:
        follow_long(
            slot, i, block + end, single, block, extremes, ts, opens, highs, lows, mark, clock, run, cursor,
            symbol_rules, slot_rules,
            agent_rules, slots, work, agents, breaches,
        )  # fmt: skip
    else:
        follow_short(
            slot, i, block + end, single, block, extremes, ts, opens, highs, lows, mark, clock, run, cursor,
            symbol_rules, slot_rules,
            agent_rules, slots, work, agents, breaches,
        )  # fmt: skip
    if work[slot].exit_bar >= 0:
        set_bit(exits[work[slot].exit_bar - block], slot)
