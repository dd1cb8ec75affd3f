"""The embedded pair in peace: roles, sharing, lifetimes, where things lie."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from fundops.embedded import EmbeddedError, ServiceUrls, ensure_services, release_services
from fundops.embedded import layout as layouts
from fundops.embedded.client import destroy_services, provide_urls, request, stop_services
from fundops.embedded.layout import PROJECT_ROOT, SOCKET_FOLDER_MAX, find_binaries, prepare_layout
from fundops.embedded.linux import Account, can_enter
from fundops.embedded.postgres import WAL_SEGMENTS
from tests.core.embedded_support import Pair, running_pair, start_user, state_dir
from tests.core.processes import assert_all_end

pytestmark = pytest.mark.soak

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="another account is used only when root starts the servers")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with running_pair() as started:
        yield started


def _cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fundops.embedded", "--state-dir", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT_ROOT, timeout=120, check=False)


def test_roles_have_no_more_rights_than_their_work_needs(pair: Pair) -> None:
    rights = pair.sql(
        "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles"
        " WHERE rolname LIKE 'fundops%' ORDER BY 1"
    )
    assert rights == [
        ("fundops_app", False, False, False, False),
        ("fundops_owner", False, True, False, False),
    ]
    assert pair.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'fundops'") == [("fundops_owner",)]


def test_application_role_cannot_make_or_own_tables(pair: Pair) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        pair.sql("CREATE TABLE public.mine (a int)", role="app")


def test_wrong_password_is_refused_even_on_the_local_socket(pair: Pair) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(pair.urls.database_url.replace("fundops_app:", "fundops_app:0"), connect_timeout=5)


def test_cluster_is_durable_checksummed_and_off_the_network(pair: Pair) -> None:
    wanted = {"fsync": "on", "synchronous_commit": "on", "data_checksums": "on", "listen_addresses": ""}
    for setting, value in wanted.items():
        assert pair.sql(f"SELECT current_setting('{setting}')") == [(value,)]
    assert pair.redis().config_get("appendfsync") == {"appendfsync": "always"}
    assert pair.redis().config_get("port") == {"port": "0"}
    assert pair.redis().config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_new_cluster_has_segments_of_its_log_ready() -> None:
    """Nobody who commits waits for one, for as many as were laid in; a throwaway pair spends no time on it."""
    ahead = "SELECT count(*) FROM pg_ls_waldir() WHERE name > pg_walfile_name(pg_current_wal_lsn())"
    with state_dir() as folder, state_dir() as other:
        laid_in = Pair(folder, ensure_services(state_dir=folder)).sql(ahead, role="superuser")
        assert laid_in[0][0] >= WAL_SEGMENTS - 1
        assert Pair(other, ensure_services(state_dir=other, durable=False)).sql(ahead, role="superuser")[0][0] <= 1


def test_needed_extensions_can_be_created_by_the_owner(pair: Pair) -> None:
    pair.sql("CREATE EXTENSION IF NOT EXISTS btree_gist")
    assert pair.sql("SELECT extname FROM pg_extension WHERE extname = 'btree_gist'") == [("btree_gist",)]


def test_many_processes_asking_at_once_share_one_pair() -> None:
    with state_dir() as folder:
        users = [start_user(folder) for _ in range(5)]
        try:
            for user in users:
                assert user.stdout is not None
                assert user.stdout.readline() == "using\n"
            status = request(prepare_layout(folder), "status")
            assert status is not None
            assert status["leases"] == 5
            assert status["services"]["postgres"]["restarts"] == 0
            log = prepare_layout(folder).log.read_text()
            assert log.count('"event": "ready"') == 1
        finally:
            for user in users:
                user.kill()
                user.communicate()


def test_services_leave_with_their_last_user() -> None:
    with state_dir() as folder:
        ensure_services(state_dir=folder)
        pair = Pair(folder, prepare_layout(folder).urls())
        pids = [pair.status()["pid"], pair.pid("postgres"), pair.pid("redis")]
        release_services(state_dir=folder)
        assert_all_end(pids)


def test_urls_and_data_stay_over_a_restart() -> None:
    with state_dir() as folder:
        first = Pair(folder, ensure_services(state_dir=folder))
        first.sql("CREATE TABLE kept AS SELECT 7 AS a")
        first.redis().set("kept", "7")
        release_services(state_dir=folder)
        stop_services(state_dir=folder)
        second = Pair(folder, ensure_services(state_dir=folder))
        assert second.urls == first.urls
        assert second.sql("SELECT a FROM kept") == [(7,)]
        assert second.redis().get("kept") == "7"


def test_throwaway_pair_runs_without_fsync() -> None:
    with state_dir() as folder:
        pair = Pair(folder, ensure_services(state_dir=folder, durable=False))
        assert pair.sql("SELECT current_setting('fsync')") == [("off",)]


def test_command_line_starts_tells_runs_and_stops() -> None:
    with state_dir() as folder:
        assert _cli(folder, "status").returncode == 3
        assert _cli(folder, "start").returncode == 0
        assert '"persistent": true' in _cli(folder, "status").stdout
        shown = _cli(
            folder,
            "run",
            "--",
            "sh",
            "-c",
            'echo "$DATABASE_URL|$REDIS_URL|$FUNDOPS_EMBEDDED_VARIABLES"; exit 7',
        )
        urls = prepare_layout(folder).urls()
        assert shown.returncode == 7
        assert shown.stdout.startswith(f"{urls.database_url}|{urls.redis_url}|DATABASE_URL")
        assert "export REDIS_URL=" in _cli(folder, "url").stdout
        assert _cli(folder, "psql", "--", "--tuples-only", "--command", "SELECT 40 + 2").stdout.strip() == "42"
        assert _cli(folder, "stop").stdout == "stopped\n"
        assert _cli(folder, "stop").stdout == "not running\n"
        assert _cli(folder, "run", "--", "no-such-command").stderr == "There is no command 'no-such-command'.\n"


def test_dump_restores_into_another_pair(tmp_path: Path) -> None:
    dump = tmp_path / "fund.dump"
    with running_pair() as first, running_pair() as second:
        first.sql("CREATE TABLE book AS SELECT 12.5 AS nav")
        second.sql("CREATE TABLE older AS SELECT 1 AS a")
        assert _cli(first.state_dir, "dump", str(dump)).returncode == 0
        refused = _cli(second.state_dir, "restore", str(PROJECT_ROOT / "pyproject.toml"))
        assert refused.returncode == 1
        assert "nothing was changed" in refused.stderr
        assert second.sql("SELECT a FROM older") == [(1,)]
        assert _cli(second.state_dir, "restore", str(dump)).returncode == 0
        assert [str(nav) for (nav,) in second.sql("SELECT nav FROM book")] == ["12.5"]
        assert second.sql("SELECT to_regclass('older') IS NULL") == [(True,)]
        assert second.sql("SELECT has_schema_privilege('fundops_app', 'public', 'CREATE')") == [(False,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            second.sql("SELECT nav FROM book", role="app")


def test_passwords_appear_in_no_repr_log_or_command_line(pair: Pair) -> None:
    passwords = pair.layout.passwords().values()
    shown = repr(pair.urls) + pair.layout.log.read_text()
    for name in ("postgres", "redis"):
        shown += Path(f"/proc/{pair.pid(name)}/cmdline").read_text()
    assert not [password for password in passwords if password in shown]
    assert pair.layout.secrets_file.stat().st_mode & 0o077 == 0
    assert pair.layout.log.stat().st_mode & 0o077 == 0


def test_provided_urls_are_marked_as_embedded() -> None:
    environment: dict[str, str] = {}
    provide_urls(environment, ServiceUrls("postgresql://a", "postgresql://b", "postgresql://c", "unix:///r"))
    assert environment["DATABASE_OWNER_URL"] == "postgresql://b"
    assert environment["FUNDOPS_EMBEDDED_VARIABLES"].split(",") == [
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "DATABASE_SUPERUSER_URL",
        "REDIS_URL",
    ]


def test_absent_wheels_are_named_with_what_to_do(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(EmbeddedError, match=r"Set both URLs, or install requirements/embedded\.txt"):
        find_binaries(pair.layout)


def test_long_state_dir_keeps_its_sockets_in_a_short_private_folder() -> None:
    with state_dir() as folder:
        deep = folder / ("d" * 60) / ("e" * 60)
        deep.mkdir(parents=True)
        layout = prepare_layout(deep)
        try:
            assert len(str(layout.run)) <= SOCKET_FOLDER_MAX
            assert layout.run.stat().st_mode & 0o777 == 0o700
            assert Pair(deep, ensure_services(state_dir=deep)).sql("SELECT 1") == [(1,)]
        finally:
            destroy_services(state_dir=deep)
        assert not layout.run.exists()


@ROOT_ONLY
def test_root_runs_the_servers_under_an_account_without_rights(pair: Pair) -> None:
    account = pair.layout.account
    assert account is not None
    for name in ("postgres", "redis"):
        assert Path(f"/proc/{pair.pid(name)}").stat().st_uid == account.uid
        status = Path(f"/proc/{pair.pid(name)}/status").read_text()
        assert "CapEff:\t0000000000000000" in status
        assert "Groups:\t \n" in status or "Groups:\t\n" in status


@ROOT_ONLY
def test_state_dir_out_of_the_accounts_reach_moves_the_data(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    try:
        layout = prepare_layout(closed)
        assert layout.home.parent == layouts.FALLBACK_HOME
        assert Pair(closed, ensure_services(state_dir=closed)).sql("SELECT 1") == [(1,)]
    finally:
        destroy_services(state_dir=closed)
    assert not layout.home.exists()


@ROOT_ONLY
def test_wheels_out_of_the_accounts_reach_are_copied(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    reachable = find_binaries(pair.layout)
    monkeypatch.setattr(layouts, "can_enter", lambda *_: False)
    copied = find_binaries(pair.layout)
    monkeypatch.undo()
    assert copied.redis_server != reachable.redis_server
    account = pair.layout.account
    assert account is not None
    for program in (copied.redis_server, copied.postgres_bin / "postgres"):
        assert can_enter(account, program.parent)
        shown = subprocess.run(
            [program, "--version"],
            user=account.uid,
            group=account.gid,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "server" in shown.stdout or "postgres" in shown.stdout


@ROOT_ONLY
def test_socket_folder_planted_by_somebody_else_is_refused() -> None:
    with state_dir() as folder:
        home = folder / "embedded"
        (home / "run").mkdir(parents=True)
        os.chown(home / "run", 65534, 65534)
        with pytest.raises(EmbeddedError, match="belongs to somebody else"):
            prepare_layout(folder)
        os.chown(home / "run", 0, 0)


@pytest.mark.parametrize(("mode", "allowed"), [(0o755, True), (0o750, False), (0o711, True), (0o700, False)])
def test_reach_follows_the_mode_of_every_folder(mode: int, allowed: bool) -> None:
    stranger = Account(name="stranger", uid=54321, gid=54321)
    with state_dir() as folder:
        inner = folder / "outer" / "inner"
        inner.mkdir(parents=True)
        inner.parent.chmod(mode)
        assert can_enter(stranger, inner) is allowed
