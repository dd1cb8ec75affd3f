"""Limits and their breaches, stress scenarios and their results, risk snapshots, capital budgets."""

from risk.models.budgets import CapitalBudget
from risk.models.leverage import LeverageDecision, LeveragePolicy
from risk.models.limits import BreachStatus, HardAction, LimitBreach, RiskLimit
from risk.models.overrides import EndCause, GuardrailOverride, OverrideEnd, OverridePolicy
from risk.models.snapshots import RiskSnapshot
from risk.models.stress import ScenarioKind, StressResult, StressScenario
from risk.models.stress_runs import StressRun, StressRunState
from risk.models.switches import (
    ErrorReport,
    KillSwitch,
    RiskSignal,
    SignalKind,
    StopCause,
    SwitchBoard,
    SwitchChange,
    TriggerPolicy,
    TriggerWatch,
)

__all__ = [
    "BreachStatus",
    "CapitalBudget",
    "EndCause",
    "ErrorReport",
    "GuardrailOverride",
    "HardAction",
    "KillSwitch",
    "LeverageDecision",
    "LeveragePolicy",
    "LimitBreach",
    "OverrideEnd",
    "OverridePolicy",
    "RiskLimit",
    "RiskSignal",
    "RiskSnapshot",
    "ScenarioKind",
    "SignalKind",
    "StopCause",
    "StressResult",
    "StressRun",
    "StressRunState",
    "StressScenario",
    "SwitchBoard",
    "SwitchChange",
    "TriggerPolicy",
    "TriggerWatch",
]
