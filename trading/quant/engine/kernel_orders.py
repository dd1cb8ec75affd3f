"""Orders: from a target to an order, from an order to a fill, and the books of agent and wallet that a fill
moves.

Every function works on the records of ``layout``; ``i`` is the bar within this run, ``row`` the bar within
its block.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trading.quant.engine.bits import set_bit
from trading.quant.engine.codes import FillReason, InstrumentKind, RejectionReason
from trading.quant.engine.jit import inlined, kernel
from trading.quant.engine.kernel_limits import judge
from trading.quant.engine.kernel_tactics import note_flow, tactic_of
from trading.quant.engine.kernel_values import ATOMS, atoms, previous_close

OFF = 1e300  # a ceiling that never binds; infinity times a zero equity would be NaN
VOLUME_NOTED = 1  # flags of an order: what has been logged of it already
LIMIT_NOTED = 2
NET = np.uint64(0)  # of a wallet's holdings of a symbol in lots: longs less shorts, and their sum
GROSS = np.uint64(1)
ROUNDING = 1e-9  # of a lot or a tick: what floating point may be off by before a floor or a ceiling

SIGNAL = int(FillReason.SIGNAL)
TAKE_PROFIT = int(FillReason.TAKE_PROFIT)
TIME_LIMIT = int(FillReason.TIME_LIMIT)
LIQUIDATION = int(FillReason.LIQUIDATION)
SPOT = int(InstrumentKind.SPOT)

LOT_TOO_SMALL = int(RejectionReason.LOT_TOO_SMALL)
MIN_NOTIONAL = int(RejectionReason.MIN_NOTIONAL)
INSUFFICIENT_BALANCE = int(RejectionReason.INSUFFICIENT_BALANCE)
POSITION_LIMIT = int(RejectionReason.POSITION_LIMIT)
MAX_OPEN_POSITIONS = int(RejectionReason.MAX_OPEN_POSITIONS)
AGENT_LEVERAGE = int(RejectionReason.AGENT_LEVERAGE)
MARKET_CAP = int(RejectionReason.MARKET_CAP)
GROSS_CEILING = int(RejectionReason.GROSS_CEILING)
NET_CEILING = int(RejectionReason.NET_CEILING)
LEVERAGE_CEILING = int(RejectionReason.LEVERAGE_CEILING)
PARTICIPATION = int(RejectionReason.PARTICIPATION)
NO_VOLUME = int(RejectionReason.NO_VOLUME)
COOLDOWN = int(RejectionReason.COOLDOWN)
EXIT_PENDING = int(RejectionReason.EXIT_PENDING)
TICK_TOO_SMALL = int(RejectionReason.TICK_TOO_SMALL)


@inlined
def tick_price(rule: Any, price: float, side: int) -> Any:
    """The price on the tick grid, a buy rounded up and a sell rounded down."""
    ticks = price * rule.tick_pow
    if rule.tick_whole != 1.0:  # a division by one would change nothing, but take its time
        ticks /= rule.tick_whole
    ticks = np.ceil(ticks - ROUNDING) if side > 0 else np.floor(ticks + ROUNDING)
    return ticks * rule.tick_whole / rule.tick_pow


@inlined
def impact_frac(rule: Any, lots: int, volume: float) -> Any:
    """Square-root impact of so many lots in a bar of this volume, as a fraction of the price."""
    share = 1.0
    if volume > 0.0:
        share = min(1.0, lots * rule.lot_value / volume)
    return rule.impact * math.sqrt(share)


@inlined
def keep_net(net_rows: Any, net_done: Any, s: int, value: float, row: int) -> None:
    """The wallet's holding of symbol ``s`` (last row: its cash) has been ``value`` up to this row of the segment."""
    for k in range(net_done[s], row):
        net_rows[np.uint64(s), np.uint64(k)] = value
    net_done[s] = row


