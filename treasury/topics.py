"""The live topics this layer owns: ``book:<id>``, every posting that touches the book."""

from __future__ import annotations

from fundops.core.live import register_topic
from fundops.core.models import User
from treasury.models import Book

READ_JOURNAL = "treasury.view_journalline"


def may_hear_book(user: User, key: str) -> bool:
    """Those who may read the journal hear of the books they may see."""
    return key.isdecimal() and user.has_perm(READ_JOURNAL) and Book.objects.for_user(user).filter(pk=int(key)).exists()


def register_topics() -> None:
    register_topic("book", may_hear_book)
