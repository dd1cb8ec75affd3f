"""The lowest low and the highest high of spans of bars: what lets a position be followed many bars at a time.

They belong to the market, not to who trades it: made once, when a run first asks for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.engine.compiled import entry
from trading.quant.engine.jit import kernel

Float64 = npt.NDArray[np.float64]

#: Bars of a span at each of three levels, one a multiple of the other: an hour of minutes is one coarse span, an hour
#: of five minutes one middle span.
FINE = 4
MIDDLE = 12
COARSE = 60


@dataclass(frozen=True, slots=True)
class Extremes:
    """``levels`` are the fine, middle and coarse spans, each of shape (n_symbols, 2 n_spans): low, high, low, ...

    Span k of size m holds the bars from ``k m - lead`` on. Only spans wholly inside the market are filled.
    """

    lead: int
    levels: tuple[Float64, Float64, Float64]


def find_extremes(highs: Float64, lows: Float64, mark: Float64, first_step: int, *, has_gaps: bool) -> Extremes:
    """The extremes of columns of shape (n_symbols, n_bars), with spans that begin at round times.

    ``first_step`` is the first bar's opening time in intervals. A missing bar counts with the close it carries
    (``mark``), which no position still open can have been hurt or helped by.
    """
    n_symbols, n_bars = mark.shape
    lead = first_step % COARSE
    levels = (
        np.empty((n_symbols, 2 * ((lead + n_bars) // FINE))),
        np.empty((n_symbols, 2 * ((lead + n_bars) // MIDDLE))),
        np.empty((n_symbols, 2 * ((lead + n_bars) // COARSE))),
    )
    _fill_kernel()(lead, int(has_gaps), highs, lows, mark, np.empty((2, n_bars // 2 + 1)), *levels)
    return Extremes(lead, levels)


@functools.cache
def _fill_kernel() -> Callable[..., Any]:
    return entry(fill_spans)


@kernel
def fill_spans(
    lead: int, has_gaps: int, highs: Any, lows: Any, mark: Any, pairs: Any, fine: Any, middle: Any, coarse: Any
) -> None:
    """Fine spans by pairs of neighbours, which the compiler makes vector code of; the others from those below."""
    one = np.uint64(1)
    two = np.uint64(2)
    n = mark.shape[1]
    first = (lead + FINE - 1) // FINE
    n_fine = np.uint64(max(0, (lead + n) // FINE - first))
    skip = first * FINE - lead  # bars before the first whole span
    n_pairs = two * n_fine
    low, high = pairs[0], pairs[1]
    for s in range(mark.shape[0]):
        least, most, close = lows[s, skip:], highs[s, skip:], mark[s, skip:]
        if has_gaps != 0:
            for k in range(n_pairs):
                a = least[two * k] if least[two * k] == least[two * k] else close[two * k]
                b = least[two * k + one] if least[two * k + one] == least[two * k + one] else close[two * k + one]
                low[k] = a if a < b else b
            for k in range(n_pairs):
                a = most[two * k] if most[two * k] == most[two * k] else close[two * k]
                b = most[two * k + one] if most[two * k + one] == most[two * k + one] else close[two * k + one]
                high[k] = a if a > b else b
        else:
            for k in range(n_pairs):
                low[k] = least[two * k] if least[two * k] < least[two * k + one] else least[two * k + one]
            for k in range(n_pairs):
                high[k] = most[two * k] if most[two * k] > most[two * k + one] else most[two * k + one]
        spans = fine[s, 2 * first :]
        for k in range(n_fine):
            spans[two * k] = low[two * k] if low[two * k] < low[two * k + one] else low[two * k + one]
            spans[two * k + one] = high[two * k] if high[two * k] > high[two * k + one] else high[two * k + one]
        gather(lead, n, FINE, MIDDLE, fine[s], middle[s])
        gather(lead, n, MIDDLE, COARSE, middle[s], coarse[s])


@kernel
def gather(lead: int, n: int, small: int, large: int, below: Any, spans: Any) -> None:
    """Spans of ``large`` bars from those of ``small`` bars within them."""
    parts = large // small
    for k in range((lead + large - 1) // large, (lead + n) // large):
        low = below[2 * k * parts]
        high = below[2 * k * parts + 1]
        for part in range(k * parts + 1, (k + 1) * parts):
            low = min(low, below[2 * part])
            high = max(high, below[2 * part + 1])
        spans[2 * k] = low
        spans[2 * k + 1] = high
