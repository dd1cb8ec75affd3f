"""The web process: HTTP and websockets."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from fundops.core.boot import boot

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
boot()

application = ProtocolTypeRouter({"http": get_asgi_application()})
