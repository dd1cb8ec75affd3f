"""Pushing the sealed stream to the web processes through Redis.

Redis keeps nothing: the cursor says what was pushed, and receivers drop what they have seen, so a push that
is repeated after a crash arrives once.
"""

from __future__ import annotations

import logging
import time

import redis
from django.conf import settings

from compliance.relay.frames import announce, encode_batches, live_channel, make_frame
from compliance.stream import Sealed, read_sealed

logger = logging.getLogger(__name__)

_CATCH_UP = 1_000
_PAUSE_SECONDS = (0.05, 2.0)


class LivePush:
    """Follows the stream from place ``seq``; while Redis is away it keeps its place and tries again."""

    def __init__(self, *, seq: int) -> None:
        self.seq = seq
        self.error = ""
        self._channel = live_channel()
        self._redis = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
        self._pause = _PAUSE_SECONDS[0]
        self._not_before = 0.0

    def push(self, sealed: list[Sealed], *, head: int) -> None:
        """Pushes everything up to ``head``; ``sealed`` spares the reading where it continues this place."""
        if self.seq >= head or time.monotonic() < self._not_before:
            return
        try:
            if sealed and sealed[0].seq == self.seq + 1:
                self._publish(sealed)
            while self.seq < head:
                missed = read_sealed(after=self.seq, upto=head, limit=_CATCH_UP)
                if not missed:
                    break
                self._publish(missed)
        except redis.RedisError as error:
            self._failed(error)
        else:
            if self.error:
                logger.info("Redis is back; live pages are served again from event %d.", self.seq)
            self.error, self._pause = "", _PAUSE_SECONDS[0]

    def announce(self, head: int) -> None:
        """Tells receivers how far the stream is, so that one that lost the last message notices."""
        if not self.error:
            try:
                self._redis.publish(self._channel, announce(min(head, self.seq)))
            except redis.RedisError as error:
                self._failed(error)

    def close(self) -> None:
        self._redis.close()

    def _publish(self, sealed: list[Sealed]) -> None:
        for last, text in encode_batches([make_frame(item) for item in sealed]):
            self._redis.publish(self._channel, text)
            self.seq = last

    def _failed(self, error: redis.RedisError) -> None:
        if not self.error:
            logger.warning("Redis does not take live events (%s); they wait from event %d on.", error, self.seq)
        self.error = str(error) or type(error).__name__
        self._not_before = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _PAUSE_SECONDS[1])
