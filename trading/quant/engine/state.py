"""The fixed-size state between two runs, and its bytes: a versioned header, the arrays, a checksum."""

from __future__ import annotations

import functools
import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.engine.errors import EngineStateError

STATE_VERSION = 1
_MAGIC = b"FUNDOPS-ENGINE\x00"
_COMPACT_MAGIC = b"FUNDOPS-COMPACT\x00"
_DIGEST = 32


@functools.lru_cache(maxsize=64)
def _described(dtype: np.dtype[Any]) -> list[Any]:
    """A dtype as its header says it; numpy walks the fields anew each time it is asked."""
    return dtype.descr


@dataclass(frozen=True, slots=True)
class EngineState:
    """Everything a run needs to go on: positions, cash, orders, strategy states, volumes, peaks. Its size
    does not grow.

    ``fingerprint`` identifies agents, rules and costs; going on with others is refused. Two states are equal
    when
    their bytes are.
    """

    fingerprint: str
    arrays: dict[str, npt.NDArray[Any]]

    @property
    def bars(self) -> int:
        """How many bars have been traded since the start."""
        return int(self.arrays["clock"]["bars"][0])

    @property
    def last_ts_ms(self) -> int:
        """The opening time of the last bar that has been traded."""
        return int(self.arrays["clock"]["last_ts"][0])

    def copy(self) -> EngineState:
        return EngineState(self.fingerprint, {name: values.copy() for name, values in self.arrays.items()})

    def to_bytes(self) -> bytes:
        header = {
            "version": STATE_VERSION,
            "fingerprint": self.fingerprint,
            "arrays": [[name, _described(values.dtype), values.shape] for name, values in self.arrays.items()],
        }
        head = json.dumps(header).encode()
        body = b"".join(
            [
                _MAGIC,
                struct.pack("<I", len(head)),
                head,
                *(values.tobytes() for values in self.arrays.values()),
            ]
        )
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes) -> EngineState:
        """Raises EngineStateError for another version or damaged bytes."""
        if not data.startswith(_MAGIC):
            raise EngineStateError("These bytes are no engine state.")
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            raise EngineStateError("The engine state is damaged (its checksum differs). Restore an earlier one.")
        start = len(_MAGIC) + 4
        (size,) = struct.unpack_from("<I", body, len(_MAGIC))
        header = json.loads(body[start : start + size])
        if header["version"] != STATE_VERSION:
            raise EngineStateError(
                f"The engine state has version {header['version']}, this engine reads {STATE_VERSION}: "
                "start the run again from its first bar."
            )
        arrays: dict[str, npt.NDArray[Any]] = {}
        offset = start + size
        for name, description, shape in header["arrays"]:
            # Aligned like the layouts: a record that is not would be another type to the compiler, and compiled anew.
            records = len(description) > 1
            dtype = np.dtype([tuple(f) for f in description], align=True) if records else np.dtype(description[0][1])
            count = int(np.prod(shape))
            arrays[name] = np.frombuffer(body, dtype, count, offset).reshape(shape).copy()
            offset += count * dtype.itemsize
        return cls(header["fingerprint"], arrays)

    def to_compact(self) -> bytes:
        """The arrays without their description, for whoever keeps a layout to read them by; half as long."""
        body = b"".join([_COMPACT_MAGIC, _layout_digest(self), *(values.tobytes() for values in self.arrays.values())])
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_compact(cls, data: bytes, like: EngineState) -> EngineState:
        """What `to_compact` or `to_bytes` made of a state of the same agents, rules and layout as ``like``.

        Raises EngineStateError for bytes of another one, and for damaged bytes.
        """
        if data.startswith(_MAGIC):
            described = cls.from_bytes(data)
            if described.fingerprint != like.fingerprint:
                raise EngineStateError("The engine state belongs to other agents or rules than those given.")
            missing = {name: values.copy() for name, values in like.arrays.items() if name not in described.arrays}
            return cls(like.fingerprint, {name: (described.arrays | missing)[name] for name in like.arrays})
        if not data.startswith(_COMPACT_MAGIC):
            raise EngineStateError("These bytes are no engine state.")
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            raise EngineStateError("The engine state is damaged (its checksum differs). Restore an earlier one.")
        offset = len(_COMPACT_MAGIC) + _DIGEST
        if body[len(_COMPACT_MAGIC) : offset] != _layout_digest(like):
            raise EngineStateError(
                "The engine state belongs to other agents, rules or another layout than those given. Start again "
                "from the first bar."
            )
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, values in like.arrays.items():
            arrays[name] = np.frombuffer(body, values.dtype, values.size, offset).reshape(values.shape).copy()
            offset += values.nbytes
        return cls(like.fingerprint, arrays)


def _layout_digest(state: EngineState) -> bytes:
    """Names one layout: version, agents and rules, arrays with their types and shapes."""
    shapes = tuple((name, values.dtype, values.shape) for name, values in state.arrays.items())
    return _digest_of(state.fingerprint, shapes)


@functools.lru_cache(maxsize=4096)
def _digest_of(fingerprint: str, shapes: tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]) -> bytes:
    described = [[name, _described(dtype), shape] for name, dtype, shape in shapes]
    return hashlib.sha256(json.dumps([STATE_VERSION, fingerprint, described]).encode()).digest()
