"""Who of a cohort is better than chance and than the others explain: one score an agent, comparable across pieces.

Agents of one cohort trade the same markets, so their results share movements that say nothing about any one of them.
Taking those out is what makes the test sharp: each agent's net result is regressed on what its peers made *before
costs*, and the score is the t statistic of what is left on average. Gross results are the control because their
expectation on a price nobody can predict is zero whatever the peers do; their costs are not, and must not help the
agent that is judged.

For exchangeable agents the control loses nothing: with one agent of skill among N of equal correlation the most
powerful test rejects when the largest of these scores (with known variances) is large, whatever the size of the
skill (`trading.quant.evidence.power`). Scores of separate periods add up by `combine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr

from trading.quant.evidence.errors import EvidenceError
from trading.quant.jit import loop

Float64 = npt.NDArray[np.float64]

#: An agent whose result moved in fewer bars than this cannot be scored.
FEWEST_ACTIVE = 12
#: Peers needed for a control: below, the agent is judged on its own.
FEWEST_PEERS = 4


@dataclass(frozen=True, slots=True)
class Moments:
    """What the scores of one period need, per agent (n_agents,).

    ``mean`` of net results and ``control_mean`` of the peers' standardised gross ones, both per bar; ``slope`` on the
    control, ``control_ss`` its centred sum of squares, ``residual`` variance around the line; ``scale`` the standard
    deviation of gross results; ``explained`` the share of variance that the peers explain. ``ratio`` is the
    variance of the residuals' block sums over what independence of the bars implies. NaN for agents that were idle.
    """

    n_bars: int
    mean: Float64
    control_mean: Float64
    slope: Float64
    control_ss: Float64
    residual: Float64
    scale: Float64
    explained: Float64
    ratio: Float64
    df: int
    n_peers: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Per agent: ``z`` standard normal without skill, its ``t`` with ``df``, what is left a bar (``alpha``)."""

    z: Float64
    t: Float64
    alpha: Float64
    df: int


@loop
def _active(net: Any, gross: Any, scale: Any) -> int:
    """Standard deviations of gross results into ``scale`` (NaN for idle agents); the number of the others."""
    n_agents, n_bars = net.shape
    count = 0
    for j in range(n_agents):
        total, squares, moved = 0.0, 0.0, 0
        for t in range(n_bars):
            total += gross[j, t]
            if gross[j, t] != 0.0:
                moved += 1
        mean = total / n_bars
        for t in range(n_bars):
            squares += (gross[j, t] - mean) ** 2
        scale[j] = np.nan
        if moved >= FEWEST_ACTIVE and squares > 0.0:
            scale[j] = np.sqrt(squares / (n_bars - 1))
            count += 1
    return count


@loop
def _moments(net: Any, gross: Any, block: int, scale: Any, out: Any) -> None:
    """``net`` and ``gross`` (n_agents, n_bars) into ``out`` (7, n_agents): mean, control mean, slope, control ss,
    residual variance, explained share, variance ratio of the residuals. O(n_bars x n_agents).
    """
    n_agents, n_bars = net.shape
    count = _active(net, gross, scale)
    controlled = count - 1 >= FEWEST_PEERS
    total = np.zeros(n_bars)
    for j in range(n_agents):
        if controlled and scale[j] == scale[j]:
            for t in range(n_bars):
                total[t] += gross[j, t] / scale[j]
    df = n_bars - 2 if controlled else n_bars - 1
    n_blocks = n_bars // block
    control = np.zeros(n_bars)
    for j in range(n_agents):
        for k in range(7):
            out[k, j] = np.nan
        if scale[j] != scale[j]:
            continue
        mean, control_mean = 0.0, 0.0
        for t in range(n_bars):
            if controlled:
                control[t] = (total[t] - gross[j, t] / scale[j]) / (count - 1)
            mean += net[j, t]
            control_mean += control[t]
        mean /= n_bars
        control_mean /= n_bars
        cc, cn, nn = 0.0, 0.0, 0.0
        for t in range(n_bars):
            a = control[t] - control_mean
            b = net[j, t] - mean
            cc += a * a
            cn += a * b
            nn += b * b
        slope = cn / cc if cc > 0.0 else 0.0
        left = nn - slope * cn
        out[0, j] = mean
        out[1, j] = control_mean
        out[2, j] = slope
        out[3, j] = cc
        out[4, j] = left / df
        out[5, j] = slope * cn / nn if nn > 0.0 else np.nan
        if not left > 1e-12 * nn:
            continue
        sums = 0.0
        for k in range(n_blocks):
            part = 0.0
            for t in range(k * block, (k + 1) * block):
                part += net[j, t] - mean - slope * (control[t] - control_mean)
            sums += part * part
        out[6, j] = sums / (left / df * block * (n_blocks - 1))


def _pooled(own: Float64, n_blocks: int) -> Float64:
    """The agents' variance ratios: their mean, since neighbours share a market, but its own for whom far above it.

    An agent's own ratio rests on some forty blocks; pooled, and drawn towards 1 by what its standard error alone
    explains (positive-part shrinkage after James and Stein), its noise does not reach the scores.
    """
    known = own[np.isfinite(own)]
    if known.size == 0 or n_blocks < 2:
        return np.ones_like(own)
    far = 2.0 * float(np.median(known))
    near = known[known <= far]
    away = float(near.mean()) - 1.0
    noise = 2.0 / ((n_blocks - 1) * near.size)
    pooled = 1.0 + away * max(0.0, 1.0 - 2.0 * noise / away**2) if away else 1.0
    return np.where(own > far, own, pooled)


