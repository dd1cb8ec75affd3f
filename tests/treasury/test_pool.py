"""The bankroll pool: set up by the gate, and what it refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from compliance.approvals.errors import NotApprovedError
from compliance.founding import NotExecutedError
from tests.gate import by_gate
from tests.treasury.conftest import Cast
from treasury.actions.bankroll import POOL_CODE, pool_slice_amount, set_pool, slice_amount, take_slice
from treasury.errors import PoolError
from treasury.models import BankrollPool, BankrollSlice
from treasury.selectors import free_cash, trial_balance


def terms(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {"fund": cast.fund.code, "asset": "USDT", "capacity": "2000"} | changes


def pool(cast: Cast, **changes: Any) -> BankrollPool:
    by_gate("treasury.set_pool", terms(cast, **changes))
    return BankrollPool.objects.get(fund=cast.fund)


@pytest.mark.parametrize(
    ("capacity", "amount"),
    [("2000", "100"), ("1000", "50"), ("600", "50"), ("1234.56", "61.72"), ("0", "50")],
)
def test_slice_is_a_share_down_to_the_cent_and_at_least_the_minimum(capacity: str, amount: str) -> None:
    found = slice_amount(capacity=Decimal(capacity), slice_frac=Decimal("0.05"), slice_minimum=Decimal(50))
    assert found == Decimal(amount)


def test_pool_gets_its_capital_into_a_book_of_its_own(cast: Cast) -> None:
    made = pool(cast)
    assert made.book.path == f"{cast.root.path}/{POOL_CODE}"
    assert free_cash(made.book, cast.usdt) == Decimal(2000)
    assert pool_slice_amount(made) == Decimal(100)
    assert trial_balance(fund=cast.fund).is_balanced


def test_pool_is_resized_with_what_is_missing_or_left_over(cast: Cast) -> None:
    pool(cast)
    grown = pool(cast, capacity="3000")
    assert (grown.capacity, free_cash(grown.book, cast.usdt)) == (Decimal(3000), Decimal(3000))
    shrunk = pool(cast, capacity="500", source_cap_frac="0.5")
    assert free_cash(shrunk.book, cast.usdt) == Decimal(500)
    assert shrunk.history.count() == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"capacity": "0"}, "A pool of nothing"),
        ({"capacity": "100"}, "would pass the cap of its cohort"),
        ({"slice_minimum": "0"}, "minimum above zero"),
        ({"fund": "NONE"}, "There is no fund NONE"),
        ({"asset": "NONE"}, "There is no asset NONE"),
    ],
)
def test_impossible_terms_are_refused_when_asked_for(cast: Cast, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        by_gate("treasury.set_pool", terms(cast, **changes))
    assert not BankrollPool.objects.exists()


def test_nothing_but_the_gate_makes_or_changes_a_pool(cast: Cast) -> None:
    with pytest.raises(NotApprovedError):
        set_pool(terms(cast))
    made = pool(cast)
    with pytest.raises(DatabaseError), transaction.atomic():
        BankrollPool.objects.filter(pk=made.pk).update(capacity=Decimal(10**6))
    with pytest.raises(DatabaseError), transaction.atomic():
        BankrollPool.objects.filter(pk=made.pk).delete()


def test_nobody_takes_a_slice_without_a_request(cast: Cast) -> None:
    made = pool(cast)
    with pytest.raises(NotApprovedError):
        take_slice(
            pool=made,
            book=cast.cohort,
            source="cohort:1",
            leverage=Decimal(1),
            markets=["BTCUSDT"],
            warrant=None,  # type: ignore[arg-type]
        )
    with pytest.raises(DatabaseError), transaction.atomic():
        BankrollSlice.objects.create(
            pool=made,
            book=cast.cohort,
            source="cohort:1",
            amount=Decimal(50),
            target=Decimal(50),
            leverage=Decimal(1),
            markets=["BTCUSDT"],
        )


def test_more_cannot_be_taken_out_than_is_there(cast: Cast, superuser: Any) -> None:
    made = pool(cast)
    # A loss that came home: the pool's Book holds less than its capacity says.
    superuser.execute("SET session_replication_role = replica")
    superuser.execute(
        "INSERT INTO treasury_journalline (entry_id, account_id, asset_id, amount)"
        " SELECT l.entry_id, l.account_id, l.asset_id, -1900 FROM treasury_journalline l"
        " JOIN treasury_ledgeraccount a ON a.id = l.account_id WHERE a.book_id = %s AND a.kind = 'cash' LIMIT 1",
        [made.book_id],
    )
    assert free_cash(made.book, cast.usdt) == Decimal(100)
    with pytest.raises((PoolError, NotExecutedError), match="cannot be taken"):
        by_gate("treasury.set_pool", terms(cast, capacity="1000"))
