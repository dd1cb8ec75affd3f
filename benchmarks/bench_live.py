"""Live push: from a commit to the receipt in many websockets, through the real relay and the real web
process.

    python -m benchmarks.bench_live [--sockets 200 1000] [--events 60] [--ws websockets-sansio]

What runs: a database of its own on the PostgreSQL of DATABASE_OWNER_URL (else the embedded one), `manage.py
run_relay`, `uvicorn fundops.asgi:application`, and a client process that holds the sockets. One publisher commits a
real transaction with one event at a time; a latency is the time from the return of COMMIT to the arrival of the
message's bytes in one socket (CLOCK_MONOTONIC, which the processes share). In the same run, over the same server
settings and the same client, channels' own way: one consumer a socket and `group_send`, from the call to the arrival.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fundops.core.boot import boot

ROOT = Path(__file__).resolve().parents[1]
TOPIC = "system"
GROUP = "bench"
PAYLOAD = {
    "equity": "1003.25",
    "agents": 30,
    "note": "a cohort's hourly score as it is pushed to its page " * 3,
}


# --- The client: as little work a message as Python allows, so that the server is what is measured
# ---------------


class _Socket(asyncio.Protocol):
    """A websocket that notes when bytes come, and looks into them afterwards."""

    def __init__(self, request: bytes, subscribe: bytes) -> None:
        self.request, self.subscribe = request, subscribe
        self.received: list[tuple[int, bytes]] = []
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.received.append((time.monotonic_ns(), data))
        if not self.ready.done():
            everything = b"".join(part for _, part in self.received)
            if b'"hello"' in everything and self.subscribe and self.transport is not None:
                self.transport.write(self.subscribe)
                self.subscribe = b""
            if b'"subscribed"' in everything or b'"joined"' in everything:
                self.ready.set_result(None)
            elif b" 403 " in everything or b'"error"' in everything:
                self.ready.set_exception(RuntimeError(everything.decode(errors="replace")[:300]))


def _frame(text: str) -> bytes:
    """A masked text frame (RFC 6455, section 5.2) with a mask of zeros."""
    data = text.encode()
    if len(data) >= 126:
        raise ValueError("too long for a short frame")
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


def _messages(data: bytes) -> Iterator[bytes]:
    """The payloads of the unmasked frames in ``data``."""
    at = 0
    while at + 2 <= len(data):
        length, at = data[at + 1], at + 2
        if length == 126:
            length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        yield data[at : at + length]
        at += length


async def _client(port: int, path: str, cookie: str, sockets: int) -> None:
    """Opens the sockets, says "ready", waits for a line on stdin, prints the arrivals as JSON."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nCookie: sessionid={cookie}\r\n\r\n"
    ).encode()
    subscribe = _frame(json.dumps({"type": "subscribe", "topic": TOPIC}))
    loop = asyncio.get_running_loop()
    opened: list[_Socket] = []
    for _ in range(sockets):
        _, protocol = await loop.create_connection(lambda: _Socket(request, subscribe), "127.0.0.1", port)
        opened.append(protocol)
        if len(opened) % 50 == 0:
            await asyncio.wait_for(protocol.ready, 30)
    await asyncio.wait_for(asyncio.gather(*(protocol.ready for protocol in opened)), 60)
    for protocol in opened:
        protocol.received.clear()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    arrivals: dict[int, list[int]] = {}
    for protocol in opened:
        for at, data in protocol.received:
            for message in _messages(data):
                if b'"bench_n"' in message:
                    number = int(message.split(b'"bench_n":')[1].split(b",")[0].split(b"}")[0])
                    arrivals.setdefault(number, []).append(at)
    print(json.dumps(arrivals), flush=True)


# --- The peer: channels' own fan-out
# ----------------------------------------------------------------------------


