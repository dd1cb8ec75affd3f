"""The process that owns the embedded pair: starts both servers, restarts a fallen one, stops them with their
last user.

Who uses the services holds a lease: an open connection to the control socket. The kernel closes it when the
user ends, however it ends, so nothing is left running for nobody; ``start`` makes the supervisor stay without
leases. The servers die with the supervisor (kernel death signals), and the next start recovers whatever a
kill left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any

from fundops.embedded.errors import EmbeddedError
from fundops.embedded.layout import Layout, find_binaries
from fundops.embedded.postgres import Postgres
from fundops.embedded.redis import Redis

#: How long a fresh supervisor waits for its first lease: the client that launched it may have been killed.
FIRST_LEASE_PATIENCE_S = 30.0
LOCK_PATIENCE_S = 60.0
BACKOFF_S = (0.0, 0.2, 1.0, 5.0, 15.0)
#: A server that ran this long has recovered; its next fall is restarted at once again.
SETTLED_S = 60.0
LOG_SIZE_MAX = 10 * 1024 * 1024


@dataclass
class Kept:
    """One server and how its restarts go."""

    server: Postgres | Redis
    started: float = 0.0
    restarts: int = 0
    attempt: int = 0
    due: float | None = None
    pidfd: int | None = None


@dataclass
class Supervisor:
    """Run it with :meth:`run` in a process of its own, holding the supervisor lock."""

    layout: Layout
    log: IO[bytes]
    durable: bool = True
    persistent: bool = False
    _kept: list[Kept] = field(default_factory=list)
    _leases: set[socket.socket] = field(default_factory=set)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stopping: bool = False
    _patient_until: float = 0.0

    def run(self, *, ready_fd: int | None = None) -> None:
        """Starts the pair, writes ``ready`` to the descriptor, serves until stopped or needed no more."""
        wakeup, waker = socket.socketpair()
        for end in (wakeup, waker):
            end.settimeout(0)
        signal.set_wakeup_fd(waker.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._selector.register(wakeup, selectors.EVENT_READ, partial(wakeup.recv, 64))

        binaries = find_binaries(self.layout)
        for server in (
            Postgres(self.layout, binaries, self.log, durable=self.durable),
            Redis(self.layout, binaries, self.log, durable=self.durable),
        ):
            self._kept.append(Kept(server))
        try:
            for kept in self._kept:
                self._start(kept)
            with self._control_socket() as control:
                self._selector.register(control, selectors.EVENT_READ, partial(self._accept, control))
                self._patient_until = time.monotonic() + FIRST_LEASE_PATIENCE_S
                if ready_fd is not None:
                    os.write(ready_fd, b"ready\n")
                    os.close(ready_fd)
                self.note("ready", durable=self.durable, persistent=self.persistent)
                while not self._stopping and self._wanted():
                    self._step()
        finally:
            for lease in self._leases:
                lease.close()
            for kept in reversed(self._kept):
                kept.server.stop()
            self.note("stopped")

    def note(self, event: str, **facts: Any) -> None:
        """One JSON line in the supervisor's log, between the servers' own."""
        line = {"at": datetime.now(UTC).isoformat(), "source": "supervisor", "event": event, **facts}
        self.log.write(json.dumps(line).encode() + b"\n")
        self.log.flush()

    def _wanted(self) -> bool:
        return self.persistent or bool(self._leases) or time.monotonic() < self._patient_until

    def _step(self) -> None:
        dues = [kept.due for kept in self._kept if kept.due is not None]
        if not self._leases and not self.persistent:
            dues.append(self._patient_until)
        timeout = max(0.0, min(dues) - time.monotonic()) if dues else None
        for key, _events in self._selector.select(timeout):
            key.data()
        for kept in self._kept:
            if kept.due is not None and kept.due <= time.monotonic() and not self._stopping:
                self._restart(kept)

    # --- servers ----------------------------------------------------------------------------------

    def _start(self, kept: Kept) -> None:
        kept.server.start()
        process = kept.server.process
        assert process is not None  # noqa: S101 - start() either raises or sets it
        kept.started = time.monotonic()
        kept.pidfd = os.pidfd_open(process.pid)
        self._selector.register(kept.pidfd, selectors.EVENT_READ, partial(self._fell, kept))

    def _fell(self, kept: Kept) -> None:
        assert kept.pidfd is not None and kept.server.process is not None  # noqa: S101
        self._selector.unregister(kept.pidfd)
        os.close(kept.pidfd)
        kept.pidfd = None
        code = kept.server.process.wait()
        kept.server.process = None
        if time.monotonic() - kept.started > SETTLED_S:
            kept.attempt = 0
        self._schedule(kept, reason=f"{kept.server.name} ended with code {code}")

    def _schedule(self, kept: Kept, *, reason: str) -> None:
        delay = BACKOFF_S[min(kept.attempt, len(BACKOFF_S) - 1)]
        kept.attempt += 1
        kept.due = time.monotonic() + delay
        self.note("restart_scheduled", reason=reason, in_s=delay)

    def _restart(self, kept: Kept) -> None:
        kept.due = None
        kept.restarts += 1
        try:
            self._start(kept)
        except (EmbeddedError, OSError) as error:
            kept.server.stop()
            self._schedule(kept, reason=str(error))
        else:
            self.note("restarted", service=kept.server.name)

    # --- control socket ---------------------------------------------------------------------------

    @contextmanager
    def _control_socket(self) -> Iterator[socket.socket]:
        path = self.layout.control_socket
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.bind(str(path))
            path.chmod(0o600)
            control.listen(128)
            control.settimeout(0)
            try:
                yield control
            finally:
                # Gone before the servers stop: whoever comes now waits for the lock and starts anew.
                path.unlink(missing_ok=True)

    def _accept(self, control: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _address = control.accept()
            connection.settimeout(5.0)
            self._selector.register(connection, selectors.EVENT_READ, partial(self._serve, connection))

    def _serve(self, connection: socket.socket) -> None:
        try:
            wish = connection.recv(64).decode("ascii", errors="replace").strip()
            if wish == "lease":
                self._leases.add(connection)
                self._answer(connection, {"ok": True})
            elif wish == "stay":
                self.persistent = True
                self._answer(connection, {"ok": True})
            elif wish == "status":
                self._answer(connection, self._status())
            elif wish == "stop":
                self._stopping = True
                self._answer(connection, {"ok": True, "leases": len(self._leases)})
            else:  # the peer ended, or is not one of ours
                self._drop(connection)
        except OSError:
            self._drop(connection)

    def _answer(self, connection: socket.socket, answer: dict[str, Any]) -> None:
        connection.sendall(json.dumps(answer).encode() + b"\n")

    def _drop(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._leases.discard(connection)
        connection.close()
        if not self._leases:
            self._patient_until = 0.0

    def _status(self) -> dict[str, Any]:
        return {
            "ok": True,
            "pid": os.getpid(),
            "persistent": self.persistent,
            "durable": self.durable,
            "leases": len(self._leases),
            "services": {
                kept.server.name: {
                    "pid": kept.server.process.pid if kept.server.process else None,
                    "restarts": kept.restarts,
                    "up_s": round(time.monotonic() - kept.started, 1) if kept.server.process else None,
                }
                for kept in self._kept
            },
        }

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stopping = True


def serve(layout: Layout, *, durable: bool, persistent: bool, detach: bool, ready_fd: int | None) -> int:
    """The body of ``python -m fundops.embedded serve``: waits for the lock, then supervises. Returns an exit
    code.
    """
    if detach and os.fork() > 0:
        os._exit(0)  # the caller reaps this one; the supervisor belongs to init and to its leases
    if layout.log.exists() and layout.log.stat().st_size > LOG_SIZE_MAX:
        layout.log.replace(layout.log.with_suffix(".log.1"))
    with layout.log.open("ab") as log, layout.supervisor_lock.open("a+") as lock:
        layout.log.chmod(0o600)
        _lock_patiently(lock)
        if detach:
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            Supervisor(layout, log, durable=durable, persistent=persistent).run(ready_fd=ready_fd)
        except EmbeddedError as error:
            if ready_fd is not None:
                with contextlib.suppress(OSError):
                    os.write(ready_fd, str(error).encode())
            else:
                sys.stderr.write(f"{error}\n")
            return 1
    return 0


def _lock_patiently(lock: IO[str]) -> None:
    """A supervisor that shuts down keeps the lock to its end; one that was killed has lost it already."""
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedError("Another supervisor of this state dir does not end.") from None
            time.sleep(0.05)
        else:
            return
