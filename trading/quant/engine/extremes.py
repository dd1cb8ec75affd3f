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
    """``levels`` are the fine, middle and coarse spans, each of shape (2, n_symbols, n_spans): lows, highs.

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
        np.empty((2, n_symbols, (lead + n_bars) // FINE)),
        np.empty((2, n_symbols, (lead + n_bars) // MIDDLE)),
        np.empty((2, n_symbols, (lead + n_bars) // COARSE)),
    )
    _fill_kernel()(lead, int(has_gaps), highs, lows, mark, np.empty(n_bars // 2 + 1), *levels)
    return Extremes(lead, levels)


@functools.cache
def _fill_kernel() -> Callable[..., Any]:
    return entry(fill_spans)


@kernel
def fill_spans(
    lead: int, has_gaps: int, highs: Any, lows: Any, mark: Any, pairs: Any, fine: Any, middle: Any, coarse: Any
) -> None:
    """Fine spans by pairs of neighbours, which the compiler makes vector code of; the others from those below."""
    two = np.uint64(2)
    one = np.uint64(1)
    n = mark.shape[1]
    first = (lead + FINE - 1) // FINE
    n_fine = max(0, (lead + n) // FINE - first)
    skip = first * FINE - lead  # bars before the first whole span
    n_pairs = np.uint64(2 * n_fine)
    for s in range(mark.shape[0]):
        close = mark[s, skip:]
        for side in range(2):
            spans = fine[side, s, first:]
            if side == 0:
                x = lows[s, skip:]
                if has_gaps != 0:
                    for k in range(n_pairs):
                        a = x[two * k] if x[two * k] == x[two * k] else close[two * k]
                        b = x[two * k + one] if x[two * k + one] == x[two * k + one] else close[two * k + one]
                        pairs[k] = a if a < b else b
                else:
                    for k in range(n_pairs):
                        pairs[k] = x[two * k] if x[two * k] < x[two * k + one] else x[two * k + one]
                for k in range(np.uint64(n_fine)):
                    spans[k] = pairs[two * k] if pairs[two * k] < pairs[two * k + one] else pairs[two * k + one]
            else:
                x = highs[s, skip:]
                if has_gaps != 0:
                    for k in range(n_pairs):
                        a = x[two * k] if x[two * k] == x[two * k] else close[two * k]
                        b = x[two * k + one] if x[two * k + one] == x[two * k + one] else close[two * k + one]
                        pairs[k] = a if a > b else b
                else:
                    for k in range(n_pairs):
                        pairs[k] = x[two * k] if x[two * k] > x[two * k + one] else x[two * k + one]
                for k in range(np.uint64(n_fine)):
                    spans[k] = pairs[two * k] if pairs[two * k] > pairs[two * k + one] else pairs[two * k + one]
            gather(side, lead, n, FINE, MIDDLE, fine[side, s], middle[side, s])
            gather(side, lead, n, MIDDLE, COARSE, middle[side, s], coarse[side, s])


@kernel
def gather(side: int, lead: int, n: int, small: int, large: int, below: Any, spans: Any) -> None:
    """Spans of ``large`` bars from those of ``small`` bars within them."""
    parts = large // small
    for k in range((lead + large - 1) // large, (lead + n) // large):
        found = below[k * parts]
        for part in range(k * parts + 1, (k + 1) * parts):
            if side == 0:
                found = min(found, below[part])
            else:
                found = max(found, below[part])
        spans[k] = found
