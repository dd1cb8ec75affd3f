"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

Source: Bailey, Borwein, Lopez de Prado, Zhu, The Probability of Backtest Overfitting, Journal of Computational
Finance 20(4), 2017. The table of results is cut into S blocks; for every half of the blocks the best trial there is
looked up in the other half: its relative rank w among N gives the logit ln(w / (1 - w)). PBO is the share of logits
not above zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from trading.quant.evidence.errors import EvidenceError

Float64 = npt.NDArray[np.float64]

_BLOCKS = (16, 14, 12, 10, 8, 6, 4)
_ROWS_OF_A_BLOCK = 6


@dataclass(frozen=True, slots=True)
class Overfit:
    """``pbo`` with the logits behind it; ``slope`` of the out-of-sample on the in-sample Sharpe ratio of the chosen,
    ``loss`` the share of splits in which the chosen lost money out of sample. None where the table is too small.
    """

    pbo: float | None
    logits: Float64
    slope: float | None
    loss: float | None
    blocks: int
    n_trials: int
    n_observations: int


def blocks_for(n_observations: int) -> int:
    """The largest even number of blocks, at most 16, that leaves each at least six rows; 0 when there are too few."""
    return next((s for s in _BLOCKS if n_observations >= s * _ROWS_OF_A_BLOCK), 0)


def cscv(returns: Float64, *, blocks: int | None = None) -> Overfit:
    """CSCV over ``returns`` (n_observations, n_trials), in order of time, no NaN; trials that never move are left out.

    All C(S, S/2) splits are evaluated from the blocks' sums: O(C(S, S/2) x S x n_trials).
    """
    table = np.asarray(returns, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise EvidenceError("CSCV needs a full table of results, one column a trial.")
    n = table.shape[0]
    moving = table[:, np.ptp(table, axis=0) > 0] if n else table[:, :0]
    s = blocks_for(n) if blocks is None else blocks
    if blocks is not None and (blocks < 2 or blocks % 2 or blocks > n):
        raise EvidenceError(f"{blocks} blocks of {n} rows: an even number from 2 on, no more than the rows.")
    k = moving.shape[1]
    if s == 0 or k < 2:
        return Overfit(None, np.empty(0), None, None, s, k, n)
    edges = np.linspace(0, n, s + 1).astype(int)
    rows = np.diff(edges).astype(np.float64)
    sums = np.add.reduceat(moving, edges[:-1], axis=0)
    squares = np.add.reduceat(moving**2, edges[:-1], axis=0)
    chosen = np.array(list(combinations(range(s), s // 2)))
    half = np.zeros((len(chosen), s))
    half[np.arange(len(chosen))[:, None], chosen] = 1.0
    inside = _sharpe(half @ rows, half @ sums, half @ squares)
    outside = _sharpe((1 - half) @ rows, (1 - half) @ sums, (1 - half) @ squares)
    best = inside.argmax(axis=1)
    every = np.arange(len(chosen))
    there = outside[every, best]
    below = (outside < there[:, None]).sum(axis=1)
    equal = (outside == there[:, None]).sum(axis=1)
    rank = below + (equal + 1) / 2.0  # mid-rank, 1 is worst
    relative = rank / (k + 1)
    logits = np.log(relative / (1.0 - relative))
    here = inside[every, best]
    centred = here - here.mean()
    spread = float(centred @ centred)
    return Overfit(
        pbo=float(np.mean(logits <= 0)),
        logits=logits,
        slope=float(centred @ there / spread) if spread > 0 else None,
        loss=float(np.mean(there < 0)),
        blocks=s,
        n_trials=k,
        n_observations=n,
    )


def _sharpe(n: Float64, total: Float64, squares: Float64) -> Float64:
    """Mean over standard deviation (ddof 1); 0 for a trial that did not move in that half."""
    mean = total / n[:, None]
    variance = (squares - n[:, None] * mean**2) / (n[:, None] - 1)
    flat = variance <= 1e-24
    ratio: Float64 = np.where(flat, 0.0, mean / np.sqrt(np.where(flat, 1.0, variance)))
    return ratio
