"""Live topics: their names, who may listen to each, and the shape of what is sent.

An app registers the prefixes it owns when it starts; the websocket asks here at every subscription. A topic
reads ``prefix`` ("cohorts") or ``prefix:key`` ("cohort:12").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypedDict

from fundops.core.errors import FundopsError
from fundops.core.models import User

TOPIC_PATTERN = re.compile(r"(?P<prefix>[a-z][a-z_]{0,39})(?::(?P<key>[A-Za-z0-9_.\-]{1,79}))?", re.ASCII)

Authorise = Callable[[User, str], bool]


class LiveMessage(TypedDict):
    """One recorded event, as a browser receives it."""

    type: str
    topic: str
    seq: int
    at: str
    data: dict[str, Any]


class LiveControl(TypedDict):
    """An answer of the websocket itself."""

    type: Literal["hello", "subscribed", "unsubscribed", "pong", "reset", "error"]
    topic: NotRequired[str]
    seq: NotRequired[int]
    code: NotRequired[str]
    detail: NotRequired[str]


class TopicUnknownError(FundopsError):
    """Nobody registered the topic's prefix, or it is not written as a topic."""

    status = 404
    title = "Topic unknown"

    def __init__(self, topic: str) -> None:
        super().__init__(f"There is no live topic '{topic[:120]}'.", topic=topic[:120])


class TopicDeniedError(FundopsError):
    """The topic exists; this person may not listen to it."""

    status = 403
    title = "Topic denied"

    def __init__(self, topic: str) -> None:
        super().__init__(f"You may not listen to '{topic}'. Ask for the right to view its subject.", topic=topic)


_registry: dict[str, Authorise] = {}


def register_topic(prefix: str, authorise: Authorise) -> None:
    """Declares the topics ``prefix`` and ``prefix:<key>``; ``authorise(user, key)`` says who may listen.

    ``key`` is "" for the bare prefix. Called from an app's ``ready()``; raises ValueError when another
    function already owns the prefix.
    """
    match = TOPIC_PATTERN.fullmatch(prefix)
    if match is None or match["key"]:
        raise ValueError(f"'{prefix}' is no topic prefix: lower-case letters and underscores, please.")
    if _registry.get(prefix, authorise) is not authorise:
        raise ValueError(f"The live topic '{prefix}' is registered twice.")
    _registry[prefix] = authorise


def topic_prefixes() -> list[str]:
    """The prefixes that are registered, sorted."""
    return sorted(_registry)


def parse_topic(topic: str) -> tuple[str, str]:
    """``cohort:12`` as ("cohort", "12"); raises TopicUnknownError when it is not written as a topic."""
    match = TOPIC_PATTERN.fullmatch(topic)
    if match is None:
        raise TopicUnknownError(topic)
    return match["prefix"], match["key"] or ""


def check_topic(user: User, topic: str) -> None:
    """Raises TopicUnknownError or TopicDeniedError unless ``user`` may listen to ``topic``."""
    prefix, key = parse_topic(topic)
    authorise = _registry.get(prefix)
    if authorise is None:
        raise TopicUnknownError(topic)
    if not user.is_active or not authorise(user, key):
        raise TopicDeniedError(topic)
