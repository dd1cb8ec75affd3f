"""The settings of a test run: the product's own, over a PostgreSQL and Redis that this run alone uses.

The services start once a run, are shared by its workers, and go with it. With DATABASE_URL and REDIS_URL set
(and the owner's and superuser's URLs) the run uses those instead.
"""

import atexit
import os
from pathlib import Path

os.environ["FUNDOPS_ENV"] = "test"
os.environ["FUNDOPS_ENV_FILE"] = ""  # what a developer keeps there is no part of a test

from fundops.embedded import ensure_services
from fundops.embedded.client import destroy_services, provide_urls
from fundops.embedded.layout import PROJECT_ROOT


def _provide_services() -> None:
    state_dir = Path(os.environ.get("FUNDOPS_STATE_DIR") or PROJECT_ROOT / "var") / "tests" / str(os.getpid())
    provide_urls(os.environ, ensure_services(state_dir=state_dir, durable=False))
    os.environ["FUNDOPS_STATE_DIR"] = str(state_dir)
    owner = os.getpid()

    def destroy() -> None:
        if os.getpid() == owner:  # a forked child leaves them alone
            destroy_services(state_dir=state_dir)

    atexit.register(destroy)


if not os.environ.get("DATABASE_URL"):
    _provide_services()

# Redis is shared by the run's workers: each has a database of it for itself, so that none empties another's.
if (_worker := os.environ.get("PYTEST_XDIST_WORKER")) and "?db=" not in os.environ["REDIS_URL"]:
    os.environ["REDIS_URL"] += f"?db={int(_worker.removeprefix('gw')) + 1}"

from fundops.settings import *  # noqa: E402, F403

# A slow hash protects real passwords; here it would only slow the suite down.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
