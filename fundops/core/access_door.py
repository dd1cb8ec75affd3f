"""The door by which an installation makes its first accounts: open until access has rules of its own, then never again.

The gate lives a layer above. It registers here what tells whether the door is closed; the database holds the same
(compliance/migrations/sql/access_guards.sql), so that a way past this code leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from fundops.core.errors import FundopsError


class AccessGatedError(FundopsError):
    status = 403
    title = "Access is changed by an approved request"


_is_closed: Callable[[], bool] = lambda: False  # noqa: E731 - replaced once, at start-up


def install_door(is_closed: Callable[[], bool]) -> None:
    """Called once, by the application that knows the rules."""
    global _is_closed
    _is_closed = is_closed


def door_is_closed() -> bool:
    """True once roles, objects and accounts are opened up by approved requests alone."""
    return _is_closed()


def proposal_url(kind: str, **known: str) -> str:
    """Where a person proposes a change of this kind, with what is known of it already."""
    return f"/approvals/new/{kind}/?{urlencode(known)}" if known else f"/approvals/new/{kind}/"


def require_open_door(kind: str) -> None:
    """Raises AccessGatedError, naming the kind of request to make, once the founding is done."""
    if door_is_closed():
        raise AccessGatedError(
            f"This passes the gate: propose it ({kind}), and it is done once it is signed and released.",
            kind=kind,
            propose=proposal_url(kind),
        )
