"""The pre-trade rules in plain Python, metric by metric, to compare the compiled check with."""

from __future__ import annotations

import math

from risk.quant.metrics import Metric
from risk.quant.pretrade import BookState, Limit, OrderIntent, PositionState

_ORDER = {
    Metric.ORDER_NOTIONAL,
    Metric.ORDER_NOTIONAL_FRAC,
    Metric.PARTICIPATION_FRAC,
    Metric.ORDER_RATE,
    Metric.PRICE_COLLAR_FRAC,
}


def _n(x: float | None) -> float:
    return math.nan if x is None else float(x)


def _share(value: float, whole: float) -> float:
    if math.isnan(value) or math.isnan(whole):
        return math.nan
    return value / whole if whole > 0 else (math.inf if value > 1e-9 else 0.0)


class ReferenceBook:
    def __init__(self, state: BookState) -> None:
        self.state = state

    def directed_position(self, intent: OrderIntent) -> float:
        """Units of the order's own position, in the order's direction, with orders on its side filled."""
        mine = self._mine(intent)
        if mine is None:
            return 0.0
        working = _n(mine.working_buy) if intent.side > 0 else _n(mine.working_sell)
        return int(intent.side) * _n(mine.quantity) + working

    def _mine(self, intent: OrderIntent) -> PositionState | None:
        found = [p for p in self.state.positions if (p.symbol, p.venue) == (intent.symbol, intent.venue)]
        return found[0] if found else None

    def value(self, metric: Metric, intent: OrderIntent, x: float) -> float:
        """The metric once `x` units are filled."""
        s, unit, equity = self.state, _n(intent.unit_notional), _n(self.state.equity)
        mine = self._mine(intent)
        directed = self.directed_position(intent)
        after = directed + x
        against = 0.0
        if mine is not None:
            working = _n(mine.working_sell) if intent.side > 0 else _n(mine.working_buy)
            against = working - int(intent.side) * _n(mine.quantity)
        own_worst = max(abs(after), abs(against)) * unit
        added = x - min(x, max(0.0, -directed))

        def worst(p: PositionState) -> float:
            q = _n(p.quantity)
            return max(abs(q + _n(p.working_buy)), abs(q - _n(p.working_sell))) * _n(p.unit_notional)

        others = [p for p in s.positions if p is not mine]
        gross = sum(worst(p) for p in others) + own_worst
        match metric:
            case Metric.GROSS_EXPOSURE:
                return gross
            case Metric.LEVERAGE:
                return _share(gross, equity)
            case Metric.NET_EXPOSURE | Metric.NET_EXPOSURE_FRAC:
                net = after * unit
                for p in others:
                    working = _n(p.working_buy) if intent.side > 0 else _n(p.working_sell)
                    net += (int(intent.side) * _n(p.quantity) + working) * _n(p.unit_notional)
                net = max(0.0, net)
                return net if metric is Metric.NET_EXPOSURE else _share(net, equity)
            case Metric.POSITION_NOTIONAL:
                return abs(after) * unit
            case Metric.OPEN_POSITIONS:
                return sum(worst(p) != 0 for p in others) + (own_worst != 0)
            case Metric.SYMBOL_CONCENTRATION_FRAC:
                same = sum(worst(p) for p in others if p.symbol == intent.symbol)
                return _share(same + own_worst, equity)
            case Metric.VENUE_CONCENTRATION_FRAC:
                same = sum(worst(p) for p in others if p.venue == intent.venue)
                return _share(same + own_worst, equity)
            case Metric.VAR:
                return _n(s.var) + added * unit * _n(intent.unit_var)
            case Metric.VAR_FRAC:
                return _share(_n(s.var) + added * unit * _n(intent.unit_var), equity)
            case Metric.ES:
                return _n(s.es) + added * unit * _n(intent.unit_es)
            case Metric.ES_FRAC:
                return _share(_n(s.es) + added * unit * _n(intent.unit_es), equity)
            case Metric.DAILY_LOSS:
                return max(0.0, _n(s.day_open_equity) - equity)
            case Metric.DAILY_LOSS_FRAC:
                return _share(max(0.0, _n(s.day_open_equity) - equity), _n(s.day_open_equity))
            case Metric.DRAWDOWN_FRAC:
                return _share(max(0.0, _n(s.peak_equity) - equity), _n(s.peak_equity))
            case Metric.STOP_LOSS_FRAC:
                return max(0.0, _n(mine.loss_frac)) if mine else 0.0
            case Metric.COOLDOWN_S:
                return _n(s.seconds_since_loss)
            case Metric.ORDER_NOTIONAL | Metric.ORDER_NOTIONAL_FRAC:
                notional = x * unit * _n(intent.price) / _n(intent.reference_price)
                return notional if metric is Metric.ORDER_NOTIONAL else _share(notional, equity)
            case Metric.PARTICIPATION_FRAC:
                return _share(x, _n(intent.volume))
            case Metric.ORDER_RATE:
                return _n(s.orders_in_window) + 1
            case Metric.PRICE_COLLAR_FRAC:
                return abs(_n(intent.price) / _n(intent.reference_price) - 1)
        raise AssertionError(metric)


def breaches(state: BookState, intent: OrderIntent, limits: list[Limit]) -> list[Metric]:
    """Hard limits that this order would break; a closing order breaks none of exposure or stop."""
    book, out = ReferenceBook(state), []
    assert intent.quantity is not None
    only_closes = intent.quantity <= -book.directed_position(intent)
    for limit in limits:
        if limit.metric not in _ORDER and only_closes:
            continue
        value, hard = book.value(limit.metric, intent, intent.quantity), _n(limit.hard)
        slack = 1e-9 * max(1.0, hard)
        kept = value >= hard if limit.metric is Metric.COOLDOWN_S else value <= hard + slack
        if not kept:
            out.append(limit.metric)
    return out


def allowed_at(state: BookState, intent: OrderIntent, limits: list[Limit], size: float) -> bool:
    book = ReferenceBook(state)
    only_closes = size <= -book.directed_position(intent)
    for limit in limits:
        if limit.metric not in _ORDER and only_closes:
            continue
        value, hard = book.value(limit.metric, intent, size), _n(limit.hard)
        if limit.metric is Metric.COOLDOWN_S:
            if not value >= hard:
                return False
        elif not value <= hard * (1 + 1e-12) + 1e-12:
            return False
    return True
