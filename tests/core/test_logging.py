"""Logs: one schema for our own events and every library's, ids bound, secrets masked."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from fundops.core.env import Env
from fundops.core.logging import SCHEMA, configure_logging, get_logger, log_context
from fundops.core.redaction import MASK, is_secret_name, know_secrets, redact, redact_text

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that gives the events logged so far; the root logger is as before afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, structlog.get_config())
    stream = StringIO()
    monkeypatch.setenv("LOG_FORMAT", "json")
    configure_logging(Env(), stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before[0], before[1]
    structlog.configure(**before[2])


def test_event_follows_the_schema(lines: Any) -> None:
    get_logger("trading.cohort").info("cohort.day_scored", cohort_id=7, day=2)
    (event,) = lines()
    assert list(event)[:6] == list(SCHEMA[:6])
    assert event["event"] == "cohort.day_scored"
    assert event["level"] == "info"
    assert event["logger"] == "trading.cohort"
    assert (event["cohort_id"], event["day"]) == (7, 2)
    assert event["at"].endswith("+00:00")


def test_library_logging_comes_out_in_the_same_schema(lines: Any) -> None:
    logging.getLogger("some.library").warning("cannot reach %s", "host", extra={"attempt": 3})
    (event,) = lines()
    assert event["event"] == "cannot reach host"
    assert event["attempt"] == 3
    assert list(event)[:6] == list(SCHEMA[:6])


def test_context_is_bound_inside_and_gone_outside(lines: Any) -> None:
    with log_context(request_id="r-1", user_id=5):
        with log_context(event_id="e-1"):
            get_logger("a").info("inner")
        logging.getLogger("b").warning("outer")
    get_logger("a").info("after")
    inner, outer, after = lines()
    assert (inner["request_id"], inner["user_id"], inner["event_id"]) == ("r-1", 5, "e-1")
    assert outer["request_id"] == "r-1"
    assert "event_id" not in outer
    assert not {"request_id", "user_id", "event_id"} & set(after)


def test_context_outside_the_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"), log_context(colour="red"):
        pass


def test_exception_is_described_and_its_secrets_masked(lines: Any) -> None:
    try:
        raise ConnectionError(f"postgresql://app:{SECRET}@db/fundops refused")
    except ConnectionError:
        get_logger("a").exception("database.unreachable")
    (event,) = lines()
    assert event["error"]["type"] == "ConnectionError"
    assert "refused" in event["error"]["message"]
    assert "Traceback" in event["error"]["trace"]
    assert SECRET not in json.dumps(event)


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password1",
        "secret_key",
        "api_key",
        "apiKey",
        "Authorization",
        "access_token",
        "totp",
        "sessionid",
        "csrfmiddlewaretoken",
        "private_key",
        "passphrase",
        "recovery_codes",
        "set-cookie",
    ],
)
def test_field_with_a_secrets_name_is_masked_at_any_depth(lines: Any, name: str) -> None:
    get_logger("a").info("x", **{name: SECRET}, nested={"list": [{name: SECRET}]})
    (event,) = lines()
    assert event[name] == MASK
    assert event["nested"]["list"][0][name] == MASK
    assert SECRET not in json.dumps(event)


@pytest.mark.parametrize("name", ["passed", "author", "tokenised_bars", "cookies_eaten", "key", "opinion", "event_id"])
def test_harmless_names_are_mostly_left_alone(name: str) -> None:
    assert is_secret_name(name) is (name in {"tokenised_bars", "cookies_eaten"})  # over-masking is the safe side


@pytest.mark.parametrize(
    "text",
    [
        f"redis://:{SECRET}@host/0",
        f"postgresql://app:{SECRET}@host/db",
        f"Authorization: Bearer {SECRET}",
        f"login failed for password={SECRET}, try again",
        f'{{"api_key": "{SECRET}"}}',
        f"https://x/?access_token={SECRET}&page=2",
        f"Settings(secret_key='{SECRET}', debug=False)",
    ],
)
def test_secret_in_a_text_is_masked_by_its_shape(text: str) -> None:
    assert SECRET not in redact_text(text)
    assert MASK in redact_text(text)


def test_text_around_a_masked_secret_stays_readable() -> None:
    assert redact_text(f"page=2&password={SECRET}&size=5") == f"page=2&password={MASK}&size=5"
    assert redact_text("cohort 7 scored in 1.2 s at http://127.0.0.1:8000/x") == (
        "cohort 7 scored in 1.2 s at http://127.0.0.1:8000/x"
    )


def test_secret_types_are_masked_whatever_they_are_called(lines: Any) -> None:
    get_logger("a").info("x", value=SecretStr(SECRET), raw=SECRET.encode())
    know_secrets([SECRET])
    get_logger("a").info("y", raw=SECRET.encode())
    first, second = lines()
    assert first["value"] == MASK
    assert second["raw"] == MASK


@given(before=st.text(), after=st.text(), depth=st.integers(0, 10))
def test_known_secret_never_survives_wherever_it_stands(before: str, after: str, depth: int) -> None:
    know_secrets([SECRET])
    value: Any = f"{before}{SECRET}{after}"
    for level in range(depth):
        value = {"k": value} if level % 2 else [value, 1]
    assert SECRET not in json.dumps(redact(value), ensure_ascii=False)


def test_passwords_of_the_environments_urls_become_known(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:weird%2Fpassword99@h/d")
    monkeypatch.setenv("REDIS_URL", "redis://:other-password7@h/0")
    configure_logging(Env(), stream=StringIO())
    assert redact_text("saw weird/password99, weird%2Fpassword99 and other-password7") == (
        f"saw {MASK}, {MASK} and {MASK}"
    )


def test_console_format_is_readable_and_as_discreet(monkeypatch: pytest.MonkeyPatch, lines: Any) -> None:
    stream = StringIO()
    monkeypatch.setenv("LOG_FORMAT", "console")
    configure_logging(Env(), stream=stream)
    try:
        raise ValueError("boom")
    except ValueError:
        get_logger("a").exception("it.failed", password=SECRET)
    assert "it.failed" in stream.getvalue()
    assert "ValueError: boom" in stream.getvalue()
    assert SECRET not in stream.getvalue()
