"""Following open positions: when an exit rule fires, and equity, drawdown and leverage at every close in
between.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trading.quant.engine import extremes
from trading.quant.engine.bits import ONE, ZERO, prefetch, set_bit
from trading.quant.engine.codes import BreachKind, FillReason
from trading.quant.engine.jit import inlined, kernel
from trading.quant.engine.kernel_orders import LIQUIDATION, TAKE_PROFIT
from trading.quant.engine.kernel_values import ATOMS

STOP_LOSS = int(FillReason.STOP_LOSS)
TRAILING_STOP = int(FillReason.TRAILING_STOP)
AGENT_LEVERAGE = int(BreachKind.AGENT_LEVERAGE)
AGENT_BANKRUPT = int(BreachKind.AGENT_BANKRUPT)

NO_EXIT = -1
RESTLESS, CALM, DEEPER = 0, 1, 2
FINE = np.uint64(extremes.FINE)
MIDDLE = np.uint64(extremes.MIDDLE)
COARSE = np.uint64(extremes.COARSE)
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


# ``side`` is +1 for a long position, which is worse off at lower prices, and -1 for a short one. It is a constant
# wherever these are called, so only one of the two comparisons is compiled into each caller.


@inlined
def nearer(side: int, a: float, b: float) -> float:
    """Of two stop levels the one that the price meets first."""
    return max(a, b) if side > 0 else min(a, b)


@inlined
def meets(side: int, price: float, level: float) -> bool:
    """Whether a price has come down (side +1) or up (side -1) to the level."""
    return price <= level if side > 0 else price >= level


@inlined
def better(side: int, best: float, price: float) -> float:
    """The more favourable of the best price so far and this one; a missing price changes nothing."""
    if side > 0:
        return price if price > best else best
    return price if price < best else best


@inlined
def liquidation_price(side: int, quantity: float, cash: float, maintenance: float) -> float:
    """The price at which what an agent of one slot holds no longer covers its maintenance margin."""
    if side > 0:
        return -cash / (quantity * (1.0 - maintenance)) if cash < 0.0 else 0.0
    return cash / (-quantity * (1.0 + maintenance))


@kernel
def is_liquidated(
    slot: int, i: int, highs: Any, lows: Any, symbol_rules: Any, slot_rules: Any, slots: Any, work: Any, agents: Any
) -> bool:
    """Whether bar ``i`` liquidates a position; if so that is its exit."""
    s = slot_rules[slot].symbol
    rule = symbol_rules[s]
    quantity = slots[slot].lots * rule.lot_value
    cash = agents[slot_rules[slot].agent].cash / ATOMS
    if quantity > 0.0:
        level = liquidation_price(1, quantity, cash, rule.maintenance)
        reached = meets(1, lows[s, i], level)
        work[slot].exit_target = np.inf
    else:
        level = liquidation_price(-1, quantity, cash, rule.maintenance)
        reached = meets(-1, highs[s, i], level)
        work[slot].exit_target = 0.0
    if not reached:
        return False
    work[slot].exit_bar = i
    work[slot].exit_reason = LIQUIDATION
    work[slot].exit_level = level
    return True


@inlined
def calmness(
    side: int, worst: float, most: float, fixed: float, trail: float, target: float, best: float, single: int,
    quantity: float, cash: float, peak: float, floor: float, ceiling: float,
) -> int:  # fmt: skip
    """What can happen while prices stay between ``worst`` and ``most``, as seen from the position: nothing (CALM), at
    most a deeper drawdown from a peak that stays (DEEPER), or more (RESTLESS).
    """
    if meets(side, worst, nearer(side, fixed, better(side, best, most) * trail)) or meets(-side, most, target):
        return RESTLESS
    if single == 0:  # marked elsewhere
        return CALM
    small = quantity * worst
    large = quantity * most
    if abs(small) * LOOSER > ceiling * (cash + small) or abs(large) * LOOSER > ceiling * (cash + large):
        return RESTLESS
    if cash + small >= max(peak, cash + large) * floor:
        return CALM
    return DEEPER if cash + small > 0.0 and cash + large <= peak else RESTLESS


@inlined
def best_since(
    side: int, best: float, s: int, k: int, end: int, lead: int, along: Any, coarse: Any, helpful: Any
) -> float:  # fmt: skip
    """The most favourable price of ``best`` and the bars from ``k`` to ``end``."""
    while k < end:
        at = np.uint64(k + lead)
        if at % COARSE == ZERO and k + extremes.COARSE <= end:
            best = better(side, best, coarse[s, (at // COARSE << ONE) + helpful])
            k += extremes.COARSE
        else:
            best = better(side, best, along[np.uint64(k)])
            k += 1
    return best


@inlined
def walk(
    side: int, slot: int, i: int, shown: int, end: int, single: int, lead: int, spans: Any, ts: Any, opens: Any,
    highs: Any, lows: Any, volume: Any, mark: Any, clock: Any, run: Any, cursor: Any, symbol_rules: Any,
    slot_rules: Any, agent_rules: Any, slots: Any, work: Any, agents: Any, breaches: Any,
) -> None:  # fmt: skip
    """Follow a position from bar ``i`` until ``end`` or until a bar that meets one of its levels.

    Where the extremes of the span around a bar show that nothing can happen, its bars are passed at once: to the last
    bit the outcome of going bar by bar. ``spans`` and ``lead`` are those of ``Extremes``. What the agent's marks show
    must be as of bar ``shown`` when that is reached: from there on only bars are passed that change none of it.

    The best price is worked out when it matters: ``unseen`` bars before the one that the walk ends at are not in it
    (with the sign of the position), and ``best_bound`` is as good as any of them, or better.
    """
    st = slots[slot]
    rules = slot_rules[slot]
    mine = work[slot]
    s = rules.symbol
    a = rules.agent
    rule = symbol_rules[s]
    who = agents[a]
    quantity = st.lots * rule.lot_value
    entry = st.cost / ATOMS / quantity
    cash = who.cash / ATOMS
    never = 0.0 if side > 0 else np.inf  # the stop that no price meets
    far = np.inf if side > 0 else 0.0
    stop = entry * (1.0 - side * rules.stop_loss) if rules.stop_loss > 0.0 else never
    target = entry * (1.0 + side * rules.take_profit) if rules.take_profit > 0.0 else far
    trail = 1.0 - side * rules.trailing if rules.trailing > 0.0 else never
    liquidation = liquidation_price(side, quantity, cash, rule.maintenance) if single != 0 else never
    fixed = nearer(side, stop, liquidation)
    against = lows[s] if side > 0 else highs[s]
    along = highs[s] if side > 0 else lows[s]
    close = mark[s]
    n_bars = mark.shape[1]
    fine, middle, coarse = spans
    adverse = ZERO if side > 0 else ONE  # where a span keeps the extreme that hurts: its low for a long position
    helpful = ONE - adverse
    best = st.best
    bound = best
    unseen = i  # from this bar on the best price has not been looked at
    if st.entry_bar != clock.bars + i and mine.unseen != 0:
        bound = mine.best_bound
        unseen -= abs(mine.unseen)
    peak = who.peak
    floor = (1.0 - who.drawdown) * LOOSER
    limit = agent_rules[a].max_leverage
    ceiling = limit if limit < np.inf and who.breached == 0 else 1e300
    stopped = -1
    if who.breached != 0:  # a mark may end that
        end = min(end, shown)
    k = i
    while k < end:
        at = np.uint64(k + lead)
        calm: Any = k  # little happens before this bar
        mood = RESTLESS
        most = bound
        first: Any = k - np.int64(at % COARSE)
        if first >= 0 and first + extremes.COARSE <= n_bars:
            span = at // COARSE << ONE
            most = coarse[s, span + helpful]
            if single == 0 or cash + quantity * most <= peak:
                mood = calmness(
                    side, coarse[s, span + adverse], most, fixed, trail, target, bound, single, quantity, cash, peak,
                    floor, ceiling,
                )  # fmt: skip
                calm = first + extremes.COARSE
        first = k - np.int64(at % MIDDLE)
        if mood == RESTLESS and first >= 0 and first + extremes.MIDDLE <= n_bars:
            span = at // MIDDLE << ONE
            most = middle[s, span + helpful]
            mood = calmness(
                side, middle[s, span + adverse], most, fixed, trail, target, bound, single, quantity, cash, peak,
                floor, ceiling,
            )  # fmt: skip
            calm = first + extremes.MIDDLE
        first = k - np.int64(at % FINE)
        if mood == RESTLESS and first >= 0 and first + extremes.FINE <= n_bars:
            span = at // FINE << ONE
            most = fine[s, span + helpful]
            mood = calmness(
                side, fine[s, span + adverse], most, fixed, trail, target, bound, single, quantity, cash, peak,
                floor, ceiling,
            )  # fmt: skip
            calm = first + extremes.FINE
        rises = single != 0 and cash + quantity * most > peak
        calm = min(calm, end, shown if rises or mood == DEEPER else end)
        if mood != RESTLESS and calm > k:
            if mood == DEEPER:
                lowest = close[np.uint64(k)]
                for n in range(np.uint64(k + 1), np.uint64(calm)):
                    lowest = better(-side, lowest, close[n])
                drawdown = (peak - (cash + quantity * lowest)) / peak
                if drawdown > who.drawdown:
                    who.drawdown = drawdown
                    floor = (1.0 - drawdown) * LOOSER
            elif rises:
                highest = close[np.uint64(k)]
                for n in range(np.uint64(k + 1), np.uint64(calm)):
                    highest = better(side, highest, close[n])
                peak = max(peak, cash + quantity * highest)
            bound = better(side, bound, most)
            k = calm
            continue
        if k >= shown:
            break
        j = np.uint64(k)
        best = best_since(side, best, s, unseen, k, lead, along, coarse, helpful)
        unseen = k
        if meets(side, against[j], nearer(side, fixed, best * trail)) or meets(-side, along[j], target):
            stopped = k
            break
        best = better(side, best, along[j])
        bound = best
        k += 1
        unseen = k
        if single != 0:
            value = quantity * close[j]
            equity = cash + value
            peak = equity if equity > peak else peak
            if equity < peak * floor or abs(value) > ceiling * equity:
                who.peak = peak
                mark_close(a, k - 1, equity, abs(value), ts, clock, run, cursor, agent_rules, agents, breaches)
                floor = (1.0 - who.drawdown) * LOOSER
                if who.breached != 0:
                    ceiling = 1e300
                    end = min(end, shown)
    if single != 0:
        who.peak = peak
    st.best = best
    mine.best_bound = bound
    mine.unseen = side * (k - unseen)
    mine.exit_bar = stopped
    mine.followed = k
    if stopped >= 0:
        prefetch(opens, s, stopped)
        prefetch(volume, s, stopped)
        level = nearer(side, fixed, best * trail)
        mine.exit_reason = stop_kind(level, liquidation, stop)
        mine.exit_level = level
        mine.exit_target = target


@kernel
def settle_best(
    slot: int, bar: int, lead: int, spans: Any, highs: Any, lows: Any, slot_rules: Any, slots: Any, work: Any
) -> None:
    """Bring a slot's best price up to ``bar``, where the walk of its last position ended."""
    st = slots[slot]
    s = slot_rules[slot].symbol
    unseen = work[slot].unseen
    if unseen > 0:
        st.best = best_since(1, st.best, s, bar - unseen, bar, lead, highs[s], spans[2], ONE)
    elif unseen < 0:
        st.best = best_since(-1, st.best, s, bar + unseen, bar, lead, lows[s], spans[2], ZERO)
    work[slot].unseen = 0


