"""One bit per slot and bar says who has something to do; reading a row of bits yields the slots in order."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

ONE = np.uint64(1)
ZERO = np.uint64(0)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic
def trailing_zeros(_typing: Any, word: Any) -> Any:
    """The index of the lowest set bit of a uint64 that is not zero."""
    signature = types.int64(types.uint64)

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], nb.core.cgutils.false_bit)

    return signature, codegen


@njit(forceinline=True)
def set_bit(row: Any, index: int) -> None:
    row[index >> 6] |= ONE << np.uint64(index & 63)


@njit(forceinline=True)
def collect(row: Any, n: int, start: int, out: Any) -> int:
    """Write the set indices of ``row`` to ``out``: first those from ``start`` up to ``n``, then those below ``start``."""
    found = 0
    words = (n + 63) >> 6
    first = start >> 6
    for k in range(words + 1):
        w = first + k
        mask = ALL
        if k == 0:
            mask = ALL << np.uint64(start & 63)
        elif k == words:
            if start & 63 == 0:
                break
            mask = (ONE << np.uint64(start & 63)) - ONE
        if w >= words:
            w -= words
        word = row[w] & mask
        while word != ZERO:
            out[found] = (w << 6) + trailing_zeros(word)
            found += 1
            word &= word - ONE
    return found
