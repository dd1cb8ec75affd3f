"""The environment: typed, complete lists of what is wrong, no secret ever shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from fundops.core.env import (
    Env,
    EnvironmentInvalidError,
    Source,
    load_env,
    render_example,
    sources,
    unknown_variables,
)
from fundops.embedded.layout import PROJECT_ROOT

KEY = "k7Qz-vR2mXw9_LpT4sYbN8cJdF1gHa0eUiOo3ZtBxKqWlPrS6M"
PRODUCTION = {
    "FUNDOPS_ENV": "production",
    "SECRET_KEY": KEY,
    "ALLOWED_HOSTS": "fund.example.com",
    "DATABASE_URL": "postgresql://app:hunter2hunter2@db.internal/fundops",
    "DATABASE_OWNER_URL": "postgresql://owner:swordfish99@db.internal/fundops",
    "REDIS_URL": "rediss://:opensesame1@redis.internal:6379/0",
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this test run's own settings."""
    for name in [*(field.upper() for field in Env.model_fields), "FUNDOPS_EMBEDDED_VARIABLES"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FUNDOPS_ENV_FILE", "")


def _set(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def _complaints() -> dict[str, str]:
    with pytest.raises(EnvironmentInvalidError) as caught:
        load_env()
    return {problem.name: problem.wrong for problem in caught.value.problems}


def test_nothing_set_is_fit_for_development() -> None:
    env = load_env()
    assert env.fundops_env == "development"
    assert env.database_url is None
    assert env.fundops_live_trading is False
    assert env.state_dir == PROJECT_ROOT / "var"


def test_complete_production_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, PRODUCTION)
    assert load_env().production


def test_bare_production_lists_everything_that_is_missing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNDOPS_ENV", "production")
    assert list(_complaints()) == [
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "REDIS_URL",
    ]


def test_absurd_and_missing_values_come_in_one_list(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(
        monkeypatch,
        {
            "FUNDOPS_ENV": "production",
            "WEB_PORT": "99999",
            "LOG_LEVEL": "loud",
            "DATABASE_URL": "mysql://u:p@h/d",
        },
    )
    found = _complaints()
    assert set(found) == {
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "REDIS_URL",
        "LOG_LEVEL",
        "WEB_PORT",
    }
    assert found["DATABASE_URL"] == "is not valid: must start with postgresql://"
    assert found["WEB_PORT"].startswith("='99999' is not valid")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FUNDOPS_ENV", "prod"),
        ("DATABASE_URL", "postgresql://host"),
        ("REDIS_URL", "http://redis"),
        ("REDIS_URL", "unix://"),
        ("MARKET_DATA_URL", "ftp://host/data"),
        ("MARKET_DATA_URL", "s3://"),
        ("MARKET_DATA_URL", "s3:///prefix"),
        ("AWS_ENDPOINT_URL", "minio:9000"),
        ("AWS_ENDPOINT_URL_S3", "ftp://minio"),
        ("ALLOWED_HOSTS", "https://fund.example.com"),
        ("CSRF_TRUSTED_ORIGINS", "fund.example.com"),
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_CONCURRENCY", "many"),
        ("FUNDOPS_LIVE_TRADING", "perhaps"),
        ("METRICS_TOKEN", "short"),
        ("LOG_FORMAT", "xml"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 80),
    ],
)
def test_absurd_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert name in _complaints()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALLOWED_HOSTS", "*", "must not contain"),
        ("DATABASE_SUPERUSER_URL", "postgresql://postgres:x@h/d", "no process needs a superuser"),
        ("DATABASE_OWNER_URL", PRODUCTION["DATABASE_URL"], "must not own the schema"),
    ],
)
def test_production_refuses_what_is_unsafe(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    _set(monkeypatch, {**PRODUCTION, name: value})
    found = _complaints()
    assert list(found) == [name]
    assert says in found[name]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "fund.example.com"])  # noqa: S104 - refused
def test_demo_is_not_shown_to_other_machines(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    _set(monkeypatch, {"FUNDOPS_ENV": "demo", "WEB_HOST": host})
    found = _complaints()
    assert list(found) == ["WEB_HOST"]
    assert found["WEB_HOST"].startswith(f"='{host}' would show the demo to other machines")
    assert "without a second factor" in found["WEB_HOST"]
    monkeypatch.setenv("FUNDOPS_ENV", "development")
    assert load_env().web_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_demo_on_this_machine_alone_is_fine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    _set(monkeypatch, {"FUNDOPS_ENV": "demo", "WEB_HOST": host})
    assert load_env().web_host == host


def test_relative_folders_start_at_the_checkout_whatever_the_current_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    _set(monkeypatch, {"MARKET_DATA_URL": "data/candles", "USER_STRATEGIES_DIR": "mine"})
    env = load_env()
    assert env.market_data_url == str(PROJECT_ROOT / "data" / "candles")
    assert env.user_strategies_dir == str(PROJECT_ROOT / "mine")
    monkeypatch.delenv("MARKET_DATA_URL")
    monkeypatch.delenv("USER_STRATEGIES_DIR")
    env = load_env()
    assert env.market_data_url == str(PROJECT_ROOT / "var" / "market-data")
    assert env.user_strategies_dir == str(PROJECT_ROOT / "var" / "strategies")


@pytest.mark.parametrize("url", ["/srv/candles", "s3://bucket/prefix"])
def test_absolute_folders_and_buckets_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MARKET_DATA_URL", url)
    assert load_env().market_data_url == url


def test_storage_host_and_region_of_the_file_reach_the_storage(tmp_path: Path) -> None:
    """In a process of its own: its environment is what the storage's library reads."""
    file = tmp_path / "settings"
    file.write_text("AWS_ENDPOINT_URL=https://s3.example.com\nAWS_REGION=eu-central-1\n")
    code = "import os, fundops.settings; print(os.environ['AWS_ENDPOINT_URL'], os.environ['AWS_REGION'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "FUNDOPS_ENV_FILE": str(file), "FUNDOPS_STATE_DIR": str(tmp_path)},
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["https://s3.example.com", "eu-central-1"]


def test_check_env_shows_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, {"MARKET_DATA_URL": "s3://bucket", "AWS_ENDPOINT_URL_S3": "https://s3.example.com"})
    output = StringIO()
    call_command("check_env", "--json", stdout=output)
    rows = {row["name"]: (row["value"], row["source"]) for row in json.loads(output.getvalue())["settings"]}
    assert rows["AWS_ENDPOINT_URL_S3"] == ("https://s3.example.com", "environment")
    assert rows["AWS_REGION"] == (None, "default")


