"""Orders before they are sent: what the limits of the agent's Book and of the cohort's, and the trading mode, leave.

The judgement itself is `risk.quant.pretrade_kernel.check_kernel`, the very function behind `check_order`; here its
vector is filled from the engine's records. An order is counted in whole lots. What a Book holds is valued at the
closes before the bar; an order has the price at which it meets the market (the open, or the level of an exit).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from risk.quant import pretrade_kernel as pk
from risk.quant.pretrade_kernel import check_kernel
from trading.quant.engine.codes import (
    COHORT_LIMIT,
    LIMIT_UNKNOWN,
    OWN_LIMIT,
    FillReason,
    RejectionReason,
)
from trading.quant.engine.jit import inlined, kernel
from trading.quant.engine.kernel_values import ATOMS, previous_close

ACTIVE = pk.ACTIVE
REDUCING = pk.REDUCING
HALTED = pk.HALTED
EQUITY = pk.EQUITY
DAY_OPEN_EQUITY = pk.DAY_OPEN_EQUITY
PEAK_EQUITY = pk.PEAK_EQUITY
GROSS_OTHERS = pk.GROSS_OTHERS
SYMBOL_OTHERS = pk.SYMBOL_OTHERS
VENUE_OTHERS = pk.VENUE_OTHERS
NET_OTHERS = pk.NET_OTHERS
POSITION = pk.POSITION
POSITION_OTHER_WAY = pk.POSITION_OTHER_WAY
OPEN_OTHERS = pk.OPEN_OTHERS
ORDERS_IN_WINDOW = pk.ORDERS_IN_WINDOW
POSITION_LOSS_FRAC = pk.POSITION_LOSS_FRAC
SECONDS_SINCE_LOSS = pk.SECONDS_SINCE_LOSS
VAR = pk.VAR
ES = pk.ES
UNIT_VAR = pk.UNIT_VAR
UNIT_ES = pk.UNIT_ES
SIDE = pk.SIDE
QUANTITY = pk.QUANTITY
UNIT_NOTIONAL = pk.UNIT_NOTIONAL
UNIT_ORDER_NOTIONAL = pk.UNIT_ORDER_NOTIONAL
PRICE_DISTANCE_FRAC = pk.PRICE_DISTANCE_FRAC
VOLUME = pk.VOLUME
LOT = pk.LOT
MINIMUM = pk.MINIMUM
MODE = pk.MODE

HARD = 2  # risk.quant.metrics.Level
UNKNOWN = 3

LIQUIDATION = int(FillReason.LIQUIDATION)
MODE_REDUCING = int(RejectionReason.MODE_REDUCING)
MODE_HALTED = int(RejectionReason.MODE_HALTED)
MODE_UNKNOWN = int(RejectionReason.MODE_UNKNOWN)
UNPRICED = int(RejectionReason.UNPRICED)

NEVER = -(2**62)  # the time of a loss that has not been


@inlined
def risk_of(x: float, s: int, column: int, unit_risk: Any) -> Any:
    """VaR (column 0) or ES (1) of a position by itself; long and short have their own tails."""
    if x == 0.0:
        return 0.0
    return abs(x) * unit_risk[s, column if x > 0.0 else column + 2]


@inlined
def describe_order(
    slot: int, i: int, side: int, part: int, price: float, traded: float, unit: float, close: float, run: Any,
    symbol_rules: Any, slot_rules: Any, slots: Any, unit_risk: Any, v: Any,
) -> None:  # fmt: skip
    """The slots of the vector that are the order's own, whichever Book is asked."""
    st = slots[slot]
    s = slot_rules[slot].symbol
    v[POSITION] = float(st.lots)
    v[POSITION_OTHER_WAY] = float(st.lots)
    loss = 0.0
    if st.lots != 0:
        loss = (st.cost / ATOMS - st.lots * unit) / abs(st.cost / ATOMS)
    v[POSITION_LOSS_FRAC] = loss
    v[UNIT_VAR] = unit_risk[s, 0 if side > 0 else 2]
    v[UNIT_ES] = unit_risk[s, 1 if side > 0 else 3]
    v[SIDE] = float(side)
    v[QUANTITY] = float(part)
    v[UNIT_NOTIONAL] = unit
    v[UNIT_ORDER_NOTIONAL] = unit * price / close
    v[PRICE_DISTANCE_FRAC] = abs(price / close - 1.0)
    v[VOLUME] = traded / symbol_rules[s].lot_value
    v[LOT] = 1.0
    v[MINIMUM] = 0.0


