"""The relay's own database session: it holds the leader's lock, writes the seals and hears the wake-up calls.

It is no Django connection, because the lock lives and dies with the session: whoever loses the session can
no longer write a seal, so there are never two sealers.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection

from compliance.actions.record_event import WAKE_CHANNEL

#: Identifies the leader's lock among the advisory locks of the database.
LEADER_LOCK = 0x66756E64_61756469

Session = psycopg.Connection[tuple[Any, ...]]


def open_session(name: str = "fundops relay") -> Session:
    """A session like Django's own, in autocommit, in UTC, that notices a dead peer within half a minute."""
    params: dict[str, Any] = {
        key: value
        for key, value in connection.get_connection_params().items()
        if key not in {"context", "cursor_factory", "prepare_threshold"}
    }
    session: Session = psycopg.connect(
        **params
        | {
            "application_name": name,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "connect_timeout": 5,
            "autocommit": True,
        }
    )
    session.execute(
        "SELECT set_config('TimeZone', 'UTC', false), set_config('tcp_keepalives_idle', '10', false),"
        " set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false)"
    )
    return session


def take_lead(session: Session) -> bool:
    """Tries to become the one sealer of this database; the session keeps the lead until it ends."""
    row = session.execute("SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK]).fetchone()
    return bool(row and row[0])


def listen(session: Session) -> None:
    session.execute(f"LISTEN {WAKE_CHANNEL}")


def wait_for_wake(session: Session, *, seconds: float) -> bool:
    """Sleeps until somebody calls or ``seconds`` are over; True when called."""
    return any(True for _ in session.notifies(timeout=seconds, stop_after=1))
