"""A browser's end of the live websocket, for tests: in process, or over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from fundops.core.models import User
from portal.live.app import websocket_application


def signed_in(user: User) -> SessionStore:
    """A stored session of ``user``, as a login leaves it."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session


class Browser:
    """One websocket against the application in this event loop."""

    def __init__(self, session_key: str | None, *, query: str = "", origin: str = "http://testserver") -> None:
        headers = [(b"origin", origin.encode()), (b"host", b"testserver")]
        if session_key is not None:
            headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={session_key}".encode()))
        scope = {
            "type": "websocket",
            "path": "/ws/live/",
            "query_string": query.encode(),
            "headers": headers,
            "subprotocols": [],
        }
        self.link: Any = ApplicationCommunicator(websocket_application, scope)  # type: ignore[no-untyped-call]

    async def open(self) -> bool:
        await self.link.send_input({"type": "websocket.connect"})
        return bool((await self.link.receive_output(5))["type"] == "websocket.accept")

    async def hello(self) -> dict[str, Any]:
        assert await self.open()
        message = await self.next()
        assert message["type"] == "hello"
        return message

    async def ask(self, **request: Any) -> None:
        await self.say(json.dumps(request))

    async def say(self, message: str | bytes) -> None:
        """Sends text or bytes as they are."""
        kind = "text" if isinstance(message, str) else "bytes"
        await self.link.send_input({"type": "websocket.receive", kind: message})

    async def next(self, seconds: float = 5) -> dict[str, Any]:
        message: dict[str, Any] = json.loads((await self.link.receive_output(seconds))["text"])
        return message

    async def take(self, count: int) -> list[dict[str, Any]]:
        return [await self.next() for _ in range(count)]

    async def subscribe(self, topic: str, **more: Any) -> dict[str, Any]:
        await self.ask(type="subscribe", topic=topic, **more)
        return await self.next()

    async def silent(self) -> bool:
        """True when nothing but the answer to a ping comes: whatever was due before it has been sent."""
        await self.ask(type="ping")
        return bool((await self.next())["type"] == "pong")

    async def end(self, seconds: float = 5) -> tuple[int, str]:
        """The close code and reason, skipping messages before them."""
        while True:
            output = await self.link.receive_output(seconds)
            if output["type"] == "websocket.close":
                return output["code"], output.get("reason", "")

    async def leave(self) -> None:
        await self.link.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.link.wait(5)


def seqs(messages: Iterable[dict[str, Any]]) -> list[int]:
    return [message["seq"] for message in messages]


async def eventually(condition: Any, seconds: float = 10) -> None:
    """Returns once ``condition()`` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.01)
