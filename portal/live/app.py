"""The websocket's door: origin, session, account, then the connection itself; and the hub's end with its
process."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qs

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.db import DatabaseError
from django.urls import path

from portal.live.hub import running_hub, stop_hub
from portal.live.socket import Close, LiveSocket, Receive, Send, close, serve

logger = logging.getLogger(__name__)


async def live_socket(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """`/ws/live/` for one browser. ``?batch=1``: several messages at once may come as one JSON array."""
    if (await receive())["type"] != "websocket.connect":
        return
    await send({"type": "websocket.accept"})
    user, session = scope["user"], scope["session"]
    if not user.is_authenticated or session.session_key is None:
        # Accepted first: a browser cannot read the reason of a refused handshake.
        await close(send, Close.SIGNED_OUT, "Sign in first.")
        return
    try:
        hub = await running_hub()
        socket = LiveSocket(
            send=send,
            user_id=user.pk,
            session_key=session.session_key,
            batching=parse_qs(scope.get("query_string", b"").decode("latin-1")).get("batch") == ["1"],
        )
        await hub.enter(socket)
    except DatabaseError:
        logger.exception("A live connection could not begin.")
        await close(send, Close.RESTART, "The database is away; try again.")
        return
    try:
        goodbye = await serve(socket, receive, hub)
    finally:
        hub.exit(socket)
    if goodbye is not None:
        await close(send, *goodbye)


async def lifespan(_scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The server's start and end."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await stop_hub()
            await send({"type": "lifespan.shutdown.complete"})
            return


_routes: list[Any] = [path("ws/live/", live_socket)]  # type: ignore[arg-type]  # an ASGI application, not a view
websocket_application = AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(_routes)))
