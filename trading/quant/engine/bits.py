"""One bit per slot and bar says who has something to do; reading a row of bits yields the slots in order.

With the two processor hints that numba does not offer.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from trading.quant.engine.jit import inlined

cgutils: Any = nb.core.cgutils

ONE = np.uint64(1)
ZERO = np.uint64(0)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def _trailing_zeros(_typing: Any, word: Any) -> Any:
    """The index of the lowest set bit of a uint64 that is not zero."""
    signature = types.int64(types.uint64)

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], cgutils.false_bit)

    return signature, codegen


def _prefetch(_typing: Any, matrix: Any, row: Any, column: Any) -> Any:
    """Ask for ``matrix[row, column]`` (C-contiguous) to be brought near; never faults, changes
    nothing.
    """
    signature = types.void(matrix, row, column)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        strides = cgutils.unpack_tuple(builder, view.strides)
        start = builder.bitcast(view.data, cgutils.voidptr_t)
        offset = builder.add(builder.mul(args[1], strides[0]), builder.mul(args[2], strides[1]))
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, i32, i32, i32])
        hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(hint, [builder.gep(start, [offset]), i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return signature, codegen


trailing_zeros: Any = intrinsic(_trailing_zeros)
prefetch: Any = intrinsic(_prefetch)


@inlined
def set_bit(row: Any, index: int) -> None:
    row[np.uint64(index >> 6)] |= ONE << np.uint64(index & 63)


@inlined
def has_any(row: Any) -> bool:
    found = ZERO
    for k in range(np.uint64(row.shape[0])):
        found |= row[k]
    return bool(found != ZERO)


@inlined
def collect(row: Any, n: int, start: int, out: Any) -> int:
    """Write the set indices of ``row`` to ``out``: first those from ``start`` up to ``n``, then those below
    ``start``.
    """
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
        word = row[np.uint64(w)] & mask
        while word != ZERO:
            out[np.uint64(found)] = (w << 6) + trailing_zeros(word)
            found += 1
            word &= word - ONE
    return found