@pytest.mark.parametrize(("given", "missing"), [("DATABASE_URL", "REDIS_URL"), ("REDIS_URL", "DATABASE_URL")])
def test_half_a_pair_is_refused(monkeypatch: pytest.MonkeyPatch, given: str, missing: str) -> None:
    monkeypatch.setenv(given, PRODUCTION[given])
    assert list(_complaints()) == [missing]


def test_no_secret_appears_in_a_list_of_problems_or_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(
        monkeypatch,
        {**PRODUCTION, "DATABASE_URL": "mysql://app:hunter2hunter2@h/d", "METRICS_TOKEN": "tiny-secret"},
    )
    with pytest.raises(EnvironmentInvalidError) as caught:
        load_env()
    _set(monkeypatch, {**PRODUCTION, "METRICS_TOKEN": "a-long-enough-token"})
    shown = str(caught.value) + repr(load_env()) + str(load_env())
    for secret in ("hunter2hunter2", "swordfish99", "opensesame1", "tiny-secret", "a-long-enough-token", KEY):
        assert secret not in shown


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("LOG_LEVEL=ERROR\nWEB_PORT=9000\n")
    monkeypatch.setenv("FUNDOPS_ENV_FILE", str(file))
    monkeypatch.setenv("WEB_PORT", "9001")
    env = load_env()
    found = sources(env)
    assert (env.log_level, found["log_level"]) == ("ERROR", Source.FILE)
    assert (env.web_port, found["web_port"]) == (9001, Source.ENVIRONMENT)
    assert found["web_host"] is Source.DEFAULT


def test_embedded_urls_are_told_apart_from_given_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, {"DATABASE_URL": PRODUCTION["DATABASE_URL"], "REDIS_URL": "unix:///tmp/r.sock"})
    assert sources(load_env())["database_url"] is Source.ENVIRONMENT
    monkeypatch.setenv("FUNDOPS_EMBEDDED_VARIABLES", "DATABASE_URL,REDIS_URL")
    assert sources(load_env())["database_url"] is Source.EMBEDDED


def test_misspelled_name_in_the_file_is_refused_with_a_guess(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("DATABSE_URL=postgresql://u@h/d\n")
    monkeypatch.setenv("FUNDOPS_ENV_FILE", str(file))
    assert "did you mean DATABASE_URL?" in _complaints()["DATABSE_URL"]


def test_misspelled_variable_of_ours_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUNDOPS_LIVE_TRADNG", "true")
    assert unknown_variables() == ["FUNDOPS_LIVE_TRADNG"]
    assert load_env().fundops_live_trading is False


def test_example_file_is_the_schemas_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (PROJECT_ROOT / ".env.example").read_text() == render_example(), "write it anew: check_env --example"
    monkeypatch.setenv("FUNDOPS_ENV_FILE", str(PROJECT_ROOT / ".env.example"))
    assert load_env() == Env()


def test_every_setting_says_what_it_is_and_how_it_looks() -> None:
    for name, field in Env.model_fields.items():
        assert field.description, name
        assert field.examples, name
        assert isinstance(field.json_schema_extra, dict), name
        assert field.json_schema_extra["shape"], name


def test_check_env_prints_sources_and_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, PRODUCTION)
    output = StringIO()
    call_command("check_env", "--json", stdout=output)
    rows = {row["name"]: row for row in json.loads(output.getvalue())["settings"]}
    assert rows["DATABASE_URL"]["value"] == "postgresql://app:[redacted]@db.internal/fundops"
    assert rows["DATABASE_URL"]["source"] == "environment"
    assert rows["WEB_PORT"] == {**rows["WEB_PORT"], "value": 8000, "source": "default"}
    table = StringIO()
    call_command("check_env", stdout=table)
    for text in (output.getvalue(), table.getvalue()):
        assert "SECRET_KEY" in text
        for secret in ("hunter2hunter2", "swordfish99", "opensesame1", KEY):
            assert secret not in text


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "migrate"],
        ["manage.py", "up"],
        ["manage.py", "check_env"],
        ["manage.py", "check_env", "--json"],
        ["-m", "celery", "-A", "celery_app", "worker"],
        ["-m", "uvicorn", "fundops.asgi:application"],
        ["-c", "import fundops.settings"],
    ],
    ids=lambda command: " ".join(command[:4]),
)
def test_every_process_stops_at_its_start_with_the_list_and_no_traceback(command: list[str]) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "FUNDOPS_ENV": "production",
        "FUNDOPS_ENV_FILE": "",
        "WEB_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    shown = done.stdout + done.stderr
    for name in (
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "REDIS_URL",
        "WEB_PORT",
    ):
        assert name in shown
    assert "Traceback" not in shown
