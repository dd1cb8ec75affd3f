"""What the engine refuses before it starts; nothing in here is raised half-way through a run."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class EngineError(FundopsError):
    """The parent of every refusal of the engine."""

    title = "The engine refuses this input"


class MarketDataError(EngineError):
    """Candles or funding that cannot be simulated on: order, shapes, impossible prices."""


class InstrumentRulesError(EngineError):
    """A venue rule (tick, lot, margin ...) that is missing or absurd."""


class AgentSpecError(EngineError):
    """An agent that cannot be run: unknown symbol, parameters out of bounds, absurd exit rule."""


class WalletRulesError(EngineError):
    """Ceilings of the parent wallet that contradict each other or the draws."""


class OrderLimitsError(EngineError):
    """Limits that a run cannot be judged by."""


class CostProfileError(EngineError):
    """A cost profile that is missing or does not validate; the message names the file and the field."""


class EngineStateError(EngineError):
    """A state that was saved by another version or for another cohort, or whose bytes are damaged."""


class StrategyStepError(EngineError):
    """A strategy whose step is not compiled, or returns what the contract does not allow."""
