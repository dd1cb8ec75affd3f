"""How much of its approved leverage each desk may use now: what the policy engine has decided, read at every bar.

A desk sizes with the least of what was approved and of what is in force on its Book and those above it. When that
falls, what is held is brought down to what the council's standing target is worth at it, from this bar on; when it
rises, the council's next change of mind uses it.
"""

from __future__ import annotations

from collections.abc import Sequence

from risk.leverage import UNLEVERED, decided_leverage
from trading.desk.seat import Seat


def read_leverage(seats: Sequence[Seat]) -> None:
    """Sets what each desk sizes with at this bar. Two queries for all, whatever they hold."""
    decided = decided_leverage({pk for seat in seats for pk in seat.desk.parts.line})
    for seat in seats:
        line = [decided[pk].leverage for pk in seat.desk.parts.line if pk in decided]
        in_force = min(line, default=UNLEVERED)
        seat.desk.leverage = min(seat.desk.deployment.leverage, in_force)
        if seat.desk.leverage > seat.run.leverage:
            seat.run.leverage = seat.desk.leverage


def is_lowered(seat: Seat) -> bool:
    """Whether what is held was sized with more than what is allowed now."""
    return seat.desk.leverage < seat.run.leverage
