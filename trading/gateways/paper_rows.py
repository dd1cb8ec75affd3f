"""The paper venue's accounts as this process knows them: locked in the database, their engine states kept.

An account's row is locked by whoever changes it. What the process has kept of it is used when the very version of the
row that it wrote or read is still there (the database stamps each version of a row with the transaction that made it):
a transaction that was rolled back, or another process that wrote in between, leaves another stamp, and the state is
read again.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

import orjson

from fundops.core.bulk import run
from trading.gateways import paper_account as kernel
from trading.gateways.base import UnknownAccountError
from trading.quant.engine import EngineState

_KEPT = 2_000
_Stamp = tuple[str, int, int, Decimal]

_LOCK = (
    "SELECT t.id, t.key, t.last_bar_ms, t.reports, t.equity, t.xmin::text FROM trading_paperaccount t"
    " WHERE t.key = ANY (%s::text[]) ORDER BY t.id FOR NO KEY UPDATE"
)
_READ = (
    "SELECT id, key, last_bar_ms, reports, equity, rules::text, state FROM trading_paperaccount"
    " WHERE key = ANY (%s::text[]) ORDER BY id"
)
_STATES = "SELECT id, rules::text, state FROM trading_paperaccount WHERE id = ANY (%s::bigint[])"
_WRITE = """
UPDATE trading_paperaccount t
   SET state = coalesce(decode(v.state, 'base64'), t.state), last_bar_ms = v.last_bar_ms, reports = v.reports,
       equity = v.equity
  FROM json_to_recordset(%s::json) AS v (id bigint, state text, last_bar_ms bigint, reports bigint, equity numeric)
 WHERE t.id = v.id
RETURNING t.id, t.last_bar_ms, t.reports, t.equity, t.xmin::text
"""


@dataclass(slots=True)
class Account:
    """An account in memory. ``state`` is never changed in place: what happens to it makes a new one."""

    pk: int
    key: str
    last_bar_ms: int
    reports: int
    equity: Decimal
    book: kernel.PaperBook
    state: EngineState


@dataclass(frozen=True, slots=True)
class _Kept:
    stamp: _Stamp
    book: kernel.PaperBook
    state: EngineState


_kept: OrderedDict[tuple[int, str], _Kept] = OrderedDict()


def locked_accounts(keys: Collection[str]) -> dict[str, Account]:
    """These accounts, locked for the rest of the transaction. Raises UnknownAccountError."""
    rows: list[tuple[int, str, int, int, Decimal, str]] = run(_LOCK, [list(keys)])
    if missing := set(keys) - {row[1] for row in rows}:
        raise UnknownAccountError(f"The paper venue has no account {', '.join(sorted(missing))}. Open it first.")
    known: dict[int, _Kept] = {}
    for pk, key, last_bar_ms, reports, equity, stamp in rows:
        kept = _kept.get((pk, key))
        if kept is not None and kept.stamp == (stamp, last_bar_ms, reports, equity):
            known[pk] = kept
    unknown = [row for row in rows if row[0] not in known]
    if unknown:
        states = {pk: (rules, state) for pk, rules, state in run(_STATES, [[row[0] for row in unknown]])}
        for pk, key, last_bar_ms, reports, equity, stamp in unknown:
            book, state = _loaded(*states[pk])
            known[pk] = _Kept((stamp, last_bar_ms, reports, equity), book, state)
            _keep(pk, key, known[pk])
    return {
        key: Account(pk, key, last_bar_ms, reports, equity, known[pk].book, known[pk].state)
        for pk, key, last_bar_ms, reports, equity, _ in rows
    }


def read_accounts(keys: Collection[str]) -> dict[str, Account]:
    """Those of these accounts that there are, as they were committed last."""
    return {
        key: Account(pk, key, last_bar_ms, reports, equity, *_loaded(rules, state))
        for pk, key, last_bar_ms, reports, equity, rules, state in run(_READ, [list(keys)])
    }


def _loaded(rules: str, state: bytes) -> tuple[kernel.PaperBook, EngineState]:
    book = kernel.paper_book(orjson.loads(rules))
    return book, EngineState.from_compact(bytes(state), book.layout)


def write_accounts(accounts: Sequence[Account], *, with_state: bool) -> None:
    """Writes what became of locked accounts; their states only where they changed."""
    if not accounts:
        return
    document = [
        {
            "id": account.pk,
            "state": base64.b64encode(account.state.to_compact()).decode() if with_state else None,
            "last_bar_ms": account.last_bar_ms,
            "reports": account.reports,
            "equity": str(account.equity),
        }
        for account in accounts
    ]
    told = run(_WRITE, [orjson.dumps(document).decode()])
    stamps = {pk: (stamp, last_bar_ms, reports, equity) for pk, last_bar_ms, reports, equity, stamp in told}
    for account in accounts:
        _keep(account.pk, account.key, _Kept(stamps[account.pk], account.book, account.state))


def _keep(pk: int, key: str, kept: _Kept) -> None:
    _kept[pk, key] = kept
    _kept.move_to_end((pk, key))
    while len(_kept) > _KEPT:
        _kept.popitem(last=False)
