"""Markets, candles, strategies and cohorts."""

from trading.models.cohort import (
    AgentDay,
    Allocation,
    Cohort,
    CohortAgent,
    CohortAlert,
    CohortDay,
    CohortFill,
    CohortMode,
    CohortRejection,
    CohortRun,
    CohortStatus,
    GenomeSource,
)
from trading.models.instruments import Instrument, InstrumentKind
from trading.models.marketdata import CandleSet, DataQuarantine

__all__ = [
    "AgentDay",
    "Allocation",
    "CandleSet",
    "Cohort",
    "CohortAgent",
    "CohortAlert",
    "CohortDay",
    "CohortFill",
    "CohortMode",
    "CohortRejection",
    "CohortRun",
    "CohortStatus",
    "DataQuarantine",
    "GenomeSource",
    "Instrument",
    "InstrumentKind",
]
