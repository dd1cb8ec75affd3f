"""The yardstick: one hand-written numba loop, bar by bar and agent by agent, with every rule of the engine
but none of its
interfaces: dual SMA wired in, perpetuals only, no strategy contract, no state to save, no rejection log, no
panel agents.

It trades the very same orders as the engine (the benchmark asserts it), so the ratio of the two is the price
of the
engine's generality.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from trading.quant.engine.market import DAY_MS, HOUR_MS

EPS = 1e-9


@njit(error_model="numpy", cache=True, nogil=True)
def bare_loop(
    ts: Any, interval: int, o: Any, h: Any, lo: Any, c: Any, v: Any, symbol: Any, fast: Any, slow: Any,
    draw: Any,
    stop_frac: float, take_frac: float, trail_frac: float, time_limit: int, cooldown: int, max_lev: float,
    tick: float, lot: float, min_notional: float, half: float, impact: Any, cap: float, margin: float,
    maintenance: float,
    taker: Any, maker: Any, tier_from: Any, bankroll: float, gross_top: float, net_top: float, lev_top: float,
    market_top: float, funding_ts: Any, funding_symbol: Any, funding_rate: Any, tie: float, fills: Any,
    marks: Any, parent_marks: Any,
) -> Any:  # fmt: skip
    n, n_symbols = c.shape
    n_agents = symbol.shape[0]
    cash = draw.copy()
    lots = np.zeros(n_agents)
    cost = np.zeros(n_agents)
    best = np.zeros(n_agents)
    order = np.zeros(n_agents)
    why = np.zeros(n_agents, np.int64)
    entry = np.zeros(n_agents, np.int64)
    blocked = np.zeros(n_agents, np.int64)
    target = np.zeros(n_agents)
    changed = np.zeros(n_agents, np.bool_)
    fast_sum = np.zeros(n_agents)
    slow_sum = np.zeros(n_agents)
    peak = draw.copy()
    drawdown = np.zeros(n_agents)
    realised = np.zeros(n_agents)
    fees = np.zeros(n_agents)
    longs = np.zeros(n_symbols)
    shorts = np.zeros(n_symbols)
    days = np.zeros(31)
    day = ts[0] // DAY_MS
    tier = 0
    wallet = bankroll
    top = bankroll
    worst = 0.0
    n_fills = 0
    n_marks = 0
    stamp = 0
    for t in range(n):
        if ts[t] // DAY_MS != day:
            day = ts[t] // DAY_MS
            days[day % 31] = 0.0
            total = 0.0
            for k in range(1, 31):
                total += days[(day - k) % 31]
            tier = 0
            while tier + 1 < tier_from.shape[0] and total >= tier_from[tier + 1]:
                tier += 1
        while stamp < funding_ts.shape[0] and funding_ts[stamp] <= ts[t]:
            if t > 0:
                for a in range(n_agents):
                    if symbol[a] == funding_symbol[stamp] and lots[a] != 0.0:
                        pay = lots[a] * lot * c[t - 1, symbol[a]] * funding_rate[stamp]
                        cash[a] -= pay
                        wallet -= pay
            stamp += 1
        first = t % n_agents
        for turn in range(n_agents):  # decisions and fills at the open
            a = turn + first
            if a >= n_agents:
                a -= n_agents
            s = symbol[a]
            if changed[a]:
                changed[a] = False
                price = c[t - 1, s]
                if not (order[a] != 0.0 and why[a] != 0):
                    order[a] = 0.0
                    want = np.floor(abs(target[a]) * draw[a] / (price * lot) + EPS)
                    if target[a] < 0.0:
                        want = -want
                    delta = want - lots[a]
                    blocks = want != 0.0 and lots[a] == 0.0 and t - 1 < blocked[a]
                    small = want != 0.0 and abs(delta) * lot * price < min_notional
                    if delta != 0.0 and not blocks and not small:
                        order[a] = delta
                        why[a] = 0
            elif lots[a] != 0.0 and time_limit > 0 and t - entry[a] >= time_limit and (order[a] == 0.0 or why[a] == 0):
                order[a] = -lots[a]
                why[a] = 4
            if order[a] == 0.0:
                continue
            side = 1.0 if order[a] > 0.0 else -1.0
            part = min(abs(order[a]), np.floor(cap * v[t, s] / lot + EPS))
            if part <= 0.0:
                continue
            slip = half + impact[s] * np.sqrt(min(1.0, part * lot / v[t, s]))
            ticks = o[t, s] * (1.0 + side * slip) / tick
            paid = (np.ceil(ticks - EPS) if side > 0.0 else np.floor(ticks + EPS)) * tick
            closing = min(part, abs(lots[a])) if lots[a] * side < 0.0 else 0.0
            opening = part - closing
            if opening > 0.0:
                own = lots[a] + side * closing
                value = own * lot * paid
                left = cash[a] - (side + taker[tier]) * closing * lot * paid
                allowed = min(
                    opening,
                    np.floor((left + value - abs(value) * margin) / (lot * paid * (margin + taker[tier]))),
                )
                allowed = min(allowed, np.floor((max_lev * (left + value) - abs(value)) / (lot * paid)))
                equity = wallet
                gross = 0.0
                net = 0.0
                for k in range(n_symbols):
                    x = (longs[k] - shorts[k]) * lot * c[t - 1, k]
                    equity += x
                    net += x
                    gross += (longs[k] + shorts[k]) * lot * c[t - 1, k]
                unit = lot * c[t - 1, s]
                freed = closing * unit
                allowed = min(allowed, np.floor((market_top * equity - (longs[s] + shorts[s]) * unit + freed) / unit))
                allowed = min(allowed, np.floor((gross_top * equity - gross + freed) / unit))
                allowed = min(allowed, np.floor((net_top * equity - side * net - freed) / unit))
                allowed = max(0.0, min(allowed, np.floor((lev_top * equity - gross + freed) / unit)))
                if allowed < opening:
                    part = closing + allowed
                    order[a] = side * part
                    if part == 0.0:
                        continue
                    slip = half + impact[s] * np.sqrt(min(1.0, part * lot / v[t, s]))
                    ticks = o[t, s] * (1.0 + side * slip) / tick
                    paid = (np.ceil(ticks - EPS) if side > 0.0 else np.floor(ticks + EPS)) * tick
            notional = part * lot * paid
            fee = taker[tier] * notional
            held = lots[a]
            after = held + side * part
            if held * side >= 0.0:
                if held == 0.0:
                    entry[a] = t
                    best[a] = paid
                cost[a] += side * notional
            else:
                closed = min(part, abs(held))
                out = cost[a] * (closed / abs(held))
                realised[a] += -side * closed * lot * paid - out
                cost[a] -= out
                if abs(after) > 0.0 and after * held < 0.0:
                    cost[a] = side * (part - closed) * lot * paid
                    entry[a] = t
                    best[a] = paid
                elif after == 0.0:
                    cost[a] = 0.0
            longs[s] += max(after, 0.0) - max(held, 0.0)
            shorts[s] += max(-after, 0.0) - max(-held, 0.0)
            lots[a] = after
            cash[a] -= side * notional + fee
            wallet -= side * notional + fee
            fees[a] += fee
            days[day % 31] += notional
            order[a] -= side * part
            if order[a] == 0.0 and why[a] != 0 and after == 0.0:
                blocked[a] = t + cooldown
            fills[n_fills, 0] = t
            fills[n_fills, 1] = a
            fills[n_fills, 2] = side * part
            fills[n_fills, 3] = paid
            fills[n_fills, 4] = fee
            fills[n_fills, 5] = why[a]
            n_fills += 1
        for turn in range(n_agents):  # exits within the bar, the close, the strategy's step
            a = turn + first
            if a >= n_agents:
                a -= n_agents
            s = symbol[a]
            close = c[t, s]
            q = lots[a] * lot
            if q != 0.0 and not (order[a] != 0.0 and why[a] != 0):
                price = cost[a] / q
                code = -1
                ref = 0.0
                if q > 0.0:
                    stop = price * (1.0 - stop_frac) if stop_frac > 0.0 else 0.0
                    liq = -cash[a] / (q * (1.0 - maintenance)) if cash[a] < 0.0 else 0.0
                    trail = best[a] * (1.0 - trail_frac) if trail_frac > 0.0 else 0.0
                    goal = price * (1.0 + take_frac) if take_frac > 0.0 else np.inf
                    level = max(stop, liq, trail)
                    if lo[t, s] <= level or h[t, s] >= goal:
                        code = 5 if level == liq else (1 if level == stop else 3)
                        ref = level
                        if o[t, s] <= level:
                            ref = o[t, s]
                        elif o[t, s] >= goal:
                            code = 2
                            ref = o[t, s]
                        elif lo[t, s] > level:
                            code = 2
                            ref = goal
                    elif h[t, s] > best[a]:
                        best[a] = h[t, s]
                else:
                    stop = price * (1.0 + stop_frac) if stop_frac > 0.0 else np.inf
                    liq = cash[a] / (-q * (1.0 + maintenance))
                    trail = best[a] * (1.0 + trail_frac) if trail_frac > 0.0 else np.inf
                    goal = price * (1.0 - take_frac) if take_frac > 0.0 else 0.0
                    level = min(stop, liq, trail)
                    if h[t, s] >= level or lo[t, s] <= goal:
                        code = 5 if level == liq else (1 if level == stop else 3)
                        ref = level
                        if o[t, s] >= level:
                            ref = o[t, s]
                        elif o[t, s] <= goal:
                            code = 2
                            ref = o[t, s]
                        elif h[t, s] < level:
                            code = 2
                            ref = goal
                    elif lo[t, s] < best[a]:
                        best[a] = lo[t, s]
                if code >= 0:
                    side = -1.0 if q > 0.0 else 1.0
                    held = lots[a]
                    part = abs(held)
                    if code != 5:
                        part = min(part, np.floor(cap * v[t, s] / lot + EPS))
                    order[a] = -held
                    why[a] = code
                    rate = taker[tier]
                    slip = 0.0
                    if code == 2:
                        rate = maker[tier]
                    else:
                        slip = half + impact[s] * np.sqrt(min(1.0, max(part, 1.0) * lot / v[t, s]))
                    ticks = ref * (1.0 + side * slip) / tick
                    paid = (np.ceil(ticks - EPS) if side > 0.0 else np.floor(ticks + EPS)) * tick
                    if part > 0.0:
                        notional = part * lot * paid
                        fee = rate * notional
                        out = cost[a] * (part / abs(held))
                        realised[a] += -side * notional - out
                        cost[a] -= out
                        after = held + side * part
                        if after == 0.0:
                            cost[a] = 0.0
                        longs[s] += max(after, 0.0) - max(held, 0.0)
                        shorts[s] += max(-after, 0.0) - max(-held, 0.0)
                        lots[a] = after
                        cash[a] -= side * notional + fee
                        wallet -= side * notional + fee
                        fees[a] += fee
                        days[day % 31] += notional
                        order[a] -= side * part
                        fills[n_fills, 0] = t
                        fills[n_fills, 1] = a
                        fills[n_fills, 2] = side * part
                        fills[n_fills, 3] = paid
                        fills[n_fills, 4] = fee
                        fills[n_fills, 5] = code
                        n_fills += 1
                    if lots[a] == 0.0:
                        order[a] = 0.0
                        blocked[a] = t + cooldown
            worth = cash[a] + lots[a] * lot * close
            if worth > peak[a]:
                peak[a] = worth
            down = (peak[a] - worth) / peak[a]
            if down > drawdown[a]:
                drawdown[a] = down
            f = fast[a]
            w = slow[a]
            fast_sum[a] += close - (c[t - f, s] if t >= f else 0.0)
            slow_sum[a] += close - (c[t - w, s] if t >= w else 0.0)
            if t + 1 >= w:
                wish = 1.0 if fast_sum[a] * w > slow_sum[a] * f * (1.0 + tie) else -1.0
                if wish != target[a]:
                    target[a] = wish
                    changed[a] = True
        equity = wallet
        gross = 0.0
        for k in range(n_symbols):
            equity += (longs[k] - shorts[k]) * lot * c[t, k]
        if equity > top:
            top = equity
        worst = max(worst, (top - equity) / top)
        if (ts[t] + interval) % HOUR_MS == 0:
            for a in range(n_agents):
                value = lots[a] * lot * c[t, symbol[a]]
                gross += abs(value)
                marks[n_marks, a, 0] = cash[a] + value
                marks[n_marks, a, 1] = cash[a]
                marks[n_marks, a, 2] = realised[a]
                marks[n_marks, a, 3] = value - cost[a]
                marks[n_marks, a, 4] = fees[a]
                marks[n_marks, a, 5] = peak[a]
                marks[n_marks, a, 6] = drawdown[a]
                marks[n_marks, a, 7] = lots[a]
            parent_marks[n_marks, 0] = equity
            parent_marks[n_marks, 1] = gross
            parent_marks[n_marks, 2] = worst
            n_marks += 1
    return n_fills, n_marks, cash, lots
