"""The pass over one block of bars: segments between marks, days and funding stamps; within them only bars
with work.

All coupling between agents goes through here, bar by bar in time order; block and segment borders change no
arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trading.quant.engine.bits import ONE, ZERO, collect, has_any, prefetch, set_bit, trailing_zeros
from trading.quant.engine.codes import BreachKind
from trading.quant.engine.extremes import COARSE
from trading.quant.engine.jit import kernel
from trading.quant.engine.kernel_exits import (
    NO_EXIT,
    exit_terms,
    follow,
    log_breach,
    mark_close,
    mark_single,
    settle_best,
)
from trading.quant.engine.kernel_orders import (
    LIQUIDATION,
    SIGNAL,
    agent_equity,
    decide,
    fill_at_open,
    fill_exit,
    keep_net,
)
from trading.quant.engine.kernel_values import ATOMS, atoms, previous_close
from trading.quant.engine.market import DAY_MS

PARENT_DRAWDOWN = int(BreachKind.PARENT_DRAWDOWN)
PARENT_UTILISATION = int(BreachKind.PARENT_UTILISATION)

WHOLE = 16  # values that a vector loop takes at a time; what is left over would cost it as much again
SLACK = 1e-12  # of the peak: the filter before the exact drawdown must never be the stricter of the two
LOOK_AHEAD = 24  # bars: how far before a fill its open and volume are asked from memory

DONE = 0
FULL = 1  # an output table needs more rows; call again after growing it


@kernel
def roll_day(ts: int, clock: Any, volumes: Any, tier_volumes: Any, tier_rates: Any, fee_now: Any) -> None:
    """Move the volume ring to the day of ``ts`` and set every wallet's fee rates from the thirty complete
    days before it.
    """
    day = ts // DAY_MS
    kept = volumes.shape[2]
    for d in range(clock.day + 1, min(day, clock.day + kept) + 1):
        for w in range(volumes.shape[0]):
            for kind in range(2):
                volumes[w, kind, d % kept] = 0.0
    clock.day = day
    clock.next_day = (day + 1) * DAY_MS
    for w in range(volumes.shape[0]):
        for kind in range(2):
            total = 0.0
            for back in range(1, kept):
                total += volumes[w, kind, (day - back) % kept]
            tier = 0
            while tier + 1 < tier_volumes.shape[1] and total >= tier_volumes[kind, tier + 1]:
                tier += 1
            fee_now[w, kind, 0] = tier_rates[kind, tier, 0]
            fee_now[w, kind, 1] = tier_rates[kind, tier, 1]


@kernel
def open_day(
    i: int, mark: Any, before: Any, run: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any,
    agents: Any, wallets: Any, held: Any, books: Any,
) -> None:  # fmt: skip
    """Remember what every Book is worth when a UTC day begins."""
    for a in range(agents.shape[0]):
        books[a].day_open = agent_equity(a, i, agent_rules, slot_rules, symbol_rules, agents, slots, mark, before)
    if run.shared_wallet == 0:
        return
    equity = wallets[0].cash / ATOMS
    for s in range(held.shape[1]):
        if held[0, s, 0] != 0 or held[0, s, 1] != 0:
            unit = symbol_rules[s].lot_value * previous_close(mark, before, s, i)
            equity += (held[0, s, 0] - held[0, s, 1]) * unit
    books[agents.shape[0]].day_open = equity


@kernel
def pay_funding(
    i: int, stamp: int, ts: Any, mark: Any, before: Any, funding_symbol: Any, funding_rate: Any, clock: Any,
    run: Any,
    cursor: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any, agents: Any, wallets: Any,
    payments: Any, funding_ts: Any,
) -> None:  # fmt: skip
    s = funding_symbol[stamp]
    price = previous_close(mark, before, s, i)
    rule = symbol_rules[s]
    for slot in range(slots.shape[0]):
        if slot_rules[slot].symbol != s or slots[slot].lots == 0 or rule.kind == 0:
            continue
        a = slot_rules[slot].agent
        amount = -atoms(slots[slot].lots * rule.lot_value * price * funding_rate[stamp])
        agents[a].cash += amount
        agents[a].funding += amount
        wallets[agent_rules[a].wallet].cash += amount
        if run.keep_log == 0:
            continue
        line = payments[cursor.payments]
        cursor.payments += 1
        line.ts_ms = funding_ts[stamp]
        line.bar = clock.bars + i
        line.agent = a
        line.symbol = s
        line.qty = slots[slot].lots * rule.lot_whole / rule.lot_pow
        line.price = price
        line.rate = funding_rate[stamp]
        line.amount = amount / ATOMS


@kernel
def write_mark(
    at: int, when: int, i: int, mark: Any, before: Any, run: Any, symbol_rules: Any, slot_rules: Any,
    agent_rules: Any,
    slots: Any, agents: Any, wallets: Any, held: Any, mark_ts: Any, agent_marks: Any, wallet_marks: Any,
    positions: Any,
) -> None:  # fmt: skip
    """Value everything at the closes before bar ``i`` and write it as row ``at`` of the marks."""
    mark_ts[at] = when
    for a in range(agents.shape[0]):
        who = agent_rules[a]
        st = agents[a]
        value = 0
        cost = 0
        gross = 0.0
        net = 0.0
        for slot in range(who.first_slot, who.first_slot + who.n_slots):
            s = slot_rules[slot].symbol
            rule = symbol_rules[s]
            lots = slots[slot].lots
            positions[at, slot] = lots * rule.lot_whole / rule.lot_pow
            if lots != 0:
                x = lots * rule.lot_value * previous_close(mark, before, s, i)
                gross += abs(x)
                net += x
                value += atoms(x)
                cost += slots[slot].cost
        line = agent_marks[at, a]
        line.equity = (st.cash + value) / ATOMS
        line.cash = st.cash / ATOMS
        line.realised = st.realised / ATOMS
        line.unrealised = (value - cost) / ATOMS
        line.gross = gross
        line.net = net
        line.fees = st.fees / ATOMS
        line.spread_cost = st.spread / ATOMS
        line.impact_cost = st.impact / ATOMS
        line.funding = st.funding / ATOMS
        line.peak_equity = st.peak
        line.max_drawdown = st.drawdown
        line.fills = st.fills
        line.trades = st.trades
        line.wins = st.wins
        line.rejections = st.rejections
    if run.shared_wallet == 0:
        return
    parent = wallets[0]
    equity = parent.cash / ATOMS
    gross = 0.0
    net = 0.0
    for s in range(held.shape[1]):
        if held[0, s, 0] != 0 or held[0, s, 1] != 0:
            unit = symbol_rules[s].lot_value * previous_close(mark, before, s, i)
            gross += (held[0, s, 0] + held[0, s, 1]) * unit
            net += (held[0, s, 0] - held[0, s, 1]) * unit
    top = wallet_marks[at]
    top.equity = equity + net
    top.cash = equity
    top.gross = gross
    top.net = net
    top.utilisation = gross / run.bankroll
    top.peak_equity = parent.peak
    top.drawdown = (parent.peak - parent.equity) / parent.peak
    top.max_drawdown = parent.drawdown
    top.open_positions = parent.open_positions


@kernel
def after_mark(i: int, row: int, ts: Any, clock: Any, run: Any, cursor: Any, agent_rules: Any, agents: Any,
    agent_marks: Any, wallets: Any, wallet_marks: Any, breaches: Any) -> None:  # fmt: skip
    """Re-arm the breaches that are over, raise the parent's utilisation."""
    for a in range(agents.shape[0]):
        line = agent_marks[row, a]
        if agents[a].breached != 0 and line.gross <= agent_rules[a].max_leverage * line.equity:
            agents[a].breached = 0
    if run.shared_wallet == 0:
        return
    parent = wallets[0]
    top = wallet_marks[row]
    if top.utilisation > run.utilisation_alert:
        if parent.utilisation_breached == 0:
            parent.utilisation_breached = 1
            log_breach(
                PARENT_UTILISATION,
                -1,
                top.utilisation,
                run.utilisation_alert,
                i,
                ts,
                clock,
                run,
                cursor,
                breaches,
            )
    else:
        parent.utilisation_breached = 0
    if parent.drawdown_breached != 0 and top.drawdown <= run.drawdown_alert:
        parent.drawdown_breached = 0


