"""The engine's vocabulary: why a fill happened, why an order was refused or cut, what was breached."""

from __future__ import annotations

from enum import IntEnum


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


class BreachKind(IntEnum):
    AGENT_LEVERAGE = 0  # gross exposure / equity of an agent above its max_leverage at a bar's close
    AGENT_BANKRUPT = 1  # an agent's equity fell to zero or below
    PARENT_DRAWDOWN = 2  # the parent's drawdown passed WalletRules.drawdown_alert_frac
    PARENT_UTILISATION = 3  # gross exposure / bankroll passed WalletRules.utilisation_alert_frac at a mark


class Side(IntEnum):
    BUY = 1
    SELL = -1