@inlined
def exit_terms(side: int, slot: int, first: float, worst: float, work: Any) -> tuple[int, float]:
    """Why, and at which reference, a position leaves in a bar that opens at ``first`` and goes to ``worst``."""
    level = work[slot].exit_level
    target = work[slot].exit_target
    if meets(side, first, level):
        return work[slot].exit_reason, first
    if meets(-side, first, target):
        return TAKE_PROFIT, first
    if not meets(side, worst, level):
        return TAKE_PROFIT, target
    return work[slot].exit_reason, level


@inlined
def follow(
    slot: int, i: int, row: int, block: int, rows: int, segment_end: int, ts: Any, opens: Any, highs: Any, lows: Any,
    volume: Any, mark: Any,
    wake: Any, exits: Any, spans: Any, sig_row: Any, sig_count: Any, clock: Any, run: Any, cursor: Any,
    symbol_rules: Any,
    slot_rules: Any, agent_rules: Any, slots: Any, work: Any, agents: Any, breaches: Any,
) -> None:  # fmt: skip
    """Walk the slot's position as far as nothing else can change it, and ask to be woken there.

    ``block`` is the bar of row 0, ``segment_end`` the first row of the next segment. What an agent of one slot holds
    and has is changed by its own orders and by funding only: its position is followed into the segments after this.
    """
    st = slots[slot]
    single = agent_rules[slot_rules[slot].agent].single
    work[slot].exit_bar = NO_EXIT
    end: Any = min(rows, cursor.funding_row) if single != 0 else segment_end
    if st.order_lots != 0:
        end = row + 1
        if st.order_reason != 0:  # a rule exit under way: nothing more to look for
            if (
                run.guarded != 0  # a limit may hold the exit up for long; the venue liquidates all the same
                and single != 0
                and st.order_reason != LIQUIDATION
                and is_liquidated(slot, i, highs, lows, symbol_rules, slot_rules, slots, work, agents)
            ):
                set_bit(exits[row], slot)
            elif single != 0:
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
    if work[slot].unseen != 0 and work[slot].followed != row and st.entry_bar != clock.bars + i:
        # A rule exit was under way in between.
        settle_best(slot, block + work[slot].followed, cursor.lead, spans, highs, lows, slot_rules, slots, work)
    if st.lots > 0:
        walk(
            1, slot, i, block + segment_end, block + end, single, cursor.lead, spans, ts, opens, highs, lows, volume,
            mark, clock, run, cursor, symbol_rules, slot_rules, agent_rules, slots, work, agents, breaches,
        )  # fmt: skip
    else:
        walk(
            -1, slot, i, block + segment_end, block + end, single, cursor.lead, spans, ts, opens, highs, lows, volume,
            mark, clock, run, cursor, symbol_rules, slot_rules, agent_rules, slots, work, agents, breaches,
        )  # fmt: skip
    work[slot].followed -= block
    if work[slot].exit_bar >= 0:
        set_bit(exits[work[slot].exit_bar - block], slot)
    elif work[slot].followed > segment_end:
        set_bit(wake[work[slot].followed], slot)
