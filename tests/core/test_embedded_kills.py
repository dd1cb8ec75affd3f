"""Kill -9 of PostgreSQL, Redis, their supervisor or user: nothing answered is lost, nobody is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fundops.embedded import ensure_services, release_services
from fundops.embedded.client import stop_services
from fundops.embedded.layout import PROJECT_ROOT, prepare_layout
from fundops.embedded.linux import processes_working_in, wait_for_exit
from tests.core.embedded_support import Pair, kill_hard, running_pair, start_user, state_dir
from tests.core.processes import assert_all_end, eventually

pytestmark = pytest.mark.soak

#: Commits rows (or sets keys) as fast as it can and says which are done, until its connection breaks.
SQL_WRITER = """
import psycopg, sys
with psycopg.connect(sys.argv[1], autocommit=True) as session:
    for number in range(10**9):
        session.execute("INSERT INTO proof VALUES (%s)", [number])
        print(number, flush=True)
"""
REDIS_WRITER = """
import redis, sys
client = redis.Redis.from_url(sys.argv[1])
for number in range(10**9):
    client.rpush("proof", number)
    print(number, flush=True)
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running_pair() as started:
        yield started


def _write_until_broken(code: str, url: str, *, kill: int, after: int) -> int:
    """Runs the writer, kills ``kill`` after so many answers; returns the last number that was answered."""
    command = [sys.executable, "-c", code, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as writer:
        assert writer.stdout is not None
        last = -1
        for line in writer.stdout:
            if not line.endswith("\n"):
                break
            last = int(line)
            if last == after:
                kill_hard(kill)
    assert last >= after
    return last


def test_killed_postgres_comes_back_with_every_committed_row(pair: Pair) -> None:
    pair.sql("CREATE TABLE proof (number int PRIMARY KEY)")
    old = pair.pid("postgres")
    last = _write_until_broken(SQL_WRITER, pair.urls.database_owner_url, kill=old, after=200)
    new = eventually(lambda: pair.restarted("postgres", since=old), what="PostgreSQL's restart")
    assert new != old
    (count, highest), *_ = pair.sql("SELECT count(*), max(number) FROM proof")
    # One more may have been committed whose answer the kill cut off; none that was answered is missing.
    assert highest in (last, last + 1)
    assert count == highest + 1


def test_killed_redis_comes_back_with_every_answered_write(pair: Pair) -> None:
    pair.redis().delete("proof")
    old = pair.pid("redis")
    last = _write_until_broken(REDIS_WRITER, pair.urls.redis_url, kill=old, after=200)
    eventually(lambda: pair.restarted("redis", since=old), what="Redis' restart")
    kept = [int(number) for number in pair.redis().lrange("proof", 0, -1)]
    assert kept in (list(range(last + 1)), list(range(last + 2)))


def test_killed_backend_does_not_stop_the_service(pair: Pair) -> None:
    """PostgreSQL restarts its own processes after one is killed; the supervisor has nothing to do."""
    postmaster = pair.pid("postgres")
    query = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'"
    ((backend,),) = pair.sql(query, role="superuser")
    kill_hard(backend)
    assert_all_end([backend])
    assert eventually(lambda: pair.sql("SELECT 1"), what="PostgreSQL's own recovery") == [(1,)]
    assert pair.pid("postgres") == postmaster


def test_killed_supervisor_takes_its_servers_along_and_the_next_start_recovers() -> None:
    with running_pair() as pair:
        pair.sql("CREATE TABLE kept AS SELECT 7 AS a")
        pair.redis().set("kept", "7")
        pids = [pair.status()["pid"], pair.pid("postgres"), pair.pid("redis")]
        kill_hard(pids[0])
        assert_all_end(pids)
        again = Pair(pair.state_dir, ensure_services(state_dir=pair.state_dir))
        assert again.sql("SELECT a FROM kept") == [(7,)]
        assert again.redis().get("kept") == "7"


def test_everything_killed_at_once_recovers() -> None:
    with running_pair() as pair:
        pair.sql("CREATE TABLE proof (number int PRIMARY KEY)")
        victims = [pair.status()["pid"], pair.pid("redis")]
        postmaster = pair.pid("postgres")
        os.kill(victims[0], signal.SIGSTOP)  # it shall not restart what is killed first
        last = _write_until_broken(SQL_WRITER, pair.urls.database_owner_url, kill=postmaster, after=100)
        for victim in victims:
            kill_hard(victim)
        assert_all_end([*victims, postmaster])
        again = Pair(pair.state_dir, ensure_services(state_dir=pair.state_dir))
        (count, highest), *_ = again.sql("SELECT count(*), max(number) FROM proof")
        assert highest in (last, last + 1)
        assert count == highest + 1
        assert again.redis().ping()


def test_killed_user_leaves_no_orphans() -> None:
    with state_dir() as folder:
        user = start_user(folder)
        assert user.stdout is not None
        assert user.stdout.readline() == "using\n"
        pair = Pair(folder, prepare_layout(folder).urls())
        pids = [pair.status()["pid"], pair.pid("postgres"), pair.pid("redis")]
        user.kill()
        user.communicate()
        assert_all_end(pids)
        layout = prepare_layout(folder)
        assert processes_working_in(layout.postgres_data) == []
        assert processes_working_in(layout.redis_data) == []


def test_killed_user_does_not_take_the_services_from_another() -> None:
    with state_dir() as folder:
        pair = Pair(folder, ensure_services(state_dir=folder))
        user = start_user(folder)
        assert user.stdout is not None
        assert user.stdout.readline() == "using\n"
        assert pair.status()["leases"] == 2
        user.kill()
        user.communicate()
        eventually(lambda: pair.status()["leases"] == 1, what="the lease's return")
        assert pair.sql("SELECT 1") == [(1,)]
        release_services(state_dir=folder)


def test_stale_pid_file_of_a_living_stranger_does_not_stop_the_start() -> None:
    with state_dir() as folder:
        ensure_services(state_dir=folder)
        layout = prepare_layout(folder)
        release_services(state_dir=folder)
        stop_services(state_dir=folder)
        stale = layout.postgres_data / "postmaster.pid"
        stale.write_text(f"{os.getpid()}\n{layout.postgres_data}\n1\n5432\n{layout.run}\n\n0 0\nready   \n")
        assert Pair(folder, ensure_services(state_dir=folder)).sql("SELECT 1") == [(1,)]


def test_cluster_half_made_by_a_killed_start_is_made_anew() -> None:
    with state_dir() as folder:
        layout = prepare_layout(folder)
        making = layout.home / "postgres.making"
        making.mkdir()
        (making / "PG_VERSION").write_text("18\n")
        assert Pair(folder, ensure_services(state_dir=folder)).sql("SELECT 1") == [(1,)]
        assert not making.exists()


def test_data_of_another_version_is_refused_with_what_to_do() -> None:
    with state_dir() as folder:
        layout = prepare_layout(folder)
        layout.postgres_data.mkdir()
        (layout.postgres_data / "PG_VERSION").write_text("17\n")
        command = [sys.executable, "-m", "fundops.embedded", "--state-dir", str(folder), "start"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT_ROOT, check=False)
        assert done.returncode == 1
        assert "is PostgreSQL 17's" in done.stderr
        assert "Traceback" not in done.stderr


def test_signalled_supervisor_shuts_down_cleanly() -> None:
    with running_pair() as pair:
        supervisor = pair.status()["pid"]
        pids = [supervisor, pair.pid("postgres"), pair.pid("redis")]
        os.kill(supervisor, signal.SIGTERM)
        assert wait_for_exit(pids, timeout_s=60.0) == []
        lines = [line for line in pair.layout.log.read_text().splitlines() if line.startswith("{")]
        assert json.loads(lines[-1])["event"] == "stopped"
        assert not (pair.layout.postgres_data / "postmaster.pid").exists()