@inlined
def describe_record(book: Any, now: int, bar: int, v: Any) -> None:
    """What a Book remembers: the day's opening, its orders at this bar, its last loss."""
    v[DAY_OPEN_EQUITY] = book.day_open
    v[ORDERS_IN_WINDOW] = float(book.sent) if book.sent_bar == bar else 0.0
    v[SECONDS_SINCE_LOSS] = (now - book.last_loss) / 1000.0 if book.last_loss != NEVER else np.inf


@inlined
def describe_agent(
    slot: int, i: int, mark: Any, before: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any,
    agents: Any, unit_risk: Any, v: Any,
) -> None:  # fmt: skip
    """The agent's own Book: all its slots."""
    a = slot_rules[slot].agent
    who = agent_rules[a]
    equity = agents[a].cash / ATOMS
    gross = 0.0
    net = 0.0
    var = 0.0
    es = 0.0
    opened = 0
    for k in range(who.first_slot, who.first_slot + who.n_slots):
        if slots[k].lots != 0:
            s = slot_rules[k].symbol
            x = slots[k].lots * (symbol_rules[s].lot_value * previous_close(mark, before, s, i))
            equity += x
            var += risk_of(x, s, 0, unit_risk)
            es += risk_of(x, s, 1, unit_risk)
            if k != slot:
                gross += abs(x)
                net += x
                opened += 1
    v[EQUITY] = equity
    v[PEAK_EQUITY] = agents[a].peak
    v[GROSS_OTHERS] = gross
    v[SYMBOL_OTHERS] = 0.0
    v[VENUE_OTHERS] = gross
    v[NET_OTHERS] = net
    v[OPEN_OTHERS] = float(opened)
    v[VAR] = var
    v[ES] = es


@inlined
def describe_cohort(
    slot: int, i: int, mark: Any, before: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any,
    wallets: Any, held: Any, unit_risk: Any, v: Any,
) -> None:  # fmt: skip
    """The cohort's Book: everything that the wallet's agents hold, without netting them against one another."""
    w = agent_rules[slot_rules[slot].agent].wallet
    own = slots[slot].lots
    mine = slot_rules[slot].symbol
    parent = wallets[w]
    equity = parent.cash / ATOMS
    gross = 0.0
    same = 0.0
    net = 0.0
    var = 0.0
    es = 0.0
    for s in range(held.shape[1]):
        longs = held[w, s, 0]
        shorts = held[w, s, 1]
        if longs == 0 and shorts == 0:
            continue
        unit = symbol_rules[s].lot_value * previous_close(mark, before, s, i)
        equity += (longs - shorts) * unit
        var += risk_of(longs * unit, s, 0, unit_risk) + risk_of(-shorts * unit, s, 0, unit_risk)
        es += risk_of(longs * unit, s, 1, unit_risk) + risk_of(-shorts * unit, s, 1, unit_risk)
        if s == mine:
            same = (longs + shorts - abs(own)) * unit
            gross += same
            net += (longs - shorts - own) * unit
        else:
            gross += (longs + shorts) * unit
            net += (longs - shorts) * unit
    v[EQUITY] = equity
    v[PEAK_EQUITY] = parent.peak
    v[GROSS_OTHERS] = gross
    v[SYMBOL_OTHERS] = same
    v[VENUE_OTHERS] = gross
    v[NET_OTHERS] = net
    v[OPEN_OTHERS] = float(parent.open_positions - (1 if own != 0 else 0))
    v[VAR] = var
    v[ES] = es