@kernel
def log_rejection(
    reason: int, wanted: float, permitted: float, side: int, slot: int, i: int, ts: Any, clock: Any, run: Any,
    cursor: Any, slot_rules: Any, symbol_rules: Any, agents: Any, rejections: Any,
) -> None:  # fmt: skip
    a = slot_rules[slot].agent
    agents[a].rejections += 1
    if run.keep_log == 0:
        return
    s = slot_rules[slot].symbol
    rule = symbol_rules[s]
    line = rejections[cursor.rejections]
    cursor.rejections += 1
    line.ts_ms = ts[i]
    line.bar = clock.bars + i
    line.agent = a
    line.symbol = s
    line.side = side
    line.reason = reason
    line.wanted = wanted * rule.lot_whole / rule.lot_pow
    line.permitted = permitted * rule.lot_whole / rule.lot_pow


@kernel
def agent_equity(
    a: int,
    i: int,
    agent_rules: Any,
    slot_rules: Any,
    symbol_rules: Any,
    agents: Any,
    slots: Any,
    mark: Any,
    before: Any,
) -> Any:
    """Cash and positions at the closes before bar ``i``."""
    who = agent_rules[a]
    equity = agents[a].cash / ATOMS
    for k in range(who.first_slot, who.first_slot + who.n_slots):
        if slots[k].lots != 0:
            s = slot_rules[k].symbol
            equity += slots[k].lots * symbol_rules[s].lot_value * previous_close(mark, before, s, i)
    return equity


@inlined
def decide(
    slot: int, i: int, ts: Any, mark: Any, before: Any, clock: Any, run: Any, cursor: Any, symbol_rules: Any,
    slot_rules: Any, agent_rules: Any, slots: Any, agents: Any, rejections: Any,
) -> None:  # fmt: skip
    """Turn the previous close's signal, or a time limit that has run out, into the slot's order."""
    st = slots[slot]
    rules = slot_rules[slot]
    g = clock.bars + i
    target = st.signal
    if target != target:
        if (
            st.lots != 0
            and rules.time_limit > 0
            and g - st.entry_bar >= rules.time_limit
            and (st.order_lots == 0 or st.order_reason == SIGNAL)
        ):
            st.order_lots = -st.lots
            st.order_reason = TIME_LIMIT
            st.noted = 0
        return
    st.signal = np.nan
    s = rules.symbol
    rule = symbol_rules[s]
    who = agent_rules[rules.agent]
    target = min(1.0, max(-1.0, target))
    if rule.kind == SPOT and target < 0.0:
        target = 0.0
    sign = 1 if target > 0.0 else -1
    base = who.draw
    if run.equity_sizing != 0:
        base = agent_equity(rules.agent, i, agent_rules, slot_rules, symbol_rules, agents, slots, mark, before)
    price = previous_close(mark, before, s, i)
    exact = max(0.0, abs(target) * who.leverage * base / (price * rule.lot_value))
    want = np.int64(np.floor(exact + ROUNDING))
    if st.order_lots != 0 and st.order_reason != SIGNAL:
        if target != 0.0:
            log_rejection(
                EXIT_PENDING, exact, 0.0, sign, slot, i, ts, clock, run, cursor, slot_rules, symbol_rules, agents,
                rejections,
            )  # fmt: skip
        return
    st.order_lots = 0
    if want == 0 and target != 0.0:
        log_rejection(
            LOT_TOO_SMALL, exact, 0.0, sign, slot, i, ts, clock, run, cursor, slot_rules, symbol_rules, agents,
            rejections,
        )  # fmt: skip
    desired = sign * want
    if desired != 0 and st.lots == 0 and g - 1 < st.cooldown_until:
        log_rejection(
            COOLDOWN, exact, 0.0, sign, slot, i, ts, clock, run, cursor, slot_rules, symbol_rules, agents, rejections,
        )  # fmt: skip
        return
    delta = desired - st.lots
    if delta == 0:
        return
    side = 1 if delta > 0 else -1
    if desired != 0 and abs(delta) * rule.lot_value * price < rule.min_notional:
        log_rejection(
            MIN_NOTIONAL, float(abs(delta)), 0.0, side, slot, i, ts, clock, run, cursor, slot_rules,
            symbol_rules, agents,
            rejections,
        )  # fmt: skip
        return
    st.order_lots = delta
    st.order_reason = SIGNAL
    st.noted = 0


