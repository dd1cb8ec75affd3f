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
from trading.models.deployments import (
    CapitalFlow,
    CouncilVoice,
    Deployment,
    DeploymentStatus,
    DeskRun,
    Fill,
    FundingPayment,
    Order,
    OrderStatus,
    Position,
    TradingCycle,
)
from trading.models.instruments import Instrument, InstrumentKind
from trading.models.marketdata import CandleFeed, CandleSet, DataQuarantine
from trading.models.paper import PaperAccount, PaperOrder, PaperReport
from trading.models.promotion import GatePolicyVersion, LiveRecord, PromotionReview, ReviewState, ReviewStep
from trading.models.screening import DayScreening
from trading.models.trials import TrialKind, TrialSet

__all__ = [
    "AgentDay",
    "Allocation",
    "CandleFeed",
    "CandleSet",
    "CapitalFlow",
    "Cohort",
    "CohortAgent",
    "CohortAlert",
    "CohortDay",
    "CohortFill",
    "CohortMode",
    "CohortRejection",
    "CohortRun",
    "CohortStatus",
    "CouncilVoice",
    "DataQuarantine",
    "DayScreening",
    "Deployment",
    "DeploymentStatus",
    "DeskRun",
    "Fill",
    "FundingPayment",
    "GatePolicyVersion",
    "GenomeSource",
    "Instrument",
    "InstrumentKind",
    "LiveRecord",
    "Order",
    "OrderStatus",
    "PaperAccount",
    "PaperOrder",
    "PaperReport",
    "Position",
    "PromotionReview",
    "ReviewState",
    "ReviewStep",
    "TradingCycle",
    "TrialKind",
    "TrialSet",
]
