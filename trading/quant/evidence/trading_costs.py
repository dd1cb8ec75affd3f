"""Costs as they were against what the model said beforehand, and whether a market carries the size.

The model's word is computed anew from the candles and the cost profile, fill by fill: taker fee, half spread, and the
square-root impact of the fill's share of its bar (Almgren, Thum, Hauptmann and Li, Direct Estimation of Equity Market
Impact, 2005, for the root); the maker fee alone for what rested as a limit. What the fill paid is its fee and its
distance from the reference price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CostBridge:
    """From gross profit to net, in quote units, and what the model expected of each cost.

    ``ratio`` is realised over modelled cost, None without modelled cost. ``slippage_bps`` is spread and impact over
    the traded notional. Funding received counts positive.
    """

    gross: float
    fees: float
    spread: float
    impact: float
    funding: float
    net: float
    modelled_fees: float
    modelled_spread: float
    modelled_impact: float
    turnover: float
    n_fills: int

    @property
    def realised(self) -> float:
        return self.fees + self.spread + self.impact

    @property
    def modelled(self) -> float:
        return self.modelled_fees + self.modelled_spread + self.modelled_impact

    @property
    def ratio(self) -> float | None:
        return self.realised / self.modelled if self.modelled > 0 else None

    @property
    def slippage_bps(self) -> float | None:
        return (self.spread + self.impact) / self.turnover * 10_000 if self.turnover > 0 else None


@dataclass(frozen=True, slots=True)
class FillColumns:
    """Fills of one agent as columns (n_fills,): quantities positive, amounts in quote units, bar volumes in base."""

    quantity: Float64
    price: Float64
    fee: Float64
    spread: Float64
    impact: Float64
    symbol: Int64
    bar_volume: Float64
    maker: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CostRates:
    """The model's word by symbol, (n_symbols,), as fractions of notional; ``impact`` is that of trading a whole bar."""

    taker: Float64
    maker: Float64
    half_spread: Float64
    impact: Float64


def cost_bridge(
    fills: FillColumns,
    *,
    net: float,
    funding: float,
    rates: CostRates,
) -> CostBridge:
    """The bridge of one agent whose profit after all costs is ``net``. What rested paid the maker's fee and no more."""
    notional = fills.quantity * fills.price
    taken = np.where(fills.maker, 0.0, notional)
    fee = np.where(fills.maker, rates.maker[fills.symbol], rates.taker[fills.symbol])
    share = np.ones_like(fills.quantity)
    np.divide(fills.quantity, fills.bar_volume, out=share, where=fills.bar_volume > 0)
    share = np.minimum(share, 1.0)
    fees, spread, impact = float(fills.fee.sum()), float(fills.spread.sum()), float(fills.impact.sum())
    return CostBridge(
        gross=net + fees + spread + impact - funding,
        fees=fees,
        spread=spread,
        impact=impact,
        funding=funding,
        net=net,
        modelled_fees=float((notional * fee).sum()),
        modelled_spread=float((taken * rates.half_spread[fills.symbol]).sum()),
        modelled_impact=float((taken * rates.impact[fills.symbol] * np.sqrt(share)).sum()),
        turnover=float(notional.sum()),
        n_fills=int(fills.quantity.size),
    )


def participation(quantity: Float64, bar_volume: Float64, *, quantile: float = 0.95) -> float | None:
    """That quantile of the fills' shares of their bars' volume; None without fills, 1 for a bar without volume."""
    if quantity.size == 0:
        return None
    share = np.ones_like(quantity)
    np.divide(quantity, bar_volume, out=share, where=bar_volume > 0)
    return float(np.quantile(np.minimum(share, 1.0), quantile))


def depth_proxy(close: Float64, volume: Float64, *, move_frac: float = 0.001) -> Float64:
    """Quote notional that moves each market by ``move_frac``, a stand-in for the depth of its book.

    close, volume : ndarray of shape (n_bars, n_symbols). ``move_frac`` / ILLIQ with Amihud's ratio, the mean of
    |return| / quote volume over the bars that traded (Amihud, Illiquidity and stock returns, 2002). NaN for a
    market that never moved or never traded.
    """
    before, after = close[:-1], close[1:]
    traded = volume[1:] * after
    with np.errstate(divide="ignore", invalid="ignore"):
        illiquid = np.abs(after / before - 1.0) / traded
    known = np.isfinite(illiquid)
    count = known.sum(axis=0)
    total = np.where(known, illiquid, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    depth: Float64 = np.divide(move_frac, mean, out=np.full(mean.shape, np.nan), where=mean > 0)
    return depth
