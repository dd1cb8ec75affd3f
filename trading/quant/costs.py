"""Cost profiles, importable beside the other quant modules; they live with the engine that applies them."""

from trading.quant.engine.costs import (
    CostModel,
    FeeSchedule,
    FeeTier,
    HalfSpread,
    frictionless,
    list_cost_profiles,
    load_cost_profile,
)

__all__ = [
    "CostModel",
    "FeeSchedule",
    "FeeTier",
    "HalfSpread",
    "frictionless",
    "list_cost_profiles",
    "load_cost_profile",
]