@kernel
def close_panel_agent(
    a: int, i: int, row: int, ts: Any, mark: Any, before: Any, wake: Any, clock: Any, run: Any, cursor: Any,
    symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any, agents: Any, breaches: Any,
) -> None:  # fmt: skip
    """Mark an agent of several slots at bar ``i``'s close; below maintenance margin, order everything
    closed.
    """
    who = agent_rules[a]
    equity = agents[a].cash / ATOMS
    gross = 0.0
    maintenance = 0.0
    for slot in range(who.first_slot, who.first_slot + who.n_slots):
        if slots[slot].lots != 0:
            s = slot_rules[slot].symbol
            x = slots[slot].lots * symbol_rules[s].lot_value * mark[s, i]
            equity += x
            gross += abs(x)
            if symbol_rules[s].kind != 0:
                maintenance += abs(x) * symbol_rules[s].maintenance
    mark_close(a, i, equity, gross, ts, clock, run, cursor, agent_rules, agents, breaches)
    if gross > 0.0 and equity <= maintenance:
        for slot in range(who.first_slot, who.first_slot + who.n_slots):
            if slots[slot].lots != 0:
                slots[slot].order_lots = -slots[slot].lots
                slots[slot].order_reason = LIQUIDATION
                slots[slot].noted = 0
                set_bit(wake[row + 1], slot)


