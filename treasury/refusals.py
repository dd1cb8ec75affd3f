"""The one place where the database's refusals become the errors of treasury.errors.

The rules' own SQLSTATEs (23Lnn, raised in treasury/sql) carry a message, a hint and JSON; PostgreSQL's
general ones are told apart by the constraint that spoke.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import DatabaseError

from compliance.approvals.refusals import refusal_of as refusal_of_the_gate
from fundops.core.errors import FundopsError
from treasury import errors

_BY_STATE: dict[str, type[errors.LedgerError]] = {
    "23L01": errors.UnbalancedEntryError,
    "23L02": errors.EmptyEntryError,
    "23L03": errors.UnknownAssetError,
    "23L04": errors.UnknownAccountError,
    "23L05": errors.UnknownEntryError,
    "23L06": errors.ForeignAccountError,
    "23L07": errors.ClosedBookError,
    "23L08": errors.SealedEntryError,
    "23L09": errors.ImmutableLedgerError,
    "23L10": errors.PostingSequenceError,
    "23L11": errors.ValueDateError,
    "23L12": errors.ReversalMismatchError,
    "23L13": errors.ReversalOfReversalError,
    "23L14": errors.PostingIsolationError,
    "23L15": errors.BookTreeError,
    "23L16": errors.BookNotEmptyError,
    "23L17": errors.UnknownFundError,
    "23L18": errors.PoolError,
    "23L19": errors.PoolError,
}

_BY_CONSTRAINT: dict[str, tuple[type[errors.LedgerError], str]] = {
    "treasury_line_not_zero": (
        errors.ZeroLineError,
        "A line has the amount zero. Leave the line out: it moves nothing.",
    ),
    "treasury_line_is_number": (
        errors.NotANumberError,
        "A line's amount is NaN. Find the calculation that failed; post a finite amount.",
    ),
    "treasury_entry_key_once": (
        errors.DuplicateKeyError,
        "The idempotency key is in use in this fund. Give each posting a key of its own.",
    ),
    "treasury_batch_key_once": (
        errors.DuplicateKeyError,
        "The batch's idempotency key is in use in this fund. Give each batch a key of its own.",
    ),
    "treasury_entry_reversed_once": (
        errors.AlreadyReversedError,
        "The entry is reversed already. Post what is missing as a new entry.",
    ),
    "treasury_entry_seq_once": (
        errors.PostingSequenceError,
        "The posting_seq is taken. Take the next one from treasury_begin_posting().",
    ),
    "treasury_book_path_key": (
        errors.BookExistsError,
        "There is a book of that code at that place. Choose another code.",
    ),
    "treasury_book_one_root": (
        errors.BookTreeError,
        "The fund has its root book already. Open the book under it.",
    ),
    "treasury_book_root_is_fund": (
        errors.BookTreeError,
        "Only the root book is of kind 'fund'. Give the book a parent, or another kind.",
    ),
    "treasury_book_kind_known": (errors.BookTreeError, "That is no kind of book. See BookKind."),
}

_NUMERIC_OUT_OF_RANGE = "22003"
_INVALID_TEXT = "22P02"
_TEXT_TOO_LONG = "22001"


def refusal_of(error: DatabaseError) -> FundopsError | None:
    """The refusal a database error stands for, or None when it is neither the books' nor the gate's."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error):
        return None
    said = cause.diag
    if cause.sqlstate in _BY_STATE:
        message = " ".join(part for part in (said.message_primary, said.message_hint) if part)
        return _BY_STATE[cause.sqlstate](message, **_detail(said.message_detail))
    if said.constraint_name in _BY_CONSTRAINT:
        kind, message = _BY_CONSTRAINT[said.constraint_name]
        return kind(message, constraint=said.constraint_name)
    if cause.sqlstate == _NUMERIC_OUT_OF_RANGE:
        if "infinite" in (said.message_detail or ""):
            return errors.NotANumberError(
                "A line's amount is infinite. Find the calculation that failed; post a finite amount."
            )
        return errors.AmountOutOfRangeError(
            "A line's amount needs more than 20 digits before the point. Check its unit."
        )
    if cause.sqlstate == _TEXT_TOO_LONG:
        return errors.TextTooLongError(
            f"{said.message_primary}. Shorten the memo (240), source (40 and 80), key (120) or code (64)."
        )
    if cause.sqlstate == _INVALID_TEXT:
        return errors.NotANumberError(f"{said.message_primary}. Post finite decimal amounts.")
    return refusal_of_the_gate(error)


def _detail(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def refusals() -> Iterator[None]:
    """Turns the books' refusals into their errors; wrap it around the transaction, not inside it."""
    try:
        yield
    except DatabaseError as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise refusal from error
