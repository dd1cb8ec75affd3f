"""The web process: HTTP and websockets.

Serve it with the fast parts and without compressing each websocket message for each browser anew::

    uvicorn fundops.asgi:application --loop uvloop --http httptools --ws websockets-sansio \\
        --ws-per-message-deflate false
"""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from fundops.core.boot import boot

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
boot()

# Django is set up before anything that knows its models is imported.
http_application = get_asgi_application()

from portal.live.app import lifespan, websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": http_application, "websocket": websocket_application, "lifespan": lifespan})
