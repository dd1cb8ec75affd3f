"""Keeping the head of the chain outside the chain: in a table, in a file and in the log.

A chain proves the order of what is there, never that its end is there. So every minute, and every thousand
events, the head is written down elsewhere, authenticated with the application's key.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from compliance.chain import Anchor
from compliance.relay.session import Session
from fundops.core import clock

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
EVERY_EVENTS = 1_000


def anchor_file() -> Path:
    """The file of anchors: best on a disk, or a machine, that the database's administrator cannot write."""
    default = Path(settings.ENV.state_dir) / "audit-anchors.jsonl"
    return Path(getattr(settings, "AUDIT_ANCHOR_FILE", default))


def write_anchor(session: Session, *, chain: str, seq: int, head: str, file: Path) -> Anchor:
    """Records the head in the table, in the file (flushed to disk) and in the log."""
    anchor = Anchor.make(seq=seq, head=head, at=clock.now())
    session.execute(
        "INSERT INTO compliance_auditanchor (seq, hash, at, mac) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [anchor.seq, anchor.hash, anchor.at, anchor.mac],
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"chain": chain} | json.loads(anchor.to_line())) + "\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError:
        # Sealing goes on: the table and the log still remember the head.
        logger.exception("The anchor of place %d could not be written to %s.", seq, file)
    logger.info("audit.anchored seq=%d hash=%s mac=%s chain=%s", anchor.seq, anchor.hash, anchor.mac, chain)
    return anchor


def read_anchor_file(file: Path, *, chain: str) -> Iterator[Anchor | int]:
    """The anchors of ``chain`` in ``file``; for a line that is no anchor, its number."""
    if not file.exists():
        return
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                anchor = Anchor.from_line(line)
                if json.loads(line).get("chain") == chain:
                    yield anchor
            except ValueError:
                yield number


class Anchoring:
    """Decides when the next anchor is due."""

    def __init__(self, session: Session, *, chain: str, file: Path) -> None:
        self._session, self._chain, self._file = session, chain, file
        row = session.execute("SELECT coalesce(max(seq), 0) FROM compliance_auditanchor").fetchone()
        self._seq = int(row[0]) if row else 0
        self._at = time.monotonic()

    def keep(self, *, seq: int, head: str, now_at_latest: bool = False) -> None:
        """Writes an anchor when a thousand events or a minute have passed, or at once when asked."""
        if seq <= self._seq:
            return
        due = seq - self._seq >= EVERY_EVENTS or time.monotonic() - self._at >= EVERY_SECONDS
        if due or now_at_latest:
            write_anchor(self._session, chain=self._chain, seq=seq, head=head, file=self._file)
            self._seq, self._at = seq, time.monotonic()
