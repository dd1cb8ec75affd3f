"""The cast and the tools of the audit tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from compliance.relay.sealer import Sealer
from compliance.relay.session import open_session
from compliance.stream import Sealed
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.roles import Role

#: The key of child processes; a test that checks signatures of theirs works with the same (fixture
#: `shared_key`).
SHARED_KEY = "kq8-test-only-Zr5uY0aV3nXw7LmJtC2sQeHd9GfBp1iOyU4R6k"
ROOT = Path(__file__).resolve().parents[2]


def make_user(username: str, *roles: Role) -> User:
    """A user with these roles; the groups come from the migrations' role sync."""
    from django.contrib.auth.models import Group  # noqa: PLC0415 - after the registry

    user = User.objects.create_user(username, email=f"{username}@fund.example", password="a-long-passphrase-1")
    user.groups.set(Group.objects.filter(name__in=[role.value for role in roles]))
    return user


def say(
    number: int = 0,
    *,
    kind: str = "test.thing.done",
    actor: User | None = None,
    topics: list[str] | None = None,
) -> UUID:
    """Publishes one event in a transaction of its own."""
    with transaction.atomic():
        return publish(kind, actor=actor, payload={"n": number}, topics=topics or [])


def seal_all() -> list[Sealed]:
    """Seals what is committed, in a session of its own."""
    with open_session() as session:
        sealer = Sealer(session)
        sealed: list[Sealed] = []
        while batch := sealer.seal_batch():
            sealed += batch
        return sealed


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0, what: str = "") -> None:
    """Returns as soon as ``condition`` holds; fails the test when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"Waited {seconds} s in vain for {what or condition}.")
        time.sleep(0.01)


def process_env() -> dict[str, str]:
    """The environment of a child process that works on this test's database."""
    config: dict[str, Any] = connection.settings_dict
    login = f"{quote(config['USER'], safe='')}:{quote(config['PASSWORD'], safe='')}"
    port = f":{config['PORT']}" if config["PORT"] else ""
    url = f"postgres://{login}@{quote(config['HOST'], safe='')}{port}/{config['NAME']}"
    return os.environ | {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "fundops.settings",
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": SHARED_KEY,
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def relay_process(anchor_file: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real relay; killed with -9 at the end if it still lives."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_relay", "--anchor-file", str(anchor_file)],
        cwd=ROOT,
        env=process_env() | environment,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
