"""The first thing every process does: check the environment, and provide the services it does not name.

Called by manage.py, the web process and Celery before Django loads its settings. Outside production, when
neither ``DATABASE_URL`` nor ``REDIS_URL`` is set, the embedded pair is started or joined for as long as this
process lives.
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from fundops.core.env import Env, load_env_or_exit
from fundops.core.logging import configure_logging
from fundops.embedded import EmbeddedError, ensure_services
from fundops.embedded.client import provide_urls
from fundops.embedded.layout import write_private


def boot(*, services: bool = True) -> Env:
    """The environment in force; leaves with exit code 2 and a list of what to fix when it is not fit to
    start.

    With ``services`` the process' environment names a database and a Redis afterwards. Harmless to repeat.
    """
    env = load_env_or_exit()
    configure_logging(env)
    if env.production:
        return env
    if "SECRET_KEY" not in os.environ and _is_default(env, "secret_key"):
        os.environ["SECRET_KEY"] = _kept_secret_key(env.state_dir)
    if services and env.database_url is None and env.redis_url is None:
        try:
            provide_urls(os.environ, ensure_services(state_dir=env.state_dir))
        except EmbeddedError as error:
            sys.stderr.write(f"{error}\n")
            raise SystemExit(2) from None
    env = load_env_or_exit()
    configure_logging(env)  # once more: now the secrets made here are known and masked too
    return env


def _is_default(env: Env, name: str) -> bool:
    return name not in env.model_fields_set


def _kept_secret_key(state_dir: Path) -> str:
    """The key of this checkout, made at first use; processes that make it at once agree on one."""
    path = state_dir / "secret_key"
    if not path.exists():
        state_dir.mkdir(parents=True, exist_ok=True)
        offered = state_dir / f".secret_key.{os.getpid()}"
        write_private(offered, secrets.token_urlsafe(48))
        with suppress(FileExistsError):
            path.hardlink_to(offered)
        offered.unlink()
    return path.read_text()
