"""What the fund owns and owes: assets, funds, the tree of books, and the journal they are derived from."""

from treasury.models.assets import Asset, AssetKind
from treasury.models.bankroll import BankrollPool, BankrollSlice
from treasury.models.books import AccountKind, Book, BookKind, LedgerAccount
from treasury.models.funds import Fund
from treasury.models.journal import EntryKind, JournalEntry, JournalLine, PostingBatch, PostingCheck

__all__ = [
    "AccountKind",
    "Asset",
    "AssetKind",
    "BankrollPool",
    "BankrollSlice",
    "Book",
    "BookKind",
    "EntryKind",
    "Fund",
    "JournalEntry",
    "JournalLine",
    "LedgerAccount",
    "PostingBatch",
    "PostingCheck",
]
