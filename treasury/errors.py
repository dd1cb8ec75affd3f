"""Why the books refuse: one class a failure, each saying what to do."""

from __future__ import annotations

from fundops.core.errors import FundopsError


class LedgerError(FundopsError):
    """Any refusal by the books."""

    status = 422
    title = "The books refuse this posting"


class UnbalancedEntryError(LedgerError):
    title = "The entry does not balance"


class EmptyEntryError(LedgerError):
    title = "The entry has no lines"


class ZeroLineError(LedgerError):
    title = "A line of zero"


class NotANumberError(LedgerError):
    title = "The amount is not a finite number"


class AmountOutOfRangeError(LedgerError):
    title = "The amount does not fit the ledger's numeric(38, 18)"


class TooPreciseError(LedgerError):
    title = "The amount has more decimals than the ledger keeps"


class TextTooLongError(LedgerError):
    title = "A text is longer than its column"


class BatchShapeError(LedgerError):
    title = "The columns of the batch do not fit together"


class UnknownFundError(LedgerError):
    title = "Unknown fund"


class UnknownAssetError(LedgerError):
    title = "Unknown asset"


class UnknownAccountError(LedgerError):
    title = "Unknown ledger account"


class UnknownEntryError(LedgerError):
    title = "Unknown journal entry"


class ForeignAccountError(LedgerError):
    title = "The account belongs to another fund"


class ClosedBookError(LedgerError):
    status = 409
    title = "The book is closed"


class BookNotEmptyError(LedgerError):
    status = 409
    title = "The book still holds something"


class BookExistsError(LedgerError):
    status = 409
    title = "The book exists already"


class BookTreeError(LedgerError):
    title = "The book has no such place in the tree"


class SealedEntryError(LedgerError):
    status = 409
    title = "The entry is sealed"


class ImmutableLedgerError(LedgerError):
    status = 409
    title = "The books are never changed"


class DuplicateKeyError(LedgerError):
    status = 409
    title = "The idempotency key was used for something else"


class AlreadyReversedError(LedgerError):
    status = 409
    title = "The entry is reversed already"


class ReversalOfReversalError(LedgerError):
    status = 409
    title = "A reversal is not reversed"


class ReversalMismatchError(LedgerError):
    title = "A reversal must mirror its entry"


class PostingSequenceError(LedgerError):
    status = 409
    title = "The posting sequence would have a gap"


class ValueDateError(LedgerError):
    title = "The value date makes no sense"


class PostingIsolationError(LedgerError):
    status = 409
    title = "Postings need the isolation level READ COMMITTED"


class MissingPriceError(LedgerError):
    title = "A price is missing"


class PoolError(LedgerError):
    status = 409
    title = "The bankroll pool refuses"
