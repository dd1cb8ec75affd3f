"""The DataFrame form of a strategy: a function of a pandas OHLCV frame that returns a series of targets.

It is slower and keeps one float64 per bar, but it is how most people sketch an idea. ``bind`` computes the
targets of one stretch of candles at once and wraps them as a :class:`StrategyFamily` whose step replays
them, so the engine, its costs and its exit rules are the very same. Whether the function looks ahead cannot
be seen from its form; the check in ``trading.quant.lookahead`` recomputes it on truncated candles and
refuses it when a past target changes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numba import njit, objmode

from trading.quant.jit import kernel, load_at, u
from trading.strategies.errors import FrameStrategyError
from trading.strategies.spec import Parameter, Scope, StrategyFamily

if TYPE_CHECKING:
    import pandas as pd

Float64 = npt.NDArray[np.float64]
COLUMNS = ("open", "high", "low", "close", "volume")

#: ``signals(candles, params) -> targets``: candles has the five float64 columns and a UTC DatetimeIndex of
#: opening times; the series returned has the same index, values in [-1, 1], NaN for "hold".
Signals = Callable[["pd.DataFrame", Mapping[str, float]], "pd.Series"]


@dataclass(frozen=True, slots=True)
class FrameStrategy:
    """A DataFrame strategy with the same specification as a family, SINGLE scope only."""

    name: str
    version: int
    title: str
    description: str
    source: str
    parameters: tuple[Parameter, ...]
    signals: Signals
    warm_up: Callable[[Mapping[str, float]], int]
    validate: Callable[[Mapping[str, float]], str | None] = field(default=lambda _values: None)

    @property
    def key(self) -> str:
        return f"{self.name}@{self.version}"

    def targets(self, candles: pd.DataFrame, params: Mapping[str, float]) -> Float64:
        """One float64 target a row of ``candles``; raises FrameStrategyError when the function breaks
        its contract.
        """
        import pandas as pd

        given = candles.loc[:, list(COLUMNS)].copy()
        result = self.signals(given, dict(params))
        if not isinstance(result, pd.Series):
            raise FrameStrategyError(f"{self.key} returned {type(result).__name__}; return a pandas Series of targets.")
        if not result.index.equals(candles.index):
            raise FrameStrategyError(
                f"{self.key} returned {len(result)} rows for {len(candles)} candles or another index; "
                "return one target for every row, NaN where the position should be held."
            )
        values = np.array(result, dtype=np.float64)
        wrong = np.abs(values) > 1.0
        if wrong.any():
            at = int(np.argmax(wrong))
            raise FrameStrategyError(f"{self.key} returned {values[at]} at row {at}; targets lie between -1 and 1.")
        return values

    def bind(self, candles: pd.DataFrame, params: Mapping[str, float]) -> StrategyFamily:
        """A family that replays this strategy's targets on exactly these candles, in order, for one symbol.

        Rows with a NaN close are bars the engine does not step; they are left out before the function sees
        them. The state is the cursor and the targets themselves: 8 bytes a bar. Its only parameter names
        the targets, which stay in this process (the last 1,000 bindings); a bound family is made for a run,
        not for storage.
        """
        complaint = self.validate(params)
        if complaint:
            raise FrameStrategyError(f"{self.key}: {complaint}")
        present = candles[candles["close"].notna()]
        spoken = changes_only(self.targets(present, params))
        token = _remember(spoken)
        return StrategyFamily(
            name=self.name,
            version=self.version,
            title=self.title,
            description=self.description,
            source=self.source,
            scope=Scope.SINGLE,
            parameters=(Parameter("targets", 0, _LAST_TOKEN, token, "integer", help="Names the targets."),),
            init=preload,
            step=replay,
            state_size=lambda _p, _n: 1 + len(spoken),
            warm_up=lambda _p, _n: self.warm_up(params),
        )


_LAST_TOKEN = 2**48 - 1
_bound: OrderedDict[int, Float64] = OrderedDict()


def _remember(targets: Float64) -> int:
    token = int.from_bytes(hashlib.sha256(targets.tobytes()).digest()[:6])
    _bound[token] = targets
    _bound.move_to_end(token)
    while len(_bound) > 1_000:
        _bound.popitem(last=False)
    return token


def _address_of(token: int) -> int:
    targets = _bound.get(token)
    if targets is None:
        raise FrameStrategyError("These targets were bound in another process or too long ago; bind them again.")
    return targets.ctypes.data


def _preload(params: Float64, state: Float64) -> None:
    token = int(params[0])
    with objmode(address="int64"):
        address = _address_of(token)
    state[0] = 0.0
    for k in range(state.shape[0] - 1):
        state[k + 1] = load_at(address, k)


#: Not cached on disk: it calls back into Python, once per agent and run.
preload: Any = njit(_preload)


def changes_only(targets: Float64) -> Float64:
    """Targets with every repetition of the last spoken one turned into NaN ("hold"); flat is spoken at
    first.
    """
    out = targets.copy()
    spoken = np.concatenate([[0.0], targets])
    order = np.where(np.isnan(spoken), 0, np.arange(spoken.size))
    before = spoken[np.maximum.accumulate(order)][:-1]
    out[targets == before] = np.nan
    return out


@kernel
def replay(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    """The next precomputed target; NaN once they are used up. State: [cursor, targets ...]."""
    cursor = state[u(0)] + 1.0
    if cursor >= state.shape[0]:
        return np.nan
    state[u(0)] = cursor
    target: float = state[u(int(cursor))]
    return target


def frame_strategy(
    *,
    title: str,
    source: str,
    warm_up: Callable[[Mapping[str, float]], int],
    parameters: tuple[Parameter, ...] = (),
    name: str = "",
    version: int = 1,
    description: str = "",
    validate: Callable[[Mapping[str, float]], str | None] | None = None,
) -> Callable[[Signals], FrameStrategy]:
    """Turn ``signals(candles, params) -> Series`` into a :class:`FrameStrategy`. See
    ``docs/strategies.md``.
    """

    def wrap(signals: Signals) -> FrameStrategy:
        return FrameStrategy(
            name=name or getattr(signals, "__name__", "signals"),
            version=version,
            title=title,
            description=inspect.cleandoc(description or signals.__doc__ or ""),
            source=source,
            parameters=parameters,
            signals=signals,
            warm_up=warm_up,
            validate=validate or (lambda _values: None),
        )

    return wrap