def block_bars(n_bars: int) -> int:
    """Bars of one block of the variance ratio: an eighth of three days' worth, at most a day of quarter hours."""
    return int(min(96, max(1, n_bars // 36)))


def moments(net: Float64, gross: Float64 | None = None) -> Moments:
    """What the scores rest on.

    net, gross : ndarray of shape (n_bars, n_agents), profit of each bar over capital after and before costs, no NaN;
    without ``gross`` the net results serve as control. Raises EvidenceError for other shapes.
    """
    after = np.ascontiguousarray(np.asarray(net, dtype=np.float64).T)
    before = after if gross is None else np.ascontiguousarray(np.asarray(gross, dtype=np.float64).T)
    if after.ndim != 2 or after.shape != before.shape:
        raise EvidenceError(f"Net and gross results differ in shape: {after.shape} and {before.shape}.")
    if not (np.isfinite(after).all() and np.isfinite(before).all()):
        raise EvidenceError("Results must be finite numbers: leave out the bars that have none.")
    n_agents, n_bars = after.shape
    scale, table = np.full(n_agents, np.nan), np.full((7, n_agents), np.nan)
    peers, df = 0, 0
    if n_bars >= FEWEST_ACTIVE:
        _moments(after, before, block_bars(n_bars), scale, table)
        peers = int(np.isfinite(scale).sum()) - 1
        peers = peers if peers >= FEWEST_PEERS else 0
        df = n_bars - 2 if peers else n_bars - 1
    mean, control_mean, slope, control_ss, residual, explained, own = table
    return Moments(
        n_bars,
        mean,
        control_mean,
        slope,
        control_ss,
        residual,
        scale,
        explained,
        _pooled(own, n_bars // block_bars(n_bars)),
        df,
        n_peers=peers,
    )


def scores(of: Moments, shift: Float64 | None = None) -> Scores:
    """The agents' scores.

    ``shift`` (..., n_agents) adds a constant to each agent's results before they are judged (net and gross alike), one
    set of scores for each row: second moments do not change, so studies of power need one pass only.
    """
    mean, control = of.mean, of.control_mean
    if shift is not None:
        mean = mean + shift
        if of.n_peers:
            added = np.where(np.isfinite(of.scale), shift / of.scale, 0.0)
            control = control + (added.sum(axis=-1, keepdims=True) - added) / of.n_peers
    alpha = mean - of.slope * control
    with np.errstate(divide="ignore", invalid="ignore"):
        lever = np.where(of.control_ss > 0, control**2 / of.control_ss, 0.0)
        t = alpha / np.sqrt(of.residual * of.ratio * (1.0 / of.n_bars + lever)) if of.n_bars else alpha
    t = np.where(of.residual > 0, t, np.nan)
    return Scores(z=normal_score(t, of.df), t=t, alpha=alpha, df=of.df)


def normal_score(t: Float64, df: float) -> Float64:
    """The standard normal quantile of the same rank as ``t`` among Student's t with ``df``; exact in both tails."""
    if df < 1:
        return np.full(np.shape(t), np.nan)
    score: Float64 = np.asarray(np.sign(t) * -ndtri(stdtr(df, -np.abs(t))), dtype=np.float64)
    return score


def combine(z: Float64, days: Float64) -> Float64:
    """Stouffer's weighted sum over periods: sum(sqrt(days) z) / sqrt(sum(days)), periods without a score left out.

    z : ndarray of shape (n_periods, n_agents); days : (n_periods,). With the same Sharpe ratio in every period the
    expectation of each z grows with the square root of its days, so these weights are the most powerful (Liptak
    1958).
    """
    table = np.atleast_2d(np.asarray(z, dtype=np.float64))
    weight = np.asarray(days, dtype=np.float64)[:, None]
    known = np.isfinite(table) & (weight > 0)
    total = np.where(known, weight, 0.0).sum(axis=0)
    summed = np.where(known, np.sqrt(weight) * np.where(known, table, 0.0), 0.0).sum(axis=0)
    combined: Float64 = np.divide(summed, np.sqrt(total), out=np.full(table.shape[1], np.nan), where=total > 0)
    return combined


def chance_of_best(z: Float64 | float, trials: float) -> Float64:
    """Probability that the best of ``trials`` independent scores without skill reaches ``z``: 1 - Phi(z)^trials.

    The correction of Sidak (1967): exact for independent trials, and an upper bound for positively dependent ones.
    """
    if not trials >= 1:
        raise EvidenceError(f"There must be at least one trial, not {trials}.")
    single = ndtr(-np.asarray(z, dtype=np.float64))
    with np.errstate(divide="ignore"):  # a score so low that any other beats it: log 0, and a chance of 1
        p: Float64 = -np.expm1(trials * np.log1p(-single))
    return p


def critical_score(level: float, trials: float) -> float:
    """The score that the best of ``trials`` without skill reaches with probability ``level``."""
    if not 0 < level < 1:
        raise EvidenceError(f"A level lies between 0 and 1, not at {level}.")
    return float(-ndtri(-np.expm1(np.log1p(-level) / trials)))
