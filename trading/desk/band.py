"""Where a deployment's equity is expected to be, from what its agent did in the cohort. Pure.

The agent's hourly returns, their mean and deviation, scaled by how much of the cohort's exposure the deployment may
take, added up as a random walk: after h hours the mean is k m h and the deviation k s sqrt(h). Ninety of a hundred such
walks stay, at any one hour, within 1.645 deviations; it is no bound for the whole path, and three days of hours say
little about m, which is why the band is drawn and the number of hours is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Of a normal distribution: five of a hundred lie below, five above.
Z90 = 1.6448536269514722
FEWEST_HOURS = 4


@dataclass(frozen=True, slots=True)
class Expectation:
    """Mean and deviation (ddof 1) of the hourly return, the scale applied, and from how many hours."""

    mean: float
    deviation: float
    scale: float
    hours: int

    def at(self, hours: float) -> tuple[float, float, float]:
        """(low, mean, high) return after ``hours``."""
        middle = self.scale * self.mean * hours
        spread = Z90 * self.scale * self.deviation * math.sqrt(max(hours, 0.0))
        return middle - spread, middle, middle + spread


def expectation(returns: Sequence[float | None], *, scale: float) -> Expectation | None:
    """From hourly returns, oldest first; None with fewer than four."""
    known = np.array([r for r in returns if r is not None], dtype=np.float64)
    if known.size < FEWEST_HOURS:
        return None
    return Expectation(float(known.mean()), float(known.std(ddof=1)), scale, int(known.size))
