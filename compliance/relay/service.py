"""The relay process: candidates for the lead, one leader, and what the leader does all day.

Seal what was committed, push it to the live pages, feed the other consumers, say that one is alive, anchor
the head. Killed at any instruction, it loses nothing: seals are transactions, cursors are durable,
receivers drop repetitions.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.db import DatabaseError, connection

from compliance.consumers import LIVE, consumers
from compliance.models import EventCursor
from compliance.relay.anchors import Anchoring
from compliance.relay.follow import Head, follow
from compliance.relay.live import LivePush
from compliance.relay.sealer import Sealer
from compliance.relay.session import Session, listen, open_session, take_lead, wait_for_wake
from fundops.core import clock

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
BEAT_SECONDS = 1.0
CANDIDATE_SECONDS = 1.0

# The heartbeat may be lost with a crash of the database, so it waits for no disk; every second is often
# enough, and seldom enough that a row with a long tail of old versions (under a transaction of hours) stays
# quick to update.
_BEAT = (
    "WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS set), cursor AS ("
    " INSERT INTO compliance_eventcursor (consumer, seq, updated_at, last_error)"
    " VALUES (%(live)s, %(seq)s, %(now)s, %(error)s)"
    " ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at,"
    " last_error = excluded.last_error)"
    " INSERT INTO compliance_relaystate (id, holder, beat_at, sealed_seq, sealed_hash, snapshot, cluster)"
    " SELECT 1, %(holder)s, %(now)s, %(head)s, %(hash)s, %(snapshot)s, %(chain)s FROM lazily"
    " ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, beat_at = excluded.beat_at, sealed_seq ="
    " excluded.sealed_seq, sealed_hash = excluded.sealed_hash, snapshot = excluded.snapshot, cluster ="
    " excluded.cluster"
)


class Relay:
    """One candidate. `run` returns when `stop` was called."""

    def __init__(self, *, anchor_file: Path) -> None:
        self._anchor_file = anchor_file
        self._stopping = threading.Event()
        self.holder = f"{socket.gethostname()}:{os.getpid()}"

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with open_session() as session:
                    if not take_lead(session):
                        logger.info("relay.standby holder=%s", self.holder)
                        while not take_lead(session):
                            if self._stopping.wait(CANDIDATE_SECONDS):
                                return
                    logger.info("relay.leading holder=%s", self.holder)
                    self._lead(session)
            except (psycopg.OperationalError, DatabaseError) as error:
                logger.warning("relay.database_lost %s: trying again.", str(error).strip())
                connection.close()
                self._stopping.wait(CANDIDATE_SECONDS)

    def _lead(self, session: Session) -> None:
        listen(session)
        sealer = Sealer(session)
        anchoring = Anchoring(session, chain=sealer.chain, file=self._anchor_file)
        live = LivePush(seq=_live_cursor(head=sealer.seq))
        head = Head()
        # Where the push begins is written down before anything is sealed: whoever dies right after the
        # first seal leaves an heir who knows that it was not pushed yet.
        self._beat(session, sealer, live)
        beat_due = 0.0
        with self._followers(head):
            while not self._stopping.is_set():
                sealed = sealer.seal_batch()
                live.push(sealed, head=sealer.seq)
                if sealed:
                    head.advance(sealer.seq)
                    anchoring.keep(seq=sealer.seq, head=sealer.hash)
                if time.monotonic() >= beat_due:
                    self._beat(session, sealer, live)
                    anchoring.keep(seq=sealer.seq, head=sealer.hash)
                    live.announce(sealer.seq)
                    beat_due = time.monotonic() + BEAT_SECONDS
                if not sealed:
                    wait_for_wake(session, seconds=POLL_SECONDS)
            anchoring.keep(seq=sealer.seq, head=sealer.hash, now_at_latest=True)
            self._beat(session, sealer, live)
        live.close()

    def _beat(self, session: Session, sealer: Sealer, live: LivePush) -> None:
        session.execute(
            _BEAT,
            {
                "live": LIVE,
                "seq": live.seq,
                "error": live.error,
                "holder": self.holder,
                "now": clock.now(),
                "head": sealer.seq,
                "hash": sealer.hash,
                "snapshot": sealer.snapshot_text,
                "chain": sealer.chain,
            },
        )

    @contextmanager
    def _followers(self, head: Head) -> Iterator[None]:
        """Runs a thread for every registered consumer as long as this process leads."""
        over = threading.Event()
        threads = [
            threading.Thread(
                target=follow,
                args=(consumer,),
                kwargs={"head": head, "stop": over.is_set},
                name=f"consumer-{consumer.name}",
                daemon=True,
            )
            for consumer in consumers()
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            head.advance(2**62)
            for thread in threads:
                thread.join(timeout=10)


def _live_cursor(*, head: int) -> int:
    """Where the live push goes on; a first relay begins at the head, nobody having listened before."""
    row = EventCursor.objects.filter(consumer=LIVE).values_list("seq", flat=True).first()
    return head if row is None else min(row, head)
