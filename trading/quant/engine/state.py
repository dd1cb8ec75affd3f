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
