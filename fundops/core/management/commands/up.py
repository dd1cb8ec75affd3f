"""Runs what one machine needs in one terminal: the web process, the workers, beat and the event relay."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from fundops.core.env import Env
from fundops.embedded import EmbeddedError, ensure_services
from fundops.embedded.client import lease_descriptor
from fundops.embedded.linux import die_with_parent
from fundops.embedded.processes import ProcessSupervisor, Program, python

#: Workers by name: their queues. Trading never waits behind a report, nor a report behind a sweep.
WORKERS = {"trading": "trading", "general": "default,reports", "research": "research"}


def programs(env: Env) -> list[Program]:
    """What `up` keeps running."""
    web = python("-m", "uvicorn", "fundops.asgi:application", "--no-access-log", "--lifespan", "on")
    # Compressing each live message for each browser anew would cost more than the network it saves.
    fast = ("--loop", "uvloop", "--http", "httptools", "--ws", "websockets-sansio")
    plain = ("--ws-per-message-deflate", "false")
    planned = {"web": [*web, *fast, *plain, "--host", env.web_host, "--port", str(env.web_port)]}
    for name, queues in WORKERS.items():
        worker = python("-m", "celery", "--quiet", "-A", "celery_app", "worker", "--queues", queues, "--without-mingle")
        planned[f"worker-{name}"] = [
            *worker,
            *("--hostname", f"{name}@%h", "--concurrency", str(env.worker_concurrency), "--without-gossip"),
            *("--loglevel", env.log_level),
        ]
    planned["beat"] = python(
        "-m", "celery", "--quiet", "-A", "celery_app", "beat", "--pidfile=", "--loglevel", env.log_level
    )
    planned["relay"] = python("manage.py", "run_relay")
    common = {"PYTHONUNBUFFERED": "1", "FUNDOPS_DB_ROLE": "app", "LOG_FORMAT": _log_format(env)}
    return [Program(name, command, env={**common, "FUNDOPS_PROCESS": name}) for name, command in planned.items()]


class Command(BaseCommand):
    help = "Runs the web process, the Celery workers, beat and the event relay; Ctrl-C stops all of them."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", help="names to run, separated by commas, instead of all")
        parser.add_argument("--list", action="store_true", help="print the command lines as JSON and leave")
        parser.add_argument("--with-parent", action="store_true", help="end when the calling process does (make)")
        parser.add_argument("--grace", type=float, default=15.0, help="seconds a process has to end (15)")

    def handle(self, *_args: Any, **options: Any) -> None:
        env: Env = settings.ENV
        chosen = programs(env)
        if options["only"]:
            wanted = set(options["only"].split(","))
            chosen = [program for program in chosen if program.name in wanted]
        if options["list"]:
            self.stdout.write(json.dumps({program.name: list(program.command) for program in chosen}, indent=2))
            return
        os.chdir(settings.BASE_DIR)
        if warning := note_mode(env):
            self.stderr.write(self.style.WARNING(warning))
        if options["with_parent"]:
            die_with_parent(parent=os.getppid(), with_signal=signal.SIGTERM)
        if _has_web(chosen):
            _refuse_taken_port(env)
        lease = lease_descriptor(state_dir=env.state_dir)
        supervisor = ProcessSupervisor(
            chosen,
            sys.stdout.buffer,
            grace_s=options["grace"],
            probe=(_reachable(env.web_host), env.web_port, "/readyz") if _has_web(chosen) else None,
            lease=lease,
            on_lease_lost=lambda: _bring_services_back(env),
        )
        address = f"http://{_reachable(env.web_host)}:{env.web_port}"
        supervisor.on_ready = lambda took_s: supervisor.say(f"ready after {took_s:.1f} s: {address}, Ctrl-C stops")
        raise SystemExit(supervisor.run())


def note_mode(env: Env) -> str:
    """Keeps in the state dir as what its data run; returns what to say when they last ran as something else."""
    kept = env.state_dir / "mode"
    before = kept.read_text().strip() if kept.is_file() else env.fundops_env
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(f"{env.fundops_env}\n")
    if before == env.fundops_env:
        return ""
    factor = " People now need a second factor to sign in." if before == "demo" else ""
    return (
        f"The data in {env.state_dir} last ran as '{before}'; now they run as '{env.fundops_env}'.{factor} "
        f"To go on as before stop this and run it again with FUNDOPS_ENV={before}."
    )


def _log_format(env: Env) -> str:
    """The programs write to a pipe; whether somebody looks on is decided here."""
    if env.log_format != "auto":
        return env.log_format
    return "console" if sys.stdout.isatty() else "json"


def _refuse_taken_port(env: Env) -> None:
    """Says so now, instead of restarting a web process that cannot bind."""
    family = socket.AF_INET6 if ":" in env.web_host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((env.web_host, env.web_port))
        except OSError as error:
            raise CommandError(
                f"{env.web_host}:{env.web_port} cannot be used ({error.strerror}): Stop what uses it, or set WEB_PORT.",
                returncode=2,
            ) from error


def _has_web(chosen: list[Program]) -> bool:
    return any(program.name == "web" for program in chosen)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - a comparison


def _bring_services_back(env: Env) -> int | None:
    try:
        ensure_services(state_dir=env.state_dir)
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return None
    return lease_descriptor(state_dir=env.state_dir)
