"""Every setting of the environment: typed, described, and checked once at the start of every process.

A value comes from the process' environment, else from ``.env`` beside ``manage.py``, else from its default.
What is missing or absurd stops the start with one list of everything to fix; secrets never appear in it, nor
in any ``repr``.
"""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT: Final = Path(__file__).resolve().parents[2]
#: Good enough for tools that only read the settings (lints, type checks); no server ever starts with it.
PLACEHOLDER_KEY: Final = "placeholder-for-tools-that-serve-nobody-and-sign-nothing-at-all"
SECRET_KEY_MIN: Final = 50
#: How often beat asks a worker to stamp its heartbeat.
BEAT_EVERY_S: Final = 10.0
#: The prefix of the product's own variables; one of them that the schema does not know is a typing mistake.
PREFIX: Final = "FUNDOPS_"
#: Variables that are no settings: set by the product itself, or for its tests and its Makefile.
INTERNAL: Final = frozenset(
    {
        "FUNDOPS_EMBEDDED_VARIABLES",
        "FUNDOPS_ENV_FILE",
        "FUNDOPS_SAMPLE_DATA",
        "FUNDOPS_PROCESS",
        "FUNDOPS_BROWSER_REQUIRED",
    }
)


def _postgres_url(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ValueError("must start with postgresql://")
    if not parts.path.strip("/"):
        raise ValueError("must name the database after the host: postgresql://.../DATABASE")
    return value


def _redis_url(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must start with redis://, rediss:// or unix://")
    if not (parts.hostname if parts.scheme != "unix" else parts.path):
        raise ValueError("must name a host, or for unix:// the path of the socket")
    return value


def _data_url(value: str) -> str:
    parts = urlsplit(value)
    if not value.strip() or parts.scheme not in {"", "s3"}:
        raise ValueError("must be a folder or s3://BUCKET/PREFIX")
    if parts.scheme == "s3":
        if not parts.netloc:
            raise ValueError("must name a bucket: s3://BUCKET/PREFIX")
        return value
    return anchored(value)


def anchored(path: str) -> str:
    """A folder as a process of any current directory finds it: a relative one starts at the checkout."""
    return str(PROJECT_ROOT / Path(path).expanduser())


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an address like https://s3.example.com")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _hosts(value: str) -> str:
    for host in value.split(","):
        if "/" in host or " " in host.strip():
            raise ValueError(f"'{host.strip()}' is not a host name (no https://, no path)")
    return value


def _origins(value: str) -> str:
    for origin in filter(None, (part.strip() for part in value.split(","))):
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path:
            raise ValueError(f"'{origin}' is not an origin like https://fund.example.com")
    return value


def _setting(default: Any, *, what: str, shape: str, example: str, **limits: Any) -> Any:
    return Field(default, description=what, examples=[example], json_schema_extra={"shape": shape}, **limits)


PostgresUrl = Annotated[SecretStr | None, AfterValidator(_postgres_url)]
RedisUrl = Annotated[SecretStr | None, AfterValidator(_redis_url)]
_POSTGRES_SHAPE = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


class Env(BaseSettings):
    """What the environment may say; ``manage.py check_env`` prints what is in force and from where."""

    model_config = SettingsConfigDict(
        extra="ignore", hide_input_in_errors=True, env_ignore_empty=True, validate_default=True
    )

    fundops_env: Literal["demo", "development", "test", "production"] = _setting(
        "development",
        what="What kind of installation this is. production is strict: nothing embedded, nothing by default.",
        shape="demo, development, test or production",
        example="production",
    )
    secret_key: SecretStr = _setting(
        SecretStr(PLACEHOLDER_KEY),
        what="Signs sessions and tokens. Outside production one is made and kept in the state dir.",
        shape=f"at least {SECRET_KEY_MIN} random characters",
        example='the output of: python3 -c "import secrets; print(secrets.token_urlsafe(48))"',
    )
    allowed_hosts: Annotated[str, AfterValidator(_hosts)] = _setting(
        "127.0.0.1,localhost,testserver",
        what="Host names the web process answers to.",
        shape="names separated by commas",
        example="fund.example.com",
    )
    csrf_trusted_origins: Annotated[str, AfterValidator(_origins)] = _setting(
        "",
        what="Origins whose forms are accepted, when a proxy changes the host.",
        shape="origins separated by commas",
        example="https://fund.example.com",
    )
    fundops_behind_proxy: bool = _setting(
        default=False,
        what="Whether a proxy in front ends TLS and sets X-Forwarded-Proto itself.",
        shape="true or false",
        example="true",
    )
    database_url: PostgresUrl = _setting(
        None,
        what="PostgreSQL, as the role that owns nothing. Without it and REDIS_URL an embedded pair starts.",
        shape=_POSTGRES_SHAPE,
        example="postgresql://fundops_app:PASSWORD@db.internal:5432/fundops",
    )
    database_owner_url: PostgresUrl = _setting(
        None,
        what="PostgreSQL, as the role that owns the schema: migrations alone use it.",
        shape=_POSTGRES_SHAPE,
        example="postgresql://fundops_owner:PASSWORD@db.internal:5432/fundops",
    )
    database_superuser_url: PostgresUrl = _setting(
        None,
        what="PostgreSQL's superuser, embedded pairs only: the tests tamper with it.",
        shape=_POSTGRES_SHAPE,
        example="leave it unset",
    )
    redis_url: RedisUrl = _setting(
        None,
        what="Redis: broker, cache and live messages.",
        shape="redis://:PASSWORD@HOST:PORT/NUMBER, rediss://... or unix://PATH",
        example="rediss://:PASSWORD@redis.internal:6379/0",
    )
    fundops_state_dir: str = _setting(
        "var",
        what="Folder of what this machine keeps: embedded data, downloads, generated secrets.",
        shape="a folder; relative ones start at the checkout",
        example="/var/lib/fundops",
    )
    market_data_url: Annotated[str, AfterValidator(_data_url)] = _setting(
        "var/market-data",
        what="Where the candle catalog lives.",
        shape="a folder (relative ones start at the checkout) or s3://BUCKET/PREFIX",
        example="s3://fund-market-data/catalog",
    )
    aws_endpoint_url_s3: Annotated[str, AfterValidator(_endpoint)] | None = _setting(
        None,
        what="Host of an s3:// catalog that is not Amazon's; it wins over AWS_ENDPOINT_URL.",
        shape="an address; the keys come from the usual AWS environment",
        example="https://s3.example.com",
    )
    aws_endpoint_url: Annotated[str, AfterValidator(_endpoint)] | None = _setting(
        None,
        what="The same, under the name that serves every AWS service.",
        shape="an address",
        example="https://s3.example.com",
    )
    aws_region: str | None = _setting(
        None,
        what="Region of an s3:// catalog; it wins over AWS_DEFAULT_REGION.",
        shape="a region's name",
        example="eu-central-1",
    )
    aws_default_region: str | None = _setting(
        None, what="The same, under AWS' other name.", shape="a region's name", example="eu-central-1"
    )
    user_strategies_dir: Annotated[str, AfterValidator(anchored)] = _setting(
        "var/strategies",
        what="Folder of strategies and profiles kept outside the package.",
        shape="a folder; relative ones start at the checkout",
        example="/srv/fundops/strategies",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO",
        what="The least severe event that is logged.",
        shape="DEBUG, INFO, WARNING or ERROR",
        example="INFO",
    )
    log_format: Literal["json", "console", "auto"] = _setting(
        "auto",
        what="How events are written: json for machines, console for eyes; auto: console on a terminal.",
        shape="json, console or auto",
        example="json",
    )
    metrics_token: SecretStr | None = _setting(
        None,
        what="Bearer token /metrics asks for. Without one only this machine may read it.",
        shape="at least 16 characters",
        example="a random text, also given to the scraper",
        min_length=16,
    )
    web_host: str = _setting(
        "127.0.0.1",
        what="Address `make up` binds the web process to.",
        shape="an address",
        example="0.0.0.0",  # noqa: S104 - an example
    )
    web_port: int = _setting(8000, what="Port of the web process.", shape="1 to 65535", example="8000", ge=1, le=65535)
    worker_concurrency: int = _setting(
        2, what="Processes of each Celery worker `make up` starts.", shape="1 to 64", example="2", ge=1, le=64
    )
    fundops_db_role: Literal["app", "owner"] = _setting(
        "app",
        what="The database role of this process; manage.py sets owner for migrations.",
        shape="app or owner",
        example="leave it unset",
    )
    fundops_live_trading: bool = _setting(
        default=False,
        what="Whether orders may reach real venues. Anything but true keeps their hosts out of reach.",
        shape="true or false",
        example="false",
    )

    @property
    def state_dir(self) -> Path:
        return PROJECT_ROOT / self.fundops_state_dir

    @property
    def production(self) -> bool:
        return self.fundops_env == "production"


class Source(StrEnum):
    """Where a value in force came from."""

    ENVIRONMENT = "environment"
    FILE = ".env"
    EMBEDDED = "embedded"
    DEFAULT = "default"


@dataclass(frozen=True)
class Problem:
    """One thing to fix before anything starts."""

    name: str
    wrong: str
    what: str
    shape: str
    example: str

    def __str__(self) -> str:
        lines = [f"  {self.name}{'' if self.wrong.startswith('=') else ' '}{self.wrong}"]
        lines += [f"      {label}: {text}" for label, text in self._detail() if text]
        return "\n".join(lines)

    def _detail(self) -> list[tuple[str, str]]:
        return [("what it is", self.what), ("shape", self.shape), ("example", self.example)]


class EnvironmentInvalidError(Exception):
    """The environment is not fit to start; the message lists everything to fix."""

    def __init__(self, problems: list[Problem], *, mode: str) -> None:
        count = "1 thing" if len(problems) == 1 else f"{len(problems)} things"
        listed = "\n".join(str(problem) for problem in problems)
        head = f"The environment is not fit to start (FUNDOPS_ENV={mode}): {count} to fix."
        super().__init__(f"{head}\n\n{listed}\n")
        self.problems = problems


def env_file() -> Path | None:
    """The file of settings in force: ``FUNDOPS_ENV_FILE`` (empty for none), else ``.env`` of the checkout."""
    named = os.environ.get("FUNDOPS_ENV_FILE")
    if named is not None:
        return Path(named) if named else None
    return PROJECT_ROOT / ".env"


def load_env() -> Env:
    """The checked environment; raises EnvironmentInvalidError with everything that is wrong with it."""
    file = env_file()
    given = _given(file)
    problems: list[Problem] = []
    env = None
    try:
        env = Env(_env_file=file)  # type: ignore[call-arg]  # pydantic-settings own argument
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False, include_context=False):
            name = str(detail["loc"][0])
            problems.append(_problem(name, _complaint(name, detail["msg"], given.get(name))))
    problems += _cross_checks(given, already={problem.name for problem in problems})
    problems += _unknown(file)
    order = [name.upper() for name in Env.model_fields]
    problems.sort(key=lambda problem: order.index(problem.name) if problem.name in order else len(order))
    if problems or env is None:
        raise EnvironmentInvalidError(problems, mode=given.get("fundops_env", "development"))
    return env


def export_storage(env: Env) -> None:
    """Puts the storage's host and region where its library looks, also when they came from the file."""
    for name in ("aws_endpoint_url_s3", "aws_endpoint_url", "aws_region", "aws_default_region"):
        if (value := getattr(env, name)) is not None:
            os.environ[name.upper()] = value


def load_env_or_exit() -> Env:
    """The same for an entry point: prints the list and leaves with exit code 2, without a traceback."""
    try:
        return load_env()
    except EnvironmentInvalidError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None


def sources(env: Env) -> dict[str, Source]:
    """Where each setting's value came from, by field name."""
    in_file = {key.lower() for key, value in _file_values(env_file()).items() if value}
    in_environment = {key.lower() for key, value in os.environ.items() if value}
    embedded = {key.lower() for key in os.environ.get("FUNDOPS_EMBEDDED_VARIABLES", "").split(",")}
    found = {}
    for name in type(env).model_fields:
        if name in embedded and name in in_environment:
            found[name] = Source.EMBEDDED
        elif name in in_environment:
            found[name] = Source.ENVIRONMENT
        elif name in in_file:
            found[name] = Source.FILE
        else:
            found[name] = Source.DEFAULT
    return found


def unknown_variables() -> list[str]:
    """Variables with the product's prefix that mean nothing here: typing mistakes, most likely."""
    known = {name.upper() for name in Env.model_fields} | INTERNAL
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def render_example() -> str:
    """The text of ``.env.example``: every setting with its meaning, shape and default, all commented out."""
    parts = [
        "# Settings of fundops: copy to .env and uncomment what you need. The environment wins over it.",
        "# `manage.py check_env` prints what is in force; `manage.py check_env --example` prints this file.",
    ]
    for name, field in Env.model_fields.items():
        if name in {"database_superuser_url", "fundops_db_role"}:
            continue
        default = "" if isinstance(field.default, SecretStr) or field.default is None else field.default
        value = str(default).lower() if isinstance(default, bool) else str(default)
        parts.append(f"\n# {field.description}\n# Shape: {_shape(field)}. Example: {_example(field)}")
        parts.append(f"#{name.upper()}={value}")
    return "\n".join(parts) + "\n"


def _given(file: Path | None) -> dict[str, str]:
    """What is set at all, by lower-case name, the environment before the file; empty is not set."""
    merged = {key.lower(): value for key, value in _file_values(file).items() if value}
    merged |= {key.lower(): value for key, value in os.environ.items() if value}
    return merged


def _file_values(file: Path | None) -> dict[str, str]:
    if file is None or not file.is_file():
        return {}
    return {key: value or "" for key, value in dotenv_values(file).items()}


def _cross_checks(given: dict[str, str], *, already: set[str]) -> list[Problem]:
    """What no single field can see: pairs that belong together, and production's demands."""
    wrong: dict[str, str] = {}
    if ("database_url" in given) != ("redis_url" in given):
        missing, other = ("redis_url", "database_url")[:: 1 if "database_url" in given else -1]
        wrong[missing] = f"is missing while {other.upper()} is set: set both, or neither for an embedded pair"
    if given.get("fundops_env") == "production":
        for name in ("secret_key", "allowed_hosts", "database_url", "database_owner_url", "redis_url"):
            if name not in given:
                wrong[name] = "is missing and production has no default for it"
        if "*" in given.get("allowed_hosts", ""):
            wrong["allowed_hosts"] = "must not contain '*' in production"
        if given.get("database_superuser_url"):
            wrong["database_superuser_url"] = "must not be set in production: no process needs a superuser"
        if "database_url" in given and _role(given["database_url"]) == _role(given.get("database_owner_url")):
            wrong["database_owner_url"] = "names the role of DATABASE_URL, which must not own the schema"
    host = given.get("web_host", "127.0.0.1")
    if given.get("fundops_env") == "demo" and not _is_loopback(host):
        wrong["web_host"] = (
            f"='{host}' would show the demo to other machines, and in it people sign in without a second factor: "
            "keep to 127.0.0.1, or choose another FUNDOPS_ENV"
        )
    key = given.get("secret_key")
    if key is not None and (len(key) < SECRET_KEY_MIN or len(set(key)) < 10):
        wrong["secret_key"] = f"is too weak: {len(key)} characters, {len(set(key))} different ones"
    if key is not None and key == PLACEHOLDER_KEY:
        wrong["secret_key"] = "is the placeholder of this project, which everybody knows"  # noqa: S105
    return [_problem(name, text) for name, text in wrong.items() if name.upper() not in already]


def _role(url: str | None) -> str | None:
    return urlsplit(url).username if url else None


def _unknown(file: Path | None) -> list[Problem]:
    """Misspelled names in the file, which nobody else reads; in the environment they are only reported by
    check_env.
    """
    known = {name.upper() for name in Env.model_fields}
    problems = []
    for name in _file_values(file):
        if name.upper() in known or name in INTERNAL:
            continue
        close = difflib.get_close_matches(name.upper(), known, n=1)
        hint = f": did you mean {close[0]}?" if close else ": remove it"
        problems.append(Problem(name, f"in {file} is no setting{hint}", "", "", ""))
    return problems


def _complaint(name: str, message: str, value: str | None) -> str:
    text = message.removeprefix("Value error, ")
    text = text[:1].lower() + text[1:]
    shown = "" if value is None or is_secret(name) else f"='{value}' "
    return f"{shown}is not valid: {text}"


def _problem(name: str, wrong: str) -> Problem:
    field = Env.model_fields[name]
    return Problem(name.upper(), wrong, field.description or "", _shape(field), _example(field))


def _shape(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra.get("shape", "")) if isinstance(extra, dict) else ""


def _example(field: FieldInfo) -> str:
    return str(field.examples[0]) if field.examples else ""


def is_secret(name: str) -> bool:
    """Whether a field's value must never be shown."""
    return "SecretStr" in str(Env.model_fields[name].annotation)
