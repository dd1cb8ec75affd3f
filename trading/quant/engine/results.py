"""What a run returns: structured arrays of what happened, hourly marks, and the state to go on from."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from trading.quant.engine.state import EngineState

Table = npt.NDArray[np.void]

#: One row a fill, in the order in which they happened. ``side`` +1 buy, -1 sell; ``qty`` is positive.
#: ``notional`` and ``fee`` are the
#: exact amounts that moved (whole 1e-8 units): cash changes by ``-side * notional - fee`` and by nothing
#: else.
#: ``reference`` is the bar's open, or the level of a stop or target. ``spread_cost + impact_cost`` is what
#: the fill price lost
#: against it (tick rounding counts as spread); ``realised`` is the profit of the closed part at average cost
#: before fees;
#: ``position`` is the agent's quantity in the symbol afterwards. ``reason`` is a FillReason, ``maker`` 1 or
#: 0.
FILL = np.dtype(
    [
        ("ts_ms", "i8"), ("bar", "i8"), ("agent", "i4"), ("symbol", "i4"), ("side", "i4"), ("reason", "i4"),
        ("qty", "f8"), ("price", "f8"), ("reference", "f8"), ("notional", "f8"), ("fee", "f8"),
        ("spread_cost", "f8"), ("impact_cost", "f8"), ("realised", "f8"), ("position", "f8"), ("maker", "i8"),
    ],
    align=True,
)  # fmt: skip

#: One row an order refused (``permitted`` 0) or cut; ``wanted`` and ``permitted`` are positive quantities of
#: the order.
REJECTION = np.dtype(
    [
        ("ts_ms", "i8"), ("bar", "i8"), ("agent", "i4"), ("symbol", "i4"), ("side", "i4"), ("reason", "i4"),
        ("wanted", "f8"), ("permitted", "f8"),
    ],
    align=True,
)  # fmt: skip

#: One row a crossing; agent -1 is the parent. ``ts_ms`` is the close of the bar that showed it.
BREACH = np.dtype(
    [("ts_ms", "i8"), ("bar", "i8"), ("agent", "i4"), ("kind", "i4"), ("value", "f8"), ("limit", "f8")],
    align=True,
)

#: One row a payment; ``amount`` is what the agent received (negative: paid), exact in 1e-8 units.
FUNDING = np.dtype(
    [
        ("ts_ms", "i8"), ("bar", "i8"), ("agent", "i4"), ("symbol", "i4"),
        ("qty", "f8"), ("price", "f8"), ("rate", "f8"), ("amount", "f8"),
    ],
    align=True,
)  # fmt: skip

#: An agent at a mark. ``equity = draw + realised + unrealised - fees + funding`` to the last 1e-8.
#: Everything but equity, cash, unrealised, gross, net is cumulative since the start; ``trades`` counts closed
#: positions.
#: ``peak_equity`` and ``max_drawdown`` (positive fraction) are at bar resolution.
AGENT_MARK = np.dtype(
    [
        ("equity", "f8"), ("cash", "f8"), ("realised", "f8"), ("unrealised", "f8"), ("gross", "f8"), ("net",
        "f8"),
        ("fees", "f8"), ("spread_cost", "f8"), ("impact_cost", "f8"), ("funding", "f8"),
        ("peak_equity", "f8"), ("max_drawdown", "f8"),
        ("fills", "i8"), ("trades", "i8"), ("wins", "i8"), ("rejections", "i8"),
    ],
    align=True,
)  # fmt: skip

#: The parent at a mark: ``utilisation`` is gross exposure / bankroll, ``drawdown`` the one now, both positive
#: fractions.
WALLET_MARK = np.dtype(
    [
        ("equity", "f8"), ("cash", "f8"), ("gross", "f8"), ("net", "f8"), ("utilisation", "f8"),
        ("peak_equity", "f8"), ("drawdown", "f8"), ("max_drawdown", "f8"), ("open_positions", "i8"),
    ],
    align=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marks:
    """Valuations at ``ts_ms`` (ends of UTC hours, or of whatever ``mark_every_ms`` says), at last closes.

    ``agents`` has shape (n_marks, n_agents), ``parent`` (n_marks,), ``positions`` (n_marks, n_slots) in
    quantities: slot
    k belongs to agent ``slot_agent[k]`` and symbol ``slot_symbol[k]`` (one slot for a SINGLE agent, n_symbols
    for a PANEL one).
    """

    ts_ms: npt.NDArray[np.int64]
    agents: Table
    parent: Table
    positions: npt.NDArray[np.float64]
    slot_agent: npt.NDArray[np.int64]
    slot_symbol: npt.NDArray[np.int64]

    def position_matrix(self, row: int, n_agents: int, n_symbols: int) -> npt.NDArray[np.float64]:
        """Positions of one mark as (n_agents, n_symbols)."""
        matrix = np.zeros((n_agents, n_symbols))
        matrix[self.slot_agent, self.slot_symbol] = self.positions[row]
        return matrix


@dataclass(frozen=True, slots=True)
class Run:
    """The outcome of one pass. Concatenating the tables of ``run(bars[:k])`` and ``run(bars[k:], state)``
    gives ``run(bars)``'s.

    ``marks`` are on the mark grid; ``final`` is one more mark at the close of the last bar.
    """

    fills: Table
    rejections: Table
    breaches: Table
    funding: Table
    marks: Marks
    final: Marks
    state: EngineState
    stats: dict[str, Any]


def money(value: float) -> Decimal:
    """An amount of a fill, a payment or a mark as the Decimal it stands for: eight places, exact below 90
    million.
    """
    return Decimal(repr(float(value))).quantize(Decimal("0.00000001"))
