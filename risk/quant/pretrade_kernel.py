# mypy: disable-error-code="no-any-return"
"""The compiled core of the pre-trade check: one order, one Book, many limits, no allocation.

The Python side (`risk.quant.pretrade`) and any compiled engine call the same function, so that backtest,
paper and live obey the same arithmetic. State and order come as one vector `v` with the slots below; an
unknown number is NaN.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from risk.quant.metrics import CODES, Metric
from risk.quant.tail import FloatArray

# --- Slots of the vector ------------------------------------------------------------------------------------
EQUITY = 0
DAY_OPEN_EQUITY = 1
PEAK_EQUITY = 2
#: Worst-case exposures (with all working orders filled on the worse side) outside the order's own position.
GROSS_OTHERS = 3
SYMBOL_OTHERS = 4
VENUE_OTHERS = 5
#: Signed net exposure outside the position, with the working orders on the order's side filled.
NET_OTHERS = 6
#: The order's own position in units, with working orders on the order's side filled; and on the other side
#: filled.
POSITION = 7
POSITION_OTHER_WAY = 8
OPEN_OTHERS = 9
ORDERS_IN_WINDOW = 10
POSITION_LOSS_FRAC = 11
SECONDS_SINCE_LOSS = 12
VAR = 13
ES = 14
#: VaR and ES of one unit of money in this symbol, in the order's direction.
UNIT_VAR = 15
UNIT_ES = 16
SIDE = 17
QUANTITY = 18
#: Money per unit at the mark, and order notional per unit at the order's own price.
UNIT_NOTIONAL = 19
UNIT_ORDER_NOTIONAL = 20
PRICE_DISTANCE_FRAC = 21
VOLUME = 22
LOT = 23
MINIMUM = 24
MODE = 25
SLOTS = 26

# --- Trading modes of a Book --------------------------------------------------------------------------------
ACTIVE, REDUCING, HALTED = 0.0, 1.0, 2.0

# --- Metric codes as compile-time constants -----------------------------------------------------------------
_GROSS = CODES[Metric.GROSS_EXPOSURE]
_NET = CODES[Metric.NET_EXPOSURE]
_NET_FRAC = CODES[Metric.NET_EXPOSURE_FRAC]
_LEVERAGE = CODES[Metric.LEVERAGE]
_POSITION = CODES[Metric.POSITION_NOTIONAL]
_OPEN = CODES[Metric.OPEN_POSITIONS]
_SYMBOL = CODES[Metric.SYMBOL_CONCENTRATION_FRAC]
_VENUE = CODES[Metric.VENUE_CONCENTRATION_FRAC]
_VAR = CODES[Metric.VAR]
_VAR_FRAC = CODES[Metric.VAR_FRAC]
_ES = CODES[Metric.ES]
_ES_FRAC = CODES[Metric.ES_FRAC]
_DAILY = CODES[Metric.DAILY_LOSS]
_DAILY_FRAC = CODES[Metric.DAILY_LOSS_FRAC]
_DRAWDOWN = CODES[Metric.DRAWDOWN_FRAC]
_STOP = CODES[Metric.STOP_LOSS_FRAC]
_COOLDOWN = CODES[Metric.COOLDOWN_S]
_NOTIONAL = CODES[Metric.ORDER_NOTIONAL]
_NOTIONAL_FRAC = CODES[Metric.ORDER_NOTIONAL_FRAC]
_PARTICIPATION = CODES[Metric.PARTICIPATION_FRAC]
_RATE = CODES[Metric.ORDER_RATE]
_COLLAR = CODES[Metric.PRICE_COLLAR_FRAC]

#: From this code on, limits are on the order itself and bind closing orders as well.
_FIRST_ORDER = _NOTIONAL
_OK, _SOFT, _HARD, _UNKNOWN = 0, 1, 2, 3


@njit(cache=True, inline="always", error_model="numpy")
def _over(value: float, equity: float) -> float:
    """A share of equity; a Book that has none left is infinitely levered."""
    if math.isnan(value) or math.isnan(equity):
        return math.nan
    if equity > 0.0:
        return value / equity
    return math.inf if value > 0.0 else 0.0


@njit(cache=True, error_model="numpy")
def metric_after(code: int, x: float, closing: float, v: FloatArray) -> float:
    """The metric's value once `x` more units of the order have been filled; NaN where it cannot be known."""
    after = v[POSITION] + v[SIDE] * x
    worst = max(abs(after), abs(v[POSITION_OTHER_WAY])) * v[UNIT_NOTIONAL]
    if math.isnan(after) or math.isnan(v[POSITION_OTHER_WAY]):
        worst = math.nan
    added = max(0.0, x - closing) * v[UNIT_NOTIONAL]
    if code == _GROSS:
        return v[GROSS_OTHERS] + worst
    if code == _LEVERAGE:
        return _over(v[GROSS_OTHERS] + worst, v[EQUITY])
    if code in (_NET, _NET_FRAC):
        directed = v[SIDE] * (v[NET_OTHERS] + after * v[UNIT_NOTIONAL])
        directed = directed if math.isnan(directed) else max(0.0, directed)
        return directed if code == _NET else _over(directed, v[EQUITY])
    if code == _POSITION:
        return abs(after) * v[UNIT_NOTIONAL]
    if code == _OPEN:
        return v[OPEN_OTHERS] + (1.0 if after != 0.0 or v[POSITION_OTHER_WAY] != 0.0 else 0.0)
    if code == _SYMBOL:
        return _over(v[SYMBOL_OTHERS] + worst, v[EQUITY])
    if code == _VENUE:
        return _over(v[VENUE_OTHERS] + worst, v[EQUITY])
    if code == _VAR:
        return v[VAR] + added * v[UNIT_VAR]
    if code == _VAR_FRAC:
        return _over(v[VAR] + added * v[UNIT_VAR], v[EQUITY])
    if code == _ES:
        return v[ES] + added * v[UNIT_ES]
    if code == _ES_FRAC:
        return _over(v[ES] + added * v[UNIT_ES], v[EQUITY])
    if code in (_DAILY, _DAILY_FRAC):
        loss = v[DAY_OPEN_EQUITY] - v[EQUITY]
        loss = loss if math.isnan(loss) else max(0.0, loss)
        return loss if code == _DAILY else _over(loss, v[DAY_OPEN_EQUITY])
    if code == _DRAWDOWN:
        fall = v[PEAK_EQUITY] - v[EQUITY]
        return _over(fall if math.isnan(fall) else max(0.0, fall), v[PEAK_EQUITY])
    if code == _STOP:
        loss = v[POSITION_LOSS_FRAC]
        return loss if math.isnan(loss) else max(0.0, loss)
    if code == _COOLDOWN:
        return v[SECONDS_SINCE_LOSS]
    if code == _NOTIONAL:
        return x * v[UNIT_ORDER_NOTIONAL]
    if code == _NOTIONAL_FRAC:
        return _over(x * v[UNIT_ORDER_NOTIONAL], v[EQUITY])
    if code == _PARTICIPATION:
        return _over(x, v[VOLUME])
    if code == _RATE:
        return v[ORDERS_IN_WINDOW] + 1.0
    if code == _COLLAR:
        return v[PRICE_DISTANCE_FRAC]
    return math.nan


