"""What can be limited: every metric with its unit, its family and which way is tighter."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Metric(StrEnum):
    """Units: `_frac` of equity unless said otherwise, `_s` seconds, counts bare, all else money of the base
    asset.
    """

    GROSS_EXPOSURE = "gross_exposure"
    NET_EXPOSURE = "net_exposure"
    NET_EXPOSURE_FRAC = "net_exposure_frac"
    LEVERAGE = "leverage"
    POSITION_NOTIONAL = "position_notional"
    OPEN_POSITIONS = "open_positions"
    SYMBOL_CONCENTRATION_FRAC = "symbol_concentration_frac"
    VENUE_CONCENTRATION_FRAC = "venue_concentration_frac"
    VAR = "var"
    VAR_FRAC = "var_frac"
    ES = "es"
    ES_FRAC = "es_frac"
    DAILY_LOSS = "daily_loss"
    DAILY_LOSS_FRAC = "daily_loss_frac"
    DRAWDOWN_FRAC = "drawdown_frac"
    STOP_LOSS_FRAC = "stop_loss_frac"
    COOLDOWN_S = "cooldown_s"
    ORDER_NOTIONAL = "order_notional"
    ORDER_NOTIONAL_FRAC = "order_notional_frac"
    PARTICIPATION_FRAC = "participation_frac"
    ORDER_RATE = "order_rate"
    PRICE_COLLAR_FRAC = "price_collar_frac"


class Family(StrEnum):
    """How a limit treats an order: exposure and stop limits never hold up one that only closes."""

    EXPOSURE = "exposure"
    STOP = "stop"
    ORDER = "order"


class Level(IntEnum):
    """The state of one limit."""

    OK = 0
    SOFT = 1
    HARD = 2
    UNKNOWN = 3


METRICS: tuple[Metric, ...] = tuple(Metric)
CODES: dict[Metric, int] = {metric: code for code, metric in enumerate(METRICS)}

_STOPS = {
    Metric.DAILY_LOSS,
    Metric.DAILY_LOSS_FRAC,
    Metric.DRAWDOWN_FRAC,
    Metric.STOP_LOSS_FRAC,
    Metric.COOLDOWN_S,
}
ORDER_METRICS = frozenset(
    {
        Metric.ORDER_NOTIONAL,
        Metric.ORDER_NOTIONAL_FRAC,
        Metric.PARTICIPATION_FRAC,
        Metric.ORDER_RATE,
        Metric.PRICE_COLLAR_FRAC,
    }
)
#: Metrics of a Book's state; the others exist only while an order is checked.
STATE_METRICS = frozenset(METRICS) - {
    Metric.ORDER_NOTIONAL,
    Metric.ORDER_NOTIONAL_FRAC,
    Metric.PARTICIPATION_FRAC,
    Metric.PRICE_COLLAR_FRAC,
}
#: A longer cooldown is the tighter one; for every other metric the smaller number is.
HIGHER_IS_TIGHTER = frozenset({Metric.COOLDOWN_S})
#: Limits that may be narrowed to one symbol, or to one venue.
SYMBOL_SCOPED = frozenset(
    {
        Metric.POSITION_NOTIONAL,
        Metric.SYMBOL_CONCENTRATION_FRAC,
        Metric.STOP_LOSS_FRAC,
        *ORDER_METRICS - {Metric.ORDER_RATE},
    }
)
VENUE_SCOPED = frozenset({Metric.VENUE_CONCENTRATION_FRAC, *ORDER_METRICS - {Metric.ORDER_RATE}})
#: Measured against the Book's equity, or as a share that cannot sensibly pass one.
MONEY_METRICS = frozenset(
    {
        Metric.GROSS_EXPOSURE,
        Metric.NET_EXPOSURE,
        Metric.POSITION_NOTIONAL,
        Metric.VAR,
        Metric.ES,
        Metric.DAILY_LOSS,
        Metric.ORDER_NOTIONAL,
    }
)


def family(metric: Metric) -> Family:
    if metric in _STOPS:
        return Family.STOP
    return Family.ORDER if metric in ORDER_METRICS else Family.EXPOSURE


def describe(metric: Metric) -> str:
    """The metric in words, for reasons and pages."""
    return _WORDS[metric]


_WORDS = {
    Metric.GROSS_EXPOSURE: "Gross exposure",
    Metric.NET_EXPOSURE: "Net exposure",
    Metric.NET_EXPOSURE_FRAC: "Net exposure over equity",
    Metric.LEVERAGE: "Leverage",
    Metric.POSITION_NOTIONAL: "Notional of a position",
    Metric.OPEN_POSITIONS: "Open positions",
    Metric.SYMBOL_CONCENTRATION_FRAC: "Concentration in a symbol",
    Metric.VENUE_CONCENTRATION_FRAC: "Concentration at a venue",
    Metric.VAR: "Value at risk",
    Metric.VAR_FRAC: "Value at risk over equity",
    Metric.ES: "Expected shortfall",
    Metric.ES_FRAC: "Expected shortfall over equity",
    Metric.DAILY_LOSS: "Loss of the day",
    Metric.DAILY_LOSS_FRAC: "Loss of the day over the day's opening equity",
    Metric.DRAWDOWN_FRAC: "Drawdown from the peak",
    Metric.STOP_LOSS_FRAC: "Loss of a position over its cost",
    Metric.COOLDOWN_S: "Seconds since the last loss",
    Metric.ORDER_NOTIONAL: "Notional of an order",
    Metric.ORDER_NOTIONAL_FRAC: "Notional of an order over equity",
    Metric.PARTICIPATION_FRAC: "Share of the market's volume",
    Metric.ORDER_RATE: "Orders in the last minute",
    Metric.PRICE_COLLAR_FRAC: "Distance of the price from the market",
}
