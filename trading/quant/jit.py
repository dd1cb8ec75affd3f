"""How every numerical kernel here is compiled: cached on disk, without the GIL, with IEEE division.

Two facts of numba shape this file. Its on-disk cache looks only at the file of the compiled function, so a
changed indicator would leave stale machine code in every strategy that inlined it: the cache therefore
lives in a folder named after the content of all kernel sources. And reference counts are atomic operations,
tens of nanoseconds for the two arrays of every step: kernels are compiled without numba's runtime (so they
cannot allocate, which they must not anyway), and :func:`row` makes a row view that is not counted.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import carray, config, njit, types  # type: ignore[attr-defined, unused-ignore]
from numba.core import cgutils
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

_njit: Any = njit
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

#: Array positions are unsigned in hot code: a signed one costs a test for negative (from-the-end) indexing
#: each time.
u = np.uint64


def kernel_digest() -> str:
    """The content of every kernel and strategy source as a short hex digest; part of each cache key."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for folder in (root / "quant", root / "strategies"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _forget_old(parent: Path, *, keep: int = 5) -> None:
    """Machine code of earlier sources goes; who still runs them compiles again."""
    folders = [p for p in parent.iterdir() if len(p.name) == 16 and set(p.name) <= set("0123456789abcdef")]
    for old in sorted(folders, key=lambda p: p.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def _place_cache() -> None:
    base = os.environ.get("NUMBA_CACHE_DIR")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = (Path(base) if base else home / "fundops" / "numba") / kernel_digest()
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            _forget_old(folder.parent)
    except OSError:
        return  # numba falls back to __pycache__ beside the source
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined, unused-ignore]


_place_cache()


def kernel(function: F) -> F:
    """Compile a small step for inlining into a larger kernel. The plain function stays at ``.py_func``.

    Division follows IEEE 754 (x/0 is inf or NaN, never an exception) and the result depends on nothing but
    the arguments: no fastmath, no threads.
    """
    return cast(F, _njit(_nrt=False, forceinline=True, **_OPTIONS)(function))


def plain(function: F) -> F:
    """Compile a helper that is rarely called and better stays out of line."""
    return cast(F, _njit(_nrt=False, **_OPTIONS)(function))


def loop(function: F) -> F:
    """Compile a whole loop that is called from Python and may slice or allocate."""
    return cast(F, _njit(**_OPTIONS)(function))


def _row_pointer_code(_typing: Any, array: Any, index: Any) -> Any:
    signature = types.CPointer(array.dtype)(array, index)  # type: ignore[no-untyped-call, unused-ignore]

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        strides: Any = cgutils.unpack_tuple(builder, view.strides)  # type: ignore[no-untyped-call, unused-ignore]
        start = builder.bitcast(view.data, cgutils.voidptr_t)
        return builder.bitcast(builder.gep(start, [builder.mul(args[1], strides[0])]), view.data.type)

    return signature, codegen


_row_pointer: Any = intrinsic(_row_pointer_code)


@_njit(error_model="numpy", forceinline=True, nogil=True)
def row(matrix: Any, index: int) -> Any:
    """Inside a kernel only: ``matrix[index]`` of a C-contiguous 2-D array as a view that is not reference
    counted.

    The caller keeps ``matrix`` alive as long as the view is used. No bounds check.
    """
    return carray(_row_pointer(matrix, index), (matrix.shape[1],))


def _load_code(_typing: Any, address: Any, index: Any) -> Any:
    signature = types.float64(address, index)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = context.get_value_type(types.float64)
        return builder.load(builder.gep(builder.inttoptr(args[0], kind.as_pointer()), [args[1]]))

    return signature, codegen


#: Inside a kernel only: ``load_at(address, index)`` is the float64 there; the caller keeps the memory alive.
load_at: Any = intrinsic(_load_code)
