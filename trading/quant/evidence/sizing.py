"""How large the next experiment may be, so that having been wrong about the agent costs what was agreed beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MicroLiveSlice:
    """``amount`` in quote units; ``worst_loss_frac`` of it is what a false promotion can lose, ``worst_loss`` in units
    and ``cost_frac`` of the bankroll. ``fits`` is False where even the smallest slice would cost more than agreed.
    """

    amount: float
    worst_loss_frac: float
    overshoot_frac: float
    worst_loss: float
    cost_frac: float
    bound: str
    fits: bool


def overshoot(bar_returns: Float64, *, quantile: float = 0.999) -> float:
    """By how much a stop can be missed within one bar: twice that quantile of the losses, as a fraction of capital.

    Twice, since a stop that triggers on a close is filled in the bar after.
    """
    losses = -bar_returns[bar_returns < 0]
    return 2.0 * float(np.quantile(losses, quantile)) if losses.size else 0.0


def micro_live_slice(
    *,
    bankroll: float,
    share_of_bankroll: float,
    smallest: float,
    stop_frac: float,
    overshoot_frac: float,
    false_cost_frac: float,
) -> MicroLiveSlice:
    """The smaller of the usual share of the bankroll and of what keeps a false promotion at ``false_cost_frac`` of it.

    An agent without skill loses at most the rollback's ``stop_frac`` of its slice and what the stop overshoots, never
    more than all. Below ``smallest`` the slice is raised to it, if that still costs no more than agreed.
    """
    worst = min(1.0, stop_frac + overshoot_frac)
    usual = share_of_bankroll * bankroll
    allowed = false_cost_frac * bankroll / worst if worst > 0 else usual
    amount, bound = (usual, "share") if usual <= allowed else (allowed, "false_cost")
    fits = True
    if amount < smallest:
        amount, bound, fits = smallest, "smallest", smallest <= min(allowed, bankroll)
    loss = amount * worst
    return MicroLiveSlice(
        amount=amount,
        worst_loss_frac=worst,
        overshoot_frac=overshoot_frac,
        worst_loss=loss,
        cost_frac=loss / bankroll if bankroll > 0 else 1.0,
        bound=bound,
        fits=fits,
    )
