"""`/ws/live/`: subscriptions, refusals, resuming, and the ends of a connection, against real Redis and
PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connections

from compliance.relay.frames import Batch, Frame
from compliance.relay.live import LivePush
from compliance.stream import Sealed, sealed_head
from fundops.core import live as live_topics
from fundops.core.models import User
from fundops.core.roles import Role
from portal.live import hub as hub_module
from portal.live import socket as socket_module
from portal.live.hub import Hub, running_hub, stop_hub
from tests.compliance.support import make_user, say, seal_all
from tests.portal.live_support import Browser, eventually, seqs, signed_in

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def person(name: str, *roles: Role) -> tuple[User, str]:
    user = make_user(name, *roles)
    return user, str(signed_in(user).session_key)


@sync_to_async
def tell(
    count: int = 1, *, topics: list[str] | None = None, kind: str = "test.thing.done", push: bool = True
) -> list[Sealed]:
    """Publishes and seals ``count`` events; pushes them as the relay does unless told not to."""
    before, _ = sealed_head()
    for number in range(count):
        say(number, topics=topics or [], kind=kind)
    sealed = seal_all()
    if push:
        relay = LivePush(seq=before)
        relay.push(sealed, head=before + len(sealed))
        assert relay.error == ""
        relay.close()
    return sealed


@pytest_asyncio.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    def may(user: User, key: str) -> bool:
        return key != "secret"

    monkeypatch.setitem(live_topics._registry, "cohort", may)
    monkeypatch.setattr(hub_module, "CHECK_SECONDS", 600.0)
    running = await running_hub()
    await eventually(lambda: running.connected)
    yield running
    await stop_hub()
    await sync_to_async(connections.close_all)()


async def test_events_reach_their_listeners_and_nobody_else(hub: Hub) -> None:
    _, key = await person("ada", Role.PORTFOLIO_MANAGER)
    one, two = Browser(key), Browser(key)
    await one.hello()
    await two.hello()
    assert (await one.subscribe("cohort:1"))["type"] == "subscribed"
    assert (await two.subscribe("cohort:2"))["type"] == "subscribed"
    (sealed,) = await tell(topics=["cohort:1"])
    message = await one.next()
    assert message == {
        "type": "test.thing.done",
        "topic": "cohort:1",
        "seq": sealed.seq,
        "at": sealed.event.at_text,
        "data": {"n": 0},
    }
    assert await two.silent()
    await one.leave()
    await two.leave()


async def test_unsubscribed_topic_is_silent(hub: Hub) -> None:
    _, key = await person("ada", Role.PORTFOLIO_MANAGER)
    browser = Browser(key)
    await browser.hello()
    await browser.subscribe("cohort:1")
    await browser.ask(type="unsubscribe", topic="cohort:1")
    assert (await browser.next()) == {"type": "unsubscribed", "topic": "cohort:1"}
    await tell(topics=["cohort:1"])
    await eventually(lambda: hub.seq >= 1)
    assert await browser.silent()
    await browser.leave()


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("cohort:secret", "topic_denied"),
        ("audit", "topic_denied"),
        ("nothing:1", "topic_unknown"),
        ("Bad topic", "topic_unknown"),
    ],
)
async def test_refused_topic_gets_a_typed_error(hub: Hub, topic: str, code: str) -> None:
    _, key = await person("ada", Role.PORTFOLIO_MANAGER)
    browser = Browser(key)
    await browser.hello()
    answer = await browser.subscribe(topic)
    assert (answer["type"], answer["code"], answer["topic"]) == ("error", code, topic)
    await tell(topics=["cohort:secret"])
    await eventually(lambda: hub.seq >= 1)
    assert await browser.silent()
    await browser.leave()


async def test_auditor_hears_every_event_without_its_payload(hub: Hub) -> None:
    _, key = await person("otto", Role.AUDITOR)
    browser = Browser(key)
    await browser.hello()
    await browser.subscribe("audit")
    await tell(topics=["cohort:1"])
    message = await browser.next()
    assert (message["topic"], message["data"]["actor"], message["data"]["topics"]) == (
        "audit",
        "system",
        ["cohort:1"],
    )
    assert "n" not in message["data"]
    await browser.leave()


async def test_investor_may_watch_neither_the_machine_nor_the_audit(hub: Hub) -> None:
    _, key = await person("ines", Role.INVESTOR)
    browser = Browser(key)
    await browser.hello()
    for topic in ("system", "audit"):
        assert (await browser.subscribe(topic))["code"] == "topic_denied"
    await browser.leave()


@pytest.mark.parametrize(
    "request_", [{"type": "subscribe"}, {"type": "shout"}, {}, {"type": "subscribe", "topic": 5},
                 {"type": "subscribe", "topic": "cohort:1", "after": "5"},
                 {"type": "subscribe", "topic": "cohort:1", "after": -1},
                 {"type": "subscribe", "topic": "cohort:1", "after": True},
                 {"type": "ping", "x": "y" * 2000}],
)  # fmt: skip
async def test_nonsense_gets_an_error_and_no_end(hub: Hub, request_: dict[str, Any]) -> None:
    _, key = await person("ada")
    browser = Browser(key)
    await browser.hello()
    await browser.ask(**request_)
    assert (await browser.next())["code"] == "bad_request"
    await browser.say("{nonsense")
    assert (await browser.next())["code"] == "bad_request"
    await browser.say(b"\x00\x01")
    assert (await browser.next())["code"] == "bad_request"
    assert await browser.silent()
    await browser.leave()


@pytest.mark.parametrize("ring", ["in memory", "from the database"])
async def test_resumed_subscription_gets_what_it_missed_once_and_in_order(hub: Hub, ring: str) -> None:
    _, key = await person("ada")
    await tell(3, topics=["cohort:1"])
    await tell(2, topics=["cohort:2"])
    await tell(3, topics=["cohort:1"])
    await eventually(lambda: hub.seq == 8)
    if ring == "from the database":
        hub._ring.clear()
        hub._ring_floor = 8
    browser = Browser(key)
    await browser.hello()
    assert await browser.subscribe("cohort:1", after=2) == {
        "type": "subscribed",
        "topic": "cohort:1",
        "seq": 2,
    }
    assert seqs(await browser.take(4)) == [3, 6, 7, 8]
    await tell(1, topics=["cohort:1"])
    assert (await browser.next())["seq"] == 9
    assert await browser.silent()
    await browser.leave()


async def test_events_that_happen_during_a_replay_come_after_it_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    _, key = await person("ada")
    await tell(5, topics=["cohort:1"])
    await eventually(lambda: hub.seq == 5)
    hub._ring.clear()
    hub._ring_floor = 5
    read = hub_module._read_topic

    async def slow(*args: Any, **kwargs: Any) -> list[Sealed]:
        rows: list[Sealed] = await read(*args, **kwargs)
        await tell(2, topics=["cohort:1"])
        await eventually(lambda: hub.seq == 7)
        return rows

    monkeypatch.setattr(hub_module, "_read_topic", slow)
    browser = Browser(key)
    await browser.hello()
    await browser.subscribe("cohort:1", after=0)
    assert seqs(await browser.take(7)) == [1, 2, 3, 4, 5, 6, 7]
    assert await browser.silent()
    await browser.leave()


@pytest.mark.parametrize("where", ["MAX_REPLAY", "MAX_DISTANCE"])
async def test_too_long_an_absence_is_reset(hub: Hub, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setattr(hub_module, where, 3)
    _, key = await person("ada")
    await tell(6, topics=["cohort:1"])
    await eventually(lambda: hub.seq == 6)
    hub._ring.clear()
    hub._ring_floor = 6
    browser = Browser(key)
    await browser.hello()
    assert await browser.subscribe("cohort:1", after=1) == {"type": "reset", "topic": "cohort:1", "seq": 6}
    await tell(topics=["cohort:1"])
    assert (await browser.next())["seq"] == 7
    await browser.leave()


async def test_place_beyond_the_stream_is_reset(hub: Hub) -> None:
    _, key = await person("ada")
    await tell(2)
    await eventually(lambda: hub.seq == 2)
    browser = Browser(key)
    await browser.hello()
    assert await browser.subscribe("cohort:1", after=500) == {"type": "reset", "topic": "cohort:1", "seq": 2}
    await browser.leave()


async def test_push_that_is_repeated_arrives_once(hub: Hub) -> None:
    _, key = await person("ada")
    browser = Browser(key)
    await browser.hello()
    await browser.subscribe("cohort:1")
    sealed = await tell(3, topics=["cohort:1"])
    again = await sync_to_async(LivePush)(seq=0)
    await sync_to_async(again.push)(sealed, head=3)
    await tell(1, topics=["cohort:1"])
    assert seqs(await browser.take(4)) == [1, 2, 3, 4]
    assert await browser.silent()
    await browser.leave()


async def test_lost_push_is_read_from_the_database(hub: Hub) -> None:
    _, key = await person("ada")
    browser = Browser(key)
    await browser.hello()
    await browser.subscribe("cohort:1")
    await tell(3, topics=["cohort:1"], push=False)
    await tell(1, topics=["cohort:1"])
    assert seqs(await browser.take(4)) == [1, 2, 3, 4]
    await tell(2, topics=["cohort:1"], push=False)
    relay = await sync_to_async(LivePush)(seq=6)
    await sync_to_async(relay.announce)(6)
    assert seqs(await browser.take(2)) == [5, 6]
    assert await browser.silent()
    await browser.leave()


@pytest.mark.parametrize("key", [None, "no-such-session-key-at-all"])
async def test_stranger_is_turned_away_with_a_reason(hub: Hub, key: str | None) -> None:
    browser = Browser(key)
    assert await browser.open()
    assert await browser.end() == (4401, "Sign in first.")


async def test_foreign_origin_is_refused(hub: Hub) -> None:
    _, key = await person("ada")
    assert not await Browser(key, origin="https://evil.example").open()


async def test_signing_out_ends_the_connection(hub: Hub) -> None:
    _, key = await person("ada")
    _, other = await person("bob")
    leaving, staying = Browser(key), Browser(other)
    await leaving.hello()
    await staying.hello()
    await hub.check_accounts()
    assert await leaving.silent()
    await sync_to_async(lambda: signed_out(key))()
    await hub.check_accounts()
    assert await leaving.end() == (4401, "You are signed out.")
    assert await staying.silent()
    await staying.leave()


def signed_out(key: str) -> None:
    from django.contrib.sessions.backends.db import SessionStore  # noqa: PLC0415

    SessionStore(key).flush()


@pytest.mark.parametrize("change", ["switched off", "new password"])
async def test_changed_account_ends_the_connection(hub: Hub, change: str) -> None:
    user, key = await person("ada")
    browser = Browser(key)
    await browser.hello()

    def alter() -> None:
        if change == "switched off":
            user.is_active = False
        else:
            user.set_password("another-long-passphrase-2")
        user.save()

    await sync_to_async(alter)()
    await hub.check_accounts()
    assert (await browser.end())[0] == 4401


async def test_lost_right_ends_the_subscription_only(hub: Hub) -> None:
    user, key = await person("otto", Role.AUDITOR)
    browser = Browser(key)
    await browser.hello()
    await browser.subscribe("audit")
    await browser.subscribe("cohort:1")
    await sync_to_async(lambda: user.groups.remove(Group.objects.get(name=Role.AUDITOR.value)))()
    await hub.check_accounts()
    answer = await browser.next()
    assert (answer["type"], answer["code"], answer["topic"]) == ("error", "topic_denied", "audit")
    await tell(topics=["cohort:1"])
    assert (await browser.next())["topic"] == "cohort:1"
    assert await browser.silent()
    await browser.leave()


async def test_event_about_an_account_is_acted_upon_at_once(hub: Hub) -> None:
    user, key = await person("ada")
    browser = Browser(key)
    await browser.hello()

    def switch_off() -> None:
        User.objects.filter(pk=user.pk).update(is_active=False)

    await sync_to_async(switch_off)()
    await tell(kind="core.user.deactivated")
    assert (await browser.end())[0] == 4401


async def test_too_many_requests_end_the_connection(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "REQUEST_BURST", 5)
    _, key = await person("ada")
    browser = Browser(key)
    await browser.hello()
    for _ in range(20):
        await browser.ask(type="ping")
    assert (await browser.end())[0] == 4429


async def test_too_many_topics_are_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "MAX_TOPICS", 2)
    _, key = await person("ada")
    browser = Browser(key)
    await browser.hello()
    answers = [await browser.subscribe(f"cohort:{number}") for number in range(3)]
    assert [answer["type"] for answer in answers] == ["subscribed", "subscribed", "error"]
    assert answers[2]["code"] == "too_many_topics"
    assert (await browser.subscribe("cohort:1"))["type"] == "subscribed", "a topic one has may be asked again"
    await browser.leave()


async def test_database_that_went_back_in_time_resets_everybody(hub: Hub) -> None:
    _, key = await person("ada")
    browser = Browser(key)
    await browser.hello()
    await tell(2)
    await eventually(lambda: hub.seq == 2)
    await browser.subscribe("cohort:1")
    hub.seq = 50  # as if it had seen a future that a restore undid
    relay = await sync_to_async(LivePush)(seq=2)
    await sync_to_async(relay.announce)(2)
    assert await browser.next() == {"type": "reset", "topic": "cohort:1", "seq": 2}
    await tell(topics=["cohort:1"])
    assert (await browser.next())["seq"] == 3
    await browser.leave()


async def test_a_stream_that_says_otherwise_of_a_place_is_another_one_however_far_it_came(hub: Hub) -> None:
    _, key = await person("ada")
    browser = Browser(key)
    await browser.hello()
    await tell(2)
    await eventually(lambda: hub.seq == 2)
    await browser.subscribe("cohort:1")
    same = Batch(2, 2, [frame for frame in hub._ring if frame.seq == 2])
    await hub._receive(same)  # told twice: nothing new
    other = Frame(2, ["cohort:1"], '"type":"trading.cohort.advanced","seq":2,"data":{}}', "")
    await hub._receive(Batch(2, 2, [other]))
    assert await browser.next() == {"type": "reset", "topic": "cohort:1", "seq": 1}
    assert (await browser.next())["type"] == "trading.cohort.advanced"
    await browser.leave()
