"""``python -m fundops.embedded``: the embedded PostgreSQL and Redis from the command line."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from fundops.embedded.client import ensure_services, provide_urls, request, stop_services
from fundops.embedded.errors import EmbeddedError
from fundops.embedded.layout import DATABASE, SUPERUSER, Layout, find_binaries, prepare_layout
from fundops.embedded.linux import spawn
from fundops.embedded.postgres import tool
from fundops.embedded.supervisor import serve


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.act(options))
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _start(options: argparse.Namespace) -> int:
    ensure_services(state_dir=options.state_dir, persistent=True)
    return _status(options)


def _stop(options: argparse.Namespace) -> int:
    stopped = stop_services(state_dir=options.state_dir)
    _say("stopped" if stopped else "not running")
    return 0


def _status(options: argparse.Namespace) -> int:
    layout = prepare_layout(options.state_dir)
    status = request(layout, "status")
    if status is None:
        _say(json.dumps({"running": False, "home": str(layout.home)}))
        return 3
    status.pop("ok")
    _say(json.dumps({"running": True, "home": str(layout.home), "run": str(layout.run), **status}, indent=2))
    return 0


def _url(options: argparse.Namespace) -> int:
    """The URLs stay the same over restarts, so that printing them starts nothing but the first password."""
    for name, value in prepare_layout(options.state_dir).urls().environment().items():
        _say(f"export {name}={shlex.quote(value)}")
    return 0


def _psql(options: argparse.Namespace) -> int:
    ensure_services(state_dir=options.state_dir)
    return _run_tool(options, "psql", options.arguments)


def _dump(options: argparse.Namespace) -> int:
    ensure_services(state_dir=options.state_dir)
    return _run_tool(options, "pg_dump", ["--format=custom", f"--file={options.file}"])


def _restore(options: argparse.Namespace) -> int:
    """Replaces the database by the dump's content; an unreadable dump is refused first."""
    if _run_tool(options, "pg_restore", ["--list", "--file=/dev/null", str(options.file)]):
        raise EmbeddedError(f"{options.file} is not a dump that can be restored; nothing was changed.")
    ensure_services(state_dir=options.state_dir)
    drop = ["--quiet", "--dbname=postgres", "--command", f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"]
    create = ["--create", "--exit-on-error", "--dbname=postgres", str(options.file)]
    return _run_tool(options, "psql", drop) or _run_tool(options, "pg_restore", create)


def _run(options: argparse.Namespace) -> int:
    urls = ensure_services(state_dir=options.state_dir)
    environment = dict(os.environ)
    provide_urls(environment, urls)
    if not options.arguments:
        raise EmbeddedError("Nothing to run: python -m fundops.embedded run -- COMMAND [ARGUMENT ...]")
    try:
        child = spawn(options.arguments, death_signal=signal.SIGTERM, env=environment, new_session=False)
    except FileNotFoundError as error:
        raise EmbeddedError(f"There is no command '{options.arguments[0]}'.") from error
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the child too; this process only waits
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    return code if code >= 0 else 128 - code


def _serve(options: argparse.Namespace) -> int:
    layout = prepare_layout(options.state_dir)
    if options.home:  # exactly the caller's paths: the working directory or the environment may differ here
        layout = Layout(home=options.home, run=options.run, account=layout.account)
    return serve(
        layout,
        durable=not options.not_durable,
        persistent=options.persistent,
        detach=options.detach,
        ready_fd=options.ready_fd,
    )


def _run_tool(options: argparse.Namespace, name: str, arguments: list[str]) -> int:
    """One of PostgreSQL's programs as superuser; the password goes through the environment, not the command
    line.
    """
    layout = prepare_layout(options.state_dir)
    connection = {
        "PGHOST": str(layout.run),
        "PGUSER": SUPERUSER,
        "PGPASSWORD": layout.passwords()[SUPERUSER],
        "PGDATABASE": DATABASE,
    }
    program = tool(find_binaries(layout), name)
    done = subprocess.run([str(program), *arguments], env={**os.environ, **connection}, check=False)  # noqa: S603
    return done.returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fundops.embedded", description=__doc__)
    parser.add_argument("--state-dir", type=Path, help="default: FUNDOPS_STATE_DIR, or var/ of the checkout")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: object, description: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=description, description=description)
        sub.set_defaults(act=act)
        return sub

    command("start", _start, "start the pair and keep it running until `stop`")
    command("stop", _stop, "stop the pair and wait until it is down")
    command("status", _status, "what runs, as JSON; exit code 3 when nothing does")
    command("url", _url, "the connection URLs as shell exports (they carry passwords)")
    command("psql", _psql, "a psql session as superuser").add_argument("arguments", nargs="*", metavar="-- ARGUMENT")
    command("dump", _dump, "write the database to a file (pg_dump's custom format)").add_argument("file", type=Path)
    command("restore", _restore, "replace the database by a dump's content").add_argument("file", type=Path)
    run = command("run", _run, "run a command with the URLs in its environment; the pair lives as long as it does")
    run.add_argument("arguments", nargs="*", metavar="COMMAND")
    server = command("serve", _serve, "supervise the pair in the foreground")
    server.add_argument("--persistent", action="store_true", help="stay without users, until a signal")
    server.add_argument("--detach", action="store_true", help=argparse.SUPPRESS)
    server.add_argument("--not-durable", action="store_true", help="no fsync: for pairs that are thrown away")
    server.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    server.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
