"""Keeps secrets out of the logs: by the name of a field, by the shape of a text, and by the values this
process knows.

A line is masked before any renderer sees it, so that a careless ``log.info("login", password=...)``, an URL
with credentials in an exception's text and a token in a traceback all come out harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretBytes, SecretStr

MASK: Final = "[redacted]"
#: Shorter values would mask half of every text they happen to occur in.
KNOWN_MIN: Final = 8
DEPTH_MAX: Final = 8

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase|code)|secret|token|authori[sz]ation|cookie|api_?key|private_?key|access_?key|credential"
    r"|session_?(id|key)|csrf|(^|_)(otp|totp|pin|mnemonic|seed_phrase|recovery_codes?|signature)($|_)",
    re.IGNORECASE,
)
_SHAPES: Final = (
    # scheme://user:password@host
    (
        re.compile(r"(?P<keep>[a-z][a-z0-9+.\-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE),
        rf"\g<keep>{MASK}",
    ),
    (
        re.compile(r"(?P<keep>\b(?:bearer|basic|token)\s+)[A-Za-z0-9+/_.~=\-]{8,}", re.IGNORECASE),
        rf"\g<keep>{MASK}",
    ),
    # password=..., "api_key": "..." in a text, a query string or a repr
    (
        re.compile(
            r"(?P<keep>\b[\w\-]*(?:password|passwd|passphrase|secret|token|api_?key|signature|sessionid)[\w\-]*"
            r"[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;)}\]]+",
            re.IGNORECASE,
        ),
        rf"\g<keep>{MASK}",
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*"), MASK),  # a JSON web token
)

_known: list[str] = []


def know_secrets(values: Iterable[str]) -> None:
    """Adds values that are to be masked wherever they appear; URLs give their password away on their own."""
    found = set(_known)
    for value in values:
        password = urlsplit(value).password if "://" in value else None
        for text in (password, unquote(password) if password else None) if "://" in value else (value,):
            if text and len(text) >= KNOWN_MIN:
                found.add(text)
    _known[:] = sorted(found, key=len, reverse=True)


def is_secret_name(name: str) -> bool:
    """Whether a field of that name is masked whatever it holds."""
    return _SECRET_NAME.search(name) is not None


def redact_text(text: str) -> str:
    """The text with everything that looks like, or is known to be, a secret masked."""
    for value in _known:
        if value in text:
            text = text.replace(value, MASK)
    for pattern, replacement in _SHAPES:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any, *, depth: int = 0) -> Any:
    """The same for any value of a log event; containers are copied, never changed in place."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, (SecretStr, SecretBytes)):
        return MASK
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth >= DEPTH_MAX:
        return redact_text(repr(value))
    if isinstance(value, Mapping):
        return {
            key: MASK
            if isinstance(key, str) and is_secret_name(key) and item not in (None, "")
            else redact(item, depth=depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item, depth=depth + 1) for item in value]
    if isinstance(value, bytes):
        return redact_text(value.decode(errors="replace"))
    return redact_text(str(value))


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor; keys that start with an underscore are structlog's own."""
    for key, value in list(event.items()):
        if key.startswith("_"):
            continue
        event[key] = MASK if is_secret_name(key) and value not in (None, "") else redact(value)
    return event
