"""The supervisor of the product's processes: output, restarts, one signal for all, nobody left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fundops.embedded.layout import PROJECT_ROOT
from fundops.embedded.linux import process_group_members, wait_for_exit
from tests.core.processes import assert_all_end

#: A program with two children that ignore SIGTERM, as a pool hung in a long computation would.
STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(2):
    if os.fork() == 0:
        break
os.write(1, b"pid %d\\n" % os.getpid())  # one write: print may take several, and lines would mix
while True:
    signal.pause()
"""
POLITE = "import os, signal; os.write(1, b'pid %d\\n' % os.getpid()); signal.pause()"


@contextmanager
def supervised(programs: dict[str, str], *, grace_s: float = 1.0) -> Iterator[subprocess.Popen[str]]:
    """A supervisor in a process of its own; each program is a piece of Python."""
    script = textwrap.dedent(
        f"""
        import sys
        from fundops.embedded.processes import ProcessSupervisor, Program, python
        programs = [Program(name, python("-c", code)) for name, code in {programs!r}.items()]
        sys.exit(ProcessSupervisor(programs, sys.stdout.buffer, grace_s={grace_s}).run())
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _read_pids(process: subprocess.Popen[str], count: int) -> list[int]:
    """The first ``count`` pids its programs print."""
    assert process.stdout is not None
    pids: list[int] = []
    for line in process.stdout:
        match = re.search(r"\| pid (\d+)", line)
        if match:
            pids.append(int(match[1]))
        if len(pids) == count:
            break
    assert len(pids) == count
    return pids


def test_output_carries_the_programs_name() -> None:
    with supervised({"web": "print('hello', flush=True); import signal; signal.pause()", "b": POLITE}) as process:
        assert process.stdout is not None
        lines = {process.stdout.readline(), process.stdout.readline()}
        assert "web | hello\n" in lines
        assert any(line.startswith("b   | pid ") for line in lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_stops_everything_children_that_ignore_it_included(number: signal.Signals) -> None:
    with supervised({"stubborn": STUBBORN, "polite": POLITE}) as process:
        pids = _read_pids(process, 4)
        os.kill(process.pid, number)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert wait_for_exit(pids, timeout_s=0.0) == []


def test_second_signal_does_not_wait_for_the_grace() -> None:
    with supervised({"stubborn": STUBBORN}, grace_s=3600.0) as process:
        pids = _read_pids(process, 3)
        os.kill(process.pid, signal.SIGINT)
        while wait_for_exit([process.pid], timeout_s=0.2):
            os.kill(process.pid, signal.SIGINT)
        assert wait_for_exit(pids, timeout_s=0.0) == []


def test_killed_supervisor_leaves_nobody_behind() -> None:
    with supervised({"stubborn": STUBBORN, "polite": POLITE}) as process:
        pids = _read_pids(process, 4)
        process.kill()
        assert_all_end(pids)


def test_killed_program_is_started_again_without_its_old_children() -> None:
    with supervised({"stubborn": STUBBORN}) as process:
        first = _read_pids(process, 3)
        leader = next(pid for pid in first if os.getpgid(pid) == pid)
        os.kill(leader, signal.SIGKILL)
        second = _read_pids(process, 3)
        assert wait_for_exit(first, timeout_s=0.0) == []
        assert set(first).isdisjoint(second)
        assert set(process_group_members(os.getpgid(second[0]))) == set(second)


def test_failing_program_is_started_again_with_growing_patience() -> None:
    with supervised({"short": "raise SystemExit(1)"}) as process:
        assert process.stdout is not None
        waits = []
        for line in process.stdout:
            match = re.search(r"ended with code 1; starting it again in ([\d.]+) s", line)
            if match:
                waits.append(float(match[1]))
            if len(waits) == 3:
                break
        assert waits == [0.5, 1.0, 2.0]


def test_program_whose_environment_is_unfit_stops_everything() -> None:
    with supervised({"unfit": "raise SystemExit(2)", "polite": POLITE}) as process:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "unfit ended with code 2: something above is to be fixed first" in output
