"""The trading engine: one event-driven numba kernel for backtest, paper and live, coupled by a parent wallet.

Entry points: ``run`` (a cohort), ``sweep`` (many parameter sets), ``load_cost_profile``. No Django in here.
"""

from trading.quant.engine.codes import (
    BreachKind,
    FillReason,
    InstrumentKind,
    RejectionReason,
    Side,
    Sizing,
)
from trading.quant.engine.costs import CostModel, frictionless, list_cost_profiles, load_cost_profile
from trading.quant.engine.limits import OrderLimits, UnitRisk
from trading.quant.engine.market import Market
from trading.quant.engine.results import Marks, Run, money
from trading.quant.engine.rules import AgentSpec, ExitRules, InstrumentRules, WalletRules
from trading.quant.engine.runner import run
from trading.quant.engine.state import EngineState
from trading.quant.engine.sweep import Sweep, sweep
from trading.quant.engine.tactics import Tactics
from trading.quant.engine.warmup import warmed_state

ENGINE_VERSION = 1

__all__ = [
    "ENGINE_VERSION",
    "AgentSpec",
    "BreachKind",
    "CostModel",
    "EngineState",
    "ExitRules",
    "FillReason",
    "InstrumentKind",
    "InstrumentRules",
    "Market",
    "Marks",
    "OrderLimits",
    "RejectionReason",
    "Run",
    "Side",
    "Sizing",
    "Sweep",
    "Tactics",
    "UnitRisk",
    "WalletRules",
    "frictionless",
    "list_cost_profiles",
    "load_cost_profile",
    "money",
    "run",
    "sweep",
    "warmed_state",
]
