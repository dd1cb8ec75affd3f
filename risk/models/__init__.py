"""Limits and their breaches, stress scenarios and their results, risk snapshots, capital budgets."""

from risk.models.budgets import CapitalBudget
from risk.models.limits import BreachStatus, HardAction, LimitBreach, RiskLimit
from risk.models.snapshots import RiskSnapshot
from risk.models.stress import ScenarioKind, StressResult, StressScenario

__all__ = [
    "BreachStatus",
    "CapitalBudget",
    "HardAction",
    "LimitBreach",
    "RiskLimit",
    "RiskSnapshot",
    "ScenarioKind",
    "StressResult",
    "StressScenario",
]
