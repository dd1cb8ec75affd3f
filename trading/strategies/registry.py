"""temp"""
from __future__ import annotations
import importlib, pkgutil
from trading.strategies import families
from trading.strategies.spec import StrategyFamily
def builtin_families() -> dict[str, StrategyFamily]:
    out = {}
    for m in pkgutil.iter_modules(families.__path__):
        mod = importlib.import_module(f"{families.__name__}.{m.name}")
        for v in vars(mod).values():
            if isinstance(v, StrategyFamily):
                out[v.key] = v
    return out