def peer_application() -> Any:
    """One consumer a socket, subscribed to a group: how Channels is documented."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
    django.setup()
    from channels.auth import AuthMiddlewareStack
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.urls import path

    class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
        async def connect(self) -> None:
            await self.accept()
            await self.channel_layer.group_add(GROUP, self.channel_name)
            await self.send(text_data='{"type":"joined"}')

        async def live_event(self, event: dict[str, Any]) -> None:
            await self.send(text_data=event["text"])

    return ProtocolTypeRouter({"websocket": AuthMiddlewareStack(URLRouter([path("ws/live/", Consumer.as_asgi())]))})


# --- The run
# ------------------------------------------------------------------------------------------------------


@contextmanager
def _process(*command: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, cwd=ROOT, text=True, **more)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _server(application: str, ws: str, *more: str) -> Iterator[int]:
    port = _free_port()
    options = ("--loop", "uvloop", "--http", "httptools", "--ws", ws, "--ws-per-message-deflate", "false")
    command = (
        sys.executable,
        "-m",
        "uvicorn",
        application,
        "--port",
        str(port),
        "--log-level",
        "warning",
        *more,
    )
    with _process(*command, *options, "--no-access-log"):
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        yield port


@contextmanager
def _clients(port: int, cookie: str, sockets: int) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "benchmarks.bench_live", "--client", str(port), cookie, str(sockets))
    with _process(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise RuntimeError("The sockets did not open.")
        yield process


def _arrivals(client: subprocess.Popen[str]) -> dict[int, list[int]]:
    if client.stdin is None or client.stdout is None:
        raise RuntimeError("The client has no pipes.")
    client.stdin.write("\n")
    client.stdin.flush()
    return {int(number): times for number, times in json.loads(client.stdout.readline()).items()}


def _figures(sent: dict[int, int], arrived: dict[int, list[int]], sockets: int) -> dict[str, float]:
    lost = sum(sockets - len(arrived.get(number, [])) for number in sent)
    if lost:
        raise RuntimeError(f"{lost} messages never came.")
    every = sorted((at - sent[number]) / 1e6 for number, times in arrived.items() if number in sent for at in times)
    last = sorted((max(arrived[number]) - sent[number]) / 1e6 for number in sent)
    return {
        "p50": every[len(every) // 2],
        "p95": every[int(len(every) * 0.95)],
        "p99": every[int(len(every) * 0.99)],
        "last p95": last[int(len(last) * 0.95)],
        "mean": statistics.fmean(every),
    }


def _publish_all(events: int, pause: float) -> dict[int, int]:
    from django.db import transaction

    from fundops.core.events import publish

    sent: dict[int, int] = {}
    for number in range(-3, events):  # the first three warm up
        with transaction.atomic():
            transaction.on_commit(lambda number=number: sent.__setitem__(number, time.monotonic_ns()))  # type: ignore[misc]
            publish("bench.cohort.scored", actor=None, payload={"bench_n": number} | PAYLOAD, topics=[TOPIC])
        time.sleep(pause)
    return {number: at for number, at in sent.items() if number >= 0}


def _group_send_all(events: int, pause: float) -> dict[int, int]:
    from channels.layers import get_channel_layer

    async def run() -> dict[int, int]:
        layer = get_channel_layer()
        sent: dict[int, int] = {}
        for number in range(-3, events):
            message = {"type": "bench", "topic": TOPIC, "seq": number, "data": {"bench_n": number} | PAYLOAD}
            text = json.dumps(message, separators=(",", ":"))
            sent[number] = time.monotonic_ns()
            await layer.group_send(GROUP, {"type": "live.event", "text": text})
            await asyncio.sleep(pause)
        return {number: at for number, at in sent.items() if number >= 0}

    return asyncio.run(run())


@contextmanager
def _own_database() -> Iterator[None]:
    """A database for this run alone, migrated, dropped at the end; the environment names it."""
    import psycopg
    from psycopg import sql

    name = f"bench_live_{os.getpid()}"
    owner, app = os.environ["DATABASE_OWNER_URL"], os.environ["DATABASE_URL"]
    with psycopg.connect(owner, autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    os.environ["DATABASE_URL"] = urlsplit(app)._replace(path=f"/{name}").geturl()
    os.environ["DATABASE_OWNER_URL"] = urlsplit(owner)._replace(path=f"/{name}").geturl()
    try:
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, check=True)
        yield
    finally:
        from django.db import connections

        connections.close_all()
        with psycopg.connect(owner, autocommit=True) as session:
            session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _auditor_session() -> str:
    """A signed-in session that may hear the topic."""
    from allauth.mfa.models import Authenticator
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import Group
    from django.contrib.sessions.backends.db import SessionStore

    from fundops.core.models import User
    from fundops.core.roles import Role

    user = User.objects.create(username="bench", email="bench@fund.example")
    user.groups.add(Group.objects.get(name=Role.AUDITOR.value))
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={})  # staff must have one
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    for backend in settings.AUTHENTICATION_BACKENDS:
        if "allauth" in backend or backend.endswith("ModelBackend"):
            session[BACKEND_SESSION_KEY] = backend
    session.save()
    return str(session.session_key)


def _wait_for_leader() -> None:
    from compliance.selectors import relay_lag

    while not relay_lag().alive:
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description="Latency of the live push, against channels' group_send.")
    parser.add_argument("--sockets", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.1, help="Seconds between two events.")
    parser.add_argument("--ws", default="websockets-sansio", help="uvicorn's websocket implementation.")
    parser.add_argument("--no-peer", action="store_true", help="Leave channels' group_send out.")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--client", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        import uvloop

        port, cookie, sockets = options.client
        uvloop.run(_client(int(port), "/ws/live/", cookie, int(sockets)))
        return

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
    os.environ["SECRET_KEY"] = secrets.token_urlsafe(50)
    boot()
    with _own_database():
        import django

        django.setup()
        cookie = _auditor_session()
        results: dict[str, dict[int, dict[str, float]]] = {"fundops": {}, "channels group_send": {}}
        anchors = Path(os.environ.get("TMPDIR", "/tmp")) / f"bench-anchors-{os.getpid()}"  # noqa: S108
        relay = (sys.executable, "manage.py", "run_relay", "--anchor-file", str(anchors))
        with _process(*relay), _server("fundops.asgi:application", options.ws, "--lifespan", "on") as port:
            _wait_for_leader()
            for sockets in options.sockets:
                with _clients(port, cookie, sockets) as client:
                    sent = _publish_all(options.events, options.pause)
                    time.sleep(1)
                    results["fundops"][sockets] = _figures(sent, _arrivals(client), sockets)
        anchors.unlink(missing_ok=True)
        if not options.no_peer:
            with _server(
                "benchmarks.bench_live:peer_application", options.ws, "--factory", "--lifespan", "off"
            ) as port:
                for sockets in options.sockets:
                    with _clients(port, cookie, sockets) as client:
                        # Slowly, so that one fan-out has ended before the next begins.
                        sent = _group_send_all(min(options.events, 20), sockets * 0.0015)
                        time.sleep(2)
                        results["channels group_send"][sockets] = _figures(sent, _arrivals(client), sockets)
    if options.json:
        print(json.dumps(results))
        return
    for name, by_sockets in results.items():
        for sockets, figures in by_sockets.items():
            text = "  ".join(f"{key} {value:6.1f} ms" for key, value in figures.items())
            print(f"{name:20} {sockets:5} sockets  {text}")
    for sockets, peer in results["channels group_send"].items():
        ours = results["fundops"][sockets]
        print(
            f"{sockets} sockets: channels takes {peer['p50'] / ours['p50']:.1f}x (p50), "
            f"{peer['p95'] / ours['p95']:.1f}x (p95) of ours, and has recorded nothing."
        )


if __name__ == "__main__":
    main()