@inlined
def cut(allowed: Any, why: int, room: float, reason: int) -> tuple[Any, int]:
    """The lots allowed and the rule that binds, after one more rule that leaves this room."""
    if max(room, 0.0) < allowed:
        return max(0, np.int64(room)), reason
    return allowed, why


@inlined
def volume_share(rule: Any, lots: int, traded: float) -> Any:
    """How many of these lots the bar's volume allows."""
    return np.int64(min(float(lots), np.floor(rule.participation * traded / rule.lot_value + ROUNDING)))


@inlined
def slipped(rule: Any, reference: float, side: int, slip: float) -> Any:
    """The price on the grid that a taker pays who loses this fraction of the reference."""
    return tick_price(rule, reference * (1.0 + side * slip), side)


@inlined
def headroom(
    slot: int, i: int, side: int, opening: int, closing: int, price: float, mark: Any, before: Any, run: Any,
    symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any, agents: Any, wallets: Any, holdings: Any,
    fee_now: Any,
) -> tuple[int, int]:  # fmt: skip
    """How many of ``opening`` lots may be opened, and which rule binds (-1: none)."""
    st = slots[slot]
    s = slot_rules[slot].symbol
    a = slot_rules[slot].agent
    rule = symbol_rules[s]
    who = agent_rules[a]
    w = who.wallet
    allowed: Any = opening
    why = -1
    own = st.lots + side * closing  # what stays after the closing part: 0 when reversing

    if run.max_open_positions > 0 and own == 0:
        others = wallets[w].open_positions - (1 if st.lots != 0 else 0)
        if others >= run.max_open_positions:
            return 0, MAX_OPEN_POSITIONS
    allowed, why = cut(allowed, why, np.floor(rule.position_limit - abs(own)), POSITION_LIMIT)

    # Balance: equity after the fill must cover the initial margin of everything the agent holds (spot: all of
    # it).
    rate = fee_now[w, rule.kind, 1]
    lot_price = rule.lot_value * price
    cash = agents[a].cash / ATOMS
    if closing > 0:
        cash -= (side + rate) * (closing * lot_price)
    value = own * lot_price
    free = cash + (value - abs(value) * rule.initial_margin)
    equity = cash + value
    gross = abs(value)
    if who.single == 0:
        for k in range(who.first_slot, who.first_slot + who.n_slots):
            if k != slot and slots[k].lots != 0:
                other = symbol_rules[slot_rules[k].symbol]
                x = slots[k].lots * other.lot_value * previous_close(mark, before, slot_rules[k].symbol, i)
                free += x - abs(x) * other.initial_margin
                equity += x
                gross += abs(x)
    if rule.kind == SPOT:
        free = min(free, agents[a].cash / ATOMS)  # what other positions are worth buys no spot
    allowed, why = cut(allowed, why, np.floor(free / (lot_price * (rule.initial_margin + rate))), INSUFFICIENT_BALANCE)
    if rule.kind == SPOT:
        while allowed > 0:
            notional = atoms(allowed * rule.lot_value * price)
            if agents[a].cash - notional - np.int64(np.rint(rate * notional)) >= 0:
                break
            allowed -= 1
            why = INSUFFICIENT_BALANCE
    if who.max_leverage < np.inf:
        allowed, why = cut(allowed, why, np.floor((who.max_leverage * equity - gross) / lot_price), AGENT_LEVERAGE)

    if run.has_ceilings != 0 and allowed > 0:
        parent = wallets[w].cash / ATOMS
        total = 0.0
        net = 0.0
        for k in range(np.uint64(holdings.shape[1])):
            if holdings[w, k, GROSS] != 0.0:
                unit = symbol_rules[k].lot_value * previous_close(mark, before, k, i)
                x = holdings[w, k, NET] * unit
                parent += x
                net += x
                total += holdings[w, k, GROSS] * unit
        unit = rule.lot_value * previous_close(mark, before, s, i)
        freed = closing * unit
        if rule.market_cap < OFF:
            allowed, why = cut(
                allowed,
                why,
                np.floor((rule.market_cap * parent - (holdings[w, s, GROSS] * unit - freed)) / unit),
                MARKET_CAP,
            )
        if run.gross_ceiling < OFF:
            allowed, why = cut(
                allowed, why, np.floor((run.gross_ceiling * parent - (total - freed)) / unit), GROSS_CEILING
            )
        if run.net_ceiling < OFF:
            allowed, why = cut(
                allowed, why, np.floor((run.net_ceiling * parent - side * (net + side * freed)) / unit), NET_CEILING
            )
        if run.leverage_ceiling < OFF:
            allowed, why = cut(
                allowed, why, np.floor((run.leverage_ceiling * parent - (total - freed)) / unit), LEVERAGE_CEILING
            )
    return allowed, why


