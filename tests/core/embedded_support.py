"""A throwaway state dir with a durable pair in it, and what tests ask of one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from fundops.embedded import ServiceUrls, ensure_services
from fundops.embedded.client import destroy_services, request
from fundops.embedded.layout import PROJECT_ROOT, Layout, prepare_layout


@dataclass(frozen=True)
class Pair:
    state_dir: Path
    urls: ServiceUrls

    @property
    def layout(self) -> Layout:
        return prepare_layout(self.state_dir)

    def status(self) -> dict[str, Any]:
        status = request(self.layout, "status")
        assert status is not None, "no supervisor answers"
        return status

    def pid(self, service: str) -> int:
        pid = self.status()["services"][service]["pid"]
        assert isinstance(pid, int), f"{service} does not run"
        return pid

    def restarted(self, service: str, *, since: int) -> int | None:
        """The new pid once the service runs again."""
        pid = self.status()["services"][service]["pid"]
        return pid if pid not in (None, since) else None

    def sql(self, statement: str, *, role: str = "owner") -> list[tuple[Any, ...]]:
        url = {
            "app": self.urls.database_url,
            "owner": self.urls.database_owner_url,
            "superuser": self.urls.database_superuser_url,
        }[role]
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as session:
            cursor = session.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.urls.redis_url, decode_responses=True)


@contextmanager
def state_dir() -> Iterator[Path]:
    """A folder the servers' account can reach; pytest's own temporary folders are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="fundops-embedded-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        destroy_services(state_dir=folder)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_pair(*, persistent: bool = True) -> Iterator[Pair]:
    """A durable pair, fsync on, as a demo would have it."""
    with state_dir() as folder:
        yield Pair(folder, ensure_services(state_dir=folder, persistent=persistent))


def start_user(folder: Path, code: str = "") -> subprocess.Popen[str]:
    """A process of its own that uses the pair until it is killed; it prints "using" once it does."""
    script = (
        "import pathlib, signal, sys\n"
        "from fundops.embedded import ensure_services\n"
        f"urls = ensure_services(state_dir=pathlib.Path({str(folder)!r}))\n"
        f"{code}\n"
        "print('using', flush=True)\n"
        "signal.pause()\n"
    )
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=PROJECT_ROOT)


def kill_hard(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
