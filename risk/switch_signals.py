"""Signs of life from the layers above: heartbeats, the age of market data, open breaks, errors.

Who begins to speak is expected to go on; who stops on purpose withdraws. The first word and the withdrawal are events,
what lies between is telemetry.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from risk.errors import SignalError
from risk.models import ErrorReport, RiskSignal, SignalKind
from treasury.models import Book

_UPSERT = (
    "INSERT INTO risk_risksignal AS s (kind, source, book_id, venue, at, value) VALUES (%s, %s, %s, %s, %s, %s)"
    " ON CONFLICT ON CONSTRAINT risk_signal_once DO UPDATE"
    " SET at = greatest(s.at, excluded.at), value = excluded.value RETURNING id, xmax = 0"
)


def report_heartbeat(*, source: str, book: Book | None = None, venue: str = "", at: datetime | None = None) -> None:
    """`source` works; missing it for longer than its policy allows stops the Book (or the venue, or everything)."""
    _report(SignalKind.HEARTBEAT, source, book, venue, at, None)


def report_market_data(*, source: str, at: datetime, book: Book | None = None, venue: str = "") -> None:
    """The newest data of `source` is of `at`; an older `at` than the last one changes nothing."""
    _report(SignalKind.MARKET_DATA, source, book, venue, at, None)


def report_breaks(
    *, source: str, open_breaks: int, book: Book | None = None, venue: str = "", at: datetime | None = None
) -> None:
    """A reconciliation found so many breaks that are open now; zero says that there are none."""
    if open_breaks < 0:
        raise SignalError("There cannot be fewer than no breaks.", source=source)
    _report(SignalKind.RECONCILIATION, source, book, venue, at, float(open_breaks))


def report_errors(
    *,
    source: str,
    count: int = 1,
    book: Book | None = None,
    venue: str = "",
    at: datetime | None = None,
    detail: str = "",
) -> None:
    """Errors that `source` has just met; too many within the window of its policy stop it."""
    if count < 1:
        raise SignalError("Report errors when there are some.", source=source)
    _named(source)
    ErrorReport.objects.create(
        source=source, book=book, venue=venue, at=at or clock.now(), count=count, detail=detail[:240]
    )


def withdraw_signal(
    *, kind: SignalKind, source: str, book: Book | None = None, venue: str = "", actor: User | None = None
) -> bool:
    """Nothing more is expected of `source`; True where something was."""
    with transaction.atomic():
        held = RiskSignal.objects.filter(kind=kind, source=source, book=book, venue=venue).first()
        if held is None:
            return False
        publish(
            "risk.signal.withdrawn", actor=actor, obj=held, payload=_told(kind, source, book, venue), topics=["risk"]
        )
        held.delete()
    return True


def _report(
    kind: SignalKind, source: str, book: Book | None, venue: str, at: datetime | None, value: float | None
) -> None:
    _named(source)
    moment = at or clock.now()
    if moment.tzinfo is None:
        raise SignalError("Give the time with its zone.", source=source)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_UPSERT, [kind, source, None if book is None else book.pk, venue, moment, value])
            pk, began = cursor.fetchone()
        if began:
            publish(
                "risk.signal.began",
                actor=None,
                obj=RiskSignal(pk=pk, kind=kind, source=source),
                payload=_told(kind, source, book, venue),
                topics=["risk"],
            )


def _named(source: str) -> None:
    if not source or len(source) > 80:
        raise SignalError("Name the source in at most 80 characters.", source=source[:80])


def _told(kind: SignalKind, source: str, book: Book | None, venue: str) -> dict[str, object]:
    return {"kind": kind, "source": source, "book": None if book is None else book.path, "venue": venue}
