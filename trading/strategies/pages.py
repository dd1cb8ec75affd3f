"""What a strategy's page, its API document and the command line show about it; plain data, no markup."""

from __future__ import annotations

from typing import Any

import numpy as np

from trading.strategies.frames import FrameStrategy
from trading.strategies.spec import Parameter, StrategyFamily


def parameter_row(parameter: Parameter) -> dict[str, Any]:
    whole = parameter.kind == "integer"
    return {
        "name": parameter.name,
        "kind": parameter.kind,
        "low": int(parameter.low) if whole else parameter.low,
        "high": int(parameter.high) if whole else parameter.high,
        "default": int(parameter.default) if whole else parameter.default,
        "scale": "log" if parameter.log else "linear",
        "unit": parameter.unit,
        "help": parameter.help,
    }


def family_page(family: StrategyFamily | FrameStrategy, *, n_symbols: int = 8) -> dict[str, Any]:
    """Key, title, description (as markdown paragraphs), parameters, source, warm-up and memory at the
    defaults.

    ``state_slots`` (float64 numbers an agent keeps between bars) is None for DataFrame strategies,
    ``n_symbols`` matters for the families that trade all symbols at once.
    """
    values = {p.name: p.default for p in family.parameters}
    if isinstance(family, StrategyFamily):
        params = np.array(list(values.values()), dtype=np.float64)
        scope = family.scope.value
        warm_up = int(family.warm_up(params, n_symbols))
        slots: int | None = int(family.state_size(params, n_symbols))
    else:
        scope, warm_up, slots = "single", int(family.warm_up(values)), None
    text = family.description.strip()
    return {
        "key": family.key,
        "name": family.name,
        "version": family.version,
        "title": family.title,
        "form": "step" if isinstance(family, StrategyFamily) else "frame",
        "scope": scope,
        "description": text,
        "paragraphs": [" ".join(p.split()) for p in text.split("\n\n") if p.strip()],
        "parameters": [parameter_row(p) for p in family.parameters],
        "source": family.source,
        "warm_up_bars": warm_up,
        "state_slots": slots,
    }
