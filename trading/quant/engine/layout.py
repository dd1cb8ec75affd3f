"""Memory layout of the kernels: what is fixed for a run, and what changes (and is saved between runs).

A *slot* is one position: (agent, symbol). A SINGLE agent has one slot, a PANEL agent one per symbol.
Quantities are
counted in whole lots and cash in whole 1e-8 units ("atoms"), so sums are exact in whatever order they are
taken.
"""

from __future__ import annotations

import numpy as np

#: Fixed per symbol. Prices are ``k * tick_whole / tick_pow``, quantities ``k * lot_whole / lot_pow``;
#: ``lot_value`` is base units
#: per lot (lot x multiplier), ``impact`` is coefficient x daily volatility x sqrt(interval / day).
SYMBOL_RULES = np.dtype(
    [
        ("kind", "i8"), ("tick_whole", "f8"), ("tick_pow", "f8"), ("lot_whole", "f8"), ("lot_pow", "f8"),
        ("lot_value", "f8"), ("min_notional", "f8"), ("maintenance", "f8"), ("initial_margin", "f8"),
        ("half_spread", "f8"), ("impact", "f8"), ("participation", "f8"), ("position_limit", "f8"),
        ("market_cap", "f8"),
    ],
    align=True,
)  # fmt: skip

#: Fixed per slot; a rule that is off has level 0 (fractions) or 0 (bars).
SLOT_RULES = np.dtype(
    [
        ("agent", "i8"), ("symbol", "i8"), ("stop_loss", "f8"), ("take_profit", "f8"), ("trailing", "f8"),
        ("time_limit", "i8"), ("cooldown", "i8"),
    ],
    align=True,
)  # fmt: skip

#: Fixed per agent. ``single`` is 1 for one slot; ``max_leverage`` is infinite when off.
AGENT_RULES = np.dtype(
    [
        ("first_slot", "i8"), ("n_slots", "i8"), ("wallet", "i8"), ("single", "i8"), ("draw", "f8"),
        ("draw_atoms", "i8"),
        ("leverage", "f8"), ("max_leverage", "f8"),
    ],
    align=True,
)  # fmt: skip

#: Fixed per run (one record).
RUN_RULES = np.dtype(
    [
        ("interval_ms", "i8"), ("mark_ms", "i8"), ("shared_wallet", "i8"), ("equity_sizing", "i8"),
        ("keep_log", "i8"), ("bankroll", "f8"), ("gross_ceiling", "f8"), ("net_ceiling", "f8"),
        ("leverage_ceiling", "f8"),
        ("has_ceilings", "i8"), ("max_open_positions", "i8"), ("drawdown_alert", "f8"), ("utilisation_alert",
        "f8"), ("guarded", "i8"), ("bar_by_bar", "i8"), ("screened", "i8"),
    ],
    align=True,
)  # fmt: skip

#: Saved per slot. ``order_lots`` is what is still to be traded (signed), ``signal`` a target that the last
#: bar decided (NaN: none).
#: ``best`` is the most favourable price since entry, ``noted`` marks that this order's volume shortage has
#: been logged.
SLOT_STATE = np.dtype(
    [
        ("lots", "i8"), ("cost", "i8"), ("entry_bar", "i8"), ("cooldown_until", "i8"), ("order_lots", "i8"),
        ("order_reason", "i8"), ("noted", "i8"), ("trade_realised", "i8"), ("best", "f8"), ("signal", "f8"),
        ("last_target", "f8"),
    ],
    align=True,
)  # fmt: skip

AGENT_STATE = np.dtype(
    [
        ("cash", "i8"), ("realised", "i8"), ("fees", "i8"), ("funding", "i8"), ("spread", "i8"), ("impact",
        "i8"),
        ("peak", "f8"), ("drawdown", "f8"), ("fills", "i8"), ("trades", "i8"), ("wins", "i8"), ("rejections",
        "i8"),
        ("breached", "i8"), ("bankrupt", "i8"),
    ],
    align=True,
)  # fmt: skip

WALLET_STATE = np.dtype(
    [
        ("cash", "i8"), ("open_positions", "i8"), ("peak", "f8"), ("equity", "f8"), ("drawdown", "f8"),
        ("drawdown_breached", "i8"), ("utilisation_breached", "i8"),
    ],
    align=True,
)  # fmt: skip

#: Saved per agent, then per wallet: what limits ask of a Book's past. ``day_open`` is its equity when the UTC day
#: began, ``sent`` counts its orders at bar ``sent_bar``, ``last_loss`` is the bar that last realised one.
BOOK_STATE = np.dtype([("day_open", "f8"), ("sent_bar", "i8"), ("sent", "i8"), ("last_loss", "i8")], align=True)

#: Saved once: how far the run has come. ``bars`` counts from the very first bar.
CLOCK_STATE = np.dtype(
    [
        ("bars", "i8"),
        ("last_ts", "i8"),
        ("next_mark", "i8"),
        ("next_day", "i8"),
        ("day", "i8"),
        ("turn", "i8"),
    ],
    align=True,
)

#: Not saved: where the kernel stands inside a run, and how full the output tables are.
CURSOR = np.dtype(
    [
        ("row", "i8"), ("in_segment", "i8"), ("segment_start", "i8"), ("segment_end", "i8"), ("funding",
        "i8"),
        ("fills", "i8"), ("rejections", "i8"), ("breaches", "i8"), ("payments", "i8"), ("marks", "i8"),
        ("lead", "i8"), ("funding_row", "i8"), ("today", "i8"),
    ],
    align=True,
)  # fmt: skip

#: Not saved: the exit that the scan has found for a slot, its next signal of this block, the row of the block up to
#: which its position has been followed, and what of that is not in its best price yet (see ``kernel_exits.walk``).
SLOT_WORK = np.dtype(
    [
        ("exit_bar", "i8"), ("exit_reason", "i8"), ("exit_level", "f8"), ("exit_target", "f8"), ("signals_done", "i8"),
        ("followed", "i8"), ("unseen", "i8"), ("best_bound", "f8"),
    ],
    align=True,
)  # fmt: skip

DAYS_KEPT = 31  # thirty complete days and today