@kernel
def ask_book(
    first: int, last: int, code: int, mode: float, size: float, tightest: float, why: int, v: Any, limit_codes: Any,
    limit_soft: Any, limit_hard: Any, values: Any, levels: Any,
) -> tuple[float, float, int]:  # fmt: skip
    """The size one Book leaves; and of all limits asked so far the tightest by itself, with its reason."""
    n = last - first
    v[MODE] = mode
    codes = limit_codes[first:last]
    soft = limit_soft[first:last]
    hard = limit_hard[first:last]
    left = min(size, check_kernel(v, codes, soft, hard, values[0:n], levels[0:n]))
    if left < v[QUANTITY]:
        v[MODE] = ACTIVE
        spare = values.shape[0] - 1
        for j in range(n):
            level = levels[j]
            if level >= HARD:
                alone = check_kernel(
                    v, codes[j : j + 1], soft[j : j + 1], hard[j : j + 1], values[spare : spare + 1],
                    levels[spare : spare + 1],
                )  # fmt: skip
                if alone < tightest:
                    tightest = alone
                    why = code + codes[j] + (LIMIT_UNKNOWN if level == UNKNOWN else 0)
    return left, tightest, why


@kernel
def judge(
    slot: int, i: int, side: int, part: int, price: float, traded: float, ts: Any, mark: Any, before: Any,
    clock: Any, run: Any, symbol_rules: Any, slot_rules: Any, agent_rules: Any, slots: Any, agents: Any,
    wallets: Any, held: Any, books: Any, guard: Any,
) -> tuple[Any, int]:  # fmt: skip
    """How many of ``part`` lots may be sent now, and what forbids the others (-1: nothing); counts what is sent."""
    modes, set_of, limit_spans, limit_codes, limit_soft, limit_hard, unit_risk, v, values, levels, _, _, _ = guard
    a = slot_rules[slot].agent
    s = slot_rules[slot].symbol
    mode = modes[a]
    close = previous_close(mark, before, s, i)
    unit = symbol_rules[s].lot_value * close
    if not unit > 0.0:
        return 0, UNPRICED
    size = float(part)
    tightest = size
    why = -1
    lots = slots[slot].lots
    if mode != ACTIVE:
        closing = min(part, abs(lots)) if lots * side < 0 else 0
        tightest = float(closing) if mode == REDUCING else 0.0
        why = MODE_UNKNOWN
        if mode == REDUCING:
            why = MODE_REDUCING
        elif mode == HALTED:
            why = MODE_HALTED
        if tightest == size:
            why = -1
    describe_order(slot, i, side, part, price, traded, unit, close, run, symbol_rules, slot_rules, slots, unit_risk, v)
    bar = clock.bars + i
    own = books[a]
    describe_record(own, ts[i], bar, v)
    describe_agent(slot, i, mark, before, symbol_rules, slot_rules, agent_rules, slots, agents, unit_risk, v)
    k = set_of[a]
    size, tightest, why = ask_book(
        limit_spans[k, s, 0], limit_spans[k, s, 1], OWN_LIMIT, mode, size, tightest, why, v, limit_codes,
        limit_soft, limit_hard, values, levels,
    )  # fmt: skip
    shared = books[agents.shape[0] + agent_rules[a].wallet]
    describe_record(shared, ts[i], bar, v)
    describe_cohort(slot, i, mark, before, symbol_rules, slot_rules, agent_rules, slots, wallets, held, unit_risk, v)
    size, tightest, why = ask_book(
        limit_spans[0, s, 0], limit_spans[0, s, 1], COHORT_LIMIT, mode, size, tightest, why, v, limit_codes,
        limit_soft, limit_hard, values, levels,
    )  # fmt: skip
    if size > 0.0:
        count_order(own, bar)
        count_order(shared, bar)
    return np.int64(size), why


@inlined
def count_order(book: Any, bar: int) -> None:
    if book.sent_bar != bar:
        book.sent_bar = bar
        book.sent = 0
    book.sent += 1
