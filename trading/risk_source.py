"""What risk is told of positions and prices: the books themselves, marked at each Book's own clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from risk.ledger_source import LedgerSource, Place
from risk.sources import has_source, install_source
from trading import risk_places, risk_prices


def ledger_source() -> LedgerSource:
    """The source over this installation's books, candles, cohorts and desks."""
    return LedgerSource(
        marks=risk_prices.marks,
        returns=risk_prices.daily_returns,
        windows=risk_prices.windows,
        places=_places,
        volumes=risk_prices.daily_volumes,
        advice=risk_prices.advice,
        returns_end=risk_prices.last_return_day,
    )


def _places(held: Mapping[int, Collection[str]], _bases: Mapping[int, str], _at: datetime) -> Mapping[int, Place]:
    return risk_places.places(held, rate=risk_prices.rate)


def install() -> None:
    """Called once a process, when it starts; a source that is in place already stays."""
    if not has_source():
        install_source(ledger_source())