@njit(cache=True, inline="always", error_model="numpy")
def _level(code: int, value: float, soft: float, hard: float) -> int:
    """NaN thresholds are thresholds that are not set."""
    if math.isnan(value):
        return _UNKNOWN
    if code == _COOLDOWN:
        return _HARD if value < hard else (_SOFT if value < soft else _OK)
    return _HARD if value > hard else (_SOFT if value > soft else _OK)


@njit(cache=True, error_model="numpy")
def _cap(code: int, hard: float, closing: float, v: FloatArray) -> float:
    """Units at which the metric reaches `hard`, before the closing part is given its right; 0 for what cannot
    shrink.
    """
    u, side = v[UNIT_NOTIONAL], v[SIDE]
    room = 0.0
    if code == _GROSS:
        room = hard - v[GROSS_OTHERS]
    elif code == _LEVERAGE:
        room = hard * max(0.0, v[EQUITY]) - v[GROSS_OTHERS]
    elif code == _POSITION:
        room = hard
    elif code == _SYMBOL:
        room = hard * max(0.0, v[EQUITY]) - v[SYMBOL_OTHERS]
    elif code == _VENUE:
        room = hard * max(0.0, v[EQUITY]) - v[VENUE_OTHERS]
    elif code in (_NET, _NET_FRAC):
        limit = hard if code == _NET else hard * max(0.0, v[EQUITY])
        return (limit - side * v[NET_OTHERS]) / u - side * v[POSITION]
    elif code in (_VAR, _VAR_FRAC, _ES, _ES_FRAC):
        limit = hard if code in (_VAR, _ES) else hard * max(0.0, v[EQUITY])
        used = v[VAR] if code in (_VAR, _VAR_FRAC) else v[ES]
        unit = v[UNIT_VAR] if code in (_VAR, _VAR_FRAC) else v[UNIT_ES]
        return closing + (limit - used) / (unit * u) if unit > 0.0 else 0.0
    elif code == _NOTIONAL:
        return hard / v[UNIT_ORDER_NOTIONAL]
    elif code == _NOTIONAL_FRAC:
        return hard * max(0.0, v[EQUITY]) / v[UNIT_ORDER_NOTIONAL]
    elif code == _PARTICIPATION:
        return hard * v[VOLUME]
    else:
        return 0.0
    if code != _POSITION and abs(v[POSITION_OTHER_WAY]) * u > room:
        return 0.0  # working orders on the other side alone pass the limit
    # |position + side * x| * u <= room has its upper end here.
    return room / u - side * v[POSITION] if room >= 0.0 else 0.0


