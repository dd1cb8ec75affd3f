"""What a stretch of trading means in the books: fills and funding payments as one batch of journal entries.

Built in columns of whole 1e-8 units, straight from the engine's tables: no Decimal is made per line, and what the
engine calls exact arrives exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt

from fundops.core.errors import FundopsError
from trading.models.cohort import fill_source_id
from trading.quant.engine.codes import FillReason
from trading.quant.engine.results import Run
from treasury.models import AccountKind, EntryKind
from treasury.postings import EntryBatch

PLACES = 8
UNIT = 10**PLACES
#: The source type of every entry that trading makes; the id says which fill or which funding payment it is.
MOVEMENT_SOURCE = "trading.cohort.movement"

Int64 = npt.NDArray[np.int64]


class InexactQuantityError(FundopsError):
    """A quantity that the ledger's units cannot hold exactly."""

    title = "Quantity finer than the books"


@dataclass(frozen=True, slots=True)
class AccountMap:
    """Ledger ids by engine index: accounts by agent, assets by symbol."""

    accounts: dict[AccountKind, Int64]
    position_asset: Int64
    quote_asset: int


def whole_units(values: npt.NDArray[np.float64]) -> Int64:
    """Amounts as whole 1e-8 units; raises InexactQuantityError where one is finer than that.

    A float64 near ``x`` is known to about ``x * 2**-52``: what differs from a whole unit by more than that and by more
    than a millionth of a unit is a real fraction of one.
    """
    scaled = values * UNIT
    units = np.rint(scaled)
    if np.any(np.abs(scaled - units) > np.maximum(1e-6, np.abs(scaled) * 2.0**-51)):
        raise InexactQuantityError("A traded quantity has more than eight decimals; give the market a coarser lot.")
    whole: Int64 = units.astype(np.int64)
    return whole


def entry_batch(run: Run, ids: AccountMap, *, cohort_id: int, first_fill: int, key: str) -> EntryBatch | None:
    """The entries of ``run``: one a fill (kept in order), then one a funding payment; None when nothing moved.

    ``first_fill`` numbers the first fill. Sources read ``12:fill:345`` (cohort 12, its fill 345) and
    ``12:funding:7:3:1746403200000`` (agent 7, the cohort's third market, the stamp).
    """
    fills, funding = run.fills, run.funding[run.funding["amount"] != 0.0]
    n_fills, n_entries = len(fills), len(fills) + len(funding)
    if n_entries == 0:
        return None
    agent, symbol = fills["agent"], fills["symbol"]
    quantity = whole_units(fills["qty"] * fills["side"])
    notional = whole_units(fills["notional"] * fills["side"])
    fee = whole_units(fills["fee"])
    paid = whole_units(-funding["amount"])
    cash, position = ids.accounts[AccountKind.CASH], ids.accounts[AccountKind.POSITION]
    conversion, fees = ids.accounts[AccountKind.TRADING], ids.accounts[AccountKind.FEES]
    entry, f_entry = np.arange(n_fills), np.arange(n_fills, n_entries)
    base, quote = ids.position_asset[symbol], np.full(n_fills, ids.quote_asset, dtype=np.int64)
    f_quote = np.full(len(funding), ids.quote_asset, dtype=np.int64)
    legs = [
        (entry, position[agent], base, quantity),
        (entry, conversion[agent], base, -quantity),
        (entry, cash[agent], quote, -notional),
        (entry, conversion[agent], quote, notional),
        (entry, cash[agent], quote, -fee),
        (entry, fees[agent], quote, fee),
        (f_entry, cash[funding["agent"]], f_quote, -paid),
        (f_entry, ids.accounts[AccountKind.FUNDING][funding["agent"]], f_quote, paid),
    ]
    entries, accounts, assets, amounts = (np.concatenate([leg[i] for leg in legs]) for i in range(4))
    order = np.argsort(entries, kind="stable")
    order = order[amounts[order] != 0]
    return EntryBatch(
        value_dates=_dates(np.concatenate([fills["ts_ms"], funding["ts_ms"]])),
        kinds=[EntryKind.LIQUIDATION if r == FillReason.LIQUIDATION else EntryKind.FILL for r in fills["reason"]]
        + [EntryKind.FUNDING] * len(funding),
        line_entries=entries[order],
        account_ids=accounts[order],
        asset_ids=assets[order],
        amounts=amounts[order],
        idempotency_key=key,
        source_type=MOVEMENT_SOURCE,
        source_ids=[
            *(fill_source_id(cohort_id, first_fill + i) for i in range(n_fills)),
            *(f"{cohort_id}:funding:{p['agent'] + 1}:{p['symbol'] + 1}:{p['ts_ms']}" for p in funding),
        ],
        memos="",
        amount_places=PLACES,
    )


def _dates(ts_ms: Int64) -> list[date]:
    return [datetime.fromtimestamp(ms / 1000, tz=UTC).date() for ms in ts_ms.tolist()]