@kernel
def close_wallet(
    start: int, end: int, block: int, ts: Any, mark: Any, clock: Any, run: Any, cursor: Any,
    symbol_rules: Any,
    wallets: Any, held: Any, net_rows: Any, net_done: Any, equity_rows: Any, breaches: Any,
) -> None:  # fmt: skip
    """The parent's equity at every close of the segment from row ``start`` to ``end``; its peak and drawdown."""
    parent = wallets[0]
    cash = net_rows.shape[0] - 1
    keep_net(net_rows, net_done, cash, parent.cash / ATOMS, end - start)
    net_done[cash] = 0
    n = np.uint64(end - start)
    wide = (end - start + WHOLE - 1) & -WHOLE  # values beyond the segment are worked out and not looked at
    if block + start + wide > mark.shape[1]:
        wide = end - start
    equity = equity_rows[0:wide]
    held_row = net_rows[cash, 0:wide]
    for k in range(np.uint64(wide)):
        equity[k] = held_row[k]
    for s in range(held.shape[1]):
        net = (held[0, s, 0] - held[0, s, 1]) * symbol_rules[s].lot_value
        close = mark[s, block + start : block + start + wide]
        if net_done[s] == 0:
            if net != 0.0:
                for k in range(np.uint64(wide)):
                    equity[k] += net * close[k]
            continue
        keep_net(net_rows, net_done, s, net, end - start)
        net_done[s] = 0
        held_row = net_rows[s, 0:wide]
        for k in range(np.uint64(wide)):
            equity[k] += held_row[k] * close[k]
    peak = parent.peak
    floor = 1.0 - min(parent.drawdown, run.drawdown_alert) + SLACK
    for k in range(n):
        value = equity[k]
        if value > peak:
            peak = value
        if value >= peak * floor:
            continue
        drawdown = (peak - value) / peak
        if drawdown > parent.drawdown:
            parent.drawdown = drawdown
            floor = 1.0 - min(drawdown, run.drawdown_alert) + SLACK
        if drawdown > run.drawdown_alert and parent.drawdown_breached == 0:
            parent.drawdown_breached = 1
            at: Any = block + start + np.int64(k)
            log_breach(PARENT_DRAWDOWN, -1, drawdown, run.drawdown_alert, at, ts, clock, run, cursor, breaches)
    parent.peak = peak
    parent.equity = equity[n - ONE]


@kernel
def find_segment_end(row: int, rows: int, block: int, ts: Any, next_funding: Any, clock: Any, run: Any) -> Any:
    """The first row after ``row`` before which something concerns everybody: a mark, a new day, a funding
    stamp.
    """
    if run.bar_by_bar != 0:  # a limit asks for the parent's peak at every close
        return row + 1
    closing = find_row(clock.next_mark - run.interval_ms, row, rows, block, ts, run) + 1
    opening = find_row(min(clock.next_mark, clock.next_day, next_funding), row, rows, block, ts, run)
    return min(closing, opening, rows)