@inlined
def book(
    slot: int, i: int, row: int, side: int, lots: int, price: float, reference: float, impact: float,
    maker: int,
    reason: int, ts: Any, clock: Any, run: Any, cursor: Any, symbol_rules: Any, slot_rules: Any,
    agent_rules: Any,
    slots: Any, agents: Any, wallets: Any, held: Any, fee_now: Any, volumes: Any, fills: Any, net_rows: Any,
    net_done: Any, holdings: Any, books: Any, guard: Any,
) -> None:  # fmt: skip
    """Move cash, position, cost basis and the wallet's totals by one fill, and write its line."""
    st = slots[slot]
    a = slot_rules[slot].agent
    s = slot_rules[slot].symbol
    rule = symbol_rules[s]
    w = agent_rules[a].wallet
    who = agents[a]
    parent = wallets[w]
    units = lots * rule.lot_value
    notional = atoms(price * units)
    fee = np.int64(np.rint(fee_now[w, rule.kind, 1 - maker] * notional))
    held_before = st.lots
    held_after = held_before + side * lots
    realised = 0
    if held_before * side >= 0:
        if held_before == 0:
            st.entry_bar = clock.bars + i
            st.best = price
            st.trade_realised = 0
            parent.open_positions += 1
        st.cost += side * notional
    else:
        closed = min(lots, abs(held_before))
        part = notional if closed == lots else atoms(price * (closed * rule.lot_value))
        out = st.cost
        if closed < abs(held_before):
            out = np.int64(np.rint(st.cost * (closed / abs(held_before))))
        realised = -side * part - out
        st.cost -= out
        st.trade_realised += realised
        if realised < 0:
            books[a].last_loss = ts[i]
            books[agents.shape[0] + w].last_loss = ts[i]
        if closed == abs(held_before):
            who.trades += 1
            if st.trade_realised > 0:
                who.wins += 1
            st.trade_realised = 0
            if held_after == 0:
                parent.open_positions -= 1
            else:
                st.cost = side * (notional - part)
                st.entry_bar = clock.bars + i
                st.best = price
    st.lots = held_after

    if run.shared_wallet != 0:  # remember what the wallet held up to here, for its equity bar by bar
        passed = row - cursor.segment_start
        keep_net(net_rows, net_done, s, (held[w, s, 0] - held[w, s, 1]) * rule.lot_value, passed)
        keep_net(net_rows, net_done, net_rows.shape[0] - 1, parent.cash / ATOMS, passed)
    if held_before > 0:
        held[w, s, 0] -= held_before
    else:
        held[w, s, 1] += held_before
    if held_after > 0:
        held[w, s, 0] += held_after
    else:
        held[w, s, 1] -= held_after
    holdings[w, s, NET] = float(held[w, s, 0] - held[w, s, 1])
    holdings[w, s, GROSS] = float(held[w, s, 0] + held[w, s, 1])

    flow = side * notional + fee
    slippage = atoms(side * (price - reference) * units)
    impact_cost = min(slippage, atoms(impact * reference * units))
    who.cash -= flow
    parent.cash -= flow
    who.realised += realised
    who.fees += fee
    who.spread += slippage - impact_cost
    who.impact += impact_cost
    who.fills += 1
    volumes[w, rule.kind, cursor.today] += notional / ATOMS
    if run.screened != 0:
        note_flow(a, s, side, lots, maker, ts[i], run.interval_ms, guard[11])
    if run.keep_log == 0:
        return
    line = fills[cursor.fills]
    cursor.fills += 1
    line.ts_ms = ts[i]
    line.bar = clock.bars + i
    line.agent = a
    line.symbol = s
    line.side = side
    line.reason = reason
    line.qty = lots * rule.lot_whole / rule.lot_pow
    line.price = price
    line.reference = reference
    line.notional = notional / ATOMS
    line.fee = fee / ATOMS
    line.spread_cost = (slippage - impact_cost) / ATOMS
    line.impact_cost = impact_cost / ATOMS
    line.realised = realised / ATOMS
    line.position = held_after * rule.lot_whole / rule.lot_pow
    line.maker = maker


