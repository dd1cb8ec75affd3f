"""The few kernel facilities everything else here leans on: death signals, pidfds and who works in which
folder.

A child started by :func:`spawn` is signalled by the kernel when its parent dies, however the parent dies, and
a pidfd tells of a process' end without polling and without ever meaning another process that got the same
number.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """The operating system account a server runs under."""

    name: str
    uid: int
    gid: int


def die_with_parent(*, parent: int, with_signal: signal.Signals) -> None:
    """Asks the kernel to send ``with_signal`` to this process when its parent ends; call it in the child.

    ``parent`` is the pid the parent saw as its own: if it is gone already, the signal has been missed and the
    child leaves at once.
    """
    if _libc.prctl(PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def spawn(
    command: Sequence[str],
    *,
    death_signal: signal.Signals,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | int | None = None,
    new_session: bool = True,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Starts a child that receives ``death_signal`` when the calling thread ends; call it from the main
    thread only.

    ``account`` drops root's rights first (user, group, no further groups): the death signal is set after
    that, since a change of user clears it. ``new_session`` keeps the terminal's Ctrl-C from reaching the
    child directly.
    """
    parent = os.getpid()
    return subprocess.Popen(  # noqa: S603 - the commands are ours
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env=dict(env) if env is not None else None,
        cwd=cwd,
        start_new_session=new_session,
        pass_fds=pass_fds,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        preexec_fn=lambda: die_with_parent(parent=parent, with_signal=death_signal),
    )


def wait_for_exit(pids: Iterable[int], *, timeout_s: float) -> list[int]:
    """Waits until the processes have ended; returns those that have not when the time is over. Zombies count
    as ended.
    """
    deadline = time.monotonic() + timeout_s
    poller = select.poll()
    open_fds: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            open_fds[fd] = pid
            poller.register(fd, select.POLLIN)
    try:
        while open_fds:
            left_ms = max(0.0, deadline - time.monotonic()) * 1000
            ready = poller.poll(left_ms)
            if not ready:
                break
            for fd, _event in ready:
                poller.unregister(fd)
                os.close(fd)
                del open_fds[fd]
        return sorted(open_fds.values())
    finally:
        for fd in open_fds:
            os.close(fd)


def end_processes(pids: Iterable[int], *, steps: Sequence[tuple[signal.Signals, float]]) -> list[int]:
    """Sends each signal in turn to those still alive and waits its seconds; returns the survivors of the last
    step.
    """
    alive = list(pids)
    for number, patience_s in steps:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        alive = wait_for_exit(alive, timeout_s=patience_s)
        if not alive:
            break
    return alive


def processes_working_in(folder: Path) -> list[int]:
    """Pids of the processes whose working directory is ``folder``: its servers, orphans included."""
    wanted = folder.resolve()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").readlink() == wanted:
                found.append(int(entry.name))
        except OSError:  # ended meanwhile, or another user's process
            continue
    return found


def process_group_members(group: int) -> list[int]:
    """Pids in a process group, zombies left out."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        state, _ppid, pgrp = stat[stat.rindex(")") + 2 :].split()[:3]
        if int(pgrp) == group and state != "Z":
            members.append(int(entry.name))
    return members


def can_enter(account: Account, folder: Path) -> bool:
    """Whether ``account`` may pass through every folder down to ``folder`` (mode bits; no ACLs)."""
    for step in [folder, *folder.parents]:
        if not step.exists():
            continue
        info = step.stat()
        if info.st_uid == account.uid:
            allowed = bool(info.st_mode & 0o100)
        elif info.st_gid == account.gid:
            allowed = bool(info.st_mode & 0o010)
        else:
            allowed = bool(info.st_mode & 0o001)
        if not allowed:
            return False
    return True
