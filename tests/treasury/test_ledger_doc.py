"""docs/ledger.md is true: its code runs, and the books then say what its tables say."""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from fundops.core.errors import FundopsError
from treasury import errors, selectors
from treasury import models as treasury_models
from treasury.actions import books, ledger
from treasury.models import AccountKind, Book, JournalLine
from treasury.postings import Source, contribution, draw, fill, paid, release
from treasury.selectors import balances, trial_balance, value_book

PAGE = (Path(settings.BASE_DIR) / "docs" / "ledger.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
Row = tuple[str, ...]


def tables(*header: str) -> list[list[Row]]:
    """The bodies of the page's tables that have this header."""
    found: list[list[Row]] = []
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in PAGE.splitlines()]
    for number, row in enumerate(rows):
        if row == header:
            body = rows[number + 2 :]
            length = next(i for i, candidate in enumerate(body) if len(candidate) != len(header))
            found.append(body[:length])
    return found


@pytest.fixture
def life(db: None) -> dict[str, Any]:
    """Runs the page's code; the names it made, with equities taken where the page marks to market."""
    names: dict[str, Any] = {
        **{name: getattr(treasury_models, name) for name in treasury_models.__all__},
        **{name: getattr(books, name) for name in ("NewBook", "close_book", "ensure_asset", "open_book")},
        **{name: getattr(books, name) for name in ("open_books", "open_fund")},
        **{name: getattr(ledger, name) for name in ("post_entry", "reverse_entry")},
        "book_accounts": selectors.book_accounts,
        **{maker.__name__: maker for maker in (Source, contribution, draw, fill, paid, release)},
        "date": date,
        "Decimal": Decimal,
    }
    for block in CODE:
        exec(compile(block, "docs/ledger.md", "exec"), names)  # noqa: S102 - the page's own code
        if "marks" in names and "equities" not in names:
            tree = Book.objects.below(names["cohort"])
            names["equities"] = {book.path: value_book(book=book, prices=names["marks"]) for book in tree}
    return names


def test_postings_are_those_of_the_tables(life: dict[str, Any]) -> None:
    lines = JournalLine.objects.select_related("entry", "account__book", "asset").order_by("entry__posting_seq", "id")
    posted = [
        (
            str(line.entry.posting_seq),
            str(line.entry.value_date),
            line.entry.kind,
            line.account.book.code,
            line.account.kind,
            line.asset.code,
            line.amount,
        )
        for line in lines
    ]
    written = tables("#", "value date", "kind", "book", "account", "asset", "amount")
    assert len(written) == 2
    assert posted == [(*row[:-1], Decimal(row[-1])) for table in written for row in table]


def test_marked_equities_are_those_of_the_table(life: dict[str, Any]) -> None:
    (written,) = tables("book", "equity", "is")
    assert life["equities"] == {path: Decimal(equity) for path, equity, _ in written}
    for _, equity, working in written:
        total = Decimal(0)
        for sign, term in re.findall(r"(^|[+-]) ?([^+-]+)", working.replace(",", "")):
            factors = [Decimal(factor) for factor in term.split(" x ")]
            total += math.prod(factors) * (-1 if sign == "-" else 1)
        assert total == Decimal(equity)


def test_what_is_left_is_that_of_the_table(life: dict[str, Any]) -> None:
    (written,) = tables("account", "asset", "amount")
    left = balances(books=life["cohort"], descendants=True)
    assert {(b.kind, b.asset): b.amount for b in left} == {
        (AccountKind(kind), asset): Decimal(amount) for kind, asset, amount in written
    }
    assert trial_balance(fund=life["fund"]).is_balanced
    cash = value_book(book=life["cohort"], prices={life["usdt"].pk: Decimal(1)})
    capital = sum(b.amount for b in left if b.kind in {AccountKind.CAPITAL, AccountKind.BANKROLL})
    assert cash + capital == Decimal("-0.5948")
    assert {book.code for book in Book.objects.exclude(closed_at=None)} == {"a1", "a2"}


def test_every_refusal_is_in_the_table_of_rules() -> None:
    (rules,) = tables("rule", "error")
    written = {name for _, names in rules for name in re.findall(r"`(\w+)`", names)}
    raised = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, FundopsError) and kind.__module__ == errors.__name__
    }
    assert written == raised - {"LedgerError"}


def test_account_kinds_are_all_explained() -> None:
    (accounts,) = tables("account", "holds", "sign")
    assert {name.strip("`") for name, *_ in accounts} == {kind.value for kind in AccountKind}