@kernel
def note_denial(
    why: int, asked: int, part: int, side: int, slot: int, i: int, ts: Any, clock: Any, run: Any, cursor: Any,
    slot_rules: Any, symbol_rules: Any, slots: Any, agents: Any, rejections: Any,
) -> None:  # fmt: skip
    """Log what a limit has denied: each of a signal's orders; a rule exit, which asks again at every bar, once."""
    st = slots[slot]
    if st.order_reason == SIGNAL or st.noted & LIMIT_NOTED == 0:
        st.noted |= LIMIT_NOTED
        log_rejection(
            why, float(asked), float(part), side, slot, i, ts, clock, run, cursor, slot_rules, symbol_rules, agents,
            rejections,
        )  # fmt: skip


@inlined
def fill_at_open(
    slot: int, i: int, row: int, ts: Any, opens: Any, volume: Any, mark: Any, before: Any, wake: Any,
    clock: Any,
    run: Any, cursor: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any, agents: Any,
    wallets: Any,
    held: Any, fee_now: Any, volumes: Any, fills: Any, rejections: Any, net_rows: Any, net_done: Any, holdings: Any,
    books: Any, guard: Any,
) -> None:  # fmt: skip
    """Trade what this bar allows of the slot's order; what remains asks to be woken at the next bar."""
    st = slots[slot]
    s = slot_rules[slot].symbol
    rule = symbol_rules[s]
    side = 1 if st.order_lots > 0 else -1
    lots = abs(st.order_lots)
    price = opens[s, i]
    traded = volume[s, i] if price == price else 0.0
    reason = st.order_reason
    part = lots
    if reason != LIQUIDATION or price != price:
        part = volume_share(rule, lots, traded)
    if part < lots and st.noted & VOLUME_NOTED == 0:
        st.noted |= VOLUME_NOTED
        log_rejection(
            PARTICIPATION if part > 0 else NO_VOLUME, float(lots), float(part), side, slot, i, ts, clock,
            run, cursor,
            slot_rules, symbol_rules, agents, rejections,
        )  # fmt: skip
    if part == 0:
        set_bit(wake[row + 1], slot)
        return
    if run.guarded != 0 and reason != LIQUIDATION:
        asked = part
        part, why = judge(
            slot, i, side, asked, price, traded, ts, mark, before, clock, run, symbol_rules, slot_rules, agent_rules,
            slots, agents, wallets, held, books, guard,
        )  # fmt: skip
        if part < asked:
            note_denial(
                why, asked, part, side, slot, i, ts, clock, run, cursor, slot_rules, symbol_rules, slots, agents,
                rejections,
            )  # fmt: skip
            if reason == SIGNAL:
                st.order_lots = side * part
            elif part == 0:
                set_bit(wake[row + 1], slot)
            if part == 0:
                return
    if run.screened != 0 and reason == SIGNAL:  # whatever else sends an order closes with it
        closing = min(part, abs(st.lots)) if st.lots * side < 0 else 0
        if part > closing:
            why = tactic_of(
                slot_rules[slot].agent, s, side, part, i, ts[i], run.interval_ms, opens, volume, mark, before,
                rule.lot_value, guard[10], guard[11], guard[12],
            )  # fmt: skip
            if why >= 0:
                log_rejection(
                    why, float(part), float(closing), side, slot, i, ts, clock, run, cursor, slot_rules,
                    symbol_rules, agents, rejections,
                )  # fmt: skip
                part = closing
                st.order_lots = side * part
                if part == 0:
                    return
    impact = impact_frac(rule, part, traded)
    paid = slipped(rule, price, side, rule.half_spread + impact)
    if paid <= 0.0:
        log_rejection(
            TICK_TOO_SMALL, float(lots), 0.0, side, slot, i, ts, clock, run, cursor, slot_rules,
            symbol_rules, agents,
            rejections,
        )  # fmt: skip
        st.order_lots = 0
        return
    closing = min(part, abs(st.lots)) if st.lots * side < 0 else 0
    opening = part - closing
    if opening > 0:
        allowed, why = headroom(
            slot, i, side, opening, closing, paid, mark, before, run, symbol_rules, slot_rules, agent_rules,
            slots,
            agents, wallets, holdings, fee_now,
        )  # fmt: skip
        if allowed < opening:
            log_rejection(
                why, float(part), float(closing + allowed), side, slot, i, ts, clock, run, cursor, slot_rules,
                symbol_rules, agents, rejections,
            )  # fmt: skip
            part = closing + allowed
            st.order_lots = side * part
            if part == 0:
                return
            impact = impact_frac(rule, part, traded)
            paid = slipped(rule, price, side, rule.half_spread + impact)
    book(
        slot, i, row, side, part, paid, price, impact, 0, reason, ts, clock, run, cursor, symbol_rules,
        slot_rules,
        agent_rules, slots, agents, wallets, held, fee_now, volumes, fills, net_rows, net_done, holdings, books, guard,
    )  # fmt: skip
    st.order_lots -= side * part
    if st.order_lots != 0:
        set_bit(wake[row + 1], slot)
    elif reason != SIGNAL and st.lots == 0:
        st.cooldown_until = clock.bars + i + slot_rules[slot].cooldown


