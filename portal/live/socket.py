"""One browser's websocket: its subscriptions, its bounded queue and its end.

Written straight onto ASGI: the hub puts ready-made text into the queue, one task a socket sends it. A
browser that does not read fills its own queue only, and is closed with a reason when that is full.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from fundops.core.errors import FundopsError
from fundops.core.live import TopicUnknownError

if TYPE_CHECKING:
    from portal.live.hub import Hub

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_QUEUE = 2_000
MAX_QUEUE_CHARS = 4 * 1024 * 1024
MAX_TOPICS = 100
MAX_REQUEST_CHARS = 1_024
#: Requests a socket may send in a burst, and how many it earns back each second.
REQUEST_BURST, REQUESTS_PER_SECOND = 200, 20.0
CLOSE_SECONDS = 2.0


class Close(IntEnum):
    """Why the server ended a connection; the browser's client reads it."""

    SIGNED_OUT = 4401
    TOO_SLOW = 4408
    TOO_MANY_REQUESTS = 4429
    RESTART = 1012


class LiveSocket:
    """The server's end of one connection."""

    def __init__(self, *, send: Send, user_id: int, session_key: str, batching: bool) -> None:
        self.user_id, self.session_key = user_id, session_key
        self.topics: set[str] = set()
        self.held: dict[str, list[str]] = {}
        self.ended: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._send, self._batching = send, batching
        self._queue: deque[str] = deque()
        self._chars = 0
        self._wake: asyncio.Future[None] | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._allowance, self._allowed_at = float(REQUEST_BURST), asyncio.get_running_loop().time()

    # --- towards the browser -------------------------------------------------------------------------------

    def offer(self, text: str) -> None:
        """Queues one message; never waits. Ends the connection when the browser is too far behind."""
        queue = self._queue
        self._chars += len(text)
        if len(queue) >= MAX_QUEUE or self._chars > MAX_QUEUE_CHARS:
            self.end(Close.TOO_SLOW, "This connection reads more slowly than events happen.")
            return
        queue.append(text)
        wake = self._wake
        if wake is not None:
            self._wake = None
            if not wake.done():
                wake.set_result(None)

    def tell(self, type_: str, **fields: Any) -> None:
        """Queues an answer of the server's own."""
        self.offer(json.dumps({"type": type_, **fields}))

    def end(self, code: int, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result((code, reason))

    async def drained(self) -> None:
        """Waits until everything queued is on its way: whoever asks for much gets it at their own speed."""
        self._empty.clear() if self._queue else self._empty.set()
        await self._empty.wait()

    async def write(self) -> None:
        queue, send = self._queue, self._send
        loop = asyncio.get_running_loop()
        while True:
            while queue:
                if self._batching and len(queue) > 1:
                    text = f"[{','.join(queue)}]"
                    queue.clear()
                    self._chars = 0
                else:
                    text = queue.popleft()
                    self._chars -= len(text)
                await send({"type": "websocket.send", "text": text})
            self._empty.set()
            self._wake = loop.create_future()
            await self._wake

    # --- from the browser ----------------------------------------------------------------------------------

    async def read(self, receive: Receive, hub: Hub) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if not self._may_ask():
                self.end(Close.TOO_MANY_REQUESTS, "Too many requests on one connection.")
                return
            await self._answer(message.get("text") or "", hub)

    def _may_ask(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._allowance = min(float(REQUEST_BURST), self._allowance + (now - self._allowed_at) * REQUESTS_PER_SECOND)
        self._allowed_at = now
        self._allowance -= 1
        return self._allowance >= 0

    async def _answer(self, text: str, hub: Hub) -> None:
        request = _parse(text)
        match request:
            case {"type": "ping"}:
                self.tell("pong", seq=hub.seq)
            case {"type": "subscribe", "topic": str(topic)}:
                after = request.get("after")
                if after is not None and (type(after) is not int or not 0 <= after < 2**53):
                    self.tell("error", code="bad_request", topic=topic[:120], detail="'after' is a place: a number.")
                elif len(self.topics) >= MAX_TOPICS and topic not in self.topics:
                    self.tell("error", code="too_many_topics", topic=topic[:120], detail=f"{MAX_TOPICS} at most.")
                else:
                    await self._subscribe(topic, after, hub)
            case {"type": "unsubscribe", "topic": str(topic)}:
                hub.leave(self, topic)
                self.tell("unsubscribed", topic=topic[:120])
            case _:
                self.tell("error", code="bad_request", detail="Send subscribe, unsubscribe or ping, as JSON.")

    async def _subscribe(self, topic: str, after: int | None, hub: Hub) -> None:
        refusal: FundopsError | None = TopicUnknownError(topic) if len(topic) > 120 else None
        if refusal is None:
            refusal = await hub.refusal(self.user_id, topic)
        if refusal is not None:
            self.refuse(topic, refusal)
            return
        await self.drained()
        await hub.join(self, topic, after)

    def refuse(self, topic: str, refusal: FundopsError) -> None:
        self.tell("error", code=refusal.code, topic=topic[:120], detail=refusal.message)


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_REQUEST_CHARS:
        return {}
    try:
        request = json.loads(text)
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


async def serve(socket: LiveSocket, receive: Receive, hub: Hub) -> tuple[int, str] | None:
    """Runs a connection to its end; returns the close code and reason when it is ours to say, None when it
    is gone."""
    reader = asyncio.ensure_future(socket.read(receive, hub))
    writer = asyncio.ensure_future(socket.write())
    try:
        waited: list[asyncio.Future[Any]] = [reader, writer, socket.ended]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (reader, writer):
            task.cancel()
        results = await asyncio.gather(reader, writer, return_exceptions=True)
    for result in results:
        # A send into a closed connection raises what the server likes; that is an end, not an error.
        if isinstance(result, Exception) and not isinstance(result, OSError):
            logger.warning("A live connection ended with an error.", exc_info=result)
    return socket.ended.result() if socket.ended.done() else None


async def close(send: Send, code: int, reason: str) -> None:
    """Says goodbye, for as long as the browser cares to listen."""
    with suppress(TimeoutError, OSError):
        await asyncio.wait_for(send({"type": "websocket.close", "code": code, "reason": reason}), CLOSE_SECONDS)
