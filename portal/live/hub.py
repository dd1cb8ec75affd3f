"""The hub: a process's one subscription to the relay, shared by all its websockets.

It follows the sealed stream by its places. A batch that leaves a hole, a Redis that went away and a message
that never came are all the same to it: it reads what it missed from the database and goes on. Nothing is
told twice, because every place is passed once; nothing is left out, because no place is jumped.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from weakref import WeakKeyDictionary

import redis.asyncio
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError
from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from compliance.relay.frames import AUDIT_TOPIC, Batch, Frame, decode_batch, live_channel, make_frame
from compliance.stream import Sealed, read_sealed, read_topic, sealed_head
from fundops.core.errors import FundopsError
from portal.live.access import Standing, living_sessions, refusal, standings
from portal.live.socket import Close, LiveSocket

logger = logging.getLogger(__name__)

SOCKETS = Gauge("fundops_live_sockets", "Open live connections of this process")
ENDED = Counter("fundops_live_ended", "Live connections ended by the server", ["reason"])
PLACE = Gauge("fundops_live_place", "The last place of the stream this process has told")

#: What a late browser gets at most, and how far back it may ask at all; beyond, it must load its page again.
MAX_REPLAY = 1_000
MAX_DISTANCE = 50_000
RING_EVENTS, RING_CHARS = 4_096, 8 * 1024 * 1024
CATCH_UP = 1_000
CHECK_SECONDS = 5.0
#: The relay says every second how far it is; silence longer than this is looked into.
SILENCE_SECONDS = 3.0
RETRY_SECONDS = (0.05, 1.0)
REFUSAL_SECONDS = 30.0

_read_sealed = database_sync_to_async(read_sealed)
_read_topic = database_sync_to_async(read_topic)
_sealed_head = database_sync_to_async(sealed_head)
_refusal = database_sync_to_async(refusal)
_standings = database_sync_to_async(standings)
_living_sessions = database_sync_to_async(living_sessions)


class Hub:
    """Use within one event loop; `running_hub` gives the loop's own."""

    def __init__(self) -> None:
        self.seq = 0
        self.connected = False
        self._topics: dict[str, dict[LiveSocket, int]] = {}
        self._sockets: set[LiveSocket] = set()
        self._ring: deque[Frame] = deque()
        self._ring_chars = 0
        self._ring_floor = 0
        self._allowed: dict[tuple[int, str], float] = {}
        self._standings: dict[int, Standing] = {}
        self._check_now = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Finds its place in the stream and begins to listen."""
        head, _ = await _sealed_head()
        # Browsers that come back after a restart of this process find the last events in memory.
        self.seq = self._ring_floor = max(0, head - CATCH_UP)
        await self._catch_up(upto=head)
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._watch_accounts())]

    async def stop(self) -> None:
        for socket in list(self._sockets):
            socket.end(Close.RESTART, "The server restarts.")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- sockets -------------------------------------------------------------------------------------------

    async def enter(self, socket: LiveSocket) -> None:
        if socket.user_id not in self._standings:
            self._standings |= await _standings([socket.user_id])
        self._sockets.add(socket)
        SOCKETS.set(len(self._sockets))
        socket.tell("hello", seq=self.seq)

    def exit(self, socket: LiveSocket) -> None:
        for topic in list(socket.topics):
            self.leave(socket, topic)
        self._sockets.discard(socket)
        SOCKETS.set(len(self._sockets))
        if socket.ended.done():
            ENDED.labels(reason=str(socket.ended.result()[0])).inc()

    async def refusal(self, user_id: int, topic: str) -> FundopsError | None:
        """Asks whether an account may listen to ``topic``; a yes is remembered until its rights change."""
        now = asyncio.get_running_loop().time()
        if self._allowed.get((user_id, topic), 0.0) > now:
            return None
        answer: FundopsError | None = await _refusal(user_id, topic)
        if answer is None:
            self._allowed[(user_id, topic)] = now + REFUSAL_SECONDS
        return answer

    async def join(self, socket: LiveSocket, topic: str, after: int | None) -> None:
        """Subscribes, and first tells what happened behind place ``after``; "reset" when that is too much."""
        if after is None or after == self.seq:
            self._enrol(socket, topic, floor=self.seq)
            socket.tell("subscribed", topic=topic, seq=self.seq)
        elif after > self.seq:
            head, _ = await _sealed_head()
            if after > head:  # the database was restored to an earlier time
                self._enrol(socket, topic, floor=self.seq)
                socket.tell("reset", topic=topic, seq=self.seq)
            else:
                self._enrol(socket, topic, floor=after)
                socket.tell("subscribed", topic=topic, seq=after)
        elif after >= self._ring_floor:
            self._replay(socket, topic, after, self._remembered(topic, after))
        elif self.seq - after > MAX_DISTANCE:
            self._replay(socket, topic, after, None)
        else:
            await self._replay_from_database(socket, topic, after)

    def _remembered(self, topic: str, after: int) -> list[Frame]:
        frames = []
        for frame in reversed(self._ring):
            if frame.seq <= after:
                break
            if topic == AUDIT_TOPIC or topic in frame.topics:
                frames.append(frame)
        return frames[::-1]

    async def _replay_from_database(self, socket: LiveSocket, topic: str, after: int) -> None:
        upto = self.seq
        self._enrol(socket, topic, floor=upto)
        held = socket.held[topic] = []
        try:
            wanted = None if topic == AUDIT_TOPIC else topic
            missed = await _read_topic(wanted, after=after, upto=upto, limit=MAX_REPLAY + 1)
        except DatabaseError:
            logger.exception("Missed events of '%s' could not be read.", topic)
            missed = None
        finally:
            still = socket.held.get(topic) is held
            if still:
                del socket.held[topic]
        if not still or topic not in socket.topics:
            return  # unsubscribed, or subscribed anew, meanwhile
        self._replay(socket, topic, after, None if missed is None else [make_frame(item) for item in missed], upto)
        for text in held:
            socket.offer(text)

    def _replay(
        self, socket: LiveSocket, topic: str, after: int, frames: list[Frame] | None, upto: int | None = None
    ) -> None:
        if upto is None:
            upto = self.seq
            self._enrol(socket, topic, floor=upto)
        if frames is None or len(frames) > MAX_REPLAY:
            socket.tell("reset", topic=topic, seq=upto)
            return
        socket.tell("subscribed", topic=topic, seq=after)
        for frame in frames:
            socket.offer(frame.text(topic))

    def _enrol(self, socket: LiveSocket, topic: str, *, floor: int) -> None:
        socket.held.pop(topic, None)
        socket.topics.add(topic)
        self._topics.setdefault(topic, {})[socket] = floor

    def leave(self, socket: LiveSocket, topic: str) -> None:
        socket.topics.discard(topic)
        socket.held.pop(topic, None)
        listeners = self._topics.get(topic)
        if listeners is not None:
            listeners.pop(socket, None)
            if not listeners:
                del self._topics[topic]

    # --- the stream ----------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        pause = RETRY_SECONDS[0]
        while True:
            try:
                await self._follow_redis()
            except (RedisError, OSError, ValueError, KeyError, DatabaseError) as error:
                if self.connected:
                    logger.warning("The live hub lost the relay (%s); it reads the database meanwhile.", error)
                self.connected = False
                pause = min(pause * 2, RETRY_SECONDS[1])
                await asyncio.sleep(pause)
                with suppress(DatabaseError):
                    await self._catch_up()
            else:
                pause = RETRY_SECONDS[0]

    async def _follow_redis(self) -> None:
        """Listens until Redis is silent or gone."""
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_timeout=None, socket_connect_timeout=2, decode_responses=True
        )
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(live_channel())
                while (answer := await channel.get_message(timeout=5)) is None or answer["type"] != "subscribe":
                    if answer is None:
                        raise TimeoutError("Redis does not confirm the subscription")
                # What was pushed before the subscription began to hold is in the database.
                await self._catch_up()
                self.connected = True
                while (message := await channel.get_message(timeout=SILENCE_SECONDS)) is not None:
                    if message["type"] == "message":
                        await self._receive(decode_batch(message["data"]))
                await client.ping()
                await self._catch_up()
        finally:
            await client.aclose()

    async def _receive(self, batch: Batch) -> None:
        if batch.first > self.seq + 1:
            await self._catch_up(upto=batch.first - 1)
            if batch.first > self.seq + 1:
                raise ValueError(f"places {self.seq + 1} to {batch.first - 1} are nowhere to be found")
        elif batch.last < self.seq or self._contradicts(batch):
            await self._notice_restore(batch)
        self._tell([frame for frame in batch.frames if frame.seq > self.seq])

    async def _catch_up(self, *, upto: int | None = None) -> None:
        """Reads from the database what is sealed behind the hub's place, up to ``upto``, and tells it."""
        while True:
            missed: list[Sealed] = await _read_sealed(after=self.seq, upto=upto, limit=CATCH_UP)
            self._tell([make_frame(item) for item in missed])
            if len(missed) < CATCH_UP:
                return

    def _contradicts(self, batch: Batch) -> bool:
        """Whether the batch has something else in a place of which this hub has told."""
        if batch.first > self.seq:
            return False
        told = {frame.seq: frame for frame in self._ring if frame.seq >= batch.first}
        return any(told.get(frame.seq, frame) != frame for frame in batch.frames)

    async def _notice_restore(self, batch: Batch) -> None:
        """The relay stands behind this hub, or says otherwise: the database itself may have gone back in time.

        Then the hub goes back to the place before the batch, whose frames are news again. A stream that has come as
        far again is known by what it says.
        """
        head, _ = await _sealed_head()
        if head >= self.seq and not self._contradicts(batch):
            return
        logger.warning("The stream went back from place %d to %d: the database was restored.", self.seq, head)
        place = min(head, batch.first - 1)
        self.seq = self._ring_floor = place
        self._ring.clear()
        self._ring_chars = 0
        for topic, listeners in self._topics.items():
            for socket in listeners:
                listeners[socket] = place
                socket.tell("reset", topic=topic, seq=place)

    def _tell(self, frames: list[Frame]) -> None:
        """Passes on frames in their order: the only place where the hub's own place moves forward."""
        topics = self._topics
        for frame in frames:
            self.seq = seq = frame.seq
            self._keep(frame)
            for topic in (*frame.topics, AUDIT_TOPIC):
                listeners = topics.get(topic)
                if not listeners:
                    continue
                text = frame.text(topic)
                for socket, floor in listeners.items():
                    if seq <= floor:
                        continue
                    if topic in socket.held:
                        socket.held[topic].append(text)
                    else:
                        socket.offer(text)
            if frame.body.startswith(('"type":"core.user.', '"type":"core.session.')):
                self._check_now.set()
        if frames:
            PLACE.set(self.seq)

    def _keep(self, frame: Frame) -> None:
        self._ring.append(frame)
        self._ring_chars += frame.size
        while len(self._ring) > RING_EVENTS or self._ring_chars > RING_CHARS:
            gone = self._ring.popleft()
            self._ring_chars -= gone.size
            self._ring_floor = gone.seq

    # --- accounts ------------------------------------------------------------------------------------------

    async def _watch_accounts(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._check_now.wait(), CHECK_SECONDS)
            self._check_now.clear()
            try:
                await self.check_accounts()
            except DatabaseError:
                logger.warning("Sessions could not be checked; the next look is in %s s.", CHECK_SECONDS)

    async def check_accounts(self) -> None:
        """Ends the connections of people who signed out or were switched off; re-asks where rights
        changed."""
        sockets = list(self._sockets)
        users = {socket.user_id for socket in sockets}
        if not sockets:
            self._standings.clear()
            self._allowed.clear()
            return
        alive = await _living_sessions({socket.session_key for socket in sockets})
        now_standing = await _standings(users)
        before, self._standings = self._standings, now_standing
        changed = {
            user for user in users if user in before and user in now_standing and before[user] != now_standing[user]
        }
        now = asyncio.get_running_loop().time()
        self._allowed = {
            key: until
            for key, until in self._allowed.items()
            if until > now and key[0] in now_standing and key[0] not in changed
        }
        for socket in sockets:
            user = socket.user_id
            standing, known = now_standing.get(user), before.get(user)
            relogged = known is not None and standing is not None and known.login != standing.login
            if socket.session_key not in alive or standing is None or relogged:
                socket.end(Close.SIGNED_OUT, "You are signed out.")
            elif user in changed:
                await self._re_ask(socket)

    async def _re_ask(self, socket: LiveSocket) -> None:
        for topic in list(socket.topics):
            answer = await self.refusal(socket.user_id, topic)
            if answer is not None:
                self.leave(socket, topic)
                socket.refuse(topic, answer)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Hub]] = WeakKeyDictionary()


async def running_hub() -> Hub:
    """This event loop's hub, started by its first socket."""
    loop = asyncio.get_running_loop()
    starting = _hubs.get(loop)
    if starting is None or (starting.done() and (starting.cancelled() or starting.exception() is not None)):
        starting = _hubs[loop] = asyncio.ensure_future(_start())
    return await asyncio.shield(starting)


async def _start() -> Hub:
    hub = Hub()
    await hub.start()
    return hub


async def stop_hub() -> None:
    """Ends this loop's hub and its connections, if it has one."""
    starting = _hubs.pop(asyncio.get_running_loop(), None)
    if starting is not None:
        with suppress(Exception):
            await (await starting).stop()
