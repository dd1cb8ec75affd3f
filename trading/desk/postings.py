"""What a desk's fills and funding mean in the books: one batch of entries, from what the gateway reported."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from trading.desk.loaded import Desk
from trading.models.deployments import FILL_SOURCE, Fill, FundingPayment
from treasury.models import AccountKind, EntryKind
from treasury.postings import EntryBatch, Line, fill, paid

SOURCE = FILL_SOURCE


@dataclass(frozen=True, slots=True)
class Movement:
    """A fill or a funding payment with the desk it belongs to."""

    desk: Desk
    what: Fill | FundingPayment

    @property
    def source_id(self) -> str:
        if isinstance(self.what, Fill):
            return self.what.source_id
        return f"{self.what.deployment_id}:funding:{self.what.report}"

    @property
    def kind(self) -> EntryKind:
        if not isinstance(self.what, Fill):
            return EntryKind.FUNDING
        return EntryKind.LIQUIDATION if self.what.reason == "liquidation" else EntryKind.FILL

    @property
    def value_date(self) -> date:
        return self.what.at.date()

    def lines(self) -> list[Line]:
        parts, what = self.desk.parts, self.what
        if isinstance(what, FundingPayment):
            return paid(
                book=parts.accounts,
                kind=AccountKind.FUNDING,
                asset_id=parts.quote_asset,
                amount=what.amount.copy_negate(),
            )
        bought = what.side == "buy"
        return fill(
            book=parts.accounts,
            base_asset_id=parts.position_assets[what.symbol],
            quote_asset_id=parts.quote_asset,
            quantity=what.quantity if bought else what.quantity.copy_negate(),
            quote_amount=what.notional if bought else what.notional.copy_negate(),
            fee=what.fee,
        )


def batches(movements: Sequence[Movement]) -> Iterator[tuple[int, EntryBatch]]:
    """One batch a fund, with the fund's id."""
    by_fund: dict[int, list[Movement]] = {}
    for movement in movements:
        by_fund.setdefault(movement.desk.deployment.fund_id, []).append(movement)
    for fund_id, mine in by_fund.items():
        yield fund_id, _batch(mine)


def _batch(movements: Sequence[Movement]) -> EntryBatch:
    lines = [movement.lines() for movement in movements]
    flat = [(entry, line) for entry, all_lines in enumerate(lines) for line in all_lines]
    sources = [movement.source_id for movement in movements]
    return EntryBatch(
        value_dates=[movement.value_date for movement in movements],
        kinds=[movement.kind for movement in movements],
        line_entries=[entry for entry, _ in flat],
        account_ids=[line.account_id for _, line in flat],
        asset_ids=[line.asset_id for _, line in flat],
        amounts=[line.amount for _, line in flat],
        idempotency_key=f"desk:{hashlib.sha256('|'.join(sources).encode()).hexdigest()}",
        source_type=SOURCE,
        source_ids=sources,
    )


def ledger_equity(
    amounts: Mapping[tuple[AccountKind, int], Decimal], desk: Desk, closes: Mapping[str, float]
) -> Decimal | None:
    """A Book's equity from its balances by kind and asset, at these closes; None where a price is missing."""
    symbol_of = {asset: symbol for symbol, asset in desk.parts.position_assets.items()}
    total = Decimal(0)
    for (kind, asset), amount in amounts.items():
        if kind not in (AccountKind.CASH, AccountKind.POSITION):
            continue
        if asset == desk.parts.quote_asset:
            total += amount
        elif symbol_of.get(asset) in closes:
            total += amount * Decimal(repr(float(closes[symbol_of[asset]])))
        else:
            return None
    return total
