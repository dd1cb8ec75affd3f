"""Using the embedded pair from any process: ask for it, and it is there until this process ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fundops.embedded.errors import EmbeddedError
from fundops.embedded.layout import PROJECT_ROOT, Layout, ServiceUrls, prepare_layout

START_PATIENCE_S = 180.0
ANSWER_PATIENCE_S = 150.0

#: Leases of this process by home folder. A forked child shares them, an executed one does not.
_leases: dict[Path, socket.socket] = {}


def ensure_services(*, state_dir: Path | None = None, durable: bool = True, persistent: bool = False) -> ServiceUrls:
    """The pair's URLs, after starting it where it does not run yet; any number of processes may call at once.

    The services stay at least until this process ends or calls :func:`release_services`; with ``persistent``
    they stay until told to stop. ``durable=False`` (throwaway pairs of tests) turns fsync off when this call
    starts the pair. Raises EmbeddedError with what to do when they cannot run here.
    """
    layout = prepare_layout(state_dir)
    if not lease_is_alive(layout):
        with _start_lock(layout):
            lease = _ask(layout, "lease")
            if lease is None:
                _launch(layout, durable=durable)
                lease = _ask(layout, "lease")
            if lease is None:
                raise EmbeddedError(f"The embedded services ended right after their start; see {layout.log}.")
            _leases[layout.home] = lease[0]
    if persistent:
        request(layout, "stay")
    return layout.urls()


def lease_is_alive(layout: Layout) -> bool:
    """Whether this process holds a lease whose supervisor lives."""
    lease = _leases.get(layout.home)
    if lease is None:
        return False
    try:
        return lease.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def lease_descriptor(*, state_dir: Path | None = None) -> int | None:
    """The lease's file descriptor; it becomes readable when the supervisor ends."""
    if not _leases:  # nothing embedded here: prepare nothing either
        return None
    lease = _leases.get(prepare_layout(state_dir).home)
    return lease.fileno() if lease else None


def release_services(*, state_dir: Path | None = None) -> None:
    """Gives this process' lease back; without another user the services stop."""
    lease = _leases.pop(prepare_layout(state_dir).home, None)
    if lease is not None:
        lease.close()


def provide_urls(environment: MutableMapping[str, str], urls: ServiceUrls) -> None:
    """Puts the URLs into an environment and records that they are embedded, for `check_env`."""
    environment.update(urls.environment())
    environment["FUNDOPS_EMBEDDED_VARIABLES"] = ",".join(urls.environment())


def request(layout: Layout, wish: str) -> dict[str, Any] | None:
    """One question to the supervisor; None when there is none."""
    answered = _ask(layout, wish)
    if answered is None:
        return None
    answered[0].close()
    return answered[1]


def stop_services(*, state_dir: Path | None = None) -> bool:
    """Stops the pair, whoever uses it, and waits until it is down; False when none was running."""
    layout = prepare_layout(state_dir)
    answer = request(layout, "stop")
    with layout.supervisor_lock.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held by the supervisor to its very end
    return answer is not None


def destroy_services(*, state_dir: Path) -> None:
    """Stops the pair and deletes everything it kept: for throwaway pairs only."""
    release_services(state_dir=state_dir)
    stop_services(state_dir=state_dir)
    layout = prepare_layout(state_dir)
    for folder in (layout.run, layout.home, state_dir):
        shutil.rmtree(folder, ignore_errors=True)


def _ask(layout: Layout, wish: str) -> tuple[socket.socket, dict[str, Any]] | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_PATIENCE_S)
        connection.connect(str(layout.control_socket))
        connection.sendall(f"{wish}\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            part = connection.recv(4096)
            if not part:
                raise ConnectionResetError
            answer += part
    except TimeoutError:
        connection.close()
        raise EmbeddedError(f"The embedded services' supervisor does not answer; see {layout.log}.") from None
    except OSError:  # nobody there, or just leaving
        connection.close()
        return None
    connection.settimeout(None)
    return connection, json.loads(answer)


def _launch(layout: Layout, *, durable: bool) -> None:
    """Starts a supervisor that outlives this process if others need it, and waits until the pair is ready."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "fundops.embedded", "--home", str(layout.home), "serve", "--detach"]
    command += ["--ready-fd", str(writer)]
    if not durable:
        command.append("--not-durable")
    kept = ("PATH", "HOME", "LANG", "TZ", "FUNDOPS_STATE_DIR")
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, reader)
            try:
                started = subprocess.run(  # noqa: S603
                    [*command, "--run", str(layout.run)],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    start_new_session=True,
                    pass_fds=[writer],
                    cwd=PROJECT_ROOT,
                    env={name: os.environ[name] for name in kept if name in os.environ},
                    check=False,
                )
            finally:
                os.close(writer)
            message = _read_all(reader)
    except OSError as error:
        raise EmbeddedError(f"The embedded services' supervisor could not be started: {error}") from error
    if message.strip() != "ready":
        reason = message or started.stderr.decode(errors="replace") or f"see {layout.log}"
        raise EmbeddedError(f"The embedded services did not start: {reason.strip()}")


def _read_all(reader: int) -> str:
    """What the supervisor says until it says "ready" or closes its end."""
    said = b""
    while True:
        ready, _, _ = select.select([reader], [], [], START_PATIENCE_S)
        if not ready:
            return f"{said.decode(errors='replace')} (no answer within {START_PATIENCE_S:.0f} s)"
        part = os.read(reader, 4096)
        said += part
        if not part or said.endswith(b"ready\n"):
            return said.decode(errors="replace")


@contextmanager
def _start_lock(layout: Layout) -> Iterator[None]:
    with layout.start_lock.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
