"""The canonical form of entries, over which their digest is taken: the same from a batch as from the books.

Amounts are whole numbers of 10**-18. The digest is SHA-256 over, in this order: the entries as compact JSON
(a list of [value date, kind, source type, source id, memo]), a newline, then the columns of the lines: entry
index, account id, asset id (each little-endian int64), and the amounts as decimal text joined by commas.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from itertools import repeat

import numpy as np
import numpy.typing as npt

from fundops.core.money import LEDGER_PLACES, WORKING_PRECISION
from treasury.errors import BatchShapeError, EmptyEntryError, NotANumberError, TooPreciseError
from treasury.models import EntryKind
from treasury.postings import EntryBatch, Line, Source

_INT = np.dtype("<i8")


#: Value date (ISO 8601), kind, source type, source id, memo.
EntryHead = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class CanonicalEntries:
    """Entries and lines in columns, amounts as text of whole 10**-18."""

    heads: list[EntryHead]
    line_entries: npt.NDArray[np.int64]
    account_ids: npt.NDArray[np.int64]
    asset_ids: npt.NDArray[np.int64]
    amounts: list[str]

    def digest(self) -> str:
        """SHA-256 of the canonical form, in hex."""
        found = hashlib.sha256()
        found.update(json.dumps(self.heads, ensure_ascii=False, separators=(",", ":")).encode())
        found.update(b"\n")
        for column in (self.line_entries, self.account_ids, self.asset_ids):
            found.update(column.astype(_INT, copy=False).tobytes())
        found.update(",".join(self.amounts).encode())
        return found.hexdigest()


def whole_units(amounts: Iterable[Decimal]) -> list[str]:
    """Amounts as text of whole 10**-18, exactly.

    Raises NotANumberError for what is no Decimal or not finite, TooPreciseError beyond 18 decimals.
    """
    units = []
    with localcontext(prec=WORKING_PRECISION):
        for amount in amounts:
            if not isinstance(amount, Decimal) or not amount.is_finite():
                raise NotANumberError(
                    f"{amount!r} is no finite Decimal. Find what failed to calculate it; post a finite one."
                )
            scaled = amount.scaleb(LEDGER_PLACES)
            whole = int(scaled)
            if whole != scaled:
                raise TooPreciseError(
                    f"{amount} has more than {LEDGER_PLACES} decimals. Round it by a named policy first "
                    "(fundops.core.money.round_to)."
                )
            units.append(str(whole))
    return units


def canonical_entry(
    *, value_date: date, kind: EntryKind, source: Source | None, memo: str, lines: Sequence[Line]
) -> CanonicalEntries:
    """One entry; the order of its lines does not matter."""
    units = whole_units(line.amount for line in lines)
    ordered = sorted((line.account_id, line.asset_id, int(amount)) for line, amount in zip(lines, units, strict=True))
    return CanonicalEntries(
        heads=[(value_date.isoformat(), kind.value, *(source or Source("", "")), memo)],
        line_entries=np.zeros(len(ordered), dtype=np.int64),
        account_ids=np.array([account for account, _, _ in ordered], dtype=np.int64),
        asset_ids=np.array([asset for _, asset, _ in ordered], dtype=np.int64),
        amounts=[str(amount) for _, _, amount in ordered],
    )


def canonical_batch(batch: EntryBatch) -> CanonicalEntries:
    """A batch, its columns checked against each other."""
    line_entries = np.asarray(batch.line_entries, dtype=np.int64)
    account_ids = np.asarray(batch.account_ids, dtype=np.int64)
    asset_ids = np.asarray(batch.asset_ids, dtype=np.int64)
    line_count = len(line_entries)
    if line_count == 0:
        raise EmptyEntryError("The batch has no lines. Do not post what moves nothing.")
    if not (len(account_ids) == len(asset_ids) == len(batch.amounts) == line_count):
        raise BatchShapeError("The line columns differ in length. Give each line one value in every column.")
    if line_entries[0] < 0 or np.any(np.diff(line_entries) < 0):
        raise BatchShapeError("line_entries must count from 0 and never fall. Sort the lines by entry.")

    columns = (batch.value_dates, batch.kinds, batch.source_ids, batch.memos)
    lengths = {len(column) for column in columns if column is not None and not isinstance(column, date | str)}
    entry_count = max(lengths, default=int(line_entries[-1]) + 1)
    if len(lengths) > 1 or line_entries[-1] >= entry_count:
        raise BatchShapeError("The entry columns differ in length, or a line names an entry beyond them.")
    return CanonicalEntries(
        heads=list(
            zip(
                _days(batch.value_dates, entry_count),
                _spread(batch.kinds, entry_count),
                repeat(batch.source_type, entry_count),
                _spread("" if batch.source_ids is None else batch.source_ids, entry_count),
                _spread(batch.memos, entry_count),
                strict=True,
            )
        ),
        line_entries=line_entries,
        account_ids=account_ids,
        asset_ids=asset_ids,
        amounts=_batch_amounts(batch),
    )


def _spread(column: str | Sequence[str], count: int) -> Iterable[str]:
    return repeat(str(column), count) if isinstance(column, str) else map(str, column)


def _days(column: date | Sequence[date], count: int) -> Iterable[str]:
    if isinstance(column, date):
        return repeat(column.isoformat(), count)
    return [day.isoformat() for day in column]


def _batch_amounts(batch: EntryBatch) -> list[str]:
    if not isinstance(batch.amounts, np.ndarray):
        return whole_units(batch.amounts)
    if batch.amounts.dtype.kind != "i" or not 0 <= batch.amount_places <= LEDGER_PLACES:
        raise BatchShapeError(
            f"An array of amounts holds whole units of 10**-amount_places (0 to {LEDGER_PLACES}), not "
            f"{batch.amounts.dtype}. Round by a named policy and convert to int64, or give Decimals."
        )
    zeros = "0" * (LEDGER_PLACES - batch.amount_places)
    return [f"{units}{zeros}" if units else "0" for units in batch.amounts.tolist()]
