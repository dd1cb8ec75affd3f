"""Cohorts that never were: results of agents without skill, bar by bar, for studies of the gate.

Two models of the same mean correlation and unit variance a day. PLAIN is what the theoretical limit assumes:
independent normal bars with one common factor. MARKET is shaped after cohorts on real candles (docs/gate.md):
volatility that clusters and follows the hour, returns with fat tails, agents that are flat for spells.
"""

# ruff: noqa: NPY002 - inside a compiled kernel numba knows only numpy's older generator; it is seeded at each call.
from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.evidence.errors import EvidenceError
from trading.quant.jit import loop

Float64 = npt.NDArray[np.float64]

BARS_A_DAY = 96


class NoiseModel(IntEnum):
    """How the bars of an agent without skill behave."""

    PLAIN = 0
    MARKET = 1


@dataclass(frozen=True, slots=True)
class NoiseShape:
    """``correlation`` of any two agents. Of MARKET alone: the share of bars an agent holds a position, how long a spell
    lasts on average (bars), the persistence of log volatility a bar and its deviation, degrees of freedom of the bars.
    """

    correlation: float = 0.15
    invested: float = 0.55
    spell_bars: float = 24.0
    persistence: float = 0.99
    log_volatility: float = 0.5
    degrees_of_freedom: float = 5.0


@loop
def _fill(
    out: Any, seed: int, model: int, rho: float, invested: float, spell: float, ar: float, log_vol: float, nu: float
) -> None:
    """``out`` (n_agents, n_bars) with unit variance a day. The whole state of chance is ``seed``."""
    n_agents, n_bars = out.shape
    np.random.seed(seed)
    common, own = math.sqrt(rho), math.sqrt(1.0 - rho)
    if model == 0:
        scale = 1.0 / math.sqrt(BARS_A_DAY)
        for t in range(n_bars):
            factor = common * np.random.standard_normal()
            for j in range(n_agents):
                out[j, t] = scale * (factor + own * np.random.standard_normal())
        return
    # Two agents share the factor only while both hold a position: the correlation within is raised to give rho overall.
    common = math.sqrt(min(1.0, rho / invested))
    own = math.sqrt(1.0 - min(1.0, rho / invested))
    scale = 1.0 / math.sqrt(BARS_A_DAY * invested)
    leave = 1.0 / spell
    enter = leave * invested / (1.0 - invested)
    holding = np.zeros(n_agents)
    for j in range(n_agents):
        holding[j] = 1.0 if np.random.random() < invested else 0.0
    level = log_vol * np.random.standard_normal()
    shock = log_vol * math.sqrt(1.0 - ar * ar)
    for t in range(n_bars):
        level = ar * level + shock * np.random.standard_normal()
        hour = 1.0 + 0.4 * math.sin(2.0 * math.pi * (t % BARS_A_DAY) / BARS_A_DAY)
        chi = 2.0 * np.random.standard_gamma(nu / 2.0)
        sigma = scale * hour / math.sqrt(1.08) * math.exp(level - log_vol * log_vol) * math.sqrt((nu - 2.0) / chi)
        factor = common * np.random.standard_normal()
        for j in range(n_agents):
            if holding[j] > 0.0:
                out[j, t] = sigma * (factor + own * np.random.standard_normal())
                if np.random.random() < leave:
                    holding[j] = 0.0
            else:
                out[j, t] = 0.0
                if np.random.random() < enter:
                    holding[j] = 1.0


def noise_results(
    *, n_agents: int, days: int, seed: int, model: NoiseModel, shape: NoiseShape | None = None
) -> Float64:
    """Results of ``n_agents`` without skill over ``days`` of quarter hours, (n_agents, days x 96), variance 1 a day."""
    of = shape or NoiseShape()
    if n_agents < 1 or days < 1 or not 0 <= of.correlation < 1 or not of.correlation <= of.invested < 1:
        raise EvidenceError(
            "At least one agent and one day; the correlation lies from 0 to the share invested, below 1."
        )
    out = np.empty((n_agents, days * BARS_A_DAY))
    _fill(
        out,
        seed,
        int(model),
        of.correlation,
        of.invested,
        of.spell_bars,
        of.persistence,
        of.log_volatility,
        of.degrees_of_freedom,
    )
    return out
