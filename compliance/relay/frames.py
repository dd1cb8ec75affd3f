"""What travels from the relay to the web processes: ready-made message texts, one Redis message a batch.

A batch covers the places ``first`` to ``last`` without a hole, so a receiver sees at once whether it missed
one. The first line is a JSON header with the lengths of the texts that follow it; the receiver slices and
sends, and parses no payload. An empty batch (``first`` > ``last``) only announces how far the stream has
come.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db import connection

from compliance.stream import Sealed

AUDIT_TOPIC = "audit"

#: A batch stays far below the buffer at which Redis drops a slow subscriber (8 MB for a minute).
MAX_BATCH_EVENTS = 256
MAX_BATCH_CHARS = 512 * 1024


@dataclass(slots=True)
class Frame:
    """One event: where it goes, and the message texts but for the topic each begins with."""

    seq: int
    topics: list[str]
    body: str
    audit: str
    _texts: dict[str, str] = field(default_factory=dict, compare=False)

    def text(self, topic: str) -> str:
        """The whole message for ``topic``, built once however many sockets it goes to."""
        found = self._texts.get(topic)
        if found is None:
            tail = self.audit if topic == AUDIT_TOPIC else self.body
            found = self._texts[topic] = f'{{"topic":"{topic}",{tail}'
        return found

    @property
    def size(self) -> int:
        return len(self.body) + len(self.audit)


@dataclass(frozen=True, slots=True)
class Batch:
    first: int
    last: int
    frames: list[Frame]


def live_channel() -> str:
    """The Redis channel of this database: environments that share a Redis do not hear each other."""
    return f"fundops:live:{connection.settings_dict['NAME']}"


def make_frame(sealed: Sealed) -> Frame:
    event = sealed.event
    head = f'"type":{json.dumps(event.kind)},"seq":{sealed.seq},"at":"{event.at_text}","data":'
    audit = {
        "id": str(event.id),
        "actor": event.actor_label,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "object_label": event.object_label,
        "topics": event.topics,
    }
    return Frame(sealed.seq, event.topics, f"{head}{event.payload}}}", f"{head}{json.dumps(audit)}}}")


def encode_batches(frames: Sequence[Frame]) -> Iterator[tuple[int, str]]:
    """Cuts consecutive frames into Redis messages: (last place in it, text)."""
    start = size = 0
    for index, frame in enumerate(frames):
        size += frame.size
        full = size >= MAX_BATCH_CHARS or index + 1 - start >= MAX_BATCH_EVENTS
        if full or index + 1 == len(frames):
            part = frames[start : index + 1]
            header = {
                "first": part[0].seq,
                "last": part[-1].seq,
                "frames": [[f.seq, f.topics, len(f.body), len(f.audit)] for f in part],
            }
            yield (
                part[-1].seq,
                "".join(
                    [
                        json.dumps(header, separators=(",", ":")),
                        "\n",
                        *(text for f in part for text in (f.body, f.audit)),
                    ]
                ),
            )
            start, size = index + 1, 0


def announce(head: int) -> str:
    """An empty batch: the stream has come to ``head``."""
    return f'{{"first":{head + 1},"last":{head},"frames":[]}}\n'


def decode_batch(text: str) -> Batch:
    """The inverse of `encode_batches`; raises ValueError or KeyError on what is no batch."""
    at = text.index("\n") + 1
    header = json.loads(text[: at - 1])
    frames = []
    for seq, topics, body, audit in header["frames"]:
        frames.append(Frame(seq, topics, text[at : at + body], text[at + body : at + body + audit]))
        at += body + audit
    return Batch(header["first"], header["last"], frames)
