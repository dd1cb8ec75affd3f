"""Runs the product's own processes on one machine: one terminal, one Ctrl-C, restarts, nothing orphaned.

Each program runs in a session of its own and gets SIGTERM from the kernel when this supervisor dies. A
program may have children (Celery's pool) that a kill of the supervisor would leave behind, so a watchdog,
forked at the start, ends every program's whole process group once the supervisor's end of a pipe closes,
whatever closed it.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Final

from fundops.embedded.linux import end_processes, process_group_members, spawn

BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: A program that ran this long was well; its next fall starts the backoff anew.
SETTLED_S: Final = 60.0
#: Exit code of a process whose environment is not fit to start: a restart cannot help.
UNFIT: Final = 2
PROBE_EVERY_S: Final = 0.5
COLOURS: Final = (36, 33, 32, 35, 34, 96, 93, 92)


@dataclass(frozen=True)
class Program:
    """One program to keep running."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Running:
    program: Program
    colour: int
    process: subprocess.Popen[bytes] | None = None
    pidfd: int | None = None
    started: float = 0.0
    attempt: int = 0
    due: float | None = 0.0
    partial_line: bytes = b""


@dataclass
class ProcessSupervisor:
    """Keeps the programs running until a signal; :meth:`run` is the body of `manage.py up`."""

    programs: Sequence[Program]
    output: IO[bytes]
    grace_s: float = 15.0
    #: ``(host, port, path)`` asked until it answers 200, then ``on_ready`` is called once with the seconds it
    #: took.
    probe: tuple[str, int, str] | None = None
    on_ready: Callable[[float], None] | None = None
    #: A descriptor that becomes readable when the embedded services' supervisor ends, and what to do then: it
    #: brings them back and returns the next descriptor.
    lease: int | None = None
    on_lease_lost: Callable[[], int | None] | None = None

    def __post_init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._running = [
            _Running(program, COLOURS[index % len(COLOURS)]) for index, program in enumerate(self.programs)
        ]
        self._width = max((len(program.name) for program in self.programs), default=0)
        self._signals = 0
        self._exit_code = 0
        self._watchdog = Watchdog(grace_s=self.grace_s)
        self._ready = False
        self._probe_due = 0.0
        self._begun = time.monotonic()

    def run(self) -> int:
        """Starts everything, returns the exit code once everything has ended."""
        wakeup, waker = socket.socketpair()
        for end in (wakeup, waker):
            end.settimeout(0)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._selector.register(wakeup, selectors.EVENT_READ, partial(wakeup.recv, 64))
        self._watchdog.start()
        if self.lease is not None:
            self._selector.register(self.lease, selectors.EVENT_READ, self._lease_lost)
        try:
            while not self._signals:
                self._step()
        finally:
            self._stop_all()
            self._watchdog.dismiss()
        return self._exit_code

    def say(self, text: str, *, name: str = "up", colour: int = 37) -> None:
        """One line of this supervisor's own, in the style of the programs' lines."""
        self._print(name, colour, text.encode())

    # --- the loop ----------------------------------------------------------------------------------------

    def _step(self) -> None:
        now = time.monotonic()
        dues = [running.due for running in self._running if running.due is not None]
        if self.probe is not None and not self._ready:
            dues.append(self._probe_due)
        timeout = max(0.0, min(dues) - now) if dues else None
        for key, _events in self._selector.select(timeout):
            key.data()
        now = time.monotonic()
        for running in self._running:
            if running.due is not None and running.due <= now and not self._signals:
                self._start(running)
        if self.probe is not None and not self._ready and self._probe_due <= now:
            self._ask(self.probe)

    def _start(self, running: _Running) -> None:
        running.due = None
        process = spawn(
            running.program.command,
            death_signal=signal.SIGTERM,
            env={**os.environ, **running.program.env},
            output=subprocess.PIPE,
        )
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        running.process = process
        running.started = time.monotonic()
        running.pidfd = os.pidfd_open(process.pid)
        self._watchdog.watch(process.pid)
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, partial(self._read, running, process.stdout))
        self._selector.register(running.pidfd, selectors.EVENT_READ, partial(self._ended, running))

    def _read(self, running: _Running, stream: IO[bytes]) -> None:
        try:
            data = os.read(stream.fileno(), 65536)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(stream)
            stream.close()
            return
        *lines, running.partial_line = (running.partial_line + data).split(b"\n")
        for line in lines:
            self._print(running.program.name, running.colour, line)

    def _ended(self, running: _Running) -> None:
        assert running.process is not None  # noqa: S101 - only a started program ends
        code = running.process.wait()
        self._forget(running)
        if self._signals:
            return
        if code == UNFIT:
            self.say(f"{running.program.name} ended with code {UNFIT}: something above is to be fixed first.")
            self._exit_code = UNFIT
            self._signals = 1
            return
        if time.monotonic() - running.started > SETTLED_S:
            running.attempt = 0
        delay = BACKOFF_S[min(running.attempt, len(BACKOFF_S) - 1)]
        running.attempt += 1
        running.due = time.monotonic() + delay
        self.say(f"{running.program.name} ended with code {code}; starting it again in {delay:g} s")

    def _forget(self, running: _Running) -> None:
        """Clears what a program left: its children, its last output, its descriptors."""
        process = running.process
        assert process is not None  # noqa: S101 - only a started program ends
        end_processes(process_group_members(process.pid), steps=((signal.SIGKILL, 5.0),))
        self._watchdog.unwatch(process.pid)
        if running.pidfd is not None:
            self._selector.unregister(running.pidfd)
            os.close(running.pidfd)
            running.pidfd = None
        if process.stdout is not None and not process.stdout.closed:
            self._read(running, process.stdout)
            if not process.stdout.closed:
                self._selector.unregister(process.stdout)
                process.stdout.close()
        if running.partial_line:
            self._print(running.program.name, running.colour, running.partial_line)
            running.partial_line = b""
        running.process = None

    def _stop_all(self) -> None:
        """SIGTERM to each program, its grace, SIGKILL to whatever is left of its group; a second signal
        hurries.
        """
        for running in self._running:
            if running.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.process.pid, signal.SIGTERM)
        first = self._signals
        deadline = time.monotonic() + self.grace_s
        while any(running.process for running in self._running) and time.monotonic() < deadline:
            if self._signals > max(first, 1):
                break
            for key, _events in self._selector.select(max(0.0, deadline - time.monotonic())):
                key.data()
        for running in self._running:
            if running.process is not None:
                end_processes(process_group_members(running.process.pid), steps=((signal.SIGKILL, 5.0),))
                running.process.wait()
                self._forget(running)

    # --- readiness and services --------------------------------------------------------------------------

    def _ask(self, probe: tuple[str, int, str]) -> None:
        """Sends one readiness question; the loop reads the answer, so that a slow one holds nothing up."""
        host, port, path = probe
        self._probe_due = time.monotonic() + PROBE_EVERY_S
        connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        connection.settimeout(0.2)
        try:
            connection.connect((host, port))
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        except OSError:
            connection.close()
            return
        self._probe_due = time.monotonic() + 10.0
        self._selector.register(connection, selectors.EVENT_READ, partial(self._answered, connection))

    def _answered(self, connection: socket.socket) -> None:
        try:
            status = connection.recv(64).split(b" ")[1:2]
        except OSError:
            status = []
        self._selector.unregister(connection)
        connection.close()
        self._probe_due = time.monotonic() + PROBE_EVERY_S
        if status == [b"200"] and not self._ready:
            self._ready = True
            if self.on_ready is not None:
                self.on_ready(time.monotonic() - self._begun)

    def _lease_lost(self) -> None:
        assert self.lease is not None  # noqa: S101 - it was registered
        self._selector.unregister(self.lease)
        self.lease = None
        if self._signals or self.on_lease_lost is None:
            return
        self.say("the embedded services are gone; starting them again")
        self.lease = self.on_lease_lost()
        if self.lease is not None:
            self._selector.register(self.lease, selectors.EVENT_READ, self._lease_lost)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1

    def _print(self, name: str, colour: int, line: bytes) -> None:
        label = f"{name:<{self._width}} | "
        if self.output.isatty():
            label = f"\x1b[{colour}m{label}\x1b[0m"
        with contextlib.suppress(OSError):  # the terminal may be gone; the programs are not
            self.output.write(label.encode() + line + b"\n")
            self.output.flush()


