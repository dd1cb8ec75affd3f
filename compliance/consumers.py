"""Who follows the sealed stream: the registry of its consumers (alerts, webhooks, metrics and what comes
later).

A consumer gets every event once and in order, in batches, inside the transaction that moves its cursor:
what it writes to the database and the cursor commit together or not at all. Whatever it does to the outside
world must therefore be started from there through `fundops.core.tasks.enqueue_on_commit`, or bear
repetition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from compliance.errors import ConsumerNameError
from compliance.stream import StreamEvent

LIVE = "live"


@dataclass(frozen=True, slots=True)
class Consumer:
    """``handle(events)`` runs in a transaction, gets only the kinds that begin with one of ``kinds`` (all
    when empty) and must raise when it could not do its work: the batch is then offered again, after a
    pause."""

    name: str
    handle: Callable[[Sequence[StreamEvent]], None]
    kinds: tuple[str, ...] = ()
    from_start: bool = False
    batch: int = 200

    def wants(self, kind: str) -> bool:
        return not self.kinds or kind.startswith(self.kinds)


_registry: dict[str, Consumer] = {}


def register_consumer(consumer: Consumer) -> None:
    """Adds a consumer; called from an app's ``ready()``. Raises ConsumerNameError on a bad or taken name."""
    if consumer.name == LIVE or re.fullmatch(r"[a-z][a-z0-9_.]{0,79}", consumer.name) is None:
        raise ConsumerNameError(f"'{consumer.name}' cannot name a consumer of the stream.")
    if _registry.get(consumer.name, consumer) != consumer:
        raise ConsumerNameError(f"A consumer named '{consumer.name}' already follows the stream.")
    _registry[consumer.name] = consumer


def consumers() -> list[Consumer]:
    """Everyone who is registered, by name."""
    return [_registry[name] for name in sorted(_registry)]