@kernel
def find_row(time: int, row: int, rows: int, block: int, ts: Any, run: Any) -> Any:
    """The first row from ``row`` on that opens at ``time`` or later, ``rows`` if none does."""
    k = min(rows, row + max(0, -((ts[block + row] - time) // run.interval_ms)))
    while k > row and ts[block + k - 1] >= time:  # rows may be missing, so that times run ahead of their number
        k -= 1
    return k


@kernel
def execute_block(
    block: int, rows: int, ts: Any, opens: Any, highs: Any, lows: Any, volume: Any, mark: Any, before: Any,
    funding_ts: Any, funding_symbol: Any, funding_rate: Any, tier_volumes: Any, tier_rates: Any,
    symbol_rules: Any,
    slot_rules: Any, agent_rules: Any, runs: Any, panel_agents: Any, clocks: Any, slots: Any, agents: Any,
    wallets: Any,
    held: Any, volumes: Any, fee_now: Any, cursors: Any, work: Any, sig_row: Any, sig_target: Any,
    sig_count: Any,
    wake: Any, exits: Any, spans: Any, net_rows: Any, net_done: Any, holdings: Any,
    equity_rows: Any, todo: Any, leaving: Any, fills: Any,
    rejections: Any, breaches: Any, payments: Any, mark_ts: Any, agent_marks: Any, wallet_marks: Any,
    positions: Any, books: Any, guard: Any,
) -> int:  # fmt: skip
    """Trade bars ``block`` to ``block + rows``; returns FULL when it stopped because an output table is full.

    Calling it again after growing the table goes on at the very point where it stopped.
    """
    clock = clocks[0]
    run = runs[0]
    cursor = cursors[0]
    n_slots = slots.shape[0]
    n_agents = agents.shape[0]
    words = wake.shape[1]
    single_wallet = run.shared_wallet != 0
    n_stamps = funding_ts.shape[0]
    while cursor.row < rows:
        row = cursor.row
        if cursor.in_segment == 0:
            i = block + row
            if breaches.shape[0] - cursor.breaches < 2 * n_agents + 4:
                return FULL
            due = cursor.funding
            while due < n_stamps and funding_ts[due] <= ts[i]:
                due += 1
            if payments.shape[0] - cursor.payments < n_slots * (due - cursor.funding):
                return FULL
            while clock.next_mark <= ts[i]:
                write_mark(
                    cursor.marks, clock.next_mark, i, mark, before, run, symbol_rules, slot_rules,
                    agent_rules, slots, agents,
                    wallets, held, mark_ts, agent_marks, wallet_marks, positions,
                )  # fmt: skip
                cursor.marks += 1
                clock.next_mark += run.mark_ms
            if ts[i] >= clock.next_day:
                roll_day(ts[i], clock, volumes, tier_volumes, tier_rates, fee_now)
                open_day(
                    i, mark, before, run, symbol_rules, slot_rules, agent_rules, slots, agents, wallets, held, books
                )
            while cursor.funding < due:
                pay_funding(
                    i, cursor.funding, ts, mark, before, funding_symbol, funding_rate, clock, run, cursor,
                    symbol_rules,
                    slot_rules, agent_rules, slots, agents, wallets, payments, funding_ts,
                )  # fmt: skip
                cursor.funding += 1
            for slot in range(n_slots):
                st = slots[slot]
                followed = st.lots == 0 or work[slot].followed > row
                if not followed or st.order_lots != 0 or st.signal == st.signal:
                    set_bit(wake[row], slot)
            next_funding: Any = funding_ts[cursor.funding] if cursor.funding < n_stamps else np.int64(2**62)
            cursor.today = clock.day % volumes.shape[2]
            cursor.segment_start = row
            cursor.segment_end = find_segment_end(row, rows, block, ts, next_funding, clock, run)
            cursor.funding_row = find_row(next_funding, row, rows, block, ts, run)
            cursor.in_segment = 1

        segment_end = cursor.segment_end
        while row < segment_end:
            i = block + row
            ahead = row + LOOK_AHEAD
            if ahead < rows:
                for w in range(np.uint64(words)):
                    word = wake[np.uint64(ahead), w]
                    while word != ZERO:
                        slot = (np.int64(w) << 6) + trailing_zeros(word)
                        s = slot_rules[slot].symbol
                        prefetch(sig_row, slot, work[slot].signals_done)
                        prefetch(sig_target, slot, work[slot].signals_done)
                        prefetch(opens, s, block + ahead)
                        prefetch(volume, s, block + ahead)
                        prefetch(spans[2], s, 2 * ((block + ahead + cursor.lead) // COARSE))
                        word &= word - ONE
            if has_any(wake[row]) or has_any(exits[row]):
                first = 0
                if single_wallet:
                    first = agent_rules[clock.turn].first_slot
                n_todo = collect(wake[row], n_slots, first, todo)
                if run.keep_log != 0 and (
                    fills.shape[0] - cursor.fills < 2 * n_todo + n_slots
                    or rejections.shape[0] - cursor.rejections < 6 * n_todo + 2 * n_slots
                ):
                    cursor.row = row
                    return FULL
                for k in range(n_todo):
                    slot = todo[k]
                    done = work[slot].signals_done
                    if done < sig_count[slot] and sig_row[slot, done] == row - 1:
                        slots[slot].signal = sig_target[slot, done]
                        work[slot].signals_done = done + 1
                    decide(
                        slot, i, ts, mark, before, clock, run, cursor, symbol_rules, slot_rules, agent_rules,
                        slots, agents,
                        rejections,
                    )  # fmt: skip
                for k in range(n_todo):
                    slot = todo[k]
                    st = slots[slot]
                    held_before = st.lots
                    if st.order_lots != 0:
                        fill_at_open(
                            slot, i, row, ts, opens, volume, mark, before, wake, clock, run, cursor,
                            symbol_rules, slot_rules,
                            agent_rules, slots, agents, wallets, held, fee_now, volumes, fills, rejections,
                            net_rows, net_done, holdings, books, guard,
                        )  # fmt: skip
                    if st.lots != 0:
                        follow(
                            slot, i, row, block, rows, segment_end, ts, opens, highs, lows, volume, mark, wake, exits,
                            spans, sig_row, sig_count,
                            clock, run, cursor, symbol_rules, slot_rules, agent_rules, slots, work, agents,
                            breaches,
                        )  # fmt: skip
                    else:
                        work[slot].exit_bar = NO_EXIT
                        if held_before != 0 and agent_rules[slot_rules[slot].agent].single != 0:
                            mark_single(
                                slot, i, ts, mark, clock, run, cursor, symbol_rules, slot_rules, agent_rules,
                                slots, agents,
                                breaches,
                            )  # fmt: skip
                n_leaving = collect(exits[row], n_slots, first, leaving) if has_any(exits[row]) else 0
                for k in range(n_leaving):
                    slot = leaving[k]
                    if work[slot].exit_bar != i:
                        continue
                    work[slot].exit_bar = NO_EXIT
                    s = slot_rules[slot].symbol
                    if slots[slot].lots > 0:
                        reason, reference = exit_terms(1, slot, opens[s, i], lows[s, i], work)
                    else:
                        reason, reference = exit_terms(-1, slot, opens[s, i], highs[s, i], work)
                    fill_exit(
                        slot, i, row, reason, reference, ts, volume, mark, before, wake,
                        clock, run, cursor,
                        symbol_rules, slot_rules, agent_rules, slots, agents, wallets, held, fee_now,
                        volumes, fills,
                        rejections, net_rows, net_done, holdings, books, guard,
                    )  # fmt: skip
                    if agent_rules[slot_rules[slot].agent].single != 0:
                        mark_single(
                            slot, i, ts, mark, clock, run, cursor, symbol_rules, slot_rules, agent_rules,
                            slots, agents,
                            breaches,
                        )  # fmt: skip
                for k in range(words):
                    wake[row, k] = ZERO
                    exits[row, k] = ZERO
            for k in range(panel_agents.shape[0]):
                close_panel_agent(
                    panel_agents[k], i, row, ts, mark, before, wake, clock, run, cursor, symbol_rules,
                    slot_rules, agent_rules,
                    slots, agents, breaches,
                )  # fmt: skip
            clock.turn += 1
            if clock.turn == n_agents:
                clock.turn = 0
            row += 1
        cursor.row = row
        cursor.in_segment = 0
        last = block + row - 1
        if single_wallet:
            close_wallet(
                cursor.segment_start, row, block, ts, mark, clock, run, cursor, symbol_rules, wallets, held,
                net_rows,
                net_done, equity_rows, breaches,
            )  # fmt: skip
        if ts[last] + run.interval_ms >= clock.next_mark:
            at = (ts[last] + run.interval_ms) // run.mark_ms * run.mark_ms
            write_mark(
                cursor.marks, at, last + 1, mark, before, run, symbol_rules, slot_rules, agent_rules, slots,
                agents, wallets,
                held, mark_ts, agent_marks, wallet_marks, positions,
            )  # fmt: skip
            after_mark(
                last,
                cursor.marks,
                ts,
                clock,
                run,
                cursor,
                agent_rules,
                agents,
                agent_marks,
                wallets,
                wallet_marks,
                breaches,
            )
            cursor.marks += 1
            clock.next_mark = at + run.mark_ms

    # Hand over what the last bar of the block decided, and who must be woken at the first bar of the next
    # one.
    for slot in range(n_slots):
        done = work[slot].signals_done
        if done < sig_count[slot]:
            slots[slot].signal = sig_target[slot, done]
        work[slot].signals_done = 0
        settle_best(slot, block + work[slot].followed, cursor.lead, spans, highs, lows, slot_rules, slots, work)
        work[slot].followed = 0
    for k in range(words):
        wake[0, k] |= wake[rows, k]
        wake[rows, k] = ZERO
    cursor.row = 0
    return DONE


assert SIGNAL == 0  # noqa: S101  # follow() relies on it