class Watchdog:
    """A forked child that outlives its parent just long enough to end the process groups it was told of.

    It holds whatever descriptors the parent had when it was forked, the lease on the embedded services among
    them: they stay until the programs have ended.
    """

    def __init__(self, *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._pid: int | None = None
        self._writer: int | None = None

    def start(self) -> None:
        reader, self._writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                os.close(self._writer)
                code = self._watch(reader)
            finally:
                os._exit(code)
        os.close(reader)

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def unwatch(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def dismiss(self) -> None:
        """Everything has ended in order: the watchdog may go."""
        if self._writer is not None and self._pid is not None:
            os.close(self._writer)
            os.waitpid(self._pid, 0)
            self._writer = self._pid = None

    def _tell(self, line: str) -> None:
        if self._writer is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._writer, line.encode())

    def _watch(self, reader: int) -> int:
        os.setsid()  # the terminal's Ctrl-C is the parent's business
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        groups: set[int] = set()
        with os.fdopen(reader) as orders:
            for order in orders:
                (groups.add if order[0] == "+" else groups.discard)(int(order[1:]))
        end_groups(groups, grace_s=self._grace_s)
        return 0


def end_groups(groups: set[int], *, grace_s: float) -> None:
    """SIGTERM to every member of the groups, the grace, then SIGKILL."""
    members = [pid for group in groups for pid in process_group_members(group)]
    end_processes(members, steps=((signal.SIGTERM, grace_s),))
    late = [pid for group in groups for pid in process_group_members(group)]
    end_processes(late, steps=((signal.SIGKILL, 5.0),))


def python(*arguments: str) -> list[str]:
    """A command line of this very interpreter."""
    return [sys.executable, *arguments]
