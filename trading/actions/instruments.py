"""Instruments come into being with their first use; what is not known of them is read off their candles."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from django.db import connection, transaction

from fundops.core.events import publish
from fundops.core.models import User
from trading.errors import CohortSpecError
from trading.marketdata.loader import CandleFrame
from trading.marketdata.symbols import split_symbol
from trading.models.instruments import Instrument, InstrumentKind
from trading.quant.steps import decimal_step
from treasury.actions.books import ensure_asset
from treasury.models import AssetKind
from treasury.models.assets import Asset

PERPETUAL_VENUE_SUFFIX = "_perp"
#: What large venues allow on liquid perpetuals, used until the venue's own rules are imported.
INFERRED_MAX_LEVERAGE = Decimal(10)
FIAT = frozenset({"USD", "EUR", "GBP", "JPY", "TRY", "BRL", "AUD", "CAD", "CHF"})


@transaction.atomic
def ensure_instruments(*, frame: CandleFrame, actor: User | None) -> list[Instrument]:
    """The instruments of a frame of candles, in its order; unknown ones get tick and lot as their candles show them.

    Raises CohortSpecError for a symbol whose base and quote cannot be told apart.
    """
    _take_turns(frame.venue)
    known = {i.symbol: i for i in Instrument.objects.filter(venue=frame.venue, symbol__in=frame.symbols)}
    for column, symbol in enumerate(frame.symbols):
        if symbol not in known:
            known[symbol] = _infer(frame, column, actor)
    return [known[symbol] for symbol in frame.symbols]


def _take_turns(venue: str) -> None:
    """Two cohorts may meet a new market at the same moment: the second waits and finds it made."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"trading.instrument:{venue}"])


def _infer(frame: CandleFrame, column: int, actor: User | None) -> Instrument:
    symbol = frame.symbols[column]
    pair = split_symbol(symbol)
    if pair is None:
        raise CohortSpecError({"symbols": [f"{symbol}: base and quote currency cannot be told apart."]})
    base, quote = pair
    perpetual = frame.venue.endswith(PERPETUAL_VENUE_SUFFIX)
    prices = [getattr(frame, name)[:, column] for name in ("open", "high", "low", "close")]
    instrument = Instrument(
        venue=frame.venue,
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL if perpetual else InstrumentKind.SPOT,
        position_asset=_contract(symbol, actor) if perpetual else _currency(base, actor),
        quote_asset=_currency(quote, actor),
        tick=Decimal(repr(decimal_step(np.concatenate(prices)))),
        lot=Decimal(repr(decimal_step(frame.volume[:, column]))),
        max_leverage=INFERRED_MAX_LEVERAGE if perpetual else Decimal(1),
        source="tick and lot as the candles show them",
    )
    instrument.full_clean()
    instrument.save()
    publish(
        "trading.instrument.inferred",
        actor=actor,
        obj=instrument,
        payload={"venue": frame.venue, "symbol": symbol, "tick": instrument.tick, "lot": instrument.lot},
    )
    return instrument


def _currency(code: str, actor: User | None) -> Asset:
    fiat = code in FIAT
    return ensure_asset(
        code=code,
        name=code,
        kind=AssetKind.FIAT if fiat else AssetKind.CRYPTO,
        places=2 if fiat or code in {"USDT", "USDC"} else 8,
        actor=actor,
    )


def _contract(symbol: str, actor: User | None) -> Asset:
    return ensure_asset(
        code=f"{symbol}-PERP", name=f"{symbol} perpetual", kind=AssetKind.CONTRACT, places=8, actor=actor
    )
