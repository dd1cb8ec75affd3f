"""The relay as a real process: killed in mid-stream, doubled, cut off; nothing lost, nothing told twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection, transaction

from compliance.chain import GENESIS
from compliance.consumers import Consumer, consumers, register_consumer
from compliance.errors import ConsumerNameError
from compliance.models import AuditAnchor, AuditEvent, AuditSeal, EventCursor, RelayState
from compliance.relay.follow import deliver_batch
from compliance.relay.frames import decode_batch, encode_batches, live_channel, make_frame
from compliance.relay.live import LivePush
from compliance.relay.session import LEADER_LOCK
from compliance.selectors import relay_lag
from compliance.stream import StreamEvent
from compliance.verify import verify_chain
from fundops.core import clock
from fundops.core.events import publish
from tests.compliance.support import relay_process, say, seal_all, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Receiver:
    """A web process as far as Redis is concerned: drops what it has seen, notices what it missed."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.doubled = 0
        self.holes: list[tuple[int, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def _run(self) -> None:
        client = redis.Redis.from_url(settings.REDIS_URL, decode_responses=True)
        with client.pubsub() as channel:  # type: ignore[no-untyped-call]
            channel.subscribe(live_channel())
            while not self._over.is_set():
                message = channel.get_message(timeout=0.05)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._ready.set()
                elif message["type"] == "message":
                    self._take(message["data"])
        client.close()

    def _take(self, text: str) -> None:
        batch = decode_batch(text)
        last = self.seen[-1] if self.seen else 0
        if batch.frames and batch.first > last + 1:
            self.holes.append((last + 1, batch.first - 1))
        for frame in batch.frames:
            if frame.seq <= last:
                self.doubled += 1
            else:
                self.seen.append(frame.seq)

    def has_seen(self, count: int) -> bool:
        return len(self.seen) >= count

    @contextmanager
    def listening(self) -> Iterator[None]:
        self._thread.start()
        assert self._ready.wait(10)
        try:
            yield
        finally:
            self._over.set()
            self._thread.join(10)


def leads() -> bool:
    """True when some session holds the leader's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LEADER_LOCK & 0xFFFFFFFF],
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.soak
def test_relay_killed_under_load_loses_and_doubles_nothing(tmp_path: Path, shared_key: None) -> None:
    """Two relays die by kill -9 while four writers go on; the third finishes the work."""
    receiver = Receiver()
    over = threading.Event()
    counts = [0] * 4

    def write(worker: int) -> None:
        try:
            while not over.is_set():
                if sum(counts) > len(receiver.seen) + 1_500:
                    over.wait(0.01)  # enough waits for the next relay already
                    continue
                with transaction.atomic():
                    for number in range(worker + 1):
                        publish(
                            "test.load.done",
                            actor=None,
                            payload={"w": worker, "n": number},
                            topics=["cohort:1"],
                        )
                counts[worker] += worker + 1
        finally:
            connection.close()

    with receiver.listening():
        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                with relay_process(tmp_path / "anchors") as relay:
                    begun = len(receiver.seen)
                    wait_until(partial(receiver.has_seen, begun + 200), seconds=60, what="a stream")
                    relay.kill()  # in mid-stream: the writers have not paused
        finally:
            over.set()
            for thread in threads:
                thread.join()
        total = sum(counts)
        with relay_process(tmp_path / "anchors"):
            wait_until(lambda: len(receiver.seen) >= total, seconds=60, what=f"{total} events")
            say(1)
            wait_until(lambda: len(receiver.seen) == total + 1)
    assert receiver.seen == list(range(1, total + 2))
    assert receiver.holes == []
    assert AuditEvent.objects.count() == AuditSeal.objects.count() == total + 1
    assert verify_chain(file=tmp_path / "anchors").intact


def test_event_is_pushed_soon_after_its_commit(tmp_path: Path) -> None:
    receiver = Receiver()
    with receiver.listening(), relay_process(tmp_path / "anchors"):
        wait_until(lambda: relay_lag().alive, what="a leader")
        for number in range(5):
            say(number)
            wait_until(partial(receiver.has_seen, number + 1), seconds=5)


def test_of_two_relays_one_leads_and_the_other_takes_over(tmp_path: Path) -> None:
    receiver = Receiver()
    with receiver.listening(), relay_process(tmp_path / "anchors") as first:
        wait_until(leads, what="a leader")
        with relay_process(tmp_path / "anchors") as second:
            say(1)
            wait_until(lambda: receiver.seen == [1])
            wait_until(lambda: RelayState.objects.filter(holder__endswith=f":{first.pid}").exists())
            first.kill()
            first.wait()
            say(2)
            wait_until(lambda: receiver.seen == [1, 2], what="the second relay")
            wait_until(lambda: RelayState.objects.filter(holder__endswith=f":{second.pid}").exists())
    assert receiver.holes == []


def test_relay_survives_the_loss_of_its_database_session(tmp_path: Path, superuser: psycopg.Connection[object]) -> None:
    receiver = Receiver()
    with receiver.listening(), relay_process(tmp_path / "anchors") as relay:
        say(1)
        wait_until(lambda: receiver.seen == [1])
        superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                          " WHERE application_name = 'fundops relay'"
                          " AND datname = current_database()")  # fmt: skip
        say(2)
        wait_until(lambda: receiver.seen == [1, 2])
        assert relay.poll() is None
    assert receiver.holes == []


def test_relay_stops_cleanly_and_anchors_the_head(tmp_path: Path) -> None:
    receiver = Receiver()
    with receiver.listening(), relay_process(tmp_path / "anchors") as relay:
        say(1)
        wait_until(lambda: receiver.seen == [1])
        relay.terminate()
        assert relay.wait(10) == 0
    assert AuditAnchor.objects.get().seq == 1
    assert json.loads((tmp_path / "anchors").read_text())["seq"] == 1
    assert EventCursor.objects.get(consumer="live").seq == 1
    assert not leads()


def test_redis_that_is_away_delays_the_push_and_loses_nothing(settings: object) -> None:
    for number in range(3):
        say(number)
    sealed = seal_all()
    url = settings.REDIS_URL  # type: ignore[attr-defined]
    settings.REDIS_URL = "unix:///nowhere/at/all.sock"  # type: ignore[attr-defined]
    push = LivePush(seq=0)
    push.push(sealed, head=3)
    assert push.seq == 0
    assert push.error
    settings.REDIS_URL = url  # type: ignore[attr-defined]
    receiver = Receiver()
    with receiver.listening():
        later = LivePush(seq=push.seq)
        later.push([], head=3)
        wait_until(lambda: receiver.seen == [1, 2, 3])


def test_batches_survive_their_coding_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    from compliance.relay import frames as module  # noqa: PLC0415 - its limits are bent here

    with transaction.atomic():
        for number in range(10):
            publish(
                "test.thing.done",
                actor=None,
                payload={"text": 'é\n"€𝄞' * number},
                topics=["cohort:1", "cohorts"],
            )
    frames = [make_frame(item) for item in seal_all()]
    monkeypatch.setattr(module, "MAX_BATCH_EVENTS", 4)
    messages = list(encode_batches(frames))
    batches = [decode_batch(text) for _, text in messages]
    assert [(batch.first, batch.last) for batch in batches] == [(1, 4), (5, 8), (9, 10)]
    assert [last for last, _ in messages] == [4, 8, 10]
    assert [frame for batch in batches for frame in batch.frames] == frames
    message = json.loads(frames[3].text("cohort:1"))
    assert (message["topic"], message["data"]["text"]) == ("cohort:1", 'é\n"€𝄞' * 3)
    monkeypatch.setattr(module, "MAX_BATCH_CHARS", 1)
    assert len(list(encode_batches(frames))) == 10


def _consumer(name: str, handled: list[int], *, fail_at: int = -1, **more: object) -> Consumer:
    def handle(events: Sequence[StreamEvent]) -> None:
        for event in events:
            handled.append(event.seq)
            if event.seq == fail_at:
                raise RuntimeError("no")

    return Consumer(name, handle, **more)  # type: ignore[arg-type]


def test_consumer_gets_its_kinds_in_order_and_once() -> None:
    handled: list[int] = []
    consumer = _consumer("test.kinds", handled, kinds=("treasury.",), from_start=True, batch=3)
    for number in range(8):
        say(number, kind="treasury.x.done" if number % 2 else "trading.x.done")
    seal_all()
    places = []
    while (place := deliver_batch(consumer)) is not None:
        places.append(place)
    assert places == [3, 6, 8]
    assert handled == [2, 4, 6, 8]


def test_consumer_that_fails_is_offered_the_batch_again_and_its_writes_are_undone() -> None:
    handled: list[int] = []
    for number in range(3):
        say(number)
    seal_all()
    deliver_batch(_consumer("test.fails", handled, from_start=True, batch=1))
    with pytest.raises(RuntimeError):
        deliver_batch(_consumer("test.fails", handled, fail_at=2))
    assert EventCursor.objects.get(consumer="test.fails").seq == 1
    handled.clear()
    assert deliver_batch(_consumer("test.fails", handled)) == 3
    assert handled == [2, 3]


def test_new_consumer_begins_at_the_head_unless_it_wants_all() -> None:
    say(1)
    seal_all()
    handled: list[int] = []
    assert deliver_batch(_consumer("test.new", handled)) is None
    say(2)
    seal_all()
    assert deliver_batch(_consumer("test.new", handled)) == 2
    assert handled == [2]


def test_two_deliverers_share_the_work_and_double_nothing() -> None:
    handled: list[int] = []
    with transaction.atomic():
        for number in range(200):
            publish("test.thing.done", actor=None, payload={"n": number})
    seal_all()
    consumer = _consumer("test.two", handled, from_start=True, batch=5)

    def deliver() -> None:
        try:
            while deliver_batch(consumer) is not None:
                pass
        finally:
            connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert handled == list(range(1, 201))


@pytest.mark.parametrize("name", ["live", "", "Bad name", "x" * 90])
def test_bad_consumer_names_are_refused(name: str) -> None:
    with pytest.raises(ConsumerNameError):
        register_consumer(_consumer(name, []))


def test_taken_consumer_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compliance.consumers._registry", {})
    first = _consumer("test.taken", [])
    register_consumer(first)
    register_consumer(first)
    with pytest.raises(ConsumerNameError):
        register_consumer(_consumer("test.taken", []))
    assert consumers() == [first]


def test_lag_tells_what_waits_and_who_leads() -> None:
    assert (relay_lag().heartbeat_age, relay_lag().alive, relay_lag().healthy()) == (None, False, False)
    at = clock.now() - timedelta(seconds=30)
    with clock.frozen(at):
        say(1)
        RelayState.objects.create(id=1, holder="one:1", beat_at=at, sealed_seq=0, sealed_hash=GENESIS)
    with clock.frozen(at + timedelta(seconds=30)):
        lag = relay_lag()
        assert (lag.unsealed, lag.oldest_unsealed_age, lag.heartbeat_age, lag.holder) == (
            1,
            30.0,
            30.0,
            "one:1",
        )
        assert not lag.alive
    seal_all()
    EventCursor.objects.create(consumer="live", seq=0, updated_at=at, last_error="gone")
    with clock.frozen(at + timedelta(seconds=1)):
        lag = relay_lag()
        assert (lag.unsealed, lag.head_seq, lag.consumers, lag.errors) == (
            0,
            1,
            {"live": 1},
            {"live": "gone"},
        )
        assert lag.healthy()
