"""One bar of a paper account, by the engine's own kernel.

The kernel that trades cohorts trades here too, with the strategies taken out: orders come from outside and are laid
into its state as explicit lots. Prices, partial fills, fees, funding, protective exits and liquidations are therefore
the engine's to the last bit, and what a cohort's agent was filled a deployment is filled.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from trading.gateways.base import AccountRules
from trading.quant import engine
from trading.quant.engine import FillReason
from trading.quant.engine.market import HOUR_MS, Market
from trading.quant.engine.prepared import Prepared, fresh_state, prepare
from trading.quant.engine.runner import Pass
from trading.strategies.spec import Scope, StrategyFamily

_REASONS = {reason.name.lower(): int(reason) for reason in FillReason}
_SIGNAL = int(FillReason.SIGNAL)


@numba.njit
def _no_memory(params: Any, state: Any) -> None:
    pass


@numba.njit
def _no_opinion(open_: float, high: float, low: float, close: float, volume: float, params: Any, state: Any) -> float:
    return np.nan


@numba.njit
def _no_opinions(
    open_: Any, high: Any, low: Any, close: Any, volume: Any, params: Any, state: Any, targets: Any
) -> None:
    pass


def _family(scope: Scope) -> StrategyFamily:
    """A strategy that never has an opinion: an account's agent is its position and nothing else."""
    return StrategyFamily(
        name=f"paper_account_{scope.value}",
        version=1,
        title="Paper account",
        description="Holds positions; orders come from outside.",
        source="",
        scope=scope,
        parameters=(),
        init=_no_memory,
        step=_no_opinion if scope is Scope.SINGLE else _no_opinions,
        state_size=lambda _params, _symbols: 0,
        warm_up=lambda _params, _symbols: 0,
    )


_FAMILIES = {scope: _family(scope) for scope in Scope}


def tag_code(tag: str) -> int:
    """The kernel's code of what an order is for; anything it does not know trades like a signal."""
    return _REASONS.get(tag, _SIGNAL)


@dataclass(frozen=True, slots=True)
class Bar:
    """What one bar did to an account: the state after it, and the lines of the engine's tables."""

    state: engine.EngineState
    fills: npt.NDArray[Any]
    rejections: npt.NDArray[Any]
    funding: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PaperBook:
    """An account's rules in the kernel's terms."""

    symbols: tuple[str, ...]
    slot_symbols: tuple[str, ...]
    lots: tuple[tuple[float, float], ...]  # whole, power: a lot is whole / power
    min_notional: tuple[float, ...]  # by symbol
    cohort: Prepared
    layout: engine.EngineState  # any state of this account: what saved bytes are read by

    def slot(self, symbol: str) -> int | None:
        """The slot that trades ``symbol``, or None where the account may not."""
        return self.slot_symbols.index(symbol) if symbol in self.slot_symbols else None

    def to_lots(self, slot: int, quantity: float) -> int | None:
        """``quantity`` in whole lots, or None where it is none."""
        whole, power = self.lots[slot]
        lots = quantity * power / whole
        near = round(lots)
        return near if near > 0 and abs(lots - near) < 1e-6 * max(1.0, near) else None

    def quantity(self, slot: int, lots: int) -> float:
        whole, power = self.lots[slot]
        return lots * whole / power


def rules_document(rules: AccountRules) -> dict[str, Any]:
    """Rules as JSON: what the venue keeps of an account."""
    return {
        "venue": rules.venue,
        "interval_ms": rules.interval_ms,
        "symbols": list(rules.symbols),
        "market": rules.market,
        "instruments": [dict(i) for i in rules.instruments],
        "protection": dict(rules.protection),
        "cost_profile": rules.cost_profile,
        "bankroll": str(rules.bankroll),
        "max_leverage": rules.max_leverage,
    }


def paper_book(document: Mapping[str, Any]) -> PaperBook:
    """The account of these rules, prepared once a process."""
    return _book(json.dumps(document, sort_keys=True))


