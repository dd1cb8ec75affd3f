"""`manage.py up` for real: every process, ready, one signal stops all, and a kill -9 leaves none."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from fundops.embedded.client import request
from fundops.embedded.layout import PROJECT_ROOT, prepare_layout
from tests.core.embedded_support import state_dir
from tests.core.processes import assert_all_end, eventually

pytestmark = [pytest.mark.soak, pytest.mark.timeout(420)]


@dataclass
class Up:
    process: subprocess.Popen[str]
    port: int
    lines: list[str]
    folder: Path

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def descendants(self) -> set[int]:
        """Every process below `up`, the embedded pair's (which are nobody's children) included."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                parents[int(entry.name)] = int(stat[stat.rindex(")") + 2 :].split()[1])
        found = {self.process.pid}
        while True:
            more = {pid for pid, parent in parents.items() if parent in found} - found
            if not more:
                break
            found |= more
        status: dict[str, Any] = request(prepare_layout(self.folder), "status") or {}
        found |= {service["pid"] for service in status.get("services", {}).values()}
        return found | ({status["pid"]} if status else set())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """A machine of its own: a state dir, a migrated database in it, a free port."""
    with state_dir() as folder:
        made = {
            "PATH": os.environ["PATH"],
            "FUNDOPS_ENV": "demo",
            "FUNDOPS_ENV_FILE": "",
            "FUNDOPS_STATE_DIR": str(folder),
            "WEB_PORT": str(_free_port()),
            "WORKER_CONCURRENCY": "1",
            "LOG_FORMAT": "json",
        }
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, env=made, cwd=PROJECT_ROOT, check=True)
        yield made


@contextmanager
def _up(environment: dict[str, str]) -> Iterator[Up]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--grace", "5"],
        env=environment,
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    reader = Thread(target=lambda: lines.extend(process.stdout or []), daemon=True)
    reader.start()
    try:
        yield Up(process, int(environment["WEB_PORT"]), lines, Path(environment["FUNDOPS_STATE_DIR"]))
    finally:
        process.kill()
        process.wait()


def _shown(up: Up) -> str:
    return "".join(up.lines[-80:])


def test_up_gets_ready_restarts_the_killed_and_leaves_nothing_behind(environment: dict[str, str]) -> None:
    with _up(environment) as up:
        try:
            eventually(lambda: up.get("/readyz")[0] == 200, timeout_s=180, what="readiness")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{up.get('/readyz')}\n{_shown(up)}") from error
        eventually(lambda: any("ready after" in line for line in up.lines), what="the word of it")
        checks = json.loads(up.get("/readyz")[1])["checks"]
        assert {"database", "redis", "workers", "beat", "relay"} <= set(checks)
        assert all(check["ok"] for check in checks.values())

        # A task that beat asked for was logged with its ids and counted for everybody.
        done = [line for line in up.lines if '"task.done"' in line and "core.beat_heartbeat" in line]
        event = json.loads(done[0].split(" | ", 1)[1])
        assert event["process"] == "worker-general"
        assert event["task_id"]
        assert event["task"] == "core.beat_heartbeat"
        assert 'fundops_tasks_total{state="success",task="core.beat_heartbeat"}' in up.get("/metrics")[1]

        # Killed -9, the services and a worker come back by themselves.
        status = request(prepare_layout(up.folder), "status")
        assert status is not None
        os.kill(status["services"]["postgres"]["pid"], signal.SIGKILL)
        os.kill(status["services"]["redis"]["pid"], signal.SIGKILL)
        eventually(lambda: up.get("/readyz")[0] == 200, timeout_s=180, what="readiness after the kills")

        everybody = up.descendants()
        assert len(everybody) > 10
        up.process.kill()
        assert_all_end(everybody, timeout_s=60)


def test_one_signal_stops_everything(environment: dict[str, str]) -> None:
    with _up(environment) as up:
        eventually(lambda: up.get("/healthz")[0] == 200, timeout_s=120, what="the web process")
        everybody = up.descendants()
        os.kill(up.process.pid, signal.SIGINT)
        assert up.process.wait(timeout=120) == 0, _shown(up)
        assert_all_end(everybody, timeout_s=60)


def test_taken_port_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"web_port": port}))
        with pytest.raises(CommandError, match="Stop what uses it, or set WEB_PORT"):
            call_command("up")


def test_list_names_the_command_lines(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("up", "--list")
    planned = json.loads(capsys.readouterr().out)
    assert list(planned) == ["web", "worker-trading", "worker-general", "worker-research", "beat", "relay"]
    queues = ",".join(planned[name][planned[name].index("--queues") + 1] for name in planned if "worker" in name)
    assert sorted(queues.split(",")) == ["default", "reports", "research", "trading"]
