"""How the engine's kernels are compiled: IEEE division, and no reference counting of array arguments.

With numba's runtime switched off inside the kernels an array argument is a plain pointer; otherwise every
call between
kernels would pay two atomic operations for each of its many arrays. It also means: no kernel allocates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_njit: Any = numba.njit  # its stubs do not know _nrt

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a kernel that stays a function of its own."""
    return cast(F, _njit(error_model="numpy", _nrt=False)(function))


def inlined(function: F) -> F:
    """Compile a small helper that always melts into its caller."""
    return cast(F, _njit(error_model="numpy", _nrt=False, forceinline=True)(function))


def without_nan(function: F) -> F:
    """Compile a kernel that is only ever given numbers, and in which the sign of a zero does not matter."""
    return cast(F, _njit(error_model="numpy", _nrt=False, fastmath={"nnan", "nsz"})(function))
