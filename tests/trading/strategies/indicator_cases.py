"""Every indicator with a naive pandas reference, and a loop that steps it; also run with the JIT
switched off.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from trading.quant import indicators as ind

Array = npt.NDArray[np.float64]
Bars = pd.DataFrame


def random_bars(n: int, seed: int, *, scale: float = 100.0) -> Bars:
    """A random walk with flat stretches, jumps and bars without volume."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(3, n) * 0.002 * (rng.random(n) > 0.2)
    returns[n // 2 : n // 2 + n // 10] = 0.0
    close = scale * np.exp(np.cumsum(returns))
    open_ = np.concatenate([[scale], close[:-1]])
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.001, n)) * (returns != 0))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.001, n)) * (returns != 0))
    volume = rng.lognormal(3, 1, n) * (rng.random(n) > 0.1)
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume})


def wilder_reference(values: Array, window: int) -> Array:
    """Textbook recursion over the finite tail of ``values``."""
    out = np.full(len(values), np.nan)
    start = int(np.argmax(np.isfinite(values)))
    if len(values) - start < window:
        return out
    mean = values[start : start + window].mean()
    out[start + window - 1] = mean
    for t in range(start + window, len(values)):
        mean = (mean * (window - 1) + values[t]) / window
        out[t] = mean
    return out


def ema_reference(values: pd.Series, window: int) -> pd.Series:
    return values.ewm(span=window, adjust=False, min_periods=window).mean()


def true_range_reference(b: Bars) -> Array:
    previous = b.close.shift()
    ranges = pd.concat([b.high - b.low, (b.high - previous).abs(), (b.low - previous).abs()], axis=1)
    return np.array(ranges.max(axis=1), dtype=np.float64)


def rsi_reference(b: Bars, window: int) -> Array:
    change = b.close.diff().to_numpy()
    gain = wilder_reference(np.where(np.isnan(change), np.nan, np.maximum(change, 0)), window)
    loss = wilder_reference(np.where(np.isnan(change), np.nan, np.maximum(-change, 0)), window)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = 100 - 100 / (1 + gain / loss)
    return np.where((gain == 0) & (loss == 0), 50.0, out)


def adx_reference(b: Bars, window: int) -> Array:
    up, down = b.high.diff().to_numpy(), -b.low.diff().to_numpy()
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    span = true_range_reference(b)
    plus[0] = minus[0] = span[0] = np.nan
    tr = wilder_reference(span, window)
    with np.errstate(invalid="ignore", divide="ignore"):
        plus_di = np.where(tr > 0, 100 * wilder_reference(plus, window) / tr, 0.0 * tr)
        minus_di = np.where(tr > 0, 100 * wilder_reference(minus, window) / tr, 0.0 * tr)
        both = plus_di + minus_di
        dx = np.where(both > 0, 100 * np.abs(plus_di - minus_di) / both, 0.0 * both)
    return np.column_stack([wilder_reference(dx, window), plus_di, minus_di])


def macd_reference(b: Bars, fast: int, slow: int, signal: int) -> Array:
    line = ema_reference(b.close, fast) - ema_reference(b.close, slow)
    smooth = ema_reference(line.dropna(), signal).reindex(line.index)
    return np.column_stack([line, smooth, line - smooth])


def vwap_reference(b: Bars, window: int) -> Array:
    notional = [
        (b.close * b.volume)[max(0, t - window + 1) : t + 1].sum() if t >= window - 1 else np.nan for t in range(len(b))
    ]
    traded = [b.volume[max(0, t - window + 1) : t + 1].sum() if t >= window - 1 else np.nan for t in range(len(b))]
    with np.errstate(invalid="ignore"):
        return np.array(notional, dtype=np.float64) / np.array(traded, dtype=np.float64)


def anchored_reference(b: Bars, every: int) -> Array:
    session = np.arange(len(b)) // every
    grouped = pd.DataFrame({"n": b.close * b.volume, "v": b.volume}).groupby(session).cumsum()
    with np.errstate(invalid="ignore"):
        return np.array(grouped.n / grouped.v, dtype=np.float64)


def moments_reference(b: Bars, window: int) -> Array:
    rolls = [b.close[t - window + 1 : t + 1].to_numpy() for t in range(window - 1, len(b))]
    head = [(np.nan, np.nan)] * (window - 1)
    return np.array(head + [(r.mean(), ((r - r.mean()) ** 2).sum()) for r in rolls])


def sample_std_reference(values: pd.Series, window: int) -> pd.Series:
    """Two-pass, window by window: pandas' own rolling std is an online one with errors of its own."""
    return values.rolling(window).apply(lambda r: float(np.std(r, ddof=1)), raw=True)


Step = Callable[[int, Bars, Array, int], float | tuple[float, ...]]


@dataclass(frozen=True)
class Case:
    name: str
    size: int
    warm_up: int
    step: Callable[[float, float, float, float, int, Array, int], float | tuple[float, ...]]
    reference: Callable[[Bars], Array]

    def run(self, bars: Bars, state: Array, at: int = 0, first: int = 0) -> Array:
        """Step every bar; the result has one column per output."""
        columns = [bars[c].to_numpy() for c in ("high", "low", "close", "volume")]
        rows = [
            self.step(
                float(columns[0][t]),
                float(columns[1][t]),
                float(columns[2][t]),
                float(columns[3][t]),
                first + t,
                state,
                at,
            )
            for t in range(len(bars))
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1)