@njit(cache=True, error_model="numpy")
def _fits(
    x: float,
    closing: float,
    v: FloatArray,
    codes: npt.NDArray[np.int64],
    hard: FloatArray,
    levels: npt.NDArray[np.int8],
) -> bool:
    """Whether no hard limit that this size must keep is passed at `x`."""
    for i in range(codes.shape[0]):
        if levels[i] < _HARD or math.isnan(hard[i]) or (codes[i] < _FIRST_ORDER and x <= closing):
            continue
        if _level(codes[i], metric_after(codes[i], x, closing, v), math.nan, hard[i]) >= _HARD:
            return False
    return True


@njit(cache=True, error_model="numpy")
def check_kernel(
    v: FloatArray,
    codes: npt.NDArray[np.int64],
    soft: FloatArray,
    hard: FloatArray,
    values: FloatArray,
    levels: npt.NDArray[np.int8],
) -> float:
    """The largest size, in units, up to the order's own that no hard limit forbids; 0 denies.

    `codes`, `soft`, `hard` (n_limits,) describe the limits that apply to the order's symbol and venue; NaN is
    a threshold not set. `values` and `levels` (n_limits,) are filled in with each metric at the size asked
    for and its level there. A NaN in what a limit needs makes it UNKNOWN, and unknown never lets an order add
    exposure. O(n_limits).
    """
    quantity, side = v[QUANTITY], v[SIDE]
    n = codes.shape[0]
    sound = quantity > 0.0 and math.isfinite(quantity) and (side == 1.0 or side == -1.0)
    sound = sound and v[UNIT_NOTIONAL] > 0.0 and math.isfinite(v[UNIT_NOTIONAL])
    if not sound:
        for i in range(n):
            values[i] = math.nan
            levels[i] = _UNKNOWN
        return 0.0
    # The part that only closes: unknown positions close nothing.
    closing = 0.0
    if side * v[POSITION] < 0.0:
        closing = min(quantity, abs(v[POSITION]))
    size = quantity
    for i in range(n):
        code = codes[i]
        values[i] = metric_after(code, quantity, closing, v)
        levels[i] = _level(code, values[i], soft[i], hard[i])
        if levels[i] >= _HARD and not math.isnan(hard[i]):
            cap = _cap(code, hard[i], closing, v) if levels[i] == _HARD else 0.0
            if math.isnan(cap):
                cap = 0.0
            if code < _FIRST_ORDER:
                cap = max(cap, closing)
            size = min(size, cap)
    if v[MODE] == REDUCING:
        size = min(size, closing)
    elif v[MODE] != ACTIVE:
        size = 0.0
    if size < quantity:
        size = _settle(max(0.0, size), closing, v, codes, hard, levels)
    return size


@njit(cache=True, error_model="numpy")
def _settle(
    size: float,
    closing: float,
    v: FloatArray,
    codes: npt.NDArray[np.int64],
    hard: FloatArray,
    levels: npt.NDArray[np.int8],
) -> float:
    """A cut size rounded down to the lot, and by the last bits until rounding errors keep every limit as
    well.
    """
    lot = v[LOT]
    if lot > 0.0:
        size = math.floor(size / lot) * lot
    shave = 1e-15
    while size > 0.0 and not _fits(size, closing, v, codes, hard, levels):
        if shave > 1e-3:
            size = min(size, closing) if size > closing else 0.0
            continue
        size = size - lot if lot > 0.0 else size * (1.0 - shave)
        shave *= 4.0
    if size < v[MINIMUM] or math.isnan(v[LOT]) or math.isnan(v[MINIMUM]):
        return 0.0
    return max(0.0, size)