@lru_cache(maxsize=512)
def _book(text: str) -> PaperBook:
    document = json.loads(text)
    symbols = tuple(document["symbols"])
    market = document["market"]
    instruments = [engine.InstrumentRules(**_instrument(i)) for i in document["instruments"]]
    protection = engine.ExitRules(**{name: document["protection"].get(name, 0.0) for name in _PROTECTION})
    agent = engine.AgentSpec(
        family=_FAMILIES[Scope.PANEL if market is None else Scope.SINGLE],
        params={},
        draw=float(document["bankroll"]),
        symbol=market,
        exits=protection,
        max_leverage=document["max_leverage"],
    )
    cohort = prepare(
        _grid(symbols, document["interval_ms"]),
        [agent],
        instruments,
        engine.load_cost_profile(document["cost_profile"]),
        engine.WalletRules(bankroll=float(document["bankroll"])),
        mark_ms=HOUR_MS,
    )
    slot_symbols = symbols if market is None else (market,)
    table = cohort.symbol_rules
    cohort = replace(cohort, groups=())
    return PaperBook(
        symbols=symbols,
        slot_symbols=slot_symbols,
        lots=tuple(
            (float(table[symbols.index(s)]["lot_whole"]), float(table[symbols.index(s)]["lot_pow"]))
            for s in slot_symbols
        ),
        min_notional=tuple(float(i["min_notional"]) for i in document["instruments"]),
        cohort=cohort,
        layout=fresh_state(cohort, 0),
    )


#: Exits that a venue holds. A time limit and a cooldown are decisions, and the desk's.
_PROTECTION = ("stop_loss_frac", "take_profit_frac", "trailing_stop_frac")


def _instrument(document: Mapping[str, Any]) -> dict[str, Any]:
    return dict(document) | {"kind": engine.InstrumentKind(document["kind"])}


def _grid(symbols: Sequence[str], interval_ms: int) -> Market:
    """A market without bars: names and grid."""
    nothing: npt.NDArray[np.float64] = np.empty((0, len(symbols)))
    return Market(
        symbols=tuple(symbols),
        ts_ms=np.empty(0, dtype=np.int64),
        interval_ms=interval_ms,
        open=nothing, high=nothing, low=nothing, close=nothing, volume=nothing,
    )  # fmt: skip


def opened_state(book: PaperBook, first_bar_ms: int, last_closes: Mapping[str, float]) -> engine.EngineState:
    """A flat account with its bankroll in cash, that begins at ``first_bar_ms``."""
    state = fresh_state(book.cohort, first_bar_ms)
    state.arrays["last_close"][:] = [last_closes.get(symbol, 0.0) for symbol in book.symbols]
    return state


def to_lay_orders(state: engine.EngineState) -> engine.EngineState:
    """The same account, with orders of its own to lay: the state given keeps those it has."""
    return engine.EngineState(state.fingerprint, state.arrays | {"slots": state.arrays["slots"].copy()})


def lay_order(state: engine.EngineState, slot: int, *, lots: int, tag: str, noted: bool) -> None:
    """Puts a working order of ``lots`` (signed) into the slot; 0 takes it out."""
    row = state.arrays["slots"][slot]
    row["order_lots"] = lots
    row["order_reason"] = tag_code(tag)
    row["noted"] = int(noted)


def trade_bar(book: PaperBook, state: engine.EngineState, bar: Market) -> Bar:
    """The account after ``bar`` (one row); the state given is not changed."""
    walk = Pass(bar, book.cohort, state)
    walk.trade()
    used = walk.cursor[0]
    return Bar(
        state=walk.state,
        fills=walk.fills.rows[: used["fills"]],
        rejections=walk.rejections.rows[: used["rejections"]],
        funding=walk.payments.rows[: used["payments"]],
    )


def cash(state: engine.EngineState) -> float:
    return int(state.arrays["agents"]["cash"][0]) / 1e8


def move_cash(state: engine.EngineState, amount: Decimal) -> None:
    """Adds cash to the state given (or takes it, negative), in whole 1e-8 units."""
    state.arrays["agents"]["cash"][0] += int(amount * 10**8)


def held_lots(state: engine.EngineState, slot: int) -> int:
    return int(state.arrays["slots"]["lots"][slot])


def order_lots(state: engine.EngineState, slot: int) -> tuple[int, str]:
    """What still works in the slot (signed lots) and for what reason."""
    row = state.arrays["slots"][slot]
    return int(row["order_lots"]), FillReason(int(row["order_reason"])).name.lower()


def equity(book: PaperBook, state: engine.EngineState) -> float:
    """Cash and positions at the last closes, as the kernel values them: in whole 1e-8 units."""
    total = int(state.arrays["agents"]["cash"][0])
    for slot, symbol in enumerate(book.slot_symbols):
        lots = held_lots(state, slot)
        if lots:
            s = book.symbols.index(symbol)
            value = lots * float(book.cohort.symbol_rules[s]["lot_value"]) * float(state.arrays["last_close"][s])
            total += int(np.rint(value * 1e8))
    return total / 1e8 if math.isfinite(total) else 0.0
