"""Prices of a window of the past for what is held now; where there are none, Bitcoin's move times the beta of now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from risk.measuring import HISTORY_DAYS
from risk.quant.measures import Beta, beta
from risk.quant.stress import moved_with
from risk.quant.tail import FloatArray
from risk.sources import RiskSource
from treasury.models import Asset

#: A beta from fewer common days is none.
BETA_DAYS = 20
#: Bitcoin to Bitcoin, by no sample.
_ITSELF = Beta(1.0, 0.0, 1.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Window:
    """Prices (n,) by asset on one grid, oldest first; `assumed` says in words which are no prices of their own."""

    prices: Mapping[str, FloatArray]
    assumed: tuple[str, ...] = ()


def bitcoin_markets() -> list[str]:
    """The first five assets that are Bitcoin or contracts on it, by their codes; Bitcoin where there is none yet."""
    found = Asset.objects.filter(code__startswith="BTC").order_by("code").values_list("code", flat=True)
    return list(found[:5]) or ["BTC"]


def read_window(
    held: Sequence[str], start: datetime, end: datetime, *, source: RiskSource, at: datetime, by_beta: bool
) -> Window:
    """The window's prices of the assets that are held, from `start` to `end`; one without prices or a beta is left out.

    What has none of its own moves as the first Bitcoin market with prices did, times its least-squares beta of the
    daily returns up to `at` (at least `BETA_DAYS` common days, at most a year); relative prices then, 1 at the start.
    """
    prices = source.prices(held, start, end) if held else {}
    lacking = [asset for asset in held if asset not in prices]
    if not lacking or not by_beta:
        return Window(prices)
    bitcoin = bitcoin_markets()
    slopes = _slopes(lacking, bitcoin, source, at)
    for market in bitcoin if slopes else ():
        # Asked for together, so that all of it is on one grid.
        together = source.prices(list(dict.fromkeys([*held, market])), start, end)
        if market in together:
            stood_in = {asset: moved_with(together[market], slope.beta) for asset, slope in slopes.items()}
            own = {asset: path for asset, path in together.items() if asset in held}
            return Window({**stood_in, **own}, tuple(_words(asset, slopes[asset], market) for asset in stood_in))
    return Window(prices)


def _slopes(assets: Sequence[str], bitcoin: Sequence[str], source: RiskSource, at: datetime) -> dict[str, Beta]:
    """Each asset's beta to the Bitcoin market that it has the most days in common with; one to itself for Bitcoin."""
    names = list(dict.fromkeys([*assets, *bitcoin]))
    returns = np.asarray(source.daily_returns(names, HISTORY_DAYS, at), dtype=np.float64).reshape(-1, len(names))
    found = {}
    for asset in assets:
        if asset in bitcoin:
            found[asset] = _ITSELF
            continue
        own = returns[:, names.index(asset)]
        slopes = [beta(own, returns[:, names.index(market)]) for market in bitcoin]
        best = max(slopes, key=lambda slope: slope.n, default=None)
        if best is not None and best.n >= BETA_DAYS and math.isfinite(best.beta):
            found[asset] = best
    return found


def _words(asset: str, slope: Beta, market: str) -> str:
    if slope is _ITSELF:
        return f"{asset} as {market}"
    return f"{asset} as {slope.beta:.2f} x {market} ({slope.n} days)"