@inlined
def fill_exit(
    slot: int, i: int, row: int, reason: int, reference: float, ts: Any, volume: Any, mark: Any, before: Any,
    wake: Any, clock: Any, run: Any,
    cursor: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any, agents: Any, wallets: Any,
    held: Any,
    fee_now: Any, volumes: Any, fills: Any, rejections: Any, net_rows: Any, net_done: Any, holdings: Any,
    books: Any, guard: Any,
) -> None:  # fmt: skip
    """Close the slot's position at a level that the bar has reached; what its volume does not allow goes on
    next bar.
    """
    st = slots[slot]
    s = slot_rules[slot].symbol
    rule = symbol_rules[s]
    side = -1 if st.lots > 0 else 1
    lots = abs(st.lots)
    st.order_lots = -st.lots
    st.order_reason = reason
    st.noted = 0
    traded = volume[s, i]
    part = lots
    if reason != LIQUIDATION:
        part = volume_share(rule, lots, traded)
        if part < lots:
            st.noted |= VOLUME_NOTED
            log_rejection(
                PARTICIPATION if part > 0 else NO_VOLUME, float(lots), float(part), side, slot, i, ts, clock,
                run, cursor,
                slot_rules, symbol_rules, agents, rejections,
            )  # fmt: skip
        if run.guarded != 0 and part > 0:
            asked = part
            part, why = judge(
                slot, i, side, asked, reference, traded, ts, mark, before, clock, run, symbol_rules, slot_rules,
                agent_rules, slots, agents, wallets, held, books, guard,
            )  # fmt: skip
            if part < asked:
                note_denial(
                    why, asked, part, side, slot, i, ts, clock, run, cursor, slot_rules, symbol_rules, slots, agents,
                    rejections,
                )  # fmt: skip
    maker = 1 if reason == TAKE_PROFIT else 0
    impact = 0.0
    slip = 0.0
    if maker == 0:
        impact = impact_frac(rule, max(part, 1), traded)
        slip = rule.half_spread + impact
    paid = slipped(rule, reference, side, slip)
    if part > 0 and paid > 0.0:
        book(
            slot, i, row, side, part, paid, reference, impact, maker, reason, ts, clock, run, cursor,
            symbol_rules,
            slot_rules, agent_rules, slots, agents, wallets, held, fee_now, volumes, fills, net_rows,
            net_done, holdings, books, guard,
        )  # fmt: skip
        st.order_lots -= side * part
    if st.lots == 0:
        st.cooldown_until = clock.bars + i + slot_rules[slot].cooldown
    else:
        set_bit(wake[row + 1], slot)
