"""The audit stream as pages show it: its state, its counts by day, and its events as a file that streams."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models import Count, QuerySet
from django.db.models.functions import TruncDate

from compliance.actions.verifications import ASKED, VERIFIED
from compliance.models import AuditEvent
from compliance.selectors import ChainStatus, RelayLag, chain_status, relay_lag
from fundops.core import clock

DAYS_SHOWN = 14
SUBJECTS_SHOWN = 7
#: Events in one file; a narrower filter makes the rest of a longer list.
MOST_EXPORTED = 50_000
_CHUNK = 1_000
_COLUMNS = ("seq", "at", "kind", "actor", "object_type", "object_id", "object_label", "payload", "hash", "id")


@dataclass(frozen=True)
class ChainState:
    """The chain at a glance, and the last time that somebody proved it."""

    status: ChainStatus
    lag: RelayLag
    verified_at: datetime | None
    verdict: dict[str, Any]
    verified_by: str
    running: bool
    event: UUID | None


def chain_state() -> ChainState:
    last = AuditEvent.objects.filter(kind=VERIFIED).order_by("-id").first()
    asked = AuditEvent.objects.filter(kind=ASKED).order_by("-id").first()
    return ChainState(
        status=chain_status(),
        lag=relay_lag(),
        verified_at=last.at if last else None,
        verdict=last.payload if last else {},
        verified_by=last.actor_label if last and last.actor_id else "the schedule",
        running=asked is not None and (last is None or asked.pk > last.pk),
        event=last.pk if last else None,
    )


def subject_of(kind: str) -> str:
    """The first two parts of a kind: compliance.approval.voted -> compliance.approval."""
    return ".".join(kind.split(".")[:2])


def counts_by_day(events: QuerySet[AuditEvent]) -> dict[str, Any]:
    """A bar a day, stacked by subject, as the charts take it: the last two weeks that hold any of ``events``."""
    newest = events.order_by("-at").values_list("at", flat=True).first()
    payload: dict[str, Any] = {"unit": "count", "categories": [], "series": [], "empty": "No event is like this."}
    if newest is None:
        return payload | {"as_of": clock.now().isoformat()}
    last = newest.date()
    days = [last - timedelta(days=back) for back in range(DAYS_SHOWN - 1, -1, -1)]
    rows = (
        events.filter(at__date__gte=days[0])
        .order_by()
        .values("kind", day=TruncDate("at"))
        .annotate(found=Count("pk", distinct=True))
    )
    counts: dict[str, Counter[date]] = {}
    for row in rows:
        counts.setdefault(subject_of(row["kind"]), Counter())[row["day"]] += row["found"]
    largest = sorted(counts, key=lambda subject: -counts[subject].total())
    shown, rest = largest[:SUBJECTS_SHOWN], largest[SUBJECTS_SHOWN:]
    series = [_series(subject, counts[subject], days) for subject in shown]
    if rest:
        series.append(_series("others", sum((counts[subject] for subject in rest), Counter()), days))
    return payload | {
        "as_of": clock.now().isoformat(),
        "categories": [day.isoformat() for day in days],
        "series": series,
    }


def _series(name: str, counts: Counter[date], days: Iterable[date]) -> dict[str, Any]:
    return {"name": name, "data": [counts.get(day, 0) for day in days], "stack": "events"}


# --- Files that stream ------------------------------------------------------------------------------------------
def row_of(event: Any) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "actor": event.actor_label,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_label": event.object_label,
        "payload": event.payload,
        "hash": event.seal_hash,
        "id": str(event.pk),
    }


async def stream_events(events: QuerySet[AuditEvent], *, form: str, found: int) -> AsyncIterator[str]:
    """The newest events first, a thousand a query; nothing holds the whole."""
    yield ",".join(_COLUMNS) + "\r\n" if form == "csv" else _json_head(found)
    after: UUID | None = None
    written = 0
    while written < MOST_EXPORTED:
        chunk = await _chunk(events, after, min(_CHUNK, MOST_EXPORTED - written))
        if not chunk:
            break
        rows = [row_of(event) for event in chunk]
        yield _csv(rows) if form == "csv" else _json(rows, first=written == 0)
        written += len(chunk)
        after = chunk[-1].pk
    if form == "json":
        yield "]}\n"


@sync_to_async
def _chunk(events: QuerySet[AuditEvent], after: UUID | None, size: int) -> list[AuditEvent]:
    found = events.order_by("-id")
    return list((found if after is None else found.filter(pk__lt=after))[:size])


def _json_head(found: int) -> str:
    note = (
        f"The newest {MOST_EXPORTED:,} of {found:,} events: narrow the filter for the others."
        if found > MOST_EXPORTED
        else "All events that match."
    )
    head = {"found": found, "complete": found <= MOST_EXPORTED, "note": note, "at": clock.now().isoformat()}
    return json.dumps(head)[:-1] + ', "events": ['


def _json(rows: list[dict[str, Any]], *, first: bool) -> str:
    text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return text if first else ",\n" + text


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    for row in rows:
        payload = json.dumps(row["payload"], ensure_ascii=False)
        writer.writerow([_cell(payload if name == "payload" else row[name]) for name in _COLUMNS])
    return out.getvalue()


def _cell(value: Any) -> Any:
    """A spreadsheet must not take a text for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value
