"""The order: gapless, chained, every committed event exactly once, however late it commits."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection, transaction

from compliance.chain import GENESIS, link
from compliance.models import AuditEvent, AuditSeal, RelayState
from compliance.relay import sealer as sealer_module
from compliance.relay.sealer import Sealer
from compliance.relay.session import open_session, take_lead
from compliance.stream import read_sealed
from compliance.verify import verify_chain
from fundops.core import clock
from fundops.core.events import publish
from tests.compliance.support import say, seal_all

pytestmark = pytest.mark.django_db(transaction=True)


def assert_sealed_once_and_linked(count: int) -> None:
    sealed = read_sealed(after=0, limit=1_000_000)
    assert [item.seq for item in sealed] == list(range(1, count + 1))
    assert len({item.event.id for item in sealed}) == count
    prev = GENESIS
    for item in sealed:
        assert item.hash == link(item.event, seq=item.seq, prev_hash=prev)
        prev = item.hash
    assert not AuditEvent.objects.filter(seal=None).exists()


def test_events_of_one_transaction_are_sealed_in_the_order_they_were_said() -> None:
    with transaction.atomic():
        ids = [publish("test.thing.done", actor=None, payload={"n": n}) for n in range(300)]
    assert [item.event.id for item in seal_all()] == ids
    assert_sealed_once_and_linked(300)
    assert seal_all() == []


def test_late_committer_is_sealed_after_those_who_overtook_it() -> None:
    with open_session() as session, open_session("late") as late:
        sealer = Sealer(session)
        late.execute("BEGIN")
        late.execute(
            "INSERT INTO compliance_auditevent (at, kind, actor_label, object_type, object_id, object_label,"
            " payload, topics) VALUES (now(), 'test.late.done', 'x', '', '', '', '{}', '{}')"
        )
        for number in range(5):
            say(number)
            assert [item.event.payload for item in sealer.seal_batch()] == [f'{{"n": {number}}}']
        late.execute("COMMIT")
        assert [item.event.kind for item in sealer.seal_batch()] == ["test.late.done"]
        assert sealer.seal_batch() == []
    assert_sealed_once_and_linked(6)


def test_late_committer_is_found_by_the_next_leader_from_its_remembered_snapshot() -> None:
    with open_session("late") as late:
        late.execute("BEGIN")
        late.execute(
            "INSERT INTO compliance_auditevent (at, kind, actor_label, object_type, object_id, object_label,"
            " payload, topics) VALUES (now(), 'test.late.done', 'x', '', '', '', '{}', '{}')"
        )
        say(1)
        with open_session() as session:
            first = Sealer(session)
            assert len(first.seal_batch()) == 1
            RelayState.objects.create(
                id=1, holder="t", beat_at=clock.now(), sealed_seq=first.seq, sealed_hash=first.hash,
                snapshot=first.snapshot_text, cluster=first.chain,
            )  # fmt: skip
        late.execute("COMMIT")
    with open_session() as session:
        heir = Sealer(session)
        assert heir._since is not None, "the snapshot was not remembered"
        assert [item.event.kind for item in heir.seal_batch()] == ["test.late.done"]
    assert_sealed_once_and_linked(2)


@pytest.mark.parametrize("stranger", ["another cluster", "from the future"])
def test_snapshot_of_another_cluster_is_not_believed(stranger: str) -> None:
    say(1)
    with open_session() as session:
        name = Sealer(session).chain
    RelayState.objects.create(
        id=1, holder="t", beat_at=clock.now(), sealed_seq=0, sealed_hash=GENESIS,
        snapshot="999999999999:999999999999:", cluster="elsewhere" if stranger == "another cluster" else name,
    )  # fmt: skip
    assert len(seal_all()) == 1


def test_backlog_of_many_batches_is_sealed_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealer_module, "BATCH", 7)
    monkeypatch.setattr(sealer_module, "_ALL", sealer_module._ALL.replace("LIMIT 2000", "LIMIT 7"))
    monkeypatch.setattr(sealer_module, "_SINCE", sealer_module._SINCE.replace("LIMIT 2000", "LIMIT 7"))
    assert "LIMIT 7" in sealer_module._ALL
    with open_session() as session:
        sealer = Sealer(session)
        with transaction.atomic():
            for number in range(40):
                publish("test.thing.done", actor=None, payload={"n": number})
        sealed = 0
        while batch := sealer.seal_batch():
            sealed += len(batch)
            say(99)  # commits between two batches of a pass
            if sealed > 45:
                break
        while sealer.seal_batch():
            pass
    assert_sealed_once_and_linked(AuditEvent.objects.count())


def test_concurrent_writers_with_long_transactions_and_rollbacks_lose_nothing() -> None:
    """Writers commit in another order than they wrote, some never; the sealer runs all the while."""
    writers, each = 6, 25
    done = threading.Event()

    def write(worker: int) -> None:
        rng = random.Random(worker)
        try:
            held: list[psycopg.Connection[tuple[object, ...]]] = []
            for number in range(each):
                session = open_session(f"writer {worker}")
                session.execute("BEGIN")
                session.execute(
                    "INSERT INTO compliance_auditevent (at, kind, actor_label, object_type, object_id,"
                    " object_label, payload, topics) VALUES (now(), 'test.w.done', 'x', '', '', '',"
                    " jsonb_build_object('w', %s::int, 'n', %s::int), '{}')",
                    [worker, number],
                )
                held.append(session)
                while held and (len(held) > 4 or number == each - 1):
                    out = held.pop(rng.randrange(len(held)))
                    out.execute("ROLLBACK" if rng.random() < 0.2 else "COMMIT")
                    out.close()
        finally:
            connection.close()

    def seal() -> None:
        with open_session() as session:
            assert take_lead(session)
            sealer = Sealer(session)
            while not done.is_set():
                sealer.seal_batch()
            while sealer.seal_batch():
                pass

    with ThreadPoolExecutor(writers + 1) as pool:
        sealing = pool.submit(seal)
        for future in [pool.submit(write, worker) for worker in range(writers)]:
            future.result()
        done.set()
        sealing.result()
    count = AuditEvent.objects.count()
    assert 0 < count < writers * each
    assert_sealed_once_and_linked(count)
    assert verify_chain().intact


def test_only_one_session_can_lead() -> None:
    with open_session() as one, open_session() as two:
        assert take_lead(one)
        assert not take_lead(two)
    with open_session() as heir:
        assert take_lead(heir)


def test_a_sealer_that_lost_the_lead_cannot_fork_the_chain() -> None:
    say(1)
    with open_session() as one, open_session() as two:
        stale, fresh = Sealer(one), Sealer(two)
        assert len(fresh.seal_batch()) == 1
        say(2)
        assert [item.seq for item in fresh.seal_batch()] == [2]
        say(3)
        with pytest.raises(psycopg.errors.IntegrityError):
            stale.seal_batch()
    assert AuditSeal.objects.count() == 2
    assert [item.seq for item in seal_all()] == [3]