def windowed(w: int) -> list[Case]:
    return [
        Case(
            f"sma-{w}",
            ind.sma_size(w),
            ind.sma_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.sma(c, float(w), s, at),
            lambda b: b.close.rolling(w).mean().to_numpy(),
        ),
        Case(
            f"ema-{w}",
            ind.ema_size(w),
            ind.ema_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.ema(c, float(w), s, at),
            lambda b: ema_reference(b.close, w).to_numpy(),
        ),
        Case(
            f"wilder-{w}",
            ind.wilder_size(w),
            ind.wilder_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.wilder(c, float(w), s, at),
            lambda b: wilder_reference(b.close.to_numpy(), w),
        ),
        Case(
            f"atr-{w}",
            ind.atr_size(w),
            ind.atr_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.atr(h, lo, c, float(w), s, at),
            lambda b: wilder_reference(true_range_reference(b), w),
        ),
        Case(
            f"max-{w}",
            ind.rolling_max_size(w),
            ind.rolling_max_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.rolling_max(h, float(w), s, at),
            lambda b: b.high.rolling(w).max().to_numpy(),
        ),
        Case(
            f"min-{w}",
            ind.rolling_min_size(w),
            ind.rolling_min_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.rolling_min(lo, float(w), s, at),
            lambda b: b.low.rolling(w).min().to_numpy(),
        ),
        Case(
            f"donchian-{w}",
            ind.donchian_size(w),
            ind.donchian_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.donchian(h, lo, float(w), s, at),
            lambda b: np.column_stack([b.high.rolling(w).max(), b.low.rolling(w).min()]),
        ),
        Case(
            f"donchian-prior-{w}",
            ind.donchian_size(w),
            ind.donchian_prior_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.donchian_prior(h, lo, float(w), s, at),
            lambda b: np.column_stack([b.high.rolling(w).max().shift(), b.low.rolling(w).min().shift()]),
        ),
        Case(
            f"moments-{w}",
            ind.moments_size(w),
            ind.moments_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.moments(c, float(w), s, at),
            lambda b: moments_reference(b, w),
        ),
        Case(
            f"vwap-{w}",
            ind.vwap_size(w),
            ind.vwap_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.vwap(c, v, float(w), s, at),
            lambda b: vwap_reference(b, w),
        ),
        Case(
            f"lag-{w}",
            ind.lag_size(w),
            ind.lag_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.lag(c, float(w), s, at),
            lambda b: b.close.shift(w).to_numpy(),
        ),
        Case(
            f"roc-{w}",
            ind.roc_size(w),
            ind.roc_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.roc(c, float(w), s, at),
            lambda b: np.array(b.close.pct_change(w), dtype=np.float64),
        ),
        Case(
            f"rsi-{w}",
            ind.rsi_size(w),
            ind.rsi_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.rsi(c, float(w), s, at),
            lambda b: rsi_reference(b, w),
        ),
        Case(
            f"adx-{w}",
            ind.adx_size(w),
            ind.adx_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.adx(h, lo, c, float(w), s, at),
            lambda b: adx_reference(b, w),
        ),
    ]


def dispersed(w: int) -> list[Case]:
    return [
        Case(
            f"bollinger-{w}",
            ind.bollinger_size(w),
            ind.bollinger_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.bollinger(c, float(w), 2.0, s, at),
            lambda b: np.column_stack(
                [
                    b.close.rolling(w).mean(),
                    *(
                        b.close.rolling(w).mean() + k * b.close.rolling(w).apply(lambda r: float(np.std(r)), raw=True)
                        for k in (2.0, -2.0)
                    ),
                ]
            ),
        ),
        Case(
            f"volatility-{w}",
            ind.volatility_size(w),
            ind.volatility_warm_up(w),
            lambda h, lo, c, v, t, s, at: ind.volatility(c, float(w), s, at),
            lambda b: sample_std_reference(np.log(b.close).diff(), w).to_numpy(),
        ),
    ]


def paired(fast: int, slow: int) -> Case:
    return Case(
        f"sma-pair-{fast}-{slow}",
        ind.sma_pair_size(fast, slow),
        ind.sma_pair_warm_up(fast, slow),
        lambda h, lo, c, v, t, s, at: ind.sma_pair(c, float(fast), float(slow), s, at),
        lambda b: np.column_stack([b.close.rolling(fast).mean(), b.close.rolling(slow).mean()]),
    )


def converging(fast: int, slow: int, signal: int) -> Case:
    return Case(
        f"macd-{fast}-{slow}-{signal}",
        ind.macd_size(fast, slow, signal),
        ind.macd_warm_up(fast, slow, signal),
        lambda h, lo, c, v, t, s, at: ind.macd(c, float(fast), float(slow), float(signal), s, at),
        lambda b: macd_reference(b, fast, slow, signal),
    )


def anchored() -> Case:
    return Case(
        "vwap-anchored-24",
        ind.vwap_anchored_size(),
        0,
        lambda h, lo, c, v, t, s, at: ind.vwap_anchored(c, v, t % 24 == 0, s, at),
        lambda b: anchored_reference(b, 24),
    )


def cases() -> list[Case]:
    out = [case for w in (1, 2, 7, 50) for case in windowed(w)]
    out += [case for w in (2, 7, 50) for case in dispersed(w)]
    out += [paired(f, w) for f, w in ((1, 1), (1, 2), (3, 10), (10, 10), (7, 50))]
    out += [converging(f, w, s) for f, w, s in ((3, 10, 4), (12, 26, 9), (1, 2, 1))]
    return [*out, anchored()]


def digest() -> str:
    """A hash over every output bit of every case."""
    bars = random_bars(300, 11)
    sha = hashlib.sha256()
    for case in cases():
        result = case.run(bars, np.zeros(case.size))
        sha.update(case.name.encode() + np.where(np.isnan(result), -1.0, result).tobytes())
    return sha.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(digest())
