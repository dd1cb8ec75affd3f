"""The engine's vocabulary: why a fill happened, why an order was refused or cut, what was breached."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from risk.quant.metrics import METRICS, Metric


class InstrumentKind(IntEnum):
    SPOT = 0
    PERPETUAL = 1


class Sizing(IntEnum):
    """What a target of 1.0 means: the agent's draw as allotted, or its equity at the decision's close
    (compounding).
    """

    DRAW = 0
    EQUITY = 1


class FillReason(IntEnum):
    SIGNAL = 0
    STOP_LOSS = 1
    TAKE_PROFIT = 2
    TRAILING_STOP = 3
    TIME_LIMIT = 4
    LIQUIDATION = 5


class RejectionReason(IntEnum):
    """Why an order was refused in full (permitted quantity 0) or cut to the permitted quantity."""

    LOT_TOO_SMALL = 0  # the wanted change is less than one lot
    MIN_NOTIONAL = 1  # worth less than the venue's minimum; a full close is exempt
    INSUFFICIENT_BALANCE = 2  # cash (spot) or initial margin (perpetual) does not cover it
    POSITION_LIMIT = 3  # the instrument's largest position for one agent
    MAX_OPEN_POSITIONS = 4  # the wallet's largest number of open positions
    AGENT_LEVERAGE = 5  # the agent's own max_leverage
    MARKET_CAP = 6  # the wallet's cap on one market
    GROSS_CEILING = 7
    NET_CEILING = 8
    LEVERAGE_CEILING = 9
    PARTICIPATION = 10  # only this share of the bar's volume; the rest continues on the next bars
    NO_VOLUME = 11  # the bar is missing or traded nothing; the order waits
    COOLDOWN = 12  # a new position inside the cooldown after a rule exit
    EXIT_PENDING = 13  # a new position while a rule exit is still being worked off
    TICK_TOO_SMALL = 14  # the price rounds to zero ticks
    MODE_REDUCING = 15  # the trading mode lets positions only be closed
    MODE_HALTED = 16  # the trading mode lets nothing be sent
    MODE_UNKNOWN = 17  # nobody could say what the trading mode is
    UNPRICED = 18  # a limit cannot be judged before the first close of a market
    SELF_CROSSING = 19  # it could trade against another agent's order of the bar
    MOMENTUM_IGNITION = 20  # it would complete a burst of the agents' orders that moves the market


class BreachKind(IntEnum):
    AGENT_LEVERAGE = 0  # gross exposure / equity of an agent above its max_leverage at a bar's close
    AGENT_BANKRUPT = 1  # an agent's equity fell to zero or below
    PARENT_DRAWDOWN = 2  # the parent's drawdown passed WalletRules.drawdown_alert_frac
    PARENT_UTILISATION = 3  # gross exposure / bankroll passed WalletRules.utilisation_alert_frac at a mark


class Side(IntEnum):
    BUY = 1
    SELL = -1


#: An order that a limit denies or cuts has one of these plus the metric's code (risk.quant.metrics.CODES) as its
#: reason: a limit on the agent's own Book, or on the cohort's; ``LIMIT_UNKNOWN`` more where the metric is not known.
OWN_LIMIT = 100
COHORT_LIMIT = 200
LIMIT_UNKNOWN = 50

_SHORT = {
    Metric.GROSS_EXPOSURE: "gross",
    Metric.NET_EXPOSURE: "net",
    Metric.NET_EXPOSURE_FRAC: "net_frac",
    Metric.LEVERAGE: "leverage",
    Metric.POSITION_NOTIONAL: "position",
    Metric.OPEN_POSITIONS: "positions",
    Metric.SYMBOL_CONCENTRATION_FRAC: "symbol",
    Metric.VENUE_CONCENTRATION_FRAC: "venue",
    Metric.VAR: "var",
    Metric.VAR_FRAC: "var_frac",
    Metric.ES: "es",
    Metric.ES_FRAC: "es_frac",
    Metric.DAILY_LOSS: "daily",
    Metric.DAILY_LOSS_FRAC: "daily_frac",
    Metric.DRAWDOWN_FRAC: "drawdown",
    Metric.STOP_LOSS_FRAC: "stop_loss",
    Metric.COOLDOWN_S: "after_loss",
    Metric.ORDER_NOTIONAL: "order",
    Metric.ORDER_NOTIONAL_FRAC: "order_frac",
    Metric.PARTICIPATION_FRAC: "volume",
    Metric.ORDER_RATE: "order_rate",
    Metric.PRICE_COLLAR_FRAC: "collar",
}


@dataclass(frozen=True, slots=True)
class LimitReason:
    """The limit behind a refusal: ``own`` when it bound the agent's Book, else it bound the cohort's."""

    metric: Metric
    own: bool
    known: bool


def reason_name(code: int) -> str:
    """A refusal's reason as it is stored: a rule's name, or a limit's (``limit_gross``, ``own_limit_leverage``)."""
    if code < OWN_LIMIT:
        return RejectionReason(code).name.lower()
    own = code < COHORT_LIMIT
    code -= OWN_LIMIT if own else COHORT_LIMIT
    known = code < LIMIT_UNKNOWN
    metric = METRICS[code if known else code - LIMIT_UNKNOWN]
    return f"{'own_' if own else ''}{'limit' if known else 'unknown'}_{_SHORT[metric]}"


def limit_reason(name: str) -> LimitReason | None:
    """What a stored reason says about a limit; None for every other rule."""
    return _BY_NAME.get(name)


_BY_NAME = {
    reason_name(base + code + unknown): LimitReason(metric, own=base == OWN_LIMIT, known=not unknown)
    for base in (OWN_LIMIT, COHORT_LIMIT)
    for unknown in (0, LIMIT_UNKNOWN)
    for code, metric in enumerate(METRICS)
}
