"""Amounts and prices as every kernel reads them."""

from __future__ import annotations

from typing import Any

import numpy as np

from trading.quant.engine.jit import inlined

ATOMS = 1e8


@inlined
def atoms(amount: float) -> Any:
    """An amount as whole 1e-8 units, half to even."""
    return np.int64(np.rint(amount * ATOMS))


@inlined
def previous_close(mark: Any, before: Any, s: int, i: int) -> Any:
    return mark[s, i - 1] if i > 0 else before[s]
